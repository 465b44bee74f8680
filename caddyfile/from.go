package caddyfile

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-webhooks/caddy-webhooks/handler"
	"github.com/caddy-webhooks/caddy-webhooks/internal/dispense"
	"github.com/caddy-webhooks/caddy-webhooks/verify/providers"
)

const fromForm = "from <provider> [<secret>...] { … }"

func from(f *handler.From, places map[string]string) dispense.Field {
	return dispense.Placed(places, dispense.Nested("<provider> [<secret>...] { … }", func(d *caddyfile.Dispenser) error {
		args := d.RemainingArgs()
		switch {
		case len(args) == 0:
			return d.Errf("missing provider; write: %s", fromForm)
		case slices.Contains(args, ""):
			return d.Errf("an argument of from is empty, so its environment variable may be unset; write: %s", fromForm)
		}
		if err := known(args[0]); err != nil {
			return d.WrapErr(err)
		}
		f.Provider, f.Secrets = args[0], args[1:]
		err := dispense.Block(d, "from", dispense.Fields{
			"secret":    dispense.Placed(places, dispense.Strings(&f.Secrets, "<secret>... | learn")),
			"tolerance": dispense.Placed(places, dispense.DurationOrOff(&f.Tolerance, &f.ToleranceOff, "<duration>|off")),
			"id":        dispense.Many(dispense.Args("header|query|json <name>... | body", 1, dispense.Any, readID(&f.ID))),
			"type":      dispense.Args("header|query|json <name>", 2, 2, readType(&f.Type)),
			"url":       dispense.Args("<public URL>", 1, 1, readURL(&f.URL)),
			"methods":   dispense.Args("<method>...", 1, dispense.Any, readMethods(&f.Methods)),

			dispense.Other: dispense.Placed(places, dispense.Nested("[<value>...]", readOption(&f.Options))),
		})
		if err == nil && slices.Equal(f.Secrets, []string{"learn"}) {
			f.Learn, f.Secrets = true, nil
		}
		return err
	}))
}

// known refuses a provider that there is no record of.
func known(provider string) error {
	if _, ok := providers.Get(provider); ok {
		return nil
	}
	if near := providers.Suggest(provider); near != "" {
		return fmt.Errorf("unknown provider %q; did you mean %s?", provider, near)
	}
	return fmt.Errorf("unknown provider %q; for a sender without a preset write hmac, token, basic, ed25519, ecdsa, rsa or jwt", provider)
}

func readID(to *[]handler.Pick) func([]string) error {
	return func(args []string) error {
		pick, err := pick(args)
		if err == nil {
			*to = append(*to, pick)
		}
		return err
	}
}

func readType(to **handler.Pick) func([]string) error {
	return func(args []string) error {
		pick, err := pick(args)
		switch {
		case err != nil:
			return err
		case pick.In == "body":
			return fmt.Errorf("the whole body is no type")
		}
		*to = &pick
		return nil
	}
}

func pick(args []string) (handler.Pick, error) {
	in, names := args[0], args[1:]
	switch in {
	case "body":
		if len(names) > 0 {
			return handler.Pick{}, fmt.Errorf("body takes no name, but there is %q", names[0])
		}
		return handler.Pick{In: in}, nil
	case "header", "query", "json":
	default:
		return handler.Pick{}, fmt.Errorf("%q is none of header, query, json and body", in)
	}
	if len(names) == 0 || slices.Contains(names, "") {
		return handler.Pick{}, fmt.Errorf("%s needs a name", in)
	}
	return handler.Pick{In: in, Names: names}, nil
}

func readURL(to *string) func([]string) error {
	return func(args []string) error {
		if !strings.Contains(args[0], "{") {
			u, err := url.Parse(args[0])
			if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
				return fmt.Errorf("%q is not a whole URL such as https://hooks.example.com/stripe", args[0])
			}
		}
		*to = args[0]
		return nil
	}
}

func readMethods(to *[]string) func([]string) error {
	return func(args []string) error {
		for _, method := range args {
			if method == "" || strings.Trim(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-") != "" {
				return fmt.Errorf("%q is not a method such as POST", method)
			}
		}
		*to = args
		return nil
	}
}

// readOption takes every other name: which ones there are is for the provider's
// record to say, when the config loads.
func readOption(to *map[string][]string) func(*caddyfile.Dispenser) error {
	return func(d *caddyfile.Dispenser) error {
		if *to == nil {
			*to = make(map[string][]string)
		}
		name := d.Val()
		(*to)[name] = d.RemainingArgs()
		return nil
	}
}
