package memory

import (
	"cmp"
	"container/heap"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/store"
)

// destination is one `to` of one source.
type destination struct {
	name   event.Destination
	paused bool
	queue  queue
	leased map[*delivery]struct{}
	count  map[event.State]int64
	// retrying counts the pending ones that have failed before.
	retrying int64
	// turns has the pending deliveries that go one at a time for each key.
	turns store.Turns
	// placed finds the deliveries in these lines by their places.
	placed map[uint64]*delivery
}

// waiting gives the delivery that is due first; nil if none waits.
func (d *destination) waiting() *delivery {
	for len(d.queue) > 0 {
		top := d.queue[0]
		if d.stands(top) {
			return top.of
		}
		heap.Pop(&d.queue) // what it stood for is leased, settled or due at another time
	}
	return nil
}

// stands tells whether a place in the queue is still true.
func (d *destination) stands(p place) bool {
	v := p.of
	return v.State == event.Pending && v.token == 0 && v.Next.Equal(p.due) && (v.order == 0 || d.turns.Is(v.order, v.turn()))
}

// early takes out of the queue what is due first, now or later, but nothing that
// the backend itself has put off, and the one to skip only if there is no other.
func (d *destination) early(now time.Time, skip uint64) *delivery {
	var found *delivery
	for _, p := range slices.SortedFunc(slices.Values(d.queue), place.compare) {
		if !d.stands(p) || p.of.Asked && p.due.After(now) {
			continue
		}
		if found = p.of; found.of.event.Seq != skip {
			break
		}
	}
	return found // its place in the queue is void from now on
}

// place is a delivery's place in its destination's queue.
type place struct {
	due time.Time
	of  *delivery
}

// queue is a heap: what is due first comes first, and of equals the event that
// was accepted first. Places are not taken out when they become void, but
// passed over when they come up.
type queue []place

// Len is container/heap's, as are the four methods below.
func (q queue) Len() int           { return len(q) }
func (q queue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q queue) Less(i, j int) bool { return q[i].compare(q[j]) < 0 }

func (p place) compare(o place) int {
	return cmp.Or(p.due.Compare(o.due), cmp.Compare(p.of.of.event.Seq, o.of.of.event.Seq))
}

// Push appends.
func (q *queue) Push(x any) {
	if p, ok := x.(place); ok {
		*q = append(*q, p)
	}
}

// Pop removes the last place.
func (q *queue) Pop() any {
	last := len(*q) - 1
	(*q)[last] = place{} // lets the event go
	*q = (*q)[:last]
	return nil
}

// schedule puts a pending delivery into its queue once it is its turn, and wakes
// its destination.
func (s *Store) schedule(d *delivery) {
	if d.State != event.Pending {
		s.goOn(d)
		return
	}
	if d.token != 0 || !d.join() {
		return
	}
	heap.Push(&d.to.queue, place{due: d.Next, of: d})
	s.due = append(s.due, d.to.name)
}

// Lease hands out what is due.
func (s *Store) Lease(ctx context.Context, name event.Destination, r store.LeaseRequest) ([]store.Lease, time.Time, error) {
	if ctx.Err() != nil {
		return nil, time.Time{}, fmt.Errorf("leasing for %s: %w", name, context.Cause(ctx))
	}
	defer s.leave()
	if err := s.enter(); err != nil {
		return nil, time.Time{}, err
	}
	d := s.destination(name)
	s.expire(d, r.Now)
	if d.paused {
		return nil, time.Time{}, nil
	}
	if r.Early {
		return s.leaseEarly(d, r)
	}
	var leases []store.Lease
	bytes := 0
	for len(leases) < r.Max && (bytes < r.MaxBytes || len(leases) == 0) {
		v := d.waiting()
		if v == nil || v.Next.After(r.Now) {
			break
		}
		heap.Pop(&d.queue)
		leases = append(leases, s.lease(v, r.Until))
		bytes += v.of.event.Size()
	}
	if v := d.waiting(); v != nil {
		return leases, v.Next, nil
	}
	return leases, time.Time{}, nil
}

func (s *Store) leaseEarly(d *destination, r store.LeaseRequest) ([]store.Lease, time.Time, error) {
	v := d.early(r.Now, r.Skip)
	if v == nil {
		return nil, time.Time{}, nil
	}
	return []store.Lease{s.lease(v, r.Until)}, time.Time{}, nil
}

// lease notes that a delivery is in somebody's hands.
func (s *Store) lease(d *delivery, until time.Time) store.Lease {
	s.token++
	d.token, d.until = s.token, until
	d.to.leased[d] = struct{}{}
	return store.Lease{
		Token: d.token, Event: d.of.event, Destination: d.to.name, Attempt: d.Attempts + 1,
		Spent: d.Spent, Excused: d.Excused, Replay: d.Replay, Fresh: !d.tried,
	}
}

// expire takes back the leases whose time is over.
func (s *Store) expire(d *destination, now time.Time) {
	for v := range d.leased {
		if !v.until.IsZero() && !v.until.After(now) {
			s.giveBack(v, now)
		}
	}
}

// unlease ends a lease.
func unlease(d *delivery) {
	delete(d.to.leased, d)
	d.token, d.until = 0, time.Time{}
}

// giveBack ends a lease without an outcome.
func (s *Store) giveBack(d *delivery, now time.Time) {
	unlease(d)
	s.change(d.of, func() { store.Lost(&d.Delivery, now) })
	s.schedule(d)
}

// held gives the delivery that the lease is for, if it is still held.
func (s *Store) held(l store.Lease) (*delivery, error) {
	if l.Event != nil && l.Token != 0 {
		if r := s.find(l.Event.ID); r != nil {
			for _, d := range r.deliveries {
				if d.to.name == l.Destination && d.token == l.Token {
					return d, nil
				}
			}
		}
	}
	return nil, fmt.Errorf("lease %d to %s: %w", l.Token, l.Destination, store.ErrStale)
}

// Begin checks the lease; a process that dies takes this store along, so there
// is nothing to note.
func (s *Store) Begin(l store.Lease) error {
	defer s.leave()
	if err := s.enter(); err != nil {
		return err
	}
	d, err := s.held(l)
	if err == nil && d.to.paused {
		err = fmt.Errorf("%s: %w", l.Destination, store.ErrPaused)
	}
	return err
}

// Extend gives the lease more time.
func (s *Store) Extend(l store.Lease, until time.Time) error {
	defer s.leave()
	if err := s.enter(); err != nil {
		return err
	}
	d, err := s.held(l)
	if err != nil {
		return err
	}
	d.until = until
	return nil
}

// Release gives the delivery back.
func (s *Store) Release(l store.Lease) error {
	defer s.leave()
	if err := s.enter(); err != nil {
		return err
	}
	d, err := s.held(l)
	if err != nil {
		return err
	}
	s.giveBack(d, s.now())
	return nil
}

// Settle records an attempt's outcome.
func (s *Store) Settle(l store.Lease, v store.Settlement) error {
	defer s.leave()
	if err := s.enter(); err != nil {
		return err
	}
	d, err := s.held(l)
	if err != nil {
		return err
	}
	unlease(d)
	s.change(d.of, func() {
		if store.Settle(&d.Delivery, v) {
			d.tried, d.SettledAt = true, s.now()
			if d.to.name.Source != d.of.event.Source {
				v.Attempt.Source = d.to.name.Source
			}
			d.of.attempts = append(d.of.attempts, v.Attempt)
		}
	})
	s.schedule(d)
	return nil
}
