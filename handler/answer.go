package handler

import (
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-webhooks/caddy-webhooks/gateway"
	"github.com/caddy-webhooks/caddy-webhooks/store"
	"github.com/caddy-webhooks/caddy-webhooks/verify"
)

// The headers of an answer, and the words in the first.
const (
	headerStatus  = "Webhook-Status"
	headerEventID = "Webhook-Event-Id"

	rejected    = "rejected"
	unavailable = "unavailable"
	handshake   = "handshake"
)

// retryAfter is what a provider is asked to wait, in seconds. Providers that
// heed it come back soon enough; a full disk does not need them every second.
const retryAfter = 30

// statusOf is the one place where an error becomes a status. Whatever is our
// own fault is 503, so that the provider tries again.
func statusOf(err error) int {
	var status caddyhttp.HandlerError
	switch {
	case errors.Is(err, verify.ErrMethod):
		return http.StatusMethodNotAllowed
	case errors.Is(err, verify.ErrRejected):
		return http.StatusUnauthorized
	case errors.Is(err, errTooLarge), errors.Is(err, store.ErrTooLarge):
		return http.StatusRequestEntityTooLarge
	case errors.Is(err, errIncomplete):
		return http.StatusRequestTimeout
	case errors.As(err, &status) && status.StatusCode >= 400:
		return status.StatusCode
	}
	return http.StatusServiceUnavailable
}

// rejectedWords and unavailableWords are the words that [reasonOf] gives, by what
// is answered. The one in both is of a handler before ours, whose status counts.
func rejectedWords() []string {
	return append(verify.Reasons(), "too_large", "incomplete", "body")
}

func unavailableWords() []string {
	words := slices.DeleteFunc(store.Reasons(), func(word string) bool { return word == "too_large" })
	return append(words, "inflight", "keys", "body")
}

// words are those that the source's counts can have.
func (h *Handler) words() gateway.Words {
	w := gateway.Words{Rejected: rejectedWords(), Unavailable: unavailableWords()}
	if h.within > 0 {
		w.Answers = append(slices.Sorted(maps.Keys(ownWords)), "") // the backend's own has no word
	}
	return w
}

// reasonOf gives the metrics' word for an error.
func reasonOf(err error) string {
	var status caddyhttp.HandlerError
	switch {
	case errors.Is(err, verify.ErrRejected):
		return verify.Reason(err)
	case errors.Is(err, errTooLarge), errors.Is(err, store.ErrTooLarge):
		return "too_large"
	case errors.Is(err, errIncomplete):
		return "incomplete"
	case errors.Is(err, gateway.ErrInflight):
		return "inflight"
	case errors.Is(err, verify.ErrKeys):
		return "keys"
	case errors.As(err, &status) && status.StatusCode >= 400:
		return "body"
	}
	return store.Reason(err)
}

// refuse answers an error. A body that was not read is not
// waited for: the connection ends with the answer.
func (h *Handler) refuse(w http.ResponseWriter, err error, unread bool) {
	status, word := statusOf(err), rejected
	if status >= 500 {
		word = unavailable
		w.Header().Set("Retry-After", strconv.Itoa(retryAfter))
	}
	if status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", strings.Join(h.verifier.Load().Methods(), ", "))
	}
	if unread {
		w.Header().Set("Connection", "close")
	}
	w.Header().Set(headerStatus, word)
	w.WriteHeader(status)
}

// reply writes an answer to the provider. What it echoes is a stranger's, so
// no browser may take it for anything but what it is called.
func reply(w http.ResponseWriter, word string, a verify.Answer) {
	header := w.Header()
	header.Set(headerStatus, word)
	if a.Type != "" {
		header.Set("Content-Type", a.Type)
	}
	for name, value := range a.Header {
		header.Set(name, value)
	}
	if a.Body != "" {
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Content-Length", strconv.Itoa(len(a.Body)))
	}
	w.WriteHeader(a.Status)
	if a.Body != "" {
		_, _ = io.WriteString(w, a.Body) // the event is stored; whoever hung up asks again
	}
}
