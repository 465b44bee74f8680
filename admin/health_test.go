package admin

import (
	"fmt"
	"strings"
	"testing"
)

func TestHealthSaysWhatIsWrongAndWhatDoesNotCount(t *testing.T) {
	t.Parallel()
	a, _ := api(t)
	const waits = `{"reason":"oldest_pending","source":"shop","destination":"default","words":"an event has been waiting for 2h"}`
	for target, want := range map[string]string{
		"/webhooks/health":                                                     `200 {"status":"ok","reasons":[]}`,
		"/webhooks/health?oldest_pending=1h":                                   `503 {"status":"failing","reasons":[` + waits + `]}`,
		"/webhooks/health?oldest_pending=1h&ignore=oldest_pending":             `200 {"status":"ok","reasons":[],"ignored":[` + waits + `]}`,
		"/webhooks/health?oldest_pending=1h&ignore=store_failing,backlog_full": `503 {"status":"failing","reasons":[` + waits + `]}`,
		"/webhooks/health?oldest_pending=soon":                                 `400 parameter oldest_pending: "soon": must be a duration such as 90m, 1h or 1d`,
		"/webhooks/health?oldest_pending=-1h":                                  `400 parameter oldest_pending: "-1h": must be a duration such as 90m, 1h or 1d`,
		"/webhooks/health?oldest_pending=1d":                                   `503 {"status":"failing","reasons":[` + waits + `]}`,
		"/webhooks/health?ignore=all":                                          `400 parameter ignore: "all" is no reason; there are store_failing, disk_nearly_full, backlog_full, worker_dead, oldest_pending`,
		"/webhooks/health?verbose=1":                                           `400 unknown parameter "verbose"; there are oldest_pending, ignore`,
	} {
		status, text, h := call(t, a, "GET", target, "")
		if got := strings.TrimSpace(fmt.Sprint(status, " ", text)); got != want {
			t.Errorf("%s: %s, want %s", target, got, want)
		}
		if status != 400 && h.Get("Cache-Control") != "no-store" {
			t.Errorf("%s may be cached", target)
		}
	}
	if status, _, _ := call(t, a, "POST", "/webhooks/health", ""); status != 405 {
		t.Errorf("POST: %d", status)
	}
}
