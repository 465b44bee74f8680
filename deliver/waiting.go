package deliver

import (
	"slices"

	"github.com/caddy-webhooks/caddy-webhooks/store"
)

// waiting is what a destination has in memory for its next attempts.
type waiting struct {
	// reserved and reservedBytes count the room taken by new events, stored
	// already or about to be.
	reserved, reservedBytes int
	fresh                   []store.Lease
	backlog                 []store.Lease
	// suspects were being delivered when the process died: last, one at a time.
	suspects []store.Lease
	suspect  bool // one of them is running
	// backlogTurn alternates between the two lanes while both wait.
	backlogTurn bool
}

// reserve takes room for a new event. The mutex is not held.
func (l *lane) reserve(size int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed(l.d.o.Now()) {
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

// offer fills the room. If it has become closed meanwhile, the event goes back to
// the store. The mutex is not held.
func (l *lane) offer(lease store.Lease) {
	l.mu.Lock()
	now := l.d.o.Now()
	if l.closed(now) {
		l.unreserve(lease.Event.Size())
		l.mu.Unlock()
		l.release([]store.Lease{lease})
		return
	}
	l.fresh = append(l.fresh, lease)
	l.spawn(now)
	l.mu.Unlock()
}

// pick takes the next delivery. While both lanes wait they alternate. A probe is
// another event than the last one, if another waits. The mutex is held.
func (l *lane) pick() (store.Lease, bool) {
	if l.breaker.open {
		return l.pickProbe()
	}
	fromBacklog := len(l.fresh) == 0 || l.backlogTurn && len(l.backlog) > 0
	switch {
	case fromBacklog && len(l.backlog) > 0:
		l.backlogTurn = false
		return take(&l.backlog, 0), true
	case len(l.fresh) > 0:
		l.backlogTurn = true
		lease := take(&l.fresh, 0)
		l.unreserve(lease.Event.Size())
		return lease, true
	}
	return l.pickSuspect()
}

func (l *lane) pickSuspect() (store.Lease, bool) {
	if len(l.suspects) == 0 || l.suspect {
		return store.Lease{}, false
	}
	l.suspect = true
	return take(&l.suspects, 0), true
}

func (l *lane) pickProbe() (store.Lease, bool) {
	if len(l.backlog) == 0 {
		return l.pickSuspect()
	}
	return take(&l.backlog, max(slices.IndexFunc(l.backlog, l.unlikeLast), 0)), true
}

// unlikeLast tells whether an event is another than the last probe.
func (l *lane) unlikeLast(lease store.Lease) bool { return lease.Event.Seq != l.breaker.lastProbe }

func take(list *[]store.Lease, i int) store.Lease {
	lease := (*list)[i]
	if i > 0 {
		*list = slices.Delete(*list, i, i+1)
		return lease
	}
	(*list)[0] = store.Lease{}
	if *list = (*list)[1:]; len(*list) == 0 {
		*list = nil
	}
	return lease
}

// takeWaiting empties what waits in memory. The mutex is held.
func (l *lane) takeWaiting() []store.Lease {
	back := append(append(l.fresh, l.backlog...), l.suspects...)
	for _, lease := range l.fresh {
		l.unreserve(lease.Event.Size())
	}
	l.fresh, l.backlog, l.suspects = nil, nil, nil
	l.due = true
	return back
}

// giveBack returns everything that waits to the store. The mutex is not held.
func (l *lane) giveBack() {
	l.mu.Lock()
	back := l.takeWaiting()
	l.mu.Unlock()
	l.release(back)
}

// release returns deliveries to the store. The mutex is not held.
func (l *lane) release(leases []store.Lease) {
	for _, lease := range leases {
		if err := l.d.o.Queue.Release(lease); err != nil {
			l.d.o.Logger.Debug("a delivery could not be given back", "event", lease.Event.ID.String(), "error", err)
		}
	}
}
