package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/store"
)

var importCases = []testcase{
	{name: "what is imported stands as it stood elsewhere", run: importedWhole},
	{name: "what is imported as pending is delivered under its own ID", run: importedPending},
	{name: "an operator reaches what was imported by its ID", run: importedCommand},
	{name: "what is imported keeps its order", run: importedOrder},
	{name: "what is known is not imported again", run: importedTwice},
	{name: "attempts that an import has left out are added by the next, once", run: importedAgain},
	{name: "attempts at two sources' destinations of one name stay apart", run: attemptsApart},
	{name: "what was in flight elsewhere, and given up, is given up", run: importedDiscarding},
	{name: "a claim holds for what is imported, and against it", run: importedClaim},
	{name: "an event without its body is imported without", run: importedGone},
	{name: "a full backlog takes nothing that waits, and what is settled", run: importedFull, backlog: 40},
}

// foreign is an event that another store has had.
func (r *rig) foreign(n uint64, states map[string]event.State) store.Record {
	e := r.admission(fmt.Sprint("foreign", n)).Event
	e.Received = r.clock.Now().Add(-time.Hour)
	e.Header = http.Header{"X-Raw": {"\xff\x00", ""}}
	e.ID = event.NewID(e.Received, n, 0xfeed, 7)
	v := store.Record{Event: e, Row: store.Row{
		ID: e.ID, Source: e.Source, Provider: e.Provider, ProviderID: e.ProviderID, Type: e.Type, Received: e.Received, Size: len(e.Body),
	}}
	for _, name := range []string{"one", "two", "three"} {
		state, has := states[name]
		if !has {
			continue
		}
		d := event.Delivery{Destination: name, State: state, Attempts: 2, Excused: 1, Spent: time.Second}
		if state == event.Pending {
			d.Next, d.Order = r.clock.Now().Add(-time.Minute), 0
		} else {
			d.SettledAt = e.Received.Add(time.Minute)
		}
		if state == event.Delivered {
			d.DeliveredAt = d.SettledAt
		}
		v.Deliveries = append(v.Deliveries, d)
		for i := range 2 {
			v.Attempts = append(v.Attempts, event.Attempt{
				Destination: name, Number: i + 1, At: e.Received.Add(time.Duration(i+len(v.Attempts)) * time.Second), Status: 500,
				Error: "oh", Header: http.Header{"A": {"1", "2"}}, Answer: []byte{0, 255},
			})
		}
	}
	return v
}

// bring imports an event and compares the answer.
func (r *rig) bring(i store.Import, want store.Result) store.Receipt {
	r.Helper()
	if i.Record.Event != nil { // the store keeps what it is given
		e := *i.Record.Event
		i.Record.Event = &e
	}
	got, err := r.store().Import(r.Context(), i)
	if err != nil || got.Result != want {
		r.Fatalf("importing %v: %+v %v, want %v", i.Record.ID, got, err, want)
	}
	return got
}

// asItStood compares two records but for their sequence numbers.
func (r *rig) asItStood(got, want store.Record) {
	r.Helper()
	plain := func(v store.Record) string {
		v.Seq = 0
		v.Received = v.Received.UTC()
		if v.Event != nil {
			e := *v.Event
			e.Seq, e.Received = 0, e.Received.UTC()
			v.Event = &e
		}
		for i := range v.Deliveries {
			d := &v.Deliveries[i]
			d.Next, d.SettledAt, d.DeliveredAt = d.Next.UTC(), d.SettledAt.UTC(), d.DeliveredAt.UTC()
		}
		for i := range v.Attempts {
			v.Attempts[i].At = v.Attempts[i].At.UTC()
		}
		text, err := json.Marshal(v)
		if err != nil {
			r.Fatal(err)
		}
		return string(text)
	}
	if g, w := plain(got), plain(want); g != w {
		r.Errorf("it is read as\n%s\nwant\n%s", g, w)
	}
}

func importedWhole(r *rig) {
	r.accept("native")
	var all []store.Record
	for n, states := range []map[string]event.State{
		{"one": event.Delivered},
		{"one": event.Dead, "two": event.Pending, "three": event.Filtered},
		{"one": event.Discarded},
	} {
		v := r.foreign(uint64(n+1), states)
		all = append(all, v)
		got := r.bring(store.Import{Record: v}, store.Accepted)
		soon, cancel := context.WithTimeout(r.Context(), patience)
		if latest, err := r.s.Await(soon, got.Seq-1); err != nil || latest < got.Seq {
			r.Errorf("who waits for the next event hears of %d, %v; want %d", latest, err, got.Seq)
		}
		cancel()
	}
	r.store()
	for _, want := range all {
		r.asItStood(r.get(want.ID), want)
		page, err := r.s.Query(r.Context(), store.Filter{ID: want.ID.String()})
		if err != nil || len(page.Rows) != 1 || page.Rows[0].ID != want.ID {
			r.Errorf("by its ID is found %+v %v", page, err)
		}
		page, err = r.s.Query(r.Context(), store.Filter{ID: want.ProviderID, Since: want.Received, Until: want.Received.Add(1)})
		if err != nil || len(page.Rows) != 1 || page.Rows[0].ID != want.ID {
			r.Errorf("by the provider's ID is found %+v %v", page, err)
		}
	}
	if _, err := r.s.Get(r.Context(), event.NewID(r.clock.Now(), 77, 0xfeed, 7)); !errors.Is(err, store.ErrUnknown) {
		r.Errorf("one that was not imported: %v", err)
	}
}

func importedPending(r *rig) {
	v := r.foreign(1, map[string]event.State{"one": event.Pending})
	v.Deliveries[0].Source = "other"
	for i := range v.Attempts {
		v.Attempts[i].Source = "other"
	}
	r.bring(store.Import{Record: v}, store.Accepted)
	there := event.Destination{Source: "other", Name: "one"}
	select {
	case d := <-r.woken:
		if d != there {
			r.Errorf("woken is %v", d)
		}
	default:
		r.Errorf("nobody is woken")
	}
	r.store()
	l := r.one(there, v.ID)
	if l.Attempt != 3 || l.Excused != 1 || string(l.Event.Body) != string(v.Event.Body) || l.Fresh {
		r.Errorf("the lease is %+v", l)
	}
	r.settle(l, event.Delivered)
	r.becomes(v.ID, "one", event.Delivered)
	r.nothing(there)
}

func importedCommand(r *rig) {
	v := r.foreign(1, map[string]event.State{"one": event.Dead, "two": event.Delivered})
	r.bring(store.Import{Record: v}, store.Accepted)
	r.command(store.Command{Action: store.Replay, Event: v.ID, Destination: "two"})
	r.through(v.ID, "two", event.Delivered)
	r.command(store.Command{Action: store.Discard, Event: v.ID, Destination: "one"})
	r.becomes(v.ID, "one", event.Discarded)
}

func importedOrder(r *rig) {
	var ids []event.ID
	for n := range uint64(3) {
		v := r.foreign(n+1, map[string]event.State{"one": event.Pending})
		v.Deliveries[0].Order = 9
		r.bring(store.Import{Record: v}, store.Accepted)
		ids = append(ids, v.ID)
	}
	a := r.admission("native", "one")
	a.Owed[0].Order = 9
	for _, id := range append(ids, r.offer(a).ID) {
		l := r.one(dest("one"), id)
		r.nothing(dest("one"))
		r.settle(l, event.Delivered)
	}
}

func importedTwice(r *rig) {
	v := r.foreign(1, map[string]event.State{"one": event.Pending})
	var wait sync.WaitGroup
	results := make([]store.Result, 8)
	s := r.store()
	for i := range results {
		wait.Go(func() {
			e := *v.Event
			in := v
			in.Event = &e
			receipt, err := s.Import(r.Context(), store.Import{Record: in, Claim: claim("foreign1")})
			if err != nil {
				r.Errorf("importing: %v", err)
			}
			results[i] = receipt.Result
		})
	}
	wait.Wait()
	count := map[store.Result]int{}
	for _, got := range results {
		count[got]++
	}
	if count[store.Accepted] != 1 || count[store.Known] != 7 {
		r.Errorf("at once %v, want one accepted and the others known", count)
	}
	r.through(v.ID, "one", event.Delivered)
	if got := r.bring(store.Import{Record: v}, store.Known); got.ID != v.ID || got.Seq != r.get(v.ID).Seq {
		r.Errorf("a repeat gets %+v", got)
	}
	r.nothing(dest("one"))
	own := r.get(r.accept("native"))
	r.bring(store.Import{Record: own}, store.Known)
}

func importedAgain(r *rig) {
	v := r.foreign(1, map[string]event.State{"one": event.Dead, "two": event.Pending})
	all := v.Attempts
	v.Attempts = all[:1] // as if it had been killed behind the first
	r.bring(store.Import{Record: v}, store.Accepted)
	v.Attempts = all[:3]
	r.bring(store.Import{Record: v}, store.Known)
	v.Attempts = all
	for range 2 {
		r.bring(store.Import{Record: v}, store.Known)
		r.store()
		r.asItStood(r.get(v.ID), v)
	}
	r.through(v.ID, "two", event.Delivered)
	v.Attempts = append(slices.Clone(all), all[3]) // whatever it says, it is older than what has happened here
	r.bring(store.Import{Record: v}, store.Known)
	if n := len(r.get(v.ID).Attempts); n != len(all)+1 {
		r.Errorf("%d attempts are known after one more, want %d", n, len(all)+1)
	}
	native := r.get(r.accept("native"))
	native.Attempts = []event.Attempt{{Destination: "default", Number: 1, At: r.clock.Now()}}
	r.bring(store.Import{Record: native}, store.Known)
	if n := len(r.get(native.ID).Attempts); n != 0 {
		r.Errorf("an event of this store's own has been given %d attempts", n)
	}
}

func importedDiscarding(r *rig) {
	v := r.foreign(1, map[string]event.State{"one": event.Pending})
	v.Deliveries[0].InFlight, v.Deliveries[0].Discarding = true, true
	r.bring(store.Import{Record: v}, store.Accepted)
	if d := r.becomes(v.ID, "one", event.Discarded); d.InFlight || d.Discarding || d.SettledAt.IsZero() {
		r.Errorf("it is %+v, want it given up", d)
	}
	r.nothing(dest("one"))
	r.command(store.Command{Action: store.Replay, Event: v.ID})
	r.through(v.ID, "one", event.Delivered)
}

func attemptsApart(r *rig) {
	id := r.accept("a")
	r.through(id, "default", event.Dead)
	elsewhere := event.Destination{Source: "boutique", Name: "default"}
	r.command(store.Command{Action: store.Move, Event: id, Destination: "default", Target: elsewhere, Introduce: true})
	r.settle(r.one(elsewhere, id), event.Delivered)
	r.store()
	v := r.get(id)
	for i, want := range []int{http.StatusBadGateway, http.StatusOK} {
		var of []int
		for _, a := range v.Attempts {
			if a.Of(&v.Deliveries[i]) {
				of = append(of, a.Status)
			}
		}
		if len(of) != 1 || of[0] != want {
			r.Errorf("delivery %d to %s/%s has had the answers %v, want %d", i, v.Deliveries[i].Source, v.Deliveries[i].Destination, of, want)
		}
	}
}

func importedClaim(r *rig) {
	v := r.foreign(1, map[string]event.State{"one": event.Delivered})
	r.bring(store.Import{Record: v, Claim: claim("foreign1")}, store.Accepted)
	r.expect(r.admission("foreign1"), store.Duplicate, v.ID)
	native := r.accept("native")
	twin := r.foreign(2, map[string]event.State{"one": event.Pending})
	if got := r.bring(store.Import{Record: twin, Claim: claim("native")}, store.Duplicate); got.ID != native {
		r.Errorf("one whose claim stands gets %+v, want %v", got, native)
	}
	r.nothing(dest("one"))
	if _, err := r.s.Get(r.Context(), twin.ID); !errors.Is(err, store.ErrUnknown) {
		r.Errorf("one that is not imported can be read: %v", err)
	}
	r.clock.advance(window + time.Minute)
	r.through(native, "default", event.Delivered)
	r.accept("foreign1")
}

func importedGone(r *rig) {
	v := r.foreign(1, map[string]event.State{"one": event.Delivered})
	v.Event, v.Gone, v.Size = nil, true, 12345
	r.bring(store.Import{Record: v}, store.Accepted)
	r.store()
	r.asItStood(r.get(v.ID), v)
	_, err := r.s.Command(r.Context(), store.Command{Action: store.Replay, Event: v.ID, Destination: "one"})
	if !errors.Is(err, store.ErrGone) {
		r.Errorf("a replay: %v, want %v", err, store.ErrGone)
	}
	before := len(r.get(v.ID).Deliveries)
	_, err = r.s.Command(r.Context(), store.Command{Action: store.Replay, Event: v.ID, Target: dest("elsewhere")})
	if after := len(r.get(v.ID).Deliveries); !errors.Is(err, store.ErrGone) || after != before {
		r.Errorf("a replay elsewhere: %v, and %d deliveries in place of %d", err, after, before)
	}
}

func importedFull(r *rig) {
	for n := range uint64(2) {
		r.bring(store.Import{Record: r.foreign(n+1, map[string]event.State{"one": event.Pending}), Share: 100}, store.Accepted)
	}
	v := r.foreign(3, map[string]event.State{"one": event.Dead})
	if _, err := r.s.Import(r.Context(), store.Import{Record: v, Share: 100}); !errors.Is(err, store.ErrBacklog) {
		r.Errorf("one more that waits: %v, want %v", err, store.ErrBacklog)
	}
	r.bring(store.Import{Record: r.foreign(4, map[string]event.State{"one": event.Delivered}), Share: 100}, store.Accepted)
}
