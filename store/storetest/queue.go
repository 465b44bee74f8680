package storetest

import (
	"errors"
	"fmt"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/store"
)

var queueCases = []testcase{
	{name: "what is accepted is due, in order of acceptance", run: acceptedIsDue},
	{name: "what was asked for is leased at acceptance", run: leasedAtOnce},
	{name: "a leased delivery is not leased again", run: leasedOnce},
	{name: "an attempt's outcome says when the next one is", run: retryLater},
	{name: "what is due first comes first", run: oldestFirst},
	{name: "a lease request bounds count and bytes", run: bounds},
	{name: "a lease that ran out comes back, and its token is refused", run: leaseRunsOut},
	{name: "an extended lease does not run out", run: extend},
	{name: "a released delivery is due at once and no attempt counts", run: release},
	{name: "a begun delivery that is released is due at once", run: releaseBegun},
	{name: "a settled lease is refused everywhere", run: staleEverywhere},
	{name: "destinations do not touch each other", run: independent},
	{name: "whoever waits is woken", run: woken},
	{name: "one source may use half of the backlog, all of them the whole", run: backlogShares, backlog: 400},
	{name: "a source's own share stands in for half of the backlog", run: backlogOwnShare, backlog: 400},
	{name: "a changed limit holds at once", run: backlogChanged, backlog: 400},
	{name: "dead bodies count as backlog, settled ones do not", run: backlogOfDead, backlog: 200},
	{name: "a duplicate is answered while the backlog is full", run: duplicateWhileFull, backlog: 200},
	{name: "leases do not survive a reopening", run: leasesLost, reopens: true},
}

// refused offers a webhook that the store must refuse.
func (r *rig) refused(a store.Admission, want error) {
	r.Helper()
	if receipt, err := r.store().Accept(r.Context(), a); !errors.Is(err, want) {
		r.Fatalf("%s: %+v, %v; want %v", a.Event.ProviderID, receipt, err, want)
	}
}

// sized is a webhook with a body of that many bytes.
func (r *rig) sized(id, from string, size int) store.Admission {
	a := r.admission(id)
	a.Event.Source, a.Event.Body = from, make([]byte, size)
	return a
}

func acceptedIsDue(r *rig) {
	var want []event.ID
	for i := range 20 {
		want = append(want, r.accept(fmt.Sprint(i)))
		r.clock.advance(time.Second)
	}
	for i, l := range r.take(dest("default"), len(want)) {
		if l.Event.ID != want[i] || l.Attempt != 1 || !l.Fresh || l.Replay || l.Spent != 0 || l.Unfinished != 0 {
			r.Errorf("lease %d is %+v, want the first attempt of %v", i, l, want[i])
		}
	}
}

func leasedAtOnce(r *rig) {
	a := r.admission("a", "now", "later", "never")
	a.Owed[0].Lease = true
	a.Owed[2].Lease, a.Owed[2].Filtered = true, true
	receipt := r.offer(a)
	if len(receipt.Leases) != 1 {
		r.Fatalf("%d leases, want the one that was asked for and is wanted", len(receipt.Leases))
	}
	l := receipt.Leases[0]
	if l.Destination != dest("now") || l.Event.ID != receipt.ID || l.Attempt != 1 || !l.Fresh {
		r.Errorf("leased %+v", l)
	}
	r.nothing(dest("now"))
	r.nothing(dest("never"))
	r.settle(l, event.Delivered)
	r.through(receipt.ID, "later", event.Delivered)
	if again := r.offer(a); again.Result != store.Duplicate || len(again.Leases) != 0 {
		r.Errorf("the repeat is %+v, want a duplicate without leases", again)
	}
}

func leasedOnce(r *rig) {
	id := r.accept("a")
	l := r.one(dest("default"), id)
	r.nothing(dest("default"))
	if d := r.becomes(id, "default", event.Pending); !d.InFlight {
		r.Errorf("%+v is not in flight", d)
	}
	r.expect(r.admission("a"), store.Duplicate, id)
	r.settle(l, event.Delivered)
	r.nothing(dest("default"))
}

func retryLater(r *rig) {
	id := r.accept("a")
	l := r.one(dest("default"), id)
	v := r.outcome(l, event.Pending)
	r.settle(l, event.Pending)
	leases, next := r.leaseNext(dest("default"), 1)
	if len(leases) != 0 || !next.Equal(v.Next) {
		r.Fatalf("%d leases, next %v; want none before %v", len(leases), next, v.Next)
	}
	r.clock.advance(v.Next.Sub(r.clock.Now()) - time.Nanosecond)
	r.nothing(dest("default"))
	r.clock.advance(time.Nanosecond)
	second := r.one(dest("default"), id)
	if second.Attempt != 2 || second.Spent != v.Spent || second.Fresh {
		r.Errorf("%+v, want attempt 2 with %v spent", second, v.Spent)
	}
	r.settle(second, event.Delivered)
	d, got := r.becomes(id, "default", event.Delivered), r.get(id).Attempts
	if d.Attempts != 2 || len(got) != 2 || got[0].Number != 1 || got[1].Number != 2 {
		r.Errorf("%+v with %+v, want two attempts", d, got)
	}
	if _, next := r.leaseNext(dest("default"), 1); !next.IsZero() {
		r.Errorf("next is %v though nothing waits", next)
	}
}

func oldestFirst(r *rig) {
	waits := []time.Duration{3 * time.Minute, time.Minute, 2 * time.Minute}
	var want [3]event.ID
	for i, wait := range waits {
		id := r.accept(fmt.Sprint(i))
		l := r.one(dest("default"), id)
		v := r.outcome(l, event.Pending)
		v.Next = r.clock.Now().Add(wait)
		if err := r.s.Settle(l, v); err != nil {
			r.Fatal(err)
		}
		delete(r.held, l.Token)
		want[int(wait/time.Minute)-1] = id
		r.eventually(func() error {
			if d := delivery(r.get(id).Row, "default"); !d.Next.Equal(v.Next) {
				return fmt.Errorf("next is %v, want %v", d.Next, v.Next)
			}
			return nil
		})
	}
	r.clock.advance(time.Hour)
	for i, l := range r.take(dest("default"), 3) {
		if l.Event.ID != want[i] {
			r.Errorf("at place %d comes %v, want %v", i, l.Event.ID, want[i])
		}
	}
}

func bounds(r *rig) {
	for i := range 6 {
		r.offer(r.sized(fmt.Sprint(i), source, 100))
	}
	if n := len(r.lease(dest("default"), 2)); n != 2 {
		r.Errorf("%d leases, want 2", n)
	}
	now := r.clock.Now()
	for _, c := range []struct{ max, bytes, want int }{{0, 1000, 0}, {10, 1, 1}, {10, 150, 2}} {
		leases, _, err := r.s.Lease(r.Context(), dest("default"), store.LeaseRequest{
			Now: now, Until: now.Add(time.Minute), Max: c.max, MaxBytes: c.bytes,
		})
		if err != nil || len(leases) != c.want {
			r.Errorf("at most %d of %d bytes: %d leases, %v; want %d", c.max, c.bytes, len(leases), err, c.want)
		}
		for _, l := range leases {
			r.held[l.Token] = true
		}
	}
	r.take(dest("default"), 1)
}

func leaseRunsOut(r *rig) {
	id := r.accept("a")
	first := r.one(dest("default"), id)
	if err := r.s.Begin(first); err != nil {
		r.Fatal(err)
	}
	r.clock.advance(time.Minute - time.Nanosecond)
	r.nothing(dest("default"))
	r.clock.advance(time.Nanosecond)
	second := r.one(dest("default"), id)
	if second.Token == first.Token {
		r.Fatalf("both leases have the token %d", first.Token)
	}
	r.stale(first)
	r.settle(second, event.Delivered)
	if got := r.get(id).Attempts; len(got) != 1 {
		r.Errorf("%d attempts were recorded, want 1", len(got))
	}
}

// stale wants the lease to be refused everywhere, and nothing to come of that.
func (r *rig) stale(l store.Lease) {
	r.Helper()
	before := r.get(l.Event.ID)
	for name, do := range map[string]func() error{
		"begin": func() error { return r.s.Begin(l) }, "release": func() error { return r.s.Release(l) },
		"extend": func() error { return r.s.Extend(l, r.clock.Now().Add(time.Hour)) },
		"settle": func() error { return r.s.Settle(l, r.outcome(l, event.Dead)) },
	} {
		if err := do(); !errors.Is(err, store.ErrStale) {
			r.Errorf("%s with a lease that is not held: %v, want %v", name, err, store.ErrStale)
		}
	}
	if after := r.get(l.Event.ID); fmt.Sprint(after.Deliveries) != fmt.Sprint(before.Deliveries) || len(after.Attempts) != len(before.Attempts) {
		r.Errorf("a stale lease changed %+v to %+v", before, after)
	}
}

func extend(r *rig) {
	id := r.accept("a")
	l := r.one(dest("default"), id)
	if err := r.s.Extend(l, r.clock.Now().Add(time.Hour)); err != nil {
		r.Fatal(err)
	}
	r.clock.advance(59 * time.Minute)
	r.nothing(dest("default"))
	r.clock.advance(time.Minute)
	again := r.one(dest("default"), id)
	r.stale(l)
	r.settle(again, event.Delivered)
}

func release(r *rig) {
	id := r.accept("a")
	for range 3 {
		l := r.one(dest("default"), id)
		if l.Attempt != 1 || !l.Fresh {
			r.Errorf("%+v, want the first attempt", l)
		}
		if err := r.s.Release(l); err != nil {
			r.Fatal(err)
		}
		r.stale(l)
		delete(r.held, l.Token)
	}
	r.through(id, "default", event.Delivered)
	if d := r.becomes(id, "default", event.Delivered); d.Attempts != 1 {
		r.Errorf("%d attempts, want 1", d.Attempts)
	}
}

func releaseBegun(r *rig) {
	id := r.accept("a")
	l := r.one(dest("default"), id)
	if err := errors.Join(r.s.Begin(l), r.s.Release(l)); err != nil {
		r.Fatal(err)
	}
	again := r.one(dest("default"), id)
	if again.Attempt != 1 || again.Unfinished != 0 {
		r.Errorf("%+v, want the first attempt and nothing unfinished", again)
	}
	r.stale(l)
	r.settle(again, event.Delivered)
}

func staleEverywhere(r *rig) {
	for i, state := range []event.State{event.Delivered, event.Dead, event.Pending} {
		id := r.accept(fmt.Sprint(i))
		l := r.one(dest("default"), id)
		r.settle(l, state)
		r.stale(l)
	}
	r.accept("other")
	l := r.take(dest("default"), 1)[0]
	forged := l
	forged.Token += 1000
	r.stale(forged)
	elsewhere := l
	elsewhere.Destination = dest("nowhere")
	r.stale(elsewhere)
	r.settle(l, event.Delivered)
}

func independent(r *rig) {
	id := r.accept("a", "one", "two", "three")
	one, two := r.one(dest("one"), id), r.one(dest("two"), id)
	r.settle(one, event.Dead)
	r.settle(two, event.Delivered)
	if d := r.becomes(id, "three", event.Pending); d.InFlight || d.Attempts != 0 {
		r.Errorf("the third is %+v, want untouched", d)
	}
	r.expect(r.admission("a", "one", "two", "three"), store.Revived, id)
	r.nothing(dest("two"))
	r.through(id, "one", event.Delivered)
	r.through(id, "three", event.Delivered)
}

// wakes wants the destination to be told of.
func (r *rig) wakes(d event.Destination, why string) {
	r.Helper()
	for {
		select {
		case got := <-r.woken:
			if got == d {
				return
			}
		case <-time.After(patience):
			r.Fatalf("nobody was woken for %v: %s", d, why)
		}
	}
}

// quiet forgets what was told so far.
func (r *rig) quiet() {
	for len(r.woken) > 0 {
		<-r.woken
	}
}

func woken(r *rig) {
	d := dest("default")
	id := r.accept("a")
	r.wakes(d, "an event was accepted")
	l := r.one(d, id)
	r.quiet()
	if err := r.s.Release(l); err != nil {
		r.Fatal(err)
	}
	r.wakes(d, "a lease was released")
	r.settle(r.one(d, id), event.Pending)
	r.wakes(d, "a retry was scheduled")
	r.clock.advance(time.Hour)
	r.settle(r.one(d, id), event.Dead)
	r.quiet()
	r.expect(r.admission("a"), store.Revived, id)
	r.wakes(d, "a delivery was revived")
	r.settle(r.one(d, id), event.Delivered)
	r.quiet()
	r.command(store.Command{Action: store.Replay, Event: id})
	r.wakes(d, "an event was replayed")
	r.command(store.Command{Action: store.Pause, Target: d})
	r.quiet()
	r.command(store.Command{Action: store.Resume, Target: d})
	r.wakes(d, "the destination was resumed")
	r.command(store.Command{Action: store.Move, Event: id, Destination: "default", Target: dest("other")})
	r.wakes(dest("other"), "a delivery was moved there")
}

func backlogShares(r *rig) {
	r.offer(r.sized("1", source, 150))
	r.refused(r.sized("2", source, 51), store.ErrBacklog)
	r.offer(r.sized("3", source, 50))
	r.refused(r.sized("4", source, 1), store.ErrBacklog)
	r.offer(r.sized("5", "other", 200))
	r.refused(r.sized("6", "third", 1), store.ErrBacklog)
	if v := r.store().Stats(); v.BacklogBytes != 400 || !errors.Is(v.Accepting, store.ErrBacklog) {
		r.Errorf("%d bytes wait and accepting is %v, want 400 and %v", v.BacklogBytes, v.Accepting, store.ErrBacklog)
	}
	for _, l := range r.take(dest("default"), 2) {
		r.settle(l, event.Delivered)
	}
	r.offer(r.sized("4", source, 100))
	if v := r.store().Stats(); v.Accepting != nil || v.BacklogBytes != 300 {
		r.Errorf("%d bytes wait and accepting is %v, want 300 and none", v.BacklogBytes, v.Accepting)
	}
}

func backlogOwnShare(r *rig) {
	small, large := r.sized("1", source, 101), r.sized("2", "other", 300)
	small.Share, large.Share = 100, 1000
	r.refused(small, store.ErrBacklog)
	r.offer(large)
	small = r.sized("3", source, 100)
	small.Share = 100
	r.offer(small)
	large = r.sized("4", "other", 1)
	large.Share = 1000
	r.refused(large, store.ErrBacklog)
}

func backlogChanged(r *rig) {
	s := r.store() // no reopening in between: a store that is opened anew has the limits that it is opened with
	for _, step := range []struct {
		limit int64
		id    string
		size  int
		want  error
	}{
		{400, "1", 201, store.ErrBacklog},
		{1000, "1", 201, nil},
		{100, "2", 1, store.ErrBacklog},
		{100, "1", 201, nil}, // a duplicate
		{1000, "2", 1, nil},
	} {
		s.SetLimits(store.Limits{MaxBacklog: step.limit, MinFree: 1})
		if _, err := s.Accept(r.Context(), r.sized(step.id, source, step.size)); !errors.Is(err, step.want) {
			r.Errorf("%d bytes with a backlog of at most %d: %v, want %v", step.size, step.limit, err, step.want)
		}
	}
}

func backlogOfDead(r *rig) {
	a := r.sized("a", source, 100)
	a.Owed = append(a.Owed, store.Owed{Destination: "second"})
	id := r.offer(a).ID
	r.refused(r.sized("b", source, 1), store.ErrBacklog)
	r.through(id, "default", event.Delivered)
	r.refused(r.sized("b", source, 1), store.ErrBacklog)
	r.through(id, "second", event.Dead)
	r.refused(r.sized("b", source, 1), store.ErrBacklog)
	r.command(store.Command{Action: store.Discard, Event: id, Destination: "second"})
	r.offer(r.sized("b", source, 100))
}

func duplicateWhileFull(r *rig) {
	id := r.offer(r.sized("a", source, 100)).ID
	r.refused(r.sized("b", source, 1), store.ErrBacklog)
	r.expect(r.sized("a", source, 100), store.Duplicate, id)
	r.through(id, "default", event.Dead)
	r.expect(r.sized("a", source, 100), store.Revived, id)
}

func leasesLost(r *rig) {
	id := r.accept("a")
	l := r.one(dest("default"), id)
	if err := r.s.Begin(l); err != nil {
		r.Fatal(err)
	}
	r.reopen()
	r.stale(l)
	if d := r.becomes(id, "default", event.Pending); d.InFlight {
		r.Errorf("%+v is in flight though nobody has it", d)
	}
	r.through(id, "default", event.Delivered)
}
