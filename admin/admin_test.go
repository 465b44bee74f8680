package admin

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/gateway"
	"github.com/caddy-webhooks/caddy-webhooks/history"
	"github.com/caddy-webhooks/caddy-webhooks/jobs"
	"github.com/caddy-webhooks/caddy-webhooks/store"
	"github.com/caddy-webhooks/caddy-webhooks/store/memory"
)

// fake is a gateway whose store is real.
type fake struct {
	unlearned

	s store.Store
}

func (f fake) Store() store.Store { return f.s }

func (f fake) Import(ctx context.Context, r store.Record, now time.Time) (store.Receipt, error) {
	in := store.Import{Record: r, Share: 1 << 40}
	if r.ProviderID == "claimed" {
		in.Claim = &store.Claim{Window: time.Hour - now.Sub(r.Received)}
	}
	return f.s.Import(ctx, in) //nolint:wrapcheck // as the gateway does
}

// unlearned is a gateway of which no source learns its secret.
type unlearned struct{}

func (unlearned) Import(context.Context, store.Record, time.Time) (store.Receipt, error) {
	return store.Receipt{}, store.ErrClosed
}

func (unlearned) Learn(string, time.Time) (gateway.Learning, error) {
	return gateway.Learning{}, gateway.ErrNoLearner
}

func (unlearned) Learning(string, time.Time) (gateway.Learning, error) {
	return gateway.Learning{}, gateway.ErrNoSource
}

func (unlearned) Forget(context.Context, string, string) error { return gateway.ErrNoLearner }

// History has one destination that went down.
func (unlearned) History() *history.History {
	h := history.New()
	name := history.Name{Source: "shop", Destination: "default"}
	for i, state := range []string{"up", "down"} {
		h.Observe(time.Now(), []history.Reading{
			{Name: history.Name{Source: "shop"}, Counts: []uint64{uint64(3 + i), 1, 2, 0}},
			{Name: name, Counts: []uint64{1, 2, 0}, Gauges: []float64{4, 90.5}, State: state, Why: "backend answered 500 ?token=s3cret"},
		})
	}
	return h
}

// Refusals has three.
func (unlearned) Refusals(source string) []gateway.Refusal {
	if source == "blog" {
		return nil
	}
	return []gateway.Refusal{
		{At: time.Unix(3, 0), Source: "shop", Status: 401, Reason: "stale", Why: "the clock", Remote: "192.0.2.1:9", Method: "POST", Path: "/a", Size: 7, More: 2},
		{At: time.Unix(2, 0), Source: "shop", Status: 413, Reason: "too_large", Size: -1},
		{At: time.Unix(1, 0), Source: "shop"},
	}
}

func (unlearned) RefusalCounts(string) []gateway.RefusalCount {
	return []gateway.RefusalCount{{Source: "shop", Reason: "stale", Count: 9}, {Source: "shop", Reason: "backlog", Unavailable: true, Count: 1}}
}

// Troubles has one at times.
func (u unlearned) Troubles(oldest time.Duration, _ time.Time) []gateway.Trouble {
	if oldest == 0 {
		return nil
	}
	return []gateway.Trouble{{Reason: gateway.OldestPending, Source: "shop", Destination: "default", Words: "an event has been waiting for 2h"}}
}

// Jobs gives a runner that nobody uses.
func (unlearned) Jobs() *jobs.Runner { return jobs.New(jobs.Options{}) }

// empty is one without sources.
type empty struct {
	unlearned

	s store.Store
}

func (e empty) Store() store.Store { return e.s }

func (empty) Sources() []gateway.SourceStatus { return nil }

func (f fake) Sources() []gateway.SourceStatus {
	return []gateway.SourceStatus{{
		Name: "shop", Provider: "stripe", Accepted: 3, Destinations: []gateway.DestinationStatus{{
			Name: "default", State: gateway.Up, Count: map[event.State]int64{event.Pending: 2}, OldestPending: time.Unix(1_795_000_000, 0),
		}},
	}}
}

// api is the API over a store with three events, the last of type "b".
func api(t *testing.T) (API, []store.Receipt) {
	t.Helper()
	s := memory.New(memory.Options{})
	t.Cleanup(func() { _ = s.Close() })
	var receipts []store.Receipt
	for i, kind := range []string{"a", "a", "b"} {
		r, err := s.Accept(t.Context(), store.Admission{
			Event: &event.Event{
				Source: "shop", Provider: "stripe", ProviderID: fmt.Sprint("evt_", i), Type: kind, Received: time.Now(),
				Method: "POST", URI: "/hook?token=t0ps3cret&x=%zz", Proof: []string{"X-Billing-Key"},
				Header: http.Header{
					"Stripe-Signature": {"t=1,v1=t0ps3cret"}, "X-Billing-Key": {"t0ps3cret"}, "Authorization": {"Bearer t0ps3cret"},
					"Cookie": {"s=t0ps3cret"}, "X-Multi": {"a", "b"},
				},
				Body: []byte("{\"n\":1}\xff"),
			},
			Owed: []store.Owed{{Destination: "default"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		receipts = append(receipts, r)
	}
	return API{running: func() (Gateway, bool) { return fake{s: s}, true }}, receipts
}

// call makes a request to whichever route has the longest matching pattern.
func call(t *testing.T, a API, method, target, body string) (int, string, http.Header) {
	t.Helper()
	var handler caddy.AdminHandler
	longest := -1
	path, _, _ := strings.Cut(target, "?")
	for _, r := range a.Routes() {
		if (path == r.Pattern || strings.HasSuffix(r.Pattern, "/") && strings.HasPrefix(path, r.Pattern)) && len(r.Pattern) > longest {
			handler, longest = r.Handler, len(r.Pattern)
		}
	}
	w := httptest.NewRecorder()
	err := handler.ServeHTTP(w, httptest.NewRequest(method, target, strings.NewReader(body)))
	if refused, ok := errors.AsType[caddy.APIError](err); ok {
		return refused.HTTPStatus, refused.Err.Error(), w.Header()
	}
	if err != nil {
		t.Fatalf("%s %s: %v is no APIError, so it would be answered 500", method, target, err)
	}
	return w.Code, w.Body.String(), w.Header()
}

func TestEventsAreFilteredAndPaged(t *testing.T) {
	t.Parallel()
	a, receipts := api(t)
	for query, want := range map[string]int{
		"": 3, "type=a": 2, "type=b": 1, "id=evt_1": 1, "id=" + receipts[0].ID.String(): 1, "source=shop": 3, "source=other": 0,
		"state=pending": 3, "state=dead": 0, "destination=default": 3, "destination=x": 0, "q=evt_2": 1, "since=-1h": 3,
		"until=-1h": 0, "since=2020-01-01T00:00:00Z&type=a": 2, "since=-7d": 3,
	} {
		status, text, _ := call(t, a, "GET", "/webhooks/events?"+query, "")
		var v eventsJSON
		if err := json.Unmarshal([]byte(text), &v); err != nil || status != 200 || len(v.Events) != want {
			t.Errorf("%s: %d, %d events, %v; want %d", query, status, len(v.Events), err, want)
		}
	}
	seen, next := map[string]bool{}, ""
	for range 4 {
		target := "/webhooks/events?limit=1"
		if next != "" {
			target += "&cursor=" + next
		}
		_, text, _ := call(t, a, "GET", target, "")
		var v eventsJSON
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			t.Fatal(err)
		}
		for _, e := range v.Events {
			seen[e.Event] = true
		}
		if next = v.Next; next == "" {
			break
		}
	}
	if len(seen) != 3 {
		t.Errorf("%d of 3 events were seen page by page", len(seen))
	}
}

func TestWhatCannotBeAskedIsRefusedWithTheReason(t *testing.T) {
	t.Parallel()
	a, receipts := api(t)
	one := "/webhooks/events/" + receipts[0].ID.String()
	for _, c := range []struct {
		method, target, body string
		status               int
		says                 string
	}{
		{"GET", "/webhooks/events?colour=red", "", 400, "colour"},
		{"GET", "/webhooks/events?state=lost", "", 400, "pending"},
		{"GET", "/webhooks/events?limit=0", "", 400, "1000"},
		{"GET", "/webhooks/events?limit=1&limit=2", "", 400, "more than once"},
		{"GET", "/webhooks/events?since=yesterday", "", 400, "-2h"},
		{"GET", "/webhooks/events?cursor=!", "", 400, "next"},
		{"GET", "/webhooks/events?type=", "", 400, "empty"},
		{"GET", "/webhooks/events?since=-NaNd", "", 400, "-2h"},
		{"GET", "/webhooks/events?since=--2h", "", 400, "-2h"},
		{"GET", "/webhooks/events?since=--2d", "", 400, "-2h"},
		{"GET", "/webhooks/events?until=-1e300d", "", 400, "-2h"},
		{"GET", "/webhooks/events?since=-1h&until=-1h", "", 400, "later than since"},
		{"GET", "/webhooks/events?limit=1001", "", 400, "1000"},
		{"GET", "/webhooks/events?limit=ten", "", 400, "1000"},
		{"GET", "/webhooks/events?cursor=0", "", 400, "next"},
		{"GET", "/webhooks/events?state=dead;type=a", "", 400, "semicolon"},
		{"GET", "/webhooks/events?state=%zz", "", 400, "query"},
		{"GET", "/webhooks/events?colour=red&state=lost", "", 400, "cursor, destination, id, limit, q, since, source, state, type, until"},
		{"GET", "/webhooks/sources?name=shop", "", 400, "name"},
		{"DELETE", one, "", 405, "GET"},
		{"GET", "/webhooks/events/", "", 404, "ID"},
		{"GET", "/webhooks/events/" + strings.ToUpper(receipts[0].ID.String()) + "x", "", 404, "ID"},
		{"POST", one + "/replay/now", "", 404, "replay/now"},
		{"GET", one + "?body=raw&body=raw", "", 400, "more than once"},
		{"GET", one + "?colour=red", "", 400, "body, secrets"},
		{"POST", one + "/discard", `{"destination":""}`, 400, "empty"},
		{"POST", one + "/discard", `{"destination":null}`, 400, "null"},
		{"POST", one + "/discard", `{"destination":"default","destination":"other"}`, 400, "more than once"},
		{"POST", one + "/discard", `{"Destination":"default"}`, 400, "Destination"},
		{"POST", one + "/discard", `null`, 400, "no object"},
		{"POST", one + "/discard", `{"destination":"default"}}`, 400, "behind"},
		{"POST", one + "/discard", `{"destination":"default"} {}`, 400, "behind"},
		{"POST", one + "/discard", `{"destination":["default"]}`, 400, "default"},
		{"POST", one + "/discard", `destination=default`, 400, "default"},
		{"POST", one + "/discard", `{"destination":"` + strings.Repeat("x", maxCommand) + `"}`, 413, "larger"},
		{"POST", one + "/discard?destination=", "", 400, "empty"},
		{"POST", one + "/discard?destination=a&destination=b", "", 400, "more than once"},
		{"POST", one + "/discard?destination=other", `{"destination":"default"}`, 400, "different"},
		{"POST", one + "/discard?event=1", "", 400, "destination"},
		{"POST", "/webhooks/events", "", 405, "GET"},
		{"POST", "/webhooks/sources", "", 405, "GET"},
		{"GET", one + "/replay", "", 405, "POST"},
		{"GET", "/webhooks/events/nonsense", "", 404, "nonsense"},
		{"GET", "/webhooks/events/01890a5d-ac96-774b-bcce-b302099a8057", "", 404, "no such event"},
		{"POST", one + "/explode", "", 404, "explode"},
		{"GET", one + "?body=all", "", 400, "raw"},
		{"POST", one + "/replay", `{"destinatoin":"x"}`, 400, "destination"},
		{"POST", one + "/replay?destination=nobody", "", 404, "nobody"},
	} {
		status, text, _ := call(t, a, c.method, c.target, c.body)
		if status != c.status || !strings.Contains(text, c.says) {
			t.Errorf("%s %s: %d %q, want %d and %q", c.method, c.target, status, text, c.status, c.says)
		}
	}
	if _, text, _ := call(t, a, "GET", one, ""); !strings.Contains(text, `"state":"pending"`) {
		t.Errorf("a refused command did something all the same: %s", text)
	}
}

func TestNoSecretIsShown(t *testing.T) {
	t.Parallel()
	a, receipts := api(t)
	_, text, _ := call(t, a, "GET", "/webhooks/events/"+receipts[0].ID.String(), "")
	if strings.Contains(text, "t0ps3cret") {
		t.Errorf("a secret is shown:\n%s", text)
	}
	var v struct {
		Headers map[string][]string
		Body    string
		URI     string
	}
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(v.Headers["X-Multi"], ","); got != "a,b" {
		t.Errorf("X-Multi is %q", got)
	}
	if b, err := base64.StdEncoding.DecodeString(v.Body); err != nil || string(b) != "{\"n\":1}\xff" {
		t.Errorf("body %q, %v", b, err)
	}
	if v.URI != "/hook?token="+masked+"&x=%zz" {
		t.Errorf("URI %q", v.URI)
	}
	status, raw, h := call(t, a, "GET", "/webhooks/events/"+receipts[0].ID.String()+"?body=raw", "")
	if status != 200 || raw != "{\"n\":1}\xff" || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Content-Type") != "application/octet-stream" {
		t.Errorf("raw: %d %q %v", status, raw, h)
	}
}

func TestReplayAndDiscardActOnOneEvent(t *testing.T) {
	t.Parallel()
	a, receipts := api(t)
	one := "/webhooks/events/" + receipts[0].ID.String()
	if status, text, _ := call(t, a, "POST", one+"/discard", `{"destination":"default"}`); status != 200 || !strings.Contains(text, `"changed":["default"]`) {
		t.Fatalf("discard: %d %s", status, text)
	}
	_, text, _ := call(t, a, "GET", "/webhooks/events?state=discarded", "")
	if !strings.Contains(text, receipts[0].ID.String()) {
		t.Errorf("not discarded: %s", text)
	}
	if status, text, _ := call(t, a, "POST", one+"/replay", ""); status != 200 || !strings.Contains(text, `"changed":["default"]`) {
		t.Fatalf("replay: %d %s", status, text)
	}
	_, text, _ = call(t, a, "GET", "/webhooks/events?state=pending", "")
	if !strings.Contains(text, receipts[0].ID.String()) {
		t.Errorf("not pending again: %s", text)
	}
}

func TestWithoutAGatewayTheAPISaysSo(t *testing.T) {
	t.Parallel()
	a := API{running: func() (Gateway, bool) { return nil, false }}
	if status, text, _ := call(t, a, "GET", "/webhooks/sources", ""); status != 404 || !strings.Contains(text, "webhooks directive") {
		t.Errorf("%d %q", status, text)
	}
}

func TestSourcesHaveTheContractsFields(t *testing.T) {
	t.Parallel()
	a, _ := api(t)
	_, text, _ := call(t, a, "GET", "/webhooks/sources", "")
	var v struct{ Sources []map[string]any }
	if err := json.Unmarshal([]byte(text), &v); err != nil || len(v.Sources) != 1 {
		t.Fatalf("%s, %v", text, err)
	}
	for _, field := range []string{"name", "provider", "destinations", "accepted", "duplicates", "rejected"} {
		if _, ok := v.Sources[0][field]; !ok {
			t.Errorf("a source lacks %s", field)
		}
	}
	list, ok := v.Sources[0]["destinations"].([]any)
	if !ok || len(list) != 1 {
		t.Fatalf("destinations: %v", v.Sources[0]["destinations"])
	}
	d, ok := list[0].(map[string]any)
	if !ok {
		t.Fatalf("destination: %v", list[0])
	}
	for _, field := range []string{"name", "state", "pending", "delivered", "dead", "discarded", "filtered", "oldest_pending", "rate"} {
		if _, ok := d[field]; !ok {
			t.Errorf("a destination lacks %s", field)
		}
	}
}
