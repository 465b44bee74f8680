package handler

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	_ "github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/gateway"
	"github.com/caddy-webhooks/caddy-webhooks/internal/testkit"
	"github.com/caddy-webhooks/caddy-webhooks/store"
	"github.com/caddy-webhooks/caddy-webhooks/store/local"
	"github.com/caddy-webhooks/caddy-webhooks/store/local/journal/faultfs"
)

// asked is a source whose provider waits for the answer of a real application.
type asked struct {
	*Handler
	app *gateway.App
	// waiting gets a word whenever a request begins to wait; its time is over when
	// the test says so.
	waiting chan time.Duration
	over    chan time.Time
	// requests counts what reached the application.
	requests atomic.Int64
	server   *httptest.Server
}

const fallback = "one moment, please"

// asks gives such a source, and the JSON beside its upstream. Its tests run one
// after the other, as those of [serving] do.
func asks(t *testing.T, answer http.HandlerFunc, more string, tune func(*local.Options)) *asked {
	t.Helper()
	a := &asked{Handler: new(Handler), waiting: make(chan time.Duration, 128), over: make(chan time.Time)}
	a.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Webhook-Event-Id") == "" {
			return // the test itself
		}
		a.requests.Add(1)
		answer(w, r)
	}))
	t.Cleanup(func() {
		a.server.CloseClientConnections()
		a.server.Close()
	})
	ctx, err := caddy.ProvisionContext(&caddy.Config{
		Admin:   &caddy.AdminConfig{Disabled: true},
		AppsRaw: caddy.ModuleMap{"webhooks": json.RawMessage(fmt.Sprintf(`{"store":{"path":%q}}`, t.TempDir()))},
	})
	if err != nil {
		t.Fatal(err)
	}
	module, err := ctx.App("webhooks")
	if err != nil {
		t.Fatal(err)
	}
	a.app = module.(*gateway.App) //nolint:forcetypeassert // a test
	a.app.Tune = tune
	t.Cleanup(func() {
		if err := a.app.Cleanup(); err != nil {
			t.Error(err)
		}
	})
	config := fmt.Sprintf(`{"from":{"provider":"github","secrets":[%q]},"respond":{"status":202,"body":%q},"respond_backend":{},
		"to":[{"retry":{"backoff_first":3600000000000,"backoff_max":3600000000000}%s,
			"routes":[{"handle":[{"handler":"reverse_proxy","upstreams":[{"dial":%q}]}]}]}]}`,
		secret, fallback, more, a.server.Listener.Addr())
	if err := json.Unmarshal([]byte(config), a.Handler); err != nil {
		t.Fatal(err)
	}
	if err := a.Provision(ctx); err != nil {
		t.Fatal(err)
	}
	a.alarm = func(d time.Duration) (<-chan time.Time, func()) {
		a.waiting <- d
		return a.over, func() {}
	}
	if err := a.app.Start(); err != nil {
		t.Fatal(err)
	}
	return a
}

// record reads the only event there is, when its attempt has been recorded.
func (a *asked) record(t *testing.T) store.Record {
	t.Helper()
	g, _ := gateway.Running()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for pace := time.NewTicker(5 * time.Millisecond); ; {
		page, err := g.Store().Query(ctx, store.Filter{Limit: 2})
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Rows) == 1 && !page.Rows[0].Deliveries[0].InFlight {
			r, err := g.Store().Get(ctx, page.Rows[0].ID)
			if err != nil {
				t.Fatal(err)
			}
			if len(r.Attempts) > 0 {
				return r
			}
		}
		select {
		case <-pace.C:
		case <-ctx.Done():
			t.Fatalf("no attempt of one event: %+v", page)
		}
	}
}

// delivered insists that the only event was delivered by one attempt.
func (a *asked) delivered(t *testing.T) {
	t.Helper()
	r := a.record(t)
	if d := r.Deliveries[0]; d.State != event.Delivered || d.Attempts != 1 || len(r.Attempts) != 1 {
		t.Errorf("%+v, attempts %+v; want one that delivered it", d, r.Attempts)
	}
	if n := a.requests.Load(); n != 1 {
		t.Errorf("the application was asked %d times", n)
	}
}

// isFallback insists on the normal answer, and on the reason that was counted.
func (a *asked) isFallback(t *testing.T, w *httptest.ResponseRecorder, word string) {
	t.Helper()
	if w.Code != http.StatusAccepted || w.Body.String() != fallback || w.Header().Get("Webhook-Status") != word || w.Header().Get("Webhook-Event-Id") == "" {
		t.Errorf("%d %q %v, want the normal answer, %s", w.Code, w.Body, w.Header(), word)
	}
}

// idle waits until nothing holds the next event.
func (a *asked) idle(t *testing.T) {
	t.Helper()
	testkit.Eventually(t, "a slot is free", func() bool { return a.source.Held() == "" })
}

func (a *asked) send(t *testing.T, id string) *httptest.ResponseRecorder {
	t.Helper()
	return serve(t, a.Handler, signed(t, id, "{}"))
}

func TestTheProviderGetsTheBackendsAnswer(t *testing.T) {
	var attempt string
	a := asks(t, func(w http.ResponseWriter, r *http.Request) {
		attempt = r.Header.Get("Webhook-Attempt")
		h := w.Header()
		h["Content-Type"] = []string{"application/vnd.example+json"}
		h["Set-Cookie"] = []string{"a=1; Path=/", "b=2"}
		h["X-Many"] = []string{"2", "1", "2"}
		h["Keep-Alive"] = []string{"timeout=5"}
		h["Alt-Svc"] = []string{`h3=":443"`}
		h["Webhook-Status"] = []string{"forged"}
		h["Webhook-Event-Id"] = []string{"forged"}
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, `{"text":"h`)
		_ = http.NewResponseController(w).Flush() // chunked
		_, _ = io.WriteString(w, `i"}`)
	}, "", nil)
	w := a.send(t, "a")
	h := w.Header()
	if w.Code != http.StatusCreated || w.Body.String() != `{"text":"hi"}` || h.Get("Content-Length") != "13" {
		t.Errorf("got %d %q, length %s", w.Code, w.Body, h.Get("Content-Length"))
	}
	want := http.Header{
		"Content-Type": {"application/vnd.example+json"}, "Set-Cookie": {"a=1; Path=/", "b=2"}, "X-Many": {"2", "1", "2"},
		"Webhook-Status": {"accepted"}, "Keep-Alive": nil, "Alt-Svc": nil, "Transfer-Encoding": nil,
	}
	for name, values := range want {
		if !slices.Equal(h[name], values) {
			t.Errorf("%s: %q, want %q", name, h[name], values)
		}
	}
	r := a.record(t)
	if h.Get("Webhook-Event-Id") != r.ID.String() || len(h["Webhook-Event-Id"]) != 1 {
		t.Errorf("the event is %q, want %s", h["Webhook-Event-Id"], r.ID)
	}
	if attempt != "1" || r.Attempts[0].Number != 1 || r.Attempts[0].Status != http.StatusCreated || string(r.Attempts[0].Answer) != `{"text":"hi"}` {
		t.Errorf("Webhook-Attempt was %q, the history has %+v", attempt, r.Attempts)
	}
	a.delivered(t)
}

func TestOnlyAWhole2xxAnswerThatIsNotTooLongIsPassedOn(t *testing.T) {
	body := func(n int) string { return strings.Repeat("x", n) }
	answer := func(status, n int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body(n))
		}
	}
	cut := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "9")
		_, _ = io.WriteString(w, "half")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	gone := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		more   string
		status int // 0: the normal answer
		size   int
		reason string
		state  event.State
	}{
		"an empty one":         {answer(200, 0), "", 200, 0, "", event.Delivered},
		"no content":           {answer(204, 0), "", 204, 0, "", event.Delivered},
		"64 KiB":               {answer(299, 64<<10), "", 299, 64 << 10, "", event.Delivered},
		"a byte more":          {answer(200, 64<<10+1), "", 0, 0, ownLarge, event.Delivered},
		"much more":            {answer(200, 1<<20), "", 0, 0, ownLarge, event.Delivered},
		"a redirect":           {answer(302, 0), "", 0, 0, ownStatus, event.Pending},
		"a refusal":            {answer(404, 9), "", 0, 0, ownStatus, event.Pending},
		"a final refusal":      {answer(410, 9), "", 0, 0, ownStatus, event.Dead},
		"a failure":            {answer(500, 9), "", 0, 0, ownStatus, event.Pending},
		"a hang-up":            {gone, "", 0, 0, ownFailed, event.Pending},
		"one cut short":        {cut, "", 0, 0, ownCut, event.Pending},
		"one cut short, taken": {cut, `,"accept_cut_answer":true`, 0, 0, ownCut, event.Delivered},
	} {
		t.Run(name, func(t *testing.T) {
			a := asks(t, c.answer, c.more, nil)
			before := a.source.Answers()[c.reason]
			w := a.send(t, "a")
			if c.status == 0 {
				a.isFallback(t, w, "accepted")
			} else if w.Code != c.status || w.Body.String() != body(c.size) {
				t.Errorf("got %d with %d bytes, want %d with %d", w.Code, w.Body.Len(), c.status, c.size)
			}
			if n := a.source.Answers()[c.reason] - before; n != 1 {
				t.Errorf("the reason %q was counted %d times", c.reason, n)
			}
			if d := a.record(t).Deliveries[0]; d.State != c.state || d.Attempts != 1 {
				t.Errorf("the delivery is %+v, want %v after one attempt", d, c.state)
			}
		})
	}
}

func TestTheBackendIsNotAskedBeforeTheEventIsDurable(t *testing.T) {
	var blocked, early atomic.Bool
	disk := faultfs.New(1).Boot()
	a := asks(t, func(w http.ResponseWriter, _ *http.Request) {
		early.Store(early.Load() || blocked.Load())
		_, _ = io.WriteString(w, "hi")
	}, "", func(o *local.Options) { o.FS = disk })
	syncing, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	blocked.Store(true)
	disk.Hook(func(op faultfs.Op, _ string) *faultfs.Fault {
		if op == faultfs.Sync {
			once.Do(func() {
				close(syncing)
				<-release
			})
		}
		return nil
	})
	answered := make(chan *httptest.ResponseRecorder)
	r := signed(t, "a", "{}")
	go func() { answered <- serve(t, a.Handler, r) }()
	<-syncing
	for range 50 { // time enough for an attempt that should not be
		resp, err := http.Get(a.server.URL) //nolint:noctx // bounded by the test
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
	}
	if n := a.requests.Load(); n != 0 {
		t.Errorf("the application was asked %d times before the sync", n)
	}
	blocked.Store(false)
	close(release)
	if w := <-answered; w.Body.String() != "hi" || early.Load() {
		t.Errorf("answered %q; asked early: %v", w.Body, early.Load())
	}
}

// holding is an application that says when it is asked, and answers when it may.
func holding() (answer http.HandlerFunc, began, release chan struct{}) {
	began, release = make(chan struct{}, 128), make(chan struct{})
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		began <- struct{}{}
		select {
		case <-release:
			_, _ = io.WriteString(w, "hi")
		case <-r.Context().Done():
		}
	}, began, release
}

func TestASlowBackendsAnswerComesTooLateAndItsAttemptCounts(t *testing.T) {
	answer, began, release := holding()
	a := asks(t, answer, "", nil)
	answered := make(chan *httptest.ResponseRecorder)
	r := signed(t, "a", "{}")
	go func() { answered <- serve(t, a.Handler, r) }()
	<-began
	if d := <-a.waiting; d <= 0 || d > time.Duration(DefaultWithin) {
		t.Errorf("it waits %v, want up to %v", d, time.Duration(DefaultWithin))
	}
	a.over <- time.Time{}
	a.isFallback(t, <-answered, "accepted")
	close(release)
	a.delivered(t)
	if a.source.Answers()[ownLate] == 0 {
		t.Error("no answer counts as late")
	}
}

func TestTheTimeRunsFromTheRequestsArrival(t *testing.T) {
	a := asks(t, func(http.ResponseWriter, *http.Request) {}, "", nil)
	began := time.Now()
	var arrived atomic.Bool
	a.now = func() time.Time { // the body comes half a second late
		if arrived.Swap(true) {
			return began.Add(500 * time.Millisecond)
		}
		return began
	}
	a.send(t, "a")
	if d := <-a.waiting; d != time.Duration(DefaultWithin)-500*time.Millisecond {
		t.Errorf("it waits %v more", d)
	}
}

func TestWhenTheProviderHangsUpTheAttemptGoesOn(t *testing.T) {
	answer, began, release := holding()
	a := asks(t, answer, "", nil)
	ctx, hangUp := context.WithCancel(t.Context())
	answered := make(chan struct{})
	r := signed(t, "a", "{}").WithContext(ctx)
	go func() {
		serve(t, a.Handler, r)
		close(answered)
	}()
	<-began
	hangUp()
	<-answered
	close(release)
	a.delivered(t)
	if a.source.Answers()[ownGone] == 0 {
		t.Error("nobody counts as gone")
	}
}

func TestRepeatsWaitForTheSameAttempt(t *testing.T) {
	answer, began, release := holding()
	a := asks(t, answer, "", nil)
	const repeats = 50
	answers := make([]*httptest.ResponseRecorder, repeats)
	var wg sync.WaitGroup
	for i := range answers {
		r := signed(t, "a", "{}")
		wg.Go(func() { answers[i] = serve(t, a.Handler, r) })
	}
	<-began
	for range repeats {
		<-a.waiting
	}
	close(release)
	wg.Wait()
	words := map[string]int{}
	for _, w := range answers {
		words[w.Header().Get("Webhook-Status")]++
		if w.Code != 200 || w.Body.String() != "hi" || w.Header().Get("Webhook-Event-Id") != answers[0].Header().Get("Webhook-Event-Id") {
			t.Errorf("got %d %q %v", w.Code, w.Body, w.Header())
		}
	}
	if words["accepted"] != 1 || words["duplicate"] != repeats-1 {
		t.Errorf("the words are %v", words)
	}
	a.delivered(t)
	a.isFallback(t, a.send(t, "a"), "duplicate")
	a.delivered(t)
}

func TestARepeatJoinsAnAttemptForWhichTheFirstNoLongerWaits(t *testing.T) {
	answer, began, release := holding()
	a := asks(t, answer, "", nil)
	first, second := make(chan *httptest.ResponseRecorder), make(chan *httptest.ResponseRecorder)
	one, two := signed(t, "a", "{}"), signed(t, "a", "{}")
	go func() { first <- serve(t, a.Handler, one) }()
	<-began
	<-a.waiting
	a.over <- time.Time{}
	a.isFallback(t, <-first, "accepted")
	go func() { second <- serve(t, a.Handler, two) }()
	<-a.waiting
	close(release)
	if w := <-second; w.Body.String() != "hi" || w.Header().Get("Webhook-Status") != "duplicate" {
		t.Errorf("got %d %q %v", w.Code, w.Body, w.Header())
	}
	a.delivered(t)
}

// warm sends events until so many may be attempted at once: a destination begins
// with one. It leaves nobody waiting.
func (a *asked) warm(t *testing.T, slots int) {
	t.Helper()
	g, _ := gateway.Running()
	n := 0
	testkit.Eventually(t, "there are slots", func() bool {
		a.idle(t)
		a.send(t, fmt.Sprint("warm ", n))
		n++
		return g.Sources()[0].Destinations[0].Limit >= slots
	})
	a.idle(t)
	for len(a.waiting) > 0 {
		<-a.waiting
	}
}

func TestAnEventThatIsHeldGetsTheNormalAnswerAtOnce(t *testing.T) {
	for name, c := range map[string]struct {
		more  string
		slots int
		hold  func(t *testing.T)
	}{
		"by an operator's pause": {"", 2, func(t *testing.T) {
			g, _ := gateway.Running()
			d := event.Destination{Source: "github", Name: "default"}
			if _, err := g.Store().Command(t.Context(), store.Command{Action: store.Pause, Target: d}); err != nil {
				t.Fatal(err)
			}
		}},
		"because all slots are taken":         {`,"concurrency":1`, 1, func(*testing.T) {}},
		"because one with its key goes first": {`,"order_by":"{webhooks.source}"`, 2, func(*testing.T) {}},
	} {
		t.Run(name, func(t *testing.T) {
			slow, began, release := holding()
			var held atomic.Bool
			a := asks(t, func(w http.ResponseWriter, r *http.Request) {
				if held.Load() {
					slow(w, r)
				}
			}, c.more, nil)
			a.warm(t, c.slots)
			held.Store(true)
			before := a.source.Answers()[ownHeld]
			first := make(chan *httptest.ResponseRecorder)
			r := signed(t, "first", "{}")
			go func() { first <- serve(t, a.Handler, r) }()
			<-began
			<-a.waiting
			c.hold(t)
			a.isFallback(t, a.send(t, "a"), "accepted")
			if n := a.source.Answers(); n[ownHeld] != before+1 || len(a.waiting) != 0 {
				t.Errorf("the answers are %v, %d wait", n, len(a.waiting))
			}
			close(release)
			if w := <-first; w.Body.String() != "hi" {
				t.Errorf("the first one got %q", w.Body)
			}
		})
	}
}

func TestAnUnorderedEventIsNotHeldByOneThatIsSlow(t *testing.T) {
	slow, began, release := holding()
	a := asks(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-GitHub-Delivery") == "first" {
			slow(w, r)
		}
	}, "", nil)
	a.warm(t, 2)
	first := make(chan *httptest.ResponseRecorder)
	r := signed(t, "first", "{}")
	go func() { first <- serve(t, a.Handler, r) }()
	<-began
	if w := a.send(t, "a"); w.Code != http.StatusOK || w.Body.Len() != 0 {
		t.Errorf("got %d %q", w.Code, w.Body)
	}
	close(release)
	<-first
}

func TestWhileTheDestinationIsDownNobodyWaits(t *testing.T) {
	a := asks(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }, "", nil)
	n := 0
	testkit.Eventually(t, "the destination is down", func() bool {
		a.isFallback(t, a.send(t, fmt.Sprint(n)), "accepted")
		n++
		return strings.HasPrefix(a.source.Held(), "the destination is down: ")
	})
	for len(a.waiting) > 0 {
		<-a.waiting
	}
	a.isFallback(t, a.send(t, "a"), "accepted")
	if len(a.waiting) != 0 {
		t.Error("the provider waited")
	}
}

func TestADeadEventThatComesAgainIsDeliveredLikeAnyOther(t *testing.T) {
	var asked atomic.Int64
	a := asks(t, func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) == 1 {
			w.WriteHeader(http.StatusGone)
		}
	}, "", nil)
	a.isFallback(t, a.send(t, "a"), "accepted")
	if d := a.record(t).Deliveries[0]; d.State != event.Dead {
		t.Fatalf("the delivery is %+v", d)
	}
	a.isFallback(t, a.send(t, "a"), "revived")
	if n := a.source.Answers(); n[ownStatus] != 1 || n[ownRevived] != 1 {
		t.Errorf("the answers are %v", n)
	}
	testkit.Eventually(t, "it is delivered", func() bool { return a.record(t).Deliveries[0].State == event.Delivered })
}

func TestAnEventThatNobodyWantsGetsTheNormalAnswer(t *testing.T) {
	a := asks(t, func(http.ResponseWriter, *http.Request) {}, `,"events":["never"]`, nil)
	a.isFallback(t, a.send(t, "a"), "filtered")
	if n := a.requests.Load(); n != 0 {
		t.Errorf("the application was asked %d times", n)
	}
}

func TestAnEventWithoutAnIDIsAskedAboutEachTime(t *testing.T) {
	a := asks(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hi") }, "", nil)
	for range 2 {
		a.idle(t)
		r := signed(t, "", "{}")
		r.Header.Del("X-GitHub-Delivery")
		if w := serve(t, a.Handler, r); w.Body.String() != "hi" || w.Header().Get("Webhook-Status") != "accepted" {
			t.Errorf("got %d %q %v", w.Code, w.Body, w.Header())
		}
	}
}

func TestNothingIsAskedWhileTheDiskFails(t *testing.T) {
	disk := faultfs.New(1).Boot()
	a := asks(t, func(http.ResponseWriter, *http.Request) {}, "", func(o *local.Options) { o.FS = disk })
	disk.Hook(func(op faultfs.Op, _ string) *faultfs.Fault {
		if op == faultfs.Sync {
			return &faultfs.Fault{Err: io.ErrShortWrite}
		}
		return nil
	})
	var wg sync.WaitGroup
	for range 8 {
		r := signed(t, "a", "{}")
		wg.Go(func() {
			if w := serve(t, a.Handler, r); w.Code != http.StatusServiceUnavailable {
				t.Errorf("answered %d", w.Code)
			}
		})
	}
	wg.Wait()
	if n := a.requests.Load(); n != 0 {
		t.Errorf("the application was asked %d times", n)
	}
	disk.Hook(nil)
	for pace := time.NewTicker(10 * time.Millisecond); a.send(t, "a").Code == http.StatusServiceUnavailable; {
		select { // as a provider does
		case <-pace.C:
		case <-t.Context().Done():
			t.Fatal("the store does not recover")
		}
	}
	a.delivered(t)
}

func TestOneApplicationOnlyCanAnswer(t *testing.T) {
	t.Parallel()
	h := &Handler{
		From: From{Provider: "github", Secrets: []string{secret}}, RespondBackend: new(RespondBackend),
		To: []*To{{Name: "a"}, {Name: "b"}}, Places: map[string]string{"respond_backend": "Caddyfile:7", "webhooks": "Caddyfile:2"},
	}
	ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
	defer cancel()
	err := h.Provision(ctx)
	if err == nil || !strings.Contains(err.Error(), "2 destinations; keep one `to`") || !strings.HasSuffix(err.Error(), ", at Caddyfile:7") {
		t.Errorf("got %v", err)
	}
	h.To, h.RespondBackend.Within = h.To[:1], -1
	if err := h.Provision(ctx); err == nil || !strings.Contains(err.Error(), "negative") {
		t.Errorf("got %v", err)
	}
}

func TestHeadersOfOneConnectionDoNotTravelOn(t *testing.T) {
	t.Parallel()
	got := endToEnd(http.Header{
		"Connection": {"close, X-Hop", " x-other"}, "X-Hop": {"1"}, "X-Other": {"2"}, "transfer-encoding": {"chunked"}, "Trailer": {"X"},
		"Content-Length": {"7"}, "Upgrade": {"h2c"}, "Webhook-Original-X": {"3"}, "X-A": {"1", "2"}, "Content-Type": nil,
	})
	if len(got) != 2 || !slices.Equal(got["X-A"], []string{"1", "2"}) {
		t.Errorf("got %v", got)
	}
	if v, named := got["Content-Type"]; !named || v != nil {
		t.Errorf("what is to be left out became %q", v)
	}
}

func TestAnOperatorsOwnAnswerSaysWhatItIs(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		"":                                 "text/plain; charset=utf-8",
		"thanks":                           "text/plain; charset=utf-8",
		"{not json":                        "text/plain; charset=utf-8",
		`"text"`:                           "text/plain; charset=utf-8",
		` {"type":5} `:                     "application/json",
		"[]":                               "application/json",
		`<?xml version="1.0"?><Response/>`: "application/xml",
	} {
		if got := contentType(body); got != want {
			t.Errorf("%q is %s, want %s", body, got, want)
		}
	}
}

func TestNoTypeIsGuessedAndNothingHasNoLength(t *testing.T) {
	a := asks(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Content-Type"] = nil
		if r.Header.Get("X-GitHub-Delivery") == "empty" {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		_, _ = io.WriteString(w, "<html>")
	}, "", nil)
	w := a.send(t, "a")
	if v, named := w.Header()["Content-Type"]; w.Body.String() != "<html>" || !named || v != nil {
		t.Errorf("got %q, its type is %q", w.Body, v)
	}
	a.idle(t)
	w = a.send(t, "empty")
	if _, named := w.Header()["Content-Length"]; w.Code != http.StatusNoContent || named {
		t.Errorf("got %d %v", w.Code, w.Header())
	}
}

func TestWhoWaitsKeepsNobodyElseOut(t *testing.T) {
	answer, began, release := holding()
	a := asks(t, answer, "", nil)
	answered := make(chan *httptest.ResponseRecorder)
	r := signed(t, "a", "{}")
	go func() { answered <- serve(t, a.Handler, r) }()
	<-began
	<-a.waiting
	if err := a.source.Budget().Take(t.Context(), gateway.DefaultMaxInflight); err != nil {
		t.Errorf("a body that is stored counts as being read: %v", err)
	}
	a.source.Budget().Give(gateway.DefaultMaxInflight)
	close(release)
	<-answered
}

func TestTwoSourcesThatAnswerDifferentlyAreNotOne(t *testing.T) {
	t.Parallel()
	plain, asking := &Handler{Name: "a"}, &Handler{Name: "a", RespondBackend: new(RespondBackend)}
	one, err := plain.identity()
	if err != nil {
		t.Fatal(err)
	}
	other, err := asking.identity()
	if err != nil || string(one) == string(other) {
		t.Errorf("both are %s, %v", one, err)
	}
}

func TestAnswersAreNeverMixedUp(t *testing.T) {
	a := asks(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Header.Get("X-GitHub-Delivery"))
	}, "", nil)
	a.alarm = timer
	var wg sync.WaitGroup
	var own atomic.Int64
	const events, repeats = 100, 4
	for i := range events * repeats {
		id := fmt.Sprint("event ", i%events)
		r := signed(t, id, "{}")
		wg.Go(func() {
			switch w := serve(t, a.Handler, r); w.Body.String() {
			case id:
				own.Add(1)
			case fallback:
			default:
				t.Errorf("%s is answered %d %q", id, w.Code, w.Body)
			}
		})
	}
	wg.Wait()
	counts := a.source.Answers()
	if own.Load() == 0 || counts[""] != uint64(own.Load()) {
		t.Errorf("%d got the application's answer; counted are %v", own.Load(), counts)
	}
	testkit.Eventually(t, "all are delivered", func() bool { return a.requests.Load() >= events })
	if n := a.requests.Load(); n != events {
		t.Errorf("%d attempts of %d events", n, events)
	}
}

func TestNobodyWaitsForASlot(t *testing.T) {
	answer, began, release := holding()
	a := asks(t, answer, `,"concurrency":1`, nil)
	const events, slots = 12, 1
	answers := make(chan *httptest.ResponseRecorder)
	for i := range events {
		r := signed(t, fmt.Sprint(i), "{}")
		go func() { answers <- serve(t, a.Handler, r) }()
	}
	for range events - slots { // they come while the slots are taken
		a.isFallback(t, <-answers, "accepted")
	}
	for range slots {
		<-began
	}
	close(release)
	for range slots {
		if w := <-answers; w.Body.String() != "hi" {
			t.Errorf("got %d %q", w.Code, w.Body)
		}
	}
}
