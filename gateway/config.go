// Package gateway is the Caddy app `webhooks`, and the pooled object behind it
// that owns the store and the workers for as long as the process lives.
package gateway

import "github.com/caddyserver/caddy/v2"

// App configures what all sources share: where events are stored, for how long,
// and how much of everything there may be.
type App struct {
	// Store says where events are kept.
	Store *Store `json:"store,omitempty"`

	// Retention is how long delivered events are kept for search and replay.
	// Undelivered and dead ones are kept until they are delivered or discarded.
	// Default: 168h (7 days).
	Retention caddy.Duration `json:"retention,omitempty"`

	// RetentionSize is how much disk the stored events may take, in bytes, before
	// the oldest delivered ones go earlier. Default: a quarter of the file system.
	RetentionSize int64 `json:"retention_size,omitempty"`

	// MaxBacklog is how many bytes of bodies may wait for delivery; beyond it new
	// events are answered 503. One source may use half of it. Default: 10 GiB.
	MaxBacklog int64 `json:"max_backlog,omitempty"`

	// AlertBacklog says when the event webhooks_backlog_high is emitted.
	AlertBacklog *AlertBacklogAt `json:"alert_backlog,omitempty"`

	// MaxInflight is how many bytes of bodies may be read at once; beyond it a
	// request waits for up to 5 s, and is then answered 503. Default: 64 MiB.
	MaxInflight int64 `json:"max_inflight,omitempty"`

	runtime
}

// AlertBacklogAt says how much may wait, and for how long, until Caddy's events
// app is told.
type AlertBacklogAt struct {
	// Percent is how much of max_backlog, or of one source's share of it, is too
	// much. Default: 80.
	Percent int `json:"percent,omitempty"`

	// PercentOff has nobody told of how much waits.
	PercentOff bool `json:"percent_off,omitempty"`

	// Age is for how long an event may wait for one destination. Default: 1h.
	Age caddy.Duration `json:"age,omitempty"`

	// AgeOff has nobody told of how long something waits.
	AgeOff bool `json:"age_off,omitempty"`
}

// Store says where events are kept.
type Store struct {
	// Kind is `local` (a directory of this machine) or `memory` (for trials: a
	// restart loses everything). Default: local.
	Kind string `json:"kind,omitempty"`

	// Path is the directory of the local store. Default: `webhooks` in Caddy's
	// data directory.
	Path string `json:"path,omitempty"`

	// MinFree is how much of the file system stays free, in bytes: below it new
	// events are answered 503 and deliveries go on. Default: the smaller of 1 GiB
	// and 5 % of the file system, and at least two segments.
	MinFree int64 `json:"min_free,omitempty"`
}
