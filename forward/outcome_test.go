package forward_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/forward"
)

// acting is a handler that does what the attempt's context carries, so that
// tests decide what a destination does without any state between them.
type acting struct{}

type act func(http.ResponseWriter, *http.Request) error

type actKey struct{}

func (acting) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.acting", New: func() caddy.Module { return new(acting) }}
}

func (acting) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	return r.Context().Value(actKey{}).(act)(w, r)
}

func init() { caddy.RegisterModule(acting{}) }

const actor = `{"handler":"acting"}`

func does(ctx context.Context, a act) context.Context { return context.WithValue(ctx, actKey{}, a) }

// raw is a backend that reads one request per connection, writes exactly these
// bytes, and hangs up: with a reset where asked. It counts the requests.
func raw(t *testing.T, answer string, reset bool) (addr string, asked *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	asked = new(atomic.Int64)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if r, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
				_, _ = io.Copy(io.Discard, r.Body)
				asked.Add(1)
				_, _ = io.WriteString(c, answer)
			}
			if tcp, ok := c.(*net.TCPConn); ok && reset {
				_ = tcp.SetLinger(0)
			}
			_ = c.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return l.Addr().String(), asked
}

func TestWhatABackendThatHangsUpComesTo(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer    string
		reset     bool
		verdict   event.Verdict
		status    int
		says      string
		truncated bool
		body      string
	}{
		"before the headers":           {"", false, event.Again, 0, "EOF", false, ""},
		"before the headers, a reset":  {"", true, event.Again, 0, "reset", false, ""},
		"in the status line":           {"HTTP/1.1 20", false, event.Again, 0, "malformed", false, ""},
		"in the headers":               {"HTTP/1.1 200 OK\r\nX-A: b\r\n", false, event.Again, 0, "EOF", false, ""},
		"after 103":                    {"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", false, event.Again, 0, "EOF", false, ""},
		"after 100":                    {"HTTP/1.1 100 Continue\r\n\r\n", false, event.Again, 0, "EOF", false, ""},
		"in a body of known length":    {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", false, event.Again, 200, "answer 200 was cut short after 5 bytes", true, "hello"},
		"in a chunk":                   {"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhello", false, event.Again, 201, "answer 201 was cut short after 5 bytes", true, "hello"},
		"between chunks":               {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", false, event.Again, 200, "answer 200 was cut short after 5 bytes", true, "hello"},
		"in the body of a failure":     {"HTTP/1.1 500 No\r\nContent-Length: 9\r\n\r\nhello", false, event.Again, 500, "answer 500 was cut short after 5 bytes", false, "hello"},
		"after a body without length":  {"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello", false, event.Done, 200, "", false, "hello"},
		"after 103 and a whole answer": {"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 202 Accepted\r\nContent-Length: 5\r\n\r\nhello", false, event.Done, 202, "", false, "hello"},
		"after what is no HTTP":        {"220 smtp.example ESMTP\r\n", false, event.Again, 0, "malformed", false, ""},
		"after switching protocols":    {"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n", false, event.Again, 0, "", false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			addr, asked := raw(t, c.answer, c.reset)
			out := chain(t, proxy(addr)).Forward(t.Context(), try(sample(), 1, false))
			if out.Verdict != c.verdict || out.Status != c.status || out.Truncated != c.truncated || out.Unreached || string(out.Answer) != c.body {
				t.Errorf("%+v", out)
			}
			if !strings.Contains(out.Error, c.says) || (out.Error == "") != (c.verdict == event.Done) {
				t.Errorf("it says %q, want %q", out.Error, c.says)
			}
			if n := asked.Load(); n != 1 {
				t.Errorf("one attempt became %d requests", n)
			}
		})
	}
}

func TestAStreamThatIsResetInItsBodyIsACutAnswer(t *testing.T) {
	t.Parallel()
	s := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, "hello")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}), nil, func(s *httptest.Server) { s.Config.Protocols = onlyHTTP2() })
	out := chain(t, proxyTo(`,"versions":["h2c"]`, "", s.Listener.Addr().String())).Forward(t.Context(), try(sample(), 1, false))
	if out.Verdict != event.Again || out.Status != 200 || !out.Truncated || out.Unreached {
		t.Errorf("%+v", out)
	}
}

func TestWhatTheChainItselfComesTo(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		act       act
		verdict   event.Verdict
		status    int
		says      string
		unreached bool
	}{
		"nothing at all":          {func(http.ResponseWriter, *http.Request) error { return nil }, event.Again, 0, "no answer", false},
		"headers only":            {func(w http.ResponseWriter, _ *http.Request) error { w.Header().Set("X-A", "b"); return nil }, event.Again, 0, "no answer", false},
		"only an early hint":      {func(w http.ResponseWriter, _ *http.Request) error { w.WriteHeader(103); return nil }, event.Again, 0, "no answer", false},
		"a body without a status": {func(w http.ResponseWriter, _ *http.Request) error { _, err := w.Write([]byte("a")); return err }, event.Done, 200, "", false},
		"a status, then another": {func(w http.ResponseWriter, _ *http.Request) error {
			w.WriteHeader(500)
			w.WriteHeader(200)
			return nil
		}, event.Again, 500, "answered 500", false},
		"an error after 200": {func(w http.ResponseWriter, _ *http.Request) error {
			w.WriteHeader(200)
			return errors.New("afterthought")
		}, event.Again, 0, "afterthought", false},
		"a panic after 200": {func(w http.ResponseWriter, _ *http.Request) error {
			w.WriteHeader(200)
			panic("boom")
		}, event.Again, 200, "boom", false},
		"a panic with nil":       {func(http.ResponseWriter, *http.Request) error { panic(nil) }, event.Again, 0, "panicked", false},
		"an abort before 200":    {func(http.ResponseWriter, *http.Request) error { panic(http.ErrAbortHandler) }, event.Again, 0, "cut short", false},
		"an error of ours":       {func(http.ResponseWriter, *http.Request) error { return caddyhttp.Error(502, errors.New("bad")) }, event.Again, 502, "bad", false},
		"an error with a status": {func(http.ResponseWriter, *http.Request) error { return caddyhttp.Error(403, errors.New("no")) }, event.Again, 403, "no", false},
		"an error without words": {func(http.ResponseWriter, *http.Request) error { return caddyhttp.Error(404, nil) }, event.Again, 404, "404", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out := chain(t, actor).Forward(does(t.Context(), c.act), try(sample(), 1, false))
			if out.Verdict != c.verdict || out.Status != c.status || out.Unreached != c.unreached || out.RetryAfter != 0 {
				t.Errorf("%+v", out)
			}
			if !strings.Contains(out.Error, c.says) || (out.Error == "") != (c.verdict == event.Done) {
				t.Errorf("it says %q, want %q", out.Error, c.says)
			}
		})
	}
}

func TestADestinationWithoutRoutesAnswersNothing(t *testing.T) {
	t.Parallel()
	out := forward.New(nil, forward.Options{}).Forward(t.Context(), try(sample(), 1, false))
	if out.Verdict != event.Again || out.Status != 0 || !strings.Contains(out.Error, "no handler") {
		t.Errorf("%+v", out)
	}
}

func TestThePanicOfAHandlerIsLoggedWithItsStack(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	c := chain(t, `{"handler":"explosive"}`, forward.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	c.Forward(t.Context(), try(sample(), 1, false))
	if s := log.String(); !strings.Contains(s, "boom") || !strings.Contains(s, "explosive.ServeHTTP") {
		t.Errorf("logged: %s", s)
	}
}

func TestARedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	elsewhere := newWitness()
	to := "http://" + start(t, elsewhere, nil, nil).Listener.Addr().String() + "/new"
	for _, status := range []int{300, 301, 302, 303, 304, 307, 308} {
		asked := new(atomic.Int64)
		c := chain(t, proxy(backend(t, func(w http.ResponseWriter, _ *http.Request) {
			asked.Add(1)
			w.Header().Set("Location", to)
			w.WriteHeader(status)
		})))
		out := c.Forward(t.Context(), try(sample(), 1, false))
		if out.Verdict != event.Again || out.Status != status || !strings.Contains(out.Error, "redirects are not followed") {
			t.Errorf("%d: %+v", status, out)
		}
		if got := out.Header.Get("Location"); got != to {
			t.Errorf("%d: the location kept is %q, want %q", status, got, to)
		}
		if asked.Load() != 1 || len(elsewhere) != 0 {
			t.Errorf("%d: asked %d times, and %d times elsewhere", status, asked.Load(), len(elsewhere))
		}
	}
}

func TestHowLongABackendAsksToWait(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 18, 13, 46, 40, 0, time.UTC)
	const day = 24 * time.Hour
	for _, c := range []struct {
		status int
		value  string
		want   time.Duration
	}{
		{503, "120", 2 * time.Minute},
		{429, "1", time.Second},
		{503, "0", 0},
		{503, "007", 7 * time.Second},
		{503, "86400", day},
		{503, "86401", day},
		{503, "9223372036854775807", day},
		{503, "9223372036854775808", day},
		{429, "99999999999999999999999999", day},
		{503, "-5", 0},
		{503, "-99999999999999999999999999", 0},
		{503, "+5", 0},
		{503, "1.5", 0},
		{503, "5s", 0},
		{503, "5, 6", 0},
		{503, "0x10", 0},
		{503, "tomorrow", 0},
		{503, "\xff\xfe", 0},
		{503, "", 0},
		{503, "Wed, 18 Nov 2026 13:47:40 GMT", time.Minute},
		{429, "Wednesday, 18-Nov-26 13:47:40 GMT", time.Minute},
		{429, "Wed Nov 18 13:47:40 2026", time.Minute},
		{503, "Wed, 18 Nov 2026 13:46:40 GMT", 0},
		{503, "Wed, 18 Nov 2026 13:45:40 GMT", 0},
		{503, "Fri, 31 Dec 9999 23:59:59 GMT", day},
		{503, "2026-11-18T13:47:40Z", 0},
		{500, "120", 0},
		{404, "120", 0},
		{301, "120", 0},
		{200, "120", 0},
	} {
		answer := func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", c.value)
			w.WriteHeader(c.status)
		}
		o := forward.Options{Now: func() time.Time { return now }}
		out := chain(t, proxy(backend(t, answer)), o).Forward(t.Context(), try(sample(), 1, false))
		if out.Status != c.status || out.RetryAfter != c.want {
			t.Errorf("%d with %q: status %d, wait %v, want %v", c.status, c.value, out.Status, out.RetryAfter, c.want)
		}
	}
}

func TestTheBeginningOfALongAnswerIsKept(t *testing.T) {
	t.Parallel()
	long := make([]byte, 3*event.AnswerLimit)
	for i := range long {
		long[i] = byte(i % 251)
	}
	for _, c := range []struct{ status, size, piece int }{
		{200, 0, 1},
		{200, event.AnswerLimit - 1, 1000},
		{200, event.AnswerLimit, 1000},
		{200, event.AnswerLimit + 1, 1000},
		{200, len(long), len(long)},
		{200, len(long), 777},
		{500, len(long), 777},
		{302, len(long), 777},
	} {
		addr := backend(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(c.status)
			for rest := long[:c.size]; len(rest) > 0; {
				n := min(c.piece, len(rest))
				_, _ = w.Write(rest[:n])
				_ = http.NewResponseController(w).Flush()
				rest = rest[n:]
			}
		})
		out := chain(t, proxy(addr)).Forward(t.Context(), try(sample(), 1, false))
		if out.Status != c.status || out.Truncated || (out.Verdict == event.Done) != (c.status == 200) {
			t.Errorf("%+v: %v, status %d, truncated %v, %s", c, out.Verdict, out.Status, out.Truncated, out.Error)
		}
		if want := long[:min(c.size, event.AnswerLimit)]; !bytes.Equal(out.Answer, want) {
			t.Errorf("%+v: %d bytes are kept, want the first %d", c, len(out.Answer), len(want))
		}
	}
}

func TestABackendsOwnGatewayErrorsAreItsAnswers(t *testing.T) {
	t.Parallel()
	for _, status := range []int{499, 502, 503, 504} {
		out := chain(t, proxy(backend(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Own", "yes")
			w.WriteHeader(status)
		}))).Forward(t.Context(), try(sample(), 1, false))
		if out.Verdict != event.Again || out.Status != status || out.Unreached || out.Header.Get("X-Own") != "yes" ||
			out.Error != fmt.Sprintf("backend answered %d", status) {
			t.Errorf("%d: %+v", status, out)
		}
	}
}

func TestUpstreamsThatAreAllUnhealthyAreUnreached(t *testing.T) {
	t.Parallel()
	c := chain(t, proxyTo("", `,"health_checks":{"passive":{"fail_duration":"1h"}}`, refusing(t)))
	// One failure is what it takes.
	if out := c.Forward(t.Context(), try(sample(), 1, false)); !out.Unreached || out.NoUpstream {
		t.Errorf("the first: %+v", out)
	}
	out := c.Forward(t.Context(), try(sample(), 2, false))
	if out.Verdict != event.Again || out.Status != 0 || !out.Unreached || !out.NoUpstream || !strings.Contains(out.Error, "no upstreams available") {
		t.Errorf("%+v", out)
	}
}

func TestARefusedConnectionOverFastCGIIsUnreached(t *testing.T) {
	t.Parallel()
	h := fmt.Sprintf(`{"handler":"reverse_proxy","upstreams":[{"dial":%q}],"transport":{"protocol":"fastcgi","root":"/srv"}}`, refusing(t))
	out := chain(t, h).Forward(t.Context(), try(sample(), 1, false))
	if out.Verdict != event.Again || out.Status != 0 || !out.Unreached || !strings.Contains(out.Error, "connection refused") {
		t.Errorf("%+v", out)
	}
}

// silent answers with what it is told to, and then nothing until the client has gone.
func silent(t *testing.T, begin string, arrived func()) string {
	t.Helper()
	return backend(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if begin != "" {
			_, _ = io.WriteString(w, begin)
			_ = http.NewResponseController(w).Flush()
		}
		arrived()
		<-r.Context().Done()
	})
}

func TestABackendThatTakesTooLongIsAFailedAttempt(t *testing.T) {
	t.Parallel()
	t.Run("by the proxy's own limit", func(t *testing.T) {
		t.Parallel()
		out := chain(t, proxyTo(`,"response_header_timeout":"50ms"`, "", silent(t, "", func() {}))).Forward(t.Context(), try(sample(), 1, false))
		if out.Verdict != event.Again || out.Status != 0 || out.Unreached || !strings.Contains(out.Error, "timeout") {
			t.Errorf("%+v", out)
		}
	})
	t.Run("in the body", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		c := chain(t, proxy(silent(t, "begun", func() {})), forward.Options{AcceptCut: true})
		out := c.Forward(ctx, try(sample(), 1, false))
		if out.Verdict != event.Again || out.Status != 0 || out.Unreached || !strings.Contains(out.Error, "timeout") {
			t.Errorf("%+v", out)
		}
	})
}

func TestCancellingBeforeTheAnswerIsWholeAbortsTheAttempt(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := chain(t, proxy(silent(t, "begun", cancel))).Forward(ctx, try(sample(), 1, false))
	if out.Verdict != event.Aborted || out.Status != 0 || out.Unreached {
		t.Errorf("%+v", out)
	}
}

func TestCancellingAfterTheAnswerChangesNothing(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]event.Verdict{200: event.Done, 500: event.Again} {
		ctx, cancel := context.WithCancel(t.Context())
		out := chain(t, actor).Forward(does(ctx, func(w http.ResponseWriter, _ *http.Request) error {
			w.WriteHeader(status)
			cancel()
			return nil
		}), try(sample(), 1, false))
		if out.Verdict != want || out.Status != status {
			t.Errorf("%d: %+v, want verdict %v", status, out, want)
		}
	}
}
