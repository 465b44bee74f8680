package admin

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/gateway"
	"github.com/caddy-webhooks/caddy-webhooks/query"
)

// learn serves /webhooks/learn/{source}: GET tells whether the source knows its
// secret, POST opens it for one, DELETE forgets it. The secret itself is never
// told.
func learn(g Gateway, w http.ResponseWriter, r *http.Request) error {
	source := strings.TrimPrefix(r.URL.Path, "/webhooks/learn/")
	q, err := parameters(r)
	if err != nil {
		return err
	}
	if err := query.Only(q); err != nil {
		return fail(http.StatusBadRequest, err)
	}
	now := time.Now()
	var state gateway.Learning
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		state, err = g.Learning(source, now)
	case http.MethodPost:
		state, err = g.Learn(source, now)
	case http.MethodDelete:
		if err = g.Forget(r.Context(), source, who(r)); err == nil {
			state, err = g.Learning(source, now)
		}
	default:
		return wrongMethod(w, "GET, HEAD, POST, DELETE")
	}
	if err != nil {
		return failed(fmt.Errorf("learning: %w", err))
	}
	v := learningJSON{Source: source, Known: state.Known}
	if !state.Until.IsZero() {
		until := state.Until.UTC()
		v.OpenUntil = &until
	}
	return answer(w, http.StatusOK, v)
}

// learningJSON tells how far a source has come.
type learningJSON struct {
	Source string `json:"source"`
	// Known tells that the source has its secret.
	Known bool `json:"known"`
	// OpenUntil is when it stops taking one; absent if it takes none.
	OpenUntil *time.Time `json:"open_until,omitempty"`
}
