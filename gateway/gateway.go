package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-webhooks/caddy-webhooks/deliver"
	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/jobs"
	"github.com/caddy-webhooks/caddy-webhooks/store"
	"github.com/caddy-webhooks/caddy-webhooks/store/local"
	"github.com/caddy-webhooks/caddy-webhooks/store/memory"
	"github.com/caddy-webhooks/caddy-webhooks/tracing"
)

// pool has the gateway of every directory in use. It is the one place where
// state outlives a configuration.
var pool = caddy.NewUsagePool()

// ErrMoved is returned by Start when the configuration names another store
// while the present one holds undelivered events.
var ErrMoved = errors.New("the present store still holds undelivered events")

// lockWait is how long an opening store waits for another process to let go of
// the directory: an upgrade's old process needs its grace period.
const (
	lockWait  = 10 * time.Second
	lockRetry = 100 * time.Millisecond
)

// Gateway is what lives as long as some configuration uses its directory:
// store, dispatcher and counts. Its methods are safe for concurrent use.
type Gateway struct {
	key     string
	budget  Budget
	metrics *metrics
	looks   looks
	alerts  *alerts
	sentry  *sentry
	replies replies
	refused refusedLog
	live    atomic.Pointer[live]
	// configured is the configuration by which store and dispatcher work.
	configured atomic.Pointer[App]
	// room is the configuration's max_backlog.
	room atomic.Int64
	// relay is where store and dispatcher log: they outlive a configuration,
	// and with it its log files.
	relay *relay

	// publishing holds one Start or Stop at a time.
	publishing sync.Mutex
	// generations are the configurations that have started, the newest last. It
	// is the one that counts; the one before comes back if it is withdrawn, as
	// Caddy does when another app fails to start.
	generations []*App

	// inheriting holds one change of heirs at a time.
	inheriting sync.Mutex

	mu     sync.Mutex
	counts map[string]*Counts
	meters map[event.Destination]*meter
	// learning has until when sources take a secret from their provider.
	learning map[string]time.Time
}

// live is an open store and who delivers from it.
type live struct {
	store      store.Store
	dispatcher *deliver.Dispatcher
	jobs       *jobs.Runner
	recorder   *recorder
	tracer     *tracing.Tracer // nil if nobody wants traces
	// heirs is never nil, and is not changed but replaced.
	heirs *atomic.Pointer[heirs]
}

func newGateway(key string) *Gateway {
	g := &Gateway{key: key, relay: newRelay(), looks: newLooks(), alerts: newAlerts(), sentry: newSentry(), counts: map[string]*Counts{}, meters: map[event.Destination]*meter{}}
	g.metrics = newMetrics(g)
	return g
}

// Running finds the gateway that works in this process, if there is one. Ask
// anew for every request: a reload may have replaced it.
func Running() (*Gateway, bool) {
	var found *Gateway
	pool.Range(func(_, value any) bool {
		g, ok := value.(*Gateway)
		if ok && g.live.Load() != nil {
			found = g
			return false
		}
		return true
	})
	return found, found != nil
}

// Store is the open store, to read from and to command.
func (g *Gateway) Store() store.Store {
	if l := g.live.Load(); l != nil {
		return l.store
	}
	return nil
}

// Jobs are what operators have ordered about many events; nil when the store is closed.
func (g *Gateway) Jobs() *jobs.Runner {
	if l := g.live.Load(); l != nil {
		return l.jobs
	}
	return nil
}

// Budget bounds the bodies that are being read.
func (g *Gateway) Budget() *Budget { return &g.budget }

// publish makes the gateway work by a configuration.
func (g *Gateway) publish(a *App) error {
	g.publishing.Lock()
	defer g.publishing.Unlock()
	if err := g.refuseMove(a); err != nil {
		return err
	}
	if g.live.Load() == nil {
		g.relay.to(a.log)
	}
	l := g.live.Load()
	if l == nil || len(g.generations) == 0 {
		var err error
		if l, err = g.open(a, l); err != nil {
			return err
		}
	}
	var before *App
	if n := len(g.generations); n > 0 {
		before = g.generations[n-1]
	}
	g.generations = append(g.generations, a)
	g.configure(l, a)
	l.dispatcher.Start()
	g.live.Store(l)
	if before == nil {
		l.jobs.Start()
		g.alerts.start(g.watch)
		l.recorder.start(g.readings)
	}
	warnOrphans(l.store.Stats(), before, a)
	return nil
}

// limits are the settings of the store that a reload changes at once.
func (a *App) limits() store.Limits {
	return store.Limits{
		Retention: time.Duration(a.Retention), RetentionSize: a.RetentionSize, MaxBacklog: a.MaxBacklog, MinFree: a.Store.MinFree,
	}
}

// refuseMove looks for another store of this process that still owes something.
func (g *Gateway) refuseMove(a *App) error {
	var err error
	pool.Range(func(key, value any) bool {
		other, ok := value.(*Gateway)
		if !ok || other == g {
			return true
		}
		if n := other.pending(); n > 0 {
			err = fmt.Errorf("the store moves from %v to %s: %w (%d deliveries); let them finish or discard them "+
				"(caddy webhooks sources shows them), or stop Caddy, move the directory, and start it with the new path",
				key, g.key, ErrMoved, n)
			a.log.Error("reload refused", "error", err)
			return false
		}
		return true
	})
	return err
}

// pending counts the deliveries that wait.
func (g *Gateway) pending() (n int64) {
	l := g.live.Load()
	if l == nil {
		return 0
	}
	for _, d := range l.store.Stats().Destinations {
		n += d.Count[event.Pending]
	}
	return n
}

// open gives the store and a dispatcher that has not started. was is what is
// left of a time without any configuration, or nil.
func (g *Gateway) open(a *App, was *live) (*live, error) {
	var s store.Store
	var r *recorder
	known := &atomic.Pointer[heirs]{}
	if was != nil {
		s, r, known = was.store, was.recorder, was.heirs
	} else {
		var err error
		if s, err = g.openStore(a); err != nil {
			return nil, err
		}
		known.Store(g.heirs(s))
		r = newRecorder(a, slog.New(g.relay), time.Now())
	}
	return &live{
		store: s, recorder: r, tracer: g.newTracer(), heirs: known,
		dispatcher: deliver.New(deliver.Options{
			Queue: s, Logger: slog.New(g.relay),
			Observe: deliver.Observer{Attempt: g.observeAttempt, Lag: g.metrics.observeLag, State: g.stateChanged, Dead: g.died},
		}),
		jobs: jobs.New(jobs.Options{Store: s, Logger: slog.New(g.relay), Room: g.jobRoom, Moving: g.inherit, Configured: g.sends}),
	}, nil
}

// sends tells whether what waits at a destination is sent: it is configured.
func (g *Gateway) sends(d event.Destination) bool {
	app := g.configured.Load()
	return app != nil && app.has(d)
}

// jobRoom is how many bytes may wait before jobs pause: half of what may wait in
// all, so that the rest is left to the providers.
func (g *Gateway) jobRoom() int64 { return g.room.Load() / 2 }

func (g *Gateway) openStore(a *App) (store.Store, error) {
	if a.Store.Kind == kindMemory {
		a.log.Warn("events are kept in memory only: a restart loses everything that is not delivered")
		return memory.New(memory.Options{MaxBacklog: a.MaxBacklog}), nil
	}
	o := local.Options{
		Dir: a.Store.Path, Limits: a.limits(), Logger: slog.New(g.relay), ObserveSync: g.metrics.observeSync,
	}
	if a.Tune != nil {
		a.Tune(&o)
	}
	deadline := time.Now().Add(lockWait)
	for said := false; ; said = true {
		s, err := local.Open(o)
		switch {
		case err == nil:
			return s, nil
		case !errors.Is(err, local.ErrLocked) || !time.Now().Before(deadline):
			return nil, err
		case !said:
			a.log.Info("waiting for another process to let go of the store", slog.Any("error", err))
		}
		if err := pause(a.ctx, lockRetry); err != nil {
			return nil, err
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// configure makes store and dispatcher work by a configuration.
func (g *Gateway) configure(l *live, a *App) {
	a.mu.Lock()
	defer a.mu.Unlock()
	g.configured.Store(a)
	g.budget.resize(a.MaxInflight)
	g.relay.to(a.log)
	l.store.SetLimits(a.limits())
	g.room.Store(a.MaxBacklog)
	targets := map[event.Destination]deliver.Target{}
	for _, s := range a.sources {
		for i, d := range s.config.Destinations {
			targets[event.Destination{Source: s.config.Name, Name: d.Name}] = s.targets[i]
		}
	}
	l.dispatcher.Configure(targets)
}

// has tells whether the configuration names the destination.
func (a *App) has(d event.Destination) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	s, ok := a.sources[d.Source]
	return ok && slices.ContainsFunc(s.config.Destinations, func(c Destination) bool { return c.Name == d.Name })
}

// withdraw ends a configuration's time. The last one's end stops delivery.
func (g *Gateway) withdraw(a *App) {
	g.publishing.Lock()
	defer g.publishing.Unlock()
	at := slices.Index(g.generations, a)
	if at < 0 {
		return
	}
	newest := at == len(g.generations)-1
	g.generations = slices.Delete(g.generations, at, at+1)
	defer g.alerts.leave(a)
	l := g.live.Load()
	switch {
	case l == nil:
	case len(g.generations) == 0:
		ctx, cancel := context.WithTimeout(context.Background(), a.grace)
		defer cancel()
		l.jobs.Stop()
		l.dispatcher.Stop(ctx)
		l.recorder.stop()
		l.tracer.Stop(ctx)
		g.alerts.stop(ctx, slog.New(g.relay))
	case newest:
		before := g.generations[len(g.generations)-1]
		g.configure(l, before)
	}
}

// Destruct closes the store, when no configuration uses it any more.
func (g *Gateway) Destruct() error {
	l := g.live.Swap(nil)
	if l == nil {
		return nil
	}
	return l.store.Close()
}

// present is the configuration that counts, or nil.
func (g *Gateway) present() *App {
	g.publishing.Lock()
	defer g.publishing.Unlock()
	if len(g.generations) == 0 {
		return nil
	}
	return g.generations[len(g.generations)-1]
}
