package gateway

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/tracing"
)

// newTracer makes a tracer by the environment. What is wrong there must not keep
// webhooks from being accepted.
func (g *Gateway) newTracer() *tracing.Tracer {
	t, err := tracing.New(context.Background(), slog.New(g.relay))
	if err != nil {
		slog.New(g.relay).Error("there will be no traces", "error", err)
		return nil
	}
	return t
}

// Tracer makes spans; it is nil if nobody wants them.
func (s *Source) Tracer() *tracing.Tracer { return s.gateway.tracer() }

func (g *Gateway) tracer() *tracing.Tracer {
	if l := g.live.Load(); l != nil {
		return l.tracer
	}
	return nil
}

func (g *Gateway) traceAttempt(ctx context.Context, destination string, t event.Try, h http.Header) func(event.Outcome) {
	return g.tracer().Attempt(ctx, destination, t, h)
}
