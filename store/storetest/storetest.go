// Package storetest holds every store to the contract of package store.
//
// [Run] is the conformance suite: what every implementation must do, one case
// per promise, through the public interface alone. [Model] drives a store with
// random operations and compares every answer with a plain model of its own.
// Both take a [Harness], which knows how to open the store, and, where it can,
// how to close and reopen or to kill it.
package storetest

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/store"
)

// Options are what a case asks of the store that it wants opened.
type Options struct {
	// Now is the clock that the case advances.
	Now func() time.Time
	// MaxBacklog bounds undelivered bodies; 0 means the store's default.
	MaxBacklog int64
}

// Harness says how to come by the store under test.
type Harness struct {
	// Open makes an empty store, and cleans up after the test whatever it made.
	// The store is closed by the suite or by the harness: Close must bear both.
	Open func(t *testing.T, o Options) store.Store
	// Reopen closes the store and opens the same one again with the same
	// options; what it does to the files in between (such as deleting the index)
	// is its own affair. Nil if the store cannot be reopened.
	Reopen func(t *testing.T, s store.Store) store.Store
	// Crash kills the store and opens it again: outcomes that were not synced may
	// be undone. Nil if it cannot. Only [Model] uses it.
	Crash func(t *testing.T, s store.Store) store.Store
	// Always makes the suite reopen the store before every operation, except
	// while a case holds a lease, which a reopening would take from it.
	Always bool
}

// patience bounds the waiting for something that a store does behind the
// caller's back. It is never waited out unless the store is wrong.
const patience = 20 * time.Second

// clock is the time that the store sees.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// rig holds the store under test for one case.
type rig struct {
	*testing.T
	h     Harness
	clock *clock
	s     store.Store
	// held counts the leases that the case has, by token.
	held map[uint64]bool
	// woken gets every destination that the store tells of.
	woken chan event.Destination
	// shut tells that the case closed the store, so that nothing is left to check.
	shut bool
}

func newRig(t *testing.T, h Harness, o Options) *rig {
	t.Helper()
	c := &clock{now: time.Date(2027, 1, 15, 12, 0, 0, 0, time.UTC)}
	o.Now = c.Now
	r := &rig{T: t, h: h, clock: c, s: h.Open(t, o), held: map[uint64]bool{}, woken: make(chan event.Destination, 4096)}
	r.listen()
	return r
}

// listen registers for waking; it never blocks the store.
func (r *rig) listen() {
	woken := r.woken
	r.s.Wake(func(d event.Destination) {
		select {
		case woken <- d:
		default:
		}
	})
}

// reopen closes the store and opens it again.
func (r *rig) reopen() {
	r.Helper()
	r.s = r.h.Reopen(r.T, r.s)
	clear(r.held)
	r.listen()
}

// store gives the store for the next operation.
func (r *rig) store() store.Store {
	r.Helper()
	if r.h.Always && r.h.Reopen != nil && len(r.held) == 0 {
		r.reopen()
	}
	return r.s
}

// eventually waits until f has nothing to complain about.
func (r *rig) eventually(f func() error) {
	r.Helper()
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		err := f()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			r.Fatalf("after %v still: %v", patience, err)
		}
	}
}

const source = "shop"

func dest(name string) event.Destination { return event.Destination{Source: source, Name: name} }

// window is what claims get where a case does not say otherwise.
const window = time.Hour

// admission makes a webhook of the source shop. Without destinations it owes
// one, "default".
func (r *rig) admission(id string, to ...string) store.Admission {
	if len(to) == 0 {
		to = []string{"default"}
	}
	e := &event.Event{
		Source: source, Provider: "github", ProviderID: id, Type: "push", Secret: "ab12", Received: r.clock.Now(),
		Method: http.MethodPost, URI: "/a", OriginalURI: "/a", Proto: "HTTP/1.1", Host: "example.com",
		RemoteAddr: "192.0.2.1:99", ClientIP: "192.0.2.1", Header: http.Header{"X-A": {"1"}}, Body: []byte("body of " + id),
	}
	a := store.Admission{Event: e, Claim: claim(id)}
	for _, name := range to {
		a.Owed = append(a.Owed, store.Owed{Destination: name})
	}
	return a
}

func claim(id string) *store.Claim {
	c := &store.Claim{Digest: uint64(len(id)), Window: window}
	copy(c.Key[:], id)
	return c
}

// offer lets the store accept a webhook, which it must.
func (r *rig) offer(a store.Admission) store.Receipt {
	r.Helper()
	receipt, err := r.store().Accept(r.Context(), a)
	if err != nil {
		r.Fatalf("accepting %s: %v", a.Event.ProviderID, err)
	}
	for _, l := range receipt.Leases {
		r.held[l.Token] = true
	}
	return receipt
}

// accept is offer for a new webhook.
func (r *rig) accept(id string, to ...string) event.ID {
	r.Helper()
	receipt := r.offer(r.admission(id, to...))
	if receipt.Result != store.Accepted || receipt.ID.IsZero() || receipt.Seq == 0 {
		r.Fatalf("%s: %+v, want accepted", id, receipt)
	}
	return receipt.ID
}

// expect offers a webhook and compares the answer.
func (r *rig) expect(a store.Admission, want store.Result, id event.ID) {
	r.Helper()
	if got := r.offer(a); got.Result != want || got.ID != id {
		r.Fatalf("%s: %v %v, want %v %v", a.Event.ProviderID, got.Result, got.ID, want, id)
	}
}

// lease asks once.
func (r *rig) lease(d event.Destination, most int) []store.Lease {
	r.Helper()
	leases, _ := r.leaseNext(d, most)
	return leases
}

func (r *rig) leaseNext(d event.Destination, most int) ([]store.Lease, time.Time) {
	r.Helper()
	now := r.clock.Now()
	leases, next, err := r.store().Lease(r.Context(), d, store.LeaseRequest{
		Now: now, Until: now.Add(time.Minute), Max: most, MaxBytes: 1 << 30,
	})
	if err != nil {
		r.Fatalf("leasing for %v: %v", d, err)
	}
	for _, l := range leases {
		r.held[l.Token] = true
	}
	return leases, next
}

// take leases exactly n deliveries, waiting until they have come back if need be.
func (r *rig) take(d event.Destination, n int) []store.Lease {
	r.Helper()
	var leases []store.Lease
	r.eventually(func() error {
		leases = append(leases, r.lease(d, n+1)...)
		if len(leases) < n {
			return fmt.Errorf("%d of %d deliveries to %v are due", len(leases), n, d)
		}
		return nil
	})
	if len(leases) > n {
		r.Fatalf("%d deliveries to %v are due, want %d", len(leases), d, n)
	}
	return leases
}

// one leases the only delivery that is due, and wants it to be of that event.
func (r *rig) one(d event.Destination, id event.ID) store.Lease {
	r.Helper()
	l := r.take(d, 1)[0]
	if l.Event == nil || l.Event.ID != id || l.Destination != d {
		r.Fatalf("leased %+v, want event %v to %v", l, id, d)
	}
	return l
}

// nothing wants nothing to be due.
func (r *rig) nothing(d event.Destination) {
	r.Helper()
	if leases := r.lease(d, 10); len(leases) != 0 {
		r.Fatalf("to %v are due %d deliveries, want none: %+v", d, len(leases), leases[0])
	}
}

// outcome is a settlement of the lease as a worker would make it.
func (r *rig) outcome(l store.Lease, state event.State) store.Settlement {
	now := r.clock.Now()
	v := store.Settlement{State: state, Spent: l.Spent + time.Second, Attempt: event.Attempt{
		Destination: l.Destination.Name, Number: l.Attempt, At: now, Duration: time.Millisecond, Status: http.StatusOK,
		Header: http.Header{"X-Answer": {"yes"}}, Answer: []byte("answer"),
	}}
	if state != event.Delivered {
		v.Attempt.Status, v.Attempt.Error = http.StatusBadGateway, "backend answered 502"
	}
	if state == event.Pending {
		v.Next = now.Add(time.Minute)
	}
	return v
}

// settle records an outcome and waits until it is to be seen.
func (r *rig) settle(l store.Lease, state event.State) {
	r.Helper()
	before := len(r.get(l.Event.ID).Attempts)
	if err := r.s.Settle(l, r.outcome(l, state)); err != nil {
		r.Fatalf("settling %v: %v", l.Event.ID, err)
	}
	r.eventually(func() error {
		v := r.get(l.Event.ID)
		if d := delivery(v.Row, l.Destination.Name); len(v.Attempts) != before+1 || d.InFlight {
			return fmt.Errorf("%d attempts of %v, want %d: %+v", len(v.Attempts), l.Event.ID, before+1, d)
		}
		return nil
	})
	delete(r.held, l.Token)
}

// through takes the only due delivery, which must be of that event, and settles it.
func (r *rig) through(id event.ID, name string, state event.State) {
	r.Helper()
	r.settle(r.one(dest(name), id), state)
}

// command carries out an action, which must be possible.
func (r *rig) command(c store.Command) store.Done {
	r.Helper()
	done, err := r.store().Command(r.Context(), c)
	if err != nil {
		r.Fatalf("%v: %v", c.Action, err)
	}
	return done
}

// get reads an event, which must exist, without reopening the store before.
func (r *rig) get(id event.ID) store.Record {
	r.Helper()
	v, err := r.s.Get(r.Context(), id)
	if err != nil {
		r.Fatalf("event %v: %v", id, err)
	}
	return v
}

// delivery finds a delivery by its destination's name; zero if there is none.
func delivery(row store.Row, name string) event.Delivery {
	for _, d := range row.Deliveries {
		if d.Destination == name {
			return d
		}
	}
	return event.Delivery{}
}

// becomes waits until a delivery is in a state, and gives it.
func (r *rig) becomes(id event.ID, name string, want event.State) (d event.Delivery) {
	r.Helper()
	r.store()
	r.eventually(func() error {
		if d = delivery(r.get(id).Row, name); d.State != want {
			return fmt.Errorf("event %v to %s is %v, want %v", id, name, d.State, want)
		}
		return nil
	})
	return d
}

// all lists what a filter finds, page after page.
func (r *rig) all(f store.Filter) []store.Row {
	r.Helper()
	var rows []store.Row
	for {
		page, err := r.s.Query(r.Context(), f)
		if err != nil {
			r.Fatalf("query %+v: %v", f, err)
		}
		rows = append(rows, page.Rows...)
		if page.Next == 0 {
			return rows
		}
		cursor, onward := &f.Before, func(from uint64) bool { return from == 0 || page.Next < from }
		if f.OldestFirst {
			cursor, onward = &f.After, func(from uint64) bool { return page.Next > from }
		}
		if !onward(*cursor) {
			r.Fatalf("cursor went from %d to %d", *cursor, page.Next)
		}
		*cursor = page.Next
	}
}
