package forward

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/event"
)

// The headers that deliveries carry. They are ours: whatever a sender puts
// into them is dropped at intake.
const (
	HeaderEventID  = "Webhook-Event-Id"
	HeaderAttempt  = "Webhook-Attempt"
	HeaderReceived = "Webhook-Received"
	HeaderReplay   = "Webhook-Replay"
)

// request makes the attempt's request. The target is the event's, escapes
// untouched; every header's values keep their order.
func request(ctx context.Context, t event.Try) (*http.Request, error) {
	e := t.Event
	target, err := parseTarget(e.URI)
	if err != nil {
		return nil, err
	}
	body := bytes.NewReader(e.Body)
	req := (&http.Request{
		Method: e.Method, URL: target, RequestURI: e.URI, Host: e.Host, RemoteAddr: e.RemoteAddr,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: header(e), ContentLength: int64(len(e.Body)), Body: io.NopCloser(body),
		GetBody: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(e.Body)), nil },
	}).WithContext(ctx)
	if major, minor, ok := http.ParseHTTPVersion(e.Proto); ok {
		req.Proto, req.ProtoMajor, req.ProtoMinor = e.Proto, major, minor
	}
	if len(e.Body) == 0 {
		req.Body = http.NoBody
	}
	if replayable(req.Header) {
		req.GetBody = nil
	}
	if e.TLS {
		req.TLS = &tls.ConnectionState{HandshakeComplete: true, ServerName: e.Host}
	}
	req.Header.Set(HeaderEventID, e.ID.String())
	req.Header.Set(HeaderAttempt, strconv.Itoa(t.Number))
	req.Header.Set(HeaderReceived, e.Received.UTC().Format(time.RFC3339Nano))
	if t.Replay {
		req.Header.Set(HeaderReplay, "true")
	}
	return req, nil
}

// replayable tells that Go's transport would take the request for one that may be
// sent twice. Some providers send such a header; but when a connection breaks
// under an event it is the schedule's turn, and the next request another attempt.
func replayable(h http.Header) bool {
	_, key := h["Idempotency-Key"]
	_, other := h["X-Idempotency-Key"]
	return key || other
}

// parseTarget reads a request target so that it is written again as it came.
func parseTarget(uri string) (*url.URL, error) {
	u, err := url.ParseRequestURI(uri)
	if err != nil {
		return nil, fmt.Errorf("the stored request target: %w", err)
	}
	if path, _, _ := strings.Cut(uri, "?"); strings.HasPrefix(path, "/") && u.EscapedPath() != path {
		u.RawPath = escapeRest(path)
	}
	return u, nil
}

// escapeRest escapes what may not stand in a path, and leaves the escapes that
// are there. Package url would escape the whole path anew, were a single byte
// of it not allowed, and so turn another segment's %2F into a slash.
func escapeRest(path string) string {
	var b strings.Builder
	for _, c := range []byte(path) {
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~!$&'()*+,;=:@/[]%", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// notOn are the headers that belong to one connection (RFC 9110 §7.6.1), and ours.
var notOn = []string{
	"Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization",
	"Te", "Trailer", "Transfer-Encoding", "Upgrade",
	HeaderEventID, HeaderAttempt, HeaderReceived, HeaderReplay,
}

// header copies what travels on. Intake stores canonical names without ours;
// a store may hold others all the same, and "transfer-encoding" in small
// letters would pass by every check on its way and frame the request anew.
func header(e *event.Event) http.Header {
	h := make(http.Header, len(e.Header)+4)
	for _, name := range slices.Sorted(maps.Keys(e.Header)) {
		canonical := http.CanonicalHeaderKey(name)
		h[canonical] = append(h[canonical], e.Header[name]...)
	}
	for _, list := range h["Connection"] {
		for name := range strings.SplitSeq(list, ",") {
			if name = strings.TrimSpace(name); name != "" {
				h.Del(name)
			}
		}
	}
	for _, name := range notOn {
		delete(h, name)
	}
	if _, named := h["User-Agent"]; !named {
		h["User-Agent"] = nil // else Go's own is sent
	}
	return h
}
