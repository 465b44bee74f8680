package gateway

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/store"
)

// LearnFor is how long a source takes a secret from its provider after an
// operator has said so.
const LearnFor = 15 * time.Minute

// Errors of learning.
var (
	// ErrNotLearning is returned when a secret is offered that nobody waits for.
	ErrNotLearning = errors.New("a secret was offered that nobody waits for")
	// ErrNoLearner is returned for a source that does not learn its secret.
	ErrNoLearner = errors.New("the source does not learn its secret: its configuration says no `secret learn`")
	// ErrNoSource is returned when there is no source of that name.
	ErrNoSource = errors.New("there is no such source")
)

// Learning tells how far a source has come.
type Learning struct {
	// Known tells that it has its secret.
	Known bool
	// Until is when it stops taking one; zero if it takes none.
	Until time.Time
}

// Learn opens a source for a secret of its provider. Where one is known it is
// ErrConflict of the store: forget it first.
func (g *Gateway) Learn(source string, now time.Time) (Learning, error) {
	l, err := g.Learning(source, now)
	switch {
	case err != nil:
		return l, err
	case l.Known:
		return l, fmt.Errorf("%w: source %s knows its secret; forget it first, and make the webhook anew at the provider", store.ErrConflict, source)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.learning == nil {
		g.learning = map[string]time.Time{}
	}
	l.Until = now.Add(LearnFor)
	g.learning[source] = l.Until
	return l, nil
}

// Learning tells how far a source has come.
func (g *Gateway) Learning(source string, now time.Time) (Learning, error) {
	s, err := g.learner(source)
	if err != nil {
		return Learning{}, err
	}
	l := Learning{Known: s.Learned() != ""}
	g.mu.Lock()
	defer g.mu.Unlock()
	if until := g.learning[source]; now.Before(until) && !l.Known {
		l.Until = until
	}
	return l, nil
}

// Forget drops a source's learned secret.
func (g *Gateway) Forget(ctx context.Context, source, who string) error {
	if _, err := g.learner(source); err != nil {
		return err
	}
	s := g.Store()
	if s == nil {
		return store.ErrClosed
	}
	g.close(source)
	return s.Learn(ctx, source, "", who) //nolint:wrapcheck // the store's sentinels are the answer
}

func (g *Gateway) close(source string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.learning, source)
}

func (g *Gateway) learner(source string) (*Source, error) {
	var s *Source
	if app := g.present(); app != nil {
		s = app.source(source)
	}
	switch {
	case s == nil:
		return nil, fmt.Errorf("%w: %s", ErrNoSource, source)
	case !s.config.Learns:
		return nil, fmt.Errorf("source %s: %w", source, ErrNoLearner)
	}
	return s, nil
}

// Learned is the secret that the provider has handed over; empty if none has been.
func (s *Source) Learned() string {
	if l := s.gateway.live.Load(); l != nil {
		return l.store.Learned(s.config.Name)
	}
	return ""
}

// Learn takes a secret that the provider offers, durably. ErrNotLearning unless
// an operator has opened the source for it and none is known; the same one may
// be offered again.
func (s *Source) Learn(ctx context.Context, secret string, now time.Time) error {
	l := s.gateway.live.Load()
	if l == nil {
		return store.ErrClosed
	}
	state, err := s.gateway.Learning(s.config.Name, now)
	switch {
	case err != nil:
		return err
	case state.Known:
		return fmt.Errorf("%w: one is known already", ErrNotLearning)
	case state.Until.IsZero():
		return fmt.Errorf("%w: run `caddy webhooks learn %s` first", ErrNotLearning, s.config.Name)
	}
	err = l.store.Learn(context.WithoutCancel(ctx), s.config.Name, secret, "the provider")
	if errors.Is(err, store.ErrConflict) { // two at once
		return fmt.Errorf("%w: one is known already", ErrNotLearning)
	}
	if err == nil {
		s.gateway.close(s.config.Name)
	}
	return err //nolint:wrapcheck // the store's sentinels are the answer
}
