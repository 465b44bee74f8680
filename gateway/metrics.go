package gateway

import (
	"maps"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/store"
)

// metrics shows the gateway's state. It is registered with every
// configuration's registry, and its values belong to the gateway, so that they
// survive reloads.
type metrics struct {
	gateway *Gateway

	accept, attempt, lag *prometheus.HistogramVec
	attempts             *prometheus.CounterVec
	sync, batch          prometheus.Histogram

	accepted, duplicates, differs, unidentified, rejected, unavailable, answers *prometheus.Desc
	deliveries, oldest, up, state, dropped, limit, free, size                   *prometheus.Desc
	backlog, backlogLimit, sourceBacklog, sourceBacklogLimit                    *prometheus.Desc
}

// latencies reach from a fast disk's sync to a backend's timeout.
var latencies = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}

// lags reach from at once to an outage of days.
var lags = []float64{.001, .005, .01, .05, .1, .5, 1, 5, 30, 60, 300, 1800, 3600, 6 * 3600, 24 * 3600, 72 * 3600}

const prefix = "caddy_webhooks_"

func newMetrics(g *Gateway) *metrics {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(prefix+name, help, labels, nil)
	}
	vec := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: prefix + name, Help: help, Buckets: buckets}, labels)
	}
	return &metrics{
		gateway: g,
		accept:  vec("accept_seconds", "Time from a request's arrival to its durable acceptance.", latencies, "source"),
		attempt: vec("attempt_seconds", "Time that an attempt took.", latencies, "source", "destination"),
		lag:     vec("delivery_lag_seconds", "Time from receipt to the first attempt.", lags, "source", "destination"),
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: prefix + "attempts_total", Help: "Attempts, by outcome.",
		}, []string{"source", "destination", "outcome"}),
		sync: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: prefix + "store_sync_seconds", Help: "Time that a sync of the store took.", Buckets: latencies,
		}),
		batch: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: prefix + "store_batch_size", Help: "Records made durable by one sync.", Buckets: prometheus.ExponentialBuckets(1, 2, 11),
		}),
		accepted:     desc("events_accepted_total", "Events stored.", "source"),
		duplicates:   desc("events_duplicate_total", "Requests dropped because their provider ID was claimed.", "source"),
		differs:      desc("events_differing_total", "Duplicates that came with another body.", "source"),
		unidentified: desc("events_unidentified_total", "Events stored without a claim, for want of a usable provider ID.", "source"),
		rejected:     desc("events_rejected_total", "Requests refused, by reason.", "source", "reason"),
		unavailable:  desc("events_unavailable_total", "Requests answered 503, by reason.", "source", "reason"),
		answers:      desc("answers_total", "Requests whose provider waited for the backend's answer, by who answered and why.", "source", "answer", "reason"),
		deliveries:   desc("deliveries", "Deliveries, by state.", "source", "destination", "state"),
		oldest:       desc("oldest_pending_seconds", "Age of the oldest pending event.", "source", "destination"),
		up:           desc("destination_up", "1 while the destination is up, else 0.", "source", "destination"),
		state:        desc("destination_state", "1 for the state that the destination has, else 0.", "source", "destination", "state"),
		dropped:      desc("alerts_dropped_total", "Events for Caddy's events app that were dropped because its handlers were too slow."),
		limit:        desc("concurrency_limit", "Attempts that may run at once.", "source", "destination"),
		backlog:      desc("backlog_bytes", "Bodies of events that are pending or dead."),
		backlogLimit: desc("backlog_limit_bytes", "What backlog_bytes may become: max_backlog."),

		sourceBacklog:      desc("source_backlog_bytes", "Bodies of a source's events that are pending or dead.", "source"),
		sourceBacklogLimit: desc("source_backlog_limit_bytes", "What source_backlog_bytes may become: the source's share of max_backlog.", "source"),

		free: desc("store_free_bytes", "Space left on the store's file system."),
		size: desc("store_size_bytes", "Space that the store takes, by part.", "part"),
	}
}

func (m *metrics) vectors() []prometheus.Collector {
	return []prometheus.Collector{m.accept, m.attempt, m.lag, m.attempts, m.sync, m.batch}
}

// Describe names the metrics.
func (m *metrics) Describe(out chan<- *prometheus.Desc) {
	for _, v := range m.vectors() {
		v.Describe(out)
	}
	for _, d := range []*prometheus.Desc{
		m.accepted, m.duplicates, m.differs, m.unidentified, m.rejected, m.unavailable, m.answers,
		m.deliveries, m.oldest, m.up, m.state, m.dropped, m.limit, m.free, m.size,
		m.backlog, m.backlogLimit, m.sourceBacklog, m.sourceBacklogLimit,
	} {
		out <- d
	}
}

// Collect gives their values.
func (m *metrics) Collect(out chan<- prometheus.Metric) {
	for _, v := range m.vectors() {
		v.Collect(out)
	}
	m.collectSources(out)
	m.collectDestinations(out)
	m.collectStore(out)
}

func btof(v bool) float64 {
	if v {
		return 1
	}
	return 0
}

func gauge(out chan<- prometheus.Metric, d *prometheus.Desc, value float64, labels ...string) {
	out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
}

func (m *metrics) collectSources(out chan<- prometheus.Metric) {
	g := m.gateway
	g.mu.Lock()
	counts := maps.Clone(g.counts)
	g.mu.Unlock()
	counter := func(d *prometheus.Desc, n uint64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	for name, c := range counts {
		counter(m.accepted, c.Accepted.Load()+c.Filtered.Load(), name)
		counter(m.duplicates, c.Duplicates.Load()+c.Revived.Load(), name)
		counter(m.differs, c.Differs.Load(), name)
		counter(m.unidentified, c.Unidentified.Load(), name)
		rejected, unavailable := c.reasons()
		for reason, n := range rejected {
			counter(m.rejected, n, name, reason)
		}
		for reason, n := range unavailable {
			counter(m.unavailable, n, name, reason)
		}
		for reason, n := range c.Answers() {
			by := "fallback"
			if reason == "" {
				by = "backend"
			}
			counter(m.answers, n, name, by, reason)
		}
	}
}

func (m *metrics) collectDestinations(out chan<- prometheus.Metric) {
	now := time.Now()
	for _, s := range m.gateway.Sources() {
		for _, d := range s.Destinations {
			for _, state := range event.States() {
				gauge(out, m.deliveries, float64(d.Count[state]), s.Name, d.Name, state.String())
			}
			age, up := 0.0, btof(d.State == Up)
			if !d.OldestPending.IsZero() {
				age = max(now.Sub(d.OldestPending).Seconds(), 0)
			}
			gauge(out, m.oldest, age, s.Name, d.Name)
			gauge(out, m.up, up, s.Name, d.Name)
			for _, state := range destinationStates {
				gauge(out, m.state, btof(d.State == state), s.Name, d.Name, state)
			}
			gauge(out, m.limit, float64(d.Limit), s.Name, d.Name)
		}
	}
}

func (m *metrics) collectStore(out chan<- prometheus.Metric) {
	l := m.gateway.live.Load()
	if l == nil {
		return
	}
	out <- prometheus.MustNewConstMetric(m.dropped, prometheus.CounterValue, float64(m.gateway.alerts.dropped.Load()))
	stats := l.store.Stats()
	m.collectBacklog(out, stats)
	if stats.FreeBytes >= 0 {
		gauge(out, m.free, float64(stats.FreeBytes))
	}
	for part, n := range stats.SizeBytes {
		gauge(out, m.size, float64(n), part)
	}
}

// collectBacklog tells what waits and what may. A source that is configured no
// more has no limit, and is shown for as long as something of it waits.
func (m *metrics) collectBacklog(out chan<- prometheus.Metric, stats store.Stats) {
	gauge(out, m.backlog, float64(stats.BacklogBytes))
	bytes := maps.Clone(stats.SourceBytes)
	maps.DeleteFunc(bytes, func(_ string, n int64) bool { return n == 0 })
	if app := m.gateway.present(); app != nil {
		gauge(out, m.backlogLimit, float64(app.MaxBacklog))
		for _, s := range app.list() {
			name := s.config.Name
			gauge(out, m.sourceBacklog, float64(bytes[name]), name)
			gauge(out, m.sourceBacklogLimit, float64(s.share()), name)
			delete(bytes, name)
		}
	}
	for name, n := range bytes {
		gauge(out, m.sourceBacklog, float64(n), name)
	}
}

// expect has all outcomes of a destination's attempts counted from now on.
func (m *metrics) expect(d event.Destination) {
	for _, v := range event.Verdicts() {
		m.attempts.WithLabelValues(d.Source, d.Name, v.String())
	}
	m.attempt.WithLabelValues(d.Source, d.Name)
	m.lag.WithLabelValues(d.Source, d.Name)
}

func (m *metrics) observeAttempt(d event.Destination, v event.Verdict, took time.Duration) {
	m.attempts.WithLabelValues(d.Source, d.Name, v.String()).Inc()
	m.attempt.WithLabelValues(d.Source, d.Name).Observe(took.Seconds())
}

func (m *metrics) observeLag(d event.Destination, lag time.Duration) {
	m.lag.WithLabelValues(d.Source, d.Name).Observe(lag.Seconds())
}

func (m *metrics) observeSync(records, _ int, took time.Duration) {
	m.sync.Observe(took.Seconds())
	m.batch.Observe(float64(records))
}
