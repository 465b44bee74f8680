package caddyfile

import (
	"fmt"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-webhooks/caddy-webhooks/handler"
	"github.com/caddy-webhooks/caddy-webhooks/internal/dispense"
)

// The two forms of respond.
const (
	fixedForm   = "<2xx status> [<body>]"
	backendForm = "backend [within <duration>]"
)

// respond reads both forms, each of which may be written once: the backend's
// answer, and the one that the provider gets in its place.
func respond(source *handler.Handler) dispense.Field {
	var fixed, backend int // the lines
	read := func(d *caddyfile.Dispenser) error {
		name := d.Val()
		args := d.RemainingArgs()
		form, line := fixedForm, &fixed
		if len(args) > 0 && args[0] == "backend" {
			form, line = backendForm, &backend
		}
		if *line != 0 {
			return d.Errf("%s is already set in line %d; keep one of the two: %s %s", name, *line, name, form)
		}
		*line = d.Line()
		if err := dispense.End(d, name+" "+form); err != nil {
			return err
		}
		var err error
		if form == backendForm {
			source.Places["respond_backend"] = dispense.Place(d)
			source.RespondBackend, err = respondBackend(args[1:])
		} else {
			source.Respond, err = respondFixed(args)
		}
		if err != nil {
			return d.Errf("%s: %w", name, err)
		}
		return nil
	}
	return dispense.Many(dispense.Nested(fixedForm+"|"+backendForm, read))
}

func respondFixed(args []string) (*handler.Respond, error) {
	const write = "write: respond " + fixedForm + ", or: respond " + backendForm
	switch {
	case len(args) == 0:
		return nil, fmt.Errorf("missing argument; %s", write)
	case len(args) > 2:
		return nil, fmt.Errorf("surplus argument %q; %s", args[2], write)
	}
	status, err := dispense.ParseStatus(args[0], 200, 299)
	if err != nil {
		return nil, fmt.Errorf("%w: to anything else the provider sends again; %s", err, write)
	}
	r := &handler.Respond{Status: status}
	if len(args) == 2 {
		r.Body = args[1]
	}
	return r, nil
}

func respondBackend(args []string) (*handler.RespondBackend, error) {
	r := new(handler.RespondBackend)
	if len(args) == 0 {
		return r, nil
	}
	const write = "write: respond " + backendForm
	switch {
	case args[0] != "within":
		return nil, fmt.Errorf("%q is not understood; %s", args[0], write)
	case len(args) < 2:
		return nil, fmt.Errorf("missing argument of within; %s", write)
	case len(args) > 2:
		return nil, fmt.Errorf("surplus argument %q; %s", args[2], write)
	}
	var within caddy.Duration
	if err := dispense.ParseDuration(args[1], &within); err != nil {
		return nil, fmt.Errorf("%w; %s", err, write)
	}
	r.Within = within
	return r, nil
}
