package local

import (
	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/store"
)

// Deliveries that a destination orders by some key go one at a time. Whose turn
// it is follows from the rows alone, so nothing of it is written anywhere but
// each delivery's key and place. The mutex is held in all of these.

func turnOf(seq uint64, d *delivery) store.Turn { return store.Turn{Place: d.place, Seq: seq} }

// join puts a pending delivery into the line of its key, and tells whether it is
// its turn.
func (s *Store) join(seq uint64, d *delivery) bool {
	if d.order == 0 {
		return true
	}
	return s.dest(d.dest).turns.Join(d.order, turnOf(seq, d), func(t store.Turn) bool {
		return s.leases[leaseKey{t.Seq, d.dest}] != nil
	})
}

// isTurn tells whether nothing of the delivery's key goes before it.
func (s *Store) isTurn(seq uint64, d *delivery) bool {
	return d.order == 0 || s.dest(d.dest).turns.Is(d.order, turnOf(seq, d))
}

// awaited tells whether another delivery waits for this one's end.
func (s *Store) awaited(k leaseKey) bool {
	r, _, err := s.pages.row(k.seq)
	if err != nil || r == nil {
		return false
	}
	d := r.delivery(k.dest)
	return d != nil && d.order != 0 && s.dest(k.dest).turns.Waited(d.order)
}

// goOn lets the keys go on whose delivery of this event is pending no more.
func (s *Store) goOn(seq uint64, r *row) {
	if s.recovering {
		return // the lines are made when the journal has been read
	}
	for i := range r.deliveries {
		d := &r.deliveries[i]
		if d.order == 0 || d.State == event.Pending {
			continue
		}
		dest := s.dest(d.dest)
		next, ok := dest.turns.Leave(d.order, turnOf(seq, d))
		if !ok {
			continue
		}
		s.reschedule(leaseKey{next.Seq, d.dest})
	}
}

// queueAgain gives an action that brings deliveries back a place behind all that
// is accepted so far, if one of its targets is ordered.
func (s *Store) queueAgain(a *action) {
	if a.kind == kindDiscard {
		return
	}
	r, _, err := s.pages.row(a.seq)
	if err != nil || r == nil {
		return
	}
	for _, t := range a.targets {
		if d := r.delivery(t.dest); d != nil && d.order != 0 && (a.kind == kindMove || d.State != event.Pending) {
			a.place = s.nextSeq.Add(1) - 1
			return
		}
	}
}
