package handler

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-webhooks/caddy-webhooks/dedup"
	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/gateway"
)

// chooser says what one destination makes of a new event: whether it wants it,
// and what it orders it by.
type chooser struct {
	name   string
	events []string
	match  caddyhttp.MatcherSets
	order  string
	say    limiter
}

// wants asks each destination about a new event; nil if all take everything, in
// any order. They are asked once: what they say is stored with the event.
func (h *Handler) wants(in *arrival, e *event.Event) []gateway.Want {
	if h.choosers == nil {
		return nil
	}
	defer h.lendBody(in)()
	wants := make([]gateway.Want, len(h.choosers))
	for i, c := range h.choosers {
		wanted, err := c.wants(in, e)
		if err != nil {
			h.unsure(c, "it could not be told whether this destination wants the event; it is delivered", err)
		}
		wants[i].Filtered = err == nil && !wanted
		if wants[i].Order, err = c.orderOf(in); err != nil {
			h.unsure(c, "what this destination orders by could not be told; the event is delivered without an order", err)
		}
	}
	return wants
}

func (h *Handler) unsure(c *chooser, what string, err error) {
	if n, ok := c.say.allow(h.now(), time.Second); ok {
		h.log.Warn(what, "destination", c.name, "error", err, "more", n)
	}
}

// errType is why `events` cannot tell.
var errType = errors.New("the event has no type")

// wants tells whether the event passes both `events` and `match`. With an error
// nobody knows, and the event must not be kept from the application.
func (c *chooser) wants(in *arrival, e *event.Event) (bool, error) {
	if len(c.events) > 0 && e.Type != "" && !anyGlob(c.events, e.Type) {
		return false, nil
	}
	if len(c.match) > 0 {
		if wanted, err := c.matches(in); err != nil || !wanted {
			return wanted, err
		}
	}
	if len(c.events) > 0 && e.Type == "" {
		return false, errType
	}
	return true, nil
}

// matches asks Caddy's matchers: one set must match, and in it all. Caddy keeps
// those of a set in no order, so all are asked: one that says no is right, though
// another one fails.
func (c *chooser) matches(in *arrival) (bool, error) {
	var unsure error
	for _, set := range c.match {
		wanted, err := true, error(nil)
		for _, m := range set {
			ok, failed := in.ask(m)
			switch {
			case failed != nil:
				err = failed
			case !ok:
				wanted = false
			}
		}
		switch {
		case wanted && err == nil:
			return true, nil
		case wanted:
			unsure = err
		}
	}
	return false, unsure
}

// ask asks one matcher, which sees the request as it reached the directive, its
// body unread.
func (in *arrival) ask(matcher any) (matched bool, err error) {
	defer recovered(&err)
	in.r.Body = io.NopCloser(bytes.NewReader(in.checked.Body))
	matched, err = caddyhttp.MatcherSet{matcher}.MatchWithError(in.r)
	if unread := in.values.Err(); err == nil {
		err = unread
	}
	return matched, err //nolint:wrapcheck // the matcher's own words
}

// orderOf is the hash of what the destination orders by. Where every placeholder
// is empty there is no order.
func (c *chooser) orderOf(in *arrival) (order uint64, err error) {
	if c.order == "" {
		return 0, nil
	}
	defer recovered(&err)
	in.r.Body = io.NopCloser(bytes.NewReader(in.checked.Body))
	named := false
	value, err := in.repl.ReplaceFunc(c.order, func(_ string, v any) (any, error) {
		named = named || caddy.ToString(v) != ""
		return v, nil
	})
	if unread := in.values.Err(); err == nil {
		err = unread
	}
	if err != nil || !named {
		return 0, err //nolint:wrapcheck // Caddy's own words
	}
	return max(1, dedup.Digest([]byte(value))), nil
}

// recovered makes an error of a panic in a matcher.
func recovered(err *error) {
	if v := recover(); v != nil {
		*err = fmt.Errorf("panic: %v", v)
	}
}

// lendBody lets matchers read the body again, and gives what takes it back. A
// handler before this one may have made a copy of the request; {http.request.body}
// would then look at the first one, whose body is read, and find nothing.
func (h *Handler) lendBody(in *arrival) (back func()) {
	was := in.r.Body
	if !h.looksAtBody {
		return func() { in.r.Body = was }
	}
	const text, encoded = "http.request.body", "http.request.body_base64"
	in.repl.Set(text, string(in.checked.Body))
	in.repl.Set(encoded, base64.StdEncoding.EncodeToString(in.checked.Body))
	return func() {
		in.r.Body = was
		in.repl.Delete(text)
		in.repl.Delete(encoded)
	}
}

// anyGlob tells whether one of the globs matches all of the text.
func anyGlob(globs []string, text string) bool {
	for _, g := range globs {
		if glob(g, text) {
			return true
		}
	}
	return false
}

// glob matches text: `*` stands for anything, also for nothing, and every other
// character for itself.
func glob(pattern, text string) bool {
	first, rest, stars := strings.Cut(pattern, "*")
	if !stars {
		return pattern == text
	}
	text, ok := strings.CutPrefix(text, first)
	for ok {
		var part string
		if part, rest, stars = strings.Cut(rest, "*"); !stars {
			return strings.HasSuffix(text, part)
		}
		_, text, ok = strings.Cut(text, part) // the first place is as good as any
	}
	return false
}
