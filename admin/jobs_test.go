package admin

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/internal/testkit"
	"github.com/caddy-webhooks/caddy-webhooks/jobs"
	"github.com/caddy-webhooks/caddy-webhooks/query"
	"github.com/caddy-webhooks/caddy-webhooks/store"
)

// movedJSON is what has become of a move.
type movedJSON struct {
	Matched, Moved, Skipped, Sending int64
	To                               string
	DryRun                           bool
}

// moves orders a move, which must work, and waits for its end.
func moves(t *testing.T, a API, body string) movedJSON {
	t.Helper()
	begun, j := ordered(t, a, "move", body)
	return movedJSON{
		Matched: begun.Matched, To: begun.To, DryRun: begun.DryRun, Moved: j.Changed, Skipped: j.Skipped, Sending: j.Sending,
	}
}

// ordered gives an order, and waits for the end of its job if it has one.
func ordered(t *testing.T, a API, verb, body string) (begun begunJSON, j jobs.Job) {
	t.Helper()
	status, text, h := call(t, a, "POST", "/webhooks/"+verb, body)
	if err := json.Unmarshal([]byte(text), &begun); err != nil || status != http.StatusOK && status != http.StatusAccepted {
		t.Fatalf("%s: %d %s", body, status, text)
	}
	if begun.DryRun != (status == http.StatusOK) || begun.DryRun != (begun.Job == "") {
		t.Errorf("%s: %d %s", body, status, text)
	}
	if begun.DryRun {
		return begun, j
	}
	testkit.Eventually(t, "the job has ended", func() bool {
		status, text, _ := call(t, a, "GET", h.Get("Location"), "")
		if err := json.Unmarshal([]byte(text), &j); err != nil || status != http.StatusOK {
			t.Fatalf("%d %s", status, text)
		}
		return j.State != jobs.Running
	})
	if j.State != jobs.Done || j.Ended == nil {
		t.Errorf("%s: %+v", body, j)
	}
	return begun, j
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
	const abreast = 32 // are moved at once
	for i, l := range due(t, s, dest("shop", "new")) {
		place := strings.TrimPrefix(l.Event.ProviderID, "shop")
		var was int
		if _, err := fmt.Sscan(place, &was); err != nil || was > i+abreast || was < i-abreast {
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
		`{"to":"shop/default","rate":"3"}`:          "400 field rate:",
		`{"to":"shop/default","dry_run":"yes"}`:     "400 field dry_run:",
		`{"to":"shop/default","state":"delivered"}`: "400 what is delivered cannot be moved",
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

func TestManyAreReplayedAndDiscarded(t *testing.T) {
	t.Parallel()
	a, s := deskAPI(t, dest("shop", "one"), dest("blog", "copy"))
	accept(t, s, "shop", 5, "one")
	for i, l := range due(t, s, dest("shop", "one")) {
		settle(t, s, l, []event.State{event.Delivered, event.Dead, event.Delivered, event.Dead, event.Dead}[i], event.Attempt{Status: 500})
	}
	if v, _ := ordered(t, a, "replay", `{"source":"shop","state":"dead","dry_run":true}`); v.Matched != 3 {
		t.Errorf("a dry run: %+v", v)
	}
	if v, j := ordered(t, a, "replay", `{"source":"shop","state":"delivered","rate":1000}`); v.Matched != 2 || j.Changed != 2 || j.Rate != 1000 {
		t.Errorf("%+v, %+v", v, j)
	}
	leases := due(t, s, dest("shop", "one"))
	if len(leases) != 2 || !leases[0].Replay {
		t.Fatalf("%d are due, want the two that were delivered: %+v", len(leases), leases)
	}
	if v, j := ordered(t, a, "discard", `{"source":"shop","destination":"one"}`); v.Matched != 5 || j.Changed != 3 || j.Deferred != 2 {
		t.Errorf("%+v, %+v", v, j)
	}
	if v, j := ordered(t, a, "replay", `{"source":"shop","to":"blog/copy"}`); v.Matched != 5 || j.Changed != 5 || v.To != "blog/copy" {
		t.Errorf("%+v, %+v", v, j)
	}
	if n := len(due(t, s, dest("blog", "copy"))); n != 5 {
		t.Errorf("%d are due at the other destination, want all 5", n)
	}
	_, text, _ := call(t, a, "GET", "/webhooks/jobs", "")
	var known struct{ Jobs []jobs.Job }
	if err := json.Unmarshal([]byte(text), &known); err != nil || len(known.Jobs) != 3 || known.Jobs[0].To != "blog/copy" {
		t.Errorf("the jobs are %s", text)
	}
}

func TestAnOrderThatCannotBeMeantIsRefused(t *testing.T) {
	t.Parallel()
	a, s := deskAPI(t, dest("shop", "default"))
	accept(t, s, "shop", 1, "default")
	for order, want := range map[string]string{
		`replay {}`:                  "400 name what it is about",
		`discard {}`:                 "400 name what it is about",
		`move {"to":"shop/default"}`: "400 name what it is about",
		`replay {"dry_run":true}`:    "400 name what it is about",
		`discard {"source":"shop","to":"shop/default"}`:     "400 field to: what is discarded goes nowhere",
		`discard {"source":"shop","state":"delivered"}`:     "400 what is delivered cannot be discarded",
		`replay {"source":"shop","rate":0}`:                 "400 field rate: it must be deliveries a second",
		`replay {"source":"shop","rate":-1}`:                "400 field rate: it must be deliveries a second",
		`replay {"source":"shop","to":"nowhere"}`:           "404 there is no such destination: shop/nowhere",
		`replay {"source":"shop","colour":"red"}`:           `400 unknown field "colour"; there are destination, dry_run, id, q, rate, since, source, state, to, type, until`,
		`discard {"source":"shop","rate":1e-11}`:            "400 field rate: it must be deliveries a second, from 0.0001",
		`discard {"source":"shop","dry_run":null}`:          "400 the body must be like",
		`discard {"source":null,"state":"dead"}`:            "400 the body must be like",
		`discard {"source":"shop","rate":null}`:             "400 the body must be like",
		`discard {"source":"shop","source":"shop"}`:         "400 the body must be like",
		`discard {"destination":"nowhere"}`:                 "404 there is no such destination: nowhere; there are: shop/default",
		`discard {"until":"0001-01-01T00:00:00Z"}`:          "400 parameter until",
		`discard {"q":"` + strings.Repeat("x", 5000) + `"}`: "413 the body is larger than",
		`replay {"q":"` + strings.Repeat("x", 2000) + `"}`:  "400 the filters are too long",
	} {
		verb, body, _ := strings.Cut(order, " ")
		status, text, _ := call(t, a, "POST", "/webhooks/"+verb, body)
		if got := fmt.Sprint(status, " ", text); !strings.HasPrefix(got, want) {
			t.Errorf("%.80s: %s, want %s", order, got, want)
		}
	}
	for method, want := range map[string]int{"GET": 404, "DELETE": 404, "POST": 405} {
		if status, _, _ := call(t, a, method, "/webhooks/jobs/nothing", ""); status != want {
			t.Errorf("%s of an unknown job: %d, want %d", method, status, want)
		}
	}
	if _, text, _ := call(t, a, "GET", "/webhooks/jobs", ""); strings.TrimSpace(text) != `{"jobs":[]}` {
		t.Errorf("the jobs are %s", text)
	}
}

func TestAJobIsCancelledOnce(t *testing.T) {
	t.Parallel()
	a, s := deskAPI(t, dest("shop", "default"))
	accept(t, s, "shop", 50, "default")
	status, text, h := call(t, a, "POST", "/webhooks/discard", `{"source":"shop","rate":0.001}`)
	if status != http.StatusAccepted {
		t.Fatalf("%d %s", status, text)
	}
	var j jobs.Job
	status, text, _ = call(t, a, "DELETE", h.Get("Location"), "")
	if err := json.Unmarshal([]byte(text), &j); err != nil || status != 200 || j.State != jobs.Cancelled || j.Changed > 1 || !strings.Contains(j.Error, "cancelled by") {
		t.Errorf("%d %s", status, text)
	}
	if status, _, _ = call(t, a, "DELETE", h.Get("Location"), ""); status != http.StatusConflict {
		t.Errorf("again: %d", status)
	}
	if n := len(due(t, s, dest("shop", "default"))); n < 49 {
		t.Errorf("%d are due, want nearly all", n)
	}
}

// Its events are listed, so they can be named, though it owes nothing.
func TestEventsOfWhatIsGoneAreReplayedDiscardedAndMoved(t *testing.T) {
	t.Parallel()
	a, s := deskAPI(t, dest("blog", "default"))
	accept(t, s, "shop", 3, "old")
	for _, l := range due(t, s, dest("shop", "old")) {
		settle(t, s, l, event.Delivered, event.Attempt{Status: 200})
	}
	for _, order := range []string{
		`discard {"source":"shop"}`, `discard {"source":"shop","destination":"old"}`, `discard {"destination":"old","dry_run":true}`,
		`move {"source":"shop","to":"blog/default"}`,
	} {
		verb, body, _ := strings.Cut(order, " ")
		if v, _ := ordered(t, a, verb, body); v.Matched != 0 {
			t.Errorf("%s: %+v, want none: all are delivered", order, v)
		}
	}
	for order, want := range map[string]string{
		`replay {"source":"shoop"}`:                   "404 there is no such source: shoop; there are: blog/default, shop/old (orphaned)",
		`discard {"source":"shop","destination":"o"}`: "404 there is no such destination: shop/o; there are: blog/default, shop/old (orphaned)",
		`replay {"source":"shop"}`:                    "409 what matches is at destinations that are not configured any more",
		`replay {"source":"shop","dry_run":true}`:     "409 what matches is at destinations that are not configured any more",
	} {
		verb, body, _ := strings.Cut(order, " ")
		status, text, _ := call(t, a, "POST", "/webhooks/"+verb, body)
		if got := fmt.Sprint(status, " ", text); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s, want %s", order, got, want)
		}
	}
	if v, j := ordered(t, a, "replay", `{"source":"shop","to":"blog/default"}`); v.Matched != 3 || j.Changed != 3 {
		t.Errorf("%+v %+v", v, j)
	}
}

func TestAReplayLeavesOrphansAlone(t *testing.T) {
	t.Parallel()
	a, s := deskAPI(t, dest("shop", "one"))
	ids := accept(t, s, "shop", 2, "one", "old")
	alone := accept(t, s, "shop", 1, "old")
	for _, name := range []string{"one", "old"} {
		for i, l := range due(t, s, dest("shop", name)) {
			if i > 0 || name == "one" {
				settle(t, s, l, event.Dead, event.Attempt{Status: 500})
			} else if err := s.Release(l); err != nil { // it waits
				t.Fatal(err)
			}
		}
	}
	if v, _ := ordered(t, a, "replay", `{"source":"shop","dry_run":true}`); v.Matched != 2 || v.Orphaned != 3 {
		t.Errorf("a dry run: %+v", v)
	}
	if v, j := ordered(t, a, "replay", `{"source":"shop"}`); v.Matched != 2 || j.Changed != 2 || j.Skipped != 3 || j.Orphaned != 3 {
		t.Errorf("%+v %+v", v, j)
	}
	if n := len(due(t, s, dest("shop", "old"))); n != 1 {
		t.Errorf("%d wait where nothing is sent, want the one that did", n)
	}
	for _, target := range []string{alone[0].String() + "/replay", alone[0].String() + "/replay?destination=old", ids[1].String() + "/replay?destination=old"} {
		status, text, _ := call(t, a, "POST", "/webhooks/events/"+target, "")
		if status != 409 || !strings.HasPrefix(text, "shop/old is not configured any more") || !strings.Contains(text, "move") || !strings.Contains(text, "with to") {
			t.Errorf("%s: %d %s", target, status, text)
		}
	}
	for _, l := range due(t, s, dest("shop", "one")) {
		settle(t, s, l, event.Delivered, event.Attempt{Status: 200})
	}
	if status, text, _ := call(t, a, "POST", "/webhooks/events/"+ids[1].String()+"/replay", ""); status != 200 || !strings.Contains(text, `"changed":["one"]`) {
		t.Errorf("one of two: %d %s", status, text)
	}
	if status, text, _ := call(t, a, "POST", "/webhooks/events/"+ids[1].String()+"/discard", ""); status != 200 || !strings.Contains(text, `"changed":["one","old"]`) {
		t.Errorf("what is discarded may be an orphan's: %d %s", status, text)
	}
}

func TestDestinationsOfOneNameAreToldApart(t *testing.T) {
	t.Parallel()
	a, s := deskAPI(t, dest("shop", "app"), dest("blog", "app"))
	id := accept(t, s, "shop", 1, "app")[0]
	settle1 := func(source string) {
		for _, l := range due(t, s, dest(source, "app")) {
			settle(t, s, l, event.Delivered, event.Attempt{Status: 200})
		}
	}
	settle1("shop")
	if _, j := ordered(t, a, "replay", `{"id":"`+id.String()+`","to":"blog/app"}`); j.Changed != 1 {
		t.Fatalf("%+v", j)
	}
	settle1("blog")
	for query, want := range map[string]string{
		"": `"changed":["app","blog/app"]`, "?destination=app": `"changed":["app","blog/app"]`,
		"?destination=blog/app": `"changed":["blog/app"]`, "?destination=shop/app": `"changed":["app"]`,
	} {
		if _, text, _ := call(t, a, "POST", "/webhooks/events/"+id.String()+"/replay"+query, ""); !strings.Contains(text, want) {
			t.Errorf("%s: %s, want %s", query, text, want)
		}
	}
}
