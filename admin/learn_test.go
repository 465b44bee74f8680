package admin

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-webhooks/caddy-webhooks/gateway"
	"github.com/caddy-webhooks/caddy-webhooks/store"
	"github.com/caddy-webhooks/caddy-webhooks/store/memory"
)

// learner is a gateway whose source asana learns.
type learner struct {
	empty

	state *gateway.Learning
	who   *string
}

var opened = time.Date(2026, 11, 23, 12, 15, 0, 0, time.UTC)

func (l learner) Learn(source string, now time.Time) (gateway.Learning, error) {
	if l.state.Known {
		return *l.state, store.ErrConflict
	}
	l.state.Until = opened
	return l.Learning(source, now)
}

func (l learner) Learning(source string, _ time.Time) (gateway.Learning, error) {
	switch source {
	case "asana":
		return *l.state, nil
	case "shop":
		return gateway.Learning{}, gateway.ErrNoLearner
	}
	return gateway.Learning{}, gateway.ErrNoSource
}

func (l learner) Forget(_ context.Context, _, who string) error {
	*l.state, *l.who = gateway.Learning{}, who
	return nil
}

func TestLearningIsOpenedShownAndForgottenAndItsSecretNeverTold(t *testing.T) {
	t.Parallel()
	s := memory.New(memory.Options{})
	t.Cleanup(func() { _ = s.Close() })
	g := learner{empty: empty{s: s}, state: new(gateway.Learning), who: new(string)}
	h := API{running: func() (Gateway, bool) { return g, true }}.serve(learn)
	for _, c := range []struct {
		method, path string
		known        bool
		status       int
		body         string
	}{
		{http.MethodGet, "asana", false, 200, `{"source":"asana","known":false}`},
		{http.MethodPost, "asana", false, 200, `{"source":"asana","known":false,"open_until":"2026-11-23T12:15:00Z"}`},
		{http.MethodPost, "asana", true, http.StatusConflict, ""},
		{http.MethodGet, "asana", true, 200, `"known":true`},
		{http.MethodDelete, "asana", true, 200, `{"source":"asana","known":false}`},
		{http.MethodPut, "asana", false, http.StatusMethodNotAllowed, ""},
		{http.MethodHead, "asana", false, 200, ""},
		{http.MethodPost, "asana?for=1h", false, http.StatusBadRequest, ""},
		{http.MethodGet, "shop", false, http.StatusConflict, ""},
		{http.MethodGet, "nobody", false, http.StatusNotFound, ""},
		{http.MethodGet, "", false, http.StatusNotFound, ""},
	} {
		g.state.Known = c.known
		r := httptest.NewRequest(c.method, "/webhooks/learn/"+c.path, http.NoBody)
		r.Header.Set(WhoHeader, "mary")
		w := httptest.NewRecorder()
		err := h.ServeHTTP(w, r)
		status := w.Code
		if refused, ok := errors.AsType[caddy.APIError](err); ok {
			status = refused.HTTPStatus
		}
		if status != c.status || !strings.Contains(w.Body.String(), c.body) {
			t.Errorf("%s %s: %d %s, %v; want %d %s", c.method, c.path, status, w.Body, err, c.status, c.body)
		}
	}
	if !strings.HasPrefix(*g.who, "mary") {
		t.Errorf("it was forgotten by %q", *g.who)
	}
}
