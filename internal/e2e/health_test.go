package e2e

import (
	"strings"
	"testing"

	"github.com/caddy-webhooks/caddy-webhooks/internal/testkit"
)

func TestHealthIsAskedByACommandAndThroughASite(t *testing.T) {
	t.Parallel()
	app := testkit.NewApp(t)
	site := testkit.FreeAddr(t)
	config := func(to string) string {
		return one("shop", "default", to, "") + `
http://` + site + ` {
	handle /healthz {
		rewrite /webhooks/health?oldest_pending=1ms
		reverse_proxy ` + "{$ADMIN}" + ` {
			header_up Host {upstream_hostport}
		}
	}
}`
	}
	g := testkit.New(t).Start(config(app.Addr()))
	if out := runs(t, g, "health"); out != "ok\n" {
		t.Errorf("health says %q", out)
	}
	if status, body := testkit.Fetch(t, "http://"+site+"/healthz"); status != 200 || !strings.Contains(body, `"status":"ok"`) {
		t.Errorf("the site answers %d %s", status, body)
	}
	if err := g.Reload(config(testkit.FreeAddr(t))); err != nil {
		t.Fatal(err)
	}
	post(t, g, "e", 1)
	testkit.Eventually(t, "the site answers that an event waits", func() bool {
		status, body := testkit.Fetch(t, "http://"+site+"/healthz")
		return status == 503 && strings.Contains(body, `"reason":"oldest_pending","source":"shop","destination":"default"`)
	})
	out, err := g.Run("webhooks", "health", "--oldest-pending", "1ms", "--address", g.Admin)
	if err == nil || !strings.Contains(out, "failing\noldest_pending at shop/default: an event has been waiting for ") {
		t.Errorf("%v, health says %q", err, out)
	}
	if out := runs(t, g, "health", "--oldest-pending", "1ms", "--ignore", "oldest_pending"); out != "ok\n" {
		t.Errorf("with that ignored health says %q", out)
	}
}

func TestHealthNamesASourceThatIsAtItsShareOfTheBacklog(t *testing.T) {
	t.Parallel()
	config := strings.Replace(one("shop", "default", testkit.FreeAddr(t), ""), "\t\tto ", "\t\tmax_backlog 30B\n\t\tto ", 1)
	g := testkit.New(t).Start(config)
	for i, want := range []int{200, 503} {
		status, _, err := testkit.Post("http://"+g.Addr+"/hook", testkit.Secret, string(rune('a'+i)), []byte(`{"twenty": "bytes"}`))
		if err != nil || status != want {
			t.Fatalf("%d: %d %v, want %d", i, status, err, want)
		}
	}
	out, err := g.Run("webhooks", "health", "--address", g.Admin)
	if err == nil || !strings.Contains(out, "failing\nbacklog_full at shop: webhooks of this source are answered 503 ") {
		t.Errorf("%v, health says %q", err, out)
	}
}
