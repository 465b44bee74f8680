package handler

import (
	"crypto/subtle"
	"errors"
	"fmt"

	"github.com/caddy-webhooks/caddy-webhooks/gateway"
	"github.com/caddy-webhooks/caddy-webhooks/verify"
)

// checkLearn refuses a source that could not learn, or need not.
func (h *Handler) checkLearn() error {
	switch {
	case !h.From.Learn:
		return nil
	case h.record.Learn == nil:
		return misplaced{"secret", fmt.Errorf("provider %s does not hand its secret over: configure it", h.record.Name)}
	case len(h.From.Secrets) > 0:
		return misplaced{"secret", errors.New("`secret learn` stands alone: a secret that is configured need not be learned")}
	}
	return nil
}

// learn takes the secret that a request offers. The word is empty if it offers none.
func (h *Handler) learn(v *verify.Verifier, in *arrival) (a verify.Answer, word string, err error) {
	if !h.From.Learn {
		return a, "", nil
	}
	secret, a, ok := v.Offered(&in.checked)
	if !ok {
		return a, "", nil
	}
	if known := h.source.Learned(); known != "" && subtle.ConstantTimeCompare([]byte(known), []byte(secret)) == 1 {
		return a, handshake, nil // the answer was lost; the same is offered again
	}
	if err := h.source.Learn(in.r.Context(), secret, h.now()); err != nil {
		if errors.Is(err, gateway.ErrNotLearning) {
			err = fmt.Errorf("%w: %w", verify.ErrNoSecret, err)
		}
		return a, "", err
	}
	h.source.Handshakes.Add(1)
	if h.record.Learn.Show {
		h.log.Warn("the provider has handed its secret over; confirm it there. It is shown only this once", "secret", secret)
	} else {
		h.log.Info("the provider has handed its secret over", "digest", verify.NewSecret(secret).Digest())
	}
	return a, handshake, nil
}

// own gives the secrets that do not stand in the configuration: those of the
// request, or the one that was learned.
func (h *Handler) own(in *arrival) ([]verify.Secret, error) {
	if !h.From.Learn {
		return h.secrets.own(in.repl), nil
	}
	known := h.source.Learned()
	if known == "" {
		return nil, fmt.Errorf("%w: the source has learned none yet; run `caddy webhooks learn %s` and make the webhook at the provider",
			verify.ErrKeys, h.Name)
	}
	return []verify.Secret{verify.NewSecret(known)}, nil
}
