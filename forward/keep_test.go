package forward_test

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/forward"
)

func TestSoMuchOfAnAnswerIsKeptAsIsAskedFor(t *testing.T) {
	t.Parallel()
	const kept = 64 << 10
	for name, c := range map[string]struct {
		keep, size int
		cut        bool
	}{
		"nothing is asked for":        {0, kept, false},
		"an empty answer":             {kept, 0, false},
		"less than the history keeps": {10, 10, false},
		"a byte more than that":       {10, 11, true},
		"as much as is asked for":     {kept, kept, false},
		"a byte more than is asked":   {kept, kept + 1, true},
		"much more":                   {kept, 3 * kept, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			body := strings.Repeat("0123456789abcdef", c.size/16+1)[:c.size]
			addr := backend(t, func(w http.ResponseWriter, _ *http.Request) {
				for rest := body; rest != ""; { // chunked, in pieces
					n := min(len(rest), 3000)
					_, _ = w.Write([]byte(rest[:n]))
					_ = http.NewResponseController(w).Flush()
					rest = rest[n:]
				}
			})
			attempt := try(sample(), 1, false)
			attempt.Keep = c.keep
			out := chain(t, proxy(addr)).Forward(t.Context(), attempt)
			if out.Verdict != event.Done || out.ReplyCut != c.cut {
				t.Errorf("verdict %v, cut %v; want a success, %v", out.Verdict, out.ReplyCut, c.cut)
			}
			if want := body[:min(len(body), c.keep)]; string(out.Reply) != want {
				t.Errorf("%d bytes are kept, want %d", len(out.Reply), len(want))
			}
			if want := body[:min(len(body), event.AnswerLimit)]; string(out.Answer) != want {
				t.Errorf("the history has %d bytes, want %d", len(out.Answer), len(want))
			}
			if cap(out.Answer) > 2*event.AnswerLimit {
				t.Errorf("the history holds on to %d bytes", cap(out.Answer))
			}
		})
	}
}

func TestAnEncodedAnswerIsKeptAsItCame(t *testing.T) {
	t.Parallel()
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = z.Write([]byte(strings.Repeat("hello ", 1000)))
	_ = z.Close()
	addr := backend(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(zipped.Bytes())
	})
	attempt := try(sample(), 1, false)
	attempt.Keep = 64 << 10
	attempt.Event.Header.Set("Accept-Encoding", "gzip")
	out := chain(t, proxy(addr), forward.Options{}).Forward(t.Context(), attempt)
	if out.Header.Get("Content-Encoding") != "gzip" || !bytes.Equal(out.Reply, zipped.Bytes()) {
		t.Errorf("%v with %d bytes, want gzip with %d", out.Header, len(out.Reply), zipped.Len())
	}
}
