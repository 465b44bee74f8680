package gateway

import (
	"sync"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/event"
)

// refusedEvery is the least time between two alerts of one source's refusals.
const refusedEvery = time.Minute

// sentry notices what an operator must be told once, not again and again.
type sentry struct {
	mu sync.Mutex
	// down has the destinations of which it was told that they are down, since when.
	down map[event.Destination]time.Time
	// turns counts the changes of state that it was told of, and heard has the last
	// of each destination. What was read before that is old news.
	turns uint64
	heard map[event.Destination]uint64
	// high has what it was told of that it is too much: "bytes", the bytes of a
	// source, the age of a destination's oldest event.
	high map[string]bool
	// refused has each source's refusals since the last alert.
	refused map[string]*refusals
}

type refusals struct {
	last time.Time
	n    uint64
}

func newSentry() *sentry {
	return &sentry{down: map[event.Destination]time.Time{}, heard: map[event.Destination]uint64{}, high: map[string]bool{}, refused: map[string]*refusals{}}
}

// turned is told of a destination's new state. It tells whether there is something
// to say, and since when the destination had been down.
func (s *sentry) turned(d event.Destination, state string, now time.Time) (name string, since time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.turns++
	s.heard[d] = s.turns
	return s.note(d, state, now)
}

// moment is one that states can be read after, for saw.
func (s *sentry) moment() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.turns
}

// saw is told of a state that was read after a moment. If the sentry was told of a
// change since, that is newer.
func (s *sentry) saw(d event.Destination, state string, since uint64, now time.Time) (name string, from time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.heard[d] > since {
		return "", time.Time{}
	}
	return s.note(d, state, now)
}

// note notes a state. A pause is no news, and neither ends nor begins an outage.
// The mutex is held.
func (s *sentry) note(d event.Destination, state string, now time.Time) (name string, since time.Time) {
	since, known := s.down[d]
	switch {
	case state == Down && !known:
		s.down[d] = now
		return AlertDown, now
	case state == Up && known:
		delete(s.down, d)
		return AlertUp, since
	case state == Orphaned:
		delete(s.down, d)
	}
	return "", time.Time{}
}

// rises tells whether something has come to its limit. It does so once, and
// again only after it was below three quarters of it.
func (s *sentry) rises(what string, value, limit float64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case value >= limit && !s.high[what]:
		s.high[what] = true
		return true
	case value < limit*3/4:
		delete(s.high, what)
	}
	return false
}

// refuses counts a refusal; n is not 0 if it is time to tell of so many.
func (s *sentry) refuses(source string, now time.Time) (n uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.refused[source]
	if r == nil {
		r = new(refusals)
		s.refused[source] = r
	}
	r.n++
	if passed := now.Sub(r.last); !r.last.IsZero() && passed >= 0 && passed < refusedEvery {
		return 0
	}
	n, r.last, r.n = r.n, now, 0
	return n
}

// stateChanged is told of a destination's new state, and why it has it.
func (g *Gateway) stateChanged(d event.Destination, from, to, why string) {
	_ = from // what was told before decides, not what was before
	now := time.Now()
	name, since := g.sentry.turned(d, to, now)
	g.tellState(name, d, to, why, since, now)
}

// tellState tells of a destination that went down, or came up again.
func (g *Gateway) tellState(name string, d event.Destination, state, why string, since, now time.Time) {
	if name == "" {
		return
	}
	g.alerts.put(alert{name, map[string]any{
		"source": d.Source, "destination": d.Name, "state": state, "why": why,
		"since": since.UTC().Format(time.RFC3339), "seconds": int64(now.Sub(since).Seconds()),
	}})
}

// died is told of an event that was given up.
func (g *Gateway) died(d event.Destination, e *event.Event, out event.Outcome) {
	g.meterOf(d).dead.Add(1)
	g.alerts.put(alert{AlertDead, map[string]any{
		"source": d.Source, "destination": d.Name, "event": e.ID.String(), "id": e.ProviderID, "type": e.Type,
		"attempts": out.Number, "status": out.Status, "why": out.Error,
	}})
}

// Refused is told of a request whose proof failed: why in one word, and in
// several if they are known. The events app hears of it once a minute.
func (s *Source) Refused(reason, why string, now time.Time) {
	n := s.gateway.sentry.refuses(s.config.Name, now)
	if n == 0 {
		return
	}
	s.gateway.alerts.put(alert{AlertRefused, map[string]any{
		"source": s.config.Name, "reason": reason, "why": why, "count": n,
	}})
}

// watch looks at what nobody tells of by itself.
func (g *Gateway) watch(app *App, now time.Time) {
	l := g.live.Load()
	if l == nil {
		return
	}
	before, stats := g.sentry.moment(), l.store.Stats()
	for _, s := range g.status(l, app, stats) {
		for _, d := range s.Destinations {
			name := event.Destination{Source: s.Name, Name: d.Name}
			what, since := g.sentry.saw(name, d.State, before, now)
			g.tellState(what, name, d.State, d.reason(), since, now)
			g.tellAge(name, d, app.alertAge(), now)
		}
	}
	g.tellBytes("", stats.BacklogBytes, app.MaxBacklog, app)
	for _, s := range app.list() {
		g.tellBytes(s.config.Name, stats.SourceBytes[s.config.Name], s.share(), app)
	}
}

// tellAge tells of a destination whose oldest event waits for too long.
func (g *Gateway) tellAge(name event.Destination, d DestinationStatus, limit time.Duration, now time.Time) {
	var age time.Duration
	if !d.OldestPending.IsZero() {
		age = now.Sub(d.OldestPending)
	}
	if limit <= 0 || !g.sentry.rises("age "+name.String(), age.Seconds(), limit.Seconds()) {
		return
	}
	g.alerts.put(alert{AlertBacklog, map[string]any{
		"why": "age", "source": name.Source, "destination": name.Name, "state": d.State, "pending": d.Count[event.Pending],
		"oldest": d.OldestPending.UTC().Format(time.RFC3339), "seconds": int64(age.Seconds()), "error": d.LastError,
	}})
}

// tellBytes tells of a backlog that comes near its limit: a source's, or with an
// empty name that of all of them.
func (g *Gateway) tellBytes(source string, bytes, limit int64, app *App) {
	percent := app.alertPercent()
	if percent <= 0 || limit <= 0 || !g.sentry.rises("bytes "+source, float64(bytes), float64(limit)*float64(percent)/100) {
		return
	}
	g.alerts.put(alert{AlertBacklog, map[string]any{
		"why": "bytes", "source": source, "bytes": bytes, "max_backlog": limit, "percent": int64(float64(bytes) * 100 / float64(limit)),
	}})
}
