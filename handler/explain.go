package handler

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/gateway"
	"github.com/caddy-webhooks/caddy-webhooks/verify"
)

// report counts a refusal, and says why in the log. The answer is written
// before, the same whatever is found. What needs hashing is looked for after
// the handler has returned, so that not even the time of the answer tells.
func (h *Handler) report(in *arrival, err error, share *budget) {
	if !errors.Is(err, verify.ErrRejected) {
		h.count(err)
		h.logRefusal(in, err)
		return
	}
	done, ok := h.source.Diagnose(h.now())
	if !ok {
		h.alert(err, reasonOf(err), "")
		h.count(err)
		h.logRefusal(in, err)
		return
	}
	v, refusal := h.verifier.Load(), h.refusal(in, err)
	said, seen := attributes(in, err), h.seen(in, err)
	look := func() {
		d := v.Explain(refusal)
		done(d.Reason)
		h.alert(err, d.Reason, d.Words)
		if n, ok := h.say.allow(d.Reason, h.now(), time.Second); ok {
			h.log.Warn("request refused", append(said, "reason", d.Reason, "why", d.Words, "more", n)...)
			seen.Reason, seen.Why, seen.More = d.Reason, d.Words, n
			h.source.RefusedAs(seen)
		}
	}
	if !errors.Is(err, verify.ErrMismatch) {
		look()
		return
	}
	held := *share // the body's memory is given back when it is done with
	share.taken = 0
	h.looking.Go(func() {
		defer held.free()
		look()
	})
}

// alert tells Caddy's events app of a proof that failed. A method that is not
// taken says nothing of a proof.
func (h *Handler) alert(err error, reason, why string) {
	if statusOf(err) == http.StatusUnauthorized {
		h.source.Refused(reason, why, h.now())
	}
}

// count counts a refusal by the reason that its error tells.
func (h *Handler) count(err error) {
	if statusOf(err) >= 500 {
		h.source.Unavailable(reasonOf(err))
		return
	}
	h.source.Rejected(reasonOf(err))
}

// logRefusal says what the error tells; under a flood only now and then.
func (h *Handler) logRefusal(in *arrival, err error) {
	// What is not diagnosed must not hold back what is.
	n, ok := h.say.allow("plain "+reasonOf(err), h.now(), time.Second)
	if !ok {
		return
	}
	said := append(attributes(in, err), "more", n)
	if !errors.Is(err, context.Canceled) {
		seen := h.seen(in, err)
		seen.More = n
		h.source.RefusedAs(seen)
	}
	switch {
	case statusOf(err) >= 500:
		h.log.Error("request answered 503; the provider is asked to try again", append(said, "reason", reasonOf(err), "error", err)...)
	case errors.Is(err, context.Canceled):
		h.log.Debug("request broken off", said...)
	default:
		h.log.Warn("request refused", append(said, "reason", reasonOf(err), "error", err)...)
	}
}

// attributes say which request was refused.
func attributes(in *arrival, err error) []any {
	return []any{"status", statusOf(err), "remote", in.r.RemoteAddr, "method", in.r.Method, "uri", in.original.URL.Path}
}

// seen is what an operator may see of a refused request.
func (h *Handler) seen(in *arrival, err error) gateway.Refusal {
	return gateway.Refusal{
		At: h.now(), Status: statusOf(err), Reason: reasonOf(err), Why: err.Error(),
		Remote: in.r.RemoteAddr, Method: in.r.Method, Path: in.original.URL.Path, Size: in.r.ContentLength,
	}
}

// refusal is what a diagnosis needs of a request, which ends before it.
func (h *Handler) refusal(in *arrival, err error) verify.Refusal {
	h.addURL(in)
	r := in.checked
	r.Header = r.Header.Clone()
	f := verify.Refusal{
		Request: &r, Err: err, Now: h.now(),
		Former: h.former.list(h.now()),
	}
	f.Own, _ = h.own(in) // what is not known yet cannot be tried
	for _, owner := range h.source.Others() {
		if other, ok := owner.(*Handler); ok {
			f.Others = append(f.Others, other.peer())
		}
	}
	return f
}

// peer is the source as the diagnoses of others see it.
func (h *Handler) peer() verify.Peer {
	p := verify.Peer{Name: h.Name, Verifier: h.verifier.Load(), URL: h.From.URL}
	if h.From.Learn && h.source.Learned() != "" {
		p.Learned = []verify.Secret{verify.NewSecret(h.source.Learned())}
	}
	return p
}

const (
	// mostFormer is how many former sets of secrets are remembered, formerTime
	// for how long: until then every provider has given up on the old one.
	mostFormer = 2
	formerTime = 7 * 24 * time.Hour
)

// former remembers the secrets of a source that are no longer configured, to
// recognise them when a provider uses them still. They prove nothing.
type former struct {
	mu      sync.Mutex
	secrets []verify.Secret
	current verify.Peer
	past    []past
}

// past is a set of secrets, and when it was replaced.
type past struct {
	verify.Peer
	at time.Time
}

// hold notes what holds from now on.
func (f *former) hold(secrets []verify.Secret, v *verify.Verifier, url string, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	gone := slices.ContainsFunc(f.secrets, func(s verify.Secret) bool { return !slices.Contains(secrets, s) })
	if gone {
		f.current.Name = now.UTC().Format(time.RFC3339)
		f.past = append(f.past, past{f.current, now})
		f.past = slices.Clone(f.past[max(0, len(f.past)-mostFormer):])
	}
	f.secrets, f.current = secrets, verify.Peer{Verifier: v, URL: url}
}

// list gives what held before, the newest first.
func (f *former) list(now time.Time) []verify.Peer {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []verify.Peer
	for _, p := range slices.Backward(f.past) {
		if now.Sub(p.at) < formerTime {
			list = append(list, p.Peer)
		}
	}
	return list
}

// remember joins the source's memory, which outlives reloads.
func (h *Handler) remember() {
	kept, _ := h.source.Kept.LoadOrStore("former", new(former))
	h.former, _ = kept.(*former)
	h.former.hold(h.secrets.fixed, h.verifier.Load(), h.From.URL, h.now())
}

// Cleanup waits for diagnoses under way.
func (h *Handler) Cleanup() error {
	h.looking.Wait()
	return nil
}
