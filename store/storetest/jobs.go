package storetest

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/store"
)

// What jobs need of a store.

func sentElsewhere(r *rig) {
	id := r.accept("a")
	r.through(id, "default", event.Delivered)
	there := event.Destination{Source: "other", Name: "copy"}
	send := store.Command{Action: store.Replay, Event: id, Target: there, Who: "tester"}
	if done := r.command(send); fmt.Sprint(done.Changed) != "[copy]" {
		r.Errorf("%+v, want copy alone changed", done)
	}
	if d := r.becomes(id, "copy", event.Pending); !d.Replay || d.Source != "other" {
		r.Errorf("the new delivery is %+v, want a replay to source other", d)
	}
	if d := delivery(r.get(id).Row, "default"); d.State != event.Delivered || d.Replay {
		r.Errorf("the first delivery is %+v, want it as it was", d)
	}
	l := r.one(there, id)
	if !l.Replay || l.Attempt != 1 {
		r.Errorf("the lease is %+v, want a replay's first", l)
	}
	r.settle(l, event.Delivered)
	r.becomes(id, "copy", event.Delivered)
	r.nothing(dest("default"))
	r.command(send)
	r.settle(r.one(there, id), event.Dead)
	if n := len(r.get(id).Deliveries); n != 2 {
		r.Errorf("after sending twice there are %d deliveries, want 2", n)
	}
}

func spared(r *rig) {
	before := r.accept("before")
	r.through(before, "default", event.Delivered)
	after := r.accept("after")
	r.clock.advance(time.Minute)
	began := r.clock.Now()
	r.through(after, "default", event.Dead)
	replay := func(id event.ID, to event.Destination) error {
		_, err := r.store().Command(r.Context(), store.Command{Action: store.Replay, Event: id, Target: to, Before: began})
		return err
	}
	if err := replay(after, event.Destination{}); !errors.Is(err, store.ErrConflict) {
		r.Errorf("what was settled since: %v, want %v", err, store.ErrConflict)
	}
	if err := replay(before, event.Destination{}); err != nil {
		r.Errorf("what was settled before: %v", err)
	}
	r.clock.advance(time.Second)
	r.through(before, "default", event.Delivered)
	if err := replay(before, event.Destination{}); !errors.Is(err, store.ErrConflict) {
		r.Errorf("what was sent again already: %v, want %v", err, store.ErrConflict)
	}
	for _, want := range []error{nil, store.ErrConflict} {
		if err := replay(before, dest("copy")); !errors.Is(err, want) {
			r.Errorf("to another destination: %v, want %v", err, want)
		}
	}
	r.nothing(dest("default"))
	r.through(before, "copy", event.Delivered)
	if err := replay(before, dest("copy")); !errors.Is(err, store.ErrConflict) {
		r.Errorf("what was sent there already: %v, want %v", err, store.ErrConflict)
	}
}

func notes(r *rig) {
	kept := func() string { return fmt.Sprintf("%.10q", r.store().Kept()) }
	if got := kept(); got != "map[]" {
		r.Errorf("at first %s is kept", got)
	}
	for _, step := range []struct {
		name, value string
		want        error
		kept        string
	}{
		{"a", "one", nil, `map["a":"one"]`},
		{"b", "two", nil, `map["a":"one" "b":"two"]`},
		{"a", "three", nil, `map["a":"three" "b":"two"]`},
		{"c", strings.Repeat("x", store.MaxKept), store.ErrTooLarge, `map["a":"three" "b":"two"]`},
		{"b", "", nil, `map["a":"three"]`},
		{"a", strings.Repeat("x", store.MaxKept-1), nil, `map["a":"xxxxxxxxxx"]`},
	} {
		if err := r.store().Keep(r.Context(), step.name, []byte(step.value)); !errors.Is(err, step.want) {
			r.Errorf("keeping %.10q as %s: %v, want %v", step.value, step.name, err, step.want)
		}
		if got := kept(); got != step.kept {
			r.Errorf("after %.10q as %s: %s, want %s", step.value, step.name, got, step.kept)
		}
	}
	for i := range store.MaxNotes - 1 {
		if err := r.s.Keep(r.Context(), fmt.Sprint(i), []byte("x")); err != nil {
			r.Fatalf("note %d: %v", i, err)
		}
	}
	if err := r.s.Keep(r.Context(), "more", []byte("x")); !errors.Is(err, store.ErrConflict) {
		r.Errorf("one too many: %v, want %v", err, store.ErrConflict)
	}
	if n := len(r.store().Kept()); n != store.MaxNotes {
		r.Errorf("%d notes are kept, want %d", n, store.MaxNotes)
	}
}
