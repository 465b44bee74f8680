package deliver

import (
	"slices"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/store"
)

// Defaults of [Policy].
const (
	DefaultConcurrency  = 16
	DefaultTimeout      = 30 * time.Second
	DefaultFor          = 72 * time.Hour
	DefaultBackoffFirst = time.Second
	DefaultBackoffMax   = 10 * time.Minute
)

// DefaultNever are the answers after which an event is dead at once: 410 Gone
// is how an application says that nobody will ever want it.
func DefaultNever() []int { return []int{410} }

// Policy is the patience with a destination.
type Policy struct {
	// Concurrency is the most attempts at once. Default: 16.
	Concurrency int
	// Timeout bounds one attempt. Default: 30 s.
	Timeout time.Duration
	// For is how long after its first attempt an event is retried. Default: 72 h.
	For time.Duration
	// Attempts is the most attempts within For; 0: no limit.
	Attempts int
	// Backoff says how long to wait between attempts.
	Backoff Schedule
	// Never lists the answers after which an event is dead at once.
	Never []int
}

// WithDefaults fills in what is zero. Never is left alone: none is a choice.
func (p Policy) WithDefaults() Policy {
	if p.Concurrency <= 0 {
		p.Concurrency = DefaultConcurrency
	}
	if p.Timeout <= 0 {
		p.Timeout = DefaultTimeout
	}
	if p.For <= 0 {
		p.For = DefaultFor
	}
	if p.Backoff.First <= 0 {
		p.Backoff.First = DefaultBackoffFirst
	}
	if p.Backoff.Max <= 0 {
		p.Backoff.Max = DefaultBackoffMax
	}
	return p
}

// Schedule is exponential backoff with full jitter: the wait after attempt n is
// random below min(Max, First·2ⁿ⁻¹). With 1 s and 10 min the bounds are 1, 2, 4,
// 8 … 512, 600, 600 … seconds. Full jitter spreads the events of one outage
// evenly, so that they do not come back all at once.
type Schedule struct {
	First, Max time.Duration
}

// Wait is how long to wait after the given attempt, from 1; float is in [0,1).
func (s Schedule) Wait(attempt int, float float64) time.Duration {
	bound := s.Max
	if shift := max(attempt, 1) - 1; shift < 40 {
		if grown := s.First << shift; grown > 0 && grown < s.Max {
			bound = grown
		}
	}
	return time.Duration(float * float64(bound))
}

// settlement judges an outcome: what follows for the event.
func (p Policy) settlement(l store.Lease, out event.Outcome, now time.Time, float float64) store.Settlement {
	s := store.Settlement{Attempt: out.Attempt, Since: l.Since}
	s.Attempt.Destination = l.Destination.Name
	if s.Since.IsZero() {
		s.Since = out.At
	}
	end := s.Since.Add(p.For)
	switch {
	case out.Verdict == event.Done:
		s.State = event.Delivered
	case out.Verdict == event.Dying || out.Status != 0 && slices.Contains(p.Never, out.Status):
		s.State = event.Dead
	case !now.Before(end), p.Attempts > 0 && l.Attempt >= p.Attempts:
		s.State = event.Dead
	default:
		s.State = event.Pending
		s.Next = now.Add(p.Backoff.Wait(l.Attempt, float))
		if s.Next.After(end) {
			s.Next = end // one last attempt, not one too few
		}
		if asked := now.Add(out.RetryAfter); asked.After(s.Next) {
			s.Next = asked
		}
	}
	return s
}
