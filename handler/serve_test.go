package handler

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/gateway"
	"github.com/caddy-webhooks/caddy-webhooks/internal/testkit"
	"github.com/caddy-webhooks/caddy-webhooks/store/local"
	"github.com/caddy-webhooks/caddy-webhooks/store/local/journal/faultfs"
)

const secret = "sesame"

// serving gives a provisioned handler before a started gateway with a local
// store. Its tests run one after the other: a process refuses to move from a
// store that still owes something, and each has its own.
func serving(t *testing.T, tune func(*local.Options)) (*Handler, *gateway.App) {
	t.Helper()
	return servingFrom(t, tune, fmt.Sprintf(`{"provider":"github","secrets":[%q]}`, secret), 64)
}

// servingFrom is serving with a provider of the test's choice.
func servingFrom(t *testing.T, tune func(*local.Options), from string, most int) (*Handler, *gateway.App) {
	t.Helper()
	return servingConfig(t, tune, fmt.Sprintf(`{"from":%s,"max_body":%d,
		"to":[{"routes":[{"handle":[{"handler":"static_response","status_code":200}]}]}]}`, from, most))
}

// servingConfig is serving with a configuration of the test's choice.
func servingConfig(t testing.TB, tune func(*local.Options), config string) (*Handler, *gateway.App) {
	t.Helper()
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
	app := module.(*gateway.App) //nolint:forcetypeassert // a test
	t.Cleanup(func() {
		if err := app.Cleanup(); err != nil {
			t.Error(err)
		}
	})
	app.Tune = tune
	h := new(Handler)
	if err := json.Unmarshal([]byte(config), h); err != nil {
		t.Fatal(err)
	}
	if err := h.Provision(ctx); err != nil {
		t.Fatal(err)
	}
	if err := app.Start(); err != nil {
		t.Fatal(err)
	}
	return h, app
}

func signed(t testing.TB, id, body string) *http.Request {
	t.Helper()
	r, err := testkit.Signed("http://shop.example/hook", secret, id, []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func serve(t *testing.T, h *Handler, r *http.Request) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	if err := h.ServeHTTP(w, r, nil); err != nil {
		t.Errorf("an error was returned: %v", err)
	}
	return w
}

// stored counts the events in the store, whatever has become of them.
func stored() (n int64) {
	g, ok := gateway.Running()
	if !ok {
		return 0
	}
	for _, d := range g.Store().Stats().Destinations {
		for _, state := range []event.State{event.Pending, event.Delivered, event.Dead, event.Discarded, event.Filtered} {
			n += d.Count[state]
		}
	}
	return n
}

func TestEveryOutcomeHasItsAnswer(t *testing.T) {
	h, app := serving(t, nil)
	wrong := signed(t, "x", "{}")
	wrong.Header.Set("X-Hub-Signature-256", "sha256="+strings.Repeat("0", 64))
	unsigned := signed(t, "x", "{}")
	unsigned.Header.Del("X-Hub-Signature-256")
	unsigned.Body = io.NopCloser(untouchable{})
	get := signed(t, "x", "{}")
	get.Method = http.MethodGet
	chunked := signed(t, "x", strings.Repeat("a", 65))
	chunked.ContentLength = -1
	exactChunked := signed(t, "c", strings.Repeat("a", 64))
	exactChunked.ContentLength = -1
	short := signed(t, "x", "{}")
	short.ContentLength = 3
	tests := []struct {
		name, word string
		r          *http.Request
		status     int
		stores     int64
	}{
		{"stored", "accepted", signed(t, "a", "{}"), 200, 1},
		{"repeated", "duplicate", signed(t, "a", "{}"), 200, 0},
		{"exactly max_body", "accepted", signed(t, "b", strings.Repeat("a", 64)), 200, 1},
		{"exactly max_body, chunked", "accepted", exactChunked, 200, 1},
		{"wrong signature", "rejected", wrong, 401, 0},
		{"no signature, body unread", "rejected", unsigned, 401, 0},
		{"wrong method", "rejected", get, 405, 0},
		{"one byte over", "rejected", signed(t, "x", strings.Repeat("a", 65)), 413, 0},
		{"one byte over, chunked", "rejected", chunked, 413, 0},
		{"broken off", "rejected", short, 408, 0},
	}
	for _, test := range tests {
		before := stored()
		expect(t, test.name, serve(t, h, test.r), test.status, test.word)
		if got := stored() - before; got != test.stores {
			t.Errorf("%s: %d events stored, want %d", test.name, got, test.stores)
		}
	}
	if err := app.Cleanup(); err != nil {
		t.Fatal(err)
	}
	expect(t, "closed", serve(t, h, signed(t, "y", "{}")), 503, "unavailable")
}

// untouchable fails whoever reads a byte of it.
type untouchable struct{}

func (untouchable) Read([]byte) (int, error) { panic("the body was read") }

func expect(t *testing.T, name string, w *httptest.ResponseRecorder, status int, word string) {
	t.Helper()
	header := w.Header()
	if w.Code != status || header.Get("Webhook-Status") != word {
		t.Errorf("%s: %d %q, want %d %q", name, w.Code, header.Get("Webhook-Status"), status, word)
	}
	if (header.Get("Webhook-Event-Id") != "") != (status == 200) {
		t.Errorf("%s: Webhook-Event-Id is %q", name, header.Get("Webhook-Event-Id"))
	}
	if (header.Get("Retry-After") != "") != (status == 503) {
		t.Errorf("%s: Retry-After is %q", name, header.Get("Retry-After"))
	}
	if want := map[bool]string{true: "POST"}[status == 405]; header.Get("Allow") != want {
		t.Errorf("%s: Allow is %q, want %q", name, header.Get("Allow"), want)
	}
}

func TestNothingIsAcknowledgedWhileTheDiskFails(t *testing.T) {
	for _, op := range []faultfs.Op{faultfs.Write, faultfs.Sync} {
		disk := faultfs.New(1).Boot()
		h, app := serving(t, func(o *local.Options) { o.FS = disk })
		disk.Hook(func(now faultfs.Op, _ string) *faultfs.Fault {
			if now == op {
				return &faultfs.Fault{Err: errors.New("injected")}
			}
			return nil
		})
		answers := make([]*httptest.ResponseRecorder, 8)
		var wg sync.WaitGroup
		for i := range answers {
			r := signed(t, "a", "{}")
			wg.Go(func() { answers[i] = serve(t, h, r) })
		}
		wg.Wait()
		for _, w := range answers {
			expect(t, "failing", w, 503, "unavailable")
		}
		disk.Hook(nil)
		w := serve(t, h, signed(t, "a", "{}"))
		for pace := time.NewTicker(10 * time.Millisecond); w.Code == 503; {
			select { // as a provider does, until the journal has tried again
			case <-pace.C:
				w = serve(t, h, signed(t, "a", "{}"))
			case <-t.Context().Done():
				t.Fatal("the store does not recover")
			}
		}
		expect(t, "recovered", w, 200, "accepted")
		if n := stored(); n != 1 {
			t.Errorf("%d events stored, want 1", n)
		}
		if err := app.Cleanup(); err != nil {
			t.Fatal(err)
		}
	}
}
