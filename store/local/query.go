package local

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/store"
	"github.com/caddy-webhooks/caddy-webhooks/store/local/journal"
)

const (
	defaultLimit = 50
	maxLimit     = 1000
	// searchPages bounds one query's work: 4,096 pages are 262,144 events.
	searchPages = 4096
)

// Get gives one event whole.
func (s *Store) Get(_ context.Context, id event.ID) (store.Record, error) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return store.Record{}, store.ErrClosed
	}
	seq := id.Seq(s.salt)
	r, _, err := s.pages.row(seq)
	if err != nil || r == nil || r.id != id {
		s.mu.Unlock()
		if err != nil {
			return store.Record{}, fmt.Errorf("event %s: %w: %w", id, store.ErrUnavailable, err)
		}
		return store.Record{}, fmt.Errorf("event %s: %w", id, store.ErrUnknown)
	}
	record := store.Record{Row: s.public(seq, r)}
	pos := r.pos
	var places []journal.Position
	for i := range r.deliveries {
		places = append(places, r.deliveries[i].attempts...)
	}
	s.mu.Unlock()

	if !record.Gone {
		if record.Event, err = s.content(pos, seq); err != nil {
			return store.Record{}, fmt.Errorf("event %s: %w: %w", id, store.ErrUnavailable, err)
		}
	}
	record.Attempts, err = s.attempts(places)
	if err != nil {
		return store.Record{}, fmt.Errorf("event %s: %w: %w", id, store.ErrUnavailable, err)
	}
	return record, nil
}

// attempts reads attempts from the journal; those whose segment is gone are
// left out.
func (s *Store) attempts(places []journal.Position) ([]event.Attempt, error) {
	var attempts []event.Attempt
	for _, pos := range places {
		payload, err := s.journal.Read(pos)
		if errors.Is(err, journal.ErrGone) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading an attempt: %w", err)
		}
		a, err := decodeAttempt(payload)
		if err != nil {
			return nil, fmt.Errorf("reading an attempt: %w", err)
		}
		attempts = append(attempts, a)
	}
	slices.SortStableFunc(attempts, func(a, b event.Attempt) int { return a.At.Compare(b.At) })
	return attempts, nil
}

func decodeAttempt(payload []byte) (event.Attempt, error) {
	r := &reader{b: payload}
	switch r.byte() {
	case kindSettle:
		v, err := r.settle()
		return v.Attempt, err
	case kindHistory:
		_, _ = r.uint(), r.uint()
		return event.DecodeAttempt(r.b)
	}
	return event.Attempt{}, errWire
}

// Query lists events, newest first.
func (s *Store) Query(ctx context.Context, f store.Filter) (store.Page, error) {
	limit := f.Limit
	if limit <= 0 {
		limit = defaultLimit
	}
	limit = min(limit, maxLimit)
	if id, err := event.ParseID(f.ID); err == nil {
		return s.queryID(ctx, id, f)
	}
	page := store.Page{Complete: true}
	before := f.Before
	if before == 0 {
		before = ^uint64(0)
	}
	s.mu.Lock()
	before = min(before, s.nextSeq.Load())
	s.mu.Unlock()
	for n := 0; before > 0; n++ {
		if err := ctx.Err(); err != nil {
			return store.Page{}, fmt.Errorf("listing events: %w", err)
		}
		if n == searchPages {
			page.Complete, page.Next = false, before
			return page, nil
		}
		block := blockOf(before - 1)
		full, err := s.queryBlock(block, before, limit, f, &page)
		if err != nil {
			return store.Page{}, fmt.Errorf("listing events: %w: %w", store.ErrUnavailable, err)
		}
		if full {
			return page, nil
		}
		before = block * pageRows
	}
	return page, nil
}

// queryBlock adds the block's rows that match; it tells whether the page is full.
func (s *Store) queryBlock(block, before uint64, limit int, f store.Filter, page *store.Page) (full bool, err error) {
	p, err := s.peek(block)
	if err != nil || p == nil {
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false, store.ErrClosed
	}
	for i := pageRows - 1; i >= 0; i-- {
		seq := block*pageRows + uint64(i)
		r := p.rows[i]
		if r == nil || seq >= before || !s.matches(r, seq, f) {
			continue
		}
		if len(page.Rows) == limit {
			page.Next = page.Rows[limit-1].Seq
			return true, nil
		}
		page.Rows = append(page.Rows, s.public(seq, r))
	}
	return false, nil
}

// peek gives a page without keeping it in memory: a search must not push out
// what deliveries need.
func (s *Store) peek(block uint64) (*page, error) {
	s.mu.Lock()
	p := s.pages.held[block]
	closed := s.closed
	s.mu.Unlock()
	if closed {
		return nil, store.ErrClosed
	}
	if p != nil {
		return p, nil
	}
	return s.pages.read(block)
}

func (s *Store) queryID(ctx context.Context, id event.ID, f store.Filter) (store.Page, error) {
	record, err := s.Get(ctx, id)
	if errors.Is(err, store.ErrUnknown) {
		return store.Page{Complete: true}, nil
	}
	if err != nil {
		return store.Page{}, err
	}
	page := store.Page{Complete: true}
	f.ID = ""
	s.mu.Lock()
	defer s.mu.Unlock()
	r, _, err := s.pages.row(record.Seq)
	if err != nil {
		return store.Page{}, fmt.Errorf("event %s: %w: %w", id, store.ErrUnavailable, err)
	}
	if r != nil && s.matches(r, record.Seq, f) && (f.Before == 0 || record.Seq < f.Before) {
		page.Rows = append(page.Rows, s.public(record.Seq, r))
	}
	return page, nil
}

// matches tells whether a row fits the filter.
func (s *Store) matches(r *row, _ uint64, f store.Filter) bool {
	switch {
	case f.Type != "" && r.typ != f.Type,
		f.ID != "" && r.providerID != f.ID,
		!f.Since.IsZero() && r.received.Before(f.Since),
		!f.Until.IsZero() && !r.received.Before(f.Until):
		return false
	}
	if f.Text != "" && !strings.Contains(r.providerID, f.Text) && !strings.Contains(r.typ, f.Text) &&
		!strings.Contains(r.id.String(), f.Text) {
		return false
	}
	return s.matchesDelivery(r, f)
}

// matchesDelivery tells whether one and the same delivery has the source, the
// destination and the state that are asked for.
func (s *Store) matchesDelivery(r *row, f store.Filter) bool {
	if f.Destination == "" && f.State == 0 && (f.Source == "" || f.Source == r.source) {
		return true
	}
	for i := range r.deliveries {
		d := &r.deliveries[i]
		if f.Delivery(s.dest(d.dest).Destination, d.State) {
			return true
		}
	}
	return false
}
