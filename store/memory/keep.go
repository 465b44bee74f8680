package memory

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/caddy-webhooks/caddy-webhooks/store"
)

// Keep stores a note until the process ends.
func (s *Store) Keep(ctx context.Context, name string, value []byte) error {
	if ctx.Err() != nil {
		return fmt.Errorf("keeping %s: %w", name, context.Cause(ctx))
	}
	if n := len(name) + len(value); n > store.MaxKept {
		return fmt.Errorf("%w: a note of %d bytes", store.ErrTooLarge, n)
	}
	defer s.leave()
	if err := s.enter(); err != nil {
		return err
	}
	_, known := s.notes[name]
	switch {
	case len(value) == 0:
		delete(s.notes, name)
	case !known && len(s.notes) >= store.MaxNotes:
		return fmt.Errorf("%w: %d notes are kept already", store.ErrConflict, len(s.notes))
	default:
		s.notes[name] = slices.Clone(value)
	}
	return nil
}

// Kept gives the notes.
func (s *Store) Kept() map[string][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.notes)
}
