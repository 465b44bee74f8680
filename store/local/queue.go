package local

import (
	"context"
	"fmt"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/store"
	"github.com/caddy-webhooks/caddy-webhooks/store/local/journal"
)

// leaseKey names what one lease is for.
type leaseKey struct {
	seq  uint64
	dest uint64
}

// lease is a delivery in somebody's hands. Leases are in memory only: a
// restart gives everything back.
type lease struct {
	token uint64
	until time.Time
	begun bool
	// settling is set once an outcome is on its way to the disk.
	settling bool
}

// unreadableWait is how long a delivery waits whose stored content cannot be read.
const unreadableWait = 10 * time.Minute

// Lease hands out what is due.
func (s *Store) Lease(ctx context.Context, name event.Destination, r store.LeaseRequest) ([]store.Lease, time.Time, error) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil, time.Time{}, store.ErrClosed
	}
	d := s.byName[name]
	if d == nil {
		s.mu.Unlock()
		return nil, time.Time{}, nil
	}
	lost := s.expire(d, r.Now)
	leases, places, err := s.take(d, r)
	next := s.nextDue(d)
	s.mu.Unlock()
	s.lose(lost)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("%w: leasing for %s: %w", store.ErrUnavailable, name, err)
	}
	return s.load(ctx, leases, places), next, nil
}

// take leases the deliveries that are due, and tells where their content lies.
func (s *Store) take(d *destination, r store.LeaseRequest) (leases []store.Lease, places []journal.Position, err error) {
	if d.paused {
		return nil, nil, nil
	}
	next := s.firstDue
	if r.Early {
		next = s.firstEarly
	}
	for bytes := 0; len(leases) < r.Max && (bytes < r.MaxBytes || len(leases) == 0); {
		seq, row, v, err := next(d, r)
		if err != nil || v == nil {
			return leases, places, err
		}
		l := s.lease(&event.Event{ID: row.id, Seq: seq, Source: row.source}, v, r.Until)
		leases, places = append(leases, l), append(places, row.pos)
		bytes += int(row.size)
	}
	return leases, places, nil
}

// firstDue takes the delivery off the queue that is due first; nil if none is
// due now.
func (s *Store) firstDue(d *destination, r store.LeaseRequest) (uint64, *row, *delivery, error) {
	for len(d.due) > 0 && d.due[0].due <= r.Now.UnixNano() {
		row, _, err := s.pages.row(d.due[0].seq)
		if err != nil {
			return 0, nil, nil, err
		}
		top := d.due.pop()
		if v := s.waiting(d, row, top); v != nil {
			return top.seq, row, v, nil
		}
	}
	return 0, nil, nil, nil
}

// earlyLooks is how many waiting deliveries are looked at for one to send early.
const earlyLooks = 64

// firstEarly takes the delivery off the queue that is due first, now or later,
// but none that the backend itself has put off, and one to skip only if there is
// no other.
func (s *Store) firstEarly(d *destination, r store.LeaseRequest) (seq uint64, found *row, v *delivery, err error) {
	var passed []dueEntry
	for len(d.due) > 0 && len(passed) < earlyLooks && (v == nil || seq == r.Skip) {
		row, _, err := s.pages.row(d.due[0].seq)
		if err != nil {
			return 0, nil, nil, err
		}
		top := d.due.pop()
		w := s.waiting(d, row, top)
		if w == nil {
			continue
		}
		passed = append(passed, top)
		if w.Asked && top.due > r.Now.UnixNano() {
			continue
		}
		seq, found, v = top.seq, row, w
	}
	for _, e := range passed {
		if v == nil || e.seq != seq {
			d.due.push(e)
		}
	}
	return seq, found, v, nil
}

// waiting gives the delivery that an entry of the heap stands for; nil if the
// entry is out of date.
func (s *Store) waiting(d *destination, r *row, top dueEntry) *delivery {
	if r == nil || s.held[top.seq] > 0 {
		return nil // a command puts it back when it is done
	}
	v := r.delivery(d.number)
	if v == nil || v.State != event.Pending || v.Discarding || v.Next.UnixNano() != top.due {
		return nil
	}
	if _, leased := s.leases[leaseKey{top.seq, d.number}]; leased || !s.isTurn(top.seq, v) {
		return nil
	}
	return v
}

// lease notes that the delivery is in somebody's hands.
func (s *Store) lease(e *event.Event, d *delivery, until time.Time) store.Lease {
	s.token++
	s.leases[leaseKey{e.Seq, d.dest}] = &lease{token: s.token, until: until}
	dest := s.dest(d.dest)
	dest.inFlight++
	return store.Lease{
		Token: s.token, Event: e, Destination: dest.Destination, Attempt: d.Attempts + d.marks + 1,
		Spent: d.Spent, Excused: d.Excused, Replay: d.Replay, Fresh: len(d.attempts) == 0 && d.marks == 0, Unfinished: d.marks,
	}
}

// load reads the events' content. What cannot be read is put off, loudly: an
// operator may bring the segment back.
func (s *Store) load(ctx context.Context, leases []store.Lease, places []journal.Position) []store.Lease {
	ready := leases[:0]
	for i, l := range leases {
		e, err := s.content(places[i], l.Event.Seq)
		if err == nil {
			l.Event = e
			ready = append(ready, l)
			continue
		}
		s.o.Logger.ErrorContext(ctx, "stored event cannot be read; it is tried again later",
			"source", l.Destination.Source, "destination", l.Destination.Name, "event", l.Event.ID.String(), "error", err)
		now := s.o.Now()
		_ = s.Settle(l, store.Settlement{ // only closing can refuse it, and then it comes back anyway
			Attempt: event.Attempt{Destination: l.Destination.Name, Number: l.Attempt, At: now, Error: err.Error()},
			State:   event.Pending, Next: now.Add(unreadableWait), Spent: l.Spent,
		})
	}
	return ready
}

// content reads an event from the journal.
func (s *Store) content(pos journal.Position, seq uint64) (*event.Event, error) {
	payload, err := s.journal.Read(pos)
	if err != nil {
		return nil, fmt.Errorf("reading event %d: %w", seq, err)
	}
	r := reader{b: payload}
	var id event.ID
	switch r.byte() {
	case kindAccept:
		id = r.accept().id
	case kindCopy:
		_, _, v := r.copied()
		id = v.id
	default:
		r.fail()
	}
	if r.bad {
		return nil, fmt.Errorf("reading event %d: %w", seq, errWire)
	}
	e, err := event.Decode(r.b)
	if err != nil {
		return nil, fmt.Errorf("reading event %d: %w", seq, err)
	}
	e.ID, e.Seq = id, seq
	return e, nil
}

// nextDue is when the next waiting delivery is due; zero if none waits or the
// destination is paused.
func (s *Store) nextDue(d *destination) time.Time {
	if d.paused || len(d.due) == 0 {
		return time.Time{}
	}
	return time.Unix(0, d.due[0].due)
}

// expire gives back the leases whose time is over, and lists those whose loss
// must be recorded.
func (s *Store) expire(d *destination, now time.Time) (lost []leaseKey) {
	if d.inFlight == 0 {
		return nil
	}
	for k, l := range s.leases {
		if k.dest != d.number || l.settling || l.until.IsZero() || l.until.After(now) {
			continue
		}
		if s.giveBack(k, l) {
			lost = append(lost, k)
		}
	}
	return lost
}

// giveBack ends a lease without an outcome, and tells whether that must be
// recorded. The mutex is held.
func (s *Store) giveBack(k leaseKey, l *lease) bool {
	delete(s.leases, k)
	d := s.dest(k.dest)
	d.inFlight--
	r, _, err := s.pages.row(k.seq)
	if err != nil || r == nil {
		return false
	}
	v := r.delivery(k.dest)
	if v == nil || v.State != event.Pending {
		return false
	}
	if l.begun || v.Discarding {
		return true
	}
	s.schedule(k.seq, v)
	return false
}

// lose records leases that ended without an outcome; their deliveries are due
// again as soon as that is applied.
func (s *Store) lose(lost []leaseKey) {
	at := s.o.Now()
	for _, k := range lost {
		err := s.append(event.Attempt{}, false, func(w *writer, _ journal.Stamp) {
			w.byte(kindLost)
			w.uint(k.seq)
			w.uint(k.dest)
			w.time(at)
		}, func(st journal.Stamp) error {
			err := s.foldDelivery(st, k.seq, k.dest, nil, func(_ *row, d *delivery) { lose(d, at) })
			s.reached(st)
			s.reschedule(k)
			return err
		})
		if err != nil {
			return // closing: at the next start nothing is leased anyway
		}
	}
}

// find gives the lease if it is still held.
func (s *Store) find(l store.Lease) (leaseKey, *lease, error) {
	if s.closed {
		return leaseKey{}, nil, store.ErrClosed
	}
	d := s.byName[l.Destination]
	if d == nil || l.Event == nil {
		return leaseKey{}, nil, store.ErrStale
	}
	k := leaseKey{l.Event.Seq, d.number}
	held := s.leases[k]
	if held == nil || held.token != l.Token || held.settling {
		return k, nil, fmt.Errorf("event %s to %s: %w", l.Event.ID, l.Destination, store.ErrStale)
	}
	return k, held, nil
}

// Begin notes that the attempt starts.
func (s *Store) Begin(l store.Lease) error {
	s.mu.Lock()
	k, held, err := s.find(l)
	switch {
	case err != nil:
	case s.dest(k.dest).paused:
		err = fmt.Errorf("%s: %w", l.Destination, store.ErrPaused)
	default:
		held.begun = true
	}
	s.mu.Unlock()
	if err != nil {
		return err
	}
	return s.append(event.Attempt{}, false, func(w *writer, _ journal.Stamp) {
		w.byte(kindBegin)
		w.uint(k.seq)
		w.uint(k.dest)
	}, func(st journal.Stamp) error {
		err := s.foldDelivery(st, k.seq, k.dest, nil, func(_ *row, d *delivery) { d.marks++ })
		s.reached(st)
		return err
	})
}

// Extend gives the lease more time.
func (s *Store) Extend(l store.Lease, until time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, held, err := s.find(l)
	if err != nil {
		return err
	}
	held.until = until
	return nil
}

// Release gives the delivery back.
func (s *Store) Release(l store.Lease) error {
	s.mu.Lock()
	k, held, err := s.find(l)
	if err != nil {
		s.mu.Unlock()
		return err
	}
	record := s.giveBack(k, held)
	tell := s.wake
	s.mu.Unlock()
	if record {
		s.lose([]leaseKey{k})
		return nil
	}
	tell(l.Destination)
	return nil
}

// Settle records an attempt's outcome.
func (s *Store) Settle(l store.Lease, v store.Settlement) error {
	s.mu.Lock()
	k, held, err := s.find(l)
	if err != nil {
		s.mu.Unlock()
		return err
	}
	held.settling = true
	at, awaited := s.o.Now(), v.State != event.Pending && s.awaited(k)
	s.mu.Unlock()
	rec := settleRecord{seq: k.seq, dest: k.dest, at: at, Settlement: v}
	return s.append(v.Attempt, awaited, func(w *writer, _ journal.Stamp) { rec.append(w) },
		func(st journal.Stamp) error {
			err := s.foldSettle(st, &rec)
			s.reached(st)
			delete(s.leases, k)
			s.dest(k.dest).inFlight--
			s.reschedule(k)
			return err
		})
}

// schedule puts a pending delivery into its queue, once it is its turn.
func (s *Store) schedule(seq uint64, d *delivery) {
	if s.recovering || d.State != event.Pending || d.Discarding || !s.join(seq, d) {
		return
	}
	s.dest(d.dest).due.push(dueEntry{due: d.Next.UnixNano(), seq: seq})
}

// reschedule puts a delivery back that is not leased any more, and wakes its
// destination. A discard that could not follow an attempt follows now.
func (s *Store) reschedule(k leaseKey) {
	r, _, err := s.pages.row(k.seq)
	if err != nil || r == nil || s.leases[k] != nil {
		return
	}
	d := r.delivery(k.dest)
	switch {
	case d == nil || d.State != event.Pending:
	case d.Discarding:
		s.toLose = append(s.toLose, k)
		s.callHouse()
	default:
		s.schedule(k.seq, d)
		s.afterwards = append(s.afterwards, s.dest(k.dest).Destination)
	}
}
