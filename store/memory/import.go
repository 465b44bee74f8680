package memory

import (
	"context"
	"fmt"
	"slices"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/store"
)

// Import stores an event as it stands elsewhere.
func (s *Store) Import(ctx context.Context, in store.Import) (store.Receipt, error) {
	if err := ctx.Err(); err != nil {
		return store.Receipt{}, fmt.Errorf("importing: %w", context.Cause(ctx))
	}
	defer s.leave()
	if err := s.enter(); err != nil {
		return store.Receipt{}, err
	}
	if r := s.find(in.Record.ID); r != nil {
		s.complete(r, in)
		return store.Receipt{Result: store.Known, ID: r.event.ID, Seq: r.event.Seq}, nil
	}
	if c, taken := s.taken(in.Claim, s.clock()); taken {
		return store.Receipt{Result: store.Duplicate, ID: c.of.event.ID, Seq: c.of.event.Seq, Differs: c.digest != in.Claim.Digest}, nil
	}
	if in.Waits() {
		if err := s.room(in.Record.Source, int64(in.Record.Size), in.Share); err != nil {
			return store.Receipt{}, err
		}
	}
	return s.bring(in), nil
}

// complete adds the attempts that an import which broke off has left out.
func (s *Store) complete(r *record, in store.Import) {
	if s.brought[in.Record.ID] == nil {
		return
	}
	shown := r.row().Deliveries
	for i := range in.Record.Deliveries {
		if i >= len(shown) {
			return
		}
		have := 0
		for _, a := range r.attempts {
			if a.Of(&shown[i]) {
				have++
			}
		}
		r.attempts = append(r.attempts, in.Missing(i, shown[i], have)...)
	}
	slices.SortStableFunc(r.attempts, func(a, b event.Attempt) int { return a.At.Compare(b.At) })
}

// bring stores the event.
func (s *Store) bring(in store.Import) store.Receipt {
	e := in.Record.Event
	r := &record{event: e, attempts: slices.Clone(in.Record.Attempts)}
	if e == nil { // its body is gone
		r.gone, r.size = true, in.Record.Size
		e = &event.Event{
			Source: in.Record.Source, Provider: in.Record.Provider, ProviderID: in.Record.ProviderID, Type: in.Record.Type,
			Received: in.Record.Received,
		}
		r.event = e
	}
	e.ID, e.Seq = in.Record.ID, uint64(len(s.records))+1
	if c := in.Claim; c != nil {
		s.claims[c.Key] = claim{of: r, digest: c.Digest, expires: s.clock().Add(c.Window)}
	}
	for _, from := range in.Record.Deliveries {
		d := &delivery{of: r, to: s.destination(from.At(e.Source)), tried: from.Attempts > 0, Delivery: from}
		store.Arrive(&d.Delivery, s.now())
		d.Source = ""
		s.place(d, from.Order)
		r.deliveries = append(r.deliveries, d)
	}
	s.records, s.brought[e.ID] = append(s.records, r), r
	s.tell()
	s.account(r, 1)
	for _, d := range r.deliveries {
		if d.State == event.Pending {
			s.schedule(d)
		}
	}
	return store.Receipt{Result: store.Accepted, ID: e.ID, Seq: e.Seq}
}
