package handler

import (
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/verify"
)

// adding signs what one destination gets, as Standard Webhooks does.
type adding struct {
	h       *Handler
	secrets *secrets
	signer  atomic.Pointer[verify.Standard]
}

var errBroughtToSign = errors.New("a placeholder of the request has no value when an event is delivered; use {env.…} or {file.…}")

// adding sets up what `sign` says; nil if nothing.
func (h *Handler) adding(to *To) (*adding, error) {
	if len(to.Sign) == 0 {
		return nil, nil //nolint:nilnil // there is nothing to do, and that is no error
	}
	list, err := newSecrets(to.Sign)
	switch {
	case err != nil:
		return nil, fmt.Errorf("sign: %w", err)
	case len(list.perRequest) > 0:
		return nil, fmt.Errorf("sign: %w", errBroughtToSign)
	}
	signer, err := verify.NewStandard(list.fixed)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	if list.literal {
		h.log.Warn("a secret of `sign` stands in the configuration itself, where /config/ shows it; use {env.NAME} or {file./path}", "destination", to.Name)
	}
	for i, s := range list.fixed {
		if s.Padded() {
			h.log.Warn("a secret of `sign` begins or ends with white space", "destination", to.Name, "secret", i+1)
		}
	}
	a := &adding{h: h, secrets: list}
	a.signer.Store(signer)
	return a, nil
}

// headers signs an event for an attempt that begins now.
func (a *adding) headers(e *event.Event, now time.Time) http.Header {
	if a.secrets.touched(now) {
		a.reread(now)
	}
	return a.signer.Load().Sign(e.ID.String(), e.Body, now)
}

// reread takes secrets in files that have changed; bad ones leave the old ones
// standing.
func (a *adding) reread(now time.Time) {
	list, changed, err := a.secrets.reread(now)
	if err == nil && !changed {
		return
	}
	var signer *verify.Standard
	if err == nil {
		signer, err = verify.NewStandard(list)
	}
	if err != nil {
		a.h.log.Error("the file of a secret of `sign` changed for the worse; the old secret stays in use", "error", err)
		return
	}
	a.h.log.Info("the file of a secret of `sign` has changed; the new secret is in use")
	a.signer.Store(signer)
}
