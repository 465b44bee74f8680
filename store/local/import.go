package local

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/dedup"
	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/store"
	"github.com/caddy-webhooks/caddy-webhooks/store/local/journal"
)

// An event that another store has had keeps its ID, which therefore does not lead
// to its number here. An alias does: a claim on the ID itself. The journal needs
// no record for it, since it follows from the row wherever that is copied.

// aliasTime is how long an alias is kept; an event's claim and content are long
// gone by then.
const aliasTime = 10 * 366 * 24 * time.Hour

// aliasOf names the claim that leads from an event ID to its number.
func (s *Store) aliasOf(id event.ID) dedup.ClaimKey {
	var key [32]byte
	copy(key[:], "event ID")
	copy(key[16:], id[:])
	return s.claimKeyOf(key)
}

// alias is the one that an event needs; nil if its ID was made here.
func (s *Store) alias(st journal.Stamp, seq uint64, id event.ID) *claimRecord {
	if id.Seq(s.salt) == seq {
		return nil
	}
	return &claimRecord{key: s.aliasOf(id), Claim: dedup.Claim{Seq: seq, Expires: st.Time.Add(aliasTime).UnixMilli()}}
}

// locate gives an event's number.
func (s *Store) locate(id event.ID) (uint64, error) {
	seq := id.Seq(s.salt)
	key := s.aliasOf(id)
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return 0, store.ErrClosed
	}
	r, _, err := s.pages.row(seq)
	alias, found := s.recent[key]
	s.mu.Unlock()
	if err == nil && r != nil && r.id == id {
		return seq, nil
	}
	if err == nil && !found {
		alias, found, err = s.claimed(key)
	}
	switch {
	case errors.Is(err, store.ErrClosed):
		return 0, err
	case err != nil:
		return 0, fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	case !found:
		return 0, store.ErrUnknown
	}
	return alias.Seq, nil
}

// Import stores an event as it stands elsewhere.
func (s *Store) Import(ctx context.Context, in store.Import) (store.Receipt, error) {
	receipt, err := s.bring(ctx, in)
	if err != nil {
		return store.Receipt{}, fmt.Errorf("importing event %s: %w", in.Record.ID, err)
	}
	return receipt, nil
}

// importTurn waits until no other import of that event is under way. The caller
// ends its own by done.
func (s *Store) importTurn(ctx context.Context, id event.ID) (done func(), err error) {
	for {
		s.mu.Lock()
		other := s.importing[id]
		if other == nil {
			mine := make(chan struct{})
			s.importing[id] = mine
			s.mu.Unlock()
			return func() {
				s.mu.Lock()
				delete(s.importing, id)
				s.mu.Unlock()
				close(mine)
			}, nil
		}
		s.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for another import of it: %w", context.Cause(ctx))
		}
	}
}

// bring stores the event unless its ID or its claim is known. The ID's turn comes
// first, always, so that nobody waits in a circle.
func (s *Store) bring(ctx context.Context, in store.Import) (store.Receipt, error) {
	done, err := s.importTurn(ctx, in.Record.ID)
	if err != nil {
		return store.Receipt{}, err
	}
	defer done()
	known := store.Receipt{Result: store.Known, ID: in.Record.ID}
	seq, err := s.locate(in.Record.ID)
	if err == nil {
		known.Seq = seq
		return known, s.complete(ctx, in, seq)
	}
	if !errors.Is(err, store.ErrUnknown) {
		return store.Receipt{}, err
	}
	b := &bringing{s: s, in: in, alias: s.aliasOf(in.Record.ID)}
	first, turn, err := s.stake(ctx, b.alias)
	if err != nil {
		return store.Receipt{}, err
	}
	if first != nil {
		known.Seq = first.Seq
		return known, nil
	}
	b.turns[0] = turn
	if in.Claim != nil {
		keys := s.claimKeysOf(in.Claim)
		b.key = keys[0]
		first, turn, err := s.stake(ctx, keys...)
		if err != nil || first != nil {
			s.finish(b.alias, b.turns[0], err)
			return s.taken(in, first), err
		}
		b.turns[1] = turn
	}
	return b.write(ctx)
}

// taken answers an event whose claim stands already.
func (s *Store) taken(in store.Import, first *dedup.Claim) store.Receipt {
	if first == nil {
		return store.Receipt{}
	}
	receipt := store.Receipt{Result: store.Duplicate, Seq: first.Seq, Differs: first.Digest != in.Claim.Digest}
	s.mu.Lock()
	defer s.mu.Unlock()
	if r, _, err := s.pages.row(first.Seq); err == nil && r != nil {
		receipt.ID = r.id
	}
	return receipt
}

// bringing is an event on its way in.
type bringing struct {
	s          *Store
	in         store.Import
	alias, key dedup.ClaimKey
	// turns are those at the alias and at the claim.
	turns [2]*claiming
	// reserved is how much of the backlog is reserved.
	reserved int64
	row      row
	claim    *claimRecord
	seq      uint64
}

// end gives back what was taken, with the mutex held.
func (b *bringing) end(err error) {
	b.s.unreserve(b.in.Record.Source, b.reserved)
	b.s.settleClaim(b.key, b.turns[1], err)
	b.s.settleClaim(b.alias, b.turns[0], err)
}

// write stores the event, and its attempts behind it.
func (b *bringing) write(ctx context.Context) (store.Receipt, error) {
	s := b.s
	if err := b.ready(ctx); err != nil {
		s.mu.Lock()
		b.end(err)
		s.mu.Unlock()
		return store.Receipt{}, err
	}
	var content []byte
	kind := kindState
	if e := b.in.Record.Event; e != nil {
		kind, content = kindCopy, e.AppendBinary(make([]byte, 0, e.BinarySize()))
	}
	receipt, err := write(ctx, s, order[store.Receipt]{
		size: len(content) + len(b.row.provider) + len(b.row.source) + len(b.row.providerID) + len(b.row.typ) + 128*len(b.row.deliveries),
		encode: func(w *writer, st journal.Stamp) {
			b.stamp(st)
			w.copied(kind, b.seq, b.claim, &b.row)
			w.raw(content)
		},
		intake:  true,
		apply:   b.stored,
		finally: b.end,
	})
	if err != nil {
		return store.Receipt{}, err
	}
	return receipt, b.history(ctx)
}

// ready makes the row, and room for it.
func (b *bringing) ready(ctx context.Context) error {
	s, in := b.s, b.in.Record
	b.row = row{
		id: in.ID, received: in.Received, source: in.Source, provider: in.Provider, providerID: in.ProviderID, typ: in.Type,
		size: uint64(in.Size), gone: in.Event == nil, deliveries: make([]delivery, len(in.Deliveries)),
	}
	for i, d := range in.Deliveries {
		dest, err := s.destination(ctx, d.At(in.Source))
		if err != nil {
			return err
		}
		store.Arrive(&d, s.o.Now())
		d.Destination, d.Source = "", ""
		b.row.deliveries[i] = delivery{dest: dest.number, order: d.Order, Delivery: d}
	}
	if !b.in.Waits() {
		return s.space.err()
	}
	if err := s.reserve(in.Source, int64(in.Size), b.in.Share); err != nil {
		return err
	}
	b.reserved = int64(in.Size)
	return nil
}

// stamp gives the event its number.
func (b *bringing) stamp(st journal.Stamp) {
	b.seq = b.s.nextSeq.Add(1) - 1
	for i := range b.row.deliveries {
		if d := &b.row.deliveries[i]; d.order != 0 {
			d.place = b.seq
		}
	}
	if c := b.in.Claim; c != nil {
		b.claim = &claimRecord{key: b.key, Claim: dedup.Claim{
			Seq: b.seq, Digest: c.Digest, Expires: st.Time.Add(min(c.Window, math.MaxInt64/2)).UnixMilli(),
		}}
	}
}

// stored makes the event known, and what waits of it due.
func (b *bringing) stored(st journal.Stamp) (store.Receipt, error) {
	s := b.s
	if !b.row.gone {
		b.row.pos = st.Pos
	}
	b.row.source, b.row.provider, b.row.typ = s.intern(b.row.source), s.intern(b.row.provider), s.intern(b.row.typ)
	if err := s.foldCopy(st, b.seq, b.claim, &b.row); err != nil {
		return store.Receipt{}, fmt.Errorf("indexing it: %w", err)
	}
	s.reached(st)
	s.seen(b.seq)
	for i := range b.row.deliveries {
		d := &b.row.deliveries[i]
		if d.State == event.Pending {
			s.schedule(b.seq, d)
			s.afterwards = append(s.afterwards, s.dest(d.dest).Destination)
		}
	}
	return store.Receipt{Result: store.Accepted, ID: b.row.id, Seq: b.seq}, nil
}

// complete stores the attempts that an import which broke off has left out.
func (s *Store) complete(ctx context.Context, in store.Import, seq uint64) error {
	if in.Record.ID.Seq(s.salt) == seq { // it was accepted here, and has all of its own
		return nil
	}
	var lacking []pastAttempt
	s.mu.Lock()
	r, _, err := s.pages.row(seq)
	for i := range in.Record.Deliveries {
		if err != nil || r == nil || i >= len(r.deliveries) { // deliveries are only ever added
			break
		}
		d := &r.deliveries[i]
		for _, a := range in.Missing(i, d.Delivery, len(d.attempts)) {
			lacking = append(lacking, pastAttempt{d.dest, a})
		}
	}
	s.mu.Unlock()
	if err != nil {
		return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	return s.appendHistories(ctx, seq, lacking)
}

// pastAttempt is an attempt that was made elsewhere.
type pastAttempt struct {
	dest uint64
	event.Attempt
}

// history stores the attempts.
func (b *bringing) history(ctx context.Context) error {
	var all []pastAttempt
	for _, a := range b.in.Record.Attempts {
		i := slices.IndexFunc(b.in.Record.Deliveries, func(d event.Delivery) bool { return a.Of(&d) })
		if i >= 0 {
			all = append(all, pastAttempt{b.row.deliveries[i].dest, a})
		}
	}
	return b.s.appendHistories(ctx, b.seq, all)
}

// appendHistories writes attempts, and waits until they are durable.
func (s *Store) appendHistories(ctx context.Context, seq uint64, attempts []pastAttempt) error {
	var all []*copying
	for _, a := range attempts {
		one, err := s.appendHistory(ctx, seq, a.dest, a.Attempt)
		if err != nil {
			return unavailable(err)
		}
		all = append(all, one)
	}
	for _, one := range all {
		select {
		case err := <-one.done:
			if err != nil {
				return unavailable(err)
			}
		case <-ctx.Done():
			return fmt.Errorf("waiting for the disk: %w", context.Cause(ctx))
		}
	}
	return nil
}

// appendHistory writes an attempt that was made before: elsewhere, or recorded in
// a segment that is going.
func (s *Store) appendHistory(ctx context.Context, seq, dest uint64, a event.Attempt) (*copying, error) {
	one := &copying{done: make(chan error, 1)}
	return one, s.journal.Append(ctx, journal.Entry{
		Size: attemptSize(a), Reserved: true,
		Encode: encoder(func(w *writer, _ journal.Stamp) {
			w.byte(kindHistory)
			w.uint(seq)
			w.uint(dest)
			w.b = a.AppendBinary(w.b)
		}),
		Done: func(st journal.Stamp, err error) {
			if err == nil {
				err = s.applied(func() error {
					err := s.foldDelivery(st, seq, dest, nil, func(r *row, d *delivery) { r.addAttempt(d, st.Pos) })
					s.reached(st)
					return err
				})
			}
			one.done <- err
		},
	})
}
