package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/query"
	"github.com/caddy-webhooks/caddy-webhooks/store"
	"github.com/caddy-webhooks/caddy-webhooks/store/memory"
)

// moves posts a move, which must work.
func moves(t *testing.T, a API, body string) (v movedJSON) {
	t.Helper()
	status, text, _ := call(t, a, "POST", "/webhooks/move", body)
	if err := json.Unmarshal([]byte(text), &v); err != nil || status != http.StatusOK {
		t.Fatalf("%s: %d %s", body, status, text)
	}
	return v
}

func TestOrphansAreMovedOldestFirstOverManyPages(t *testing.T) {
	t.Parallel()
	a, s := deskAPI(t, dest("shop", "new"), dest("blog", "default"))
	ids := accept(t, s, "shop", 2*query.MaxLimit+1, "old")
	accept(t, s, "blog", 3, "default")
	const body = `{"source":"shop","destination":"old","to":"new"`
	all := int64(len(ids))
	if v := moves(t, a, body+`,"dry_run":true}`); v != (movedJSON{Matched: all, To: "shop/new", DryRun: true}) {
		t.Errorf("dry run: %+v", v)
	}
	if n := len(due(t, s, dest("shop", "new"))); n != 0 {
		t.Errorf("a dry run has moved %d", n)
	}
	if v := moves(t, a, body+`}`); v != (movedJSON{Matched: all, Moved: all, To: "shop/new"}) {
		t.Errorf("%+v, want all %d moved", v, all)
	}
	for i, l := range due(t, s, dest("shop", "new")) {
		place := strings.TrimPrefix(l.Event.ProviderID, "shop")
		var was int
		if _, err := fmt.Sscan(place, &was); err != nil || was > i+movers || was < i-movers {
			t.Fatalf("at place %d comes what was accepted at %s", i, place)
		}
	}
	if v := moves(t, a, `{"source":"shop","to":"shop/new"}`); v.Matched != 0 {
		t.Errorf("what has arrived is moved again: %+v", v)
	}
}

func TestWhatIsDeliveredInAnOrderArrivesInIt(t *testing.T) {
	t.Parallel()
	a, s := deskAPI(t, dest("shop", "new"))
	const n = 300
	for i := range n {
		_, err := s.Accept(t.Context(), store.Admission{
			Event: &event.Event{Source: "shop", Provider: "github", ProviderID: fmt.Sprint(i), Received: time.Now(), Body: []byte("{}")},
			Owed:  []store.Owed{{Destination: "old", Order: 1}},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if v := moves(t, a, `{"source":"shop","destination":"old","to":"new"}`); v.Moved != n {
		t.Fatalf("%+v, want all %d moved", v, n)
	}
	for i := range n {
		l := due(t, s, dest("shop", "new"))
		if len(l) != 1 || l[0].Event.ProviderID != fmt.Sprint(i) {
			t.Fatalf("at place %d are due %+v", i, l)
		}
		settle(t, s, l[0], event.Delivered, event.Attempt{Status: 200})
	}
}

func TestOnlyWhatMatchesAndWaitsIsMoved(t *testing.T) {
	t.Parallel()
	a, s := deskAPI(t, dest("shop", "one"), dest("shop", "two"), dest("blog", "one"))
	ids := accept(t, s, "shop", 4, "one")
	accept(t, s, "shop", 1, "one", "two")
	for i, l := range due(t, s, dest("shop", "one")) {
		state := []event.State{event.Delivered, event.Dead, event.Pending, 0, event.Pending}[i]
		if state == 0 {
			continue // it is being sent
		}
		settle(t, s, l, state, event.Attempt{Status: 500})
	}
	for body, want := range map[string]movedJSON{
		`{"source":"shop","state":"dead","to":"blog/one","dry_run":true}`:                    {Matched: 1, To: "blog/one", DryRun: true},
		`{"source":"shop","state":"pending","to":"blog/one","dry_run":true}`:                 {Matched: 4, To: "blog/one", DryRun: true},
		`{"id":"` + ids[1].String() + `","to":"blog/one","dry_run":true}`:                    {Matched: 1, To: "blog/one", DryRun: true},
		`{"id":"` + ids[0].String() + `","to":"blog/one","dry_run":true}`:                    {To: "blog/one", DryRun: true},
		`{"since":"-1h","until":"2020-01-02T15:04:05Z","to":"blog/one","dry_run":true}`:      {}, // refused below
		`{"source":"shop","destination":"one","type":"pull","to":"two","dry_run":true}`:      {To: "shop/two", DryRun: true},
		`{"source":"shop","destination":"one","q":"shop2","to":"two","dry_run":true}`:        {Matched: 1, To: "shop/two", DryRun: true},
		`{"source":"shop","destination":"one","to":"two","until":"-1h","dry_run":true}`:      {To: "shop/two", DryRun: true},
		`{"source":"blog","destination":"one","to":"shop/two","since":"-1h","dry_run":true}`: {To: "shop/two", DryRun: true},
	} {
		if strings.Contains(body, "2020") {
			if status, _, _ := call(t, a, "POST", "/webhooks/move", body); status != 400 {
				t.Errorf("%s: %d", body, status)
			}
			continue
		}
		if v := moves(t, a, body); v != want {
			t.Errorf("%s: %+v, want %+v", body, v, want)
		}
	}
	// One waits, one is dead, one is being sent, one is owed to the other already.
	v := moves(t, a, `{"source":"shop","destination":"one","to":"two"}`)
	if v != (movedJSON{Matched: 4, Moved: 2, Skipped: 2, Sending: 1, To: "shop/two"}) {
		t.Errorf("%+v", v)
	}
	if n := len(due(t, s, dest("shop", "two"))); n != 3 {
		t.Errorf("%d are due at the other, want 3", n)
	}
}

func TestAnEventMovedToAnotherSourceIsShownThere(t *testing.T) {
	t.Parallel()
	a, s := deskAPI(t, dest("blog", "default"))
	id := accept(t, s, "shop", 1, "default")[0]
	if v := moves(t, a, `{"source":"shop","to":"blog/default"}`); v.Moved != 1 {
		t.Fatalf("%+v", v)
	}
	if v := moves(t, a, `{"source":"shop","to":"blog/default"}`); v.Matched != 0 {
		t.Errorf("again: %+v", v)
	}
	_, text, _ := call(t, a, "GET", "/webhooks/events?source=blog&state=pending", "")
	if !strings.Contains(text, id.String()) || !strings.Contains(text, `"destination":"default","source":"blog","state":"pending"`) {
		t.Errorf("the new source's events: %s", text)
	}
}

func TestAMoveThatCannotBeMeantIsRefused(t *testing.T) {
	t.Parallel()
	a, s := deskAPI(t, dest("shop", "default"))
	accept(t, s, "shop", 1, "old")
	for body, want := range map[string]string{
		``:                                          "400 the body must be like",
		`[]`:                                        "400 the body must be like",
		`{"to":"shop/default"} {}`:                  "400 the body must be like",
		`{"source":"shop"}`:                         `400 to is missing`,
		`{"to":"default"}`:                          `400 to is "default"; write it as source/destination`,
		`{"to":""}`:                                 "400 field to: it is empty",
		`{"to":"shop/default","source":""}`:         "400 field source: it is empty",
		`{"to":"shop/default","limit":"3"}`:         "400 field limit: a move is of all that match",
		`{"to":"shop/default","cursor":"a"}`:        "400 field cursor: a move is of all that match",
		`{"to":"shop/default","rate":"3"}`:          `400 unknown parameter "rate"`,
		`{"to":"shop/default","dry_run":"yes"}`:     "400 field dry_run:",
		`{"to":"shop/default","state":"delivered"}`: "400 what is delivered is not moved",
		`{"to":"shop/nowhere"}`:                     "404 there is no such destination: shop/nowhere; there are: shop/old (orphaned), shop/default",
		`{"to":"shop/old"}`:                         "409 shop/old is not configured any more",
		`{"to":"shop/default","source":"shoop"}`:    "404 there is no such source: shoop; there are:",
		`{"to":"default","source":"shop","destination":"olt"}`: "404 there is no such destination: shop/olt",
	} {
		status, text, _ := call(t, a, "POST", "/webhooks/move", body)
		if got := fmt.Sprint(status, " ", text); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s, want %s", body, got, want)
		}
	}
	if status, _, h := call(t, a, "GET", "/webhooks/move", ""); status != 405 || h.Get("Allow") != "POST" {
		t.Errorf("GET: %d", status)
	}
	if status, _, _ := call(t, a, "POST", "/webhooks/move?source=shop", `{"to":"shop/default"}`); status != 400 {
		t.Errorf("filters in the query: %d", status)
	}
}

func TestAMoveThatFailsHalfWaySaysHowFarItCame(t *testing.T) {
	t.Parallel()
	s := memory.New(memory.Options{})
	a := API{running: func() (Gateway, bool) {
		return desk{s: closing{s}, configured: []event.Destination{dest("shop", "new")}}, true
	}}
	accept(t, s, "shop", 1, "old")
	status, text, _ := call(t, a, "POST", "/webhooks/move", `{"source":"shop","to":"new"}`)
	if status != http.StatusServiceUnavailable || !strings.Contains(text, "moved 0 of 1") || !strings.Contains(text, "closed") {
		t.Errorf("%d %s", status, text)
	}
}

// closing is a store that closes when an event has been looked for.
type closing struct{ *memory.Store }

func (c closing) Query(ctx context.Context, f store.Filter) (store.Page, error) {
	defer func() { _ = c.Close() }()
	return c.Store.Query(ctx, f)
}

func TestAMoveFromOneDestinationLeavesTheOthersAlone(t *testing.T) {
	t.Parallel()
	a, s := deskAPI(t, dest("shop", "kept"), dest("shop", "new"))
	accept(t, s, "shop", 3, "kept", "old")
	if v := moves(t, a, `{"source":"shop","destination":"old","to":"new"}`); v.Moved != 3 {
		t.Fatalf("%+v", v)
	}
	for name, want := range map[string]int{"kept": 3, "old": 0, "new": 3} {
		if n := len(due(t, s, dest("shop", name))); n != want {
			t.Errorf("%d are due at %s, want %d", n, name, want)
		}
	}
}
