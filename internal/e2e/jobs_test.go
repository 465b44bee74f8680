package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/caddy-webhooks/caddy-webhooks/internal/testkit"
)

// A day of events is sent again while the gateway is killed again and again: each
// comes once more, marked, and none twice more.
func TestAReplayOfManyOutlivesKills(t *testing.T) {
	t.Parallel()
	app := testkit.NewApp(t)
	config := one("shop", "default", app.Addr(), "")
	g := testkit.New(t).Start(config)
	const n = 120
	post(t, g, "e", n)
	testkit.Eventually(t, "all are delivered", func() bool { return len(app.Got()) == n && stands(t, g, "shop", "default")["delivered"] == float64(n) })
	replay := []string{"replay", "--source", "shop", "--state", "delivered", "--since", "-1h"}
	if out := runs(t, g, append(replay, "--dry-run")...); out != fmt.Sprintf("%d would be due again\n", n) {
		t.Errorf("a dry run says %q", out)
	}
	out := runs(t, g, append(replay, "--rate", "60", "--detach")...)
	var job string
	if _, err := fmt.Sscanf(out, "job %s begins: 120 match", &job); err != nil {
		t.Fatalf("the order says %q: %v", out, err)
	}
	for kill := range 3 {
		testkit.Eventually(t, "some more are sent", func() bool { return len(app.Got()) >= n+(kill+1)*25 })
		again(g, config)
	}
	if out := runs(t, g, "jobs", job); !strings.Contains(out, "of 120 due again") {
		t.Errorf("the job says %q", out)
	}
	testkit.Eventually(t, "the log tells of the job's way", func() bool {
		return strings.Contains(g.Log(), `"msg":"job goes on"`) && strings.Contains(g.Log(), `"msg":"job ended"`)
	})
	testkit.Eventually(t, "nothing waits any more", func() bool { return stands(t, g, "shop", "default")["delivered"] == float64(n) })
	replays := map[string]int{}
	for _, r := range app.Got() {
		if r.Header.Get("Webhook-Replay") == "true" {
			replays[r.ID()]++
		}
	}
	// What was under way at a kill comes again, as after every kill; nothing else does.
	const underWay, kills = 4, 3
	more := 0
	for _, times := range replays {
		more += times - 1
	}
	if len(replays) != n || more > underWay*kills {
		t.Errorf("%d of %d events were replayed, %d came more than once", len(replays), n, more)
	}
	if out := runs(t, g, "jobs"); !strings.Contains(out, job) || !strings.Contains(out, "done") {
		t.Errorf("the jobs are:\n%s", out)
	}
}

func TestManyAreSentElsewhereAndGivenUp(t *testing.T) {
	t.Parallel()
	app, other := testkit.NewApp(t), testkit.NewApp(t)
	g := testkit.New(t).Start(strings.Replace(one("shop", "default", app.Addr(), ""), "to "+app.Addr(), "to "+other.Addr()+" {\nname audit\nevents none.*\n}\nto "+app.Addr(), 1))
	if len(other.Got()) != 0 {
		t.Fatal("it has events")
	}
	post(t, g, "e", 5)
	testkit.Eventually(t, "all are delivered", func() bool { return len(app.Got()) == 5 })
	if out := runs(t, g, "replay", "--source", "shop", "--to", "audit", "--destination", "default"); out != "5 of 5 due again to shop/audit\n" {
		t.Errorf("the replay says %q", out)
	}
	testkit.Eventually(t, "the other has them", func() bool { return len(other.Got()) == 5 })
	runs(t, g, "pause", "shop/audit")
	runs(t, g, "replay", "--source", "shop", "--destination", "audit")
	if out := runs(t, g, "discard", "--source", "shop", "--state", "pending"); out != "5 of 5 discarded\n" {
		t.Errorf("the discard says %q", out)
	}
	if out := runs(t, g, "discard", "--source", "shop", "--state", "pending"); out != "nothing matches\n" {
		t.Errorf("another discard says %q", out)
	}
}
