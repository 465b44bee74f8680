package deliver

import (
	"sync"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/pulse"
	"github.com/caddy-webhooks/caddy-webhooks/store"
)

// maxHold is the longest that a backend's Retry-After holds the others.
const maxHold = 10 * time.Minute

// lane is one destination: its workers, what waits for them, and what holds them
// back. Its state belongs to the destination and outlives configurations.
type lane struct {
	d    *Dispatcher
	name event.Destination
	// signal wakes the pump.
	signal chan struct{}
	pulse  pulse.Pulse

	mu     sync.Mutex
	target *Target // nil: orphaned
	// running counts the workers at work, and starts those that ever began.
	running int
	starts  uint64

	waiting
	gates
	health health

	// due tells that the queue may have more; next is when, if not now.
	due  bool
	next time.Time
}

// gates are what holds a destination's attempts back.
type gates struct {
	breaker breaker
	pace    pace
	bucket  bucket
	// unwell tells that the health checks have found no backend; since is when
	// that was seen first.
	unwell      bool
	unwellSince time.Time
	// heldUntil is the backend's Retry-After; single lets one attempt at a time
	// through after it, until one is answered.
	heldUntil time.Time
	single    bool
}

func newLane(d *Dispatcher, name event.Destination) *lane {
	l := &lane{d: d, name: name, signal: make(chan struct{}, 1), due: true}
	l.pace = newPace(DefaultConcurrency)
	return l
}

func (l *lane) configure(t *Target) {
	l.mu.Lock()
	l.target, l.due = t, true
	var back []store.Lease
	if t == nil { // orphaned: what waits in memory goes back to the store
		back = l.takeWaiting()
	} else {
		l.pace.resize(t.Policy.Concurrency)
		l.bucket.set(t.Policy.Rate, l.d.o.Now())
	}
	l.mu.Unlock()
	l.release(back)
	l.poke()
}

// poke wakes the pump.
func (l *lane) poke() {
	select {
	case l.signal <- struct{}{}:
	default:
	}
}

// more notes that the queue may have something due.
func (l *lane) more() {
	l.mu.Lock()
	l.due = true
	l.mu.Unlock()
	l.poke()
}

// closed tells whether nothing but a probe may be sent. The mutex is held, as in
// all that follows but where a comment says otherwise.
func (l *lane) closed(now time.Time) bool {
	return l.target == nil || l.d.leasing.Err() != nil || now.Before(l.heldUntil) || l.ill(now) || l.breaker.open
}

// ill asks the health checks, and tells whether they find no backend.
func (l *lane) ill(now time.Time) bool {
	healthy := l.target.Healthy == nil || l.target.Healthy()
	if healthy == !l.unwell {
		return l.unwell
	}
	if l.unwell = !healthy; l.unwell {
		l.unwellSince = now
		l.went(Down, whyUnwell)
		return true
	}
	l.pace.restart()
	if l.breaker.open { // they say that it is back: look at once
		l.breaker.next = now
		return false
	}
	l.went(Up, "its health checks pass again")
	return false
}

const whyUnwell = "its health checks find no backend that works"

// slots is how many attempts may run now.
func (l *lane) slots(now time.Time) int {
	switch {
	case l.target == nil, l.d.leasing.Err() != nil, now.Before(l.heldUntil), l.ill(now):
		return 0
	case l.breaker.open && l.breaker.mayProbe(now):
		return l.running + 1 // whatever still runs: it was sent before
	case l.breaker.open:
		return 0
	case l.single:
		return 1
	}
	return l.pace.slots()
}

// spawn starts workers as long as there is work and room.
func (l *lane) spawn(now time.Time) {
	for l.running < l.slots(now) && l.bucket.wait(now) == 0 {
		lease, ok := l.pick()
		if !ok {
			return
		}
		l.start(job{lease: lease})
	}
}

// start makes one attempt in a goroutine of its own, and others after it.
func (l *lane) start(j job) {
	l.takeSlot()
	l.begins(&j)
	l.d.wg.Go(func() { l.work(j) })
}

// takeSlot takes the slot and the token for an attempt.
func (l *lane) takeSlot() {
	l.running++
	l.bucket.take()
}

// begins notes that an attempt starts in a slot that was taken.
func (l *lane) begins(j *job) {
	l.starts++
	j.order, j.running, j.epoch = l.starts, l.running, l.pace.epoch
	if l.breaker.open {
		l.breaker.probe(j.lease.Event.Seq)
	}
}

// done gives a worker its next delivery, or ends it.
func (l *lane) done(was job) (job, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if was.lease.Unfinished > 0 {
		l.suspect = false
	}
	l.running--
	defer l.hungry()
	if now := l.d.o.Now(); l.running >= l.slots(now) || l.bucket.wait(now) > 0 {
		l.poke() // the pump knows when there is room again
		return job{}, false
	}
	lease, ok := l.pick()
	if !ok {
		return job{}, false
	}
	next := job{lease: lease}
	l.takeSlot()
	l.begins(&next)
	return next, true
}

// hungry wakes the pump when the window runs low.
func (l *lane) hungry() {
	if l.target != nil && l.due && len(l.backlog) < l.pace.slots() {
		l.poke()
	}
}

// hurry takes a slot for a new event, if one is free and nothing is held. The
// mutex is not held.
func (l *lane) hurry() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.d.o.Now()
	if l.closed(now) || l.running >= l.slots(now) || l.bucket.wait(now) > 0 {
		return false
	}
	l.takeSlot()
	return true
}

// cancelNow gives the slot back. The mutex is not held.
func (l *lane) cancelNow() {
	l.mu.Lock()
	l.running--
	l.bucket.give()
	l.mu.Unlock()
	l.poke()
}

// offerNow uses the slot. The mutex is not held.
func (l *lane) offerNow(lease store.Lease, keep int, done func(event.Outcome)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	j := job{lease: lease, keep: keep, done: done}
	l.begins(&j)
	l.d.wg.Go(func() { l.work(j) })
}

// went logs and tells that the destination went down or came up.
func (l *lane) went(to, why string) {
	from := Down
	log := l.d.o.Logger.With("source", l.name.Source, "destination", l.name.Name, "why", why,
		"failures", max(l.health.failures, l.breaker.row), "since", l.downSince())
	if to == Down {
		from = Up
		log.Warn("destination is down; its events are kept and lose no time, one is tried now and then")
	} else {
		log.Info("destination is up again; its events are sent, slowly at first")
	}
	if l.d.o.Observe.State != nil {
		l.d.o.Observe.State(l.name, from, to, why)
	}
}

func (l *lane) isDown() bool { return l.breaker.open || l.unwell }

func (l *lane) downSince() time.Time {
	if l.breaker.open {
		return l.breaker.since
	}
	return l.unwellSince
}

// stats tells how the destination is doing. The mutex is not held.
func (l *lane) stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := Stats{
		Destination: l.name, Orphaned: l.target == nil, Running: l.running, Limit: l.slots(l.d.o.Now()),
		Fresh: len(l.fresh), HeldUntil: l.heldUntil, Rate: l.bucket.rate, Down: l.isDown(),
	}
	if s.Down {
		s.DownSince, s.Why, s.NextProbe = l.downSince(), l.breaker.why, l.breaker.next
		if l.unwell {
			s.Why, s.NextProbe = whyUnwell, time.Time{}
		}
	}
	l.health.fill(&s)
	return s
}
