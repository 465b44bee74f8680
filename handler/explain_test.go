package handler

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-webhooks/caddy-webhooks/gateway"
	"github.com/caddy-webhooks/caddy-webhooks/internal/testkit"
	"github.com/caddy-webhooks/caddy-webhooks/verify"
	"github.com/caddy-webhooks/caddy-webhooks/verify/providers"
)

// book is a log that can be read while it is written.
type book struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *book) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

// lines are the refusals since the last call.
func (b *book) lines(t *testing.T) []map[string]any {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	var list []map[string]any
	for line := range strings.Lines(b.text.String()) {
		var v map[string]any
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatal(err)
		}
		list = append(list, v)
	}
	b.text.Reset()
	return list
}

// explaining is a gateway of several sources whose clock and log are the test's.
type explaining struct {
	t   *testing.T
	ctx caddy.Context
	app *gateway.App
	log book
	now time.Time
}

func newExplaining(t *testing.T) *explaining {
	t.Helper()
	ctx, err := caddy.ProvisionContext(&caddy.Config{
		Admin:   &caddy.AdminConfig{Disabled: true},
		AppsRaw: caddy.ModuleMap{"webhooks": json.RawMessage(`{"store":{"kind":"memory"}}`)},
	})
	if err != nil {
		t.Fatal(err)
	}
	module, err := ctx.App("webhooks")
	if err != nil {
		t.Fatal(err)
	}
	e := &explaining{t: t, ctx: ctx, app: module.(*gateway.App), now: time.Now()} //nolint:forcetypeassert // a test
	t.Cleanup(func() {
		if err := e.app.Cleanup(); err != nil {
			t.Error(err)
		}
	})
	return e
}

func (e *explaining) source(name, provider, secret string) *Handler {
	e.t.Helper()
	h := new(Handler)
	config := fmt.Sprintf(`{"name":%q,"from":{"provider":%q,"secrets":[%q]},
		"to":[{"routes":[{"handle":[{"handler":"static_response","status_code":200}]}]}]}`, name, provider, secret)
	if err := json.Unmarshal([]byte(config), h); err != nil {
		e.t.Fatal(err)
	}
	if err := h.Provision(e.ctx); err != nil {
		e.t.Fatal(err)
	}
	h.now = func() time.Time { return e.now }
	h.log = slog.New(slog.NewJSONHandler(&e.log, nil))
	return h
}

// refused serves a request that is to be refused, and gives the words for it.
func (e *explaining) refused(h *Handler, r *http.Request) (reason, why string) {
	e.t.Helper()
	w := serve(e.t, h, r)
	header := w.Header()
	header.Del("Connection") // whether the body was read is no secret
	if w.Code != http.StatusUnauthorized || w.Body.Len() > 0 || len(header) != 1 || header.Get("Webhook-Status") != "rejected" {
		e.t.Errorf("answered %d %v %q", w.Code, header, w.Body)
	}
	h.looking.Wait()
	e.now = e.now.Add(time.Second) // else the next one is held back
	lines := e.log.lines(e.t)
	if len(lines) != 1 || lines[0]["msg"] != "request refused" {
		e.t.Fatalf("logged %v", lines)
	}
	reason, _ = lines[0]["reason"].(string)
	why, _ = lines[0]["why"].(string)
	return reason, why
}

func (e *explaining) counted(source, reason string) float64 {
	e.t.Helper()
	families, err := e.ctx.GetMetricsRegistry().Gather()
	if err != nil {
		e.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			if f.GetName() == "caddy_webhooks_events_rejected_total" && labels["source"] == source && labels["reason"] == reason {
				return m.GetCounter().GetValue()
			}
		}
	}
	return 0
}

func byGitHub(t *testing.T, secret, body string) *http.Request {
	t.Helper()
	r, err := testkit.Signed("http://shop.example/hook", secret, "one", []byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
	return r
}

func TestTheReasonOfARefusalIsLoggedAndCountedAndTheSenderLearnsNothing(t *testing.T) {
	e := newExplaining(t)
	shop := e.source("shop", "github", "sesame")
	e.source("code", "github", "opensesame")
	e.source("linear", "linear", "sesame")
	if err := e.app.Start(); err != nil {
		t.Fatal(err)
	}
	unsigned := byGitHub(t, "sesame", "{}")
	unsigned.Header.Del("X-Hub-Signature-256")
	for _, c := range []struct {
		r           *http.Request
		reason, why string
	}{
		{byGitHub(t, "opensesame", "{}"), "other_source", "this is the secret of source code"},
		{byGitHub(t, "sesame", "{}\n"), "body_changed", "with the trailing newline removed"},
		{byGitHub(t, "sesame\n", "{}"), "secret_space", "lacks the newline"},
		{byGitHub(t, "unknown", "{}"), "mismatch", "another secret"},
		{unsigned, "missing", "no header X-Hub-Signature-256"},
	} {
		reason, why := e.refused(shop, c.r)
		if reason != c.reason || !strings.Contains(why, c.why) {
			t.Errorf("%s: %q, want %s: %q", reason, why, c.reason, c.why)
		}
		if n := e.counted("shop", c.reason); n != 1 {
			t.Errorf("%s was counted %v times", c.reason, n)
		}
		if strings.Contains(why, "sesame") {
			t.Errorf("%q shows a secret", why)
		}
	}
	if n := e.counted("code", "other_source"); n != 0 {
		t.Errorf("counted %v times for the other source", n)
	}
}

func TestASecretThatHeldBeforeIsRecognisedOverFilesAndReloads(t *testing.T) {
	e := newExplaining(t)
	path := filepath.Join(t.TempDir(), "secret")
	put := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("first")
	h := e.source("shop", "github", "{file."+path+"}")
	if err := e.app.Start(); err != nil {
		t.Fatal(err)
	}
	put("the second")
	e.now = e.now.Add(time.Minute)
	want := e.now.UTC().Format(time.RFC3339)
	if w := serve(t, h, byGitHub(t, "first", "{}")); w.Code != http.StatusUnauthorized {
		t.Fatalf("answered %d", w.Code)
	}
	h.looking.Wait()
	e.now = e.now.Add(time.Minute)
	e.log.lines(t)
	if reason, why := e.refused(h, byGitHub(t, "first", "{}")); reason != "secret_rotated" || !strings.Contains(why, "in use until "+want) {
		t.Errorf("%s: %q", reason, why)
	}
	// A reload makes another handler; the source's memory stays.
	again := new(Handler)
	*again = Handler{Name: h.Name, From: h.From, To: h.To}
	again.From.Secrets = []string{"third"}
	again.source, again.log, again.record = h.source, h.log, h.record
	again.now = h.now
	if err := again.provisionVerifier(); err != nil {
		t.Fatal(err)
	}
	again.provisionAnswers()
	again.remember()
	e.log.lines(t)
	if reason, _ := e.refused(again, byGitHub(t, "the second", "{}")); reason != "secret_rotated" {
		t.Errorf("the second: %s", reason)
	}
	if reason, _ := e.refused(again, byGitHub(t, "first", "{}")); reason != "secret_rotated" {
		t.Errorf("the first: %s", reason)
	}
	e.now = e.now.Add(formerTime)
	if reason, _ := e.refused(again, byGitHub(t, "first", "{}")); reason != "mismatch" {
		t.Errorf("after a week: %s", reason)
	}
}

func TestUnderAFloodRefusalsAreSampled(t *testing.T) {
	e := newExplaining(t)
	h := e.source("shop", "github", "sesame")
	if err := e.app.Start(); err != nil {
		t.Fatal(err)
	}
	const requests = 100
	for range requests {
		serve(t, h, byGitHub(t, "sesame", "{}\n"))
		h.looking.Wait() // so that places are free, and only the rate counts
	}
	diagnosed, plain := e.counted("shop", "body_changed"), e.counted("shop", "mismatch")
	if diagnosed != 10 || plain != requests-10 {
		t.Errorf("%v were diagnosed and %v were not, want 10 and %d", diagnosed, plain, requests-10)
	}
	lines := e.log.lines(t)
	if len(lines) != 2 || lines[0]["reason"] != "body_changed" || lines[1]["reason"] != "mismatch" {
		t.Errorf("logged %v, want one line of each reason", lines)
	}
	e.now = e.now.Add(time.Second)
	if reason, _ := e.refused(h, byGitHub(t, "sesame", "{}\n")); reason != "body_changed" {
		t.Errorf("a second later: %s", reason)
	}
	// One reason does not hold another back.
	for _, r := range []*http.Request{byGitHub(t, "sesame", "{}\n"), byGitHub(t, "sesame\n", "{}"), byGitHub(t, "sesame", "{}\n")} {
		serve(t, h, r)
		h.looking.Wait()
	}
	lines = e.log.lines(t)
	if len(lines) != 2 || lines[0]["reason"] != "body_changed" || lines[1]["reason"] != "secret_space" {
		t.Errorf("logged %v, want one line of each reason", lines)
	}
}

func TestTheMemoryOfADiagnosedBodyIsGivenBack(t *testing.T) {
	e := newExplaining(t)
	h := e.source("shop", "github", "sesame")
	if err := e.app.Start(); err != nil {
		t.Fatal(err)
	}
	serve(t, h, byGitHub(t, "sesame", "{}\n"))
	if err := h.Cleanup(); err != nil {
		t.Fatal(err)
	}
	// More than there is gets in only when it is alone.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.source.Budget().Take(ctx, 1<<50); err != nil {
		t.Errorf("something is still taken: %v", err)
	}
}

// throughCaddy is a request as Caddy hands it to its handlers.
func throughCaddy(t *testing.T, address, proxied, secret string, origin bool) *http.Request {
	t.Helper()
	record, _ := providers.Get("square")
	v, err := record.Compile(verify.Options{Secrets: []verify.Secret{verify.NewSecret(secret)}})
	if err != nil {
		t.Fatal(err)
	}
	sent := &verify.Request{Method: http.MethodPost, URL: address, Header: http.Header{}, Body: []byte(`{"event_id":"1"}`)}
	if err := v.Sign(sent, time.Now(), ""); err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, proxied, bytes.NewReader(sent.Body))
	r.Header = sent.Header
	if origin {
		r.RequestURI = r.URL.RequestURI()
	}
	w := httptest.NewRecorder()
	r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), w, nil)
	r.URL.Path, r.RequestURI = "/changed", "/changed" // as handle_path does
	return r
}

func TestTheSignedAddressIsTheOneThatCaddyReceived(t *testing.T) {
	e := newExplaining(t)
	h := e.source("till", "square", "sesame")
	if err := e.app.Start(); err != nil {
		t.Fatal(err)
	}
	for _, origin := range []bool{true, false} {
		r := throughCaddy(t, "http://shop.example/hook?a=1", "http://shop.example/hook?a=1", "sesame", origin)
		if w := serve(t, h, r); w.Code != http.StatusOK {
			t.Errorf("target %v: answered %d", origin, w.Code)
		}
	}
	reason, why := e.refused(h, throughCaddy(t, "https://shop.example/hook?a=1", "http://shop.example:8080/hook?a=1", "sesame", true))
	if reason != "wrong_url" || !strings.Contains(why, "https://shop.example/hook (with https, without the port)") {
		t.Errorf("%s: %q", reason, why)
	}
}
