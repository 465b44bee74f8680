package handler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/gateway"
	"github.com/caddy-webhooks/caddy-webhooks/store"
)

// DefaultWithin leaves a second of the three that Slack and Discord wait.
const DefaultWithin = caddy.Duration(2 * time.Second)

// Why a provider that waits for the backend's answer gets the normal one: the
// words of the log and of the metric.
const (
	ownHeld     = "held"
	ownRepeat   = "repeat"
	ownRevived  = "revived"
	ownFiltered = "filtered"
	ownLate     = "late"
	ownGone     = "gone"
	ownStopped  = "stopped"
	ownFailed   = "failed"
	ownStatus   = "status"
	ownCut      = "cut"
	ownLarge    = "large"
)

// ownWords explain them.
var ownWords = map[string]string{
	ownHeld:     "the event could not be attempted at once: the destination is down, paused or busy, or an earlier event goes first",
	ownRepeat:   "the provider sent again what it had sent before, and no attempt that it could wait for was under way",
	ownRevived:  "the provider sent a dead event again; it is delivered like any other",
	ownFiltered: "the destination does not want the event",
	ownLate:     "the backend had not answered in time; its attempt goes on, and counts",
	ownGone:     "the provider hung up before the backend had answered; the attempt goes on, and counts",
	ownStopped:  "the gateway was stopping; the event is sent again",
	ownFailed:   "the backend gave no answer; the event is sent again",
	ownStatus:   "the backend's answer was not 2xx",
	ownCut:      "the backend's answer broke off",
	ownLarge:    "the backend's answer was larger than 64 KiB; the event is delivered",
}

func (h *Handler) setRespondDefaults() {
	h.alarm = timer
	if h.RespondBackend == nil {
		return
	}
	if h.RespondBackend.Within == 0 {
		h.RespondBackend.Within = DefaultWithin
	}
	h.within = time.Duration(h.RespondBackend.Within)
}

// timer is an alarm that rings in real time.
func timer(d time.Duration) (rings <-chan time.Time, stop func()) {
	t := time.NewTimer(d)
	return t.C, func() { t.Stop() }
}

func (h *Handler) checkRespondBackend() error {
	switch {
	case h.RespondBackend == nil:
		return nil
	case h.RespondBackend.Within < 0:
		return errors.New("respond backend: `within` must not be negative")
	case len(h.To) > 1:
		return fmt.Errorf("respond backend: the provider can be given the answer of one application only, and there are %d destinations; "+
			"keep one `to`, or leave `respond backend` out", len(h.To))
	}
	return nil
}

// contentType names what an operator's own answer is, as Caddy's `respond` does.
// Discord and Twilio go by it.
func contentType(body string) string {
	text := strings.TrimSpace(body)
	switch {
	case strings.HasPrefix(text, "<?xml"):
		return "application/xml"
	case (strings.HasPrefix(text, "{") || strings.HasPrefix(text, "[")) && json.Valid([]byte(text)):
		return "application/json"
	}
	return "text/plain; charset=utf-8"
}

// accept stores the event, and has it attempted at once if the provider waits
// for the backend's answer.
func (h *Handler) accept(ctx context.Context, e *event.Event, claim *store.Claim, wants []gateway.Want) (store.Receipt, *gateway.Reply, error) {
	if h.within > 0 {
		return h.source.AcceptAndAsk(ctx, e, claim, wants) //nolint:wrapcheck // statusOf decides by the store's sentinels
	}
	receipt, err := h.source.Accept(ctx, e, claim, wants)
	return receipt, nil, err //nolint:wrapcheck // as above
}

// passOn waits for the backend's answer to a stored event, and gives it to the
// provider. It tells whether it did; if not, log and metric have the reason.
func (h *Handler) passOn(w http.ResponseWriter, in *arrival, word string, began time.Time) bool {
	out, reason := h.await(in, began)
	h.source.Answered(reason)
	if reason == "" {
		replyWith(w, word, out)
		return true
	}
	h.sayAnswered(in, out, reason)
	return false
}

// await gives the attempt's outcome, or the reason for the normal answer.
func (h *Handler) await(in *arrival, began time.Time) (event.Outcome, string) {
	if in.answer == nil {
		return event.Outcome{}, unasked(in.receipt.Result)
	}
	rings, stop := h.alarm(h.within - h.now().Sub(began))
	defer stop()
	select {
	case <-in.answer.Ended():
	case <-rings:
		return event.Outcome{}, ownLate
	case <-in.r.Context().Done():
		return event.Outcome{}, ownGone
	}
	out := in.answer.Outcome()
	return out, unusable(out)
}

// unasked says why nothing was attempted while the provider waits.
func unasked(r store.Result) string {
	switch r {
	case store.Duplicate:
		return ownRepeat
	case store.Filtered:
		return ownFiltered
	case store.Revived:
		return ownRevived
	case store.Accepted, store.Known:
	}
	return ownHeld
}

// unusable says why an outcome is nothing to answer with; it is empty if it is.
func unusable(out event.Outcome) string {
	switch {
	case out.Verdict == event.Aborted:
		return ownStopped
	case out.Truncated:
		return ownCut
	case out.Status == 0:
		return ownFailed
	case out.Status/100 != 2:
		return ownStatus
	case out.Verdict != event.Done:
		return ownFailed
	case out.ReplyCut:
		return ownLarge
	}
	return ""
}

// sayAnswered logs why a provider got the normal answer; of each reason once a
// second.
func (h *Handler) sayAnswered(in *arrival, out event.Outcome, reason string) {
	n, ok := h.sayOwn.allow(reason, h.now(), time.Second)
	if !ok {
		return
	}
	level := slog.LevelWarn
	if reason == ownRepeat || reason == ownRevived || reason == ownFiltered {
		level = slog.LevelInfo
	}
	said := []any{"reason", reason, "why", ownWords[reason], "event", in.receipt.ID.String(), "within", h.within}
	if reason == ownHeld {
		said = append(said, "held", h.source.Held())
	}
	if out.Status != 0 {
		said = append(said, "status", out.Status)
	}
	if out.Error != "" {
		said = append(said, "error", out.Error)
	}
	h.log.Log(in.r.Context(), level, "the provider got the normal answer, not the backend's", append(said, "more", n)...)
}

// ofConnection are the headers of an answer that belong to one connection (RFC
// 9110 §7.6.1), and the length, which is known anew.
var ofConnection = []string{
	"Alt-Svc", "Connection", "Content-Length", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection",
	"Te", "Trailer", "Transfer-Encoding", "Upgrade",
}

// replyWith gives the provider the backend's answer.
func replyWith(w http.ResponseWriter, word string, out event.Outcome) {
	header := w.Header()
	maps.Copy(header, endToEnd(out.Header))
	if _, named := header["Content-Type"]; !named {
		header["Content-Type"] = nil // else one is guessed
	}
	header.Set(headerStatus, word)
	if out.Status == http.StatusNoContent {
		w.WriteHeader(out.Status)
		return
	}
	header.Set("Content-Length", strconv.Itoa(len(out.Reply)))
	w.WriteHeader(out.Status)
	_, _ = w.Write(out.Reply) // the event is delivered; whoever hung up has lost only the answer
}

// endToEnd copies the headers that travel on to the provider.
func endToEnd(from http.Header) http.Header {
	h := make(http.Header, len(from))
	for name, values := range from {
		canonical := http.CanonicalHeaderKey(name)
		h[canonical] = append(h[canonical], values...) // nil stays nil: it is said to be left out
	}
	for _, list := range h["Connection"] {
		for name := range strings.SplitSeq(list, ",") {
			h.Del(strings.TrimSpace(name))
		}
	}
	for _, name := range ofConnection {
		delete(h, name)
	}
	stripOurs(h)
	return h
}
