package handler

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-webhooks/caddy-webhooks/gateway"
	"github.com/caddy-webhooks/caddy-webhooks/verify"
	"github.com/caddy-webhooks/caddy-webhooks/verify/providers"
	"github.com/caddy-webhooks/caddy-webhooks/verify/verifytest"
)

var attackNow = time.Unix(1_795_000_000, 0)

// fortress is one gateway with a source for every scheme of every provider.
type fortress struct {
	doors    []*verifytest.Door
	handlers []*Handler
	// late is how late it is for all of them: reports read the clock after the answer.
	late atomic.Int64
}

func build(t *testing.T) *fortress {
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
	f := new(fortress)
	for _, r := range providers.All() {
		if r.Name == "none" {
			continue
		}
		doors, err := verifytest.Doors(r)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range doors {
			f.doors = append(f.doors, d)
			f.handlers = append(f.handlers, f.provisioned(t, ctx, d))
		}
	}
	if err := app.Start(); err != nil {
		t.Fatal(err)
	}
	return f
}

var unfit = regexp.MustCompile(`[^a-z0-9_-]`)

func (f *fortress) provisioned(t *testing.T, ctx caddy.Context, d *verifytest.Door) *Handler {
	t.Helper()
	from, err := json.Marshal(map[string]any{"provider": d.Record.Name, "secrets": []string{d.Secret}, "options": d.Params})
	if err != nil {
		t.Fatal(err)
	}
	h := new(Handler)
	config := fmt.Sprintf(`{"name":%q,"from":%s,"to":[{"routes":[{"handle":[{"handler":"static_response","status_code":200}]}]}]}`,
		unfit.ReplaceAllString(d.Name, "_"), from)
	if err := json.Unmarshal([]byte(config), h); err != nil {
		t.Fatal(err)
	}
	if err := h.Provision(ctx); err != nil {
		t.Fatalf("%s: %v", d.Name, err)
	}
	h.now = func() time.Time { return attackNow.Add(time.Duration(f.late.Load())) }
	return h
}

// arriving is a request as Caddy hands it to the handler.
func arriving(q *verify.Request) *http.Request {
	u, err := url.Parse(q.URL)
	if err != nil {
		panic(err) // the addresses are our own
	}
	if len(q.Query) > len(u.Query()) {
		u.RawQuery = q.Query.Encode()
	}
	r := httptest.NewRequest(q.Method, u.RequestURI(), bytes.NewReader(q.Body))
	r.Host, r.TLS = u.Host, &tls.ConnectionState{}
	r.Header = q.Header.Clone()
	return r
}

// assaults spoil a request that was good; false where that means nothing.
var assaults = map[string]func(*verifytest.Door, *verify.Request) bool{
	"no proof": func(d *verifytest.Door, q *verify.Request) bool {
		q.Header, q.Query = http.Header{}, url.Values{}
		if d.Scheme.JSON+d.Scheme.Form != "" || d.Scheme.Whole {
			q.Body = []byte("{}")
		}
		return len(d.Record.Handshakes) == 0
	},
	"an empty proof": func(d *verifytest.Door, q *verify.Request) bool {
		return d.Rewrite(q, func(string) string { return "" }) == nil
	},
	"no-secret-provided": func(d *verifytest.Door, q *verify.Request) bool {
		return d.Rewrite(q, func(string) string { return d.Scheme.Prefix + "no-secret-provided" }) == nil
	},
	"half of the proof": func(d *verifytest.Door, q *verify.Request) bool {
		return d.Rewrite(q, func(text string) string { return text[:len(text)/2] }) == nil
	},
	"64 KiB of proof": func(d *verifytest.Door, q *verify.Request) bool {
		return d.Rewrite(q, func(text string) string { return strings.Repeat(text, 1+(64<<10)/len(text)) }) == nil
	},
	"a proof of zeros": func(d *verifytest.Door, q *verify.Request) bool {
		return d.Rewrite(q, func(string) string { return d.Scheme.Prefix + strings.Repeat("0", 64) }) == nil
	},
	"another body": func(d *verifytest.Door, q *verify.Request) bool {
		q.Body = append(q.Body, ' ')
		return d.Scheme.Kind == "hmac" && (d.Scheme.Content == "" || strings.Contains(d.Scheme.Content, "{body}"))
	},
}

// Whatever a stranger sends to whichever source: 401, not a word, and nothing is
// stored. The same requests, unspoilt, are stored.
func TestEverySourceRefusesForgeriesWithoutAWordAndStoresNothing(t *testing.T) {
	f := build(t)
	taken := int64(0)
	for i, d := range f.doors {
		h := f.handlers[i]
		good, err := d.Signed("evt_1", attackNow)
		if err != nil {
			t.Fatal(err)
		}
		for name, spoil := range assaults {
			q := verifytest.Clone(good)
			if !spoil(d, q) {
				continue
			}
			f.refused(t, d.Name+": "+name, h, arriving(q), http.StatusUnauthorized, taken)
		}
		other := arriving(good)
		other.Method = http.MethodDelete
		f.refused(t, d.Name+": another method", h, other, http.StatusMethodNotAllowed, taken)
		if d.Scheme.Tolerance > 0 && d.Scheme.Kind != "jwt" {
			f.late.Store(int64(d.Scheme.Tolerance + time.Second))
			f.refused(t, d.Name+": too old", h, arriving(good), http.StatusUnauthorized, taken)
			f.late.Store(0)
		}
		if _, _, ok := d.Verifier.Greet(good, true); ok {
			continue // it is answered, and not stored
		}
		if w := serve(t, h, arriving(good)); w.Code/100 != 2 {
			t.Errorf("%s: a good request is answered %d %v", d.Name, w.Code, w.Header())
		}
		if taken++; stored() != taken {
			t.Fatalf("%s: %d events are stored, want %d", d.Name, stored(), taken)
		}
	}
	if taken < 100 {
		t.Errorf("only %d events were taken", taken)
	}
}

func (f *fortress) refused(t *testing.T, name string, h *Handler, r *http.Request, status int, taken int64) {
	t.Helper()
	w := serve(t, h, r)
	if w.Code != status || w.Body.Len() != 0 || w.Header().Get(headerStatus) != rejected {
		t.Errorf("%s: %d %v %q, want %d and not a word", name, w.Code, w.Header(), w.Body, status)
	}
	if got := w.Header().Get("Webhook-Event-Id"); got != "" {
		t.Errorf("%s: it has the ID %s", name, got)
	}
	if stored() != taken {
		t.Fatalf("%s: %d events are stored, want %d", name, stored(), taken)
	}
}

// What asks without a proof is answered, and never stored.
func TestNoHandshakeIsStored(t *testing.T) {
	f := build(t)
	asked := 0
	for i, d := range f.doors {
		if !strings.HasSuffix(d.Name, "/0") {
			continue
		}
		for j := range d.Record.Handshakes {
			hs := &d.Record.Handshakes[j]
			w := serve(t, f.handlers[i], arriving(verifytest.Ask(hs, d.Params)))
			if hs.Signed && (w.Code/100 == 2 || w.Body.Len() != 0) {
				t.Errorf("%s: %s is answered %d %q, and nobody signed it", d.Name, hs.Name, w.Code, w.Body)
			}
			if !hs.Signed && (w.Code != hs.Answer.Status || w.Header().Get(headerStatus) != handshake) {
				t.Errorf("%s: %s is answered %d %v", d.Name, hs.Name, w.Code, w.Header())
			}
			if w.Body.Len() > 0 && w.Header().Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("%s: %s is answered %q, and a browser may guess what it is", d.Name, hs.Name, w.Body)
			}
			asked++
			if stored() != 0 {
				t.Fatalf("%s: %s is stored", d.Name, hs.Name)
			}
		}
	}
	if asked < 20 {
		t.Errorf("only %d handshakes", asked)
	}
}
