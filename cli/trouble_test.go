package cli

import (
	"testing"
	"time"
)

func TestWhatKeepsADestinationsEventsIsSaidInWords(t *testing.T) {
	t.Parallel()
	c, _, _ := serving(t, "")
	since, probe := noon.Add(-5*time.Minute), noon.Add(10*time.Second)
	for want, d := range map[string]destinationView{
		"": {State: "up"},
		"a/b: down for 5m: backend answered 500; the next probe in 10s\n":                    {State: "down", DownSince: &since, NextProbe: &probe, Why: "backend answered 500", LastError: "other"},
		"a/b: down for 5m: it is\ufffd[2J unhealthy\n":                                       {State: "down", DownSince: &since, Why: "it is\x1b[2J unhealthy"},
		"a/b: paused by an operator; `caddy webhooks resume a/b` sends what waits\n":         {State: "paused", LastError: "other"},
		"a/b: not configured any more; `caddy webhooks move --help` says what can be done\n": {State: "orphaned"},
		"a/b: last attempt: refused\n":                                                       {State: "up", LastError: "refused"},
	} {
		if got := c.trouble("a/b", d); got != want {
			t.Errorf("%+v: %q, want %q", d, got, want)
		}
	}
}
