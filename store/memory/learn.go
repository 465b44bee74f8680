package memory

import (
	"context"
	"fmt"

	"github.com/caddy-webhooks/caddy-webhooks/store"
)

// Learn keeps a source's secret until the process ends.
func (s *Store) Learn(ctx context.Context, source, secret, _ string) error {
	if ctx.Err() != nil {
		return fmt.Errorf("learning: %w", context.Cause(ctx))
	}
	if len(secret) > store.MaxLearned {
		return fmt.Errorf("%w: a secret of %d bytes", store.ErrTooLarge, len(secret))
	}
	defer s.leave()
	if err := s.enter(); err != nil {
		return err
	}
	known := s.learned[source]
	switch {
	case secret == "":
		delete(s.learned, source)
	case known != "" && known != secret:
		return fmt.Errorf("%w: a secret of source %s is known", store.ErrConflict, source)
	case s.learned == nil:
		s.learned = map[string]string{source: secret}
	default:
		s.learned[source] = secret
	}
	return nil
}

// Learned gives a source's secret.
func (s *Store) Learned(source string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.learned[source]
}
