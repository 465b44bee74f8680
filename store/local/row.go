package local

import (
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/store"
	"github.com/caddy-webhooks/caddy-webhooks/store/local/journal"
)

// row is what is known of one event besides its content: the unit of state.
type row struct {
	id         event.ID
	received   time.Time
	source     string
	provider   string
	providerID string
	typ        string
	size       uint64
	// pos is where the event's accept (or its copy) lies in the journal.
	pos journal.Position
	// gone tells that the body was removed by retention.
	gone       bool
	deliveries []delivery
}

// delivery is an event's state for one destination.
type delivery struct {
	dest uint64
	// order is the hash of what the destination orders by, and place this
	// delivery's place among those of the same; 0 for none.
	order, place uint64
	event.Delivery
	// marks counts attempts that began and have no outcome yet.
	marks int
	// attempts says where the attempts lie in the journal, oldest first.
	attempts []journal.Position
}

// keptAttempts is how many attempts of a delivery are listed: the first
// few tell how it began, the latest how it stands.
const (
	keptFirst = 4
	keptLast  = 28
)

// manyAttempts bounds the attempts of which a row knows the places, over all its
// deliveries: its page must stay small. Each delivery has its first and its last.
const manyAttempts = 256

func (r *row) addAttempt(d *delivery, pos journal.Position) {
	d.attempts = append(d.attempts, pos)
	most := min(keptFirst+keptLast, max(manyAttempts/len(r.deliveries), 2))
	first := min(keptFirst, most/2)
	if over := len(d.attempts) - most; over > 0 {
		d.attempts = append(d.attempts[:first], d.attempts[first+over:]...)
	}
}

// retrying tells whether the delivery waits after an attempt that failed.
func (d *delivery) retrying() bool { return d.State == event.Pending && d.Attempts > 0 }

func (r *row) delivery(dest uint64) *delivery {
	for i := range r.deliveries {
		if r.deliveries[i].dest == dest {
			return &r.deliveries[i]
		}
	}
	return nil
}

// unsettled tells whether the body and the claim must be kept.
func (r *row) unsettled() bool {
	for i := range r.deliveries {
		if r.deliveries[i].State.Unsettled() {
			return true
		}
	}
	return false
}

// settledAt is when the last of all deliveries was settled.
func (r *row) settledAt() time.Time {
	at := r.received
	for i := range r.deliveries {
		if t := r.deliveries[i].SettledAt; t.After(at) {
			at = t
		}
	}
	return at
}

const (
	rowGone = 1 << iota
)

const (
	deliveryReplay = 1 << iota
	deliveryDiscarding
	deliveryAsked
	deliveryOrdered
)

func (r *row) append(w *writer) {
	var flags byte
	if r.gone {
		flags |= rowGone
	}
	w.byte(flags)
	w.raw(r.id[:])
	w.time(r.received)
	w.string(r.source)
	w.string(r.provider)
	w.string(r.providerID)
	w.string(r.typ)
	w.uint(r.size)
	w.position(r.pos)
	w.uint(uint64(len(r.deliveries)))
	for i := range r.deliveries {
		r.deliveries[i].append(w)
	}
}

func (d *delivery) flags() byte {
	var flags byte
	if d.Replay {
		flags |= deliveryReplay
	}
	if d.Discarding {
		flags |= deliveryDiscarding
	}
	if d.Asked {
		flags |= deliveryAsked
	}
	if d.order != 0 {
		flags |= deliveryOrdered
	}
	return flags
}

func (d *delivery) append(w *writer) {
	w.uint(d.dest)
	w.byte(byte(d.State))
	w.byte(d.flags())
	if d.order != 0 {
		w.fixed64(d.order)
		w.uint(d.place)
	}
	w.uint(uint64(d.Attempts))
	w.uint(uint64(d.Excused))
	w.time(d.Next)
	w.uint(uint64(d.Spent))
	w.time(d.DeliveredAt)
	w.time(d.SettledAt)
	w.uint(uint64(d.marks))
	w.uint(uint64(len(d.attempts)))
	for _, p := range d.attempts {
		w.position(p)
	}
}

func (r *reader) row() row {
	flags := r.byte()
	v := row{gone: flags&rowGone != 0}
	copy(v.id[:], r.take(uint64(len(v.id))))
	v.received = r.time()
	v.source, v.provider, v.providerID, v.typ = r.string(), r.string(), r.string(), r.string()
	v.size = r.uint()
	v.pos = r.position()
	v.deliveries = make([]delivery, r.count())
	for i := range v.deliveries {
		v.deliveries[i] = r.delivery()
	}
	return v
}

func (r *reader) delivery() delivery {
	var d delivery
	d.dest = r.uint()
	d.State = event.State(r.byte())
	if d.State == 0 || d.State > event.Filtered {
		r.fail()
		d.State = event.Pending
	}
	flags := r.byte()
	d.Replay, d.Discarding, d.Asked = flags&deliveryReplay != 0, flags&deliveryDiscarding != 0, flags&deliveryAsked != 0
	if flags&deliveryOrdered != 0 {
		d.order, d.place = r.fixed64(), r.uint()
	}
	d.Attempts, d.Excused = int(r.uint()), int(r.uint())
	d.Next, d.Spent = r.time(), time.Duration(r.uint())
	d.DeliveredAt, d.SettledAt = r.time(), r.time()
	d.marks = int(r.uint())
	if n := r.count(); n > 0 {
		d.attempts = make([]journal.Position, n)
		for i := range d.attempts {
			d.attempts[i] = r.position()
		}
	}
	return d
}

// time is stored in nanoseconds, 0 for the zero time.
func (w *writer) time(t time.Time) {
	if t.IsZero() {
		w.int(0)
		return
	}
	w.int(t.UnixNano())
}

func (r *reader) time() time.Time {
	if n := r.int(); n != 0 {
		return time.Unix(0, n)
	}
	return time.Time{}
}

func (w *writer) position(p journal.Position) {
	w.uint(p.Segment)
	w.uint(uint64(p.Offset))
	w.uint(uint64(p.Size))
}

func (r *reader) position() journal.Position {
	return journal.Position{Segment: r.uint(), Offset: int64(r.uint()), Size: uint32(r.uint())}
}

// public gives the row as the store's readers see it.
func (s *Store) public(seq uint64, r *row) store.Row {
	v := store.Row{
		ID: r.id, Seq: seq, Source: r.source, Provider: r.provider, ProviderID: r.providerID,
		Type: r.typ, Received: r.received, Size: int(r.size), Gone: r.gone,
		Deliveries: make([]event.Delivery, len(r.deliveries)),
	}
	for i := range r.deliveries {
		d := &r.deliveries[i]
		v.Deliveries[i] = d.Delivery
		to := s.dest(d.dest)
		v.Deliveries[i].Destination = to.Name
		v.Deliveries[i].Order = d.order
		if to.Source != r.source {
			v.Deliveries[i].Source = to.Source
		}
		_, v.Deliveries[i].InFlight = s.leases[leaseKey{seq, d.dest}]
	}
	return v
}
