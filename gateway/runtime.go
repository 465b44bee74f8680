package gateway

import (
	"log/slog"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"

	"github.com/caddy-webhooks/caddy-webhooks/store/local"
)

// runtime is what a provisioned app works with.
type runtime struct {
	ctx caddy.Context
	log *slog.Logger
	// key names the pooled gateway; empty until this app holds a reference to it.
	key     string
	gateway *Gateway
	grace   time.Duration
	// events is Caddy's events app; nil without a whole Caddy.
	events *caddyevents.App

	mu      sync.Mutex
	sources map[string]*Source
	// published tells that the gateway works by this app's sources.
	published bool
	// Tune changes how the local store opens. It is no part of the configuration:
	// with it, what stands above can be shown a disk that fails.
	Tune func(*local.Options) `json:"-"`
}
