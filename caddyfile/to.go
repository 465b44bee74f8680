package caddyfile

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	_ "github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy" // a `to` with upstreams is that directive

	"github.com/caddy-webhooks/caddy-webhooks/gateway"
	"github.com/caddy-webhooks/caddy-webhooks/handler"
	"github.com/caddy-webhooks/caddy-webhooks/internal/dispense"
)

// destinations reads the `to`s of one source.
type destinations struct {
	helper httpcaddyfile.Helper
	list   []*handler.To
	places map[string]string
	at     []*caddyfile.Dispenser // on the first token of each
}

func (ds *destinations) read(d *caddyfile.Dispenser) error {
	at := caddyfile.NewDispenser(caddyfile.Segment{d.Token()})
	at.Next()
	to, chain := new(handler.To), chain{at: d.Token()}
	if err := chain.readUpstreams(d); err != nil {
		return err
	}
	places := make(map[string]string)
	fields := wants(ds.helper, to, places)
	maps.Copy(fields, dispense.Fields{
		"name":              dispense.Name(&to.Name),
		"concurrency":       dispense.Int(&to.Concurrency),
		"rate":              dispense.Args("<n>/<s|m|h>", 1, 1, readRate(&to.Rate)),
		"timeout":           dispense.Duration(&to.Timeout),
		"accept_cut_answer": dispense.Flag(&to.AcceptCutAnswer),
		"retry":             retry(&to.Retry),
		"resign":            dispense.Placed(places, dispense.Args("auto|always|never", 1, 1, readResign(&to.Resign))),
		"sign":              dispense.Placed(places, dispense.Strings(&to.Sign, "<secret>...")),
		"reverse_proxy":     dispense.Nested("{ … }", chain.readProxy),
		"route":             dispense.Nested("{ … }", chain.readRoute),
	})
	err := dispense.Block(d, "to", fields)
	if err != nil {
		return err
	}
	keepPlaces(ds.places, places, to)
	if to.Routes, err = chain.routes(inside(ds.helper, at), at); err != nil {
		return err
	}
	ds.list, ds.at = append(ds.list, to), append(ds.at, at)
	return nil
}

// named makes sure that several destinations can be told apart.
func (ds *destinations) named() error {
	if len(ds.list) < 2 {
		return nil
	}
	lines := make(map[string]int)
	for i, to := range ds.list {
		switch first, taken := lines[to.Name]; {
		case to.Name == "":
			return ds.at[i].Errf("a `to` without a name, but there are several; write in its block: name <name>")
		case taken:
			return ds.at[i].Errf("the `to` in line %d is named %s too; write another name", first, to.Name)
		}
		lines[to.Name] = ds.at[i].Line()
	}
	return nil
}

func retry(to **handler.Retry) dispense.Field {
	return dispense.Nested("{ … }", func(d *caddyfile.Dispenser) error {
		if args := d.RemainingArgs(); len(args) > 0 {
			return d.Errf("surplus argument %q; write: retry { for %s }", args[0], args[0])
		}
		r := new(handler.Retry)
		*to = r
		return dispense.Block(d, "retry", dispense.Fields{
			"for":      dispense.Duration(&r.For),
			"attempts": dispense.Int(&r.Attempts),
			"backoff": dispense.Args("<first> <max>", 2, 2, func(args []string) error {
				if err := dispense.ParseDuration(args[0], &r.BackoffFirst); err != nil {
					return err
				}
				return dispense.ParseDuration(args[1], &r.BackoffMax)
			}),
			"never": dispense.Args("<status>...", 1, dispense.Any, func(args []string) error {
				never := make([]int, 0, len(args))
				for _, arg := range args {
					status, err := dispense.ParseStatus(arg, 300, 599)
					if err != nil {
						return err
					}
					never = append(never, status)
				}
				r.Never = &never
				return nil
			}),
		})
	})
}

func readResign(to *string) func([]string) error {
	return func(args []string) error {
		*to = args[0]
		if args[0] == "" {
			return errors.New("the argument is empty")
		}
		return handler.CheckResign(args[0])
	}
}

// chain gathers the tokens of what delivers the events of one `to`.
type chain struct {
	at        caddyfile.Token   // the word `to`
	upstreams []caddyfile.Token // the addresses behind it
	proxy     []caddyfile.Token // `reverse_proxy` and its block, braces included
	route     []caddyfile.Token // `route` and its block, braces included
}

func (c *chain) readUpstreams(d *caddyfile.Dispenser) error {
	for d.NextArg() {
		if err := upstream(d.Val()); err != nil {
			return d.WrapErr(err)
		}
		c.upstreams = append(c.upstreams, d.Token())
	}
	return nil
}

// upstream refuses what reverse_proxy would take for a matcher, or refuse in
// words that do not help here.
func upstream(address string) error {
	rest := address
	if _, after, ok := strings.Cut(address, "://"); ok {
		rest = after
	}
	switch {
	case address == "":
		return fmt.Errorf("an upstream is empty; write: to <host>:<port>")
	case strings.HasPrefix(address, "@"), address == "*":
		return fmt.Errorf("%q is a matcher, and `to` takes none; write it behind the directive: webhooks %s { … }", address, address)
	case strings.HasPrefix(address, "unix/"), strings.HasPrefix(address, "unix+h2c/"), strings.HasPrefix(address, "fd/"):
		return nil
	case strings.HasPrefix(address, "tcp/"):
		rest = address[len("tcp/"):]
	case strings.HasPrefix(address, "{") && strings.HasSuffix(address, "}"):
		return nil
	}
	host, path, ok := strings.Cut(rest, "/")
	if !ok {
		return nil
	}
	if host == "" {
		return fmt.Errorf("upstream %q is a path; write: to <host>:<port> { route { rewrite %s } }", address, address)
	}
	return fmt.Errorf("upstream %q has a path; write: to %s { route { rewrite /%s } }", address, strings.TrimSuffix(address, "/"+path), path)
}

func (c *chain) readProxy(d *caddyfile.Dispenser) error {
	if len(c.upstreams) == 0 {
		return d.Errf("options of reverse_proxy, but no upstream; write: to <upstream>... { reverse_proxy { … } }")
	}
	tokens, err := segmentOf(d)
	if err != nil {
		return err
	}
	options := caddyfile.NewDispenser(tokens)
	options.Next()
	for options.NextBlock(0) {
		switch option := options.NewFromNextSegment(); {
		case !option.Next():
		case option.Val() == "to":
			return option.Errf("addresses do not stand inside reverse_proxy; write: to <upstream>... { reverse_proxy { … } }")
		case option.Val() == "dynamic":
			return option.Errf("dynamic addresses do not go with those of `to`; write: to { route { reverse_proxy { dynamic … } } }")
		}
	}
	c.proxy = tokens
	return nil
}

func (c *chain) readRoute(d *caddyfile.Dispenser) error {
	tokens, err := segmentOf(d)
	c.route = tokens
	return err
}

// segmentOf returns the tokens of the subdirective that d stands on: its name and
// its block, which must be there.
func segmentOf(d *caddyfile.Dispenser) ([]caddyfile.Token, error) {
	name := d.Val()
	tokens := []caddyfile.Token{d.Token()}
	if d.NextArg() {
		return nil, d.Errf("surplus argument %q: addresses stand behind `to`, directives in the block; write: %s { … }", d.Val(), name)
	}
	for d.Next() {
		tokens = append(tokens, d.Token())
	}
	if len(tokens) < 3 {
		return nil, d.Errf("%s is empty; write: %s { … }, or leave it out", name, name)
	}
	return tokens, nil
}

// routes has Caddy's own parsers read the chain: first what `route` holds, in
// the order written, then the proxy.
func (c *chain) routes(h httpcaddyfile.Helper, at *caddyfile.Dispenser) (caddyhttp.RouteList, error) {
	var all caddyhttp.RouteList
	if c.route != nil {
		routes, err := parse(h, c.at, c.route)
		if err != nil {
			return nil, err
		}
		// What `route` became is one handler; the chain is what is in it.
		var inner caddyhttp.Subroute
		if err := json.Unmarshal(routes[0].HandlersRaw[0], &inner); err != nil {
			return nil, at.Errf("reading the directives of route: %w", err)
		}
		all = append(all, inner.Routes...)
	}
	if len(c.upstreams) > 0 {
		routes, err := parse(h, c.at, c.proxyTokens())
		if err != nil {
			return nil, err
		}
		all = append(all, routes...)
	}
	if len(all) == 0 {
		return nil, at.Errf("`to` delivers to nothing; write: to <upstream>, or: to { route { … } }")
	}
	return all, nil
}

// proxyTokens spells the proxy as Caddy's directive. The addresses go inside, as
// a line of their own: tokens know which line they are on, and behind the
// directive's name these would not be on it.
func (c *chain) proxyTokens() []caddyfile.Token {
	name := c.upstreams[0]
	if c.proxy == nil {
		name.Text = "reverse_proxy"
		return slices.Concat([]caddyfile.Token{name}, c.upstreams)
	}
	name.Text = "to"
	return slices.Concat(c.proxy[:2], []caddyfile.Token{name}, c.upstreams, c.proxy[2:])
}

// parse reads one directive as if it stood alone in the block of a directive.
func parse(h httpcaddyfile.Helper, at caddyfile.Token, directive []caddyfile.Token) (caddyhttp.RouteList, error) {
	last := directive[len(directive)-1]
	block := slices.Concat(
		[]caddyfile.Token{{File: at.File, Line: at.Line, Text: at.Text}, {File: at.File, Line: at.Line, Text: "{"}},
		directive,
		// Only the brace that is on a line of its own closes.
		[]caddyfile.Token{{File: last.File, Line: last.Line + last.NumLineBreaks() + 1, Text: "}"}},
	)
	parsed, err := httpcaddyfile.ParseSegmentAsSubroute(h.WithDispenser(caddyfile.NewDispenser(block)))
	if err != nil {
		return nil, err
	}
	subroute, ok := parsed.(*caddyhttp.Subroute)
	if !ok || len(subroute.Routes) == 0 {
		return nil, fmt.Errorf("%s at %s:%d is no directive that handles requests", directive[0].Text, directive[0].File, directive[0].Line)
	}
	return subroute.Routes, nil
}

func readRate(to *string) func(args []string) error {
	return func(args []string) error {
		if _, err := gateway.ParseRate(args[0]); err != nil {
			return err //nolint:wrapcheck // it names the value
		}
		*to = args[0]
		return nil
	}
}
