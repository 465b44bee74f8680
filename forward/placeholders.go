package forward

import (
	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/placeholders"
)

// replacer is one attempt's, with the placeholders of its event.
func (c *Chain) replacer(t event.Try) *caddy.Replacer {
	values := &placeholders.Values{Event: t.Event, ID: t.Event.ID, Destination: c.destination, Attempt: t.Number}
	repl := caddy.NewReplacer()
	repl.Map(values.Get)
	return repl
}
