package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/store"
)

var commandCases = []testcase{
	{name: "a discard in flight waits, and the attempt's own 2xx wins", run: discardLosesTo2xx},
	{name: "a discard in flight follows an attempt that failed", run: discardFollowsFailure},
	{name: "a discard in flight follows a released lease", run: discardFollowsRelease},
	{name: "a discard in flight survives a reopening", run: discardFollowsReopening, reopens: true},
	{name: "a replay begins a fresh budget and keeps the history", run: replayBudget},
	{name: "a command without a destination is for all that it fits", run: commandForAll},
	{name: "a command on what does not exist is refused", run: commandOnUnknown},
	{name: "a paused destination leases nothing, also over a reopening", run: paused},
	{name: "a configured destination is paused before its first event", run: pausedBefore},
	{name: "a lease that is held goes on over a pause", run: pausedInFlight},
	{name: "a moved delivery is discarded here and pending there", run: moved},
	{name: "a delivery can be moved to another source", run: movedAbroad},
	{name: "a repeat does not revive what an operator discarded", run: discardStands},
	{name: "a filtered event is kept and due nowhere", run: filtered},
	{name: "a learned secret is kept over a reopening, and the first one counts", run: learned},
	{name: "an event can be sent to a destination that does not owe it", run: sentElsewhere},
	{name: "a command that is repeated spares what it did before", run: spared},
	{name: "notes are kept over a reopening", run: notes},
}

// deferDiscard discards a delivery in flight and gives its lease.
func deferDiscard(r *rig) (event.ID, store.Lease) {
	id := r.accept("a")
	l := r.one(dest("default"), id)
	done := r.command(store.Command{Action: store.Discard, Event: id})
	if len(done.Changed) != 0 || !slices.Equal(done.Deferred, []string{"default"}) {
		r.Fatalf("%+v, want it deferred", done)
	}
	r.eventually(func() error {
		if d := delivery(r.get(id).Row, "default"); !d.Discarding || !d.InFlight || d.State != event.Pending {
			return errors.New("the delivery does not show that it is being discarded")
		}
		return nil
	})
	if _, err := r.s.Command(r.Context(), store.Command{Action: store.Replay, Event: id}); !errors.Is(err, store.ErrInFlight) {
		r.Errorf("replay: %v, want %v", err, store.ErrInFlight)
	}
	return id, l
}

func discardLosesTo2xx(r *rig) {
	id, l := deferDiscard(r)
	r.settle(l, event.Delivered)
	if d := r.becomes(id, "default", event.Delivered); d.Discarding {
		r.Errorf("%+v still wants to be discarded", d)
	}
}

func discardFollowsFailure(r *rig) {
	id, l := deferDiscard(r)
	r.settle(l, event.Pending)
	if d := r.becomes(id, "default", event.Discarded); d.Discarding || !d.Next.IsZero() {
		r.Errorf("%+v, want discarded and nothing else", d)
	}
	r.nothing(dest("default"))
}

func discardFollowsRelease(r *rig) {
	id, l := deferDiscard(r)
	if err := r.s.Release(l); err != nil {
		r.Fatal(err)
	}
	r.becomes(id, "default", event.Discarded)
	delete(r.held, l.Token)
	r.nothing(dest("default"))
}

func discardFollowsReopening(r *rig) {
	id, _ := deferDiscard(r)
	r.reopen()
	r.becomes(id, "default", event.Discarded)
	r.nothing(dest("default"))
}

func replayBudget(r *rig) {
	id := r.accept("a")
	r.through(id, "default", event.Delivered)
	first := r.becomes(id, "default", event.Delivered)
	done := r.command(store.Command{Action: store.Replay, Event: id, Destination: "default", Who: "tester"})
	if !slices.Equal(done.Changed, []string{"default"}) || len(done.Deferred) != 0 {
		r.Errorf("%+v, want default changed", done)
	}
	l := r.one(dest("default"), id)
	if l.Attempt != 1 || l.Spent != 0 || !l.Replay {
		r.Errorf("%+v, want the first attempt of a replay", l)
	}
	r.settle(l, event.Dead)
	d := r.becomes(id, "default", event.Dead)
	if !d.DeliveredAt.Equal(first.DeliveredAt) || d.DeliveredAt.IsZero() || d.Attempts != 1 || !d.Replay {
		r.Errorf("%+v, want it delivered at %v, once", d, first.DeliveredAt)
	}
	if got := r.get(id).Attempts; len(got) != 2 {
		r.Errorf("%d attempts in the history, want 2", len(got))
	}
}

func commandForAll(r *rig) {
	id := r.accept("a", "one", "two", "three", "four")
	r.through(id, "one", event.Delivered)
	r.through(id, "two", event.Dead)
	l := r.one(dest("three"), id)
	done := r.command(store.Command{Action: store.Discard, Event: id})
	slices.Sort(done.Changed)
	if !slices.Equal(done.Changed, []string{"four", "two"}) || !slices.Equal(done.Deferred, []string{"three"}) {
		r.Errorf("discard of all: %+v, want four and two changed and three deferred", done)
	}
	r.settle(l, event.Dead)
	r.becomes(id, "one", event.Delivered)
	for _, name := range []string{"two", "three", "four"} {
		r.becomes(id, name, event.Discarded)
	}
	done = r.command(store.Command{Action: store.Replay, Event: id, Destination: "two"})
	if !slices.Equal(done.Changed, []string{"two"}) {
		r.Errorf("replay of one: %+v", done)
	}
	r.through(id, "two", event.Delivered)
	r.nothing(dest("three"))
}

func commandOnUnknown(r *rig) {
	id := r.accept("a")
	other := id
	other[15] ^= 1
	for _, c := range []store.Command{
		{Action: store.Replay, Event: other},
		{Action: store.Discard, Event: event.ID{}},
		{Action: store.Move, Event: other, Target: dest("there")},
		{Action: store.Discard, Event: id, Destination: "nowhere"},
		{Action: store.Replay, Event: id, Destination: "nowhere"},
		{Action: store.Pause, Target: dest("nowhere")},
		{Action: store.Resume, Target: event.Destination{Source: "nobody", Name: "default"}},
	} {
		if done, err := r.store().Command(r.Context(), c); !errors.Is(err, store.ErrUnknown) {
			r.Errorf("%v of %v, %q, %v: %+v, %v; want %v", c.Action, c.Event, c.Destination, c.Target, done, err, store.ErrUnknown)
		}
	}
	for _, id := range []event.ID{other, {}} {
		if _, err := r.s.Get(r.Context(), id); !errors.Is(err, store.ErrUnknown) {
			r.Errorf("get: %v, want %v", err, store.ErrUnknown)
		}
	}
	r.becomes(id, "default", event.Pending)
}

func paused(r *rig) {
	id := r.accept("a", "default", "other")
	r.command(store.Command{Action: store.Pause, Target: dest("default"), Who: "tester"})
	if done := r.command(store.Command{Action: store.Pause, Target: dest("default")}); len(done.Changed) != 0 {
		r.Errorf("the second pause changed %v", done.Changed)
	}
	r.nothing(dest("default"))
	a := r.admission("b")
	a.Owed[0].Lease = true
	receipt := r.offer(a)
	if len(receipt.Leases) != 0 {
		r.Error("a paused destination got a lease at acceptance")
	}
	r.through(id, "other", event.Delivered)
	if r.h.Reopen != nil {
		r.reopen()
		r.nothing(dest("default"))
	}
	for _, d := range r.store().Stats().Destinations {
		if want := d.Destination == dest("default"); d.Paused != want {
			r.Errorf("%v: paused is %v", d.Destination, d.Paused)
		}
	}
	r.command(store.Command{Action: store.Resume, Target: dest("default")})
	for i, l := range r.take(dest("default"), 2) {
		if want := []event.ID{id, receipt.ID}[i]; l.Event.ID != want {
			r.Errorf("at place %d comes %v, want %v", i, l.Event.ID, want)
		}
	}
}

func pausedBefore(r *rig) {
	c := store.Command{Action: store.Pause, Target: dest("default"), Introduce: true, Who: "tester"}
	if done := r.command(c); !slices.Equal(done.Changed, []string{"default"}) {
		r.Errorf("%+v, want default changed", done)
	}
	if r.h.Reopen != nil {
		r.reopen()
	}
	if done := r.command(c); len(done.Changed) != 0 {
		r.Errorf("it was not paused any more: %+v", done)
	}
	a := r.admission("a")
	a.Owed[0].Lease = true
	receipt := r.offer(a)
	if len(receipt.Leases) != 0 {
		r.Error("a paused destination got a lease at acceptance")
	}
	r.nothing(dest("default"))
	c.Action = store.Resume
	r.command(c)
	r.through(receipt.ID, "default", event.Delivered)
}

func pausedInFlight(r *rig) {
	id := r.accept("a")
	l := r.one(dest("default"), id)
	r.command(store.Command{Action: store.Pause, Target: dest("default")})
	r.settle(l, event.Dead)
	r.expect(r.admission("a"), store.Revived, id)
	r.nothing(dest("default"))
	r.command(store.Command{Action: store.Resume, Target: dest("default")})
	r.through(id, "default", event.Delivered)
}

func moved(r *rig) {
	id := r.accept("a", "here", "kept")
	c := store.Command{Action: store.Move, Event: id, Destination: "here", Target: dest("there")}
	if done := r.command(c); !slices.Equal(done.Changed, []string{"here"}) {
		r.Errorf("%+v, want here changed", done)
	}
	r.nothing(dest("here"))
	if d := r.becomes(id, "there", event.Pending); d.Attempts != 0 {
		r.Errorf("%+v, want a fresh budget", d)
	}
	r.becomes(id, "here", event.Discarded)
	c.Destination = "kept"
	if _, err := r.store().Command(r.Context(), c); !errors.Is(err, store.ErrConflict) {
		r.Errorf("a second move to where it already is: %v, want %v", err, store.ErrConflict)
	}
	r.becomes(id, "kept", event.Pending)
	r.through(id, "there", event.Delivered)
	r.through(id, "kept", event.Delivered)
	r.expect(r.admission("a", "here", "kept"), store.Duplicate, id)
}

func movedAbroad(r *rig) {
	id, stays := r.accept("a"), r.accept("b")
	to := event.Destination{Source: "elsewhere", Name: "default"}
	r.command(store.Command{Action: store.Move, Event: id, Target: to})
	r.settle(r.one(to, id), event.Dead)
	r.eventually(func() error { return abroad(r, id, to, event.Dead) })
	for _, c := range []struct {
		filter store.Filter
		want   int
	}{
		{store.Filter{Source: to.Source}, 1},
		{store.Filter{Source: to.Source, State: event.Dead}, 1},
		{store.Filter{Source: to.Source, State: event.Discarded}, 0},
		{store.Filter{Source: to.Source, Destination: to.Name, State: event.Dead}, 1},
		{store.Filter{Source: dest("").Source}, 2},
		{store.Filter{Source: dest("").Source, State: event.Dead}, 0},
		{store.Filter{Source: dest("").Source, Destination: "default", State: event.Discarded}, 1},
		{store.Filter{Destination: "default"}, 2},
	} {
		if got := r.all(c.filter); len(got) != c.want {
			r.Errorf("%+v finds %d, want %d", c.filter, len(got), c.want)
		}
	}
	r.command(store.Command{Action: store.Replay, Event: id, Destination: to.String()})
	r.eventually(func() error { return abroad(r, id, to, event.Pending) })
	r.through(stays, "default", event.Delivered)
	r.nothing(dest("default"))
}

// abroad wants an event discarded here, and in a state at another source's
// destination.
func abroad(r *rig, id event.ID, to event.Destination, state event.State) error {
	for _, d := range r.get(id).Deliveries {
		want := event.Discarded
		if d.Source == to.Source {
			want = state
		}
		if d.State != want || d.Destination != to.Name {
			return fmt.Errorf("the delivery to %s/%s is %v, want %v", d.Source, d.Destination, d.State, want)
		}
	}
	return nil
}

func discardStands(r *rig) {
	id := r.accept("a", "one", "two")
	r.command(store.Command{Action: store.Discard, Event: id, Destination: "one"})
	r.through(id, "two", event.Dead)
	r.expect(r.admission("a", "one", "two"), store.Revived, id)
	r.nothing(dest("one"))
	r.through(id, "two", event.Delivered)
	r.expect(r.admission("a", "one", "two"), store.Duplicate, id)
	r.becomes(id, "one", event.Discarded)
}

func filtered(r *rig) {
	a := r.admission("a", "one", "two")
	a.Owed[0].Filtered, a.Owed[1].Filtered = true, true
	receipt := r.offer(a)
	if receipt.Result != store.Filtered || receipt.ID.IsZero() {
		r.Fatalf("%+v, want filtered", receipt)
	}
	if v := r.store().Stats(); v.BacklogBytes != 0 {
		r.Errorf("%d bytes wait, want none", v.BacklogBytes)
	}
	r.expect(a, store.Duplicate, receipt.ID)
	if got := r.get(receipt.ID); string(got.Event.Body) != "body of a" {
		r.Errorf("stored body is %q", got.Event.Body)
	}
	a.Owed[1].Filtered = false
	r.expect(a, store.Revived, receipt.ID)
	r.nothing(dest("one"))
	r.through(receipt.ID, "two", event.Delivered)
}

func learned(r *rig) {
	learn := func(source, secret string) error { return r.s.Learn(r.Context(), source, secret, "tester") }
	if got := r.s.Learned("shop"); got != "" {
		r.Errorf("before anything was learned: %q", got)
	}
	for _, step := range []struct {
		source, secret string
		want           error
		known          string
	}{
		{"shop", "one", nil, "one"},
		{"shop", "one", nil, "one"},
		{"shop", "two", store.ErrConflict, "one"},
		{"blog", "two", nil, "one"},
		{"shop", strings.Repeat("x", store.MaxLearned+1), store.ErrTooLarge, "one"},
		{"shop", "", nil, ""},
		{"shop", strings.Repeat("y", store.MaxLearned), nil, strings.Repeat("y", store.MaxLearned)},
	} {
		if err := learn(step.source, step.secret); !errors.Is(err, step.want) {
			r.Errorf("learning %.10q for %s: %v, want %v", step.secret, step.source, err, step.want)
		}
		if r.h.Reopen != nil {
			r.reopen()
		}
		if got := r.s.Learned("shop"); got != step.known {
			r.Errorf("after %.10q for %s: %.10q is known, want %.10q", step.secret, step.source, got, step.known)
		}
	}
	if got := r.s.Learned("blog"); got != "two" {
		r.Errorf("of the other source %q is known", got)
	}
}
