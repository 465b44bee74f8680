package local

import (
	"context"
	"fmt"

	"github.com/caddy-webhooks/caddy-webhooks/store"
	"github.com/caddy-webhooks/caddy-webhooks/store/local/journal"
)

// Learn keeps a source's secret. It stands in the journal as it is, and is
// protected as the directory is.
func (s *Store) Learn(ctx context.Context, source, secret, who string) error {
	if len(secret) > store.MaxLearned {
		return fmt.Errorf("%w: a secret of %d bytes", store.ErrTooLarge, len(secret))
	}
	s.naming.Lock() // one at a time: which is the first is decided here
	defer s.naming.Unlock()
	if known := s.Learned(source); secret != "" && known != "" && known != secret {
		return fmt.Errorf("%w: a secret of source %s is known", store.ErrConflict, source)
	}
	at := s.o.Now()
	_, err := write(ctx, s, order[struct{}]{
		encode: func(w *writer, _ journal.Stamp) {
			w.byte(kindLearn)
			w.string(limit(source))
			w.string(secret)
			w.time(at)
			w.string(limit(who))
		},
		apply: func(st journal.Stamp) (struct{}, error) {
			s.keepLearned(source, secret)
			s.reached(st)
			return struct{}{}, nil
		},
	})
	return err
}

// Learned gives a source's secret.
func (s *Store) Learned(source string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.learned[source]
}

// keepLearned changes what is known. The mutex is held.
func (s *Store) keepLearned(source, secret string) {
	if secret == "" {
		delete(s.learned, source)
		return
	}
	if s.learned == nil {
		s.learned = map[string]string{}
	}
	s.learned[source] = secret
}

func (s *Store) foldLearnBytes(_ journal.Stamp, r *reader) error {
	source, secret := r.string(), r.string()
	_, _ = r.time(), r.string() // when and who: for people who read the journal
	if r.bad {
		return errWire
	}
	s.keepLearned(source, secret)
	return nil
}

// foldLearned reads the learned secrets of a head record. One that was written
// before there were any ends here.
func (s *Store) foldLearned(r *reader) error {
	if len(r.b) == 0 {
		return nil
	}
	for range r.count() {
		source, secret := r.string(), r.string()
		if r.bad {
			return errWire
		}
		s.keepLearned(source, secret)
	}
	return nil
}
