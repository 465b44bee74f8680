package gateway

import (
	"context"
	"log/slog"
	"sync/atomic"
)

// relay is a log handler that passes on to the present configuration's. Caddy
// closes a log file when no configuration writes to it any more; whoever lives
// longer than a configuration must not hold on to its logger.
type relay struct {
	present *atomic.Pointer[slog.Handler]
	// derive adds the attributes and groups of this logger.
	derive func(slog.Handler) slog.Handler
}

func newRelay() *relay {
	r := &relay{present: new(atomic.Pointer[slog.Handler]), derive: func(h slog.Handler) slog.Handler { return h }}
	r.to(slog.New(slog.DiscardHandler))
	return r
}

// to has everything go to another logger from now on.
func (r *relay) to(l *slog.Logger) {
	h := l.Handler()
	r.present.Store(&h)
}

func (r *relay) handler() slog.Handler { return r.derive(*r.present.Load()) }

// Enabled asks the present logger.
func (r *relay) Enabled(ctx context.Context, l slog.Level) bool {
	return (*r.present.Load()).Enabled(ctx, l)
}

// Handle passes on.
func (r *relay) Handle(ctx context.Context, record slog.Record) error {
	return r.handler().Handle(ctx, record) //nolint:wrapcheck // slog's own
}

// WithAttrs gives a relay that adds attributes.
func (r *relay) WithAttrs(attrs []slog.Attr) slog.Handler {
	before := r.derive
	return &relay{present: r.present, derive: func(h slog.Handler) slog.Handler { return before(h).WithAttrs(attrs) }}
}

// WithGroup gives a relay that opens a group.
func (r *relay) WithGroup(name string) slog.Handler {
	before := r.derive
	return &relay{present: r.present, derive: func(h slog.Handler) slog.Handler { return before(h).WithGroup(name) }}
}
