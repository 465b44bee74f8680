package deliver

import (
	"fmt"
	"slices"
	"strings"
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
	// Rate is the most attempts per second, bursts of one second at most; 0: no
	// limit.
	Rate float64
	// Timeout bounds one attempt. Default: 30 s.
	Timeout time.Duration
	// For is how long an event is retried, from its first attempt. What counts are
	// the attempts and the waits between them, not the time for which it is held.
	// Default: 72 h.
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

// settlement judges an outcome: what follows for the event. counted is how many
// of its attempts count, this one included.
func (p Policy) settlement(l store.Lease, out event.Outcome, now time.Time, counted int, float float64) store.Settlement {
	s := store.Settlement{Attempt: out.Attempt, Spent: l.Spent + out.Duration}
	s.Attempt.Destination = l.Destination.Name
	switch {
	case out.Verdict == event.Done:
		s.State = event.Delivered
	case p.gone(out):
		p.giveUp(&s, fmt.Sprintf("`retry never` has %d", out.Status))
	case s.Spent >= p.For:
		p.giveUp(&s, fmt.Sprintf("`retry for` is %v", p.For))
	case p.Attempts > 0 && counted >= p.Attempts:
		p.giveUp(&s, fmt.Sprintf("`retry attempts` is %d", p.Attempts))
	default:
		s.State = event.Pending
		// Where the time is nearly up: one last attempt, not one too few.
		wait := min(p.Backoff.Wait(counted, float), p.For-s.Spent)
		if out.RetryAfter > wait {
			wait, s.Asked = out.RetryAfter, true
		}
		s.Next = now.Add(wait)
		s.Spent += wait
	}
	return s
}

// giveUp makes an event dead, and has its last attempt say by which rule.
func (Policy) giveUp(s *store.Settlement, rule string) {
	s.State = event.Dead
	s.Attempt.Error = strings.TrimPrefix(s.Attempt.Error+"; given up: "+rule, "; ")
}

// excused is what follows from an attempt that failed because the destination
// was down: nothing but that it is due again, behind the others.
func excused(l store.Lease, out event.Outcome, now time.Time) store.Settlement {
	s := store.Settlement{
		Attempt: out.Attempt, State: event.Pending, Next: now.Add(out.RetryAfter), Asked: out.RetryAfter > 0,
		Spent: l.Spent, Excuse: 1,
	}
	s.Attempt.Destination = l.Destination.Name
	return s
}

// gone tells whether the backend says that it will never want the event.
func (p Policy) gone(out event.Outcome) bool {
	return out.Verdict == event.Dying || out.Status != 0 && slices.Contains(p.Never, out.Status)
}
