package local

import (
	"fmt"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/store"
)

// library is a store with n events in its index: the i-th has the ID evt_i, every
// thousandth is of a type of its own.
func library(t testing.TB, n int) *room {
	r := newRoom(t)
	for i := range n {
		kind := "common"
		if i%1000 == 500 {
			kind = "rare"
		}
		_, err := r.Accept(t.Context(), store.Admission{
			Event: &event.Event{
				Source: "shop", ProviderID: fmt.Sprintf("evt_%d", i), Type: kind, Method: "POST", URI: "/",
				Received: r.now().Add(time.Duration(i) * time.Second), Body: fmt.Appendf(nil, `{"n":%d}`, i%64),
			},
			Owed: []store.Owed{{Destination: "default"}},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := r.checkpointNow(); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *room) search(t testing.TB, f store.Filter) *search {
	t.Helper()
	if f.Limit == 0 {
		f.Limit = 50
	}
	q := r.newSearch(f)
	if err := r.index.db.View(func(txn *badger.Txn) error { return q.run(t.Context(), txn) }); err != nil {
		t.Fatal(err)
	}
	return q
}

func TestASearchReadsOnlyPagesThatMayHoldIt(t *testing.T) {
	t.Parallel()
	r := library(t, 4000) // 63 pages
	start := r.now()
	for name, c := range map[string]struct {
		f           store.Filter
		rows, pages int
	}{
		"an ID":                   {store.Filter{ID: "evt_1234"}, 1, 2},
		"an ID that is not there": {store.Filter{ID: "evt_x"}, 0, 1},
		"a type":                  {store.Filter{Type: "rare"}, 4, 4},
		"a type, oldest first":    {store.Filter{Type: "rare", OldestFirst: true}, 4, 4},
		"a state that none has":   {store.Filter{State: event.Dead}, 0, 0},
		"another source":          {store.Filter{Source: "else"}, 0, 0},
		"a time":                  {store.Filter{Since: start.Add(1000 * time.Second), Until: start.Add(1010 * time.Second)}, 10, 2},
		"the newest":              {store.Filter{Limit: 10}, 10, 2},
	} {
		q := r.search(t, c.f)
		if len(q.page.Rows) != c.rows || q.pages > c.pages {
			t.Errorf("%s: %d rows out of %d pages, want %d out of at most %d", name, len(q.page.Rows), q.pages, c.rows, c.pages)
		}
	}
}

// What has just changed is in memory only, and its zone in the index is of before.
func TestASearchFindsWhatTheIndexDoesNotHaveYet(t *testing.T) {
	t.Parallel()
	r := library(t, 1000)
	r.later(time.Hour)
	r.settleAll(func(id string) event.State {
		if id == "evt_77" {
			return event.Dead
		}
		return event.Pending
	})
	if rows := r.search(t, store.Filter{State: event.Dead}).page.Rows; len(rows) != 1 || rows[0].ProviderID != "evt_77" {
		t.Errorf("%v are dead, want evt_77 alone", rows)
	}
	if rows := r.search(t, store.Filter{State: event.Dead, OldestFirst: true}).page.Rows; len(rows) != 1 {
		t.Errorf("from the oldest: %v are dead", rows)
	}
}

func TestASearchThroughContentStopsAndGoesOn(t *testing.T) {
	t.Parallel()
	r := library(t, 3000)
	read := 0
	f := store.Filter{Limit: 1000, Content: func(e *event.Event) bool { read++; return string(e.Body) == `{"n":5}` }}
	for _, oldest := range []bool{false, true} {
		f.OldestFirst, f.Before, f.After, read = oldest, 0, 0, 0
		found, rounds := 0, 0
		for {
			q := r.newSearch(f)
			q.events = searchEvents - 700
			if err := r.index.db.View(func(txn *badger.Txn) error { return q.run(t.Context(), txn) }); err != nil {
				t.Fatal(err)
			}
			found += len(q.page.Rows)
			rounds++
			if q.page.Next == 0 {
				break
			}
			if q.page.Complete {
				t.Fatalf("round %d is complete and leads on to %d", rounds, q.page.Next)
			}
			if q.page.Reached.IsZero() {
				t.Error("it does not say how far it came")
			}
			f.Before, f.After = q.page.Next, 0
			if oldest {
				f.Before, f.After = 0, q.page.Next
			}
		}
		if found != 47 || rounds != 5 || read != 3000 {
			t.Errorf("oldest first %v: %d found in %d rounds after reading %d, want 47 in 5 after 3000", oldest, found, rounds, read)
		}
	}
}
