package local

import (
	"github.com/caddy-webhooks/caddy-webhooks/dedup"
	"github.com/caddy-webhooks/caddy-webhooks/event"
)

// The journal's records. The first byte of each is its kind; kinds are never
// reused, and a reader that meets an unknown one refuses the journal rather
// than losing what it means.
const (
	// kindHead is the first record of every segment: whatever must survive when
	// the older segments are gone.
	kindHead byte = 1 + iota
	// kindAccept is an event with its claim and the destinations it owes.
	kindAccept
	// kindBegin marks the start of an attempt.
	kindBegin
	// kindSettle is an attempt's outcome.
	kindSettle
	// kindLost is a lease that ended without an outcome.
	kindLost
	// kindRevive is a provider's repeat that brought deliveries back.
	kindRevive
	// kindReplay, kindDiscard and kindMove are an operator's actions on one event.
	kindReplay
	kindDiscard
	kindMove
	// kindPause and kindResume are an operator's actions on a destination.
	kindPause
	kindResume
	// kindDestination gives a destination its number.
	kindDestination
	// kindCopy is an event copied forward together with its state.
	kindCopy
	// kindState is an event's state copied forward without its content.
	kindState
	// kindHistory is an attempt copied forward.
	kindHistory
	// kindLearn is a secret that a provider handed over, or that is forgotten.
	kindLearn
	// kindKeep is a note of the gateway's own.
	kindKeep
)

// owed is one destination in an accept record.
type owed struct {
	dest     uint64
	filtered bool
	// order is the hash of what the destination orders by; 0 for none.
	order uint64
}

// The bits that tell of an owed destination.
const (
	owedFiltered = 1 << iota
	owedOrdered
)

// accept is the head of an accept record; the stored event follows it.
type accept struct {
	seq   uint64
	id    event.ID
	claim *claimRecord
	owed  []owed
}

// claimRecord is a claim as the journal has it.
type claimRecord struct {
	key dedup.ClaimKey
	dedup.Claim
}

func (a *accept) append(w *writer) {
	w.byte(kindAccept)
	w.uint(a.seq)
	w.raw(a.id[:])
	w.claim(a.claim)
	w.uint(uint64(len(a.owed)))
	for _, o := range a.owed {
		o.append(w)
	}
}

func (o owed) append(w *writer) {
	var flags byte
	if o.filtered {
		flags |= owedFiltered
	}
	if o.order != 0 {
		flags |= owedOrdered
	}
	w.uint(o.dest)
	w.byte(flags)
	if o.order != 0 {
		w.fixed64(o.order)
	}
}

func (r *reader) owed() owed {
	o := owed{dest: r.uint()}
	flags := r.byte()
	o.filtered = flags&owedFiltered != 0
	if flags&owedOrdered != 0 {
		o.order = r.fixed64()
	}
	return o
}

// acceptHeadSize is an upper bound of the head's bytes.
func acceptHeadSize(owed int) int { return 96 + owed*20 }

func (r *reader) accept() accept {
	a := accept{seq: r.uint()}
	copy(a.id[:], r.take(uint64(len(a.id))))
	a.claim = r.claim(a.seq)
	a.owed = make([]owed, r.count())
	for i := range a.owed {
		a.owed[i] = r.owed()
	}
	return a
}

func (w *writer) bool(v bool) {
	if v {
		w.byte(1)
		return
	}
	w.byte(0)
}

func (r *reader) bool() bool { return r.byte() != 0 }

func (w *writer) claim(c *claimRecord) {
	w.bool(c != nil)
	if c == nil {
		return
	}
	w.raw(c.key[:])
	w.int(c.Expires)
	w.fixed64(c.Digest)
}

func (r *reader) claim(seq uint64) *claimRecord {
	if !r.bool() {
		return nil
	}
	c := &claimRecord{Claim: dedup.Claim{Seq: seq}}
	copy(c.key[:], r.take(uint64(len(c.key))))
	c.Expires = r.int()
	c.Digest = r.fixed64()
	return c
}

// target is one delivery in an operator's action. What was known only to the
// running process (was it in flight?) is written down, so that folding the
// journal again comes to the same state.
type target struct {
	dest     uint64
	explicit bool
	inFlight bool
	wanted   bool
}

func (w *writer) targets(ts []target) {
	w.uint(uint64(len(ts)))
	for _, t := range ts {
		w.uint(t.dest)
		w.bool(t.explicit)
		w.bool(t.inFlight)
		w.bool(t.wanted)
	}
}

func (r *reader) targets() []target {
	ts := make([]target, r.count())
	for i := range ts {
		ts[i] = target{dest: r.uint(), explicit: r.bool(), inFlight: r.bool(), wanted: r.bool()}
	}
	return ts
}

// copied is a copy record: the claim, the row, and for kindCopy the event.
func (w *writer) copied(kind byte, seq uint64, claim *claimRecord, r *row) {
	w.byte(kind)
	w.uint(seq)
	w.claim(claim)
	r.append(w)
}

func (r *reader) copied() (seq uint64, claim *claimRecord, v row) {
	seq = r.uint()
	return seq, r.claim(seq), r.row()
}
