package forward_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/forward"
)

func TestACutAnswerIsASuccessOnlyWhereItIsToBeAccepted(t *testing.T) {
	t.Parallel()
	var status atomic.Int64
	addr := backend(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		w.WriteHeader(int(status.Load()))
		_, _ = w.Write([]byte("half"))
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	for _, c := range []struct {
		accept bool
		status int
		want   event.Verdict
	}{{false, 200, event.Again}, {true, 200, event.Done}, {true, 500, event.Again}} {
		status.Store(int64(c.status))
		got := chain(t, proxy(addr), forward.Options{AcceptCut: c.accept}).Forward(t.Context(), try(sample(), 1, false))
		if got.Verdict != c.want || got.Status != c.status || !strings.Contains(got.Error, "cut short after 4 bytes") {
			t.Errorf("status %d, accepting %v: %+v, want verdict %v", c.status, c.accept, got, c.want)
		}
	}
}
