package deliver

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/store"
)

// job is one attempt to be made.
type job struct {
	lease store.Lease
	// keep and done are for whoever waits for the answer; see [Dispatcher.OfferNow].
	keep int
	done func(event.Outcome)
	// order is the attempt's number among all of the destination, running how many
	// ran when it began, and epoch the pace's.
	order   uint64
	running int
	epoch   uint64
}

// work makes attempts until there is nothing to do or no room for it.
func (l *lane) work(j job) {
	for ok := true; ok; {
		out, was := l.attempt(j), j
		j, ok = l.done(was)
		if was.done != nil { // by now its slot is free for whoever comes next
			was.done(out)
		}
	}
}

// attempt is the one way of every delivery: begin, forward, settle.
func (l *lane) attempt(j job) event.Outcome {
	none, lease := event.Outcome{Verdict: event.Aborted}, j.lease
	l.mu.Lock()
	target := l.target
	l.mu.Unlock()
	if target == nil {
		l.unbegun(j)
		l.release([]store.Lease{lease})
		return none
	}
	if !l.begin(j, target.Policy) {
		return none
	}
	if lease.Fresh && l.d.o.Observe.Lag != nil {
		l.d.o.Observe.Lag(l.name, l.d.o.Now().Sub(lease.Event.Received))
	}
	out := l.forward(target, j)
	if out.Verdict == event.Aborted {
		l.observe(out.Verdict, out.Duration)
		l.unbegun(j)
		l.release([]store.Lease{lease})
		return out
	}
	l.settle(target.Policy, j, out)
	return out
}

// settle has the outcome judged and recorded.
func (l *lane) settle(p Policy, j job, out event.Outcome) {
	s := l.learn(p, j, out, l.d.o.Now())
	l.observe(came[s.State], out.Duration)
	l.report(j.lease, out, s)
	if s.State == event.Dead && l.d.o.Observe.Dead != nil {
		gone := out
		gone.Error = s.Attempt.Error // which says why it was given up, too
		l.d.o.Observe.Dead(l.name, j.lease.Event, gone)
	}
	if err := l.d.o.Queue.Settle(j.lease, s); err != nil {
		l.d.o.Logger.Warn("an outcome was not recorded; the event may be sent again",
			l.about(j.lease, "outcome", s.State.String(), "error", err)...)
	}
}

// came is what an attempt has led to, by the state that it left.
var came = map[event.State]event.Verdict{event.Delivered: event.Done, event.Dead: event.Dying, event.Pending: event.Again}

// observe tells of an attempt that has ended.
func (l *lane) observe(v event.Verdict, took time.Duration) {
	if l.d.o.Observe.Attempt != nil {
		l.d.o.Observe.Attempt(l.name, v, took)
	}
}

// unbegun takes back that an attempt was to be made.
func (l *lane) unbegun(j job) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.breaker.aborted(j.lease.Event.Seq)
}

// begin makes sure that the lease still holds, and marks the attempt's start.
func (l *lane) begin(j job, p Policy) bool {
	lease := j.lease
	if lease.Unfinished >= suspectLoud {
		l.d.o.Logger.Error("the process died again and again while this event was delivered; it is sent last and alone",
			l.about(lease, "times", lease.Unfinished, "hint", "look at the event, or discard it: caddy webhooks show "+lease.Event.ID.String())...)
	}
	err := l.d.o.Queue.Extend(lease, l.d.o.Now().Add(p.Timeout+time.Minute))
	if err == nil {
		err = l.d.o.Queue.Begin(lease)
	}
	if err == nil {
		return true
	}
	l.unbegun(j)
	switch {
	case errors.Is(err, store.ErrPaused):
		l.release([]store.Lease{lease})
		l.giveBack() // the rest of the window is paused too
	case !errors.Is(err, store.ErrStale):
		l.release([]store.Lease{lease})
	}
	l.d.o.Logger.Debug("a delivery was not begun", l.about(lease, "error", err)...)
	return false
}

// suspectLoud is how many deaths of the process over one event make a log line.
const suspectLoud = 3

// forward makes the attempt, within its time, and survives what it does.
func (l *lane) forward(t *Target, j job) (out event.Outcome) {
	lease := j.lease
	ctx, cancel := context.WithTimeout(l.d.attempts, t.Policy.Timeout)
	defer cancel()
	began := l.d.o.Now()
	defer func() {
		if v := recover(); v != nil {
			out = event.Outcome{Attempt: event.Attempt{Number: lease.Attempt, At: began, Error: fmt.Sprintf("the attempt panicked: %v", v)}}
			l.d.o.Logger.Error("an attempt panicked", l.about(lease, "panic", fmt.Sprint(v))...)
		}
	}()
	return t.Forwarder.Forward(ctx, event.Try{
		Event: lease.Event, Number: lease.Attempt, Replay: lease.Replay, Keep: j.keep,
	})
}

// health is what the latest attempts say of the destination.
type health struct {
	failures  int
	since     time.Time
	last      string
	delivered uint64
	truncated uint64
	cut       int // of them in a row
}

func (h *health) fill(s *Stats) {
	s.Failures, s.FailingSince, s.LastError = h.failures, h.since, h.last
	s.Delivered, s.Truncated = h.delivered, h.truncated
}

// learn takes an outcome into account for what comes next, and says what follows
// for the event.
func (l *lane) learn(p Policy, j job, out event.Outcome, now time.Time) store.Settlement {
	l.mu.Lock()
	defer l.mu.Unlock()
	seq := j.lease.Event.Seq
	wasOpen, failed := l.breaker.open, fails(out) && !p.gone(out)
	if failed {
		l.failed(j, out, now)
	} else {
		l.answered(j, out, now)
	}
	l.hold(out, now)
	var s store.Settlement
	if failed && (wasOpen || l.unwell || out.NoUpstream) {
		l.breaker.excuse(seq)
		s = excused(j.lease, out, now)
	} else {
		owed := l.breaker.owed(seq)
		s = p.settlement(j.lease, out, now, j.lease.Attempt-j.lease.Excused+owed, l.d.o.Float())
		s.Excuse = -owed
	}
	l.count(out, s, now)
	return s
}

// failed tells breaker and pace of a failure.
func (l *lane) failed(j job, out event.Outcome, now time.Time) {
	seq := j.lease.Event.Seq
	if l.breaker.failed(seq, out, now, l.d.o.Float()) {
		l.pace.restart()
		l.went(Down, out.Error)
		l.poke()
	}
	if out.Status == statusTooMuch {
		l.pace.halve(j.epoch)
	} else {
		l.pace.fails(seq, j.epoch)
	}
}

// answered tells breaker and pace that the destination works.
func (l *lane) answered(j job, out event.Outcome, now time.Time) {
	if l.breaker.answered(j.lease.Event.Seq, out.Verdict == event.Done) {
		l.pace.restart()
		l.went(Up, "it answered a probe")
		l.due = true
		l.poke()
		return
	}
	if out.Status == statusTooMany {
		l.pace.halve(j.epoch)
		return
	}
	l.pace.took(out.Duration, j.epoch, j.running, j.running == 1 && l.starts == j.order, now)
}

// The answers by which a backend says that it is too much for it.
const (
	statusTooMany = 429
	statusTooMuch = 503
)

// hold obeys the backend's Retry-After.
func (l *lane) hold(out event.Outcome, now time.Time) {
	switch {
	case out.RetryAfter > 0 && out.Verdict != event.Done:
		l.heldUntil, l.single = now.Add(min(out.RetryAfter, maxHold)), true
		l.poke()
	case out.Status != 0 || out.Verdict == event.Done:
		l.single = false
	}
}

// failing is how many failures in a row are worth a warning though they do not
// say that the destination is down.
const failing = 5

// count keeps the figures that people look at.
func (l *lane) count(out event.Outcome, s store.Settlement, now time.Time) {
	l.learnCut(out, s)
	if s.State == event.Delivered {
		l.health = health{delivered: l.health.delivered + 1, truncated: l.health.truncated}
		return
	}
	if l.health.failures++; l.health.failures == 1 {
		l.health.since = now
	}
	l.health.last = out.Error
	if l.health.failures == failing && !l.isDown() {
		l.d.o.Logger.Warn("no delivery has succeeded for a while; the events are kept and tried again", "source", l.name.Source,
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
		l.d.o.Logger.Error("event is dead: it is kept, and not tried again", l.about(lease, "status", out.Status, "error", s.Attempt.Error,
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
