package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/store"
)

// handler is a handler of Caddy's events.
type handler func(ctx context.Context, e caddy.Event) error

func (h handler) Handle(ctx context.Context, e caddy.Event) error { return h(ctx, e) }

// subscribe gives an app whose events app is Caddy's own, with one handler of all
// events.
func subscribe(t *testing.T, h handler) *App {
	t.Helper()
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	a := &App{runtime: runtime{ctx: ctx, events: new(caddyevents.App)}}
	if err := a.events.Provision(ctx); err != nil {
		t.Fatal(err)
	}
	if err := a.events.On("", h); err != nil {
		t.Fatal(err)
	}
	if err := a.events.Start(); err != nil {
		t.Fatal(err)
	}
	cancel() // as a reload does: alerts must not hang on it
	return a
}

// told is a handler that hands on what it is told.
func told(got chan caddy.Event) handler {
	return func(ctx context.Context, e caddy.Event) error {
		got <- e
		return context.Cause(ctx)
	}
}

func begin(t *testing.T, s *alerts) {
	t.Helper()
	s.start(func(*App, time.Time) {})
	t.Cleanup(func() { s.stop(t.Context(), slog.New(slog.DiscardHandler)) })
}

func TestAlertsWaitUntilCaddyHasStartedAndGoToTheNewestConfiguration(t *testing.T) {
	t.Parallel()
	s, first, second := newAlerts(), make(chan caddy.Event, 8), make(chan caddy.Event, 8)
	begin(t, s)
	for i := range 3 {
		s.put(alert{AlertDown, map[string]any{"n": i}})
	}
	a, b := subscribe(t, told(first)), subscribe(t, told(second))
	s.use(a)
	for i := range 3 {
		if e := <-first; e.Name() != AlertDown || e.Data["n"] != i {
			t.Errorf("at place %d comes %s %v", i, e.Name(), e.Data)
		}
	}
	s.use(b) // Caddy stops the old one after the new one has started
	s.put(alert{AlertUp, nil})
	if e := <-second; e.Name() != AlertUp {
		t.Errorf("the new configuration is told %s", e.Name())
	}
	s.leave(a)
	s.use(a)
	s.leave(a) // a configuration that failed to start: the one before is back
	s.put(alert{AlertDead, nil})
	if e := <-second; e.Name() != AlertDead {
		t.Errorf("the configuration that is back is told %s", e.Name())
	}
	if len(first) > 0 {
		t.Error("a configuration that is gone was told something")
	}
}

func TestASlowHandlerHoldsNobodyUpAndWhatIsDroppedIsCounted(t *testing.T) {
	t.Parallel()
	s, running, release := newAlerts(), make(chan struct{}, 2*alertQueue), make(chan struct{})
	begin(t, s)
	s.use(subscribe(t, func(context.Context, caddy.Event) error {
		running <- struct{}{}
		<-release
		return nil
	}))
	s.put(alert{AlertDead, nil})
	<-running // the handler has the first, and takes its time
	for range alertQueue + 7 {
		s.put(alert{AlertDead, nil})
	}
	if n := s.dropped.Load(); n != 7 {
		t.Errorf("%d were dropped, want 7", n)
	}
	close(release)
	for range alertQueue {
		<-running
	}
}

func TestAnExitTellsWhatWaitsAndDoesNotHangOnAHandler(t *testing.T) {
	t.Parallel()
	s, got := newAlerts(), make(chan caddy.Event, 8)
	s.use(subscribe(t, told(got)))
	s.start(func(*App, time.Time) {})
	for range 3 {
		s.put(alert{AlertDead, nil})
	}
	s.stop(t.Context(), slog.New(slog.DiscardHandler))
	if len(got) != 3 {
		t.Errorf("%d of 3 were told before the end", len(got))
	}
	s.stop(t.Context(), slog.New(slog.DiscardHandler)) // twice is harmless

	s, running := newAlerts(), make(chan struct{})
	s.use(subscribe(t, func(ctx context.Context, _ caddy.Event) error {
		close(running)
		<-ctx.Done()
		return context.Cause(ctx)
	}))
	s.start(func(*App, time.Time) {})
	s.put(alert{AlertDead, nil})
	<-running
	over, cancel := context.WithCancel(t.Context())
	cancel()
	s.stop(over, slog.New(slog.DiscardHandler))
	<-s.done
}

// watched is a gateway over a store in memory with one configuration, which
// emits into a channel.
func watched(t *testing.T, a *App, routes ...caddyhttp.MiddlewareHandler) (*Gateway, chan caddy.Event) {
	t.Helper()
	got := make(chan caddy.Event, 64)
	of := subscribe(t, told(got))
	a.Store = &Store{Kind: kindMemory}
	ctx := provision(t, a)
	a.events = of.events
	a.gateway.alerts.every = time.Hour // the tests watch by themselves
	var list caddyhttp.RouteList
	for _, h := range routes {
		list = chain(t, ctx, h)
	}
	register(t, a, list, "shop")
	if err := a.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { end(t, a) })
	a.gateway.alerts.use(a)
	return a.gateway, got
}

// hold pauses the destination and stores an event of so many bytes.
func hold(t *testing.T, g *Gateway, size int) {
	t.Helper()
	d := event.Destination{Source: "shop", Name: "default"}
	if _, err := g.Store().Command(t.Context(), store.Command{Action: store.Pause, Target: d, Introduce: true}); err != nil {
		t.Fatal(err)
	}
	e := webhook("shop")
	e.Received, e.Body = time.Now(), make([]byte, size)
	if _, err := g.Store().Accept(t.Context(), store.Admission{Event: e, Owed: []store.Owed{{Destination: "default"}}}); err != nil {
		t.Fatal(err)
	}
}

// Not parallel: the pool is the process's.
func TestABacklogThatIsHighIsToldOfOnce(t *testing.T) {
	a := &App{MaxBacklog: 1000}
	g, got := watched(t, a)
	now := time.Now()
	hold(t, g, 350)
	g.watch(a, now)
	hold(t, g, 100) // 450 of the source's 500: above 80 %; of all it is 45 %
	for range 3 {
		g.watch(a, now)
	}
	if e := <-got; e.Name() != AlertBacklog || fmt.Sprint(e.Data) != "map[bytes:450 max_backlog:500 percent:90 source:shop why:bytes]" {
		t.Errorf("%s %v", e.Name(), e.Data)
	}
	g.watch(a, now.Add(59*time.Minute))
	for range 3 {
		g.watch(a, now.Add(61*time.Minute))
	}
	e := <-got
	if e.Name() != AlertBacklog || e.Data["why"] != "age" || e.Data["source"] != "shop" || e.Data["destination"] != "default" ||
		e.Data["state"] != Paused || e.Data["pending"] != int64(2) || e.Data["seconds"].(int64) < 3600 {
		t.Errorf("%s %v", e.Name(), e.Data)
	}
	g.alerts.put(alert{"mark", nil})
	if e := <-got; e.Name() != "mark" {
		t.Errorf("told again: %s %v", e.Name(), e.Data)
	}
}

func TestAlertBacklogCanBeOff(t *testing.T) {
	a := &App{MaxBacklog: 1000, AlertBacklog: &AlertBacklogAt{PercentOff: true, AgeOff: true}}
	g, got := watched(t, a)
	hold(t, g, 450)
	g.watch(a, time.Now().Add(1000*time.Hour))
	g.alerts.put(alert{"mark", nil})
	if e := <-got; e.Name() != "mark" {
		t.Errorf("told though it is off: %s %v", e.Name(), e.Data)
	}
}

func TestDestinationsAndDeadEventsAreToldOf(t *testing.T) {
	a := new(App)
	g, got := watched(t, a)
	d := event.Destination{Source: "shop", Name: "default"}
	for _, step := range [][2]string{{Up, Down}, {Up, Down}, {Down, Paused}, {Paused, Down}, {Down, Up}, {Down, Up}} {
		g.stateChanged(d, step[0], step[1], "refused")
	}
	e := webhook("shop")
	e.ProviderID, e.Type = "evt_1", "paid"
	g.died(d, e, event.Outcome{Attempt: event.Attempt{Status: 410, Number: 3, Error: "gone"}})
	for _, want := range []string{AlertDown, AlertUp, AlertDead} {
		e := <-got
		if e.Name() != want || e.Data["source"] != "shop" || e.Data["destination"] != "default" {
			t.Errorf("%s %v, want %s", e.Name(), e.Data, want)
		}
		if want == AlertDead && (e.Data["id"] != "evt_1" || e.Data["status"] != 410 || e.Data["attempts"] != 3 || e.Data["why"] != "gone") {
			t.Errorf("%v", e.Data)
		}
	}
}

// answers is a backend whose status can be changed.
type answers struct{ status *atomic.Int64 }

func (b answers) ServeHTTP(w http.ResponseWriter, _ *http.Request, _ caddyhttp.Handler) error {
	w.WriteHeader(int(b.status.Load()))
	return nil
}

func TestTheDispatcherTellsOfDeadEventsAndOutages(t *testing.T) {
	b := answers{new(atomic.Int64)}
	b.status.Store(http.StatusGone)
	a := new(App)
	g, got := watched(t, a, b)
	s := a.source("shop")
	send := func() {
		e := webhook("shop")
		e.Received = time.Now()
		if _, err := s.Accept(t.Context(), e, nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	send()
	if e := <-got; e.Name() != AlertDead || e.Data["status"] != http.StatusGone || e.Data["attempts"] != 1 {
		t.Errorf("%s %v", e.Name(), e.Data)
	}
	b.status.Store(http.StatusInternalServerError)
	for range 5 {
		send()
	}
	if e := <-got; e.Name() != AlertDown || e.Data["why"] != "backend answered 500" {
		t.Errorf("%s %v", e.Name(), e.Data)
	}
	if d := g.Sources()[0].Destinations[0]; d.State != Down {
		t.Errorf("told, and shown as %s", d.State)
	}
	b.status.Store(http.StatusOK)
	if e := <-got; e.Name() != AlertUp {
		t.Errorf("%s %v", e.Name(), e.Data)
	}
}

func TestRefusalsAreToldOfOnceAMinute(t *testing.T) {
	t.Parallel()
	s, now := newSentry(), time.Unix(1_795_000_000, 0)
	for i, step := range []struct {
		source string
		after  time.Duration
		want   uint64
	}{
		{"shop", 0, 1},
		{"shop", time.Second, 0},
		{"blog", time.Second, 1},
		{"shop", 59 * time.Second, 0},
		{"shop", 60 * time.Second, 3},
		{"shop", 61 * time.Second, 0},
		{"shop", -time.Hour, 2}, // the clock was set back
	} {
		if n := s.refuses(step.source, now.Add(step.after)); n != step.want {
			t.Errorf("step %d: %d, want %d", i, n, step.want)
		}
	}
}

func TestWhatRisesIsToldOfAgainOnlyAfterItFell(t *testing.T) {
	t.Parallel()
	s := newSentry()
	for i, step := range []struct {
		value float64
		want  bool
	}{{99, false}, {100, true}, {200, false}, {80, false}, {100, false}, {74, false}, {100, true}} {
		if got := s.rises("age", step.value, 100); got != step.want {
			t.Errorf("step %d, %v: %v", i, step.value, got)
		}
	}
	if !s.rises("other", 100, 100) {
		t.Error("one thing holds another back")
	}
}

func TestAlertBacklogThatCannotBeIsRefused(t *testing.T) {
	t.Parallel()
	for _, b := range []AlertBacklogAt{{Percent: 101}, {Percent: -1}, {Age: -1}, {Percent: 1, PercentOff: true}, {Age: 1, AgeOff: true}} {
		b.setDefaults()
		if b.validate() == nil {
			t.Errorf("%+v loads", b)
		}
	}
	var b AlertBacklogAt
	b.setDefaults()
	if b.Percent != 80 || time.Duration(b.Age) != time.Hour || b.validate() != nil {
		t.Errorf("defaults are %+v", b)
	}
}

// What the watcher read before it was told of a recovery is old news.
func TestAStateThatWasReadBeforeAChangeIsNotTold(t *testing.T) {
	t.Parallel()
	s, d, now := newSentry(), event.Destination{Source: "shop", Name: "default"}, time.Now()
	var got []string
	say := func(name string, _ time.Time) {
		if name != "" {
			got = append(got, name)
		}
	}
	say(s.turned(d, Down, now))
	before := s.moment()
	say(s.turned(d, Up, now))
	say(s.saw(d, Down, before, now))
	say(s.saw(d, Up, s.moment(), now))
	if fmt.Sprint(got) != fmt.Sprint([]string{AlertDown, AlertUp}) {
		t.Errorf("it tells of %v", got)
	}
	say(s.saw(d, Down, s.moment(), now)) // of which nobody told
	if len(got) != 3 || got[2] != AlertDown {
		t.Errorf("what the watcher alone has seen: %v", got)
	}
}
