package memory

import (
	"context"
	"fmt"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/store"
)

// Accept stores the event with its claim, or finds the claim taken.
func (s *Store) Accept(ctx context.Context, a store.Admission) (store.Receipt, error) {
	if err := ctx.Err(); err != nil {
		return store.Receipt{}, fmt.Errorf("accepting: %w", context.Cause(ctx))
	}
	defer s.leave()
	if err := s.enter(); err != nil {
		return store.Receipt{}, err
	}
	now := s.clock()
	if c, taken := s.taken(a.Claim, now); taken {
		return s.repeat(a, c), nil
	}
	if err := s.room(a.Event.Source, int64(a.Event.Size()), a.Share); err != nil {
		return store.Receipt{}, err
	}
	return s.add(a, now), nil
}

// taken gives the claim that stands already.
func (s *Store) taken(wanted *store.Claim, now time.Time) (c claim, taken bool) {
	if wanted == nil {
		return claim{}, false
	}
	for _, key := range append([][32]byte{wanted.Key}, wanted.Also...) {
		if c, known := s.claims[key]; known && (c.expires.After(now) || c.of.unsettled()) {
			return c, true
		}
	}
	return claim{}, false
}

// room checks the backlog's limits.
func (s *Store) room(source string, size, share int64) error {
	share = store.ShareOf(s.limit, share)
	if used := s.backlogTotal + size; used > s.limit {
		return fmt.Errorf("%w: %d of %d bytes wait for delivery", store.ErrBacklog, used, s.limit)
	}
	if used := s.backlog[source] + size; used > share {
		return fmt.Errorf("%w: source %s has %d bytes waiting, its share is %d", store.ErrBacklog, source, used, share)
	}
	return nil
}

// add stores the event.
func (s *Store) add(a store.Admission, now time.Time) store.Receipt {
	e := a.Event
	e.Seq = uint64(len(s.records)) + 1
	e.ID = event.NewID(now, e.Seq, s.salt, uint16(s.random()&0xfff))
	r := &record{event: e}
	if a.Claim != nil {
		s.claims[a.Claim.Key] = claim{of: r, digest: a.Claim.Digest, expires: now.Add(a.Claim.Window)}
	}
	receipt := store.Receipt{Result: store.Filtered, ID: e.ID, Seq: e.Seq}
	for _, o := range a.Owed {
		d := &delivery{of: r, to: s.destination(event.Destination{Source: e.Source, Name: o.Destination})}
		d.Destination, d.State, d.Next = o.Destination, event.Pending, e.Received
		if o.Filtered {
			d.State, d.Next = event.Filtered, time.Time{}
		}
		s.place(d, o.Order)
		r.deliveries = append(r.deliveries, d)
	}
	s.records = append(s.records, r)
	s.tell()
	s.account(r, 1)
	for i, d := range r.deliveries {
		if d.State != event.Pending {
			continue
		}
		receipt.Result = store.Accepted
		if a.Owed[i].Lease && !d.to.paused && d.join() {
			receipt.Leases = append(receipt.Leases, s.lease(d, time.Time{}))
			continue
		}
		s.schedule(d)
	}
	return receipt
}

// repeat answers a duplicate and brings back what the repeat revives.
func (s *Store) repeat(a store.Admission, c claim) store.Receipt {
	receipt := store.Receipt{
		Result: store.Duplicate, ID: c.of.event.ID, Seq: c.of.event.Seq, Differs: c.digest != a.Claim.Digest,
	}
	wanted := make(map[event.Destination]bool, len(a.Owed))
	for _, o := range a.Owed {
		wanted[event.Destination{Source: a.Event.Source, Name: o.Destination}] = !o.Filtered
	}
	s.change(c.of, func() {
		for _, d := range c.of.deliveries {
			if store.Revive(&d.Delivery, wanted[d.to.name], s.now()) {
				receipt.Result = store.Revived
				s.place(d, d.order)
				s.schedule(d)
			}
		}
	})
	return receipt
}
