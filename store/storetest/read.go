package storetest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/store"
)

var readCases = []testcase{
	{name: "what is leased and read is what was accepted, byte for byte", run: byteExact},
	{name: "attempts are kept whole", run: attemptsKept},
	{name: "each filter finds what it says, alone and with others", run: filters},
	{name: "a cursor is not moved by what comes after it", run: cursor},
	{name: "oldest first is the same list from its other end", run: fromTheOldest},
	{name: "who waits for an event is told of it", run: await},
	{name: "a limit bounds the rows", run: limits},
}

func byteExact(r *rig) {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	bodies := [][]byte{nil, {0}, all, []byte("\xff\xfe\r\n{\"a\":1}\n\n"), []byte(strings.Repeat("x", 100_000))}
	for i, body := range bodies {
		a := r.admission(fmt.Sprint(i))
		a.Event.Body = body
		a.Event.Header = http.Header{"X-Multi": {"b", "a", "", "b"}, "X-Raw": {string(all)}, "X-Empty": {""}}
		a.Event.URI, a.Event.OriginalURI = "/a%2Fb//?q=%zz", "/p/a%2Fb//?q=%zz"
		a.Event.TLS, a.Event.TrustedProxy = i%2 == 0, i%2 == 1
		want := *a.Event
		receipt := r.offer(a)
		want.ID, want.Seq = receipt.ID, receipt.Seq
		l := r.one(dest("default"), receipt.ID)
		r.same("leased", l.Event, want)
		r.settle(l, event.Delivered)
		r.store()
		got := r.get(receipt.ID)
		r.same("read", got.Event, want)
		if got.Size != len(body) || got.Gone || got.ProviderID != want.ProviderID || got.Type != want.Type ||
			got.Source != want.Source || got.Provider != want.Provider || !got.Received.Equal(want.Received) {
			r.Errorf("the row is %+v", got.Row)
		}
	}
}

// same compares events; nil and empty bodies are equal, times by their instant.
func (r *rig) same(how string, got *event.Event, want event.Event) {
	r.Helper()
	if got == nil {
		r.Fatalf("%s: no event", how)
	}
	v := *got
	if !v.Received.Equal(want.Received) || string(v.Body) != string(want.Body) {
		r.Errorf("%s: received %v with %q, want %v with %q", how, v.Received, v.Body, want.Received, want.Body)
	}
	v.Received, v.Body = want.Received, want.Body
	if !reflect.DeepEqual(v, want) {
		r.Errorf("%s: %+v\nwant %+v", how, v, want)
	}
}

func attemptsKept(r *rig) {
	id := r.accept("a")
	var want []event.Attempt
	for i, state := range []event.State{event.Pending, event.Pending, event.Delivered} {
		l := r.one(dest("default"), id)
		if l.Attempt != i+1 {
			r.Fatalf("attempt %d has the number %d", i+1, l.Attempt)
		}
		want = append(want, r.outcome(l, state).Attempt)
		r.settle(l, state)
		r.clock.advance(time.Hour)
	}
	r.store()
	got := r.get(id).Attempts
	for i := range got {
		if i < len(want) && got[i].At.Equal(want[i].At) {
			got[i].At = want[i].At
		}
	}
	if !reflect.DeepEqual(got, want) {
		r.Errorf("%+v\nwant %+v", got, want)
	}
}

// exhibits fills the store with one of each kind.
func (r *rig) exhibits() (a, b, c, d event.ID, start time.Time) {
	start = r.clock.Now()
	put := func(id, from, kind string, to ...string) event.ID {
		v := r.admission(id, to...)
		v.Event.Source, v.Event.Type = from, kind
		defer r.clock.advance(time.Minute)
		return r.offer(v).ID
	}
	a = put("evt_a", source, "invoice.paid", "one", "two")
	b = put("evt_b", source, "invoice.failed", "one")
	c = put("evt_c", "other", "invoice.paid", "one")
	d = put("del_d", "other", "push", "two")
	l := r.one(dest("two"), a)
	r.settle(l, event.Dead)
	r.command(store.Command{Action: store.Discard, Event: b})
	return a, b, c, d, start
}

func filters(r *rig) {
	a, b, c, d, start := r.exhibits()
	minute := func(n int) time.Time { return start.Add(time.Duration(n) * time.Minute) }
	for _, v := range []struct {
		f    store.Filter
		want []event.ID
	}{
		{store.Filter{}, []event.ID{d, c, b, a}},
		{store.Filter{Source: source}, []event.ID{b, a}},
		{store.Filter{Destination: "two"}, []event.ID{d, a}},
		{store.Filter{State: event.Pending}, []event.ID{d, c, a}},
		{store.Filter{State: event.Delivered}, nil},
		{store.Filter{Type: "invoice.paid"}, []event.ID{c, a}},
		{store.Filter{Type: "invoice"}, nil},
		{store.Filter{ID: "evt_b"}, []event.ID{b}},
		{store.Filter{ID: "evt_"}, nil},
		{store.Filter{ID: c.String()}, []event.ID{c}},
		{store.Filter{ID: c.String(), Source: source}, nil},
		{store.Filter{Since: minute(1)}, []event.ID{d, c, b}},
		{store.Filter{Until: minute(1)}, []event.ID{a}},
		{store.Filter{Since: minute(1), Until: minute(3)}, []event.ID{c, b}},
		{store.Filter{Text: "evt_"}, []event.ID{c, b, a}},
		{store.Filter{Text: "invoice"}, []event.ID{c, b, a}},
		{store.Filter{Text: d.String()[20:]}, []event.ID{d}},
		{store.Filter{Text: "evt_", Source: "other"}, []event.ID{c}},
		{store.Filter{OldestFirst: true}, []event.ID{a, b, c, d}},
		{store.Filter{OldestFirst: true, Type: "invoice.paid"}, []event.ID{a, c}},
		{store.Filter{Content: func(e *event.Event) bool { return e.ProviderID != "evt_b" }}, []event.ID{d, c, a}},
		{store.Filter{Source: source, Content: func(e *event.Event) bool { return e.Source != "other" }}, []event.ID{b, a}},
		{store.Filter{ID: c.String(), Content: func(*event.Event) bool { return false }}, nil},
		// state and destination must be of one and the same delivery
		{store.Filter{State: event.Dead, Destination: "two"}, []event.ID{a}},
		{store.Filter{State: event.Dead, Destination: "one"}, nil},
		{store.Filter{State: event.Pending, Destination: "two"}, []event.ID{d}},
		{store.Filter{Source: source, Type: "invoice.paid", State: event.Pending, Destination: "one", Text: "a"}, []event.ID{a}},
	} {
		r.store()
		r.eventually(func() error {
			if got := ids(r.all(v.f)); fmt.Sprint(got) != fmt.Sprint(v.want) {
				return fmt.Errorf("%+v finds %v, want %v", v.f, got, v.want)
			}
			return nil
		})
	}
}

// page asks once.
func (r *rig) page(f store.Filter) store.Page {
	r.Helper()
	page, err := r.store().Query(r.Context(), f)
	if err != nil {
		r.Fatalf("%+v: %v", f, err)
	}
	return page
}

func cursor(r *rig) {
	var accepted []event.ID
	for i := range 10 {
		accepted = append(accepted, r.accept(fmt.Sprint(i)))
	}
	r.eventually(func() error {
		if n := len(r.all(store.Filter{})); n != 10 {
			return fmt.Errorf("%d events are listed, want 10", n)
		}
		return nil
	})
	f := store.Filter{Limit: 3}
	for round := range 4 {
		page := r.page(f)
		end := 10 - 3*round
		for i, row := range page.Rows {
			if want := accepted[end-1-i]; row.ID != want {
				r.Errorf("page %d row %d is %v, want %v", round, i, row.ID, want)
			}
		}
		if last := round == 3; len(page.Rows) != min(3, end) || (page.Next == 0) != last || !page.Complete {
			r.Fatalf("page %d has %d rows, next %d, complete %v", round, len(page.Rows), page.Next, page.Complete)
		}
		f.Before = page.Next
		r.accept(fmt.Sprint("new ", round)) // newer than every page to come
	}
}

func fromTheOldest(r *rig) {
	var accepted []event.ID
	for i := range 150 {
		a := r.admission(fmt.Sprint(i))
		receipt, err := r.s.Accept(r.Context(), a)
		if err != nil {
			r.Fatal(err)
		}
		accepted = append(accepted, receipt.ID)
	}
	seq := func(i int) uint64 { return r.get(accepted[i]).Seq }
	for _, v := range []struct {
		f    store.Filter
		want []event.ID
	}{
		{store.Filter{}, accepted},
		{store.Filter{After: seq(9)}, accepted[10:]},
		{store.Filter{Before: seq(100)}, accepted[:100]},
		{store.Filter{After: seq(63), Before: seq(70)}, accepted[64:70]},
		{store.Filter{After: seq(149)}, nil},
	} {
		r.store()
		r.eventually(func() error {
			newest, oldest := v.f, v.f
			newest.Limit, oldest.Limit, oldest.OldestFirst = 40, 40, true
			up, down := ids(r.all(oldest)), ids(r.all(newest))
			slices.Reverse(down)
			if !slices.Equal(up, v.want) || !slices.Equal(down, v.want) {
				return fmt.Errorf("%+v: %d from the oldest, %d from the newest, want %d", v.f, len(up), len(down), len(v.want))
			}
			return nil
		})
	}
}

func await(r *rig) {
	first := r.get(r.accept("a")).Seq
	wait := func(ctx context.Context, after uint64) chan error {
		ended := make(chan error, 1)
		go func() {
			latest, err := r.s.Await(ctx, after)
			if err == nil && latest <= after {
				err = fmt.Errorf("the latest is %d, which is not after %d", latest, after)
			}
			ended <- err
		}()
		return ended
	}
	if err := <-wait(r.Context(), first-1); err != nil {
		r.Errorf("an event is there: %v", err)
	}
	r.store()
	over, end := context.WithCancel(r.Context())
	end() // what is there is told all the same
	if err := <-wait(over, first-1); err != nil {
		r.Errorf("an event is there after opening: %v", err)
	}
	ctx, cancel := context.WithCancelCause(r.Context())
	why := errors.New("enough")
	ended := wait(ctx, first)
	cancel(why)
	if err := <-ended; !errors.Is(err, why) {
		r.Errorf("with its context ended: %v", err)
	}
	two := [2]chan error{wait(r.Context(), first), wait(r.Context(), first)}
	a := r.admission("b")
	receipt, err := r.s.Accept(r.Context(), a)
	if err != nil {
		r.Fatal(err)
	}
	for _, ended := range two {
		if err := <-ended; err != nil {
			r.Errorf("after another one: %v", err)
		}
	}
	if _, err := r.s.Get(r.Context(), receipt.ID); err != nil {
		r.Errorf("what was told of cannot be read: %v", err)
	}
	ended = wait(r.Context(), receipt.Seq)
	if err := r.s.Close(); err != nil {
		r.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, store.ErrClosed) {
		r.Errorf("with the store closed: %v", err)
	}
	r.shut = true
}

func limits(r *rig) {
	for i := range 120 {
		a := r.admission(fmt.Sprint(i))
		s := r.s
		if i%40 == 0 {
			s = r.store()
		}
		if _, err := s.Accept(r.Context(), a); err != nil {
			r.Fatal(err)
		}
	}
	for limit, want := range map[int]int{0: 50, -1: 50, 1: 1, 119: 119, 120: 120, 121: 120, 1 << 40: 120} {
		r.store()
		r.eventually(func() error {
			page := r.page(store.Filter{Limit: limit})
			if len(page.Rows) != want || (page.Next == 0) != (want == 120) {
				return fmt.Errorf("limit %d: %d rows, next %d; want %d rows", limit, len(page.Rows), page.Next, want)
			}
			return nil
		})
	}
}
