package memory

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/store"
)

// Bounds of [store.Filter.Limit].
const (
	defaultLimit = 50
	maxLimit     = 1000
)

// Get gives one event whole.
func (s *Store) Get(ctx context.Context, id event.ID) (store.Record, error) {
	if ctx.Err() != nil {
		return store.Record{}, fmt.Errorf("event %s: %w", id, context.Cause(ctx))
	}
	defer s.leave()
	if err := s.enter(); err != nil {
		return store.Record{}, err
	}
	r := s.find(id)
	if r == nil {
		return store.Record{}, fmt.Errorf("event %s: %w", id, store.ErrUnknown)
	}
	v := store.Record{Row: r.row(), Attempts: slices.Clone(r.attempts)}
	if !r.gone {
		v.Event = r.event
	}
	return v, nil
}

// Query lists events.
func (s *Store) Query(ctx context.Context, f store.Filter) (store.Page, error) {
	if ctx.Err() != nil {
		return store.Page{}, fmt.Errorf("listing events: %w", context.Cause(ctx))
	}
	defer s.leave()
	if err := s.enter(); err != nil {
		return store.Page{}, err
	}
	limit := min(f.Limit, maxLimit)
	if limit <= 0 {
		limit = defaultLimit
	}
	page := store.Page{Complete: true}
	for _, r := range s.ordered(f.OldestFirst) {
		if !f.Within(r.event.Seq) || !r.matches(f) {
			continue
		}
		if len(page.Rows) == limit {
			page.Next = page.Rows[limit-1].Seq
			break
		}
		page.Rows = append(page.Rows, r.row())
	}
	return page, nil
}

// Await waits for an event that was accepted after that number.
func (s *Store) Await(ctx context.Context, after uint64) (uint64, error) {
	for {
		s.mu.Lock()
		latest, closed := uint64(len(s.records)), s.closed
		if s.arrived == nil {
			s.arrived = make(chan struct{})
		}
		arrived := s.arrived
		s.mu.Unlock()
		switch {
		case closed:
			return 0, store.ErrClosed
		case latest > after:
			return latest, nil
		}
		select {
		case <-arrived:
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
}

// tell wakes whoever waits for an event. The mutex is held.
func (s *Store) tell() {
	if s.arrived != nil {
		close(s.arrived)
		s.arrived = nil
	}
}

// ordered goes through the records in the order that is asked for.
func (s *Store) ordered(oldestFirst bool) iter.Seq2[int, *record] {
	if oldestFirst {
		return slices.All(s.records)
	}
	return slices.Backward(s.records)
}

// row gives what the record looks like now.
func (r *record) row() store.Row {
	e := r.event
	v := store.Row{
		ID: e.ID, Seq: e.Seq, Source: e.Source, Provider: e.Provider, ProviderID: e.ProviderID, Type: e.Type,
		Received: e.Received, Size: e.Size(), Gone: r.gone,
	}
	if r.gone {
		v.Size = r.size
	}
	for _, d := range r.deliveries {
		shown := d.Delivery
		shown.InFlight = d.token != 0
		shown.Order = d.order
		if d.to.name.Source != e.Source {
			shown.Source = d.to.name.Source
		}
		v.Deliveries = append(v.Deliveries, shown)
	}
	return v
}

// matches tells whether the record fits the filter.
func (r *record) matches(f store.Filter) bool {
	e := r.event
	switch {
	case f.Type != "" && e.Type != f.Type,
		f.ID != "" && e.ProviderID != f.ID && e.ID.String() != f.ID,
		!f.Since.IsZero() && e.Received.Before(f.Since),
		!f.Until.IsZero() && !e.Received.Before(f.Until):
		return false
	}
	return r.contains(f.Text) && r.matchesDelivery(f) && (f.Content == nil || !r.gone && f.Content(e))
}

// contains tells whether the text is part of anything that names the event.
func (r *record) contains(text string) bool {
	e := r.event
	return strings.Contains(e.ProviderID, text) || strings.Contains(e.Type, text) || strings.Contains(e.ID.String(), text)
}

// matchesDelivery tells whether one and the same delivery has the source, the
// destination and the state that are asked for.
func (r *record) matchesDelivery(f store.Filter) bool {
	if f.Destination == "" && f.State == 0 && (f.Source == "" || f.Source == r.event.Source) {
		return true
	}
	return slices.ContainsFunc(r.deliveries, func(d *delivery) bool {
		return f.Delivery(d.to.name, d.State)
	})
}
