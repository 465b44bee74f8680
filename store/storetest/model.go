package storetest

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/store"
)

// Model drives a store with random operations, the same for equal seeds, and
// compares every answer, and at the end everything stored, with a plain model.
//
// Reopening and, where the harness can, crashing are among the operations.
// After a crash outcomes may be undone, the latest first for each delivery; an
// Accept that answered ErrUnavailable must never be seen again; a Command that
// did so may have happened whole or not at all. Nothing else is allowed.
func Model(t *testing.T, h Harness, seed uint64, ops int) {
	t.Helper()
	r := newRig(t, h, Options{})
	m := &model{
		rig: r, random: rand.New(rand.NewPCG(seed, 1)), claims: map[int]*stored{}, paused: map[string]bool{},
		leases: map[*parcel]store.Lease{}, known: map[string]bool{},
	}
	for i := range ops {
		m.step()
		if t.Failed() {
			t.Fatalf("seed %d, operation %d", seed, i)
		}
	}
	m.finish()
}

// parcel is a delivery as the model has it.
type parcel struct {
	name string
	// order is the key that it is ordered by, 0 for none, and place its place.
	order, place int
	state        event.State
	attempts     int
	next         time.Time
	replay       bool
	discarding   bool
	deliveredAt  time.Time
	until        time.Time // of its lease; zero if it does not run out
	// history counts the outcomes that were recorded.
	history int
}

// stored is an event as the model has it.
type stored struct {
	id      event.ID
	tag     string
	body    string
	digest  uint64
	expires time.Time
	parcels []*parcel
	// undo has what each parcel was before outcomes that may not be durable yet.
	undo map[*parcel][]parcel
}

func (e *stored) parcel(name string) *parcel {
	for _, p := range e.parcels {
		if p.name == name {
			return p
		}
	}
	return nil
}

func (e *stored) alive(now time.Time) bool {
	return now.Before(e.expires) || slices.ContainsFunc(e.parcels, func(p *parcel) bool {
		return p.state == event.Pending || p.state == event.Dead
	})
}

type model struct {
	*rig
	random *rand.Rand
	events []*stored // in order of acceptance
	claims map[int]*stored
	leases map[*parcel]store.Lease
	paused map[string]bool
	known  map[string]bool
	tags   int
	places int
	// refusals lists the webhooks that were answered with an error.
	refusals []string
}

// step does one operation.
func (m *model) step() {
	m.Helper()
	switch n := m.random.IntN(100); {
	case n < 30:
		m.accept()
	case n < 48:
		m.lease(m.name())
	case n < 66:
		m.settleSome()
	case n < 72:
		m.releaseSome()
	case n < 86:
		m.act()
	case n < 90:
		m.pause()
	case n < 96:
		m.clock.advance(time.Duration(m.random.IntN(1200)) * time.Second)
	default:
		m.restart()
	}
	if len(m.events) > 0 {
		m.compare(m.events[m.random.IntN(len(m.events))])
	}
}

func (m *model) name() string { return []string{"one", "two", "three"}[m.random.IntN(3)] }

// accept offers a webhook, often a repeat.
func (m *model) accept() {
	m.Helper()
	m.tags++
	tag, key := fmt.Sprintf("tag-%d", m.tags), m.random.IntN(12)
	a := m.admission(tag, "one", "two")
	a.Claim = claim(fmt.Sprintf("claim %d", key))
	a.Claim.Digest = m.random.Uint64N(3)
	if key == 0 {
		a.Claim = nil
	}
	for i := range a.Owed {
		a.Owed[i].Order = uint64(max(m.random.IntN(5)-1, 0))
		a.Owed[i].Filtered = m.random.IntN(4) == 0
		a.Owed[i].Lease = m.random.IntN(4) == 0
	}
	got, err := m.s.Accept(m.Context(), a)
	known := m.claims[key]
	if a.Claim == nil || known != nil && !known.alive(m.clock.Now()) {
		known = nil
	}
	switch {
	case errors.Is(err, store.ErrUnavailable):
		m.refusals = append(m.refusals, tag)
		if known != nil {
			m.adopt(known, func() { m.revive(known, a) })
		}
	case err != nil:
		m.Fatalf("accepting %s: %v", tag, err)
	case known != nil:
		m.repeated(known, a, got)
	default:
		m.added(key, tag, a, got)
	}
}

// revive does to the model what a repeat does; it tells whether that is anything.
func (m *model) revive(e *stored, a store.Admission) (changed bool) {
	for _, p := range e.parcels {
		wanted := slices.ContainsFunc(a.Owed, func(o store.Owed) bool { return o.Destination == p.name && !o.Filtered })
		if p.state == event.Dead || p.state == event.Filtered && wanted {
			p.state, p.attempts, p.next, changed = event.Pending, 0, m.clock.Now(), true
			m.place(p)
			delete(e.undo, p)
		}
	}
	return changed
}

func (m *model) repeated(e *stored, a store.Admission, got store.Receipt) {
	m.Helper()
	want := store.Duplicate
	if m.revive(e, a) {
		want = store.Revived
	}
	if got.Result != want || got.ID != e.id || got.Differs != (a.Claim.Digest != e.digest) || len(got.Leases) != 0 {
		m.Fatalf("repeat of %s: %+v, want %v of %v", e.tag, got, want, e.id)
	}
}

func (m *model) added(key int, tag string, a store.Admission, got store.Receipt) {
	m.Helper()
	e := &stored{id: got.ID, tag: tag, body: string(a.Event.Body), undo: map[*parcel][]parcel{}}
	if a.Claim != nil {
		e.digest, e.expires = a.Claim.Digest, m.clock.Now().Add(window)
		m.claims[key] = e
	}
	want, leases := store.Filtered, 0
	for _, o := range a.Owed {
		p := &parcel{name: o.Destination, state: event.Filtered, order: int(o.Order)}
		m.place(p)
		m.known[p.name] = true
		e.parcels = append(e.parcels, p)
		if o.Filtered {
			continue
		}
		want, p.state, p.next = store.Accepted, event.Pending, m.clock.Now()
		if o.Lease && !m.paused[p.name] && !m.blocked(p) {
			leases++
			i := slices.IndexFunc(got.Leases, func(l store.Lease) bool { return l.Destination == dest(p.name) })
			if i < 0 {
				m.Fatalf("%s: no lease to %s", tag, p.name)
			}
			m.leases[p] = got.Leases[i]
		}
	}
	if n := len(m.events); n > 0 && got.Seq <= m.get(m.events[n-1].id).Seq {
		m.Fatalf("%s has sequence %d, not after the one before", tag, got.Seq)
	}
	if got.Result != want || len(got.Leases) != leases {
		m.Fatalf("%s: %+v, want %v with %d leases", tag, got, want, leases)
	}
	m.events = append(m.events, e)
}

// lease takes all that is due to a destination.
func (m *model) lease(name string) {
	m.Helper()
	now := m.clock.Now()
	due := m.due(name, now)
	until := now.Add(10 * time.Minute)
	m.eventually(func() error {
		got, _, err := m.s.Lease(m.Context(), dest(name), store.LeaseRequest{Now: now, Until: until, Max: 1000, MaxBytes: 1 << 30})
		if err != nil {
			m.Fatalf("leasing for %s: %v", name, err)
		}
		for _, l := range got {
			p := due[l.Event.ID]
			if p == nil || l.Attempt <= p.attempts || l.Replay != p.replay {
				m.Fatalf("leased %+v for %s, the model has %+v", l, name, p)
			}
			delete(due, l.Event.ID)
			m.leases[p], p.until = l, until
		}
		if len(due) > 0 {
			return fmt.Errorf("%d deliveries to %s are due and not leased", len(due), name)
		}
		return nil
	})
}

// due takes back the leases that ran out, and lists what must be leased now.
func (m *model) due(name string, now time.Time) map[event.ID]*parcel {
	due := map[event.ID]*parcel{}
	for _, e := range m.events {
		p := e.parcel(name)
		if p == nil {
			continue
		}
		if _, held := m.leases[p]; held && !p.until.IsZero() && !p.until.After(now) {
			m.lose(p)
		}
		if _, held := m.leases[p]; p.state == event.Pending && !held && !p.next.After(now) && !m.paused[name] {
			due[e.id] = p
		}
	}
	maps.DeleteFunc(due, func(_ event.ID, p *parcel) bool { return m.blocked(p) })
	return due
}

// place gives a parcel its place behind all others.
func (m *model) place(p *parcel) {
	m.places++
	p.place = m.places
}

// blocked tells whether a parcel waits for another of its key.
func (m *model) blocked(p *parcel) bool {
	return p.order != 0 && slices.ContainsFunc(m.events, func(e *stored) bool {
		o := e.parcel(p.name)
		return o != nil && o.order == p.order && o.state == event.Pending && o.place < p.place
	})
}

// lose ends a lease without an outcome.
func (m *model) lose(p *parcel) {
	delete(m.leases, p)
	p.until, p.next = time.Time{}, m.clock.Now()
	if p.discarding {
		p.state, p.discarding, p.next = event.Discarded, false, time.Time{}
	}
}

// some lists held leases in a fixed order, each with even odds.
func (m *model) some(f func(*stored, *parcel, store.Lease)) {
	for _, e := range m.events {
		for _, p := range e.parcels {
			if l, held := m.leases[p]; held && m.random.IntN(2) == 0 {
				f(e, p, l)
			}
		}
	}
}

// settleSome records outcomes, some of them twice, and waits until they show.
func (m *model) settleSome() {
	m.Helper()
	var changed []*stored
	m.some(func(e *stored, p *parcel, l store.Lease) {
		if m.random.IntN(2) == 0 {
			if err := m.s.Begin(l); errors.Is(err, store.ErrPaused) != m.paused[p.name] || err != nil && !m.paused[p.name] {
				m.Fatalf("beginning %s to %s: %v; it is paused: %v", e.tag, p.name, err, m.paused[p.name])
			}
		}
		v := m.outcome(l, []event.State{event.Delivered, event.Dead, event.Pending}[m.random.IntN(3)])
		if err := m.s.Settle(l, v); err != nil {
			m.Fatalf("settling %s to %s: %v", e.tag, p.name, err)
		}
		if err := m.s.Settle(l, v); !errors.Is(err, store.ErrStale) {
			m.Fatalf("settling %s to %s twice: %v, want %v", e.tag, p.name, err, store.ErrStale)
		}
		m.settled(e, p, l, v)
		changed = append(changed, e)
	})
	for _, e := range changed {
		m.compare(e)
	}
}

func (m *model) settled(e *stored, p *parcel, l store.Lease, v store.Settlement) {
	delete(m.leases, p)
	e.undo[p] = append(e.undo[p], *p)
	discarding := p.discarding
	p.attempts, p.next, p.until, p.discarding = l.Attempt, time.Time{}, time.Time{}, false
	p.history++
	switch {
	case v.State == event.Delivered:
		p.state = event.Delivered
		if p.deliveredAt.IsZero() {
			p.deliveredAt = v.Attempt.At.Add(v.Attempt.Duration)
		}
	case discarding:
		p.state = event.Discarded
	case v.State == event.Dead:
		p.state = event.Dead
	default:
		p.next = v.Next
	}
}

func (m *model) releaseSome() {
	m.Helper()
	var changed []*stored
	m.some(func(e *stored, p *parcel, l store.Lease) {
		if err := m.s.Release(l); err != nil {
			m.Fatalf("releasing %s to %s: %v", e.tag, p.name, err)
		}
		m.lose(p)
		changed = append(changed, e)
	})
	for _, e := range changed {
		m.compare(e)
	}
}
