package gateway

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/deliver"
	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/store"
)

// The states of a destination.
const (
	Up       = deliver.Up
	Down     = deliver.Down
	Paused   = "paused"
	Orphaned = "orphaned"
)

var destinationStates = []string{Up, Down, Paused, Orphaned}

// SourceStatus tells how a source is doing.
type SourceStatus struct {
	Name, Provider string
	// Accepted, Duplicates and Rejected count since the process started.
	Accepted, Duplicates, Rejected uint64
	// Differs counts those of the duplicates that had another body than the first.
	Differs      uint64
	Destinations []DestinationStatus
}

// DestinationStatus tells how a destination is doing.
type DestinationStatus struct {
	Name string
	// State is up, down, paused or orphaned. Down means that five attempts in a
	// row failed, of at least three events, and none has succeeded since, or that
	// the health checks of its proxies find every upstream unhealthy. DownSince,
	// Why and NextProbe tell more; they are zero for other states.
	State     string
	DownSince time.Time
	Why       string
	NextProbe time.Time
	Count     map[event.State]int64
	InFlight  int64
	// Retrying is how many of the pending ones have failed before.
	Retrying      int64
	OldestPending time.Time
	// Rate is the deliveries per second, over the last ten seconds.
	Rate float64
	// Failures counts the failed attempts since the last success, FailingSince
	// is when the first was, and LastError is the last in words.
	Failures     int
	FailingSince time.Time
	LastError    string
	// Truncated counts 2xx answers that were cut short, which count as failures.
	Truncated uint64
	// Limit is how many attempts may run at once just now.
	Limit int
}

// Sources tells how everything is doing, by name: the configured sources, and
// those of which events are pending or dead.
func (g *Gateway) Sources() []SourceStatus {
	l := g.live.Load()
	if l == nil {
		return nil
	}
	return g.status(l, g.present(), l.store.Stats())
}

// status is Sources by a configuration, which may be nil.
func (g *Gateway) status(l *live, app *App, stats store.Stats) []SourceStatus {
	found := map[string]*SourceStatus{}
	source := func(name string) *SourceStatus {
		if found[name] == nil {
			found[name] = g.sourceStatus(name)
		}
		return found[name]
	}
	lanes := map[event.Destination]deliver.Stats{}
	for _, s := range l.dispatcher.Stats() {
		lanes[s.Destination] = s
	}
	stored := map[event.Destination]bool{}
	for _, d := range stats.Destinations {
		stored[d.Destination] = true
		if finished(d, app) {
			continue
		}
		s := source(d.Source)
		s.Destinations = append(s.Destinations, g.destinationStatus(d, lanes[d.Destination], app))
	}
	for _, s := range app.list() {
		status := source(s.config.Name)
		status.Provider = s.config.Provider
		for _, d := range s.names {
			if !stored[d] {
				status.Destinations = append(status.Destinations,
					g.destinationStatus(store.DestinationStats{Destination: d}, lanes[d], app))
			}
		}
	}
	return sorted(found)
}

// reason says why a destination is down. Other states have none here: its last error
// is not why it was paused, or is up again.
func (d DestinationStatus) reason() string {
	if d.State != Down {
		return ""
	}
	return cmp.Or(d.Why, d.LastError)
}

// finished tells that a destination is configured no more and that nothing of it
// is pending or dead: there is nothing left to do about it.
func finished(d store.DestinationStats, app *App) bool {
	return d.Count[event.Pending]+d.Count[event.Dead] == 0 && (app == nil || !app.has(d.Destination))
}

func sorted(found map[string]*SourceStatus) []SourceStatus {
	list := make([]SourceStatus, 0, len(found))
	for _, name := range slices.Sorted(maps.Keys(found)) {
		slices.SortFunc(found[name].Destinations, func(a, b DestinationStatus) int { return cmp.Compare(a.Name, b.Name) })
		list = append(list, *found[name])
	}
	return list
}

func (g *Gateway) sourceStatus(name string) *SourceStatus {
	c := g.countsOf(name)
	return &SourceStatus{
		Name: name, Accepted: c.Accepted.Load() + c.Filtered.Load(),
		Duplicates: c.Duplicates.Load() + c.Revived.Load(), Rejected: c.refused(), Differs: c.Differs.Load(),
	}
}

func (g *Gateway) destinationStatus(d store.DestinationStats, lane deliver.Stats, app *App) DestinationStatus {
	s := DestinationStatus{
		Name: d.Name, State: Up, Count: d.Count, InFlight: d.InFlight, Retrying: d.Retrying, OldestPending: d.OldestPending,
		Rate: g.meterOf(d.Destination).rate(time.Now()), Failures: lane.Failures, FailingSince: lane.FailingSince,
		LastError: lane.LastError, Truncated: lane.Truncated, Limit: lane.Limit,
	}
	switch {
	case app == nil || !app.has(d.Destination):
		s.State = Orphaned
	case d.Paused:
		s.State = Paused
	case lane.Down:
		s.DownSince, s.Why, s.NextProbe = lane.DownSince, lane.Why, lane.NextProbe
		s.State = Down
	}
	return s
}

// list gives the configuration's sources; a nil one has none.
func (a *App) list() []*Source {
	if a == nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Collect(maps.Values(a.sources))
}

// sorted gives them by name.
func (a *App) sorted() []*Source {
	return slices.SortedFunc(slices.Values(a.list()), func(a, b *Source) int { return cmp.Compare(a.config.Name, b.config.Name) })
}

// meter counts per second, over the last ten of them.
type meter struct {
	mu     sync.Mutex
	second [meterSpan]int64
	count  [meterSpan]int64
	// delivered, failed and dead count since the process started.
	delivered, failed, dead atomic.Uint64
}

const meterSpan = 10

func (m *meter) add(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	at := now.Unix()
	i := at % meterSpan
	if m.second[i] != at {
		m.second[i], m.count[i] = at, 0
	}
	m.count[i]++
}

func (m *meter) rate(now time.Time) float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	var n int64
	for i, at := range m.second {
		if now.Unix()-at < meterSpan {
			n += m.count[i]
		}
	}
	return float64(n) / meterSpan
}

func (g *Gateway) meterOf(d event.Destination) *meter {
	g.mu.Lock()
	defer g.mu.Unlock()
	m := g.meters[d]
	if m == nil {
		m = new(meter)
		g.meters[d] = m
	}
	return m
}

func (g *Gateway) observeAttempt(d event.Destination, v event.Verdict, took time.Duration) {
	m := g.meterOf(d)
	switch v {
	case event.Done:
		m.add(time.Now())
		m.delivered.Add(1)
	case event.Again, event.Dying:
		m.failed.Add(1)
	case event.Aborted:
	}
	g.metrics.observeAttempt(d, v, took)
}
