package forward

import (
	"net/http"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/event"
)

// HeaderOriginal stands before the name of a header that an attempt's signature
// has replaced: so the application can still see what the provider had sent.
const HeaderOriginal = "Webhook-Original-"

// Signer gives the headers of an attempt that begins now, by name; one without a
// value is taken away. It must not write to the event.
type Signer func(e *event.Event, now time.Time) http.Header

// renew sets the headers that are made for this attempt alone.
func (c *Chain) renew(h http.Header, e *event.Event, now time.Time) {
	if c.sign == nil {
		return
	}
	for name, values := range c.sign(e, now) {
		name = http.CanonicalHeaderKey(name)
		if was := h[name]; len(was) > 0 {
			h[HeaderOriginal+name] = was
		}
		if len(values) == 0 {
			delete(h, name)
			continue
		}
		h[name] = values
	}
}
