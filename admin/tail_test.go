package admin

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/store"
	"github.com/caddy-webhooks/caddy-webhooks/store/memory"
)

// follower reads a stream of events.
type follower struct {
	*testing.T
	resp *http.Response
	in   *bufio.Reader
	last string
}

// follow begins to read; the server's end is the test's.
func follow(t *testing.T, server *httptest.Server, target, last string) *follower {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+target, nil)
	if err != nil {
		t.Fatal(err)
	}
	if last != "" {
		req.Header.Set("Last-Event-ID", last)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	f := &follower{T: t, resp: resp, in: bufio.NewReader(resp.Body), last: last}
	t.Cleanup(f.stop)
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%s: %s", target, resp.Status)
	}
	f.line("id: ") // it stands before anything that comes
	f.line("")
	return f
}

func (f *follower) stop() { _ = f.resp.Body.Close() }

func (f *follower) line(prefix string) string {
	f.Helper()
	text, err := f.in.ReadString('\n')
	if err != nil || !strings.HasPrefix(text, prefix) {
		f.Fatalf("%q, %v; want %q", text, err, prefix)
	}
	return strings.TrimSuffix(strings.TrimPrefix(text, prefix), "\n")
}

// next reads one event.
func (f *follower) next() (v recordJSON) {
	f.Helper()
	f.last = f.line("id: ")
	f.line("event: accepted")
	if err := json.Unmarshal([]byte(f.line("data: ")), &v); err != nil {
		f.Fatal(err)
	}
	f.line("")
	return v
}

// serving is an API on a real server.
func serving(t *testing.T, a API) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	for _, route := range a.Routes() {
		mux.HandleFunc(route.Pattern, func(w http.ResponseWriter, r *http.Request) {
			if err := route.Handler.ServeHTTP(w, r); err != nil {
				http.Error(w, err.Error(), http.StatusTeapot)
			}
		})
	}
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server
}

func TestWhoFollowsMissesNothingOverABreak(t *testing.T) {
	t.Parallel()
	a, s := deskAPI(t, dest("shop", "default"))
	server := serving(t, a)
	accept(t, s, "shop", 3, "default") // before
	f := follow(t, server, "/webhooks/tail", "")
	blogOnly := follow(t, server, "/webhooks/tail?source=blog", "")
	var want, got []string
	n := 0
	more := func(k int) {
		for _, id := range accept(t, s, fmt.Sprint("shop", n), k, "default") {
			want = append(want, id.String())
		}
		n++
	}
	more(2)
	for range 2 {
		got = append(got, f.next().Event)
	}
	for range 3 {
		f.stop()
		more(150) // while nobody listens, and more than a page
		f = follow(t, server, "/webhooks/tail", f.last)
		more(20)
		for range 170 {
			got = append(got, f.next().Event)
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%d events were told of, want %d in their order", len(got), len(want))
	}
	id := accept(t, s, "blog", 1, "default")[0]
	if v := blogOnly.next(); v.Event != id.String() {
		t.Errorf("with a filter came %+v", v)
	}
	all := follow(t, server, "/webhooks/tail?since=-1h", "")
	for range 3 {
		if v := all.next(); v.Source != "shop" {
			t.Errorf("from an hour ago on came %+v", v)
		}
	}
	_ = s.Close()
	if text, err := f.in.ReadString('\n'); err == nil && strings.HasPrefix(text, "id: ") { // the last one, of blog
		for err == nil {
			_, err = f.in.ReadString('\n')
		}
	}
	if _, err := blogOnly.in.ReadString('\n'); err == nil {
		t.Error("with the store closed it goes on")
	}
}

// One that follows an empty store and breaks off is told of what came meanwhile.
func TestWhoFollowsFromTheBeginningGoesOnThere(t *testing.T) {
	t.Parallel()
	a, s := deskAPI(t, dest("shop", "default"))
	server := serving(t, a)
	for _, target := range []string{"/webhooks/tail", "/webhooks/tail?since=-1h"} {
		follow(t, server, target, "").stop()
	}
	ids := accept(t, s, "shop", 2, "default")
	for _, f := range []*follower{
		follow(t, server, "/webhooks/tail", "0"), follow(t, server, "/webhooks/tail?cursor=0", ""), follow(t, server, "/webhooks/tail?since=-1h", "0"),
	} {
		for _, id := range ids {
			if v := f.next(); v.Event != id.String() {
				t.Errorf("it is told of %+v, want %s", v, id)
			}
		}
	}
	if lines := exported(t, server, "?cursor=0"); len(lines) != 2 {
		t.Errorf("an export from the beginning has %d lines", len(lines))
	}
}

func TestACursorOfAnotherStoreIsRefused(t *testing.T) {
	t.Parallel()
	a, s := deskAPI(t, dest("shop", "default"))
	accept(t, s, "shop", 3, "default")
	for target, want := range map[string]int{
		"/webhooks/tail?cursor=4": 409, "/webhooks/tail?cursor=3w5e11264sgsf": 409, "/webhooks/tail?cursor=3w5e11264sgsg": 400,
		"/webhooks/export?cursor=4": 409, "/webhooks/export?cursor=3w5e11264sgsf": 409, "/webhooks/export?cursor=3": 200,
		"/webhooks/events?cursor=4": 409, "/webhooks/events?cursor=3": 200, "/webhooks/events?cursor=0": 400,
	} {
		status, text, _ := call(t, a, "GET", target, "")
		if status != want || status == 409 && text != errBeyond.Error() {
			t.Errorf("%s: %d %s, want %d", target, status, text, want)
		}
	}
}

// What passes a narrow filter is silence to the one who follows.
func TestAFilterDoesNotSilenceHeartbeats(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := memory.New(memory.Options{})
		w := httptest.NewRecorder()
		f := &tailing{
			s: s, out: stream{w: w, control: http.NewResponseController(w)}, sent: time.Now(),
			filter: store.Filter{Source: "blog", OldestFirst: true, Limit: tailPage},
		}
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		var passing sync.WaitGroup
		passing.Go(func() {
			for ctx.Err() == nil {
				accept(t, s, "shop", 1, "default")
				time.Sleep(100 * time.Millisecond)
			}
		})
		for err := error(nil); err == nil; {
			err = f.next(ctx)
		}
		if beats := strings.Split(strings.TrimSpace(w.Body.String()), "\n\n"); len(beats) < 3 || len(beats) > 4 || beats[2] < "id: c" {
			t.Errorf("within a minute came %q", beats)
		}
		passing.Wait()
		_ = s.Close()
	})
}

func TestContentsAreMaskedUnlessSecretsAreAskedFor(t *testing.T) {
	t.Parallel()
	a, s := deskAPI(t, dest("shop", "default"))
	server := serving(t, a)
	closed, masks, open := follow(t, server, "/webhooks/tail", ""), follow(t, server, "/webhooks/tail?body=1", ""), follow(t, server, "/webhooks/tail?body=1&secrets=1", "")
	r, err := s.Accept(t.Context(), store.Admission{
		Event: &event.Event{
			Source: "shop", Method: "POST", URI: "/hook?token=t0ps3cret", Body: []byte("{\n}"),
			Header: http.Header{"Stripe-Signature": {"t0ps3cret"}, "X-Plain": {"a\nb"}},
		},
		Owed: []store.Owed{{Destination: "default"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if v := closed.next(); v.Body != nil || v.Headers != nil {
		t.Errorf("without being asked: %+v", v)
	}
	if v := masks.next(); string(v.Body) != "{\n}" || fmt.Sprint(v.Headers) != "map[Stripe-Signature:["+masked+"] X-Plain:[a\nb]]" || strings.Contains(v.URI, "t0ps3cret") {
		t.Errorf("asked for bodies: %+v", v)
	}
	if v := open.next(); string(v.Body) != "{\n}" || v.Headers["Stripe-Signature"][0] != "t0ps3cret" || v.URI != "/hook?token=t0ps3cret" {
		t.Errorf("asked for secrets: %+v", v)
	}
	for target, secret := range map[string]bool{"": false, "?secrets=1": true} {
		_, text, _ := call(t, a, "GET", "/webhooks/events/"+r.ID.String()+target, "")
		if strings.Contains(text, "t0ps3cret") != secret {
			t.Errorf("one event%s: %s", target, text)
		}
	}
}

func TestAFollowerThatCannotBeMeantIsRefused(t *testing.T) {
	t.Parallel()
	a, _ := deskAPI(t)
	for target, want := range map[string]string{
		"?limit=3": "parameter limit", "?until=-1h": "parameter until", "?body=2": "parameter body: must be 1", "?secrets=": "parameter secrets",
		"?colour=red": `unknown parameter "colour"`, "?cursor=!": "parameter cursor", "?since=x": "parameter since",
	} {
		if status, text, _ := call(t, a, "GET", "/webhooks/tail"+target, ""); status != 400 || !strings.HasPrefix(text, want) {
			t.Errorf("%s: %d %s, want %s", target, status, text, want)
		}
	}
}
