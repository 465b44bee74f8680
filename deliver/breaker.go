package deliver

import (
	"slices"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/event"
)

const (
	// openAfter failures in a row, of at least openEvents different events, open
	// the breaker: one event that fails alone says nothing of the destination.
	openAfter  = 5
	openEvents = 3
	// probeFirst and probeMax bound the time between two probes; it doubles.
	probeFirst = time.Second
	probeMax   = 30 * time.Second
	// maxProbed is of how many different events the probes are remembered.
	maxProbed = 1024
)

// breaker notices that a destination is down, and when it has come back. While
// it is open, one event at a time is sent as a probe, each time another one, so
// that an event which the destination cannot bear does not hold it open.
//
// It has neither clock nor lock of its own.
type breaker struct {
	open  bool
	since time.Time
	why   string

	// row counts the failures in a row, and events has the different ones among
	// them, up to openEvents.
	row    int
	events []uint64

	// failing has the events that were answered 5xx since the last success, and
	// blamed those of them that were while others were taken: what the destination
	// answers them says nothing of how it is.
	failing, blamed map[uint64]struct{}

	probing   bool // one is under way
	next      time.Time
	wait      time.Duration
	lastProbe uint64

	// probed counts the excused attempts of this time down, by event. When
	// another event succeeds it was not the destination's fault that they failed:
	// then they are owing, and count once the event is tried again.
	probed, owing map[uint64]int
}

// fails tells whether an outcome says that the destination does not work: no
// connection, no answer in time or none that is whole, or any 5xx.
func fails(out event.Outcome) bool {
	return out.Verdict != event.Done && (out.Status == 0 || out.Status >= 500 || out.Truncated)
}

// failed takes a failure into account, and tells whether it opens the breaker.
func (b *breaker) failed(seq uint64, out event.Outcome, now time.Time, float float64) (opened bool) {
	if _, blamed := b.blamed[seq]; blamed && out.Status >= 500 && !b.open {
		return false
	}
	if out.Status >= 500 && len(b.failing) < maxProbed {
		b.failing = put(b.failing, seq)
	}
	b.row++
	if len(b.events) < openEvents && !slices.Contains(b.events, seq) {
		b.events = append(b.events, seq)
	}
	if b.open {
		b.probeFailed(seq, now, float)
		return false
	}
	if !out.NoUpstream && (b.row < openAfter || len(b.events) < openEvents) {
		return false
	}
	b.open, b.since, b.why, b.wait = true, now, out.Error, probeFirst
	b.next = now.Add(jitter(b.wait, float))
	return true
}

func (b *breaker) probeFailed(seq uint64, now time.Time, float float64) {
	if !b.probing || seq != b.lastProbe {
		return // it was on its way when the breaker opened
	}
	b.probing = false
	b.wait = min(2*b.wait, probeMax)
	b.next = now.Add(jitter(b.wait, float))
}

// jitter is between half of d and d.
func jitter(d time.Duration, float float64) time.Duration {
	return d/2 + time.Duration(float*float64(d/2))
}

// answered takes into account that the destination works, and tells whether that
// closes the breaker. succeeded tells that the event was taken.
func (b *breaker) answered(seq uint64, succeeded bool) (closed bool) {
	closed = b.open
	if succeeded {
		b.charge(seq)
		b.blame(seq)
	}
	*b = breaker{probed: b.probed, owing: b.owing, failing: b.failing, blamed: b.blamed, lastProbe: b.lastProbe}
	return closed
}

// blame notes that the events which failed are themselves to blame, since
// another one was taken.
func (b *breaker) blame(succeeded uint64) {
	if len(b.blamed)+len(b.failing) > maxProbed {
		b.blamed = nil // they are found out again
	}
	for seq := range b.failing {
		b.blamed = put(b.blamed, seq)
	}
	b.failing = nil
	delete(b.blamed, succeeded)
}

func put(set map[uint64]struct{}, seq uint64) map[uint64]struct{} {
	if set == nil {
		set = map[uint64]struct{}{}
	}
	set[seq] = struct{}{}
	return set
}

// charge makes the probes count of all events but the one that succeeded.
func (b *breaker) charge(succeeded uint64) {
	for seq, n := range b.probed {
		if seq == succeeded || len(b.owing) >= maxProbed {
			continue
		}
		if b.owing == nil {
			b.owing = map[uint64]int{}
		}
		b.owing[seq] += n
	}
	b.probed = nil
}

// aborted takes back that a probe was sent.
func (b *breaker) aborted(seq uint64) {
	if b.probing && seq == b.lastProbe {
		b.probing = false
	}
}

// mayProbe tells whether it is time for one.
func (b *breaker) mayProbe(now time.Time) bool { return !b.probing && !now.Before(b.next) }

func (b *breaker) probe(seq uint64) { b.probing, b.lastProbe = true, seq }

// excuse notes an attempt that spends nothing.
func (b *breaker) excuse(seq uint64) {
	if b.probed == nil {
		b.probed = map[uint64]int{}
	}
	if len(b.probed) < maxProbed {
		b.probed[seq]++
	}
}

// owed gives how many excused attempts of an event count after all.
func (b *breaker) owed(seq uint64) int {
	n := b.owing[seq]
	delete(b.owing, seq)
	return n
}
