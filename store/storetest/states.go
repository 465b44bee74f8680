package storetest

import (
	"errors"
	"fmt"
	"slices"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/store"
)

// columns bring a fresh event's only delivery into each state of the table;
// the lease is set where the state is in flight.
var columns = []struct {
	name string
	into func(r *rig, name string) (event.ID, store.Lease)
}{
	{"waiting", func(r *rig, name string) (event.ID, store.Lease) { return r.accept(name, name), store.Lease{} }},
	{"inflight", func(r *rig, name string) (event.ID, store.Lease) {
		id := r.accept(name, name)
		return id, r.one(dest(name), id)
	}},
	{"delivered", func(r *rig, name string) (event.ID, store.Lease) {
		return r.settled(name, event.Delivered), store.Lease{}
	}},
	{"dead", func(r *rig, name string) (event.ID, store.Lease) { return r.settled(name, event.Dead), store.Lease{} }},
	{"discarded", func(r *rig, name string) (event.ID, store.Lease) {
		id := r.accept(name, name)
		r.command(store.Command{Action: store.Discard, Event: id})
		return id, store.Lease{}
	}},
	{"filtered", func(r *rig, name string) (event.ID, store.Lease) {
		a := r.admission(name, name)
		a.Owed[0].Filtered = true
		receipt := r.offer(a)
		if receipt.Result != store.Filtered {
			r.Fatalf("%+v, want filtered", receipt)
		}
		return receipt.ID, store.Lease{}
	}},
}

func (r *rig) settled(name string, state event.State) event.ID {
	id := r.accept(name, name)
	r.through(id, name, state)
	return id
}

var stateNow = map[string]event.State{
	"waiting": event.Pending, "inflight": event.Pending, "delivered": event.Delivered,
	"dead": event.Dead, "discarded": event.Discarded, "filtered": event.Filtered,
}

// end is what a row leads to in one column; the zero value is "–".
type end struct {
	state event.State
	err   error
}

// row is one row of the state table.
type row struct {
	name string
	do   func(r *rig, id event.ID, name string) error
	ends map[string]end
	// marked tells that what became pending is marked as a replay.
	marked bool
}

var (
	pending   = end{state: event.Pending}
	discarded = end{state: event.Discarded}
	conflict  = end{err: store.ErrConflict}
	inFlight  = end{err: store.ErrInFlight}
)

var table = []row{
	{name: "again", do: func(r *rig, _ event.ID, name string) error {
		r.offer(r.admission(name, name))
		return nil
	}, ends: map[string]end{"dead": pending, "filtered": pending}},
	{name: "again-unwanted", do: func(r *rig, _ event.ID, name string) error {
		a := r.admission(name, name)
		a.Owed[0].Filtered = true
		r.offer(a)
		return nil
	}, ends: map[string]end{"dead": pending}},
	{name: "replay", do: act(store.Replay, false), marked: true, ends: map[string]end{
		"inflight": inFlight, "delivered": pending, "dead": pending, "discarded": pending, "filtered": conflict,
	}},
	{name: "replay-named", do: act(store.Replay, true), marked: true, ends: map[string]end{
		"inflight": inFlight, "delivered": pending, "dead": pending, "discarded": pending, "filtered": pending,
	}},
	{name: "discard", do: act(store.Discard, false), ends: map[string]end{
		"waiting": discarded, "delivered": conflict, "dead": discarded,
	}},
	{name: "move", do: act(store.Move, false), ends: map[string]end{
		"waiting": discarded, "inflight": inFlight, "delivered": conflict, "dead": discarded,
		"discarded": conflict, "filtered": conflict,
	}},
	{name: "pause", do: func(r *rig, _ event.ID, name string) error {
		r.command(store.Command{Action: store.Pause, Target: dest(name)})
		r.nothing(dest(name))
		r.command(store.Command{Action: store.Resume, Target: dest(name)})
		return nil
	}},
}

func act(a store.Action, named bool) func(r *rig, id event.ID, name string) error {
	return func(r *rig, id event.ID, name string) error {
		c := store.Command{Action: a, Event: id, Who: "tester"}
		if a == store.Move {
			c.Target = dest("to-" + name)
		}
		if named {
			c.Destination = name
		}
		_, err := r.store().Command(r.Context(), c)
		return err
	}
}

// stateCases are the cells of the state table.
var stateCases = cells()

func cells() (cases []testcase) {
	for _, row := range table {
		for _, column := range columns {
			cases = append(cases, testcase{
				name: fmt.Sprintf("state table: %s while %s", row.name, column.name),
				run: func(r *rig) {
					name := row.name + "-" + column.name
					id, lease := column.into(r, name)
					r.cell(row, column.name, id, name, lease)
				},
			})
		}
	}
	return cases
}

// cell does what the row says and looks what became of the delivery.
func (r *rig) cell(row row, column string, id event.ID, name string, lease store.Lease) {
	before := delivery(r.get(id).Row, name)
	want := row.ends[column]
	if err := row.do(r, id, name); !errors.Is(err, want.err) {
		r.Fatalf("answers %v, want %v", err, want.err)
	}
	state := want.state
	if state == 0 {
		state = stateNow[column]
	}
	after := r.becomes(id, name, state)
	became := want.state == event.Pending
	if became && (after.Attempts != 0 || after.Spent != 0 || after.Replay != row.marked) {
		r.Errorf("%+v, want a fresh budget and replay %v", after, row.marked)
	}
	if !after.DeliveredAt.Equal(before.DeliveredAt) {
		r.Errorf("delivered at %v became %v", before.DeliveredAt, after.DeliveredAt)
	}
	r.goesOn(id, name, lease, state, became && row.marked)
	if row.name == "move" && slices.Contains([]string{"waiting", "dead"}, column) {
		r.through(id, "to-"+name, event.Delivered)
	}
}

// goesOn wants what is pending to be leased, and nothing else.
func (r *rig) goesOn(id event.ID, name string, lease store.Lease, state event.State, marked bool) {
	r.Helper()
	switch {
	case lease.Event != nil:
		r.settle(lease, event.Delivered)
	case state == event.Pending:
		if l := r.one(dest(name), id); l.Replay != marked || l.Attempt != 1 {
			r.Errorf("leased %+v", l)
		}
	default:
		r.nothing(dest(name))
	}
}
