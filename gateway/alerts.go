package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"
)

// What Caddy's events app is told of. The data of each is documented in
// docs/operating.md.
const (
	AlertDown    = "webhooks_destination_down"
	AlertUp      = "webhooks_destination_up"
	AlertDead    = "webhooks_delivery_dead"
	AlertBacklog = "webhooks_backlog_high"
	AlertRefused = "webhooks_signature_rejected"
)

// alert is one event of Caddy's.
type alert struct {
	name string
	data map[string]any
}

const (
	// alertQueue is how many alerts wait while a handler takes its time. What
	// comes beyond is dropped and counted: alerts must never hold up deliveries.
	alertQueue = 256
	// watchEvery is how often the backlog and the destinations are looked at.
	watchEvery = 5 * time.Second
	// alertEnd is how long a handler has to end when it was told to.
	alertEnd = time.Second
)

// alerts hands events to Caddy's events app, one after the other, from one
// goroutine: handlers run while they are emitted, and may take their time. Its
// context is neither a request's nor a configuration's, so that a handler is not
// cut off by the reload that happens beside it.
type alerts struct {
	queue   chan alert
	dropped atomic.Uint64

	// every is how often is watched.
	every time.Duration

	mu sync.Mutex
	// ready are the configurations whose events app takes events, the newest last.
	// changed is closed when one is added.
	ready   []*App
	changed chan struct{}

	quit   chan struct{} // closed when nothing more is waited for
	done   chan struct{} // closed when the goroutine has ended
	cancel context.CancelFunc
}

func newAlerts() *alerts {
	return &alerts{queue: make(chan alert, alertQueue), changed: make(chan struct{}), every: watchEvery}
}

// put hands an alert over without waiting.
func (s *alerts) put(a alert) {
	select {
	case s.queue <- a:
	default:
		s.dropped.Add(1)
	}
}

// start begins emitting. watch is asked now and then what else there is to tell.
func (s *alerts) start(watch func(*App, time.Time)) {
	live, cancel := context.WithCancel(context.Background())
	s.cancel, s.quit, s.done = cancel, make(chan struct{}), make(chan struct{})
	go func(quit <-chan struct{}, done chan<- struct{}) {
		defer close(done)
		s.run(live, quit, watch)
	}(s.quit, s.done)
}

func (s *alerts) run(live context.Context, quit <-chan struct{}, watch func(*App, time.Time)) {
	tick := time.NewTicker(s.every)
	defer tick.Stop()
	for {
		select {
		case a := <-s.queue:
			s.emit(live, quit, a)
		case now := <-tick.C:
			if app, _ := s.newest(); app != nil {
				watch(app, now)
			}
		case <-quit:
			s.drain(live, quit)
			return
		}
	}
}

// drain emits what still waits.
func (s *alerts) drain(live context.Context, quit <-chan struct{}) {
	for live.Err() == nil {
		select {
		case a := <-s.queue:
			s.emit(live, quit, a)
		default:
			return
		}
	}
}

// emit waits until some configuration takes events, and emits one.
func (s *alerts) emit(live context.Context, quit <-chan struct{}, a alert) {
	for {
		app, changed := s.newest()
		if app != nil {
			app.emit(live, a)
			return
		}
		select {
		case <-changed:
		case <-quit:
			s.dropped.Add(1)
			return
		}
	}
}

// stop ends it: what waits is emitted until ctx ends, and a handler that runs
// then is told to end. One that does not listen is left to itself, so that an
// exit does not hang on a script.
func (s *alerts) stop(ctx context.Context, log *slog.Logger) {
	if s.cancel == nil {
		return
	}
	close(s.quit)
	select {
	case <-s.done:
	case <-ctx.Done():
	}
	s.cancel()
	end := time.NewTimer(alertEnd)
	defer end.Stop()
	select {
	case <-s.done:
	case <-end.C:
		log.Warn("a handler of Caddy's events does not end; nothing waits for it any more")
	}
	s.cancel = nil
}

func (s *alerts) newest() (*App, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.ready); n > 0 {
		return s.ready[n-1], s.changed
	}
	return nil, s.changed
}

// use adds a configuration whose events app has started.
func (s *alerts) use(a *App) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Contains(s.ready, a) {
		s.ready = append(s.ready, a)
		close(s.changed)
		s.changed = make(chan struct{})
	}
}

// leave takes a configuration out.
func (s *alerts) leave(a *App) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ready = slices.DeleteFunc(s.ready, func(other *App) bool { return other == a })
}

// whenStarted is told when Caddy has started all apps. Until then the events app
// takes subscriptions, and must be given no events.
type whenStarted struct{ ready func() }

// Handle takes Caddy's event.
func (w whenStarted) Handle(context.Context, caddy.Event) error {
	w.ready()
	return nil
}

// listen finds the events app. A context without a module is none of Caddy's
// own, and has no apps.
func (a *App) listen(ctx caddy.Context) error {
	if ctx.Module() == nil {
		return nil
	}
	app, err := ctx.App("events")
	if err != nil {
		return fmt.Errorf("loading the app events: %w", err)
	}
	events, ok := app.(*caddyevents.App)
	if !ok {
		return fmt.Errorf("the app events is a %T", app)
	}
	a.events = events
	if err := events.On("started", whenStarted{func() { a.gateway.alerts.use(a) }}); err != nil {
		return fmt.Errorf("listening to Caddy's events: %w", err)
	}
	return nil
}

func (a *App) emit(live context.Context, v alert) {
	ctx := a.ctx
	ctx.Context = live
	a.events.Emit(ctx, v.name, v.data)
}
