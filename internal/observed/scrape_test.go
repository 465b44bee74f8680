// Package observed reads the metrics of the real binary as Prometheus would, and
// evaluates the example's rules and panels over them with Prometheus' own engine.
// It is a module of its own, so that users of the gateway never download what it
// needs.
package observed

import (
	"fmt"
	"maps"
	"math"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/caddy-webhooks/caddy-webhooks/internal/testkit"
)

func TestMain(m *testing.M) {
	code := m.Run()
	testkit.Cleanup()
	os.Exit(code)
}

// sample is one number of a scrape.
type sample struct {
	name   string
	labels map[string]string
	value  float64
}

// scrape is what the metrics are at a moment.
type scrape struct {
	text     string
	families map[string]*dto.MetricFamily
	samples  []sample
}

// get reads the metrics of a running gateway.
func get(t *testing.T, g *testkit.Gateway) scrape {
	t.Helper()
	status, text := testkit.Fetch(t, "http://"+g.Admin+"/metrics")
	if status != http.StatusOK {
		t.Fatalf("/metrics is answered %d", status)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	s := scrape{text: text, families: families}
	for name, family := range families {
		for _, m := range family.GetMetric() {
			s.add(name, m)
		}
	}
	return s
}

func (s *scrape) add(name string, m *dto.Metric) {
	labels := map[string]string{}
	for _, l := range m.GetLabel() {
		labels[l.GetName()] = l.GetValue()
	}
	put := func(suffix string, value float64, more ...string) {
		all := map[string]string{}
		maps.Copy(all, labels)
		for i := 0; i < len(more); i += 2 {
			all[more[i]] = more[i+1]
		}
		s.samples = append(s.samples, sample{name + suffix, all, value})
	}
	switch {
	case m.GetHistogram() != nil:
		h := m.GetHistogram()
		for _, b := range h.GetBucket() {
			put("_bucket", float64(b.GetCumulativeCount()), "le", fmt.Sprint(b.GetUpperBound()))
		}
		put("_bucket", float64(h.GetSampleCount()), "le", "+Inf")
		put("_sum", h.GetSampleSum())
		put("_count", float64(h.GetSampleCount()))
	case m.GetCounter() != nil:
		put("", m.GetCounter().GetValue())
	case m.GetGauge() != nil:
		put("", m.GetGauge().GetValue())
	}
}

// value is that of the one sample with these labels among others; NaN if none.
func (s scrape) value(name string, labels ...string) float64 {
	for _, one := range s.samples {
		fits := one.name == name
		for i := 0; i < len(labels); i += 2 {
			fits = fits && one.labels[labels[i]] == labels[i+1]
		}
		if fits {
			return one.value
		}
	}
	return math.NaN()
}

// ours are the families of the gateway.
func (s scrape) ours() (names []string) {
	for name := range s.families {
		if strings.HasPrefix(name, "caddy_webhooks_") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// busy is a gateway to which everything has happened that a metric tells of.
type busy struct {
	*testkit.Gateway
	config string
	app    *testkit.App
}

// everything has events accepted, repeated, repeated with another body, without an
// ID, refused and answered 503; delivered, failed, given up; and destinations up,
// down, paused and orphaned.
func everything(t *testing.T) busy {
	t.Helper()
	app := testkit.NewApp(t)
	source := func(name, more, to string) string {
		return fmt.Sprintf("\twebhooks /%s {\n\t\tname %s\n\t\tfrom github {env.HOOK_SECRET}\n%s\t\tto %s {\n\t\t\tname default\n%s\t\t}\n\t}\n", name, name, more, to, "%s")
	}
	once := "\t\t\tretry {\n\t\t\t\tattempts 1\n\t\t\t}\n"
	config := "{\n\tmetrics\n\twebhooks {\n\t\tstore local {$DIR}/store\n\t}\n}\n{$ADDR} {\n" +
		fmt.Sprintf(source("good", "", app.Addr()), "") +
		fmt.Sprintf(source("down", "\t\tmax_backlog 1KB\n", testkit.FreeAddr(t)), "") +
		fmt.Sprintf(source("dead", "", testkit.FreeAddr(t)), once) +
		fmt.Sprintf(source("held", "", app.Addr()), "") +
		fmt.Sprintf(source("answer", "\t\trespond backend within 2s\n", app.Addr()), "") +
		"%s}"
	g := testkit.New(t).Start(fmt.Sprintf(config, fmt.Sprintf(source("old", "", testkit.FreeAddr(t)), "")))
	b := busy{g, fmt.Sprintf(config, ""), app}
	if out, err := g.Run("webhooks", "pause", "held/default", "--address", g.Admin); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	b.traffic(t, "first")
	b.post(t, "old", "old", 200)
	if err := g.Reload(b.config); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "the destination is down, and the other one has given up", func() bool {
		s := get(t, g)
		return s.value("caddy_webhooks_destination_state", "source", "down", "state", "down") == 1 &&
			s.value("caddy_webhooks_deliveries", "source", "dead", "state", "dead") >= 1 &&
			s.value("caddy_webhooks_destination_state", "source", "old", "state", "orphaned") == 1
	})
	return b
}

func (b busy) post(t *testing.T, path, id string, want int) {
	t.Helper()
	status, _, err := testkit.Post("http://"+b.Addr+"/"+path, testkit.Secret, id, []byte(`{"id":"`+id+`"}`))
	if err != nil || status != want {
		t.Fatalf("%s %s: %d %v, want %d", path, id, status, err, want)
	}
}

// traffic is a little of everything.
func (b busy) traffic(t *testing.T, round string) {
	t.Helper()
	for i := range 5 {
		b.post(t, "good", fmt.Sprint(round, i), 200)
		b.post(t, "dead", fmt.Sprint(round, i), 200)
		b.post(t, "answer", fmt.Sprint(round, i), 200)
	}
	b.post(t, "good", round+"0", 200) // a duplicate
	if _, _, err := testkit.Post("http://"+b.Addr+"/good", testkit.Secret, round+"0", []byte(`{"another":"body"}`)); err != nil {
		t.Fatal(err)
	}
	b.post(t, "held", round, 200)
	for i := 0; ; i++ { // until its backlog is full
		status, _, err := testkit.Post("http://"+b.Addr+"/down", testkit.Secret, fmt.Sprint(round, i), []byte(strings.Repeat("x", 200)))
		if err != nil || i > 50 {
			t.Fatalf("%d requests do not fill the backlog: %v", i, err)
		}
		if status == http.StatusServiceUnavailable {
			break
		}
	}
	for range 3 {
		if status, _, err := testkit.Post("http://"+b.Addr+"/good", "wrong", round, []byte(`{}`)); err != nil || status != http.StatusUnauthorized {
			t.Fatalf("%d %v", status, err)
		}
	}
}
