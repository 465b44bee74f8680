package gateway

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/prometheus/client_golang/prometheus"
)

func init() { caddy.RegisterModule(new(App)) }

// Defaults of [App].
const (
	DefaultRetention   = caddy.Duration(7 * 24 * time.Hour)
	DefaultMaxBacklog  = 10 << 30
	DefaultMaxInflight = 64 << 20
	// DefaultAlertPercent and DefaultAlertAge are those of alert_backlog.
	DefaultAlertPercent = 80
	DefaultAlertAge     = caddy.Duration(time.Hour)
)

// The kinds of stores.
const (
	kindLocal  = "local"
	kindMemory = "memory"
)

// MaxRecord is the largest event that the local store takes: half a segment.
const MaxRecord = 32 << 20

// defaultGrace is how long an exit waits for running attempts where Caddy's
// grace period is unset. Service managers kill after 5 to 10 seconds.
const defaultGrace = 4 * time.Second

// CaddyModule names the module.
func (*App) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "webhooks", New: func() caddy.Module { return new(App) }}
}

func (a *App) setDefaults() {
	if a.Store == nil {
		a.Store = new(Store)
	}
	if a.Store.Kind == "" {
		a.Store.Kind = kindLocal
	}
	if a.Store.Kind == kindLocal && a.Store.Path == "" {
		a.Store.Path = filepath.Join(caddy.AppDataDir(), "webhooks")
	}
	if a.Retention == 0 {
		a.Retention = DefaultRetention
	}
	if a.MaxBacklog == 0 {
		a.MaxBacklog = DefaultMaxBacklog
	}
	if a.MaxInflight == 0 {
		a.MaxInflight = DefaultMaxInflight
	}
	if a.AlertBacklog == nil {
		a.AlertBacklog = new(AlertBacklogAt)
	}
	a.AlertBacklog.setDefaults()
}

func (b *AlertBacklogAt) setDefaults() {
	if b.Percent == 0 && !b.PercentOff {
		b.Percent = DefaultAlertPercent
	}
	if b.Age == 0 && !b.AgeOff {
		b.Age = DefaultAlertAge
	}
}

func (b *AlertBacklogAt) validate() error {
	switch {
	case b.PercentOff && b.Percent != 0, b.AgeOff && b.Age != 0:
		return errors.New("alert_backlog: a limit is set and off at once")
	case b.Percent < 0 || b.Percent > 100:
		return fmt.Errorf("alert_backlog: %d %% is no part of max_backlog; it must be 1 to 100", b.Percent)
	case b.Age < 0:
		return fmt.Errorf("alert_backlog: age is negative: %d", b.Age)
	}
	return nil
}

// alertPercent and alertAge are the limits of alert_backlog; 0 for none.
func (a *App) alertPercent() int       { return a.AlertBacklog.Percent }
func (a *App) alertAge() time.Duration { return time.Duration(a.AlertBacklog.Age) }

// Provision takes a reference to the gateway of this directory. It opens
// nothing: `caddy validate` provisions too, beside a running Caddy.
func (a *App) Provision(ctx caddy.Context) error {
	a.setDefaults()
	a.ctx, a.log, a.sources = ctx, ctx.Slogger(), map[string]*Source{}
	key := kindMemory
	if a.Store.Kind == kindLocal {
		path, err := caddy.NewReplacer().ReplaceOrErr(a.Store.Path, true, true)
		if err != nil {
			return fmt.Errorf("the store's directory %s: %w", a.Store.Path, err)
		}
		dir, err := filepath.Abs(path)
		if err != nil {
			return fmt.Errorf("the store's directory: %w", err)
		}
		a.Store.Path, key = dir, dir
	}
	value, _, err := pool.LoadOrNew(key, func() (caddy.Destructor, error) { return newGateway(key), nil })
	if err != nil {
		return fmt.Errorf("preparing the gateway: %w", err)
	}
	a.key, a.gateway = key, value.(*Gateway) //nolint:forcetypeassert // nothing else is in our pool
	if err := ctx.GetMetricsRegistry().Register(a.gateway.metrics); err != nil {
		if !errors.As(err, new(prometheus.AlreadyRegisteredError)) {
			return fmt.Errorf("registering metrics: %w", err)
		}
	}
	return a.listen(ctx)
}

// Validate refuses what cannot work.
func (a *App) Validate() error {
	switch {
	case a.Store.Kind != kindLocal && a.Store.Kind != kindMemory:
		return fmt.Errorf("unknown kind of store %q: it is %q or %q", a.Store.Kind, kindLocal, kindMemory)
	case a.Store.Kind == kindMemory && (a.Store.Path != "" || a.Store.MinFree != 0):
		return errors.New("a memory store has no path and no min_free")
	}
	for name, value := range map[string]int64{
		"retention": int64(a.Retention), "retention_size": a.RetentionSize, "max_backlog": a.MaxBacklog,
		"max_inflight": a.MaxInflight, "min_free": a.Store.MinFree,
	} {
		if value < 0 {
			return fmt.Errorf("%s is negative: %d", name, value)
		}
	}
	return a.AlertBacklog.validate()
}

// ErrClash is returned when two different sources have one name.
var ErrClash = errors.New("two different sources have the same name")

// Register adds a source of this configuration. A site with two addresses
// registers its source twice: the same name and equal JSON is one source.
func (a *App) Register(c SourceConfig) (*Source, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if known, ok := a.sources[c.Name]; ok {
		if !bytes.Equal(known.config.JSON, c.JSON) {
			return nil, fmt.Errorf("%w%s; give one of them another `name`", ErrClash, known.config.elsewhere())
		}
		return known, nil
	}
	if len(c.Destinations) == 0 {
		return nil, errors.New("it has no destination")
	}
	s := newSource(a, c)
	a.sources[c.Name] = s
	return s, nil
}

// all lists the sources, by name.
func (a *App) all() []*Source {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.SortedFunc(maps.Values(a.sources), func(x, y *Source) int { return strings.Compare(x.config.Name, y.config.Name) })
}

// source gives a source by name; nil if there is none.
func (a *App) source(name string) *Source {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.sources[name]
}

// LargestRecord is how large a body and its headers may be together for this
// store; 0 means any size.
func (a *App) LargestRecord() int64 {
	if a.Store.Kind == kindLocal {
		return MaxRecord
	}
	return 0
}

// Start opens the store, if this is the first configuration that uses it, and
// makes the gateway work by this one.
func (a *App) Start() error {
	a.grace = a.gracePeriod()
	if err := a.gateway.publish(a); err != nil {
		return err
	}
	a.published = true
	return nil
}

func (a *App) gracePeriod() time.Duration {
	grace := defaultGrace
	if app, err := a.ctx.AppIfConfigured("http"); err == nil {
		if http, ok := app.(*caddyhttp.App); ok && http.GracePeriod > 0 {
			grace = min(grace, time.Duration(http.GracePeriod))
		}
	}
	return grace
}

// Stop withdraws this configuration. With no other one it waits for the
// running attempts; what does not end in time is given back to the store.
func (a *App) Stop() error {
	if a.published {
		a.published = false
		a.gateway.withdraw(a)
	}
	return nil
}

// Cleanup releases the gateway; the last one to do so closes the store. It
// also runs after a Provision or a Start that failed.
func (a *App) Cleanup() error {
	if a.key == "" {
		return nil
	}
	err := a.Stop()
	key := a.key
	a.key = ""
	if _, closeErr := pool.Delete(key); closeErr != nil {
		err = errors.Join(err, fmt.Errorf("closing the store: %w", closeErr))
	}
	return err
}

// interface guards
var (
	_ caddy.App          = (*App)(nil)
	_ caddy.Provisioner  = (*App)(nil)
	_ caddy.Validator    = (*App)(nil)
	_ caddy.CleanerUpper = (*App)(nil)
)
