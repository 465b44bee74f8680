package local

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/event"
)

// A delivery's next attempt is a time of the wall clock. When that clock is set,
// or the machine has slept, the times that wait are moved along: an event that
// was due in five minutes is due in five minutes still. Without it a clock that
// is set back stalls what waits, and one that is set forward sends it all at once.
//
// This is not in the journal. Where the index is lost after a jump back, the
// times of before come back with the journal's own time, which never runs
// backwards: by how much that is ahead of the clock is what recovery makes good.

// shift moves the times that wait by as much as the clock has jumped.
func (s *Store) shift(ctx context.Context, by time.Duration) error {
	s.mu.Lock()
	blocks := s.waitingBlocks()
	s.mu.Unlock()
	for _, block := range blocks {
		if ctx.Err() != nil {
			return fmt.Errorf("%w", context.Cause(ctx))
		}
		crowded, err := s.shiftBlock(block, by)
		if err == nil && crowded {
			_, err = s.flush()
		}
		if err != nil {
			return err
		}
	}
	s.mu.Lock()
	dests, tell := slices.Collect(maps.Keys(s.byName)), s.wake
	s.mu.Unlock()
	for _, d := range dests {
		tell(d)
	}
	return nil
}

// waitingBlocks lists the blocks with a pending delivery, in order. The mutex is held.
func (s *Store) waitingBlocks() []uint64 {
	blocks := map[uint64]struct{}{}
	for _, d := range s.dests {
		for block := range d.pending {
			blocks[block] = struct{}{}
		}
	}
	return slices.Sorted(maps.Keys(blocks))
}

// shiftBlock moves the times of one page. What was written after the jump lies
// within the ordinary waits of the new time, so a time is moved only if that
// brings it closer to now.
//
// It tells whether so many pages have changed that they should be written.
func (s *Store) shiftBlock(block uint64, by time.Duration) (crowded bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.pages.get(block)
	if err != nil || p == nil {
		return false, err
	}
	now, changed := s.o.Now(), false
	for i, r := range p.rows {
		if r == nil {
			continue
		}
		for k := range r.deliveries {
			d := &r.deliveries[k]
			if d.State != event.Pending || d.Next.IsZero() {
				continue
			}
			if next := d.Next.Add(by); next.Sub(now).Abs() < d.Next.Sub(now).Abs() {
				d.Next, changed = next, true
				s.schedule(block*pageRows+uint64(i), d)
			}
		}
	}
	if changed {
		s.pages.touch(p, 0)
	}
	return len(s.pages.dirty) >= 2*flushPages, nil
}

// unstall makes good that the clock was set back since the store was last
// written.
func (s *Store) unstall() error {
	by := s.o.Now().Sub(s.journalTime)
	if s.journalTime.IsZero() || by >= -jump {
		return nil
	}
	s.o.Logger.Warn("the clock is behind the store's last entry; what waits keeps its wait", "by", by)
	return s.shift(s.ctx, by)
}
