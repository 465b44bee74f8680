package admin

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

func TestTheHistoryHasAPointForEachStepAndNullWhereNothingIsKnown(t *testing.T) {
	t.Parallel()
	a, _ := api(t)
	for span, want := range map[string][2]int{"": {15, 240}, "?span=1h": {15, 240}, "?span=24h&source=shop": {300, 288}} {
		status, text, _ := call(t, a, "GET", "/webhooks/history"+span, "")
		var v struct {
			Step, Points int
			Sources      []struct{ Accepted []*float64 }
			Destinations []struct {
				Destination   string
				Delivered     []*float64
				OldestPending []*float64 `json:"oldest_pending"`
			}
			Changes []changeJSON
		}
		if err := json.Unmarshal([]byte(text), &v); err != nil || status != http.StatusOK || v.Step != want[0] || v.Points != want[1] {
			t.Fatalf("%s: %d %v %s", span, status, err, text)
		}
		accepted, oldest := v.Sources[0].Accepted, v.Destinations[0].OldestPending
		if n := want[1] - 1; len(accepted) != n+1 || accepted[0] != nil || sum(accepted) != 4 || sum(oldest) < 90.5 {
			t.Errorf("%s: %s", span, text)
		}
		if len(v.Changes) != 1 || v.Changes[0].State != "down" || strings.Contains(v.Changes[0].Why, "s3cret") {
			t.Errorf("%s: changes %+v", span, v.Changes)
		}
	}
	if _, text, _ := call(t, a, "GET", "/webhooks/history?destination=default", ""); !strings.Contains(text, `"sources":[]`) || !strings.Contains(text, `"delivered":`) {
		t.Errorf("one destination alone: %s", text)
	}
	for query, words := range map[string]string{"?span=2h": "1h or 24h", "?colour=red": "colour", "?source=": "empty"} {
		if status, text, _ := call(t, a, "GET", "/webhooks/history"+query, ""); status != http.StatusBadRequest || !strings.Contains(text, words) {
			t.Errorf("%s: %d %s", query, status, text)
		}
	}
}

func TestRefusalsAreListedWithCounts(t *testing.T) {
	t.Parallel()
	a, _ := api(t)
	var v refusalsJSON
	status, text, _ := call(t, a, "GET", "/webhooks/refusals?limit=2", "")
	if err := json.Unmarshal([]byte(text), &v); err != nil || status != http.StatusOK || len(v.Refusals) != 2 || len(v.Counts) != 2 {
		t.Fatalf("%d %v %s", status, err, text)
	}
	first, second := v.Refusals[0], v.Refusals[1]
	if first.Reason != "stale" || first.More != 2 || *first.Size != 7 || second.Size != nil || !v.Counts[1].Unavailable {
		t.Errorf("%s", text)
	}
	if _, text, _ := call(t, a, "GET", "/webhooks/refusals?source=blog", ""); !strings.Contains(text, `"refusals":[]`) {
		t.Errorf("of another source: %s", text)
	}
	for query, words := range map[string]string{"?limit=0": "1 to 200", "?limit=x": "1 to 200", "?limit=201": "1 to 200", "?q=1": "q"} {
		if status, text, _ := call(t, a, "GET", "/webhooks/refusals"+query, ""); status != http.StatusBadRequest || !strings.Contains(text, words) {
			t.Errorf("%s: %d %s", query, status, text)
		}
	}
}

// sum adds up the points that are known; they may have come into two steps.
func sum(points []*float64) (v float64) {
	for _, p := range points {
		if p != nil {
			v += *p
		}
	}
	return v
}
