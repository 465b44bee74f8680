package observed

import (
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/util/teststorage"
)

const example = "../../examples/observability/"

// history is a Prometheus that has scraped a gateway for an hour, every 15 seconds:
// the first half of it what from was, then what to is, with counters in between
// rising evenly.
type history struct {
	*testing.T
	storage *teststorage.TestStorage
	engine  *promql.Engine
	end     time.Time
}

func remember(t *testing.T, from, to scrape, change func(s sample) (value float64, ok bool)) history {
	t.Helper()
	h := history{
		T: t, storage: teststorage.New(t), end: time.Unix(1_800_000_000, 0),
		engine: promql.NewEngine(promql.EngineOpts{Logger: slog.New(slog.DiscardHandler), MaxSamples: 1e7, Timeout: time.Minute}),
	}
	t.Cleanup(func() { _ = h.engine.Close() })
	before := map[string]float64{}
	for _, s := range from.samples {
		before[series(s).String()] = s.value
	}
	const steps = 240
	app := h.storage.Appender(context.Background())
	for i := range steps {
		at := h.end.Add(time.Duration(i-steps+1) * 15 * time.Second).UnixMilli()
		for _, s := range to.samples {
			value, ok := s.value, true
			if change != nil {
				value, ok = change(s)
			}
			if !ok {
				continue
			}
			set := series(s)
			// A counter that a change has raised rises from what it was; a gauge is so
			// all the time.
			if counts(s.name) {
				was, known := before[set.String()]
				if !known {
					was = 0
				}
				value = was + (value-was)*float64(i)/(steps-1)
			}
			if _, err := app.Append(0, set, at, value); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := app.Commit(); err != nil {
		t.Fatal(err)
	}
	return h
}

func counts(name string) bool {
	return strings.HasSuffix(name, "_total") || strings.HasSuffix(name, "_bucket") || strings.HasSuffix(name, "_sum") || strings.HasSuffix(name, "_count")
}

func series(s sample) labels.Labels {
	m := map[string]string{model.MetricNameLabel: s.name, "job": "caddy-webhooks", "instance": "localhost:2019"}
	maps.Copy(m, s.labels)
	return labels.FromMap(m)
}

// eval gives the series that an expression selects at the end.
func (h history) eval(expr string) promql.Vector {
	h.Helper()
	q, err := h.engine.NewInstantQuery(context.Background(), h.storage, nil, expr, h.end)
	if err != nil {
		h.Fatalf("%s: %v", expr, err)
	}
	defer q.Close()
	result := q.Exec(context.Background())
	if result.Err != nil {
		h.Fatalf("%s: %v", expr, result.Err)
	}
	v, err := result.Vector()
	if err != nil {
		h.Fatalf("%s: %v", expr, err)
	}
	return v
}

// selects tells whether each metric that an expression names is there, with the
// labels that it asks for.
func (h history) selects(expr string) {
	h.Helper()
	parsed, err := parser.NewParser(parser.Options{}).ParseExpr(expr)
	if err != nil {
		h.Errorf("%s: %v", expr, err)
		return
	}
	parser.Inspect(parsed, func(n parser.Node, _ []parser.Node) error {
		if s, ok := n.(*parser.VectorSelector); ok {
			if found := h.eval(s.String()); len(found) == 0 {
				h.Errorf("%s: %s selects nothing", expr, s)
			}
		}
		return nil
	})
}

func rules(t *testing.T) []rulefmt.Rule {
	t.Helper()
	text, err := os.ReadFile(example + "alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	groups, errs := rulefmt.Parse(text, false, model.LegacyValidation, parser.NewParser(parser.Options{}), slog.New(slog.DiscardHandler))
	for _, err := range errs {
		t.Fatal(err)
	}
	var all []rulefmt.Rule
	for _, g := range groups.Groups {
		all = append(all, g.Rules...)
	}
	return all
}

func TestEveryRuleAndPanelAsksForWhatThereIs(t *testing.T) {
	t.Parallel()
	b := everything(t)
	from := get(t, b.Gateway)
	b.traffic(t, "second")
	h := remember(t, from, get(t, b.Gateway), nil)
	for _, r := range rules(t) {
		h.selects(r.Expr)
	}
	text, err := os.ReadFile(example + "dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
		Templating struct{ List []struct{ Name string } }
	}
	if err := json.Unmarshal(text, &board); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, p := range board.Panels {
		for _, target := range p.Targets {
			expr := strings.NewReplacer("$__rate_interval", "5m", "$source", ".*", "$destination", ".*").Replace(target.Expr)
			if strings.Contains(expr, "$") {
				t.Errorf("%s: a variable is unknown: %s", p.Title, expr)
				continue
			}
			h.selects(expr)
			v := h.eval(expr)
			if !slices.ContainsFunc(v, func(s promql.Sample) bool { return !math.IsNaN(s.F) }) {
				t.Errorf("%s: %s shows %v", p.Title, expr, v)
			}
			n++
		}
	}
	if n < 20 {
		t.Errorf("the dashboard has %d expressions alone", n)
	}
}

// set gives the samples of a metric another value.
func set(name string, value float64, pairs ...string) func(sample) (float64, bool) {
	return func(s sample) (float64, bool) {
		fits := s.name == name
		for i := 0; i < len(pairs); i += 2 {
			fits = fits && s.labels[pairs[i]] == pairs[i+1]
		}
		if fits {
			return value, true
		}
		return s.value, true
	}
}

func TestEachAlertFiresWhenItShouldAndNotInHealth(t *testing.T) {
	t.Parallel()
	b := everything(t)
	sick := get(t, b.Gateway)
	// well is the same gateway on a good day.
	well := scrape{}
	for _, s := range sick.samples {
		switch {
		case s.labels["source"] != "" && s.labels["source"] != "good", s.name == "caddy_webhooks_events_rejected_total", s.labels["outcome"] == "retry":
			continue
		case s.name == "caddy_webhooks_store_free_bytes":
			s.value = 1 << 40
		}
		well.samples = append(well.samples, s)
	}
	healthy := remember(t, well, well, nil)
	rejected := sample{"caddy_webhooks_events_rejected_total", map[string]string{"source": "good", "reason": "mismatch"}, 1e5}
	failed := sample{"caddy_webhooks_attempts_total", map[string]string{"source": "good", "destination": "default", "outcome": "retry"}, 1e5}
	full := sample{"caddy_webhooks_events_unavailable_total", map[string]string{"source": "good", "reason": "backlog"}, 1e3}
	cases := map[string]struct {
		more   *sample
		change func(sample) (float64, bool)
	}{
		"WebhooksGatewayMissing":           {change: func(s sample) (float64, bool) { return s.value, !strings.HasPrefix(s.name, "caddy_webhooks_") }},
		"WebhooksAnsweredUnavailable":      {more: &full},
		"WebhooksDiskNearlyFull":           {change: set("caddy_webhooks_store_free_bytes", 1<<30)},
		"WebhooksStoreSlow":                {change: slow},
		"WebhooksDestinationDown":          {change: set("caddy_webhooks_destination_state", 1, "state", "down")},
		"WebhooksDestinationPausedForLong": {change: set("caddy_webhooks_destination_state", 1, "state", "paused")},
		"WebhooksDestinationOrphaned":      {change: set("caddy_webhooks_destination_state", 1, "state", "orphaned")},
		"WebhooksOldestPending":            {change: set("caddy_webhooks_oldest_pending_seconds", 7200)},
		"WebhooksDead":                     {change: set("caddy_webhooks_deliveries", 3, "state", "dead")},
		"WebhooksAttemptsFail":             {more: &failed},
		"WebhooksBacklogHigh":              {change: set("caddy_webhooks_backlog_bytes", 9<<30)},
		"WebhooksRefused":                  {more: &rejected},
		"WebhooksAlertsDropped":            {change: set("caddy_webhooks_alerts_dropped_total", 100)},
	}
	for _, r := range rules(t) {
		c, ok := cases[r.Alert]
		if !ok {
			t.Errorf("nothing makes %s fire: add a case", r.Alert)
			continue
		}
		delete(cases, r.Alert)
		for _, name := range []string{"summary", "action"} {
			if r.Annotations[name] == "" {
				t.Errorf("%s has no %s", r.Alert, name)
			}
		}
		if v := healthy.eval(r.Expr); len(v) != 0 {
			t.Errorf("%s fires in health: %v", r.Alert, v)
		}
		ill := well
		if c.more != nil {
			ill.samples = append([]sample{*c.more}, well.samples...)
		}
		if v := remember(t, well, ill, c.change).eval(r.Expr); len(v) == 0 {
			t.Errorf("%s does not fire", r.Alert)
		}
	}
	for name := range cases {
		t.Errorf("there is no alert %s", name)
	}
}

// slow makes every sync take more than a second.
func slow(s sample) (float64, bool) {
	if s.name != "caddy_webhooks_store_sync_seconds_bucket" {
		return s.value, true
	}
	switch s.labels["le"] {
	case "2.5", "5", "10", "30", "+Inf":
		return 1e4, true
	}
	return s.value, true
}

func TestPrometheusReadsItsConfiguration(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(example + "prometheus.yml")
	if err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(string(text), slog.New(slog.DiscardHandler))
	if err != nil || len(c.ScrapeConfigs) != 1 || len(c.RuleFiles) != 1 || c.RuleFiles[0] != "alerts.yml" {
		t.Errorf("%+v %v", c, err)
	}
}
