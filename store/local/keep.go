package local

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/caddy-webhooks/caddy-webhooks/store"
	"github.com/caddy-webhooks/caddy-webhooks/store/local/journal"
)

// Keep stores a note. Each head record repeats them all.
func (s *Store) Keep(ctx context.Context, name string, value []byte) error {
	if n := len(name) + len(value); n > store.MaxKept {
		return fmt.Errorf("%w: a note of %d bytes", store.ErrTooLarge, n)
	}
	s.naming.Lock() // so that their number is right when it is looked at
	defer s.naming.Unlock()
	if err := s.noteFits(name, value); err != nil {
		return err
	}
	value = slices.Clone(value)
	_, err := write(ctx, s, order[struct{}]{
		size: store.MaxKept,
		encode: func(w *writer, _ journal.Stamp) {
			w.byte(kindKeep)
			w.string(name)
			w.string(string(value))
		},
		apply: func(st journal.Stamp) (struct{}, error) {
			s.note(name, value)
			s.reached(st)
			return struct{}{}, nil
		},
	})
	if err != nil {
		return fmt.Errorf("keeping %s: %w", name, err)
	}
	return nil
}

func (s *Store) noteFits(name string, value []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.notes[name]; !known && len(value) > 0 && len(s.notes) >= store.MaxNotes {
		return fmt.Errorf("%w: %d notes are kept already", store.ErrConflict, len(s.notes))
	}
	return nil
}

// Kept gives the notes.
func (s *Store) Kept() map[string][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := maps.Clone(s.notes) // values are never changed, only replaced
	if kept == nil {
		kept = map[string][]byte{}
	}
	return kept
}

// note changes what is kept. The mutex is held.
func (s *Store) note(name string, value []byte) {
	if len(value) == 0 {
		delete(s.notes, name)
		return
	}
	if s.notes == nil {
		s.notes = map[string][]byte{}
	}
	s.notes[name] = value
}

func (s *Store) foldKeepBytes(_ journal.Stamp, r *reader) error {
	name, value := r.string(), []byte(r.string())
	if r.bad {
		return errWire
	}
	s.note(name, value)
	return nil
}

// foldNotes reads the notes of a head record. One that was written before there
// were any ends here.
func (s *Store) foldNotes(r *reader) error {
	if len(r.b) == 0 {
		return nil
	}
	for range r.count() {
		if err := s.foldKeepBytes(journal.Stamp{}, r); err != nil {
			return err
		}
	}
	return nil
}
