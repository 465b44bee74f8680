package local

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/dedup"
	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/store"
	"github.com/caddy-webhooks/caddy-webhooks/store/local/journal"
)

// claiming is a claim whose event is on its way to the disk. Whoever comes
// with the same claim waits for it.
type claiming struct {
	done chan struct{}
	err  error // set before done is closed
}

// Accept stores an event with its claim, or finds the claim taken.
func (s *Store) Accept(ctx context.Context, a store.Admission) (store.Receipt, error) {
	owes, err := s.owes(ctx, a)
	if err != nil {
		return store.Receipt{}, fmt.Errorf("accepting an event of source %s: %w", a.Event.Source, err)
	}
	receipt, err := s.accept(ctx, a, owes)
	if err != nil {
		return store.Receipt{}, fmt.Errorf("accepting an event of source %s: %w", a.Event.Source, err)
	}
	return receipt, nil
}

func (s *Store) accept(ctx context.Context, a store.Admission, owes []owed) (store.Receipt, error) {
	if a.Claim == nil {
		return s.admit(ctx, a, owes, dedup.ClaimKey{}, nil)
	}
	keys := s.claimKeysOf(a.Claim)
	first, mine, err := s.stake(ctx, keys...)
	switch {
	case err != nil:
		return store.Receipt{}, err
	case first != nil:
		return s.repeat(ctx, a, owes, *first)
	}
	return s.admit(ctx, a, owes, keys[0], mine)
}

// stake gives a claim that stands under one of the keys, or makes the first key the
// caller's to claim, who must settle it. A claim that is just being written is
// waited for.
func (s *Store) stake(ctx context.Context, keys ...dedup.ClaimKey) (first *dedup.Claim, mine *claiming, err error) {
	for {
		first, turn, err := s.begin(keys)
		switch {
		case err != nil || first != nil:
			return first, nil, err
		case turn.mine:
			return s.standing(keys, turn.claiming)
		}
		if err := turn.wait(ctx); err != nil {
			return nil, nil, err
		}
		// It is durable, or was only a repeat itself: look again.
	}
}

// turn is a place at a claim: the caller's own, or one to wait for.
type turn struct {
	*claiming
	mine bool
}

func (t turn) wait(ctx context.Context) error {
	select {
	case <-t.done:
		return t.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// begin finds a claim among those that are not in the index yet, or one that is
// being written, or makes the caller the one who writes the first.
func (s *Store) begin(keys []dedup.ClaimKey) (*dedup.Claim, turn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, turn{}, store.ErrClosed
	}
	for _, key := range keys {
		if c := s.ongoing[key]; c != nil {
			return nil, turn{claiming: c}, nil
		}
		if c, ok := s.recent[key]; ok {
			alive, err := s.alive(c)
			if err != nil || alive {
				return &c, turn{}, err
			}
		}
	}
	c := &claiming{done: make(chan struct{})}
	s.ongoing[keys[0]] = c
	return nil, turn{claiming: c, mine: true}, nil
}

// standing looks for a claim in the index. mine ends if there is one.
func (s *Store) standing(keys []dedup.ClaimKey, mine *claiming) (*dedup.Claim, *claiming, error) {
	for _, key := range keys {
		known, found, err := s.claimed(key)
		if err == nil && found {
			s.mu.Lock()
			found, err = s.alive(known)
			s.mu.Unlock()
		}
		switch {
		case err != nil:
			err = fmt.Errorf("%w: %w", store.ErrUnavailable, err)
			s.finish(keys[0], mine, err)
			return nil, nil, err
		case found:
			s.finish(keys[0], mine, nil)
			return &known, nil, nil
		}
	}
	return nil, mine, nil
}

// claimed looks into the index.
func (s *Store) claimed(key dedup.ClaimKey) (dedup.Claim, bool, error) {
	if err := s.enter(); err != nil {
		return dedup.Claim{}, false, err
	}
	defer s.wg.Done()
	return s.claims.Get(key)
}

// finish ends a claim that came to nothing.
func (s *Store) finish(key dedup.ClaimKey, c *claiming, err error) {
	s.mu.Lock()
	s.settleClaim(key, c, err)
	s.mu.Unlock()
}

// settleClaim wakes whoever waits for a claim. The mutex is held.
func (s *Store) settleClaim(key dedup.ClaimKey, c *claiming, err error) {
	if c == nil {
		return
	}
	c.err = err
	delete(s.ongoing, key)
	close(c.done)
}

// alive tells whether a claim still stands: its window has not passed, or a
// delivery of its event is pending or dead.
func (s *Store) alive(c dedup.Claim) (bool, error) {
	if s.clock.holds() || c.Expires > s.now().UnixMilli() {
		return true, nil
	}
	r, _, err := s.pages.row(c.Seq)
	if err != nil {
		return false, fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	return r != nil && r.unsettled(), nil
}

// now is journal time: the wall clock, but never backwards.
func (s *Store) now() time.Time {
	if now := s.o.Now(); now.After(s.journalTime) {
		return now
	}
	return s.journalTime
}

// claimKeysOf gives the key to claim, and behind it those that are looked at too.
func (s *Store) claimKeysOf(c *store.Claim) []dedup.ClaimKey {
	keys := make([]dedup.ClaimKey, 0, 1+len(c.Also))
	keys = append(keys, s.claimKeyOf(c.Key))
	for _, key := range c.Also {
		keys = append(keys, s.claimKeyOf(key))
	}
	return keys
}

// claimKeyOf hides the claim's name behind the store's key: both have a fixed
// length, so hashing one after the other is a keyed hash.
func (s *Store) claimKeyOf(key [32]byte) dedup.ClaimKey {
	var b [64]byte
	copy(b[:], s.claimKey[:])
	copy(b[32:], key[:])
	sum := sha256.Sum256(b[:])
	return dedup.ClaimKey(sum[:16])
}

// owes turns names into numbers.
func (s *Store) owes(ctx context.Context, a store.Admission) ([]owed, error) {
	owes := make([]owed, len(a.Owed))
	for i, o := range a.Owed {
		d, err := s.destination(ctx, event.Destination{Source: a.Event.Source, Name: o.Destination})
		if err != nil {
			return nil, err
		}
		owes[i] = owed{dest: d.number, filtered: o.Filtered, order: o.Order}
	}
	return owes, nil
}

// admission is an event on its way through the journal.
type admission struct {
	s       *Store
	a       store.Admission
	rec     accept
	key     dedup.ClaimKey
	mine    *claiming
	content []byte
	done    chan struct{}
	// set before done is closed
	receipt store.Receipt
	err     error
	// abandoned is set when the caller no longer waits.
	abandoned bool
}

// admit writes the event into the journal and waits until it is durable.
func (s *Store) admit(ctx context.Context, a store.Admission, owes []owed, key dedup.ClaimKey, mine *claiming) (store.Receipt, error) {
	if err := s.reserve(a.Event.Source, int64(len(a.Event.Body)), a.Share); err != nil {
		s.finish(key, mine, err)
		return store.Receipt{}, err
	}
	w := &admission{s: s, a: a, key: key, mine: mine, rec: accept{owed: owes}, done: make(chan struct{})}
	w.content = a.Event.AppendBinary(make([]byte, 0, a.Event.BinarySize()))
	entry := journal.Entry{Size: len(w.content) + acceptHeadSize(len(owes)), Encode: w.encode, Done: w.durable}
	if err := s.journal.Append(ctx, entry); err != nil {
		err = unavailable(err)
		s.mu.Lock()
		s.unreserve(a.Event.Source, int64(len(a.Event.Body)))
		s.settleClaim(key, mine, err)
		s.mu.Unlock()
		return store.Receipt{}, err
	}
	select {
	case <-w.done:
		return w.receipt, w.err
	case <-ctx.Done():
		return w.abandon(ctx)
	}
}

// abandon gives up waiting: the event may still be stored, and is then
// delivered from the backlog.
func (w *admission) abandon(ctx context.Context) (store.Receipt, error) {
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	select {
	case <-w.done:
		return w.receipt, w.err
	default:
		w.abandoned = true
		return store.Receipt{}, fmt.Errorf("waiting for the disk: %w", context.Cause(ctx))
	}
}

// encode stamps the record as its batch is put together.
func (w *admission) encode(dst []byte, st journal.Stamp) []byte {
	s := w.s
	w.rec.seq = s.nextSeq.Add(1) - 1
	w.rec.id = event.NewID(st.Time, w.rec.seq, s.salt, s.random())
	if w.a.Claim != nil {
		w.rec.claim = &claimRecord{key: w.key, Claim: dedup.Claim{
			Seq: w.rec.seq, Digest: w.a.Claim.Digest, Expires: st.Time.Add(w.a.Claim.Window).UnixMilli(),
		}}
	}
	out := writer{b: dst}
	w.rec.append(&out)
	out.raw(w.content)
	return out.b
}

// random gives the twelve bits of an ID behind its time.
func (s *Store) random() uint16 {
	var b [2]byte
	if _, err := io.ReadFull(s.o.Rand, b[:]); err != nil {
		return 0 // the sequence number alone makes the ID unique
	}
	return binary.BigEndian.Uint16(b[:])
}

// durable folds the record, or passes on why there is none.
func (w *admission) durable(st journal.Stamp, err error) {
	s := w.s
	s.mu.Lock()
	s.unreserve(w.a.Event.Source, int64(len(w.a.Event.Body)))
	var wake []event.Destination
	if err == nil {
		wake, err = w.stored(st)
	}
	w.err = unavailable(err)
	s.settleClaim(w.key, w.mine, w.err)
	close(w.done)
	tell := s.wake
	s.mu.Unlock()
	for _, d := range wake {
		tell(d)
	}
}

// stored makes the durable event known: its row, its leases, its place in the
// queues. It tells who must be woken.
func (w *admission) stored(st journal.Stamp) (wake []event.Destination, err error) {
	s, e := w.s, w.a.Event
	e.ID, e.Seq = w.rec.id, w.rec.seq
	meta := *e
	meta.ProviderID = strings.Clone(e.ProviderID)
	r, err := s.foldAccept(st, &w.rec, &meta)
	if err != nil || r == nil {
		return nil, fmt.Errorf("indexing event %s: %w", e.ID, err)
	}
	s.reached(st)
	s.seen(e.Seq)
	w.receipt = store.Receipt{Result: store.Filtered, ID: e.ID, Seq: e.Seq}
	for i := range r.deliveries {
		d := &r.deliveries[i]
		if d.State != event.Pending {
			continue
		}
		w.receipt.Result = store.Accepted
		if w.a.Owed[i].Lease && !w.abandoned && !s.dest(d.dest).paused && s.join(e.Seq, d) {
			w.receipt.Leases = append(w.receipt.Leases, s.lease(e, d, time.Time{}))
			continue
		}
		s.schedule(e.Seq, d)
		wake = append(wake, s.dest(d.dest).Destination)
	}
	s.nudge()
	return wake, nil
}

// repeat answers a duplicate, and brings back what the provider's repeat revives.
func (s *Store) repeat(ctx context.Context, a store.Admission, owes []owed, first dedup.Claim) (store.Receipt, error) {
	s.mu.Lock()
	r, _, err := s.pages.row(first.Seq)
	if err != nil {
		s.mu.Unlock()
		return store.Receipt{}, fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	receipt := store.Receipt{Result: store.Duplicate, Seq: first.Seq, Differs: first.Digest != a.Claim.Digest}
	var back action
	if r != nil {
		receipt.ID = r.id
		back = s.revival(first.Seq, r, owes)
	}
	s.mu.Unlock()
	if len(back.targets) == 0 {
		return receipt, nil
	}
	done, _, err := s.perform(ctx, &back)
	if err != nil {
		return store.Receipt{}, err
	}
	if len(done.Changed) > 0 {
		receipt.Result = store.Revived
	}
	return receipt, nil
}

// revival lists the deliveries that a repeat brings back.
func (s *Store) revival(seq uint64, r *row, owes []owed) action {
	a := action{kind: kindRevive, seq: seq, at: s.o.Now()}
	for i := range r.deliveries {
		d := r.deliveries[i].Delivery
		wanted := false
		for _, o := range owes {
			wanted = wanted || o.dest == r.deliveries[i].dest && !o.filtered
		}
		if !r.gone && store.Revive(&d, wanted, a.at) {
			a.targets = append(a.targets, target{dest: r.deliveries[i].dest, wanted: wanted})
		}
	}
	return a
}

// reserve checks the limits and counts the event in, until it is durable.
func (s *Store) reserve(source string, size, share int64) error {
	if err := s.space.err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return store.ErrClosed
	}
	limit := s.limits.Load().MaxBacklog
	if used := s.backlogTotal + s.admitted[""] + size; used > limit {
		return fmt.Errorf("%w: %d of %d bytes wait for delivery", store.ErrBacklog, used, limit)
	}
	share = store.ShareOf(limit, share)
	if used := s.backlog[source] + s.admitted[source] + size; used > share {
		return fmt.Errorf("%w: source %s has %d bytes waiting, its share is %d", store.ErrBacklog, source, used, share)
	}
	s.admitted[""] += size
	s.admitted[source] += size
	return nil
}

func (s *Store) unreserve(source string, size int64) {
	s.admitted[""] -= size
	s.admitted[source] -= size
}

// accepting is nil, or the error with which Accept would answer now.
func (s *Store) accepting() error {
	if err := s.space.err(); err != nil {
		return err
	}
	if err := s.journal.Err(); err != nil {
		return unavailable(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return store.ErrClosed
	case s.backlogTotal >= s.limits.Load().MaxBacklog:
		return store.ErrBacklog
	}
	return nil
}
