// Package caddyfile is the Caddyfile's way into the configuration: the directive
// `webhooks` and the global option `webhooks`. It produces the very structs that
// JSON decodes into, sets no default and compares no value with another; only
// what is wrong in a line of its own is refused here, with file and line.
package caddyfile

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-webhooks/caddy-webhooks/handler"
	"github.com/caddy-webhooks/caddy-webhooks/internal/dispense"
)

func init() {
	httpcaddyfile.RegisterGlobalOption("webhooks", parseOption)
	httpcaddyfile.RegisterDirective("webhooks", parseDirective)
	// Before everything that answers, re-writes or asks for a password: a webhook
	// is proven before any other directive of the site can let it through.
	httpcaddyfile.RegisterDirectiveOrder("webhooks", httpcaddyfile.Before, "redir")
}

// parseDirective reads the directive of a site:
//
//	webhooks [<matcher>] {
//		name <name>
//		from <provider> [<secret>...] {
//			secret <secret>... | learn
//			tolerance <duration>|off
//			id header|query|json <name>... | body
//			type header|query|json <name>
//			url <public URL>
//			methods <method>...
//			<option of the provider> [<value>...]
//		}
//		dedup <window>|off
//		respond <2xx status> [<body>]
//		respond backend [within <duration>]
//		max_body <size>
//		max_backlog <size>
//		to [<upstream>...] {
//			name <name>
//			events <glob>...
//			match @<name> | <matcher> [<argument>...] | `<expression>` | { … }
//			order_by <placeholder>
//			concurrency <n>
//			rate <n>/<s|m|h>
//			timeout <duration>
//			accept_cut_answer
//			retry {
//				for <duration>
//				attempts <n>
//				backoff <first> <max>
//				never <status>...
//			}
//			resign auto|always|never
//			sign <secret>...
//			reverse_proxy {
//				<options of reverse_proxy, without addresses>
//			}
//			route {
//				<directives>
//			}
//		}
//	}
func parseDirective(h httpcaddyfile.Helper) ([]httpcaddyfile.ConfigValue, error) {
	if !h.Next() {
		return nil, h.ArgErr()
	}
	if at, inside := h.BlockState[insideTo]; inside {
		return nil, h.Errf("webhooks cannot stand inside the `to` of %s: its events are accepted already; write a second `to` there, or `webhooks` in a site", at)
	}
	matcher, err := h.ExtractMatcherSet()
	if err != nil {
		return nil, h.WrapErr(err)
	}
	h.Next() // the directive's name again: the matcher was a look ahead
	source, err := parseSource(h)
	if err != nil {
		return nil, err
	}
	emitApp(h)
	return route(source, claimSlash(h.State, matcher))
}

func route(source *handler.Handler, matcher caddy.ModuleMap) ([]httpcaddyfile.ConfigValue, error) {
	var warnings []caddyconfig.Warning
	raw := caddyconfig.JSONModuleObject(source, "handler", "webhooks", &warnings)
	if len(warnings) > 0 {
		return nil, fmt.Errorf("writing the handler as JSON: %s", warnings[0].Message)
	}
	r := caddyhttp.Route{HandlersRaw: []json.RawMessage{raw}}
	if matcher != nil {
		r.MatcherSetsRaw = caddyhttp.RawMatcherSets{matcher}
	}
	return []httpcaddyfile.ConfigValue{{Class: "route", Value: r}}, nil
}

// wildcards is the key in the adapter's state of the prefixes that webhooks
// directives further up claim.
const wildcards = "webhooks.wildcards"

// claimSlash makes a matcher of one exact path match that path plus `/` too:
// people paste URLs with and without, and a webhook that misses is a 404 that
// nobody reads.
//
// Caddy sorts directives of the same name by their path only while each has a
// single one. After a wildcard that covers this path the route therefore keeps a
// single path to be sorted by, and a second matcher holds it to the two.
func claimSlash(state map[string]any, matcher caddy.ModuleMap) caddy.ModuleMap {
	var paths caddyhttp.MatchPath
	if len(matcher) != 1 || json.Unmarshal(matcher["path"], &paths) != nil || len(paths) != 1 {
		return matcher
	}
	path := paths[0]
	seen, _ := state[wildcards].([]string)
	if prefix, ok := strings.CutSuffix(path, "*"); ok && state != nil {
		state[wildcards] = append(seen, prefix)
	}
	if strings.Contains(path, "*") || strings.HasSuffix(path, "/") {
		return matcher
	}
	both := caddyconfig.JSON(caddyhttp.MatchPath{path, path + "/"}, nil)
	for _, prefix := range seen {
		if strings.HasPrefix(path, prefix) {
			return caddy.ModuleMap{
				"path": caddyconfig.JSON(caddyhttp.MatchPath{path + "*"}, nil),
				"not":  caddyconfig.JSON([]caddy.ModuleMap{{"not": caddyconfig.JSON([]caddy.ModuleMap{{"path": both}}, nil)}}, nil),
			}
		}
	}
	return caddy.ModuleMap{"path": both}
}

func parseSource(h httpcaddyfile.Helper) (*handler.Handler, error) {
	if args := h.RemainingArgs(); len(args) > 0 {
		return nil, h.Errf("%q is no matcher; write: webhooks [<matcher>] { … }, a path with its slash: webhooks /%s { … }",
			args[0], strings.TrimLeft(args[0], "/@*"))
	}
	// What is missing is missing from the directive's own line, not from its end.
	at := caddyfile.NewDispenser(caddyfile.Segment{h.Token()})
	at.Next()
	source := &handler.Handler{Places: map[string]string{"webhooks": dispense.Place(at)}}
	to := destinations{helper: h, places: source.Places}
	err := dispense.Block(h.Dispenser, "webhooks", dispense.Fields{
		"name":        dispense.Name(&source.Name),
		"from":        from(&source.From, source.Places),
		"dedup":       dispense.Placed(source.Places, dispense.DurationOrOff(&source.DedupWindow, &source.DedupOff, "<window>|off")),
		"respond":     respond(source),
		"max_backlog": dispense.Size(&source.MaxBacklog),
		"max_body":    dispense.Placed(source.Places, dispense.Size(&source.MaxBody)),
		"to":          dispense.Many(dispense.Nested("<upstream>... { … }", to.read)),
	})
	if err != nil {
		return nil, err
	}
	switch {
	case source.From.Provider == "":
		return nil, at.Errf("webhooks does not say who sends; write: from <provider> <secret>")
	case len(to.list) == 0:
		return nil, at.Errf("webhooks does not say where events go; write: to <upstream>")
	}
	if err := to.named(); err != nil {
		return nil, err
	}
	source.To = to.list
	return source, nil
}

// insideTo is the key in the adapter's block state that holds where the `to` is
// that is being read.
const insideTo = "webhooks.to"

// inside returns the helper for what stands inside this `to`.
func inside(h httpcaddyfile.Helper, d *caddyfile.Dispenser) httpcaddyfile.Helper {
	state := make(map[string]any, len(h.BlockState)+1)
	maps.Copy(state, h.BlockState)
	state[insideTo] = fmt.Sprintf("%s:%d", d.File(), d.Line())
	h.BlockState = state
	return h.WithDispenser(d)
}
