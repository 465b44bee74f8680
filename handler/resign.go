package handler

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/verify"
)

// When a delivery's signature is made anew.
const (
	resignAuto   = "auto"
	resignAlways = "always"
	resignNever  = "never"
)

// CheckResign refuses a word that `resign` does not know.
func CheckResign(word string) error {
	switch word {
	case "", resignAuto, resignAlways, resignNever:
		return nil
	}
	return fmt.Errorf("%q is none of auto, always and never", word)
}

// signing makes the headers of one destination's attempts.
type signing struct {
	h *Handler
	// renews tells that the provider's signature is made anew, always that it is
	// at each attempt.
	renews, always bool
	// added signs for the application; nil without `sign`.
	added *adding

	destination string
	say         limiter
}

// signing sets up what `resign` and `sign` say of a destination; nil if they
// have nothing to do.
func (h *Handler) signing(to *To) (func(*event.Event, time.Time) http.Header, error) {
	s := &signing{h: h, destination: to.Name, always: to.Resign == resignAlways}
	var err error
	if s.renews, err = h.canRenew(to); err != nil {
		return nil, misplaced{to.Name + "/resign", err}
	}
	if s.added, err = h.adding(to); err != nil {
		return nil, misplaced{to.Name + "/sign", err}
	}
	if !s.renews && s.added == nil {
		return nil, nil //nolint:nilnil // there is nothing to do, and that is no error
	}
	return s.headers, nil
}

var errBrought = errors.New("resign always: the secret comes with each request, and is not known when an event is delivered; write: resign never")

// canRenew tells whether the provider's signature can be made anew, and is to be.
func (h *Handler) canRenew(to *To) (bool, error) {
	if err := CheckResign(to.Resign); err != nil {
		return false, fmt.Errorf("resign: %w", err)
	}
	if to.Resign == resignNever {
		return false, nil
	}
	always := to.Resign == resignAlways
	if err := h.verifier.Load().Renewable(); err != nil {
		if always {
			return false, fmt.Errorf("resign always: of provider %s %w; write: resign auto, or leave it out", h.record.Name, err)
		}
		return false, nil
	}
	brought := len(h.secrets.perRequest) > 0
	switch {
	case always && brought && len(h.secrets.fixed) == 0:
		return false, errBrought
	case brought && (always || !h.From.ToleranceOff):
		h.log.Warn("a secret that comes with each request is not known when an event is delivered: a late delivery of it keeps its old signature",
			"destination", to.Name, "hint", "if the application does not look at the signature, write: resign never")
	}
	return len(h.secrets.fixed) > 0 || h.From.Learn, nil
}

// headers gives what an attempt changes.
func (s *signing) headers(e *event.Event, now time.Time) http.Header {
	changed := http.Header{}
	if s.renews {
		maps.Copy(changed, s.renewed(e, now))
	}
	if s.added != nil {
		maps.Copy(changed, s.added.headers(e, now))
	}
	return changed
}

// renewed makes the provider's signature anew, with the secrets of the moment.
func (s *signing) renewed(e *event.Event, now time.Time) http.Header {
	h := s.h
	v := h.verifier.Load()
	if h.secrets.touched(now) {
		if fresh := h.renew(now); fresh != nil {
			v = fresh
		}
	}
	o := verify.Renewal{Now: now, Received: e.Received, Always: s.always, Digest: e.Secret, Strict: len(h.secrets.perRequest) > 0}
	if h.From.Learn {
		if known := h.source.Learned(); known != "" {
			o.Own = []verify.Secret{verify.NewSecret(known)}
		}
	}
	changed, err := v.Renew(h.asProven(e), o)
	if err != nil {
		if n, ok := s.say.allow(now, time.Minute); ok {
			h.log.Warn("a delivery keeps the signature that it came with", "destination", s.destination, "event", e.ID.String(), "error", err, "more", n)
		}
	}
	return changed
}

// asProven is an event as it was verified.
func (h *Handler) asProven(e *event.Event) *verify.Request {
	uri := e.OriginalURI
	r := &verify.Request{Method: e.Method, Header: e.Header, Body: e.Body}
	if u, err := url.ParseRequestURI(uri); err == nil {
		r.Query = u.Query()
		if !strings.HasPrefix(uri, "/") {
			uri = u.RequestURI()
		}
	}
	r.URL = h.address(e.TLS, e.Host, uri)
	return r
}
