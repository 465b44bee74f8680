package handler

import (
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/gateway"
	"github.com/caddy-webhooks/caddy-webhooks/verify"
)

// runtime is what a provisioned handler works with: one snapshot of the
// configuration, so nothing is looked up twice during a request.
type runtime struct {
	log      *slog.Logger
	now      func() time.Time
	source   *gateway.Source
	record   *verify.Record
	verifier atomic.Pointer[verify.Verifier]
	secrets  *secrets
	ids      []verify.Pick
	typ      *verify.Pick
	success  verify.Answer
	maxBody  int64
	window   time.Duration
	say      limiter // refused requests
	sayDiff  limiter // duplicates that differ
}
