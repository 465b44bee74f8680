// Package deliver says when an event is sent where: due, forward, settle. A
// first attempt, a retry and a replay are one code path.
//
// A [Dispatcher] owns the workers of all destinations. It takes deliveries from
// a [store.Queue], or straight from memory when one has just been accepted
// ([Dispatcher.Offer]), hands them to the destination's [Forwarder], and settles
// the outcome.
package deliver

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/store"
)

// Forwarder makes one attempt. It returns within ctx's deadline.
type Forwarder interface {
	Forward(ctx context.Context, t event.Try) event.Outcome
}

// Target is what the present configuration says of a destination.
type Target struct {
	Policy    Policy
	Forwarder Forwarder
	// Healthy tells whether any of its backends may be up, as far as somebody
	// checks their health; nil: nobody does. It must be quick. While it says no,
	// nothing is sent, and what waits loses no time.
	Healthy func() bool
}

// Observer is told what happens, for metrics. Its functions must not block;
// nil ones are not called.
type Observer struct {
	// Attempt is told of every attempt's end.
	Attempt func(d event.Destination, v event.Verdict, took time.Duration)
	// Lag is told how long after its receipt an event had its first attempt.
	Lag func(d event.Destination, lag time.Duration)
	// State is told when a destination goes down or comes up again, and why.
	State func(d event.Destination, from, to, why string)
	// Dead is told of every event that is given up.
	Dead func(d event.Destination, e *event.Event, out event.Outcome)
}

// The states of a destination that a dispatcher knows.
const (
	Up   = "up"
	Down = "down"
)

// Options are a dispatcher's surroundings. Only Queue is required.
type Options struct {
	Queue  store.Queue
	Logger *slog.Logger
	// Now is the clock. Default: time.Now.
	Now func() time.Time
	// Float gives jitter in [0,1). Default: math/rand.
	Float   func() float64
	Observe Observer
	// FreshEvents and FreshBytes bound, per destination, what waits in memory
	// for its first attempt. Default: 256 events, 8 MiB.
	FreshEvents int
	FreshBytes  int
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Float == nil {
		o.Float = rand.Float64
	}
	if o.FreshEvents == 0 {
		o.FreshEvents = 256
	}
	if o.FreshBytes == 0 {
		o.FreshBytes = 8 << 20
	}
	return o
}

// Dispatcher owns the workers of all destinations. Its methods are safe for
// concurrent use.
type Dispatcher struct {
	o Options

	// leasing ends when no more deliveries may be taken, attempts when running
	// ones must end.
	leasing     context.Context
	stopLeasing context.CancelFunc
	attempts    context.Context
	cutAttempts context.CancelFunc
	wg          sync.WaitGroup

	mu      sync.RWMutex
	started bool
	stopped bool
	lanes   map[event.Destination]*lane
}

// New makes a dispatcher that does nothing until Start.
func New(o Options) *Dispatcher {
	d := &Dispatcher{o: o.withDefaults(), lanes: map[event.Destination]*lane{}}
	d.leasing, d.stopLeasing = context.WithCancel(context.Background())
	d.attempts, d.cutAttempts = context.WithCancel(context.Background())
	return d
}

// Start begins delivering. Calling it twice is harmless.
func (d *Dispatcher) Start() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.started || d.stopped {
		return
	}
	d.started = true
	d.o.Queue.Wake(d.wake)
	for _, l := range d.lanes {
		d.wg.Go(l.pump)
	}
}

// Configure swaps in a configuration. Running attempts finish with the old
// one and keep their slots. A destination that is not in it keeps its events
// and gets no attempts.
func (d *Dispatcher) Configure(targets map[event.Destination]Target) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for name, l := range d.lanes {
		if _, kept := targets[name]; !kept {
			l.configure(nil)
		}
	}
	for name, t := range targets {
		t.Policy = t.Policy.WithDefaults()
		l := d.lanes[name]
		if l == nil {
			l = newLane(d, name)
			d.lanes[name] = l
			if d.started && !d.stopped {
				d.wg.Go(l.pump)
			}
		}
		l.configure(&t)
	}
}

// hangs is how long one look for work may take before it counts as hanging.
const hangs = time.Minute

// Stuck names the destinations' pumps that have been hanging for long.
func (d *Dispatcher) Stuck() (names []string) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	for name, l := range d.lanes {
		if l.pulse.Busy() > hangs {
			names = append(names, "delivery to "+name.String())
		}
	}
	slices.Sort(names)
	return names
}

// Reserve asks for room in memory for a new event of that size, which is about
// to be stored. After true, call Offer or Cancel.
func (d *Dispatcher) Reserve(name event.Destination, size int) bool {
	l := d.lane(name)
	return l != nil && l.reserve(size)
}

// Offer fills reserved room with the new event's lease.
func (d *Dispatcher) Offer(lease store.Lease) {
	if l := d.lane(lease.Destination); l != nil {
		l.offer(lease)
	}
}

// Hurry asks to send a new event, which is about to be stored, at once: whether
// nothing holds it, and a slot is free. After true, call OfferNow or CancelNow.
func (d *Dispatcher) Hurry(name event.Destination) bool {
	l := d.lane(name)
	return l != nil && l.hurry()
}

// OfferNow sends the new event for which Hurry took the slot. done is called once,
// when the attempt has been settled, with up to keep bytes of the answer; its
// outcome is [event.Aborted] if there was no attempt.
func (d *Dispatcher) OfferNow(lease store.Lease, keep int, done func(event.Outcome)) {
	d.lane(lease.Destination).offerNow(lease, keep, done) // a lane that was there stays
}

// CancelNow gives the slot back that Hurry took.
func (d *Dispatcher) CancelNow(name event.Destination) {
	d.lane(name).cancelNow()
}

// Cancel gives reserved room back.
func (d *Dispatcher) Cancel(name event.Destination, size int) {
	if l := d.lane(name); l != nil {
		l.cancel(size)
	}
}

func (d *Dispatcher) lane(name event.Destination) *lane {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.lanes[name]
}

func (d *Dispatcher) wake(name event.Destination) {
	if l := d.lane(name); l != nil {
		l.more()
	}
}

// Stop ends delivering: what waits in memory is given back at once, running
// attempts may finish until ctx ends and are then cut off and given back. It
// returns when the last goroutine has.
func (d *Dispatcher) Stop(ctx context.Context) {
	d.mu.Lock()
	d.stopped = true
	d.mu.Unlock()
	d.stopLeasing()
	done := make(chan struct{})
	go func() {
		d.wg.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
	d.cutAttempts()
	<-done
	d.mu.RLock()
	defer d.mu.RUnlock()
	for _, l := range d.lanes {
		l.giveBack()
	}
}

// Stats tells how each destination is doing.
func (d *Dispatcher) Stats() []Stats {
	d.mu.RLock()
	defer d.mu.RUnlock()
	list := make([]Stats, 0, len(d.lanes))
	for _, l := range d.lanes {
		list = append(list, l.stats())
	}
	return list
}

// Stats is how one destination is doing.
type Stats struct {
	event.Destination
	// Orphaned tells that the configuration does not name it any more.
	Orphaned bool
	// Running is the number of attempts under way, Limit how many may be.
	Running, Limit int
	// Fresh is the number of new events that wait in memory.
	Fresh int
	// HeldUntil is until when the backend asked to be left alone; zero if not.
	HeldUntil time.Time
	// Down tells that the destination does not work: its breaker is open, or its
	// health checks say so. DownSince and Why tell since when and for what reason,
	// and NextProbe when it is looked at again.
	Down      bool
	DownSince time.Time
	Why       string
	NextProbe time.Time
	// Rate is the most attempts per second; 0: no limit.
	Rate float64
	// Failures counts the failed attempts since the last success.
	Failures int
	// FailingSince is when the first of them was.
	FailingSince time.Time
	// LastError is the last of them in words.
	LastError string
	// Delivered counts the successes of this process.
	Delivered uint64
	// Truncated counts 2xx answers that were cut short.
	Truncated uint64
}
