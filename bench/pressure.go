package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/deliver"
	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/store"
	"github.com/caddy-webhooks/caddy-webhooks/store/local"
)

// These two stages leave Caddy out: what they measure is when events are sent,
// by the real store on the disk and the real dispatcher, to a backend that is a
// function in the same process.

var target = event.Destination{Source: "github", Name: "default"}

// owed is one more event for the destination.
func owed(k uint64, order uint64) store.Admission {
	a := unwanted(k)
	a.Claim, a.Owed = nil, []store.Owed{{Destination: target.Name, Order: order}}
	return a
}

// fill has n events wait.
func fill(s store.Store, n int, order func(k uint64) uint64) error {
	var next atomic.Uint64
	errs := make([]error, 128)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() {
			for k := next.Add(1); k <= uint64(n) && errs[i] == nil; k = next.Add(1) {
				_, errs[i] = s.Accept(context.Background(), owed(k, order(k)))
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// forwarder is a backend.
type forwarder func(ctx context.Context, t event.Try) event.Outcome

// Forward makes an attempt.
func (f forwarder) Forward(ctx context.Context, t event.Try) event.Outcome {
	began := time.Now()
	out := f(ctx, t)
	out.Number, out.At, out.Duration = t.Number, began, time.Since(began)
	return out
}

func taken() event.Outcome {
	return event.Outcome{Verdict: event.Done, Attempt: event.Attempt{Status: 200}}
}

// inStore opens a store in a directory of its own.
func inStore(p plan, name string, f func(store.Store) error) (err error) {
	dir := filepath.Join(p.dir, name)
	s, err := local.Open(local.Options{Dir: dir})
	if err != nil {
		return fmt.Errorf("opening the store: %w", err)
	}
	defer func() { err = errors.Join(err, s.Close(), os.RemoveAll(dir)) }()
	return f(s)
}

// deliverAll has a dispatcher deliver until n events are, and tells how long
// that took.
func deliverAll(s store.Store, n int, o deliver.Options, p deliver.Policy, f forwarder) time.Duration {
	var done atomic.Int64
	ready := make(chan struct{})
	counted := forwarder(func(ctx context.Context, t event.Try) event.Outcome {
		out := f(ctx, t)
		if out.Verdict == event.Done && done.Add(1) == int64(n) {
			close(ready)
		}
		return out
	})
	o.Queue = s
	d := deliver.New(o)
	d.Configure(map[event.Destination]deliver.Target{target: {Policy: p, Forwarder: counted}})
	began := time.Now()
	d.Start()
	<-ready
	took := time.Since(began)
	d.Stop(context.Background())
	return took
}

// ordered measures deliveries with and without an order, and what a million
// keys that wait take of memory.
func ordered(p plan) error {
	say("\nDeliveries of %d waiting events to a backend that answers at once, 64 at a time:", p.waiting)
	for _, c := range []struct {
		name  string
		order func(uint64) uint64
	}{
		{"without order", func(uint64) uint64 { return 0 }},
		{"1,000 keys", func(k uint64) uint64 { return k%1000 + 1 }},
		{"a key for each", func(k uint64) uint64 { return k }},
	} {
		err := inStore(p, "ordered", func(s store.Store) error {
			if err := fill(s, p.waiting, c.order); err != nil {
				return err
			}
			took := deliverAll(s, p.waiting, deliver.Options{}, deliver.Policy{Concurrency: 64},
				func(context.Context, event.Try) event.Outcome { return taken() })
			say("  %-15s %8.0f/s", c.name, float64(p.waiting)/took.Seconds())
			return nil
		})
		if err != nil {
			return err
		}
	}
	say("Memory with %d waiting events:", p.claims)
	for _, c := range []struct {
		name  string
		order func(uint64) uint64
	}{{"without order", func(uint64) uint64 { return 0 }}, {"a key for each", func(k uint64) uint64 { return k }}} {
		err := inStore(p, "waiting", func(s store.Store) error {
			before := heap()
			if err := fill(s, p.claims, c.order); err != nil {
				return err
			}
			say("  %-15s %6.1f MiB of heap", c.name, float64(heap()-before)/(1<<20))
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// frail is a backend with one worker and room for four who wait; more push it
// over.
type frail struct {
	takes        time.Duration
	mu           sync.Mutex
	inside, most atomic.Int64
	falls        atomic.Int64
}

func (f *frail) answer(context.Context, event.Try) event.Outcome {
	inside := f.inside.Add(1)
	defer f.inside.Add(-1)
	for most := f.most.Load(); inside > most && !f.most.CompareAndSwap(most, inside); most = f.most.Load() {
	}
	if inside > 5 {
		f.falls.Add(1)
		return event.Outcome{Attempt: event.Attempt{Status: 502, Error: "fell over"}}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	<-time.After(f.takes)
	return taken()
}

// pressure measures how a backlog drains into a backend that bears little, and
// how long new events wait meanwhile.
func pressure(p plan) error {
	events := p.waiting / 10
	return inStore(p, "pressure", func(s store.Store) error {
		idle, _, err := lags(s, 200, func(context.Context, event.Try) event.Outcome { return taken() })
		if err != nil {
			return err
		}
		if err := fill(s, events, func(uint64) uint64 { return 0 }); err != nil {
			return err
		}
		b := &frail{takes: 4 * time.Millisecond}
		one := measure(b)
		busy, took, err := lags(s, 200, b.answer)
		ideal := time.Duration(events+200) * one
		say("\nA backlog of %d events and a backend that bears one every %v, with room for four more:", events, one.Round(10*time.Microsecond))
		say("  drained in %v, ideally %v (%.2f); at most %d at once; pushed over %d times", took.Round(time.Millisecond),
			ideal.Round(time.Millisecond), took.Seconds()/ideal.Seconds(), b.most.Load(), b.falls.Load())
		say("  from acceptance to first attempt, p50 and p99: idle %v %v; while it drains %v %v",
			idle[len(idle)/2], idle[len(idle)*99/100], busy[len(busy)/2], busy[len(busy)*99/100])
		return err
	})
}

// measure tells how long the backend really takes for one event.
func measure(b *frail) time.Duration {
	began := time.Now()
	for range 100 {
		b.answer(context.Background(), event.Try{})
	}
	return time.Since(began) / 100
}

func pending(s store.Store) (n int64) {
	for _, d := range s.Stats().Destinations {
		n += d.Count[event.Pending]
	}
	return n
}

// lags feeds n new events, one every ten milliseconds, to a dispatcher that may
// have a backlog, and waits until everything is delivered. It gives the new
// ones' waits for a first attempt, the shortest first, and how long it all took.
func lags(s store.Store, n int, f forwarder) ([]time.Duration, time.Duration, error) {
	var mu sync.Mutex
	waits, began := []time.Duration{0}, time.Now()
	d := deliver.New(deliver.Options{Queue: s, Observe: deliver.Observer{Lag: func(_ event.Destination, lag time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		if lag < time.Since(began) { // what was accepted before is backlog
			waits = append(waits, lag)
		}
	}}})
	d.Configure(map[event.Destination]deliver.Target{target: {Forwarder: f}})
	d.Start()
	defer d.Stop(context.Background())
	for k := range n {
		<-time.After(10 * time.Millisecond)
		if err := offer(d, s, owed(uint64(1<<40+k), 0)); err != nil {
			return waits, 0, err
		}
	}
	for pending(s) > 0 {
		<-time.After(10 * time.Millisecond)
	}
	took := time.Since(began)
	mu.Lock()
	defer mu.Unlock()
	slices.Sort(waits)
	return waits, took, nil
}

// offer stores an event and hands it over, as the gateway does.
func offer(d *deliver.Dispatcher, s store.Store, a store.Admission) error {
	size := a.Event.Size()
	a.Owed[0].Lease = d.Reserve(target, size)
	r, err := s.Accept(context.Background(), a)
	for _, l := range r.Leases {
		d.Offer(l)
	}
	if a.Owed[0].Lease && len(r.Leases) == 0 {
		d.Cancel(target, size)
	}
	return err //nolint:wrapcheck // it names the event's source
}
