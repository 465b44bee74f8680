package forward_test

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/forward"
)

// headersOf reads "name: value" lines, whatever stands in them.
func headersOf(lines string) http.Header {
	h := http.Header{}
	for line := range strings.SplitSeq(lines, "\n") {
		name, value, _ := strings.Cut(line, ":")
		h[name] = append(h[name], strings.TrimPrefix(value, " "))
	}
	return h
}

// canonical is a stored header under the names that it travels with.
func canonical(stored http.Header) http.Header {
	h := http.Header{}
	for _, name := range slices.Sorted(maps.Keys(stored)) {
		h[http.CanonicalHeaderKey(name)] = append(h[http.CanonicalHeaderKey(name)], stored[name]...)
	}
	return h
}

// travels tells whether a stored header belongs to the backend, by RFC 9110 §7.6.1
// and by the names that deliveries keep for themselves.
func travels(name string, stored http.Header) bool {
	switch name {
	case "Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer",
		"Transfer-Encoding", "Upgrade",
		forward.HeaderEventID, forward.HeaderAttempt, forward.HeaderReceived, forward.HeaderReplay:
		return false
	}
	for _, list := range stored["Connection"] {
		for named := range strings.SplitSeq(list, ",") {
			if named = strings.TrimSpace(named); named != "" && http.CanonicalHeaderKey(named) == name {
				return false
			}
		}
	}
	return true
}

// headersAreRight checks both directions: what must travel does, and nothing else.
func headersAreRight(t *testing.T, e *event.Event, got http.Header, attempt int, replay bool) {
	t.Helper()
	all := canonical(e.Header)
	for name, want := range all {
		if values, on := got[name]; travels(name, all) && (!on || !slices.Equal(values, want)) {
			t.Errorf("%q is %q, want %q", name, values, want)
		}
	}
	ours := map[string]string{
		forward.HeaderEventID: e.ID.String(), forward.HeaderAttempt: strconv.Itoa(attempt),
		forward.HeaderReceived: e.Received.UTC().Format(time.RFC3339Nano),
	}
	if replay {
		ours[forward.HeaderReplay] = "true"
	}
	for name, want := range ours {
		if v := got[name]; len(v) != 1 || v[0] != want {
			t.Errorf("%s is %q, want %q", name, v, want)
		}
	}
	for name, values := range got {
		_, own := ours[name]
		_, stored := all[name]
		switch {
		case own:
		case name == "User-Agent" && !stored && len(values) == 0: // says: add none
		case !stored || !travels(name, all):
			t.Errorf("%q: %q travels on", name, values)
		}
	}
}

// written is a path as it may stand in a request: what RFC 3986 (and Go, which
// lets brackets be) does not allow is escaped, the escapes that are there stay.
func written(path string) string {
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~!$&'()*+,;=:@/[]%"
	var w strings.Builder
	for i := range len(path) {
		if strings.Contains(allowed, path[i:i+1]) {
			w.WriteString(path[i : i+1])
		} else {
			w.WriteString("%" + strings.ToUpper(hex.EncodeToString([]byte{path[i]})))
		}
	}
	return w.String()
}

// token is what a method may be, and control what no header's value may hold;
// the transport refuses such a request before it writes a byte.
var (
	token   = regexp.MustCompile("^[-!#$%&'*+.^_`|~0-9A-Za-z]+$")
	control = regexp.MustCompile(`[\x00-\x08\x0a-\x1f\x7f]`)
)

// sendable tells whether HTTP/1.1 can carry the request.
func sendable(r *http.Request) bool {
	for _, values := range r.Header {
		if slices.ContainsFunc(values, control.MatchString) {
			return false
		}
	}
	return strings.HasPrefix(r.RequestURI, "/") && !strings.Contains(r.URL.RawQuery, " ") && token.MatchString(r.Method)
}

// wireIsRight checks what a server reads that gets the request over HTTP/1.1.
func wireIsRight(t *testing.T, e *event.Event, r *http.Request) {
	t.Helper()
	var wire bytes.Buffer
	if !sendable(r) || r.Write(&wire) != nil {
		return // a failed attempt
	}
	path, _, _ := strings.Cut(e.URI, "?")
	got, err := http.ReadRequest(bufio.NewReader(&wire))
	if err != nil {
		t.Fatalf("a server cannot read it: %v", err)
	}
	body, err := io.ReadAll(got.Body)
	if err != nil || !bytes.Equal(body, e.Body) {
		t.Errorf("a server reads the body %q, %v; want %q", body, err, e.Body)
	}
	if got.Method != e.Method {
		t.Errorf("a server reads the method %q, want %q", got.Method, e.Method)
	}
	if want := written(path) + e.URI[len(path):]; got.RequestURI != want {
		t.Errorf("a server reads the target %q, want %q", got.RequestURI, want)
	}
}

func FuzzRequest(f *testing.F) {
	for _, uri := range []string{
		"/", "/a%2Fb//c;x?q=%2f&e=+&y", "/?", "/a?b?c", "//host/path", "/%zz", "/a b", "/a#b?c#d", "/ä|^%2F\"<>", "/./../x", "*", "",
		"http://other.example/x?y", "mailto:a", "/\x00", "/%00", "?", "/[]{}%5B", "/x?\xff%zz;",
	} {
		f.Add("POST", uri, "X-A: 1\nX-A: 2", []byte("{}"), 1, false)
	}
	for _, h := range []string{
		"", ":", "Connection: close, X-Hop\nX-Hop: 1", "connection: x-hop\nX-Hop: 1\nx-hop: 2", "transfer-encoding: chunked",
		"Transfer-Encoding: chunked\nContent-Length: 3", "content-length: 0", "Te: trailers\nTrailer: X-T", "Connection: Webhook-Event-Id,,",
		"Idempotency-Key: 1", "x-idempotency-key: 2",
		"webhook-event-id: forged\nWebhook-Attempt: 9", "Webhook-Replay: true", "webhook-replay: true", "User-Agent: a", "user-agent: b",
		"X\x00: \xff", "0: \x10", "X A: b", "X-Ä: ü", "Host: other", "Webhook-Original-X: y", "Expect: 100-continue", "Connection: Host, User-Agent",
	} {
		f.Add("POST", "/", h, []byte("\x00\xff\r\n\r\nGET / HTTP/1.1"), 3, true)
		f.Add("POST", "/", h, []byte{}, 3, false)
	}
	f.Add("", "/", "", []byte{}, 0, true)
	f.Add("GET / HTTP/1.1\r\nX:", "/", "", []byte{}, -1, true)
	f.Add("CONNECT", "host:1", "", []byte("a"), 1, true)
	c := chain(f, actor)
	f.Fuzz(func(t *testing.T, method, uri, lines string, body []byte, attempt int, replay bool) {
		e := sample()
		e.Method, e.URI, e.Header, e.Body = method, uri, headersOf(lines), body
		before := e.Header.Clone()
		var seen *http.Request
		var read []byte
		ctx := does(t.Context(), func(w http.ResponseWriter, r *http.Request) error {
			seen = r
			read, _ = io.ReadAll(r.Body)
			w.WriteHeader(http.StatusNoContent)
			return nil
		})
		out := c.Forward(ctx, try(e, attempt, replay))
		if strings.Contains(out.Error, "panicked") {
			t.Fatal(out.Error)
		}
		if seen == nil {
			if _, err := url.ParseRequestURI(uri); err == nil || out.Verdict != event.Again || out.Error == "" {
				t.Errorf("no request for %q: %+v", uri, out)
			}
			return
		}
		if out.Verdict != event.Done || out.Number != attempt {
			t.Errorf("%+v", out)
		}
		same(t, e, seen, read)
		headersAreRight(t, e, seen.Header, attempt, replay)
		for name, want := range before {
			if !slices.Equal(e.Header[name], want) {
				t.Errorf("the attempt changed the event's %q to %q", name, e.Header[name])
			}
		}
		_, once := seen.Header["Idempotency-Key"]
		_, or := seen.Header["X-Idempotency-Key"]
		if (seen.GetBody == nil) != (once || or) {
			t.Errorf("whether it may be sent twice by Go is wrong, with %v", seen.Header)
		}
		seen.Body = io.NopCloser(bytes.NewReader(e.Body))
		if seen.GetBody != nil {
			again, err := seen.GetBody()
			if err != nil {
				t.Fatal(err)
			}
			seen.Body = again
		}
		wireIsRight(t, e, seen)
	})
}

// same checks everything of the request but its headers.
func same(t *testing.T, e *event.Event, r *http.Request, body []byte) {
	t.Helper()
	if r.Method != e.Method || r.RequestURI != e.URI || r.Host != e.Host || r.RemoteAddr != e.RemoteAddr {
		t.Errorf("got %q %q of %q from %q", r.Method, r.RequestURI, r.Host, r.RemoteAddr)
	}
	if !bytes.Equal(body, e.Body) || r.ContentLength != int64(len(e.Body)) {
		t.Errorf("the body is %q, announced as %d; want %q", body, r.ContentLength, e.Body)
	}
	path, query, _ := strings.Cut(e.URI, "?")
	if r.URL.RawQuery != query {
		t.Errorf("the query is %q, want %q", r.URL.RawQuery, query)
	}
	if plainPath, err := url.PathUnescape(path); strings.HasPrefix(path, "/") && (err != nil || r.URL.Path != plainPath) {
		t.Errorf("the path is %q, want that of %q", r.URL.Path, path)
	}
}
