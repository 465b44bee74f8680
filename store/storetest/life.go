package storetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/store"
)

var lifeCases = []testcase{
	{name: "an empty store is empty", run: empty},
	{name: "a cancelled context leaves nothing half done", run: cancelled},
	{name: "everything is there after a reopening", run: allThere, reopens: true},
	{name: "sequence numbers go on after a reopening", run: sequenceGoesOn, reopens: true},
	{name: "a closed store refuses everything", run: closed},
}

func empty(r *rig) {
	r.nothing(dest("default"))
	if page := r.page(store.Filter{}); len(page.Rows) != 0 || page.Next != 0 || !page.Complete {
		r.Errorf("%+v, want an empty page", page)
	}
	if v := r.store().Stats(); v.BacklogBytes != 0 || v.Accepting != nil {
		r.Errorf("%+v, want nothing waiting and accepting", v)
	}
}

func cancelled(r *rig) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for i := range 20 {
		ctx, cancel := context.WithCancel(r.Context())
		if i%2 == 0 {
			cancel()
		} else {
			wg.Go(cancel) // somewhere in the middle
		}
		a := r.admission(fmt.Sprint(i))
		first, err := r.store().Accept(ctx, a)
		cancel()
		if err != nil && !errors.Is(err, context.Canceled) {
			r.Fatalf("cancelled: %v, want %v", err, context.Canceled)
		}
		again := r.offer(r.admission(fmt.Sprint(i)))
		if err == nil && (again.Result != store.Duplicate || again.ID != first.ID) {
			r.Fatalf("the repeat is %+v, want a duplicate of %v", again, first.ID)
		}
	}
	r.take(dest("default"), 20)
}

func allThere(r *rig) {
	waiting := r.accept("waiting")
	l := r.one(dest("default"), waiting)
	r.settle(l, event.Pending)
	gone := r.accept("gone", "default", "second")
	r.through(gone, "default", event.Delivered)
	r.through(gone, "second", event.Dead)
	before := []store.Record{r.get(waiting), r.get(gone)}
	for range 3 {
		r.reopen()
		for i, id := range []event.ID{waiting, gone} {
			got := r.get(id)
			r.same("after reopening", got.Event, *before[i].Event)
			if instants(got.Deliveries) != instants(before[i].Deliveries) || len(got.Attempts) != len(before[i].Attempts) {
				r.Errorf("%+v\nwas %+v", got.Row, before[i].Row)
			}
		}
		r.nothing(dest("default"))
		r.nothing(dest("second"))
	}
	r.clock.advance(time.Hour)
	if again := r.one(dest("default"), waiting); again.Attempt != 2 {
		r.Errorf("%+v, want attempt 2", again)
	}
}

// instants prints deliveries without their times' zones.
func instants(deliveries []event.Delivery) string {
	var text strings.Builder
	for _, d := range deliveries {
		for _, t := range []*time.Time{&d.Next, &d.DeliveredAt} {
			*t = t.UTC()
		}
		fmt.Fprintf(&text, "%+v\n", d)
	}
	return text.String()
}

func sequenceGoesOn(r *rig) {
	var last uint64
	for i := range 5 {
		receipt := r.offer(r.admission(fmt.Sprint(i)))
		if receipt.Seq <= last {
			r.Fatalf("sequence %d comes after %d", receipt.Seq, last)
		}
		last = receipt.Seq
		r.reopen()
	}
	r.take(dest("default"), 5)
}

func closed(r *rig) {
	id := r.accept("a")
	l := r.one(dest("default"), id)
	s := r.s
	if err := s.Close(); err != nil {
		r.Fatal(err)
	}
	now := r.clock.Now()
	// A lease is not held any more either: what it is for may also call it stale.
	for i, err := range []error{
		s.Extend(l, now), s.Begin(l), s.Release(l), s.Settle(l, r.outcome(l, event.Delivered)),
	} {
		if !errors.Is(err, store.ErrClosed) && !errors.Is(err, store.ErrStale) {
			r.Errorf("%s: %v, want %v or %v", []string{"extend", "begin", "release", "settle"}[i], err, store.ErrClosed, store.ErrStale)
		}
	}
	for name, do := range map[string]func() error{
		"accept": func() error { _, err := s.Accept(r.Context(), r.admission("b")); return err },
		"repeat": func() error { _, err := s.Accept(r.Context(), r.admission("a")); return err },
		"command": func() error {
			_, err := s.Command(r.Context(), store.Command{Action: store.Replay, Event: id})
			return err
		},
		"pause": func() error {
			_, err := s.Command(r.Context(), store.Command{Action: store.Pause, Target: dest("default")})
			return err
		},
		"get":   func() error { _, err := s.Get(r.Context(), id); return err },
		"query": func() error { _, err := s.Query(r.Context(), store.Filter{}); return err },
		"await": func() error { _, err := s.Await(r.Context(), 0); return err },
		"lease": func() error {
			_, _, err := s.Lease(r.Context(), dest("default"), store.LeaseRequest{Now: now, Until: now.Add(1), Max: 1, MaxBytes: 1})
			return err
		},
		"accepting": func() error { return s.Stats().Accepting },
	} {
		if err := do(); !errors.Is(err, store.ErrClosed) {
			r.Errorf("%s: %v, want %v", name, err, store.ErrClosed)
		}
	}
	if err := s.Close(); err != nil {
		r.Errorf("closing twice: %v", err)
	}
	r.shut = true
}
