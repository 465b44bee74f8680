package caddyfile

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"

	"github.com/caddy-webhooks/caddy-webhooks/gateway"
	"github.com/caddy-webhooks/caddy-webhooks/internal/dispense"
)

// parseOption reads the global option:
//
//	{
//		webhooks {
//			store local [<directory>] {
//				min_free <size>
//			}
//			store memory
//			retention <duration> [<size>]
//			max_backlog <size>
//			alert_backlog <percent>%|off [<age>|off]
//			max_inflight <size>
//		}
//	}
func parseOption(d *caddyfile.Dispenser, existing any) (any, error) {
	d.Next()
	if existing != nil {
		return nil, d.Errf("the global option webhooks is already set; write one block with everything in it")
	}
	if args := d.RemainingArgs(); len(args) > 0 {
		return nil, d.Errf("surplus argument %q; write: webhooks { … }, and sources in a site", args[0])
	}
	app := new(gateway.App)
	err := dispense.Block(d, "webhooks", dispense.Fields{
		"store": store(&app.Store),
		"alert_backlog": dispense.Args("<percent>%|off [<age>|off]", 1, 2, func(args []string) error {
			app.AlertBacklog = new(gateway.AlertBacklogAt)
			return alertBacklog(app.AlertBacklog, args)
		}),
		"max_backlog":  dispense.Size(&app.MaxBacklog),
		"max_inflight": dispense.Size(&app.MaxInflight),
		"retention": dispense.Args("<duration> [<size>]", 1, 2, func(args []string) error {
			if err := dispense.ParseDuration(args[0], &app.Retention); err != nil || len(args) == 1 {
				return err
			}
			return dispense.ParseSize(args[1], &app.RetentionSize)
		}),
	})
	if err != nil {
		return nil, err
	}
	raw, err := json.Marshal(app)
	if err != nil {
		return nil, fmt.Errorf("writing the app as JSON: %w", err)
	}
	return httpcaddyfile.App{Name: "webhooks", Value: raw}, nil
}

// alertBacklog reads when a backlog counts as high: 80% 1h.
func alertBacklog(to *gateway.AlertBacklogAt, args []string) error {
	if to.PercentOff = args[0] == "off"; !to.PercentOff {
		digits, ok := strings.CutSuffix(args[0], "%")
		n, err := strconv.Atoi(digits)
		if !ok || err != nil || n < 1 || n > 100 {
			return fmt.Errorf("%q is no part of max_backlog such as 80%%", args[0])
		}
		to.Percent = n
	}
	if len(args) == 1 {
		return nil
	}
	if to.AgeOff = args[1] == "off"; to.AgeOff {
		return nil
	}
	return dispense.ParseDuration(args[1], &to.Age)
}

func store(to **gateway.Store) dispense.Field {
	return dispense.Nested("local [<directory>] { … } | memory", func(d *caddyfile.Dispenser) error {
		args := d.RemainingArgs()
		if len(args) == 0 {
			return d.Errf("missing kind of store; write: store local [<directory>] { … }")
		}
		s := &gateway.Store{Kind: args[0]}
		*to = s
		switch {
		case s.Kind == "memory" && len(args) == 1:
			return nil // a block is refused by whoever reads on
		case s.Kind == "memory":
			return d.Errf("surplus argument %q: memory has no directory; write: store memory", args[1])
		case s.Kind != "local":
			return d.Errf("unknown store %q; write: store local [<directory>] { … }, or: store memory", s.Kind)
		case len(args) > 2:
			return d.Errf("surplus argument %q; write: store local [<directory>] { … }", args[2])
		case len(args) == 2 && args[1] == "":
			return d.Errf("the directory is empty, so its environment variable may be unset; write: store local [<directory>] { … }")
		case len(args) == 2:
			s.Path = args[1]
		}
		return dispense.Block(d, "store local", dispense.Fields{
			"min_free": dispense.Size(&s.MinFree),
		})
	})
}
