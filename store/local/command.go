package local

import (
	"context"
	"fmt"
	"slices"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/store"
	"github.com/caddy-webhooks/caddy-webhooks/store/local/journal"
)

// Command carries out an operator's action, durably.
func (s *Store) Command(ctx context.Context, c store.Command) (store.Done, error) {
	var done store.Done
	var err error
	if c.Action == store.Pause || c.Action == store.Resume {
		done, err = s.pause(ctx, c)
	} else {
		done, err = s.command(ctx, c)
	}
	if err != nil {
		return store.Done{}, fmt.Errorf("%s: %w", c.Action, err)
	}
	return done, nil
}

var kindOf = map[store.Action]byte{
	store.Replay: kindReplay, store.Discard: kindDiscard, store.Move: kindMove,
	store.Pause: kindPause, store.Resume: kindResume,
}

func (s *Store) command(ctx context.Context, c store.Command) (store.Done, error) {
	a := action{kind: kindOf[c.Action], at: s.o.Now(), who: limit(c.Who)}
	if c.Action == store.Move || c.Action == store.Replay && c.Target != (event.Destination{}) {
		to, err := s.destination(ctx, c.Target)
		if err != nil {
			return store.Done{}, err
		}
		a.to = to.number
	}
	if err := s.aim(c, &a); err != nil {
		return store.Done{}, err
	}
	done, refused, err := s.perform(ctx, &a)
	if err != nil {
		return store.Done{}, err
	}
	if len(done.Changed)+len(done.Deferred) == 0 && refused != nil {
		return store.Done{}, refused
	}
	return done, nil
}

// aim finds the deliveries that a command is about, and refuses at once what
// cannot be done to any of them.
func (s *Store) aim(c store.Command, a *action) (err error) {
	if a.seq, err = s.locate(c.Event); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r, _, err := s.pages.row(a.seq)
	if err != nil {
		return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	if r == nil || r.id != c.Event {
		return store.ErrUnknown
	}
	if err := s.aimAt(c, a, r); err != nil {
		return err
	}
	if len(a.targets) == 0 {
		return fmt.Errorf("%w for destination %q", store.ErrUnknown, c.Destination)
	}
	return s.rehearse(a, r)
}

// aimAt lists the action's targets among an event's deliveries. Those that the
// command spares are none.
func (s *Store) aimAt(c store.Command, a *action, r *row) error {
	spared := false
	add := func(dest uint64, explicit bool) {
		d := r.delivery(dest)
		if d != nil && store.Spared(c, &d.Delivery) {
			spared = true
			return
		}
		a.targets = append(a.targets, target{dest: dest, explicit: explicit})
	}
	if a.kind == kindReplay && a.to != 0 {
		add(a.to, true)
	} else {
		for i := range r.deliveries {
			if dest := r.deliveries[i].dest; c.Means(s.dest(dest).Destination) {
				add(dest, c.Destination != "")
			}
		}
	}
	if spared && len(a.targets) == 0 {
		return store.ErrConflict
	}
	return nil
}

// rehearse tries the action on a copy: what is refused for every delivery now
// needs no record.
func (s *Store) rehearse(a *action, r *row) error {
	try := *r
	try.deliveries = slices.Clone(r.deliveries)
	var refused error
	for _, t := range s.inFlightNow(a) {
		changed, deferred, err := s.act(&try, try.targeted(a, t), a, t)
		if changed || deferred || err == nil {
			return nil
		}
		if refused == nil {
			refused = err
		}
	}
	return refused
}

// inFlightNow gives the action's targets with what is known only now.
func (s *Store) inFlightNow(a *action) []target {
	for i := range a.targets {
		l := s.leases[leaseKey{a.seq, a.targets[i].dest}]
		a.targets[i].inFlight = l != nil && !l.settling
	}
	return a.targets
}

// perform writes an action into the journal and applies it. While it is under
// way the event is not leased, so that what the record says about leases stays
// true until it is applied.
func (s *Store) perform(ctx context.Context, a *action) (done store.Done, refused, err error) {
	if err := s.hold(ctx, a.seq); err != nil {
		return store.Done{}, nil, err
	}
	type result struct {
		done    store.Done
		refused error
	}
	v, err := write(ctx, s, order[result]{
		encode: func(w *writer, _ journal.Stamp) {
			s.mu.Lock()
			s.inFlightNow(a)
			s.queueAgain(a)
			s.mu.Unlock()
			a.append(w)
		},
		apply: func(st journal.Stamp) (v result, err error) {
			v.done, v.refused, err = s.foldAction(st, a)
			s.reached(st)
			return v, err
		},
		finally: func(error) { s.unhold(a.seq) },
	})
	return v.done, v.refused, err
}

// hold keeps the event from being leased; if it is just being copied forward,
// hold waits for that.
func (s *Store) hold(ctx context.Context, seq uint64) error {
	for {
		s.mu.Lock()
		copied := s.frozen[seq]
		if copied == nil {
			s.held[seq]++
			s.mu.Unlock()
			return nil
		}
		s.mu.Unlock()
		select {
		case <-copied:
		case <-ctx.Done():
			return fmt.Errorf("waiting for the event to be copied: %w", context.Cause(ctx))
		}
	}
}

// unhold lets the event be leased again and puts back whatever of it waits.
func (s *Store) unhold(seq uint64) {
	if s.held[seq]--; s.held[seq] > 0 {
		return
	}
	delete(s.held, seq)
	r, _, err := s.pages.row(seq)
	if err != nil || r == nil {
		return
	}
	for i := range r.deliveries {
		s.reschedule(leaseKey{seq, r.deliveries[i].dest})
	}
}

func (s *Store) pause(ctx context.Context, c store.Command) (store.Done, error) {
	d, err := s.pausable(ctx, c)
	if err != nil {
		return store.Done{}, err
	}
	kind, at := kindOf[c.Action], s.o.Now()
	return write(ctx, s, order[store.Done]{
		encode: func(w *writer, _ journal.Stamp) {
			w.byte(kind)
			w.uint(d.number)
			w.time(at)
			w.string(limit(c.Who))
		},
		apply: func(st journal.Stamp) (done store.Done, _ error) {
			if paused := kind == kindPause; d.paused != paused {
				d.paused = paused
				done.Changed = []string{d.Name}
			}
			s.reached(st)
			s.afterwards = append(s.afterwards, d.Destination)
			return done, nil
		},
	})
}

// pausable finds the destination to pause or resume; a configured one that has
// had no event gets its number now.
func (s *Store) pausable(ctx context.Context, c store.Command) (*destination, error) {
	if c.Introduce {
		return s.destination(ctx, c.Target)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if d := s.byName[c.Target]; d != nil {
		return d, nil
	}
	return nil, fmt.Errorf("%w: destination %s", store.ErrUnknown, c.Target)
}

// limit cuts a stranger's string to what a record has room for.
func limit(v string) string { return v[:min(len(v), maxStranger)] }

// maxStranger is what a record has room for of a stranger's string, in bytes.
const maxStranger = 256
