package gateway

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddy-webhooks/caddy-webhooks/deliver"
	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/forward"
	"github.com/caddy-webhooks/caddy-webhooks/store"
)

// SourceConfig is what a handler registers.
type SourceConfig struct {
	Name     string
	Provider string
	// JSON is the handler's configuration; equal ones are one source.
	JSON []byte
	// Place is where it was written, as file:line; may be empty.
	Place        string
	Destinations []Destination
	// Share is how many bytes of bodies may wait for delivery; 0: half of all.
	Share int64
	// Owner is the handler. The other sources' handlers are given it, to see
	// whether a request that they have refused is this source's.
	Owner any
	// Claim gives the claim that an event of the source has, as if it came now; nil
	// if it has none. A source without it has none at all.
	Claim func(e *event.Event) *store.Claim
	// Learns tells that the provider hands its secret over.
	Learns bool
	// Words are those that its counts can have.
	Words Words
}

// Words are closed sets: what a source counts by. Each is shown from the start, as
// 0: a first burst would be no increase of a counter that begins with it.
type Words struct {
	// Rejected and Unavailable are the reasons of [Counts.Rejected] and
	// [Counts.Unavailable], Answers the words of [Counts.Answered].
	Rejected, Unavailable, Answers []string
}

// elsewhere says where the source was written, if that is known.
func (c SourceConfig) elsewhere() string {
	if c.Place == "" {
		return ""
	}
	return " (the other is at " + c.Place + ")"
}

// DefaultTimeout bounds one attempt where the destination says nothing.
const DefaultTimeout = deliver.DefaultTimeout

// Destination is one `to` with its provisioned routes. Zero limits are defaults.
type Destination struct {
	Name   string
	Routes caddyhttp.RouteList
	// Server is the one in whose site the destination stands; may be nil.
	Server                *caddyhttp.Server
	Concurrency, Attempts int
	// Rate is the most attempts per second; 0: no limit.
	Rate                     float64
	Timeout, For             time.Duration
	BackoffFirst, BackoffMax time.Duration
	Never                    *[]int
	// AcceptCut takes a 2xx answer that breaks off for a success.
	AcceptCut bool
	// Sign gives headers that are made for each attempt; may be nil.
	Sign forward.Signer
}

func (d Destination) target(g *Gateway, log *slog.Logger) deliver.Target {
	never := deliver.DefaultNever()
	if d.Never != nil {
		never = *d.Never
	}
	return deliver.Target{
		Policy: deliver.Policy{
			Concurrency: d.Concurrency, Rate: d.Rate, Timeout: d.Timeout, For: d.For, Attempts: d.Attempts,
			Backoff: deliver.Schedule{First: d.BackoffFirst, Max: d.BackoffMax}, Never: never,
		}.WithDefaults(),
		Forwarder: forward.New(d.Routes, forward.Options{Destination: d.Name, Server: d.Server, Logger: log, AcceptCut: d.AcceptCut, Sign: d.Sign, Trace: g.traceAttempt}),
	}
}

// Source is a registered source of one configuration. Its counts are the
// gateway's and outlive the configuration.
type Source struct {
	*Counts

	app     *App
	gateway *Gateway
	config  SourceConfig
	names   []event.Destination
	targets []deliver.Target
	seconds prometheus.Observer
}

func newSource(a *App, c SourceConfig) *Source {
	g, log := a.gateway, a.log
	s := &Source{app: a, Counts: g.countsOf(c.Name), gateway: g, config: c, seconds: g.metrics.accept.WithLabelValues(c.Name)}
	s.expect(c.Words)
	for _, d := range c.Destinations {
		g.metrics.expect(event.Destination{Source: c.Name, Name: d.Name})
		s.names = append(s.names, event.Destination{Source: c.Name, Name: d.Name})
		target := d.target(g, log.With("source", c.Name, "destination", d.Name))
		target.Healthy = healthOf(d.Routes, d.Server)
		s.targets = append(s.targets, target)
	}
	return s
}

// Budget bounds the bodies that are being read, over all sources.
func (s *Source) Budget() *Budget { return s.gateway.Budget() }

// Others are the owners of the other sources of the same configuration.
func (s *Source) Others() []any {
	var owners []any
	for _, other := range s.app.all() {
		if other != s && other.config.Owner != nil {
			owners = append(owners, other.config.Owner)
		}
	}
	return owners
}

// share is how many bytes of the source's bodies may wait.
func (s *Source) share() int64 { return store.ShareOf(s.app.MaxBacklog, s.config.Share) }

// Open tells whether the store is open.
func (s *Source) Open() bool { return s.gateway.live.Load() != nil }

// Took records how long an accepted request took.
func (s *Source) Took(d time.Duration) { s.seconds.Observe(d.Seconds()) }

// Want is what one destination makes of a new event.
type Want struct {
	// Filtered tells that the destination does not want it.
	Filtered bool
	// Order is the hash of what the destination orders by; 0 for none.
	Order uint64
}

// Accept stores the event, and hands it to the dispatcher straight from memory
// where that has room. wants has one element for each destination, in the order
// in which they were registered; nil means that all want it, in any order. Once
// begun it is not given up: whoever hung up sends again, and then finds its claim.
func (s *Source) Accept(ctx context.Context, e *event.Event, claim *store.Claim, wants []Want) (store.Receipt, error) {
	l := s.gateway.live.Load()
	if l == nil {
		return store.Receipt{}, store.ErrClosed
	}
	owed := make([]store.Owed, len(s.names))
	for i, d := range s.names {
		owed[i].Destination = d.Name
		if wants != nil {
			owed[i].Filtered, owed[i].Order = wants[i].Filtered, wants[i].Order
		}
		owed[i].Lease = !owed[i].Filtered && l.dispatcher.Reserve(d, e.Size())
	}
	receipt, err := s.store(ctx, l, store.Admission{Event: e, Claim: claim, Owed: owed, Share: s.config.Share})
	for i, o := range owed {
		if o.Lease && !offered(l.dispatcher, receipt.Leases, o.Destination) {
			l.dispatcher.Cancel(s.names[i], e.Size())
		}
	}
	return receipt, err
}

// store stores an event. Once begun it is not given up. It remembers whether the
// backlog had room for it.
func (s *Source) store(ctx context.Context, l *live, a store.Admission) (store.Receipt, error) {
	receipt, err := l.store.Accept(context.WithoutCancel(ctx), a)
	switch {
	case errors.Is(err, store.ErrBacklog):
		s.refusedSize.Store(int64(a.Event.Size()))
	case err == nil && receipt.Result == store.Accepted:
		s.refusedSize.Store(0)
	}
	return receipt, err //nolint:wrapcheck // the store's sentinels are the answer
}

func offered(d *deliver.Dispatcher, leases []store.Lease, name string) bool {
	for _, lease := range leases {
		if lease.Destination.Name == name {
			d.Offer(lease)
			return true
		}
	}
	return false
}

// Counts are one source's totals since the process started.
type Counts struct {
	Accepted, Filtered, Duplicates, Revived, Differs, Unidentified, Handshakes atomic.Uint64
	// Kept is what the source's handler keeps over reloads; nobody else looks at it.
	Kept sync.Map

	diagnoses bucket

	// refusedSize is the size of the body for which the backlog had no room; 0 once
	// another one was stored after it.
	refusedSize atomic.Int64

	mu          sync.Mutex
	rejected    map[string]uint64
	unavailable map[string]uint64
	answers     map[string]uint64
	// diagnosing counts the refused requests whose reason is being looked for.
	diagnosing uint64
}

// Rejected counts a request that was refused, by reason, out of a closed set.
func (c *Counts) Rejected(reason string) { c.count(&c.rejected, reason) }

// Unavailable counts a request that was answered 503.
func (c *Counts) Unavailable(reason string) { c.count(&c.unavailable, reason) }

// Answered counts a request whose provider wanted the backend's answer: word is
// empty where it got that, else why it did not, out of a closed set.
func (c *Counts) Answered(word string) { c.count(&c.answers, word) }

// expect has each of the words counted from now on, as 0 until it happens.
func (c *Counts) expect(w Words) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, set := range []struct {
		counts *map[string]uint64
		words  []string
	}{{&c.rejected, w.Rejected}, {&c.unavailable, w.Unavailable}, {&c.answers, w.Answers}} {
		if *set.counts == nil {
			*set.counts = map[string]uint64{}
		}
		for _, word := range set.words {
			(*set.counts)[word] += 0
		}
	}
}

func (c *Counts) count(m *map[string]uint64, reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if *m == nil {
		*m = map[string]uint64{}
	}
	(*m)[reason]++
}

// reasons gives copies of what was counted by reason.
func (c *Counts) reasons() (rejected, unavailable map[string]uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.rejected), maps.Clone(c.unavailable)
}

// Answers gives a copy of what [Counts.Answered] counted.
func (c *Counts) Answers() map[string]uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.answers)
}

func (g *Gateway) countsOf(source string) *Counts {
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.counts[source]
	if c == nil {
		c = &Counts{diagnoses: bucket{rate: sourceDiagnoses}}
		g.counts[source] = c
	}
	return c
}
