package admin

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/store"
	"github.com/caddy-webhooks/caddy-webhooks/store/memory"
)

var toShop = event.Destination{Source: "shop", Name: "default"}

// storeOf is the real store behind an API.
func storeOf(t *testing.T, a API) store.Store {
	t.Helper()
	g, ok := a.running()
	if !ok {
		t.Fatal("no gateway")
	}
	return g.Store()
}

// lease takes the oldest due delivery, as a worker would.
func lease(t *testing.T, s store.Store) store.Lease {
	t.Helper()
	leases, _, err := s.Lease(t.Context(), toShop, store.LeaseRequest{
		Now: time.Now().Add(time.Second), Until: time.Now().Add(time.Hour), Max: 1, MaxBytes: 1 << 20,
	})
	if err != nil || len(leases) != 1 {
		t.Fatalf("%d leases, %v", len(leases), err)
	}
	return leases[0]
}

func settle(t *testing.T, s store.Store, l store.Lease, state event.State, a event.Attempt) {
	t.Helper()
	a.Destination, a.Number, a.At = l.Destination.Name, l.Attempt, time.Now()
	if err := s.Settle(l, store.Settlement{Attempt: a, State: state, Next: time.Now().Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
}

func TestAnEventInFlightIsNotReplayedAndDiscardedLater(t *testing.T) {
	t.Parallel()
	a, _ := api(t)
	s := storeOf(t, a)
	l := lease(t, s)
	one := "/webhooks/events/" + l.Event.ID.String()
	if status, text, _ := call(t, a, "POST", one+"/replay", ""); status != http.StatusConflict || !strings.Contains(text, "in flight") {
		t.Errorf("replay in flight: %d %q", status, text)
	}
	status, text, _ := call(t, a, "POST", one+"/discard", "")
	if status != http.StatusAccepted || !strings.Contains(text, `"deferred":["default"]`) || !strings.Contains(text, `"changed":[]`) {
		t.Errorf("discard in flight: %d %q", status, text)
	}
	if _, text, _ = call(t, a, "GET", one, ""); !strings.Contains(text, `"discarding":true`) || !strings.Contains(text, `"in_flight":true`) {
		t.Errorf("a discard that waits is not shown: %s", text)
	}
	settle(t, s, l, event.Delivered, event.Attempt{Status: 200})
	if status, text, _ := call(t, a, "POST", one+"/discard", ""); status != http.StatusConflict {
		t.Errorf("discard of what is delivered: %d %q", status, text)
	}
}

func TestEveryReplayCountsAndHasAFreshBudget(t *testing.T) {
	t.Parallel()
	a, _ := api(t)
	s := storeOf(t, a)
	l := lease(t, s)
	one := "/webhooks/events/" + l.Event.ID.String()
	for round := range 3 {
		settle(t, s, l, event.Dead, event.Attempt{Status: 500})
		if status, text, _ := call(t, a, "POST", one+"/replay", `{"destination":"default"}`); status != 200 || !strings.Contains(text, `"changed":["default"]`) {
			t.Fatalf("replay %d: %d %s", round, status, text)
		}
		// The replayed one is the last due, so take all that are.
		leases, _, err := s.Lease(t.Context(), toShop, store.LeaseRequest{
			Now: time.Now().Add(time.Second), Until: time.Now().Add(time.Hour), Max: 10, MaxBytes: 1 << 20,
		})
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, again := range leases {
			if again.Event.ID == l.Event.ID {
				l, found = again, true
				continue
			}
			settle(t, s, again, event.Delivered, event.Attempt{Status: 200})
		}
		if !found || l.Attempt != 1 || !l.Replay {
			t.Fatalf("replay %d: due %v, attempt %d, marked %v", round, found, l.Attempt, l.Replay)
		}
	}
}

// onlyAttempt reads the one attempt of the one delivery that an answer has.
func onlyAttempt(t *testing.T, text string) attemptJSON {
	t.Helper()
	var v struct {
		Deliveries []struct{ Attempts []attemptJSON }
	}
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Deliveries) != 1 || len(v.Deliveries[0].Attempts) != 1 {
		t.Fatal(text)
	}
	return v.Deliveries[0].Attempts[0]
}

func TestAttemptsAreShownWithTheirAnswersAndWithoutSecrets(t *testing.T) {
	t.Parallel()
	a, _ := api(t)
	s := storeOf(t, a)
	l := lease(t, s)
	settle(t, s, l, event.Pending, event.Attempt{
		Status: 500, Duration: 1500 * time.Millisecond, Answer: []byte("no\xff"),
		Error: `Post "http://u:t0ps3cret@app/hook?token=t0ps3cret": dial tcp: refused`,
		Header: http.Header{
			"Set-Cookie": {"s=t0ps3cret"}, "Location": {"/login?access_token=t0ps3cret&x=1"}, "X-Billing-Key": {"t0ps3cret"}, "X-N": {"1", "2"},
		},
	})
	_, text, _ := call(t, a, "GET", "/webhooks/events/"+l.Event.ID.String(), "")
	if strings.Contains(text, "t0ps3cret") {
		t.Errorf("a secret is shown:\n%s", text)
	}
	got := onlyAttempt(t, text)
	if got.Status != 500 || got.Duration != 1.5 || got.Answer != "no�" || got.Headers["X-N"][1] != "2" || got.At.IsZero() {
		t.Errorf("attempt %+v", got)
	}
	if got.Headers["Location"][0] != "/login?access_token="+masked+"&x=1" || !strings.Contains(got.Error, "refused") {
		t.Errorf("masking took what is harmless: %v, %q", got.Headers, got.Error)
	}
	if strings.Contains(text, `"next":null`) {
		t.Error("the next attempt is not shown")
	}
}

func TestAFailingStoreIs503AndAClosedGatewayToo(t *testing.T) {
	t.Parallel()
	a, receipts := api(t)
	one := "/webhooks/events/" + receipts[0].ID.String()
	if err := storeOf(t, a).Close(); err != nil {
		t.Fatal(err)
	}
	gone := API{running: func() (Gateway, bool) { return fake{}, true }}
	for _, a := range []API{a, gone} {
		for _, c := range [][2]string{{"GET", "/webhooks/events"}, {"GET", one}, {"GET", one + "?body=raw"}, {"POST", one + "/replay"}, {"POST", one + "/discard"}} {
			if status, text, _ := call(t, a, c[0], c[1], ""); status != http.StatusServiceUnavailable || !strings.Contains(text, "closed") {
				t.Errorf("%s %s: %d %q", c[0], c[1], status, text)
			}
		}
	}
}

// bodiless is a store whose events have all outlived their retention, which
// the memory store underneath does not have.
type bodiless struct{ store.Store }

func (b bodiless) Get(ctx context.Context, id event.ID) (store.Record, error) {
	r, err := b.Store.Get(ctx, id)
	r.Event, r.Gone = nil, true
	return r, err
}

func (bodiless) Command(context.Context, store.Command) (store.Done, error) {
	return store.Done{}, errors.Join(errors.New("replay"), store.ErrGone)
}

func TestAnEventWithoutItsBodyIsShownAndNotReplayed(t *testing.T) {
	t.Parallel()
	full, receipts := api(t)
	a := API{running: func() (Gateway, bool) { return fake{s: bodiless{storeOf(t, full)}}, true }}
	one := "/webhooks/events/" + receipts[0].ID.String()
	status, text, _ := call(t, a, "GET", one, "")
	for _, part := range []string{`"gone":true`, `"headers":{}`, `"body":""`, `"attempts":[]`} {
		if status != 200 || !strings.Contains(text, part) {
			t.Errorf("%d without %s: %s", status, part, text)
		}
	}
	if status, _, _ := call(t, a, "GET", one+"?body=raw", ""); status != http.StatusGone {
		t.Errorf("its bytes: %d, want 410", status)
	}
	if status, _, _ := call(t, a, "POST", one+"/replay", ""); status != http.StatusGone {
		t.Errorf("its replay: %d, want 410", status)
	}
}

func TestEmptyListsAreListsAndNotNull(t *testing.T) {
	t.Parallel()
	s := memory.New(memory.Options{})
	t.Cleanup(func() { _ = s.Close() })
	a := API{running: func() (Gateway, bool) { return empty{s: s}, true }}
	for target, want := range map[string]string{"/webhooks/sources": `{"sources":[]}`, "/webhooks/events": `{"events":[],"next":""}`} {
		if _, text, h := call(t, a, "GET", target, ""); strings.TrimSpace(text) != want || h.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %s (%s), want %s", target, text, h.Get("Content-Type"), want)
		}
	}
}

// spy is a store that tells who commanded it; the memory store keeps no record of that.
type spy struct {
	store.Store
	who *string
}

func (s spy) Command(ctx context.Context, c store.Command) (store.Done, error) {
	*s.who = c.Who
	return s.Store.Command(ctx, c)
}

func TestTheRecordHasTheAddressWhateverNameIsGiven(t *testing.T) {
	t.Parallel()
	full, receipts := api(t)
	var got string
	a := API{running: func() (Gateway, bool) { return fake{s: spy{storeOf(t, full), &got}}, true }}
	for name, want := range map[string]string{
		"":                       "admin api 192.0.2.1:1234",
		"cli root@web":           "cli root@web, admin api 192.0.2.1:1234",
		"\x1b[2Jme":              "[2Jme, admin api 192.0.2.1:1234",
		strings.Repeat("é", 500): strings.Repeat("é", maxWho) + ", admin api 192.0.2.1:1234",
	} {
		r := httptest.NewRequest("POST", "/webhooks/events/"+receipts[0].ID.String()+"/replay", nil)
		r.Header.Set(WhoHeader, name)
		if err := a.Routes()[2].Handler.ServeHTTP(httptest.NewRecorder(), r); err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("%q is recorded as %q, want %q", name, got, want)
		}
	}
}

func TestAnUnreadChunkedBodyIsNoBody(t *testing.T) {
	t.Parallel()
	a, receipts := api(t)
	r := httptest.NewRequest("POST", "/webhooks/events/"+receipts[0].ID.String()+"/replay", strings.NewReader(""))
	r.ContentLength = -1 // as a chunked request without a chunk
	w := httptest.NewRecorder()
	if err := a.Routes()[2].Handler.ServeHTTP(w, r); err != nil || w.Code != 200 {
		t.Errorf("%d, %v", w.Code, err)
	}
}

func TestAllowNamesWhatIsPossible(t *testing.T) {
	t.Parallel()
	a, receipts := api(t)
	one := "/webhooks/events/" + receipts[0].ID.String()
	for target, want := range map[string]string{"/webhooks/sources": "GET, HEAD", one: "GET, HEAD", one + "/replay": "POST", one + "/discard": "POST"} {
		if status, _, h := call(t, a, "PUT", target, ""); status != 405 || h.Get("Allow") != want {
			t.Errorf("PUT %s: %d, Allow %q, want %q", target, status, h.Get("Allow"), want)
		}
	}
}

// Probes of load balancers ask with HEAD.
func TestWhatCanBeReadCanBeAskedWithHead(t *testing.T) {
	t.Parallel()
	a, s := deskAPI(t, dest("shop", "default"))
	one := "/webhooks/events/" + accept(t, s, "shop", 1, "default")[0].String()
	server := serving(t, a)
	for _, target := range []string{"/webhooks/health", "/webhooks/sources", "/webhooks/events", one, one + "?body=raw", "/webhooks/tail", "/webhooks/export", "/webhooks/jobs"} {
		resp, err := http.Head(server.URL + target) //nolint:noctx // the server's end is the test's
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK || len(text) > 0 || err != nil || resp.Header.Get("Content-Type") == "" {
			t.Errorf("HEAD %s: %s %q %v", target, resp.Status, text, err)
		}
	}
}

func TestMaskedNames(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"Authorization", "Proxy-Authorization", "Cookie", "Set-Cookie", "Stripe-Signature", "X-Hub-Signature-256", "X-Shopify-Hmac-Sha256",
		"X-Gitlab-Token", "X-Telegram-Bot-Api-Secret-Token", "X-Api-Key", "api_key", "apiKey", "access_token", "sig", "X-Amz-Security-Token",
		"X-Session-Id", "user[password]", "auth", "private_key", "X-Own-Proof",
	} {
		if !secret(name, []string{"x-own-proof"}) {
			t.Errorf("%s would be shown", name)
		}
	}
	for _, name := range []string{
		"Content-Type", "X-Github-Event", "Webhook-Id", "Webhook-Timestamp", "Idempotency-Key", "User-Agent", "X-Forwarded-For", "monkey", "design", "author",
	} {
		if secret(name, nil) {
			t.Errorf("%s would be masked", name)
		}
	}
}

func TestSecretsInAddressesAreMasked(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"/hook":                          "/hook",
		"/hook?a=1&token=s":              "/hook?a=1&token=" + masked,
		"/hook?a=1;token=s":              "/hook?a=1;token=" + masked,
		"/hook?%74oken=s":                "/hook?%74oken=" + masked,
		"/hook?%zz=s":                    "/hook?%zz=" + masked,
		"/hook?token=a=b==":              "/hook?token=" + masked,
		"/hook#access_token=s":           "/hook#access_token=" + masked,
		"https://me:s@example.com/x":     "https://" + masked + "@example.com/x",
		"https://example.com/a@b?c=d":    "https://example.com/a@b?c=d",
		`Get "http://a/?key=s": refused`: `Get "http://a/?key=` + masked + `": refused`,
		"text/plain; charset=utf-8":      "text/plain; charset=utf-8",
	} {
		if got := maskText(text, nil); got != want {
			t.Errorf("%s is shown as %s, want %s", text, got, want)
		}
	}
}

func TestTheModuleServesUnderCaddysAdmin(t *testing.T) {
	t.Parallel()
	m, err := caddy.GetModule("admin.api.webhooks")
	if err != nil {
		t.Fatal(err)
	}
	router, ok := m.New().(caddy.AdminRouter)
	if !ok {
		t.Fatal("it is no AdminRouter")
	}
	// Caddy hands the routes to a ServeMux, which panics on patterns that clash.
	mux := http.NewServeMux()
	for _, r := range router.Routes() {
		mux.Handle(r.Pattern, http.NotFoundHandler())
	}
	if status, _, _ := call(t, API{}, "GET", "/webhooks/sources", ""); status != 404 {
		t.Errorf("without a gateway in this process: %d", status)
	}
}
