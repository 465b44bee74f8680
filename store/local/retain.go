package local

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/dedup"
	"github.com/caddy-webhooks/caddy-webhooks/store/local/journal"
)

const (
	houseEvery = time.Second
	// retainEvery is how often segments are looked at for removal.
	retainEvery = time.Minute
	// sweepEvery is how often claims that are over are removed from the index.
	sweepEvery = time.Hour
	// copyAtOnce is how many copies are on their way to the disk together.
	copyAtOnce = 64
)

// callHouse asks the housekeeper to come now. The mutex is held.
func (s *Store) callHouse() {
	select {
	case s.houseNow <- struct{}{}:
	default:
	}
}

// keepHouse watches the disk and the clock, gives space back, and forgets
// claims, until the store closes.
func (s *Store) keepHouse() {
	tick := time.NewTicker(houseEvery)
	defer tick.Stop()
	var retained, swept time.Duration
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-tick.C:
		case <-s.houseNow:
		}
		s.keeping.Begin()
		s.space.refresh()
		s.watchClock()
		s.loseOrphans()
		s.complain("keeping room to open the index", s.keepReserve())
		now := s.o.Mono()
		if now-retained >= retainEvery || s.space.err() != nil || s.oversize() {
			retained = now
			s.complain("removing old segments", s.retain(s.ctx))
		}
		if now-swept >= sweepEvery {
			swept = now
			s.complain("forgetting old claims", s.sweep(s.ctx))
		}
		s.keeping.End()
	}
}

func (s *Store) complain(what string, err error) {
	if err != nil && s.ctx.Err() == nil {
		s.o.Logger.Error("housekeeping failed and is tried again", "what", what, "error", err)
	}
}

func (s *Store) watchClock() {
	if by := s.clock.taken(); by != 0 {
		s.o.Logger.Warn("the clock has jumped; what waits keeps its wait, and no claim expires for an hour", "by", by)
		s.complain("shifting what waits after a jump of the clock", s.shift(s.ctx, by))
	}
}

// loseOrphans records the discards that wait for nobody any more.
func (s *Store) loseOrphans() {
	s.mu.Lock()
	lost := s.toLose
	s.toLose = nil
	s.mu.Unlock()
	s.lose(lost)
}

// sweep removes the claims that are over from the index.
func (s *Store) sweep(ctx context.Context) error {
	if s.clock.holds() || s.space.low() {
		return nil
	}
	_, err := s.claims.Sweep(ctx, func(_ dedup.ClaimKey, c dedup.Claim) bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		alive, err := s.alive(c)
		return err == nil && !alive
	})
	return err
}

// size is what the journal takes.
func (s *Store) size() (n int64) {
	for _, seg := range s.journal.Segments() {
		n += seg.Size
	}
	return n
}

func (s *Store) oversize() bool { return s.size() > s.limits.Load().RetentionSize }

// sizes tells what the store takes on disk, by part.
func (s *Store) sizes() map[string]int64 {
	lsm, vlog := s.index.db.Size()
	return map[string]int64{"journal": s.size(), "index": lsm + vlog}
}

// retain removes segments whose events have had their time; under pressure for
// space, settled events go earlier, oldest first. What is still needed of a
// segment is copied forward first. One that cannot be removed does not keep the
// others.
func (s *Store) retain(ctx context.Context) error {
	s.retaining.Lock()
	defer s.retaining.Unlock()
	var failed []error
	for _, seg := range s.journal.Segments() {
		if s.space.tight() || ctx.Err() != nil {
			break
		}
		pressure := s.oversize() || s.space.err() != nil
		keep := s.limits.Load().Retention
		if !seg.Sealed || s.damaged[seg.ID] || !pressure && seg.Last.Add(keep).After(s.o.Now()) {
			continue
		}
		if pressure {
			keep = 0
		}
		switch err := s.clear(ctx, seg, keep); {
		case err == nil, errors.Is(err, errBusy):
		case errors.Is(err, journal.ErrDamaged):
			s.damaged[seg.ID] = true
			s.o.Logger.Error("a journal segment is damaged; it is kept, with what can be read of it", "segment", seg.ID, "error", err)
		default:
			failed = append(failed, fmt.Errorf("segment %d: %w", seg.ID, err))
		}
	}
	return errors.Join(failed...)
}

// clear removes one segment, if that is worth it.
func (s *Store) clear(ctx context.Context, seg journal.Segment, keep time.Duration) error {
	c := clearing{s: s, seg: seg, keep: keep, states: map[uint64]bool{}}
	worth, err := c.survey()
	if err != nil || !worth {
		return err
	}
	err = c.run(ctx)
	s.space.refresh()
	return err
}

// errBusy is returned when an event of the segment is just being delivered, or
// is wanted again: the segment's turn comes again.
var errBusy = errors.New("an event of the segment is in use")

// clearing is the removal of one segment.
type clearing struct {
	s    *Store
	seg  journal.Segment
	keep time.Duration
	// states has the events elsewhere whose state must be written anew because
	// this segment holds records of it.
	states map[uint64]bool
	frozen []uint64
	copies []*copying
	gone   []uint64
}

// copying is one record on its way.
type copying struct {
	done chan error
}

// survey tells whether removing the segment gives back more than half of it.
func (c *clearing) survey() (bool, error) {
	var copied int64
	err := c.s.journal.Scan(c.seg.ID, func(st journal.Stamp, payload []byte) error {
		seq, content := contentOf(payload)
		if !content {
			return nil
		}
		c.s.mu.Lock()
		defer c.s.mu.Unlock()
		r, err := c.here(seq, st.Pos)
		if err == nil && r != nil && c.needed(r) {
			copied += int64(st.Pos.Size)
		}
		return err
	})
	return copied <= c.seg.Size/2, err
}

// contentOf tells which event's content a record holds, if any.
func contentOf(payload []byte) (seq uint64, content bool) {
	r := reader{b: payload}
	kind := r.byte()
	return r.uint(), kind == kindAccept || kind == kindCopy
}

// here gives the row whose content lies at pos; nil if it lies elsewhere by now.
func (c *clearing) here(seq uint64, pos journal.Position) (*row, error) {
	r, _, err := c.s.pages.row(seq)
	if err != nil || r == nil || r.pos != pos || r.gone {
		return nil, err
	}
	return r, nil
}

// needed tells whether the content must be kept.
func (c *clearing) needed(r *row) bool {
	return r.unsettled() || (c.keep > 0 && r.settledAt().Add(c.keep).After(c.s.o.Now()))
}

// run copies forward, brings index and checkpoint past it, and removes.
func (c *clearing) run(ctx context.Context) error {
	defer c.thaw()
	err := c.s.journal.Scan(c.seg.ID, func(st journal.Stamp, payload []byte) error {
		if len(c.copies) >= copyAtOnce {
			if err := c.wait(ctx); err != nil {
				return err
			}
		}
		return c.record(ctx, st, payload)
	})
	if err == nil {
		err = c.wait(ctx)
	}
	if err == nil {
		err = c.stateElsewhere(ctx)
	}
	if err != nil {
		return err
	}
	if err := c.forget(); err != nil {
		return err
	}
	if err := c.s.checkpointNow(); err != nil {
		return err
	}
	return c.s.journal.Remove(c.seg.ID) //nolint:wrapcheck // it names the segment
}

// record copies forward what is needed of one record.
func (c *clearing) record(ctx context.Context, st journal.Stamp, payload []byte) error {
	r := &reader{b: payload}
	kind := r.byte()
	switch kind {
	case kindHead, kindPause, kindResume, kindDestination, kindLearn, kindKeep:
		return nil // every newer segment begins with all of it
	case kindAccept:
		a := r.accept()
		return c.content(ctx, a.seq, st.Pos, a.claim, r.b)
	case kindCopy:
		seq, claim, _ := r.copied()
		return c.content(ctx, seq, st.Pos, claim, r.b)
	case kindState:
		seq, claim, _ := r.copied()
		return c.state(ctx, seq, claim)
	default:
		c.states[r.uint()] = true
		return nil
	}
}

// content deals with an event whose content lies in this segment.
func (c *clearing) content(ctx context.Context, seq uint64, pos journal.Position, claim *claimRecord, stored []byte) error {
	s := c.s
	s.mu.Lock()
	r, err := c.here(seq, pos)
	if err != nil || r == nil {
		s.mu.Unlock()
		return err
	}
	needed := c.needed(r)
	alive := false
	if claim != nil {
		alive, err = s.alive(claim.Claim)
	}
	s.mu.Unlock()
	switch {
	case err != nil:
		return err
	case needed:
		return c.copy(ctx, kindCopy, seq, claim, stored)
	case alive:
		return c.copy(ctx, kindState, seq, claim, nil)
	}
	c.gone = append(c.gone, seq)
	return nil
}

// state deals with an event whose content went before, but not its claim.
func (c *clearing) state(ctx context.Context, seq uint64, claim *claimRecord) error {
	s := c.s
	s.mu.Lock()
	r, _, err := s.pages.row(seq)
	alive := false
	if err == nil && claim != nil {
		alive, err = s.alive(claim.Claim)
	}
	s.mu.Unlock()
	switch {
	case err != nil || r == nil:
		return err
	case !r.gone:
		c.states[seq] = true
		return nil
	case alive:
		return c.copy(ctx, kindState, seq, claim, nil)
	}
	c.gone = append(c.gone, seq)
	return nil
}

// stateElsewhere writes the state of events anew whose content lies in another
// segment, but of whose fate this one has records.
func (c *clearing) stateElsewhere(ctx context.Context) error {
	for seq := range c.states {
		c.s.mu.Lock()
		r, _, err := c.s.pages.row(seq)
		concerned := err == nil && r != nil && !r.gone && r.pos.Segment != c.seg.ID && // else it goes, or is copied with its content
			(r.pos.Segment < c.seg.ID || len(c.history(r)) > 0)
		c.s.mu.Unlock()
		if err == nil && concerned {
			err = c.copy(ctx, kindState, seq, nil, nil)
		}
		if err == nil && len(c.copies) >= copyAtOnce {
			err = c.wait(ctx)
		}
		if err != nil {
			return err
		}
	}
	return c.wait(ctx)
}

// copy appends a row, with its content for kindCopy, as it stands when the
// batch is put together. The event is frozen until the segment is done with:
// neither a lease nor a command may change it between stamp and sync.
func (c *clearing) copy(ctx context.Context, kind byte, seq uint64, claim *claimRecord, stored []byte) error {
	s := c.s
	history, err := c.freeze(seq)
	if err != nil {
		return err
	}
	stored = append([]byte(nil), stored...)
	copied := &copying{done: make(chan error, 1)}
	var stamped row
	entry := journal.Entry{
		Size: len(stored) + 64<<10, Reserved: true,
		Encode: func(dst []byte, _ journal.Stamp) []byte {
			s.mu.Lock()
			defer s.mu.Unlock()
			r, _, err := s.pages.row(seq)
			if err != nil || r == nil {
				return dst
			}
			stamped = c.stamp(r, kind, claim)
			w := writer{b: dst}
			w.copied(kind, seq, claim, &stamped)
			w.raw(stored)
			return w.b
		},
		Done: func(st journal.Stamp, err error) {
			if err == nil {
				err = s.applied(func() error {
					if kind == kindCopy {
						stamped.pos = st.Pos
					}
					err := s.foldCopy(st, seq, claim, &stamped)
					s.reached(st)
					return err
				})
			}
			copied.done <- err
		},
	}
	if err := s.journal.Append(ctx, entry); err != nil {
		return fmt.Errorf("copying event %d forward: %w", seq, err)
	}
	c.copies = append(c.copies, copied)
	return c.copyHistory(ctx, seq, history)
}

// stamp gives the row as it is copied: without the attempts that lie in the
// segment, which follow as records of their own.
func (c *clearing) stamp(r *row, kind byte, claim *claimRecord) row {
	v := *r
	if kind == kindState && r.pos.Segment == c.seg.ID && claim != nil {
		v.gone = true
	}
	v.deliveries = make([]delivery, len(r.deliveries))
	for i := range r.deliveries {
		d := r.deliveries[i]
		var kept []journal.Position
		for _, pos := range d.attempts {
			if pos.Segment != c.seg.ID {
				kept = append(kept, pos)
			}
		}
		d.attempts = kept
		v.deliveries[i] = d
	}
	return v
}

// attemptOf is an attempt that must be copied.
type attemptOf struct {
	dest uint64
	pos  journal.Position
}

// freeze keeps an event as it is until thaw, and lists its attempts that lie
// in the segment. It is refused while somebody has the event in hand.
func (c *clearing) freeze(seq uint64) ([]attemptOf, error) {
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	r, _, err := s.pages.row(seq)
	if err != nil || r == nil {
		return nil, err
	}
	if s.held[seq] > 0 {
		return nil, errBusy
	}
	for i := range r.deliveries {
		if s.leases[leaseKey{seq, r.deliveries[i].dest}] != nil {
			return nil, errBusy
		}
	}
	history := c.history(r)
	s.held[seq]++
	s.frozen[seq] = make(chan struct{})
	c.frozen = append(c.frozen, seq)
	return history, nil
}

// history lists the event's attempts that lie in the segment.
func (c *clearing) history(r *row) (list []attemptOf) {
	for i := range r.deliveries {
		for _, pos := range r.deliveries[i].attempts {
			if pos.Segment == c.seg.ID {
				list = append(list, attemptOf{r.deliveries[i].dest, pos})
			}
		}
	}
	return list
}

// thaw lets the events be used again.
func (c *clearing) thaw() {
	_ = c.s.applied(func() error {
		for _, seq := range c.frozen {
			close(c.s.frozen[seq])
			delete(c.s.frozen, seq)
			c.s.unhold(seq)
		}
		return nil
	})
	c.frozen = nil
}

// copyHistory appends the attempts again that lie in the segment.
func (c *clearing) copyHistory(ctx context.Context, seq uint64, history []attemptOf) error {
	for _, h := range history {
		payload, err := c.s.journal.Read(h.pos)
		if err != nil {
			return fmt.Errorf("copying an attempt forward: %w", err)
		}
		a, err := decodeAttempt(payload)
		if err != nil {
			return fmt.Errorf("copying an attempt forward: %w", err)
		}
		copied, err := c.s.appendHistory(ctx, seq, h.dest, a)
		if err != nil {
			return fmt.Errorf("copying an attempt forward: %w", err)
		}
		c.copies = append(c.copies, copied)
	}
	return nil
}

// wait waits until everything appended so far is durable.
func (c *clearing) wait(ctx context.Context) error {
	for _, copied := range c.copies {
		select {
		case err := <-copied.done:
			if err != nil {
				return fmt.Errorf("copying forward: %w", unavailable(err))
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	c.copies = c.copies[:0]
	c.thaw()
	return nil
}

// forget drops the rows of events that are not kept. The journal needs no
// record of it: the segment that held them goes. Nobody has held these events
// meanwhile: one that is wanted again by now, or that a command is just about,
// keeps the segment.
func (c *clearing) forget() error {
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, seq := range c.gone {
		r, _, err := c.doomed(seq)
		if err != nil {
			return err
		}
		if r != nil && (c.needed(r) || s.held[seq] > 0) {
			return errBusy
		}
	}
	for _, seq := range c.gone {
		r, p, err := c.doomed(seq)
		if err != nil {
			return err
		}
		if r != nil {
			s.place(p, p.lsn, seq, nil)
		}
	}
	return nil
}

// doomed gives the row of an event that goes with the segment; nil if it lies
// elsewhere by now, or is gone.
func (c *clearing) doomed(seq uint64) (*row, *page, error) {
	r, p, err := c.s.pages.row(seq)
	if err != nil || r == nil || !r.gone && r.pos.Segment != c.seg.ID {
		return nil, nil, err
	}
	return r, p, nil
}
