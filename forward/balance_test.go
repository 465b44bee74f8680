package forward_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/event"
)

func TestAnUpstreamThatWasTriedIsNotNoUpstream(t *testing.T) {
	t.Parallel()
	further := `,"load_balancing":{"selection_policy":{"policy":"first"},"retries":2},"health_checks":{"passive":{"fail_duration":"1h"}}`
	c := chain(t, proxyTo("", further, refusing(t)))
	// The first try is refused, and marks the upstream; the second finds none.
	if out := c.Forward(t.Context(), try(sample(), 1, false)); !out.Unreached || out.NoUpstream || !strings.Contains(out.Error, "connection refused") {
		t.Errorf("tried: %+v", out)
	}
	if out := c.Forward(t.Context(), try(sample(), 2, false)); !out.Unreached || !out.NoUpstream || out.Status != 0 {
		t.Errorf("not tried: %+v", out)
	}
}

func TestAProxyWithoutAnyUpstreamTriesNone(t *testing.T) {
	t.Parallel()
	out := chain(t, `{"handler":"reverse_proxy"}`).Forward(t.Context(), try(sample(), 1, false))
	if out.Verdict != event.Again || !out.Unreached || !out.NoUpstream || out.Status != 0 {
		t.Errorf("%+v", out)
	}
}

func TestAnErrorThatTheChainIsToldToEndWithIsAStatus(t *testing.T) {
	t.Parallel()
	for status, message := range map[int]string{502: "", 503: "no upstreams available", 504: "late", 404: "", 499: "gone"} {
		h := fmt.Sprintf(`{"handler":"error","status_code":%d,"error":%q}`, status, message)
		out := chain(t, h).Forward(t.Context(), try(sample(), 1, false))
		if out.Verdict != event.Again || out.Status != status || out.Unreached || out.NoUpstream || out.Error == "" {
			t.Errorf("error %d: %+v", status, out)
		}
	}
}

func TestAnEventIsSentOnceHoweverOftenTheProxyMayTry(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer string
		reset  bool
		status int
	}{
		"a reset":          {"", true, 0},
		"an end":           {"", false, 0},
		"half a header":    {"HTTP/1.1 200 OK\r\nX-A: b\r\n", false, 0},
		"half a body":      {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", false, 200},
		"an answer of 502": {"HTTP/1.1 502 No\r\nContent-Length: 0\r\n\r\n", false, 502},
		"an answer of 503": {"HTTP/1.1 503 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", false, 503},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			first, askedFirst := raw(t, c.answer, c.reset)
			second, askedSecond := raw(t, c.answer, c.reset)
			further := `,"load_balancing":{"selection_policy":{"policy":"round_robin"},"retries":5,"try_duration":"10s","try_interval":"1ms"}`
			out := chain(t, proxyTo("", further, first, second)).Forward(t.Context(), try(sample(), 1, false))
			if n := askedFirst.Load() + askedSecond.Load(); n != 1 || out.Verdict != event.Again || out.Status != c.status || out.Unreached {
				t.Errorf("sent %d times: %+v", n, out)
			}
		})
	}
}

// retrying asks for another try after an answer of 503.
const retrying = `,"load_balancing":{"selection_policy":{"policy":"round_robin"},"retries":1,` +
	`"retry_match":[{"expression":"{http.reverse_proxy.status_code} == 503"}]}`

func TestAnAnswerThatIsToBeAskedForAgainStillCountsInTheEnd(t *testing.T) {
	t.Parallel()
	answer := "HTTP/1.1 503 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
	first, askedFirst := raw(t, answer, false)
	second, askedSecond := raw(t, answer, false)
	e := sample()
	e.Body = nil // else the second try needs request_buffers
	out := chain(t, proxyTo("", retrying, first, second)).Forward(t.Context(), try(e, 1, false))
	if out.Verdict != event.Again || out.Status != http.StatusServiceUnavailable || out.Unreached || out.NoUpstream {
		t.Errorf("%+v", out)
	}
	if askedFirst.Load() != 1 || askedSecond.Load() != 1 {
		t.Errorf("sent %d and %d times, want each once", askedFirst.Load(), askedSecond.Load())
	}
}

func TestASecondTryNeverSendsHalfAnEvent(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		buffers string
		verdict event.Verdict
	}{
		"without buffers":      {"", event.Again},
		"with request_buffers": {`,"request_buffers":1048576`, event.Done},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int64
			whole := make(chan string, 4)
			h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				b, err := io.ReadAll(r.Body)
				if asked.Add(1) == 1 {
					w.WriteHeader(http.StatusServiceUnavailable)
					return
				}
				if err == nil {
					whole <- string(b)
				}
			})
			first, second := start(t, h, nil, nil).Listener.Addr().String(), start(t, h, nil, nil).Listener.Addr().String()
			e := strange()
			out := chain(t, proxyTo("", retrying+c.buffers, first, second)).Forward(t.Context(), try(e, 1, false))
			if out.Verdict != c.verdict {
				t.Errorf("%+v", out)
			}
			if len(whole) > 0 {
				if got := <-whole; got != string(e.Body) {
					t.Errorf("the second upstream took %d of %d bytes for the event", len(got), len(e.Body))
				}
			} else if c.verdict == event.Done {
				t.Error("delivered, and nobody has it")
			}
		})
	}
}

func TestOneBadUpstreamOfThreeLosesNothing(t *testing.T) {
	t.Parallel()
	for name, bad := range map[string]func(*testing.T) string{
		"refuses": refusing,
		"cannot be reached in time": func(t *testing.T) string {
			t.Helper()
			return "192.0.2.1:9" // a network of which nobody knows a way, or that swallows
		},
	} {
		for _, policy := range []string{"random", "round_robin", "least_conn", "first", "ip_hash"} {
			t.Run(name+" "+policy, func(t *testing.T) {
				t.Parallel()
				seen := newWitness()
				further := fmt.Sprintf(`,"load_balancing":{"selection_policy":{"policy":%q},"retries":2},`+
					`"health_checks":{"passive":{"fail_duration":"1h"}}`, policy)
				c := chain(t, proxyTo(`,"dial_timeout":"100ms"`, further,
					bad(t), start(t, seen, nil, nil).Listener.Addr().String(), start(t, seen, nil, nil).Listener.Addr().String()))
				for n := 1; n <= 8; n++ {
					e := strange()
					if out := c.Forward(t.Context(), try(e, n, false)); out.Verdict != event.Done {
						t.Fatalf("%+v", out)
					}
					unchanged(t, e, seen.only(t))
				}
			})
		}
	}
}

func TestThatNoUpstreamWasTriedIsSaidAlsoAfterTheAttemptsEnd(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	c := chain(t, proxyTo("", `,"load_balancing":{"try_duration":"100ms","try_interval":"5ms"}`))
	if out := c.Forward(ctx, try(sample(), 1, false)); !out.Unreached || !out.NoUpstream || out.Status != 0 {
		t.Errorf("%+v", out)
	}
}

// endless accepts connections, reads what comes, and answers nothing.
func endless(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(io.Discard, c) }()
		}
	}()
	return l.Addr().String()
}

func TestAnAttemptEndsWhateverItsHandlersDo(t *testing.T) {
	t.Parallel()
	fastcgi := func(addr, further string) string {
		return fmt.Sprintf(`{"handler":"reverse_proxy","upstreams":[{"dial":%q}],"transport":{"protocol":"fastcgi","root":"/srv"%s}}`, addr, further)
	}
	const patient = `,"load_balancing":{"try_duration":"1h"}`
	for name, c := range map[string]struct {
		handlers func(*testing.T) string
		says     string
	}{
		"lb_try_duration, refused": {func(t *testing.T) string { return proxyTo("", patient, refusing(t)) }, ""},
		"lb_try_duration, none":    {func(*testing.T) string { return proxyTo("", patient) }, "timeout"},
		"FastCGI":                  {func(t *testing.T) string { return fastcgi(endless(t), "") }, "timeout"},
		"FastCGI, read_timeout":    {func(t *testing.T) string { return fastcgi(endless(t), `,"read_timeout":"200ms"`) }, "timeout"},
		"FastCGI, in time":         {func(t *testing.T) string { return fastcgi(endless(t), `,"read_timeout":"1ms"`) }, "timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			out := chain(t, c.handlers(t)).Forward(ctx, try(sample(), 1, false))
			if out.Verdict != event.Again || out.Status != 0 || !strings.Contains(out.Error, c.says) {
				t.Errorf("%+v", out)
			}
		})
	}
}

// once answers the first request of each connection, and reads the second and
// hangs up. It counts the requests.
func once(t *testing.T) (addr string, asked *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	asked = new(atomic.Int64)
	serve := func(c net.Conn) {
		defer func() { _ = c.Close() }()
		in := bufio.NewReader(c)
		for range 2 {
			r, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, r.Body)
			asked.Add(1)
			if _, err := io.WriteString(c, []string{"", "HTTP/1.1 204 No Content\r\n\r\n"}[asked.Load()%2]); err != nil {
				return
			}
		}
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serve(c)
		}
	}()
	return l.Addr().String(), asked
}

func TestAnEventThatABrokenConnectionSwallowedIsNotSentAgainUnasked(t *testing.T) {
	t.Parallel()
	for _, header := range []string{"X-Plain", "Idempotency-Key", "X-Idempotency-Key"} {
		addr, asked := once(t)
		c, e := chain(t, proxy(addr)), sample()
		e.Header.Set(header, "1")
		if out := c.Forward(t.Context(), try(e, 1, false)); out.Verdict != event.Done {
			t.Fatalf("%s: %+v", header, out)
		}
		out := c.Forward(t.Context(), try(e, 2, false))
		if n := asked.Load(); n != 2 || out.Verdict != event.Again || out.Status != 0 || out.Unreached {
			t.Errorf("%s: two attempts became %d requests: %+v", header, n, out)
		}
	}
}
