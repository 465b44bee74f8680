package forward_test

import (
	"context"
	"io"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/forward"
)

func TestASignerReplacesHeadersAndTheProvidersOwnTravelBeside(t *testing.T) {
	t.Parallel()
	type got struct {
		header http.Header
		body   []byte
	}
	seen := make(chan got, 1)
	addr := backend(t, func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		seen <- got{r.Header, b}
	})
	now := time.Unix(1_795_007_200, 0)
	var asked []time.Time
	c := chain(t, proxy(addr), forward.Options{
		Now: func() time.Time { return now },
		Sign: func(e *event.Event, now time.Time) http.Header {
			asked = append(asked, now)
			return http.Header{
				"x-multi": {"new"}, "X-Gone": nil, "X-Added": {"1", "2"}, "X-Nowhere": nil,
				"X-Of": {e.Header.Get("X-Of") + "'"},
			}
		},
	})
	e := sample()
	e.Header.Set("X-Gone", "old")
	e.Header.Set("X-Of", "old")
	for number := 1; number <= 2; number++ {
		if out := c.Forward(context.Background(), event.Try{Event: e, Number: number}); out.Verdict != event.Done {
			t.Fatalf("attempt %d: %+v", number, out)
		}
		g := <-seen
		for name, want := range map[string][]string{
			"X-Multi": {"new"}, "Webhook-Original-X-Multi": {"b", "a"},
			"X-Gone": nil, "Webhook-Original-X-Gone": {"old"},
			"X-Added": {"1", "2"}, "Webhook-Original-X-Added": nil,
			"X-Nowhere": nil, "Webhook-Original-X-Nowhere": nil,
			"X-Of": {"old'"}, "Webhook-Original-X-Of": {"old"},
		} {
			if !slices.Equal(g.header[name], want) {
				t.Errorf("attempt %d: %s is %q, want %q", number, name, g.header[name], want)
			}
		}
		if string(g.body) != string(sample().Body) {
			t.Errorf("attempt %d: the body is %q", number, g.body)
		}
	}
	if !slices.Equal(asked, []time.Time{now, now}) {
		t.Errorf("the signer was asked at %v", asked)
	}
	if !slices.Equal(e.Header["X-Multi"], []string{"b", "a"}) || e.Header.Get("X-Gone") != "old" {
		t.Errorf("the event itself has changed: %v", e.Header)
	}
}
