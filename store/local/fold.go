package local

import (
	"fmt"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/store"
	"github.com/caddy-webhooks/caddy-webhooks/store/local/journal"
)

// Folding turns the journal's records into state. The same functions serve a
// record that has just become durable and one that is replayed at start; they
// use nothing but the record and the state before it. The store's mutex is held.

// fold applies one record from its bytes.
func (s *Store) fold(st journal.Stamp, payload []byte) error {
	r := &reader{b: payload}
	kind := r.byte()
	r.kind = kind
	apply, known := folds[kind]
	if !known {
		return fmt.Errorf("%w: record of kind %d at segment %d offset %d", journal.ErrFormat, kind, st.Pos.Segment, st.Pos.Offset)
	}
	if err := apply(s, st, r); err != nil {
		return fmt.Errorf("record of kind %d at segment %d offset %d: %w", kind, st.Pos.Segment, st.Pos.Offset, err)
	}
	s.reached(st)
	return nil
}

// folds reads each kind of record and applies it.
var folds = map[byte]func(*Store, journal.Stamp, *reader) error{
	kindHead: (*Store).foldHead,
	kindAccept: func(s *Store, st journal.Stamp, r *reader) error {
		a := r.accept()
		if r.bad {
			return errWire
		}
		e, err := event.Decode(r.b)
		if err != nil {
			return err
		}
		_, err = s.foldAccept(st, &a, e)
		return err
	},
	kindBegin: func(s *Store, st journal.Stamp, r *reader) error {
		return s.foldDelivery(st, r.uint(), r.uint(), r, func(_ *row, d *delivery) { d.marks++ })
	},
	kindSettle: func(s *Store, st journal.Stamp, r *reader) error {
		v, err := r.settle()
		if err != nil {
			return err
		}
		return s.foldSettle(st, &v)
	},
	kindLost: func(s *Store, st journal.Stamp, r *reader) error {
		seq, dest, at := r.uint(), r.uint(), r.time()
		return s.foldDelivery(st, seq, dest, r, func(_ *row, d *delivery) { lose(d, at) })
	},
	kindRevive:      foldActionBytes,
	kindReplay:      foldActionBytes,
	kindDiscard:     foldActionBytes,
	kindMove:        foldActionBytes,
	kindPause:       (*Store).foldPauseBytes,
	kindResume:      (*Store).foldPauseBytes,
	kindDestination: (*Store).foldDestinationBytes,
	kindCopy:        func(s *Store, st journal.Stamp, r *reader) error { return s.foldCopyBytes(st, r, true) },
	kindState:       func(s *Store, st journal.Stamp, r *reader) error { return s.foldCopyBytes(st, r, false) },
	kindLearn:       (*Store).foldLearnBytes,
	kindKeep:        (*Store).foldKeepBytes,
	kindHistory: func(s *Store, st journal.Stamp, r *reader) error {
		return s.foldDelivery(st, r.uint(), r.uint(), nil, func(v *row, d *delivery) { v.addAttempt(d, st.Pos) })
	},
}

// reached notes how far the journal is folded.
func (s *Store) reached(st journal.Stamp) {
	s.journalTime = st.Time
	if st.LSN == st.Mark.LSN {
		s.mark = st.Mark
	}
}

// foldAccept adds an event; nil if the index had it already.
func (s *Store) foldAccept(st journal.Stamp, a *accept, e *event.Event) (*row, error) {
	s.goOnFrom(a.seq + 1)
	s.remember(a.claim)
	p, err := s.pages.make(blockOf(a.seq))
	if err != nil {
		return nil, err
	}
	if st.LSN <= p.lsn {
		s.carried(st, p, p.rows[a.seq%pageRows])
		return nil, nil
	}
	v := &row{
		id: a.id, received: e.Received, source: s.intern(e.Source), provider: s.intern(e.Provider),
		providerID: e.ProviderID, typ: s.intern(e.Type), size: uint64(len(e.Body)), pos: st.Pos,
		deliveries: make([]delivery, len(a.owed)),
	}
	for i, o := range a.owed {
		d := &v.deliveries[i]
		d.dest, d.State, d.Next = o.dest, event.Pending, e.Received
		if d.order = o.order; d.order != 0 {
			d.place = a.seq
		}
		if o.filtered {
			d.State, d.Next = event.Filtered, time.Time{}
		}
	}
	s.place(p, st.LSN, a.seq, v)
	return v, nil
}

// place puts a row into its page, in place of what was there.
func (s *Store) place(p *page, lsn, seq uint64, v *row) {
	slot := &p.rows[seq%pageRows]
	if *slot != nil {
		s.account(seq, *slot, -1)
	}
	*slot = v
	if v != nil {
		s.account(seq, v, 1)
	}
	s.pages.touch(p, lsn)
}

// change applies f to a row, unless the index has this record already or knows
// no such event.
func (s *Store) change(st journal.Stamp, seq uint64, f func(*row)) error {
	r, p, err := s.pages.row(seq)
	switch {
	case err != nil || r == nil:
		return err
	case st.LSN <= p.lsn:
		s.carried(st, p, r)
		return nil
	}
	s.account(seq, r, -1)
	f(r)
	s.account(seq, r, 1)
	s.goOn(seq, r)
	s.pages.touch(p, st.LSN)
	return nil
}

// carried notes where recovery has taken a record that the index has already.
// The index is written once a record is synced; that it was synced is proven by
// the next batch alone, so after a kill the last records lie in a fresh segment,
// and the row, which may be nil, still knows their old places.
func (s *Store) carried(st journal.Stamp, p *page, r *row) {
	if st.Was == (journal.Position{}) || r == nil {
		return
	}
	if r.pos == st.Was {
		r.pos = st.Pos
	}
	for i := range r.deliveries {
		for k, at := range r.deliveries[i].attempts {
			if at == st.Was {
				r.deliveries[i].attempts[k] = st.Pos
			}
		}
	}
	s.pages.touch(p, p.lsn)
}

// foldDelivery applies f to one delivery. rest, if given, must have been read
// without error.
func (s *Store) foldDelivery(st journal.Stamp, seq, dest uint64, rest *reader, f func(*row, *delivery)) error {
	if rest != nil && rest.bad {
		return errWire
	}
	return s.change(st, seq, func(r *row) {
		if d := r.delivery(dest); d != nil {
			f(r, d)
		}
	})
}

// settleRecord is an attempt's outcome as the journal has it.
type settleRecord struct {
	seq, dest uint64
	// at is when it was settled.
	at time.Time
	store.Settlement
}

func (v *settleRecord) append(w *writer) {
	w.byte(kindSettle)
	w.uint(v.seq)
	w.uint(v.dest)
	w.time(v.at)
	w.byte(byte(v.State))
	w.time(v.Next)
	w.uint(uint64(v.Spent))
	w.bool(v.Asked)
	w.int(int64(v.Excuse))
	w.b = v.Attempt.AppendBinary(w.b)
}

func (r *reader) settle() (settleRecord, error) {
	v := settleRecord{seq: r.uint(), dest: r.uint(), at: r.time()}
	v.State = event.State(r.byte())
	v.Next, v.Spent, v.Asked, v.Excuse = r.time(), time.Duration(r.uint()), r.bool(), int(r.int())
	if r.bad {
		return v, errWire
	}
	a, err := event.DecodeAttempt(r.b)
	v.Attempt = a
	return v, err
}

func (s *Store) foldSettle(st journal.Stamp, v *settleRecord) error {
	return s.foldDelivery(st, v.seq, v.dest, nil, func(r *row, d *delivery) {
		d.marks = 0
		if store.Settle(&d.Delivery, v.Settlement) {
			d.SettledAt = v.at
			r.addAttempt(d, st.Pos)
		}
	})
}

// lose applies the end of a lease without an outcome.
func lose(d *delivery, at time.Time) {
	d.marks = max(d.marks-1, 0)
	store.Lost(&d.Delivery, at)
	if d.State != event.Pending {
		d.SettledAt = at
	}
}

// action is an operator's, or for kindRevive a provider's, wish about one event.
type action struct {
	kind    byte
	seq     uint64
	at      time.Time
	who     string
	to      uint64 // kindMove
	targets []target
	// place is the one that an ordered delivery gets which comes again; 0: it
	// keeps its own.
	place uint64
}

func (a *action) append(w *writer) {
	w.byte(a.kind)
	w.uint(a.seq)
	w.time(a.at)
	w.string(a.who)
	w.uint(a.to)
	w.targets(a.targets)
	w.uint(a.place)
}

func foldActionBytes(s *Store, st journal.Stamp, r *reader) error {
	a := action{kind: r.kind, seq: r.uint(), at: r.time(), who: r.string(), to: r.uint(), targets: r.targets(), place: r.uint()}
	if r.bad {
		return errWire
	}
	_, _, err := s.foldAction(st, &a)
	return err
}

// foldAction applies an action; it tells what changed, and the first reason
// for which something did not.
func (s *Store) foldAction(st journal.Stamp, a *action) (done store.Done, refused, err error) {
	s.goOnFrom(a.place + 1)
	refused = store.ErrUnknown // unless the event is there still
	err = s.change(st, a.seq, func(r *row) {
		refused = nil
		for _, t := range a.targets {
			d := r.targeted(a, t)
			if d == nil {
				continue
			}
			changed, deferred, why := s.act(r, d, a, t)
			name := s.dest(t.dest).Name
			switch {
			case why != nil && refused == nil:
				refused = why
			case deferred:
				done.Deferred = append(done.Deferred, name)
			case changed:
				done.Changed = append(done.Changed, name)
			}
		}
	})
	return done, refused, err
}

// targeted gives the delivery that an action is about. A destination that the
// event is sent to on top gets one that is as good as filtered, until the action
// makes it wait; nil if the event cannot be sent any more.
func (r *row) targeted(a *action, t target) *delivery {
	d := r.delivery(t.dest)
	if d != nil || r.gone || a.kind != kindReplay || a.to != t.dest {
		return d
	}
	r.deliveries = append(r.deliveries, delivery{dest: t.dest, Delivery: event.Delivery{State: event.Filtered}})
	return &r.deliveries[len(r.deliveries)-1]
}

// act applies an action to one delivery.
func (s *Store) act(r *row, d *delivery, a *action, t target) (changed, deferred bool, err error) {
	if d == nil {
		return false, false, store.ErrGone
	}
	before := d.State
	d.InFlight = t.inFlight
	defer func() { d.InFlight = false }()
	switch a.kind {
	case kindRevive:
		changed = store.Revive(&d.Delivery, t.wanted, a.at)
	case kindReplay:
		err = store.ReplayDelivery(&d.Delivery, t.explicit, r.gone, a.at)
		changed = err == nil
	case kindDiscard:
		deferred, err = store.DiscardDelivery(&d.Delivery)
		changed = d.State != before
	case kindMove:
		changed, err = s.move(r, d, a)
	}
	if d.State != before && d.State != event.Pending {
		d.SettledAt = a.at
	}
	if changed && d.State == event.Pending {
		d.restart(before, a)
	}
	return changed, deferred, err
}

// restart readies a delivery that an action makes wait: it goes behind all others
// of its order, unless it waited already.
func (d *delivery) restart(before event.State, a *action) {
	d.marks = 0
	if before != event.Pending && a.place != 0 && d.order != 0 {
		d.place = a.place
	}
}

func (s *Store) move(r *row, d *delivery, a *action) (bool, error) {
	if r.delivery(a.to) != nil {
		return false, store.ErrConflict
	}
	moved, err := store.MoveDelivery(&d.Delivery, "", a.at)
	if err != nil {
		return false, err
	}
	d.SettledAt = a.at
	r.deliveries = append(r.deliveries, delivery{dest: a.to, order: d.order, place: a.place, Delivery: moved})
	return true, nil
}

// foldCopyBytes applies a row that was copied forward. With content, the
// event's place is the copy's from now on.
func (s *Store) foldCopyBytes(st journal.Stamp, r *reader, content bool) error {
	seq, claim, v := r.copied()
	if r.bad {
		return errWire
	}
	if content {
		v.pos = st.Pos
	}
	return s.foldCopy(st, seq, claim, &v)
}

func (s *Store) foldCopy(st journal.Stamp, seq uint64, claim *claimRecord, v *row) error {
	s.goOnFrom(seq + 1)
	s.remember(claim)
	s.remember(s.alias(st, seq, v.id))
	p, err := s.pages.make(blockOf(seq))
	switch {
	case err != nil:
		return err
	case st.LSN <= p.lsn:
		s.carried(st, p, p.rows[seq%pageRows])
		return nil
	}
	s.place(p, st.LSN, seq, v)
	return nil
}

// account adds a row to (or takes it from) the running totals.
func (s *Store) account(seq uint64, r *row, sign int64) {
	for i := range r.deliveries {
		d := &r.deliveries[i]
		dest := s.dest(d.dest)
		dest.counts[d.State] += sign
		if d.State == event.Pending {
			dest.waits(blockOf(seq), sign)
		}
		if d.retrying() {
			dest.counts[slotRetrying] += sign
		}
	}
	if r.unsettled() {
		s.backlog[r.source] += sign * int64(r.size)
		s.backlogTotal += sign * int64(r.size)
	}
}

// goOnFrom has the next event take this number, or a later one. Only replay calls
// it, and the committer through what it has just written.
func (s *Store) goOnFrom(seq uint64) {
	for next := s.nextSeq.Load(); next < seq && !s.nextSeq.CompareAndSwap(next, seq); next = s.nextSeq.Load() {
	}
}
