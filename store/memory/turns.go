package memory

import "github.com/caddy-webhooks/caddy-webhooks/store"

// place gives a delivery its place behind all others of its key.
func (s *Store) place(d *delivery, order uint64) {
	s.places++
	d.order, d.place = order, s.places
}

func (d *delivery) turn() store.Turn { return store.Turn{Place: d.place} }

// join puts a pending delivery into the line of its key, and tells whether it is
// its turn.
func (d *delivery) join() bool {
	if d.order == 0 {
		return true
	}
	d.to.placed[d.place] = d
	return d.to.turns.Join(d.order, d.turn(), d.to.busy)
}

// busy tells whether the delivery with that turn is in somebody's hands.
func (d *destination) busy(t store.Turn) bool { return d.placed[t.Place].token != 0 }

// goOn lets the key go on whose delivery is pending no more.
func (s *Store) goOn(d *delivery) {
	if d.order == 0 {
		return
	}
	delete(d.to.placed, d.place)
	if next, ok := d.to.turns.Leave(d.order, d.turn()); ok {
		s.schedule(d.to.placed[next.Place])
	}
}
