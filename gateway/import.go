package gateway

import (
	"context"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/store"
)

// Import takes in an event that another gateway has accepted, as it stands. Its
// claim lasts as long as it would have if the event had come here. An event of
// which the body is gone has none, and neither has one of a source that is not
// configured. Errors are the store's.
func (g *Gateway) Import(ctx context.Context, r store.Record, now time.Time) (store.Receipt, error) {
	l := g.live.Load()
	if l == nil {
		return store.Receipt{}, store.ErrClosed
	}
	in := store.Import{Record: r}
	if app := g.present(); app != nil {
		if s := app.source(r.Source); s != nil {
			in.Share, in.Claim = s.config.Share, s.claimOf(r, now)
		}
	}
	return l.store.Import(ctx, in) //nolint:wrapcheck // it names the event
}

func (s *Source) claimOf(r store.Record, now time.Time) *store.Claim {
	if s.config.Claim == nil || r.Event == nil {
		return nil
	}
	claim := s.config.Claim(r.Event)
	if claim != nil {
		claim.Window = max(0, claim.Window-max(0, now.Sub(r.Received)))
	}
	return claim
}
