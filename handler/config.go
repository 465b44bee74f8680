// Package handler is the Caddy handler `http.handlers.webhooks`: it takes one
// webhook request in. It verifies who sent it, names the event, has it stored,
// and answers; it delivers nothing itself.
package handler

import (
	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// Handler accepts the webhooks of one source: it proves the sender, drops
// duplicates, has the event synced to disk and answers. The event is then
// delivered to every destination in `to`.
//
// It answers every matched request itself; the next handlers are never called.
type Handler struct {
	// Name is the source's name, unique in the whole configuration:
	// `[a-z0-9_-]{1,64}`. Default: the provider's name. The name is what stored
	// events belong to; whoever changes it orphans what is still pending.
	Name string `json:"name,omitempty"`

	// From says who may send, and how that is proven.
	From From `json:"from"`

	// DedupWindow is how long a provider's event ID is remembered, so that its
	// repeat is dropped. Default: 168h (7 days).
	DedupWindow caddy.Duration `json:"dedup_window,omitempty"`

	// DedupOff stores every request as a new event, repeats too.
	DedupOff bool `json:"dedup_off,omitempty"`

	// Respond is the answer to an accepted event. Default: what the provider's
	// record says, else 200 and an empty body.
	Respond *Respond `json:"respond,omitempty"`

	// RespondBackend has the provider wait for the backend's answer, for senders
	// that want one: Slack's commands, Discord's interactions, Twilio's calls. The
	// event is stored first, then delivered at once; a 2xx answer of at most 64 KiB
	// is passed on as it is. In every other case the provider gets the answer of
	// Respond, and the event is delivered like any other. There must be exactly
	// one destination. Default: nobody waits.
	RespondBackend *RespondBackend `json:"respond_backend,omitempty"`

	// MaxBody is the largest body accepted, in bytes; a larger one is answered
	// 413 and nothing of it is stored. Default: the provider's documented cap,
	// else 5 MiB.
	MaxBody int64 `json:"max_body,omitempty"`

	// MaxBacklog is how many bytes of this source's bodies may wait for delivery,
	// dead ones included; beyond it the source is answered 503 while others go
	// on. Default: half of the app's max_backlog. The app's own limit holds too.
	MaxBacklog int64 `json:"max_backlog,omitempty"`

	// To lists the destinations; at least one. Each is independent of the others.
	To []*To `json:"to"`

	// Places tells, for error messages, where in a configuration file something
	// was written: `file:line` by the name of the subdirective. Two sources that
	// differ in nothing else are equal.
	Places map[string]string `json:"places,omitempty"`

	runtime
}

// From says who sends and how that is proven.
type From struct {
	// Provider is the name of a provider, e.g. `stripe`, or of a generic scheme:
	// `hmac`, `token`, `basic`, `ed25519`, `ecdsa`, `rsa`, `jwt`. `none` proves nothing and lets
	// everybody in.
	Provider string `json:"provider"`

	// Secrets are the keys; any of them may match, so that they can be rotated.
	// Use `{env.X}` or `{file./path}` (resolved when the config loads, an empty
	// or missing one is an error) or a placeholder of the request such as
	// `{vars.x}` (resolved per request; an empty one is answered 401). A literal
	// is visible in the config and loads with a warning.
	Secrets []string `json:"secrets,omitempty"`

	// Learn takes the secret from the provider, which hands it over when the webhook
	// is made, within 15 minutes after an operator has said so (`caddy webhooks
	// learn`), and only while none is known. Secrets must then be empty.
	Learn bool `json:"learn,omitempty"`

	// Tolerance is how far a signed timestamp may lie from our clock. Default:
	// the provider's.
	Tolerance caddy.Duration `json:"tolerance,omitempty"`

	// ToleranceOff accepts signatures of any age.
	ToleranceOff bool `json:"tolerance_off,omitempty"`

	// ID says what names an event: all parts together. Default: the provider's.
	ID []Pick `json:"id,omitempty"`

	// Type says where the event's type stands. Default: the provider's.
	Type *Pick `json:"type,omitempty"`

	// URL is the public URL, for providers that sign it. Default: as received.
	URL string `json:"url,omitempty"`

	// Methods are the request methods accepted. Default: the provider's, else POST.
	Methods []string `json:"methods,omitempty"`

	// Options are the parameters of the provider or of the generic scheme, by name.
	Options map[string][]string `json:"options,omitempty"`
}

// Pick points at one value of a request.
type Pick struct {
	// In is `header`, `query`, `json`, `form` or `body`; `body` means a hash of all of it.
	In string `json:"in"`

	// Names are the header, the parameter or the JSON path. Each is one part;
	// `a|b` within one means the first that is present.
	Names []string `json:"names,omitempty"`
}

// Respond is an answer to an accepted event.
type Respond struct {
	// Status must be 2xx.
	Status int `json:"status"`
	// Body is sent as text/plain, but as application/json if it is a JSON object
	// or array, and as application/xml if it begins with `<?xml`.
	Body string `json:"body,omitempty"`
}

// RespondBackend says how the backend's answer is waited for.
type RespondBackend struct {
	// Within is how long after its request's arrival the provider is answered at
	// the latest. The attempt goes on after that, until the destination's timeout.
	// Default: 2s.
	Within caddy.Duration `json:"within,omitempty"`
}

// To is one destination.
type To struct {
	// Name must be unique within the source. The only one is `default`.
	Name string `json:"name,omitempty"`

	// Events are globs of the types that this destination wants; `*` stands for
	// anything, capitals matter, and one that matches is enough. Other events are
	// filtered: stored for search and replay, and not delivered. An event without
	// a type is delivered. Default: all.
	Events []string `json:"events,omitempty"`

	// Match are Caddy's request matchers, asked once, when an event comes: one set
	// must match, in it every matcher. They see the request as it reached the
	// handler, and {webhooks.…}. A matcher that fails delivers, unless another of its
	// set says no. With Events too, an event must pass both. Default: all.
	Match caddyhttp.RawMatcherSets `json:"match,omitempty" caddy:"namespace=http.matchers"`

	// OrderBy is a placeholder, or several with text between them: events for
	// which it gives the same value are delivered one at a time, in the order in
	// which they came. It is evaluated once, when an event comes; where it is empty
	// the event has no order. Default: no order.
	OrderBy string `json:"order_by,omitempty"`

	// Routes deliver the event: any handlers of Caddy, normally a reverse_proxy.
	Routes caddyhttp.RouteList `json:"routes,omitempty"`

	// Concurrency is the most attempts at once. Default: 16. How many there are
	// below it follows from how the destination bears them: one after it was down,
	// fewer when it fails or grows slow.
	Concurrency int `json:"concurrency,omitempty"`

	// Rate is the most attempts per time, as `5/s`, `100/m` or `1000/h`, replays
	// included; at most as many as in one second come at once. Default: no limit.
	Rate string `json:"rate,omitempty"`

	// Timeout bounds one attempt. Default: 30s.
	Timeout caddy.Duration `json:"timeout,omitempty"`

	// AcceptCutAnswer takes a 2xx answer whose body breaks off for a success.
	// Default: it is a failure, and the event is sent again. It is for an
	// application that always ends its answers so.
	AcceptCutAnswer bool `json:"accept_cut_answer,omitempty"`

	// Resign says when the signature of a delivery is made anew, for the same body
	// at the present time, so that an application that verifies by itself does not
	// find it too old: `auto`, when the event has waited for more than half of the
	// tolerance; `always`, at each attempt; `never`. The provider's own headers
	// travel as Webhook-Original-*. It takes a shared secret and a timestamp that
	// is signed and stands in a header: without, `auto` does nothing, and `always`
	// does not load. Default: auto.
	Resign string `json:"resign,omitempty"`

	// Sign are secrets with which each attempt is signed for the application, as
	// Standard Webhooks does: webhook-id, webhook-timestamp, webhook-signature. The
	// newest stands first; each signs. Use `{env.X}` or `{file./path}`. Headers of
	// these names that the provider sent travel as Webhook-Original-*. Default:
	// none.
	Sign []string `json:"sign,omitempty"`

	// Retry says how long and how often a failed delivery is tried again.
	Retry *Retry `json:"retry,omitempty"`
}

// Retry is the patience with a destination.
type Retry struct {
	// For is how long after its first attempt an event is retried; then it is
	// dead and kept until an operator acts. Default: 72h.
	For caddy.Duration `json:"for,omitempty"`

	// Attempts is the most attempts within For. Default: no limit.
	Attempts int `json:"attempts,omitempty"`

	// BackoffFirst is the upper bound of the first wait; it doubles with each
	// attempt, and the wait is random below it. Default: 1s.
	BackoffFirst caddy.Duration `json:"backoff_first,omitempty"`

	// BackoffMax is the largest such bound. Default: 10m.
	BackoffMax caddy.Duration `json:"backoff_max,omitempty"`

	// Never lists answers after which an event is dead at once. Default: 410. An
	// empty list means none.
	Never *[]int `json:"never,omitempty"`
}
