package local

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/dgraph-io/badger/v4"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/store"
	"github.com/caddy-webhooks/caddy-webhooks/store/local/journal"
)

// What one query may cost before it stops and says how far it has come.
const (
	// searchPages is how many pages it reads: 4,096 have 262,144 events.
	searchPages = 4096
	// searchEvents and searchBytes are how much content it reads.
	searchEvents = 16384
	searchBytes  = 64 << 20
)

// search is one query on its way through the pages, from the newest to the
// oldest or the other way.
type search struct {
	s *Store
	f store.Filter
	// from and to bound what is still to be looked at: from ≤ number < to.
	from, to uint64
	// wanted has the destinations of which a delivery is looked for.
	wanted map[uint64]bool
	// changed lists the pages whose summary in the index may be old, in the order of
	// the search. It was made before the index is read: every other page is in
	// there as it was then, or newer.
	changed []uint64

	page store.Page
	// pages, events and bytes count the work.
	pages, events int
	bytes         int64
	full          bool
}

// candidate is a row that matches but for its content.
type candidate struct {
	row store.Row
	pos journal.Position
}

func (s *Store) newSearch(f store.Filter) *search {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := &search{s: s, f: f, to: s.nextSeq.Load(), wanted: map[uint64]bool{}, page: store.Page{Complete: true}}
	if f.Before != 0 {
		q.to = min(q.to, f.Before)
	}
	if f.After != 0 {
		q.from = max(f.After, f.After+1) // the largest number there is has none behind it
	}
	for number, d := range s.dests {
		if f.Delivery(d.Destination, f.State) {
			q.wanted[number] = true
		}
	}
	for block := range s.pages.dirty {
		q.changed = append(q.changed, block)
	}
	slices.SortFunc(q.changed, q.order)
	return q
}

// order compares two blocks by which is looked at first.
func (q *search) order(a, b uint64) int {
	if q.f.OldestFirst {
		return cmp.Compare(a, b)
	}
	return cmp.Compare(b, a)
}

// within tells whether a block has numbers that are still to be looked at.
func (q *search) within(block uint64) bool {
	return block*pageRows < q.to && (block+1)*pageRows > q.from
}

// passed notes that everything up to a number (with it) has been looked at.
func (q *search) passed(first, last uint64) {
	if q.f.OldestFirst {
		q.from = max(q.from, last+1)
	} else {
		q.to = min(q.to, first)
	}
}

// run goes through the pages until it has found enough or worked enough.
func (q *search) run(ctx context.Context, txn *badger.Txn) error {
	if q.from >= q.to {
		return nil
	}
	it := txn.NewIterator(badger.IteratorOptions{
		PrefetchValues: true, PrefetchSize: 64, Reverse: !q.f.OldestFirst, Prefix: []byte{summaryPrefix},
	})
	defer it.Close()
	first := blockOf(q.to - 1)
	if q.f.OldestFirst {
		first = blockOf(q.from)
	}
	for it.Seek(blockKey(summaryPrefix, first)); it.Valid(); it.Next() {
		block := binary.BigEndian.Uint64(it.Item().Key()[1:])
		if err := q.lookAtChanged(ctx, func(b uint64) bool { return q.order(b, block) <= 0 }); err != nil || q.full {
			return err
		}
		if !q.within(block) { // or it was among the changed ones
			continue
		}
		may, err := q.may(it.Item())
		if may && err == nil {
			err = q.look(ctx, block)
		}
		if err != nil || q.full {
			return err
		}
	}
	return q.lookAtChanged(ctx, func(uint64) bool { return true })
}

// lookAtChanged looks at the changed pages whose turn it is.
func (q *search) lookAtChanged(ctx context.Context, turn func(block uint64) bool) error {
	for len(q.changed) > 0 && turn(q.changed[0]) && !q.full {
		block := q.changed[0]
		q.changed = q.changed[1:]
		if !q.within(block) {
			continue
		}
		if err := q.look(ctx, block); err != nil {
			return err
		}
	}
	return nil
}

// may asks a page's summary whether the page needs to be looked at.
func (q *search) may(item *badger.Item) (may bool, err error) {
	err = item.Value(func(v []byte) error {
		sum, err := decodeSummary(v)
		may = err == nil && sum.mayHold(q.f, q.wanted)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("reading a summary of the index: %w: %w", store.ErrUnavailable, err)
	}
	return may, nil
}

// look goes through one page.
func (q *search) look(ctx context.Context, block uint64) error {
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case q.s.ctx.Err() != nil:
		return store.ErrClosed
	}
	if q.pages++; q.pages > searchPages {
		q.stop()
		return nil
	}
	found, err := q.candidates(block)
	if err != nil {
		return err
	}
	for _, c := range found {
		if err := q.take(c); err != nil || q.full {
			return err
		}
	}
	q.passed(block*pageRows, block*pageRows+pageRows-1)
	return nil
}

// stop ends the search before its end.
func (q *search) stop() {
	q.full, q.page.Complete, q.page.Next = true, false, q.to
	if q.f.OldestFirst {
		q.page.Next = max(q.from, 1) - 1
	}
}

// candidates lists the page's rows that match, in the order of the search.
func (q *search) candidates(block uint64) (found []candidate, err error) {
	p, err := q.s.peek(block)
	if err != nil || p == nil {
		return nil, unavailable(err)
	}
	q.s.mu.Lock()
	defer q.s.mu.Unlock()
	if q.s.closed {
		return nil, store.ErrClosed
	}
	for i := range pageRows {
		if !q.f.OldestFirst {
			i = pageRows - 1 - i
		}
		seq, r := block*pageRows+uint64(i), p.rows[i]
		if r == nil || seq < q.from || seq >= q.to {
			continue
		}
		q.page.Reached = r.received
		if q.s.matches(r, q.f) && (q.f.Content == nil || !r.gone) {
			found = append(found, candidate{q.s.public(seq, r), r.pos})
		}
	}
	return found, nil
}

// take adds a row to the page, if its content matches too.
func (q *search) take(c candidate) error {
	if len(q.page.Rows) == q.f.Limit {
		q.full, q.page.Next = true, q.page.Rows[q.f.Limit-1].Seq
		return nil
	}
	matches, err := q.content(c)
	if err != nil || q.full {
		return err
	}
	if matches {
		q.page.Rows = append(q.page.Rows, c.row)
	}
	q.passed(c.row.Seq, c.row.Seq)
	return nil
}

// content asks what the filter wants of an event's content.
func (q *search) content(c candidate) (matches bool, err error) {
	if q.f.Content == nil {
		return true, nil
	}
	if q.events++; q.events > searchEvents || q.bytes > searchBytes {
		q.page.Reached = c.row.Received
		q.stop()
		return false, nil
	}
	q.bytes += int64(c.row.Size)
	e, err := q.s.content(c.pos, c.row.Seq)
	if errors.Is(err, journal.ErrGone) {
		e, err = q.again(c)
	}
	if damaged(err) {
		return false, nil // there is nothing to look into
	}
	if err != nil {
		return false, fmt.Errorf("event %s: %w: %w", c.row.ID, store.ErrUnavailable, err)
	}
	return e != nil && q.f.Content(e), nil
}

// again reads content that has been copied forward since its row was read; nil
// if it was removed.
func (q *search) again(c candidate) (*event.Event, error) {
	p, err := q.s.peek(blockOf(c.row.Seq))
	if err != nil || p == nil {
		return nil, err
	}
	q.s.mu.Lock()
	r := p.rows[c.row.Seq%pageRows]
	gone := r == nil || r.gone || r.pos == c.pos
	var pos journal.Position
	if !gone {
		pos = r.pos
	}
	q.s.mu.Unlock()
	if gone {
		return nil, nil
	}
	e, err := q.s.content(pos, c.row.Seq)
	if errors.Is(err, journal.ErrGone) {
		return nil, nil
	}
	return e, err
}
