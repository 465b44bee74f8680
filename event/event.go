// Package event holds the words that every other room speaks: what a webhook
// is once it has been accepted, who it must go to, and how that went.
//
// It has no I/O and imports nothing of this module. The two types a newcomer
// meets first are [Event], one accepted webhook request, and [Delivery], that
// event on its way to one destination.
package event

import (
	"cmp"
	"net/http"
	"time"
)

// Event is one accepted webhook request, byte for byte as it came.
//
// An event is immutable once it has been stored: it is shared by all its
// deliveries and must not be written to, its Header and Body included.
type Event struct {
	// ID is ours, stable over attempts and replays. The store gives it.
	ID ID
	// Seq is the order of acceptance within one store, from 1. The store gives it.
	Seq uint64
	// Source is the name of the configured source that accepted the event.
	Source string
	// Provider is the name of the provider's record, e.g. "stripe".
	Provider string
	// ProviderID is the provider's own ID, as far as one was found, for people
	// to read and search. What decides about duplicates is the claim.
	ProviderID string
	// Type is the provider's event type, e.g. "invoice.paid"; empty if unknown.
	Type string
	// Secret tells which secret verified the event: a short digest, never the secret.
	Secret string
	// Proof names the headers and parameters that proved the sender, so that
	// they are masked wherever the event is shown.
	Proof []string
	// Received is when the request's body was complete.
	Received time.Time
	// Method is the request's method.
	Method string
	// URI is the request target as it reached the directive, escapes untouched.
	URI string
	// OriginalURI is the request target as Caddy received it. Signatures are
	// checked against this one.
	OriginalURI string
	// Proto is the provider's HTTP version, e.g. "HTTP/2.0".
	Proto string
	// Host is the request's Host.
	Host string
	// TLS tells whether the provider's request came over TLS.
	TLS bool
	// RemoteAddr is the peer's "ip:port".
	RemoteAddr string
	// ClientIP is the sender as Caddy determined it, trusted_proxies respected.
	ClientIP string
	// TrustedProxy tells whether the peer was one of Caddy's trusted proxies, so
	// that its X-Forwarded-* headers may be believed.
	TrustedProxy bool
	// Header holds every header's values in order, without ours.
	Header http.Header
	// Body is the request's body.
	Body []byte
}

// Size is what an event weighs in limits and buffers: its body, in bytes.
func (e *Event) Size() int { return len(e.Body) }

// Destination names one `to` of one source.
type Destination struct {
	Source string
	Name   string
}

// String gives "source/name", as logs and metrics show it.
func (d Destination) String() string { return d.Source + "/" + d.Name }

// State is where a delivery stands.
type State uint8

// The states of a delivery. There are no others.
const (
	// Pending is waiting, held, or in flight.
	Pending State = iota + 1
	// Delivered means the backend answered 2xx.
	Delivered
	// Dead means given up by an attempt's outcome, and kept.
	Dead
	// Discarded means given up by an operator.
	Discarded
	// Filtered means the destination did not want the event when it came.
	Filtered
)

var stateNames = [...]string{Pending: "pending", Delivered: "delivered", Dead: "dead", Discarded: "discarded", Filtered: "filtered"}

// States lists all states in a fixed order.
func States() []State { return []State{Pending, Delivered, Dead, Discarded, Filtered} }

// String gives the word that the API, the metrics and the docs use.
func (s State) String() string {
	if int(s) < len(stateNames) && stateNames[s] != "" {
		return stateNames[s]
	}
	return "unknown"
}

// ParseState is the inverse of [State.String].
func ParseState(name string) (State, bool) {
	for _, s := range States() {
		if s.String() == name {
			return s, true
		}
	}
	return 0, false
}

// Unsettled tells whether the delivery keeps its event's body and claim alive.
func (s State) Unsettled() bool { return s == Pending || s == Dead }

// Delivery is an event on its way to one destination.
type Delivery struct {
	// Destination is the name of the `to`.
	Destination string
	// Order is the hash of what the destination orders by: deliveries with the same
	// go in turn. 0 for none.
	Order uint64
	// Source is the destination's, where it is another than the event's: an
	// operator has moved the delivery.
	Source string
	State  State
	// Attempts counts the attempts that began since the event was accepted,
	// revived or replayed; Excused counts those of them that spend nothing of the
	// retry budget, because the destination was down.
	Attempts, Excused int
	// InFlight tells whether an attempt is running, or waits at a worker.
	InFlight bool
	// Next is when a pending delivery is due again; zero for other states.
	Next time.Time
	// Asked tells that the backend asked for Next itself, so that it is not sent
	// earlier.
	Asked bool
	// Spent is how much of the time for retries is used up once Next has come:
	// attempts and the waits between them. It stands still while the delivery is
	// held, whatever the clock does.
	Spent time.Duration
	// DeliveredAt is when the backend first answered 2xx; kept over replays.
	DeliveredAt time.Time
	// SettledAt is when it was last settled; zero if never. Kept over replays.
	SettledAt time.Time
	// Replay marks a delivery that an operator sent again.
	Replay bool
	// Discarding marks a delivery in flight that an operator has discarded: no
	// further attempt; its own 2xx still wins.
	Discarding bool
}

// Attempt is one try to deliver an event.
type Attempt struct {
	// Destination is the name of the `to`.
	Destination string
	// Source is that of the destination where it is not the event's own; known of
	// attempts that are read from a store.
	Source string `json:",omitempty"`
	// Number counts from 1, as the backend sees it in Webhook-Attempt.
	Number int
	// At is when the attempt began.
	At time.Time
	// Duration is how long it took.
	Duration time.Duration
	// Status is the backend's, 0 when it gave none.
	Status int
	// Error says in words what went wrong; empty after a 2xx.
	Error string
	// Header holds the answer's headers.
	Header http.Header
	// Answer holds the first [AnswerLimit] bytes of the answer's body.
	Answer []byte
}

// At is the destination that the delivery is for, source being its event's.
func (d *Delivery) At(source string) Destination {
	return Destination{Source: cmp.Or(d.Source, source), Name: d.Destination}
}

// Of tells whether the attempt was one of that delivery.
func (a *Attempt) Of(d *Delivery) bool { return a.Destination == d.Destination && a.Source == d.Source }

// AnswerLimit is how much of a backend's answer is kept with an attempt, in bytes.
const AnswerLimit = 4 << 10

// Verdict is what an outcome means for its delivery.
type Verdict uint8

// The verdicts.
const (
	// Again means: due again later.
	Again Verdict = iota
	// Done means: delivered.
	Done
	// Dying means: dead at once, the status stands in `retry never`.
	Dying
	// Aborted means: our own doing (shutdown, no upstream tried); the attempt
	// does not count and the delivery is due at once.
	Aborted
)

// Verdicts lists them all.
func Verdicts() []Verdict { return []Verdict{Again, Done, Dying, Aborted} }

// String gives the word for logs and the metrics' `outcome` label.
func (v Verdict) String() string {
	return [...]string{Again: "retry", Done: "delivered", Dying: "dead", Aborted: "aborted"}[v]
}

// Try is what one attempt is to send.
type Try struct {
	Event *Event
	// Number counts the delivery's attempts, from 1.
	Number int
	// Replay tells that an operator sends it again.
	Replay bool
	// Keep is how many bytes of the answer's body are wanted as [Outcome.Reply];
	// 0: none, [Attempt.Answer] is enough.
	Keep int
}

// Outcome is what one attempt came to.
type Outcome struct {
	Attempt
	Verdict Verdict
	// RetryAfter is what the backend asked for with 429 or 503, at most 24 h.
	RetryAfter time.Duration
	// Unreached tells that no byte reached a backend: refused, no upstream.
	Unreached bool
	// NoUpstream tells that not even a connection was tried: the proxy took
	// every upstream for unavailable. Unreached is then true as well.
	NoUpstream bool
	// Truncated tells that a 2xx answer's body was cut short.
	Truncated bool
	// Reply is the answer's body, as far as [Try.Keep] asked for it; ReplyCut
	// tells that it was longer.
	Reply    []byte
	ReplyCut bool
}
