package deliver

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/store"
)

// work makes attempts until there is nothing to do or no room for it.
func (l *lane) work(lease store.Lease) {
	for ok := true; ok; lease, ok = l.done(lease) {
		l.attempt(lease)
	}
}

// attempt is the one way of every delivery: begin, forward, settle.
func (l *lane) attempt(lease store.Lease) {
	l.mu.Lock()
	target := l.target
	l.mu.Unlock()
	if target == nil {
		l.release([]store.Lease{lease})
		return
	}
	if !l.begin(lease, target.Policy) {
		return
	}
	began := l.d.o.Now()
	if lease.Fresh && l.d.o.Observe.Lag != nil {
		l.d.o.Observe.Lag(l.name, began.Sub(lease.Event.Received))
	}
	out := l.forward(target, lease)
	if l.d.o.Observe.Attempt != nil {
		l.d.o.Observe.Attempt(l.name, out.Verdict, out.Duration)
	}
	if out.Verdict == event.Aborted {
		l.release([]store.Lease{lease})
		return
	}
	now := l.d.o.Now()
	s := target.Policy.settlement(lease, out, now, l.d.o.Float())
	l.learn(out, s, now)
	l.report(lease, out, s)
	if err := l.d.o.Queue.Settle(lease, s); err != nil {
		l.d.o.Logger.Warn("an outcome was not recorded; the event may be sent again",
			l.about(lease, "outcome", s.State.String(), "error", err)...)
	}
}

// begin makes sure that the lease still holds, and marks the attempt's start.
func (l *lane) begin(lease store.Lease, p Policy) bool {
	if lease.Unfinished >= suspectLoud {
		l.d.o.Logger.Error("the process died again and again while this event was delivered; it is sent last and alone",
			l.about(lease, "times", lease.Unfinished, "hint", "look at the event, or discard it: caddy webhooks show "+lease.Event.ID.String())...)
	}
	err := l.d.o.Queue.Extend(lease, l.d.o.Now().Add(p.Timeout+time.Minute))
	if err == nil {
		err = l.d.o.Queue.Begin(lease)
	}
	switch {
	case err == nil:
		return true
	case !errors.Is(err, store.ErrStale):
		l.release([]store.Lease{lease})
	}
	l.d.o.Logger.Debug("a delivery was not begun", l.about(lease, "error", err)...)
	return false
}

// suspectLoud is how many deaths of the process over one event make a log line.
const suspectLoud = 3

// forward makes the attempt, within its time, and survives what it does.
func (l *lane) forward(t *Target, lease store.Lease) (out event.Outcome) {
	ctx, cancel := context.WithTimeout(l.d.attempts, t.Policy.Timeout)
	defer cancel()
	began := l.d.o.Now()
	defer func() {
		if v := recover(); v != nil {
			out = event.Outcome{Attempt: event.Attempt{Number: lease.Attempt, At: began, Error: fmt.Sprintf("the attempt panicked: %v", v)}}
			l.d.o.Logger.Error("an attempt panicked", l.about(lease, "panic", fmt.Sprint(v))...)
		}
	}()
	return t.Forwarder.Forward(ctx, event.Try{Event: lease.Event, Number: lease.Attempt, Replay: lease.Replay})
}

// health is what the latest attempts say of the destination.
type health struct {
	failures  int
	since     time.Time
	last      string
	delivered uint64
	truncated uint64
	cut       int  // of them in a row
	said      bool // that it fails
}

func (h *health) fill(s *Stats) {
	s.Failures, s.FailingSince, s.LastError = h.failures, h.since, h.last
	s.Delivered, s.Truncated = h.delivered, h.truncated
}

// failing is how many failures in a row make a destination worth a warning.
const failing = 5

// learn takes an outcome into account for what comes next.
func (l *lane) learn(out event.Outcome, s store.Settlement, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if out.RetryAfter > 0 && s.State != event.Delivered {
		l.heldUntil, l.probing = now.Add(min(out.RetryAfter, maxHold)), true
		l.poke()
	} else if out.Status != 0 || s.State == event.Delivered {
		l.probing = false
	}
	l.learnCut(out, s)
	if s.State == event.Delivered {
		if l.health.said {
			l.d.o.Logger.Info("destination answers again", "source", l.name.Source, "destination", l.name.Name,
				"failures", l.health.failures, "since", l.health.since)
		}
		l.health = health{delivered: l.health.delivered + 1, truncated: l.health.truncated}
		return
	}
	if l.health.failures++; l.health.failures == 1 {
		l.health.since = now
	}
	l.health.last = out.Error
	if l.health.failures == failing {
		l.health.said = true
		l.d.o.Logger.Warn("destination fails; its events are kept and tried again", "source", l.name.Source,
			"destination", l.name.Name, "failures", failing, "since", l.health.since, "error", out.Error)
	}
}

// cutLoud is how many answers cut short in a row are worth a warning.
const cutLoud = 3

// learnCut notices an application that works events off and then breaks its
// answers off: it gets each of them again and again.
func (l *lane) learnCut(out event.Outcome, s store.Settlement) {
	if !out.Truncated || s.State == event.Delivered {
		l.health.cut = 0
		return
	}
	l.health.truncated++
	if l.health.cut++; l.health.cut == cutLoud {
		l.d.o.Logger.Warn("the application answers 2xx and breaks the answer off; it may work these events off each time they are sent",
			"source", l.name.Source, "destination", l.name.Name, "answers", cutLoud,
			"hint", "if it always ends its answers so, write accept_cut_answer in this `to`")
	}
}

// report logs one attempt. Failures that are tried again are at debug level:
// the destination's own warning says it once.
func (l *lane) report(lease store.Lease, out event.Outcome, s store.Settlement) {
	switch s.State {
	case event.Delivered:
		l.d.o.Logger.Debug("delivered", l.about(lease, "status", out.Status, "took", out.Duration)...)
	case event.Dead:
		l.d.o.Logger.Error("event is dead: it is kept, and not tried again", l.about(lease, "status", out.Status, "error", out.Error,
			"hint", "caddy webhooks replay "+lease.Event.ID.String())...)
	case event.Pending, event.Discarded, event.Filtered:
		l.d.o.Logger.Debug("attempt failed", l.about(lease, "status", out.Status, "error", out.Error, "next", s.Next)...)
	}
}

// about names the delivery in a log line.
func (l *lane) about(lease store.Lease, more ...any) []any {
	return append([]any{
		"source", l.name.Source, "destination", l.name.Name, "event", lease.Event.ID.String(),
		"id", lease.Event.ProviderID, "attempt", lease.Attempt,
	}, more...)
}
