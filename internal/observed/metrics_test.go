package observed

import (
	"fmt"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/caddy-webhooks/caddy-webhooks/internal/testkit"
	"github.com/caddy-webhooks/caddy-webhooks/verify"
)

// promised are the metrics that there must be, with their labels.
var promised = map[string]string{
	"events_accepted_total": "source", "events_duplicate_total": "source", "events_rejected_total": "reason source",
	"events_unavailable_total": "reason source", "attempts_total": "destination outcome source", "deliveries": "destination source state",
	"backlog_bytes": "", "oldest_pending_seconds": "destination source", "accept_seconds": "source", "attempt_seconds": "destination source",
	"delivery_lag_seconds": "destination source", "destination_up": "destination source", "concurrency_limit": "destination source",
	"store_sync_seconds": "", "store_batch_size": "", "store_free_bytes": "", "store_size_bytes": "part",
	// what there is besides
	"events_differing_total": "source", "events_unidentified_total": "source", "answers_total": "answer reason source",
	"destination_state": "destination source state", "alerts_dropped_total": "",
	"backlog_limit_bytes": "", "source_backlog_bytes": "source", "source_backlog_limit_bytes": "source",
}

// words are the closed sets of labels' values.
var words = map[string][]string{
	"outcome": {"delivered", "retry", "dead", "aborted"},
	"state":   {"pending", "delivered", "dead", "discarded", "filtered", "up", "down", "paused", "orphaned"},
	"part":    {"journal", "index"},
	"answer":  {"backend", "fallback"},
}

// reasons are the closed sets of the label reason, by metric.
var reasons = map[string][]string{
	"events_rejected_total":    append(verify.Reasons(), "too_large", "incomplete", "body"),
	"events_unavailable_total": {"full", "backlog", "closed", "failing", "inflight", "keys", "body"},
	"answers_total":            {"", "held", "repeat", "revived", "filtered", "late", "gone", "stopped", "failed", "status", "cut", "large"},
}

// A rule is written by the words that there are, and a first count is an increase
// only where there was a 0 before.
func TestEveryWordIsCountedFromTheStart(t *testing.T) {
	t.Parallel()
	g := testkit.New(t).Start("{\n\tmetrics\n}\n{$ADDR} {\n\twebhooks /x {\n\t\tname x\n\t\tfrom github {env.HOOK_SECRET}\n\t\trespond backend\n\t\tto localhost:1\n\t}\n}")
	s := get(t, g)
	want := map[string][]string{"attempts_total": words["outcome"]}
	maps.Copy(want, reasons)
	for name, set := range want {
		label := "reason"
		if name == "attempts_total" {
			label = "outcome"
		}
		var got []string
		for _, one := range s.samples {
			if one.name != "caddy_webhooks_"+name {
				continue
			}
			if got = append(got, one.labels[label]); one.value != 0 {
				t.Errorf("%s%v is %v", name, one.labels, one.value)
			}
		}
		slices.Sort(got)
		if set = slices.Sorted(slices.Values(set)); !slices.Equal(got, set) {
			t.Errorf("%s has the words %q, want %q", name, got, set)
		}
	}
}

func TestTheMetricsAreThosePromisedAndFollowTheConventions(t *testing.T) {
	t.Parallel()
	b := everything(t)
	s := get(t, b.Gateway)
	problems, err := promlint.New(strings.NewReader(s.text)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "caddy_webhooks_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
	for _, name := range s.ours() {
		want, known := promised[strings.TrimPrefix(name, "caddy_webhooks_")]
		if !known {
			t.Errorf("%s is new: list it here and in docs/metrics.md", name)
		}
		if s.families[name].GetHelp() == "" {
			t.Errorf("%s has no help", name)
		}
		for _, m := range s.families[name].GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName())
				if set := words[l.GetName()]; set != nil && !slices.Contains(set, l.GetValue()) {
					t.Errorf("%s: %s=%q is not in the closed set", name, l.GetName(), l.GetValue())
				}
			}
			slices.Sort(labels)
			if got := strings.Join(labels, " "); got != want {
				t.Errorf("%s has the labels %q, want %q", name, got, want)
			}
		}
	}
	for name := range promised {
		if s.families["caddy_webhooks_"+name] == nil {
			t.Errorf("caddy_webhooks_%s is missing", name)
		}
	}
}

func TestCountersOutliveAReload(t *testing.T) {
	t.Parallel()
	b := everything(t)
	before := get(t, b.Gateway)
	if err := b.Reload(b.config + "\n"); err != nil {
		t.Fatal(err)
	}
	after := get(t, b.Gateway)
	for _, name := range before.ours() {
		if before.families[name].GetType().String() != "COUNTER" {
			continue
		}
		for _, m := range before.samples {
			if m.name != name {
				continue
			}
			var labels []string
			for n, v := range m.labels {
				labels = append(labels, n, v)
			}
			if got := after.value(name, labels...); !(got >= m.value) {
				t.Errorf("%s%v was %v, is %v after a reload", name, m.labels, m.value, got)
			}
		}
	}
}

func TestStrangersCannotMakeSeries(t *testing.T) {
	t.Parallel()
	b := everything(t)
	before := len(ofOurs(get(t, b.Gateway)))
	for i := range 200 {
		target := fmt.Sprintf("http://%s/good?q=%d", b.Addr, i)
		secret := testkit.Secret
		if i%2 == 0 {
			secret = fmt.Sprint("wrong", i)
		}
		req, err := testkit.Signed(target, secret, fmt.Sprint("flood", i), []byte(`{}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-GitHub-Event", fmt.Sprint("type", i))
		req.Header.Set("User-Agent", fmt.Sprint("agent", i))
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
	}
	if after := len(ofOurs(get(t, b.Gateway))); after != before {
		t.Errorf("there were %d series, and are %d", before, after)
	}
}

func ofOurs(s scrape) (all []sample) {
	for _, one := range s.samples {
		if strings.HasPrefix(one.name, "caddy_webhooks_") {
			all = append(all, one)
		}
	}
	return all
}

func TestThePageOfMetricsHasEachOfThemOnce(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| `?([a-z ]*|–)`? \\|")
	found := map[string]string{}
	for _, m := range row.FindAllStringSubmatch(string(text), -1) {
		if _, twice := found[m[1]]; twice {
			t.Errorf("%s is there twice", m[1])
		}
		labels := strings.Fields(strings.ReplaceAll(m[2], "–", ""))
		slices.Sort(labels)
		found[m[1]] = strings.Join(labels, " ")
	}
	if !maps.Equal(found, promised) {
		t.Errorf("the page has\n%v\nwant\n%v", found, promised)
	}
}
