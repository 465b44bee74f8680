package storetest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/store"
)

// act carries out a random command on a random event.
func (m *model) act() {
	m.Helper()
	if len(m.events) == 0 {
		return
	}
	e := m.events[m.random.IntN(len(m.events))]
	c := store.Command{Action: []store.Action{store.Replay, store.Discard, store.Move}[m.random.IntN(3)], Event: e.id, Who: "model"}
	if m.random.IntN(2) == 0 {
		c.Destination = m.name()
	}
	if c.Action == store.Move {
		c.Target = dest("three")
	}
	got, err := m.s.Command(m.Context(), c)
	if errors.Is(err, store.ErrUnavailable) {
		m.adopt(e, func() { _, _ = m.apply(e, c) })
		return
	}
	want, refused := m.apply(e, c)
	slices.Sort(got.Changed)
	slices.Sort(got.Deferred)
	slices.Sort(want.Changed)
	slices.Sort(want.Deferred)
	if !errors.Is(err, refused) || fmt.Sprint(got) != fmt.Sprint(want) {
		m.Fatalf("%v of %s to %q: %+v, %v; want %+v, %v", c.Action, e.tag, c.Destination, got, err, want, refused)
	}
	m.compare(e)
}

// apply does a command to the model.
func (m *model) apply(e *stored, c store.Command) (done store.Done, refused error) {
	known := false
	for _, p := range slices.Clone(e.parcels) {
		if c.Destination != "" && c.Destination != p.name {
			continue
		}
		known = true
		_, held := m.leases[p]
		changed, err := m.applyTo(e, p, c, held)
		switch {
		case err != nil && refused == nil:
			refused = err
		case changed:
			done.Changed = append(done.Changed, p.name)
			delete(e.undo, p)
		case err == nil && p.discarding:
			done.Deferred = append(done.Deferred, p.name)
		}
	}
	if !known {
		refused = store.ErrUnknown
	}
	if len(done.Changed)+len(done.Deferred) > 0 {
		refused = nil
	}
	return done, refused
}

func (m *model) applyTo(e *stored, p *parcel, c store.Command, held bool) (changed bool, err error) {
	switch {
	case c.Action == store.Replay:
		return m.replay(p, c.Destination != "", held)
	case c.Action == store.Move:
		return m.move(e, p, held)
	case p.state == event.Delivered:
		return false, store.ErrConflict
	case held:
		p.discarding = true
		return false, nil
	case p.state == event.Pending, p.state == event.Dead:
		p.state, p.next = event.Discarded, time.Time{}
		return true, nil
	}
	return false, nil
}

func (m *model) replay(p *parcel, named, held bool) (bool, error) {
	if held {
		return false, store.ErrInFlight
	}
	if p.state == event.Filtered && !named {
		return false, store.ErrConflict
	}
	if p.state != event.Pending {
		p.replay = true
		m.place(p)
	}
	p.state, p.attempts, p.next = event.Pending, 0, m.clock.Now()
	return true, nil
}

func (m *model) move(e *stored, p *parcel, held bool) (bool, error) {
	if e.parcel("three") != nil {
		return false, store.ErrConflict
	}
	if held {
		return false, store.ErrInFlight
	}
	if p.state != event.Pending && p.state != event.Dead {
		return false, store.ErrConflict
	}
	m.known["three"] = true
	p.state, p.next = event.Discarded, time.Time{}
	there := &parcel{name: "three", state: event.Pending, next: m.clock.Now(), order: p.order}
	m.place(there)
	e.parcels = append(e.parcels, there)
	return true, nil
}

func (m *model) pause() {
	m.Helper()
	name := m.name()
	action := []store.Action{store.Pause, store.Resume, store.Resume}[m.random.IntN(3)]
	if !m.known[name] {
		return
	}
	got, err := m.s.Command(m.Context(), store.Command{Action: action, Target: dest(name)})
	was, want := m.paused[name], action == store.Pause
	if errors.Is(err, store.ErrUnavailable) {
		want = m.pausedNow(name)
	} else if err != nil || (len(got.Changed) == 1) != (was != want) {
		m.Fatalf("%v of %s: %+v, %v; it was paused: %v", action, name, got, err, was)
	}
	m.paused[name] = want
}

func (m *model) pausedNow(name string) bool {
	return slices.ContainsFunc(m.s.Stats().Destinations, func(d store.DestinationStats) bool {
		return d.Destination == dest(name) && d.Paused
	})
}

// restart closes and reopens, or crashes, if the harness can.
func (m *model) restart() {
	m.Helper()
	crash := m.h.Crash != nil && (m.h.Reopen == nil || m.random.IntN(2) == 0)
	switch {
	case crash:
		m.s = m.h.Crash(m.T, m.s)
	case m.h.Reopen != nil:
		m.s = m.h.Reopen(m.T, m.s)
	default:
		return
	}
	m.listen()
	for p := range maps.Clone(m.leases) {
		m.lose(p)
	}
	for _, e := range m.events {
		if crash {
			m.undone(e)
		}
		clear(e.undo)
		m.compare(e)
	}
}

// undone finds out how many outcomes of each delivery a crash has undone.
func (m *model) undone(e *stored) {
	got := m.get(e.id)
	for p, snapshots := range e.undo {
		history := 0
		for _, a := range got.Attempts {
			if a.Destination == p.name {
				history++
			}
		}
		for _, old := range snapshots {
			if old.history == history {
				*p = old
				m.lose(p)
			}
		}
	}
}

// adopt lets the model follow the store in a command that may have happened or not.
func (m *model) adopt(e *stored, apply func()) {
	m.Helper()
	before := make([]parcel, len(e.parcels))
	for i, p := range e.parcels {
		before[i] = *p
	}
	if m.differs(e) == nil {
		return
	}
	apply()
	if err := m.differs(e); err != nil {
		m.Fatalf("%s is neither as before (%+v) nor as wanted: %v", e.tag, before, err)
	}
}

// compare wants the store to show what the model has, before long.
func (m *model) compare(e *stored) {
	m.Helper()
	m.eventually(func() error { return m.differs(e) })
}

func (m *model) differs(e *stored) error {
	v, err := m.s.Get(m.Context(), e.id)
	if err != nil {
		return fmt.Errorf("%s: %w", e.tag, err)
	}
	if v.Event == nil || string(v.Event.Body) != e.body || v.ProviderID != e.tag || len(v.Deliveries) != len(e.parcels) {
		return fmt.Errorf("%s is stored as %+v", e.tag, v)
	}
	history := 0
	for _, p := range e.parcels {
		d := delivery(v.Row, p.name)
		_, held := m.leases[p]
		history += p.history
		if !p.shown(d) || d.InFlight != held || !m.sameDue(d.Next, p) {
			return fmt.Errorf("%s to %s is %+v, held %v; want %+v", e.tag, p.name, d, held, *p)
		}
	}
	if len(v.Attempts) != history {
		return fmt.Errorf("%s has %d attempts, want %d", e.tag, len(v.Attempts), history)
	}
	return nil
}

// shown tells whether the store shows what the model has, but for due times and leases.
func (p *parcel) shown(d event.Delivery) bool {
	return d.State == p.state && d.Attempts == p.attempts && d.Replay == p.replay && d.Discarding == p.discarding &&
		d.DeliveredAt.Equal(p.deliveredAt)
}

// sameDue compares when a delivery is due. "Now" may be any time that has
// come; a time that has not come yet is exact.
func (m *model) sameDue(got time.Time, p *parcel) bool {
	if p.state != event.Pending {
		return got.IsZero()
	}
	if p.next.After(m.clock.Now()) {
		return got.Equal(p.next)
	}
	return !got.After(m.clock.Now())
}

// finish compares everything.
func (m *model) finish() {
	m.Helper()
	var want []event.ID
	for _, e := range slices.Backward(m.events) {
		m.compare(e)
		want = append(want, e.id)
	}
	rows := m.all(store.Filter{Limit: 100})
	if got := ids(rows); fmt.Sprint(got) != fmt.Sprint(want) {
		m.Errorf("%d events are listed, want %d: %v\nwant %v", len(got), len(want), got, want)
	}
	for _, row := range rows {
		if slices.Contains(m.refusals, row.ProviderID) {
			m.Errorf("%s was refused, and is stored", row.ProviderID)
		}
	}
	m.check()
}
