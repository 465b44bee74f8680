package caddyfile

import (
	"cmp"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-webhooks/caddy-webhooks/handler"
	"github.com/caddy-webhooks/caddy-webhooks/internal/dispense"
)

// wants are the subdirectives of a `to` that say what it takes, and in which order.
func wants(h httpcaddyfile.Helper, to *handler.To, places map[string]string) dispense.Fields {
	return dispense.Fields{
		"events": dispense.Placed(places, dispense.Strings(&to.Events, "<glob>...")),
		"match":  dispense.Placed(places, match(h, &to.Match)),
		"order_by": dispense.Placed(places, dispense.Args("<placeholder>", 1, 1, func(args []string) error {
			to.OrderBy = args[0]
			return handler.CheckOrderBy(args[0])
		})),
	}
}

// keepPlaces notes where they stand, by the name of their `to`.
func keepPlaces(in, places map[string]string, to *handler.To) {
	for what, place := range places {
		in[cmp.Or(to.Name, handler.DefaultDestination)+"/"+what] = place
	}
}

const matchForm = "@<name> | <matcher> [<argument>...] | `<expression>` | { … }"

// match reads Caddy's matchers, as they stand behind a directive or in a named
// matcher.
func match(h httpcaddyfile.Helper, to *caddyhttp.RawMatcherSets) dispense.Field {
	return dispense.Nested(matchForm, func(d *caddyfile.Dispenser) error {
		set, err := matcherSet(h, d)
		if err != nil {
			return err
		}
		if len(set) == 0 {
			return d.Errf("match names no matcher, and would match everything; write: match %s, or leave it out", matchForm)
		}
		*to = caddyhttp.RawMatcherSets{set}
		return nil
	})
}

func matcherSet(h httpcaddyfile.Helper, d *caddyfile.Dispenser) (caddy.ModuleMap, error) {
	ahead := *d
	if ahead.NextArg() && !ahead.Token().Quoted() {
		switch first := ahead.Val(); {
		case first == "*", strings.HasPrefix(first, "@"), strings.HasPrefix(first, "/"):
			set, _, err := h.WithDispenser(d).MatcherToken()
			if err != nil {
				return nil, d.WrapErr(err)
			}
			return set, nil
		}
	}
	if err := knownMatchers(*d); err != nil {
		return nil, err
	}
	return caddyhttp.ParseCaddyfileNestedMatcherSet(d)
}

// knownMatchers refuses a matcher that there is not. It reads a copy.
func knownMatchers(d caddyfile.Dispenser) error {
	for nesting := d.Nesting(); d.NextArg() || d.NextBlock(nesting); {
		switch {
		case d.Val() == "":
			return d.Errf("an argument of match is empty, so its environment variable may be unset; write: match %s", matchForm)
		case d.Token().Quoted():
			continue
		}
		if _, err := caddy.GetModule("http.matchers." + d.Val()); err != nil {
			return d.Errf("there is no matcher %q; write: match %s", d.Val(), matchForm)
		}
		d.NextSegment()
	}
	return nil
}
