package storetest

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/store"
)

var orderCases = []testcase{
	{name: "of one key one delivery at a time is due, in order of acceptance", run: oneOfAKey},
	{name: "keys do not wait for each other, nor for what has none", run: keysApart},
	{name: "a delivery that fails holds its key until it is due again", run: keyHeld},
	{name: "a key goes on when its delivery is dead, discarded or moved away", run: keyGoesOn},
	{name: "what comes again goes to the end of its key", run: againAtTheEnd},
	{name: "a pending delivery that is replayed keeps its place", run: placeKept},
	{name: "nothing of a key is leased at acceptance while another is pending", run: noShortCut},
	{name: "of a long line only the order of acceptance counts, also after a reopening", run: longLine},
	{name: "an early lease takes what is due later, but not what the backend put off", run: early},
	{name: "an attempt is not begun once its destination is paused", run: pausedAtBegin},
	{name: "excused attempts are counted, and taken back", run: excused},
}

// ordered accepts an event whose only delivery is of that key.
func (r *rig) ordered(id string, key uint64) event.ID {
	r.Helper()
	a := r.admission(id)
	a.Owed[0].Order = key
	return r.offer(a).ID
}

func oneOfAKey(r *rig) {
	var ids []event.ID
	for i := range 5 {
		ids = append(ids, r.ordered(fmt.Sprint(i), 7))
	}
	for _, id := range ids {
		l := r.one(dest("default"), id)
		if delivery(r.get(id).Row, "default").Order != 7 {
			r.Errorf("%v is not shown as ordered", id)
		}
		r.nothing(dest("default"))
		r.settle(l, event.Delivered)
	}
	r.nothing(dest("default"))
}

func keysApart(r *rig) {
	first, _ := r.ordered("a1", 1), r.ordered("a2", 1)
	second, third := r.ordered("b1", 2), r.accept("none")
	var got []event.ID
	for _, l := range r.take(dest("default"), 3) {
		got = append(got, l.Event.ID)
	}
	if want := []event.ID{first, second, third}; !slices.Equal(got, want) {
		r.Errorf("due are %v, want %v", got, want)
	}
}

func keyHeld(r *rig) {
	first, second := r.ordered("a1", 1), r.ordered("a2", 1)
	r.through(first, "default", event.Pending) // due again in a minute
	r.nothing(dest("default"))
	r.clock.advance(time.Minute)
	r.through(first, "default", event.Delivered)
	r.through(second, "default", event.Delivered)
}

func keyGoesOn(r *rig) {
	dead, discarded := r.ordered("dead", 1), r.ordered("discarded", 1)
	moved, last := r.ordered("moved", 1), r.ordered("last", 1)
	r.through(dead, "default", event.Dead)
	r.command(store.Command{Action: store.Discard, Event: discarded})
	r.command(store.Command{Action: store.Move, Event: moved, Destination: "default", Target: dest("other")})
	r.through(last, "default", event.Delivered)
	r.through(moved, "other", event.Delivered)
}

func againAtTheEnd(r *rig) {
	dead, delivered := r.ordered("dead", 1), r.ordered("delivered", 1)
	r.through(dead, "default", event.Dead)
	r.through(delivered, "default", event.Delivered)
	waiting := r.ordered("waiting", 1)
	a := r.admission("dead")
	a.Owed[0].Order = 1
	r.expect(a, store.Revived, dead)
	r.command(store.Command{Action: store.Replay, Event: delivered})
	last := r.ordered("last", 1)
	for _, id := range []event.ID{waiting, dead, delivered, last} {
		r.through(id, "default", event.Delivered)
	}
}

func placeKept(r *rig) {
	first, second := r.ordered("a1", 1), r.ordered("a2", 1)
	third := r.ordered("a3", 1)
	r.command(store.Command{Action: store.Replay, Event: second})
	for _, id := range []event.ID{first, second, third} {
		r.through(id, "default", event.Delivered)
	}
}

func noShortCut(r *rig) {
	a, b := r.admission("a"), r.admission("b")
	for _, v := range []store.Admission{a, b} {
		v.Owed[0].Order, v.Owed[0].Lease = 1, true
	}
	first, second := r.offer(a), r.offer(b)
	if len(first.Leases) != 1 || len(second.Leases) != 0 {
		r.Fatalf("leased at once are %d and %d, want the first of the key alone", len(first.Leases), len(second.Leases))
	}
	r.settle(first.Leases[0], event.Delivered)
	r.through(second.ID, "default", event.Delivered)
}

func longLine(r *rig) {
	var ids []event.ID
	for i := range 70 { // more than a page of the local store
		ids = append(ids, r.ordered(fmt.Sprint(i), 1))
	}
	r.through(ids[0], "default", event.Dead)
	r.command(store.Command{Action: store.Replay, Event: ids[0]})
	if r.h.Reopen != nil {
		r.reopen()
	}
	for _, id := range append(ids[1:], ids[0]) {
		r.through(id, "default", event.Delivered)
	}
}

func early(r *rig) {
	var ids []event.ID
	for i, asked := range []bool{true, false, false} {
		id := r.accept(fmt.Sprint(i))
		l := r.one(dest("default"), id)
		v := r.outcome(l, event.Pending)
		v.Next, v.Asked = r.clock.Now().Add(time.Duration(i+1)*time.Minute), asked
		if err := r.s.Settle(l, v); err != nil {
			r.Fatal(err)
		}
		delete(r.held, l.Token)
		r.becomesDue(id, v.Next)
		ids = append(ids, id)
	}
	seq := r.get(ids[1]).Seq
	if l := r.early(seq); l.Event.ID != ids[2] {
		r.Errorf("early is %v, want %v: the first is put off, the second skipped", l.Event.ID, ids[2])
	}
	if l := r.early(seq); l.Event.ID != ids[1] {
		r.Errorf("early is %v, want %v: no other is left to skip to", l.Event.ID, ids[1])
	}
	r.clock.advance(time.Minute)
	r.one(dest("default"), ids[0])
}

// becomesDue waits until a delivery is known to be due at that time.
func (r *rig) becomesDue(id event.ID, at time.Time) {
	r.Helper()
	r.eventually(func() error {
		if d := delivery(r.get(id).Row, "default"); !d.Next.Equal(at) || d.InFlight {
			return fmt.Errorf("%v is due at %v, want %v", id, d.Next, at)
		}
		return nil
	})
}

// early leases one delivery before its time, which must be possible.
func (r *rig) early(skip uint64) store.Lease {
	r.Helper()
	now := r.clock.Now()
	leases, _, err := r.store().Lease(r.Context(), dest("default"), store.LeaseRequest{
		Now: now, Until: now.Add(time.Hour), Max: 1, MaxBytes: 1 << 20, Early: true, Skip: skip,
	})
	if err != nil || len(leases) != 1 {
		r.Fatalf("leased early: %v, %v; want one", leases, err)
	}
	r.held[leases[0].Token] = true
	return leases[0]
}

func pausedAtBegin(r *rig) {
	id := r.accept("a")
	l := r.one(dest("default"), id)
	r.command(store.Command{Action: store.Pause, Target: dest("default")})
	if err := r.s.Begin(l); !errors.Is(err, store.ErrPaused) {
		r.Errorf("beginning while paused: %v, want %v", err, store.ErrPaused)
	}
	if err := r.s.Release(l); err != nil {
		r.Fatal(err)
	}
	delete(r.held, l.Token)
	r.nothing(dest("default"))
	r.command(store.Command{Action: store.Resume, Target: dest("default")})
	r.through(id, "default", event.Delivered)
}

func excused(r *rig) {
	id := r.accept("a")
	for i, excuse := range []int{1, 1, -2, -5} {
		l := r.take(dest("default"), 1)[0]
		v := r.outcome(l, event.Pending)
		v.Excuse, v.Next = excuse, r.clock.Now()
		if err := r.s.Settle(l, v); err != nil {
			r.Fatal(err)
		}
		delete(r.held, l.Token)
		want := []int{1, 2, 0, 0}[i]
		r.eventually(func() error {
			if d := delivery(r.get(id).Row, "default"); d.Attempts != i+1 || d.Excused != want {
				return fmt.Errorf("%d attempts with %d excused, want %d with %d", d.Attempts, d.Excused, i+1, want)
			}
			return nil
		})
	}
	if l := r.take(dest("default"), 1)[0]; l.Attempt != 5 || l.Excused != 0 {
		r.Errorf("leased %+v, want attempt 5 with none excused", l)
	}
}
