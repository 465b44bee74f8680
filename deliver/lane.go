package deliver

import (
	"sync"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/store"
)

const (
	// windowPerSlot is how many waiting deliveries are held for each slot.
	windowPerSlot = 4
	// windowBytes bounds the bodies of these.
	windowBytes = 8 << 20
	// rescan is how often the queue is asked even if nothing seems due: whatever
	// a clock or a lost wake-up may have done, nothing waits longer.
	rescan = 30 * time.Second
	// maxHold is the longest that a backend's Retry-After holds the others.
	maxHold = 10 * time.Minute
	// storeBackoff is the wait after a failing store, doubled up to storeBackoffMax.
	storeBackoff    = 100 * time.Millisecond
	storeBackoffMax = 5 * time.Second
)

// lane is one destination: its workers, and what waits for them. Its state
// belongs to the destination and outlives configurations.
type lane struct {
	d    *Dispatcher
	name event.Destination
	// signal wakes the pump.
	signal chan struct{}

	mu     sync.Mutex
	target *Target // nil: orphaned
	// running counts the workers at work.
	running int
	// reserved and reservedBytes count the room taken in memory by new events,
	// stored already or about to be.
	reserved, reservedBytes int
	fresh                   []store.Lease
	backlog                 []store.Lease
	// suspects were being delivered when the process died: last, one at a time.
	suspects []store.Lease
	suspect  bool // one of them is running
	// backlogTurn alternates between the two lanes while both wait.
	backlogTurn bool
	// due tells that the queue may have more; next is when, if not now.
	due  bool
	next time.Time
	// heldUntil is the backend's Retry-After; probing lets one attempt through
	// after it.
	heldUntil time.Time
	probing   bool
	health    health
}

func newLane(d *Dispatcher, name event.Destination) *lane {
	return &lane{d: d, name: name, signal: make(chan struct{}, 1), due: true}
}

func (l *lane) configure(t *Target) {
	l.mu.Lock()
	l.target, l.due = t, true
	var back []store.Lease
	if t == nil { // orphaned: what waits in memory goes back to the store
		back = l.takeWaiting()
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

func (l *lane) reserve(size int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.target == nil || l.d.leasing.Err() != nil || l.held(l.d.o.Now()) {
		return false
	}
	if l.reserved >= l.d.o.FreshEvents || l.reserved > 0 && l.reservedBytes+size > l.d.o.FreshBytes {
		return false
	}
	l.reserved++
	l.reservedBytes += size
	return true
}

func (l *lane) cancel(size int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.unreserve(size)
}

func (l *lane) unreserve(size int) {
	l.reserved--
	l.reservedBytes -= size
}

func (l *lane) offer(lease store.Lease) {
	l.mu.Lock()
	if l.target == nil || l.d.leasing.Err() != nil {
		l.unreserve(lease.Event.Size())
		l.mu.Unlock()
		l.release([]store.Lease{lease})
		return
	}
	l.fresh = append(l.fresh, lease)
	l.spawn()
	l.mu.Unlock()
}

// held tells whether the backend asked to be left alone.
func (l *lane) held(now time.Time) bool { return now.Before(l.heldUntil) }

// limit is how many attempts may run now.
func (l *lane) limit(now time.Time) int {
	switch {
	case l.target == nil || l.held(now) || l.d.leasing.Err() != nil:
		return 0
	case l.probing:
		return 1
	}
	return l.target.Policy.Concurrency
}

// spawn starts workers as long as there is work and room. The mutex is held.
func (l *lane) spawn() {
	for limit := l.limit(l.d.o.Now()); l.running < limit; {
		lease, ok := l.pick()
		if !ok {
			return
		}
		l.running++
		l.d.wg.Go(func() { l.work(lease) })
	}
}

// pick takes the next delivery. While both lanes wait they alternate. The
// mutex is held.
func (l *lane) pick() (store.Lease, bool) {
	fromBacklog := len(l.fresh) == 0 || l.backlogTurn && len(l.backlog) > 0
	switch {
	case fromBacklog && len(l.backlog) > 0:
		l.backlogTurn = false
		return shift(&l.backlog), true
	case len(l.fresh) > 0:
		l.backlogTurn = true
		lease := shift(&l.fresh)
		l.unreserve(lease.Event.Size())
		return lease, true
	case len(l.suspects) > 0 && !l.suspect:
		l.suspect = true
		return shift(&l.suspects), true
	}
	return store.Lease{}, false
}

func shift(list *[]store.Lease) store.Lease {
	first := (*list)[0]
	(*list)[0] = store.Lease{}
	*list = (*list)[1:]
	if len(*list) == 0 {
		*list = nil
	}
	return first
}

// done gives a worker its next delivery, or ends it.
func (l *lane) done(was store.Lease) (store.Lease, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if was.Unfinished > 0 {
		l.suspect = false
	}
	if l.running <= l.limit(l.d.o.Now()) {
		if next, ok := l.pick(); ok {
			l.hungry()
			return next, true
		}
	}
	l.running--
	l.hungry()
	return store.Lease{}, false
}

// hungry wakes the pump when the window runs low. The mutex is held.
func (l *lane) hungry() {
	if l.target != nil && l.due && len(l.backlog) < l.target.Policy.Concurrency {
		l.poke()
	}
}

// pump keeps the window of the backlog filled and the workers busy.
func (l *lane) pump() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	wait := time.Duration(0) // after an error of the store
	for {
		select {
		case <-l.d.leasing.Done():
			return
		case <-l.signal:
		case <-timer.C:
			l.mu.Lock()
			l.due = true
			l.mu.Unlock()
		}
		err := l.fill()
		wait = l.complain(err, wait)
		l.mu.Lock()
		l.spawn()
		sleep := l.sleep(wait)
		l.mu.Unlock()
		timer.Reset(sleep)
		if wait > 0 && !l.pause(timer) {
			return
		}
	}
}

// pause waits after an error of the store; signals do not shorten it.
func (l *lane) pause(timer *time.Timer) bool {
	select {
	case <-timer.C:
		l.poke()
		return true
	case <-l.d.leasing.Done():
		return false
	}
}

// complain says once that the store fails, and once that it works again.
func (l *lane) complain(err error, wait time.Duration) time.Duration {
	switch {
	case err == nil && wait == 0:
		return 0
	case err == nil:
		l.d.o.Logger.Info("store works again; deliveries go on", "source", l.name.Source, "destination", l.name.Name)
		return 0
	case l.d.leasing.Err() != nil:
		return 0
	case wait == 0:
		l.d.o.Logger.Error("store gives no deliveries; it is asked again until it does",
			"source", l.name.Source, "destination", l.name.Name, "error", err)
		return storeBackoff
	}
	return min(2*wait, storeBackoffMax)
}

// sleep is how long the pump may sleep if nobody wakes it.
func (l *lane) sleep(wait time.Duration) time.Duration {
	if wait > 0 {
		return wait
	}
	now, d := l.d.o.Now(), rescan
	if l.held(now) {
		d = min(d, l.heldUntil.Sub(now))
	} else if !l.next.IsZero() {
		d = min(d, l.next.Sub(now))
	}
	return max(d, time.Millisecond)
}

// fill leases a window of the backlog if it runs low.
func (l *lane) fill() error {
	l.mu.Lock()
	now := l.d.o.Now()
	limit := l.limit(now)
	want := windowPerSlot*limit - len(l.backlog)
	if !l.due || limit == 0 || len(l.backlog) >= limit || want <= 0 {
		l.mu.Unlock()
		return nil
	}
	l.due = false
	timeout := l.target.Policy.Timeout
	l.mu.Unlock()
	leases, next, err := l.d.o.Queue.Lease(l.d.leasing, l.name, store.LeaseRequest{
		Now: now, Until: now.Add(leaseTime(timeout)), Max: want, MaxBytes: windowBytes,
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.due = true
		return err
	}
	for _, lease := range leases {
		if lease.Unfinished > 0 {
			l.suspects = append(l.suspects, lease)
			continue
		}
		l.backlog = append(l.backlog, lease)
	}
	l.next = next
	if !next.IsZero() && !next.After(now) {
		l.due = true // there is more than the window took
	}
	return nil
}

// leaseTime leaves a whole window the time to be worked off slowly.
func leaseTime(timeout time.Duration) time.Duration {
	return 2*windowPerSlot*timeout + time.Minute
}

// takeWaiting empties what waits in memory. The mutex is held.
func (l *lane) takeWaiting() []store.Lease {
	back := append(append(l.fresh, l.backlog...), l.suspects...)
	for _, lease := range l.fresh {
		l.unreserve(lease.Event.Size())
	}
	l.fresh, l.backlog, l.suspects = nil, nil, nil
	return back
}

// giveBack returns everything that waits to the store.
func (l *lane) giveBack() {
	l.mu.Lock()
	back := l.takeWaiting()
	l.mu.Unlock()
	l.release(back)
}

func (l *lane) release(leases []store.Lease) {
	for _, lease := range leases {
		if err := l.d.o.Queue.Release(lease); err != nil {
			l.d.o.Logger.Debug("a delivery could not be given back", "event", lease.Event.ID.String(), "error", err)
		}
	}
}

func (l *lane) stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := Stats{
		Destination: l.name, Orphaned: l.target == nil, Running: l.running, Limit: l.limit(l.d.o.Now()),
		Fresh: len(l.fresh), HeldUntil: l.heldUntil,
	}
	l.health.fill(&s)
	return s
}
