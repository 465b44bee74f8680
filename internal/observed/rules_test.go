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

	"github.com/caddy-webhooks/caddy-webhooks/internal/testkit"
	"github.com/caddy-webhooks/caddy-webhooks/verify"
)

const example = "../../examples/observability/"

// history is a Prometheus that has scraped a gateway for an hour, every 15 seconds:
// what from was, and in the last two minutes what to is. Counters jump in between,
// as in a burst, and a counter that from does not have begins to exist with it.
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
	const steps, burst = 240, 8
	app := h.storage.Appender(context.Background())
	for i := range steps {
		at := h.end.Add(time.Duration(i-steps+1) * 15 * time.Second).UnixMilli()
		for _, s := range to.samples {
			value, ok := s.value, true
			if change != nil {
				value, ok = change(s)
			}
			set := series(s)
			// A gauge is as it is all the time.
			if counts(s.name) && i < steps-burst {
				was, known := before[set.String()]
				value, ok = was, ok && known
			}
			if !ok {
				continue
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
			for _, one := range alternatives(s) {
				if found := h.eval(one); len(found) == 0 {
					h.Errorf("%s: %s selects nothing", expr, one)
				}
			}
		}
		return nil
	})
}

// alternatives are a selector with each of the values that it lists for a label:
// one that is not of the closed set would be hidden by the others.
func alternatives(s *parser.VectorSelector) []string {
	all := []string{s.String()}
	for i, m := range s.LabelMatchers {
		if m.Type != labels.MatchRegexp && m.Type != labels.MatchNotRegexp || !strings.Contains(m.Value, "|") {
			continue
		}
		for value := range strings.SplitSeq(m.Value, "|") {
			one := *s
			one.LabelMatchers = slices.Clone(s.LabelMatchers)
			one.LabelMatchers[i] = labels.MustNewMatcher(labels.MatchEqual, m.Name, value)
			all = append(all, one.String())
		}
	}
	return all
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

// goodDay is what a gateway would be on one: its one source, and room on the disk.
func goodDay(s scrape) (well scrape) {
	for _, one := range s.samples {
		switch {
		case one.labels["source"] != "" && one.labels["source"] != "good":
			continue
		case one.name == "caddy_webhooks_store_free_bytes":
			one.value = 1 << 40
		}
		well.samples = append(well.samples, one)
	}
	return well
}

// firing has for each alert what makes it fire, and for how long that must last.
var firing = map[string]struct {
	change func(sample) (float64, bool)
	lasts  time.Duration
}{
	"WebhooksGatewayMissing":           {func(s sample) (float64, bool) { return s.value, !strings.HasPrefix(s.name, "caddy_webhooks_") }, 2 * time.Minute},
	"WebhooksAnsweredUnavailable":      {set("caddy_webhooks_events_unavailable_total", 3, "reason", "backlog"), 0},
	"WebhooksDiskNearlyFull":           {set("caddy_webhooks_store_free_bytes", 1<<30), 5 * time.Minute},
	"WebhooksStoreSlow":                {slow, 10 * time.Minute},
	"WebhooksDestinationDown":          {set("caddy_webhooks_destination_state", 1, "state", "down"), 5 * time.Minute},
	"WebhooksDestinationPausedForLong": {set("caddy_webhooks_destination_state", 1, "state", "paused"), 12 * time.Hour},
	"WebhooksDestinationOrphaned":      {set("caddy_webhooks_destination_state", 1, "state", "orphaned"), 5 * time.Minute},
	"WebhooksOldestPending":            {set("caddy_webhooks_oldest_pending_seconds", 7200), 0},
	"WebhooksDead":                     {set("caddy_webhooks_deliveries", 3, "state", "dead"), 5 * time.Minute},
	"WebhooksAttemptsFail":             {set("caddy_webhooks_attempts_total", 1e5, "outcome", "retry"), 15 * time.Minute},
	"WebhooksBacklogHigh":              {set("caddy_webhooks_backlog_bytes", 9<<30), 5 * time.Minute},
	"WebhooksSourceBacklogHigh":        {set("caddy_webhooks_source_backlog_bytes", 4.5*(1<<30)), 5 * time.Minute},
	"WebhooksRefused":                  {set("caddy_webhooks_events_rejected_total", 1e5, "reason", "mismatch"), 10 * time.Minute},
	"WebhooksAlertsDropped":            {set("caddy_webhooks_alerts_dropped_total", 1), 0},
}

func TestEachAlertFiresWhenItShouldAndNotInHealth(t *testing.T) {
	t.Parallel()
	well := goodDay(get(t, everything(t).Gateway))
	healthy := remember(t, well, well, nil)
	found := map[string]bool{}
	for _, r := range rules(t) {
		c, ok := firing[r.Alert]
		if !ok {
			t.Errorf("nothing makes %s fire: add a case", r.Alert)
			continue
		}
		found[r.Alert] = true
		if time.Duration(r.For) != c.lasts {
			t.Errorf("%s fires after %v, want %v", r.Alert, r.For, c.lasts)
		}
		for _, name := range []string{"summary", "action"} {
			if r.Annotations[name] == "" {
				t.Errorf("%s has no %s", r.Alert, name)
			}
		}
		if v := healthy.eval(r.Expr); len(v) != 0 {
			t.Errorf("%s fires in health: %v", r.Alert, v)
		}
		if v := remember(t, well, well, c.change).eval(r.Expr); len(v) == 0 {
			t.Errorf("%s does not fire", r.Alert)
		}
	}
	for name := range firing {
		if !found[name] {
			t.Errorf("there is no alert %s", name)
		}
	}
}

// Whoever sets up alerts has seen the gateway start. What goes wrong first must
// not be what is missed.
func TestAFirstBurstIsSeen(t *testing.T) {
	t.Parallel()
	b := everything(t)
	later := get(t, b.Gateway)
	fresh := testkit.New(t).Start(b.config)
	h := remember(t, get(t, fresh), later, nil)
	for _, expr := range []string{
		`increase(caddy_webhooks_events_unavailable_total{source="down",reason="backlog"}[5m])`,
		`increase(caddy_webhooks_events_rejected_total{source="good",reason="mismatch"}[5m])`,
		`increase(caddy_webhooks_attempts_total{source="down",outcome="retry"}[5m])`,
		`increase(caddy_webhooks_answers_total{source="answer",answer="backend",reason=""}[5m])`,
		`increase(caddy_webhooks_attempt_seconds_count{source="good"}[5m])`,
		`increase(caddy_webhooks_delivery_lag_seconds_count{source="good"}[5m])`,
	} {
		if v := h.eval(expr); len(v) != 1 || v[0].F <= 0 {
			t.Errorf("%s is %v", expr, v)
		}
	}
}

// A secret that was changed on one side, or a clock that is wrong, has many names.
func TestEveryReasonOfAProofThatFailsCounts(t *testing.T) {
	t.Parallel()
	well := goodDay(get(t, everything(t).Gateway))
	for _, r := range rules(t) {
		if r.Alert != "WebhooksRefused" {
			continue
		}
		for _, reason := range verify.Reasons() {
			h := remember(t, well, well, set("caddy_webhooks_events_rejected_total", 1e5, "reason", reason))
			if fires, proof := len(h.eval(r.Expr)) != 0, reason != verify.ReasonMethod; fires != proof {
				t.Errorf("with the reason %s it fires: %v", reason, fires)
			}
		}
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
