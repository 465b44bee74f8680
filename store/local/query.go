package local

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/dgraph-io/badger/v4"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/store"
	"github.com/caddy-webhooks/caddy-webhooks/store/local/journal"
)

const (
	defaultLimit = 50
	maxLimit     = 1000
)

// Get gives one event whole.
func (s *Store) Get(ctx context.Context, id event.ID) (store.Record, error) {
	seq, err := s.locate(id)
	if err != nil {
		return store.Record{}, fmt.Errorf("event %s: %w", id, err)
	}
	record, err := s.whole(ctx, seq, id, false)
	if errors.Is(err, journal.ErrGone) { // copied forward, or removed, since its row was read
		record, err = s.whole(ctx, seq, id, true)
	}
	switch {
	case errors.Is(err, store.ErrUnknown), errors.Is(err, store.ErrClosed):
		return store.Record{}, fmt.Errorf("event %s: %w", id, err)
	case err != nil:
		return store.Record{}, fmt.Errorf("event %s: %w: %w", id, store.ErrUnavailable, err)
	}
	return record, nil
}

// whole reads an event's row, content and attempts. ErrGone of the journal if they
// are being moved; at last that means that they are not there any more.
func (s *Store) whole(ctx context.Context, seq uint64, id event.ID, last bool) (store.Record, error) {
	record, pos, places, err := s.outline(ctx, seq, id)
	if err != nil {
		return store.Record{}, err
	}
	if !record.Gone {
		record.Event, err = s.content(pos, seq)
		record.Damaged, record.Gone = damaged(err), last && errors.Is(err, journal.ErrGone)
		if err != nil && !record.Damaged && !record.Gone {
			return store.Record{}, err
		}
	}
	record.Attempts, err = s.attempts(places, last)
	return record, err
}

// damaged tells that something lies where it was written, and is not what was
// written. That is no reason to keep everything else from people.
func damaged(err error) bool { return errors.Is(err, journal.ErrDamaged) || errors.Is(err, errWire) }

// outline gives what the index has of an event, and where the rest lies. It waits
// while the event is being copied forward: its attempts follow it one by one.
func (s *Store) outline(ctx context.Context, seq uint64, id event.ID) (store.Record, journal.Position, []attemptPlace, error) {
	for {
		s.mu.Lock()
		copied := s.frozen[seq]
		if copied == nil {
			break
		}
		s.mu.Unlock()
		select {
		case <-copied:
		case <-ctx.Done():
			return store.Record{}, journal.Position{}, nil, context.Cause(ctx)
		}
	}
	defer s.mu.Unlock()
	r, _, err := s.pages.row(seq)
	if err == nil && (r == nil || r.id != id) {
		err = store.ErrUnknown
	}
	if err != nil {
		return store.Record{}, journal.Position{}, nil, err
	}
	record := store.Record{Row: s.public(seq, r)}
	var places []attemptPlace
	for i := range r.deliveries {
		for _, at := range r.deliveries[i].attempts {
			places = append(places, attemptPlace{at, record.Deliveries[i].Source})
		}
	}
	return record, r.pos, places, nil
}

// attemptPlace is where an attempt lies, and its destination's source as
// [event.Attempt] has it.
type attemptPlace struct {
	journal.Position
	source string
}

// attempts reads attempts from the journal; those that are damaged are left out,
// and at last those whose segment is gone.
func (s *Store) attempts(places []attemptPlace, last bool) ([]event.Attempt, error) {
	var attempts []event.Attempt
	for _, place := range places {
		payload, err := s.journal.Read(place.Position)
		var a event.Attempt
		if err == nil {
			a, err = decodeAttempt(payload)
		}
		switch {
		case damaged(err), last && errors.Is(err, journal.ErrGone):
			continue
		case err != nil:
			return nil, fmt.Errorf("reading an attempt: %w", err)
		}
		a.Source = place.source
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

// Query lists events.
func (s *Store) Query(ctx context.Context, f store.Filter) (store.Page, error) {
	if f.Limit <= 0 {
		f.Limit = defaultLimit
	}
	f.Limit = min(f.Limit, maxLimit)
	if id, err := event.ParseID(f.ID); err == nil {
		page, err := s.queryID(ctx, id, f)
		if err != nil || len(page.Rows) > 0 {
			return page, err
		} // else a provider may have named it so
	}
	if err := s.enter(); err != nil {
		return store.Page{}, err
	}
	defer s.wg.Done()
	q := s.newSearch(f)
	err := s.index.db.View(func(txn *badger.Txn) error { return q.run(ctx, txn) })
	if err != nil {
		return store.Page{}, fmt.Errorf("listing events: %w", err)
	}
	return q.page, nil
}

// enter keeps the index open until wg.Done: reading one that is being closed
// would take the process along.
func (s *Store) enter() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return store.ErrClosed
	}
	s.wg.Add(1)
	return nil
}

// Await waits for an event that was accepted after that number.
func (s *Store) Await(ctx context.Context, after uint64) (uint64, error) {
	for {
		s.mu.Lock()
		latest, arrived, closed := s.latest, s.arrived, s.closed
		if closed {
			s.mu.Unlock()
			return 0, store.ErrClosed
		}
		if arrived == nil {
			arrived = make(chan struct{})
			s.arrived = arrived
		}
		s.mu.Unlock()
		if latest > after {
			return latest, nil
		}
		select {
		case <-arrived:
		case <-s.ctx.Done():
			return 0, store.ErrClosed
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
}

// seen notes that an event can be read. The mutex is held.
func (s *Store) seen(seq uint64) {
	s.latest = max(s.latest, seq)
	if s.arrived != nil {
		close(s.arrived)
		s.arrived = nil
	}
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
	if f.Content != nil && (record.Event == nil || !f.Content(record.Event)) {
		return page, nil
	}
	if r != nil && s.matches(r, f) && f.Within(record.Seq) {
		page.Rows = append(page.Rows, s.public(record.Seq, r))
	}
	return page, nil
}

// matches tells whether a row fits the filter.
func (s *Store) matches(r *row, f store.Filter) bool {
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
