package forward_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/forward"
)

// provisioning holds one test at a time: Caddy provisions one configuration
// after the other, and keeps some of it in variables.
var provisioning sync.Mutex

// chain provisions real handlers of Caddy.
func chain(t testing.TB, handlers string, o ...forward.Options) *forward.Chain {
	t.Helper()
	provisioning.Lock()
	defer provisioning.Unlock()
	ctx, err := caddy.ProvisionContext(&caddy.Config{Admin: &caddy.AdminConfig{Disabled: true}})
	if err != nil {
		t.Fatal(err)
	}
	var routes caddyhttp.RouteList
	if err := json.Unmarshal([]byte(`[{"handle":[`+handlers+`]}]`), &routes); err != nil {
		t.Fatal(err)
	}
	if err := routes.Provision(ctx); err != nil {
		t.Fatal(err)
	}
	return forward.New(routes, append(o, forward.Options{})[0])
}

func proxy(addr string) string {
	return fmt.Sprintf(`{"handler":"reverse_proxy","upstreams":[{"dial":%q}],"transport":{"protocol":"http","compression":false}}`, addr)
}

func sample() *event.Event {
	return &event.Event{
		ID: event.NewID(time.Unix(1_795_000_000, 0), 1, 2, 3), Received: time.Unix(1_795_000_000, 0), Method: "POST",
		URI: "/a%2Fb//c;x?q=%2f&e=+&y", Proto: "HTTP/1.1", Host: "hooks.example", RemoteAddr: "192.0.2.1:99", ClientIP: "192.0.2.1",
		Header: http.Header{
			"X-Multi": {"b", "a"}, "Connection": {"close, X-Hop"}, "X-Hop": {"1"}, "Te": {"trailers"}, "Upgrade": {"h2c"},
			"X-Forwarded-For": {"203.0.113.9"}, "X-Forwarded-Proto": {"https"},
		},
		Body: []byte("\xff{}\r\n"),
	}
}

func backend(t *testing.T, f http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func TestTheBackendGetsWhatTheProviderSent(t *testing.T) {
	t.Parallel()
	type got struct {
		r    *http.Request
		body []byte
	}
	seen := make(chan got, 1)
	addr := backend(t, func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		seen <- got{r, b}
	})
	for name, c := range map[string]struct {
		change func(*event.Event)
		header map[string]string
	}{
		"as it came":    {func(*event.Event) {}, map[string]string{"X-Forwarded-For": "192.0.2.1", "X-Forwarded-Proto": "http", "X-Forwarded-Host": "hooks.example"}},
		"over TLS":      {func(e *event.Event) { e.TLS = true }, map[string]string{"X-Forwarded-Proto": "https"}},
		"through proxy": {func(e *event.Event) { e.TrustedProxy = true }, map[string]string{"X-Forwarded-For": "203.0.113.9, 192.0.2.1", "X-Forwarded-Proto": "https"}},
	} {
		e := sample()
		c.change(e)
		out := chain(t, proxy(addr)).Forward(t.Context(), try(e, 7, true))
		if out.Verdict != event.Done || out.Status != 200 || out.Number != 7 {
			t.Fatalf("%s: %+v", name, out)
		}
		g := <-seen
		if g.r.RequestURI != e.URI || g.r.Host != e.Host || string(g.body) != string(e.Body) || strings.Join(g.r.Header["X-Multi"], ",") != "b,a" {
			t.Errorf("%s: got %s of %s with %q, %v", name, g.r.RequestURI, g.r.Host, g.body, g.r.Header)
		}
		for _, hop := range []string{"X-Hop", "Te", "Upgrade", "Accept-Encoding", "User-Agent"} {
			if v, ok := g.r.Header[hop]; ok {
				t.Errorf("%s: %s: %q travels on", name, hop, v)
			}
		}
		for h, want := range c.header {
			if v := g.r.Header.Get(h); v != want {
				t.Errorf("%s: %s is %q, want %q", name, h, v, want)
			}
		}
		for h, want := range map[string]string{
			forward.HeaderEventID: e.ID.String(), forward.HeaderAttempt: "7", forward.HeaderReplay: "true",
			forward.HeaderReceived: "2026-11-18T13:46:40Z",
		} {
			if v := g.r.Header.Get(h); v != want && h != forward.HeaderReceived {
				t.Errorf("%s: %s is %q, want %q", name, h, v, want)
			}
		}
		if at, err := time.Parse(time.RFC3339, g.r.Header.Get(forward.HeaderReceived)); err != nil || !at.Equal(e.Received) {
			t.Errorf("%s: received %q", name, g.r.Header.Get(forward.HeaderReceived))
		}
	}
}

func TestWhatComesOfAnAttempt(t *testing.T) {
	t.Parallel()
	answer := func(status int, h ...string) string {
		return proxy(backend(t, func(w http.ResponseWriter, _ *http.Request) {
			for i := 0; i < len(h); i += 2 {
				w.Header().Set(h[i], h[i+1])
			}
			w.WriteHeader(status)
			_, _ = io.WriteString(w, strings.Repeat("a", 5000))
		}))
	}
	cut := proxy(backend(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "500")
		_, _ = io.WriteString(w, "some")
	}))
	hang := proxy(backend(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // only then does the server notice that the client has gone
		<-r.Context().Done()
	}))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone := l.Addr().String()
	_ = l.Close()
	for name, c := range map[string]struct {
		handlers  string
		verdict   event.Verdict
		status    int
		says      string
		unreached bool
		truncated bool
		after     time.Duration
	}{
		"200":           {answer(200), event.Done, 200, "", false, false, 0},
		"500":           {answer(500), event.Again, 500, "answered 500", false, false, 0},
		"410":           {answer(410), event.Again, 410, "answered 410", false, false, 0},
		"302":           {answer(302, "Location", "/"), event.Again, 302, "redirects", false, false, 0},
		"503 seconds":   {answer(503, "Retry-After", "7"), event.Again, 503, "503", false, false, 7 * time.Second},
		"429 days":      {answer(429, "Retry-After", "9999999"), event.Again, 429, "429", false, false, 24 * time.Hour},
		"503 garbage":   {answer(503, "Retry-After", "soon"), event.Again, 503, "503", false, false, 0},
		"503 past":      {answer(503, "Retry-After", "Mon, 02 Jan 2006 15:04:05 GMT"), event.Again, 503, "503", false, false, 0},
		"refused":       {proxy(gone), event.Again, 0, "connection refused", true, false, 0},
		"cut short":     {cut, event.Again, 200, "cut short after 4", false, true, 0},
		"hangs":         {hang, event.Again, 0, "timeout", false, false, 0},
		"nobody":        {`{"handler":"headers"}`, event.Again, 0, "no handler", false, false, 0},
		"respond":       {`{"handler":"static_response","status_code":204}`, event.Done, 204, "", false, false, 0},
		"error handler": {`{"handler":"error","status_code":418}`, event.Again, 418, "418", false, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			out := chain(t, c.handlers).Forward(ctx, try(sample(), 1, false))
			if out.Verdict != c.verdict || out.Status != c.status || !strings.Contains(out.Error, c.says) ||
				out.Unreached != c.unreached || out.Truncated != c.truncated || out.RetryAfter != c.after {
				t.Errorf("%+v", out)
			}
			if c.verdict == event.Done && out.Error != "" {
				t.Errorf("a success has the error %q", out.Error)
			}
			if len(out.Answer) > event.AnswerLimit {
				t.Errorf("%d bytes of the answer are kept", len(out.Answer))
			}
		})
	}
}

func TestAnAttemptThatWeCancelDoesNotCount(t *testing.T) {
	t.Parallel()
	arrived := make(chan struct{})
	c := chain(t, proxy(backend(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		close(arrived)
		<-r.Context().Done()
	})))
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-arrived
		cancel()
	}()
	if out := c.Forward(ctx, try(sample(), 1, false)); out.Verdict != event.Aborted {
		t.Errorf("%+v, want aborted", out)
	}
}

// explosive is a handler that panics.
type explosive struct{}

func (explosive) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.explosive", New: func() caddy.Module { return new(explosive) }}
}

func (explosive) ServeHTTP(http.ResponseWriter, *http.Request, caddyhttp.Handler) error {
	panic(errors.New("boom"))
}

func init() { caddy.RegisterModule(explosive{}) }

func TestAHandlerThatPanicsIsAFailedAttempt(t *testing.T) {
	t.Parallel()
	out := chain(t, `{"handler":"explosive"}`).Forward(t.Context(), try(sample(), 1, false))
	if out.Verdict != event.Again || !strings.Contains(out.Error, "boom") {
		t.Errorf("%+v", out)
	}
}

func TestATargetThatIsNoneIsAFailedAttempt(t *testing.T) {
	t.Parallel()
	e := sample()
	e.URI = "not a target"
	if out := chain(t, proxy("127.0.0.1:1")).Forward(t.Context(), try(e, 1, false)); out.Verdict != event.Again || out.Error == "" {
		t.Errorf("%+v", out)
	}
}

// try is one attempt at an event.
func try(e *event.Event, number int, replay bool) event.Try {
	return event.Try{Event: e, Number: number, Replay: replay}
}
