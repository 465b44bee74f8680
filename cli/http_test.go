package cli

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// notes is what a command says beside its output, from any goroutine.
type notes struct {
	mu   sync.Mutex
	text strings.Builder
}

func (n *notes) Write(b []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text.Write(b)
}

func (n *notes) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text.String()
}

// mute is an admin endpoint that takes connections and says nothing, as one whose
// process is stopped. Each connection is told.
func mute(t *testing.T) (address string, taken <-chan struct{}) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	told := make(chan struct{}, 100)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = c.Close() })
			told <- struct{}{}
		}
	}()
	return l.Addr().String(), told
}

func TestACommandKeepsItsConnection(t *testing.T) {
	t.Parallel()
	var made atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Origin") != "http://"+r.Host || r.Host == "" {
			t.Errorf("Host %q, Origin %q", r.Host, r.Header.Get("Origin"))
		}
		w.Header().Set("Content-Type", jsonType)
		_, _ = io.WriteString(w, `{"job":"j","state":"running"}`)
	}))
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			made.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	c, _ := listening(t, server)
	for range 20 {
		if _, err := c.job("j"); err != nil {
			t.Fatal(err)
		}
	}
	if n := made.Load(); n != 1 {
		t.Errorf("20 requests made %d connections", n)
	}
}

func TestASocketIsReachedWithAndWithoutItsMode(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, sent := r.Header["Origin"]; sent || r.Host != "127.0.0.1" {
			t.Errorf("Host %q, Origin %q", r.Host, r.Header.Get("Origin"))
		}
		w.Header().Set("Content-Type", jsonType)
		_, _ = io.WriteString(w, noMore)
	})}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	for _, address := range []string{"unix/" + path, "unix/" + path + "|0600"} {
		if err := clientOf(t, address).events(url.Values{}, false); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
	if _, err := newEndpoint("127.0.0.1:1-3"); err == nil {
		t.Error("three ports are taken")
	}
}

func TestWhatDoesNotAnswerIsGivenUp(t *testing.T) {
	t.Parallel()
	address, _ := mute(t)
	c := clientOf(t, address)
	err := c.health(url.Values{}, 20*time.Millisecond)
	if err == nil || err.Error() != "the Caddy at "+address+" does not answer: nothing came for 20ms" {
		t.Errorf("health says %v", err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", jsonType)
		_, _ = io.WriteString(w, "{")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	t.Cleanup(server.Close)
	c, _ = listening(t, server)
	if err := c.health(url.Values{}, 20*time.Millisecond); !errors.Is(err, errSilent) {
		t.Errorf("in the middle of an answer: %v", err)
	}
}

// A process that is stopped takes connections and answers nothing: Ctrl-C must end
// what waits for it.
func TestASignalEndsWhatWaitsForAnAnswer(t *testing.T) {
	t.Parallel()
	for name, waits := range map[string]func(ctx context.Context, c *client) error{
		"tail": func(ctx context.Context, c *client) error { return (&stream{c: c, q: url.Values{}}).follow(ctx) },
		"export": func(ctx context.Context, c *client) error {
			return (&exporting{c: c, q: url.Values{}, out: io.Discard}).run(ctx)
		},
		"import": func(ctx context.Context, c *client) error {
			return (&importing{c: c, bar: newBar(io.Discard)}).run(ctx, strings.NewReader("{}\n"))
		},
		"import from a pipe": func(ctx context.Context, c *client) error {
			r, w := io.Pipe()
			defer w.Close() //nolint:errcheck // a pipe's
			go func() { _, _ = c.api.do(ctx, ask{method: http.MethodGet, uri: "/", kind: jsonType}) }()
			return (&importing{c: c, bar: newBar(io.Discard)}).run(ctx, r)
		},
		"a job": func(ctx context.Context, c *client) error { return c.follow(ctx, jobView{Job: "j"}, "done") },
		"a request": func(_ context.Context, c *client) error {
			_, err := c.call(http.MethodGet, "/webhooks/sources", nil, nil)
			return err
		},
	} {
		address, taken := mute(t)
		c := clientOf(t, address)
		ctx, cancel := context.WithCancel(t.Context())
		c.ctx = ctx
		ended := make(chan error, 1)
		go func() { ended <- waits(ctx, c) }()
		<-taken
		cancel()
		if err := <-ended; name == "tail" && err != nil || name != "tail" && err == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOnlyTheTimeOfWaitingCounts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ended := false
		w := newWatch(45*time.Second, func() { ended = true })
		time.Sleep(time.Hour) // before the first read
		for range 3 {
			w.start()
			time.Sleep(44 * time.Second)
			w.stop()
			time.Sleep(time.Hour) // an event is handled
		}
		synctest.Wait()
		if ended {
			t.Error("it ended while an event was handled")
		}
		w.start()
		time.Sleep(46 * time.Second)
		synctest.Wait()
		if !ended {
			t.Error("it did not end in silence")
		}
		newWatch(0, nil).start() // without a limit nothing happens
	})
}

func TestAWrongAddressThatAnswersIsAnError(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"text/html; charset=utf-8", "", jsonType, eventsType, linesType} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = []string{kind}
			_, _ = io.WriteString(w, "<html>a site</html>\n")
		}))
		for _, asJSON := range []bool{true, false} {
			c, out := listening(t, server)
			c.json = asJSON
			file := filepath.Join(t.TempDir(), "f")
			for name, err := range map[string]error{
				"events": c.events(url.Values{}, false),
				"tail":   (&stream{c: c, q: url.Values{}, handle: c.tailed, last: "a"}).once(t.Context(), func() {}),
				"export": (&exporting{c: c, q: url.Values{}, out: out}).run(t.Context()),
				"file":   exportTo(c, file),
				"import": (&importing{c: c, bar: newBar(io.Discard)}).once(t.Context()),
				"health": c.health(url.Values{}, time.Minute),
			} {
				if err == nil {
					t.Errorf("%s of %q ends well", name, kind)
				}
			}
			if out.Len() > 0 {
				t.Errorf("it is printed: %s", out)
			}
			if _, err := os.Stat(file); err == nil {
				t.Error("there is a file")
			}
		}
		server.Close()
	}
}

func (i *importing) once(ctx context.Context) error {
	_, err := i.send(ctx, []byte("{}\n"))
	return err
}

// exportTo is `export --output`.
func exportTo(c *client, file string) error {
	o, err := newOutput(file, "")
	if err != nil {
		return err
	}
	err = (&exporting{c: c, q: url.Values{}, out: o}).run(c.ctx)
	return errors.Join(err, o.end(err == nil))
}

func TestErrorsDoNotSteerTheTerminal(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", jsonType)
		if r.URL.Path == "/webhooks/jobs/j" {
			_, _ = io.WriteString(w, `{"job":"j","state":"failed","error":"\u001b]0;owned\u0007"}`)
			return
		}
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"error":"it says \u001b[2J\u202e"}`)
	}))
	t.Cleanup(server.Close)
	for _, line := range []string{"events", "show x", "jobs j", "tail", "export", "health", "dashboard", "replay e", "sources --json"} {
		out, errs, err := webhooks(t, append(strings.Fields(line), "--address", server.Listener.Addr().String())...)
		if err == nil || strings.ContainsAny(out+errs+err.Error(), "\x1b\x07\u202e") {
			t.Errorf("%s: %q %q %v", line, out, errs, err)
		}
	}
}

func TestAConfigurationWithoutAnEndpointIsNamed(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "c.json")
	if err := os.WriteFile(file, []byte(`{"admin":{"disabled":true}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := webhooks(t, "sources", "--config", file); err == nil || !strings.Contains(err.Error(), "`admin off`") {
		t.Errorf("%v", err)
	}
	if err := os.WriteFile(file, []byte(`{"admin":{"listen":"127.0.0.1:1"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := webhooks(t, "sources", "--config", file); err == nil || !strings.Contains(err.Error(), "no Caddy answers at 127.0.0.1:1;") {
		t.Errorf("%v", err)
	}
}

func TestTheDashboardOffersNoJSON(t *testing.T) {
	t.Parallel()
	if _, _, err := webhooks(t, "dashboard", "--json"); err == nil || !strings.Contains(err.Error(), "dashboard prints no JSON") {
		t.Errorf("%v", err)
	}
	out, _, err := webhooks(t, "dashboard", "--help")
	if err != nil || strings.Contains(out, "--json") {
		t.Errorf("%v, %s", err, out)
	}
}
