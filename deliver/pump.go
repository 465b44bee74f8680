package deliver

import (
	"time"

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
	// healthEvery is how often health checks are asked that found no backend.
	healthEvery = time.Second
	// storeBackoff is the wait after a failing store, doubled up to storeBackoffMax.
	storeBackoff    = 100 * time.Millisecond
	storeBackoffMax = 5 * time.Second
)

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
		l.pulse.Begin()
		asked := l.d.o.Now()
		l.emptyIfClosed(asked)
		err := l.fill(asked)
		wait = l.complain(err, wait)
		l.mu.Lock()
		now := l.d.o.Now()
		l.spawn(now)
		sleep := l.sleep(wait, asked, now)
		l.mu.Unlock()
		timer.Reset(sleep)
		l.pulse.End()
		if wait > 0 && !l.pause(timer) {
			return
		}
	}
}

// emptyIfClosed gives what waits in memory back to the store while nothing may be
// sent: it is nobody's there, an operator can act on it, and it comes again
// sorted.
func (l *lane) emptyIfClosed(now time.Time) {
	l.mu.Lock()
	var back []store.Lease
	if l.closed(now) {
		back = l.takeWaiting()
	}
	l.mu.Unlock()
	l.release(back)
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

// sleep is how long the pump may sleep if nobody wakes it. What had come when the
// queue was asked has been seen to, or waits for something else; what has come
// since has not. The mutex is held.
func (l *lane) sleep(wait time.Duration, asked, now time.Time) time.Duration {
	if wait > 0 {
		return wait
	}
	d := rescan
	until := func(at time.Time) {
		if at.After(asked) {
			d = min(d, at.Sub(now))
		}
	}
	switch {
	case l.target == nil:
		return rescan
	case asked.Before(l.heldUntil):
		until(l.heldUntil)
	case l.unwell:
		d = healthEvery
	case l.breaker.open && asked.Before(l.breaker.next):
		until(l.breaker.next)
	default:
		until(l.next)
	}
	if tokens := l.bucket.wait(now); tokens > 0 && len(l.fresh)+len(l.backlog)+len(l.suspects) > 0 {
		d = min(d, tokens)
	}
	return max(d, time.Millisecond)
}

// fill leases a window of the backlog if it runs low.
func (l *lane) fill(now time.Time) error {
	r, ok := l.want(now)
	if !ok {
		return nil
	}
	leases, next, err := l.d.o.Queue.Lease(l.d.leasing, l.name, r)
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
	if !next.IsZero() && !next.After(r.Now) {
		l.due = true // there is more than the window took
	}
	return nil
}

// want says what to lease, if anything.
func (l *lane) want(now time.Time) (r store.LeaseRequest, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	slots := l.slots(now)
	if slots == 0 {
		return r, false
	}
	r = store.LeaseRequest{Now: now, Until: now.Add(leaseTime(l.target.Policy.Timeout)), MaxBytes: windowBytes}
	if l.breaker.open {
		r.Max, r.Early, r.Skip = 1, true, l.breaker.lastProbe
		return r, len(l.backlog)+len(l.suspects) == 0
	}
	r.Max = windowPerSlot*slots - len(l.backlog)
	// A signal may come between the time of the next and the timer set for it.
	l.due = l.due || !l.next.IsZero() && !l.next.After(now)
	if !l.due || len(l.backlog) >= slots || r.Max <= 0 {
		return r, false
	}
	l.due = false
	return r, true
}

// leaseTime leaves a whole window the time to be worked off slowly.
func leaseTime(timeout time.Duration) time.Duration {
	return 2*windowPerSlot*timeout + time.Minute
}
