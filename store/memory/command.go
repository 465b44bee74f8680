package memory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/store"
)

// errAction is returned for an action that no operator has.
var errAction = errors.New("no such action")

// Command carries out an operator's action.
func (s *Store) Command(ctx context.Context, c store.Command) (store.Done, error) {
	if ctx.Err() != nil {
		return store.Done{}, fmt.Errorf("%s: %w", c.Action, context.Cause(ctx))
	}
	defer s.leave()
	if err := s.enter(); err != nil {
		return store.Done{}, err
	}
	var done store.Done
	var err error
	switch c.Action {
	case store.Pause, store.Resume:
		done, err = s.pause(c)
	case store.Replay, store.Discard, store.Move:
		done, err = s.act(c)
	default:
		return store.Done{}, fmt.Errorf("action %d: %w", c.Action, errAction)
	}
	if err != nil {
		return store.Done{}, fmt.Errorf("%s: %w", c.Action, err)
	}
	return done, nil
}

func (s *Store) pause(c store.Command) (done store.Done, err error) {
	d := s.dests[c.Target]
	if d == nil && c.Introduce {
		d = s.destination(c.Target)
	}
	if d == nil {
		return done, fmt.Errorf("%w: destination %s", store.ErrUnknown, c.Target)
	}
	if paused := c.Action == store.Pause; d.paused != paused {
		d.paused = paused
		done.Changed = []string{d.name.Name}
	}
	s.due = append(s.due, d.name)
	return done, nil
}

// act does something to an event's deliveries: to the one that is named, or to all.
func (s *Store) act(c store.Command) (done store.Done, err error) {
	r := s.find(c.Event)
	if r == nil {
		return done, store.ErrUnknown
	}
	known := false
	var refused error
	s.change(r, func() {
		if c.Action == store.Replay && c.Target != (event.Destination{}) {
			known = true
			d := s.sent(r, c.Target)
			if refused = s.actOn(c, d, &done); refused == nil && !slices.Contains(r.deliveries, d) {
				r.deliveries = append(r.deliveries, d)
			}
			return
		}
		for _, d := range slices.Clone(r.deliveries) {
			if !c.Means(d.to.name) {
				continue
			}
			known = true
			if err := s.actOn(c, d, &done); err != nil && refused == nil {
				refused = err
			}
		}
	})
	switch {
	case !known:
		return done, fmt.Errorf("%w for destination %q", store.ErrUnknown, c.Destination)
	case len(done.Changed)+len(done.Deferred) == 0:
		return done, refused
	}
	return done, nil
}

// actOn does something to one delivery and notes what came of it.
func (s *Store) actOn(c store.Command, d *delivery, done *store.Done) error {
	if store.Spared(c, &d.Delivery) {
		return store.ErrConflict
	}
	before := d.State
	deferred, err := s.apply(c, d)
	if d.State != before && d.State != event.Pending {
		d.SettledAt = s.now()
	}
	switch {
	case err != nil:
		return err
	case deferred:
		done.Deferred = append(done.Deferred, d.Destination)
	case d.State != before || c.Action == store.Replay:
		done.Changed = append(done.Changed, d.Destination)
	}
	if before != event.Pending && d.State == event.Pending {
		s.place(d, d.order)
	}
	s.schedule(d)
	return nil
}

// apply does an action to a delivery.
func (s *Store) apply(c store.Command, d *delivery) (deferred bool, err error) {
	d.InFlight = d.token != 0
	defer func() { d.InFlight = false }()
	switch c.Action { //nolint:exhaustive // Command lets no other through
	case store.Replay:
		return false, store.ReplayDelivery(&d.Delivery, c.Destination != "" || c.Target != (event.Destination{}), d.of.gone, s.now())
	case store.Move:
		return false, s.move(d, c.Target, s.now())
	}
	return store.DiscardDelivery(&d.Delivery)
}

// sent gives the event's delivery to a destination: where there is none, one that
// is as good as filtered until it is replayed, and none of the event's until then.
func (s *Store) sent(r *record, to event.Destination) *delivery {
	for _, d := range r.deliveries {
		if d.to.name == to {
			return d
		}
	}
	d := &delivery{of: r, to: s.destination(to)}
	d.Destination, d.State = to.Name, event.Filtered
	return d
}

// move hands a delivery to another destination.
func (s *Store) move(d *delivery, to event.Destination, now time.Time) error {
	for _, other := range d.of.deliveries {
		if other.to.name == to {
			return store.ErrConflict
		}
	}
	moved, err := store.MoveDelivery(&d.Delivery, to.Name, now)
	if err != nil {
		return err
	}
	there := &delivery{Delivery: moved, of: d.of, to: s.destination(to)}
	s.place(there, d.order)
	d.of.deliveries = append(d.of.deliveries, there)
	s.schedule(there)
	return nil
}
