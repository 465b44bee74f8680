package admin

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/gateway"
	"github.com/caddy-webhooks/caddy-webhooks/query"
)

type healthJSON struct {
	Status string `json:"status"` // ok or failing
	// Reasons made it fail; Ignored would have.
	Reasons []reasonJSON `json:"reasons"`
	Ignored []reasonJSON `json:"ignored,omitempty"`
}

type reasonJSON struct {
	Reason      string `json:"reason"`
	Source      string `json:"source,omitempty"`
	Destination string `json:"destination,omitempty"`
	Words       string `json:"words"`
}

// health serves GET /webhooks/health.
func health(g Gateway, w http.ResponseWriter, r *http.Request) error {
	q, err := parameters(r)
	if err != nil {
		return err
	}
	oldest, ignore, err := readHealth(q)
	if err != nil {
		return fail(http.StatusBadRequest, err)
	}
	v := healthJSON{Status: "ok", Reasons: []reasonJSON{}}
	status := http.StatusOK
	for _, t := range g.Troubles(oldest, time.Now()) {
		reason := reasonJSON{t.Reason, t.Source, t.Destination, maskText(t.Words, nil)}
		if slices.Contains(ignore, t.Reason) {
			v.Ignored = append(v.Ignored, reason)
			continue
		}
		v.Reasons = append(v.Reasons, reason)
		v.Status, status = "failing", http.StatusServiceUnavailable
	}
	w.Header().Set("Cache-Control", "no-store")
	return answer(w, status, v)
}

// readHealth reads how long events may wait, and what is not to count.
func readHealth(q url.Values) (oldest time.Duration, ignore []string, err error) {
	if err := query.Only(q, "oldest_pending", "ignore"); err != nil {
		return 0, nil, err
	}
	if v := q.Get("oldest_pending"); v != "" {
		if oldest, err = query.ParseWait(v); err != nil {
			return 0, nil, fmt.Errorf("parameter oldest_pending: %q: %w", v, err)
		}
	}
	if v := q.Get("ignore"); v != "" {
		ignore = strings.Split(v, ",")
	}
	for _, reason := range ignore {
		if !slices.Contains(gateway.HealthReasons(), reason) {
			return 0, nil, fmt.Errorf("parameter ignore: %q is no reason; there are %s", reason, strings.Join(gateway.HealthReasons(), ", "))
		}
	}
	return oldest, ignore, nil
}
