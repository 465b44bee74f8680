package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-webhooks/caddy-webhooks/internal/testkit"
)

func TestEventsAreCarriedToAnotherGatewayAndNoneIsLostOrSentTwice(t *testing.T) {
	t.Parallel()
	app, gone := testkit.NewApp(t), testkit.FreeAddr(t)
	old := testkit.New(t).Start(one("shop", "default", app.Addr(), ""))
	delivered := post(t, old, "delivered", 3)
	testkit.Eventually(t, "the first are delivered", func() bool { return stands(t, old, "shop", "default")["delivered"] == 3.0 })
	if err := old.Reload(one("shop", "default", gone, "")); err != nil {
		t.Fatal(err)
	}
	waiting := post(t, old, "waiting", 4)
	testkit.Eventually(t, "an attempt has failed", func() bool { return strings.Contains(runs(t, old, "export"), "connection refused") })
	file := filepath.Join(t.TempDir(), "events.jsonl")
	if out := runs(t, old, "export", "--output", file); out != "7 events\n" {
		t.Errorf("the export says %q", out)
	}
	old.Kill()
	text, err := os.ReadFile(file)
	if err != nil || strings.Count(string(text), "\n") != 7 || !strings.Contains(string(text), "X-Hub-Signature-256") {
		t.Fatalf("the file has\n%s %v", text, err)
	}

	young := testkit.New(t).Start(one("shop", "default", app.Addr(), ""))
	post(t, young, "waiting", 1) // the provider has sent it here already
	testkit.Eventually(t, "it is delivered", func() bool { return app.Times()["waiting0"] == 1 })
	out := runs(t, young, "import", file)
	if out != "6 imported, 1 had come here on their own\n" {
		t.Errorf("the import says %q", out)
	}
	testkit.Eventually(t, "what waited is delivered", func() bool { return len(app.Got()) == len(delivered)+len(waiting) })
	again(young, one("shop", "default", app.Addr(), ""))
	if out := runs(t, young, "import", file); !strings.HasPrefix(out, "0 imported, 6 were there already, 1 had come") {
		t.Errorf("the second import says %q", out)
	}
	for _, id := range append(delivered, waiting...) {
		status, h, err := testkit.Post("http://"+young.Addr+"/hook", testkit.Secret, id, []byte(`{}`))
		if err != nil || status != 200 || h.Get("Webhook-Status") != "duplicate" {
			t.Errorf("the provider's repeat of %s: %d %q %v", id, status, h.Get("Webhook-Status"), err)
		}
	}
	young.Stop()
	young.Start(one("shop", "default", app.Addr(), ""))
	first, _, _ := strings.Cut(string(text), "\n")
	_, id, _ := strings.Cut(first, `"event":"`)
	id, _, _ = strings.Cut(id, `"`)
	if out := runs(t, young, "show", id); !strings.Contains(out, "delivered0") || !strings.Contains(out, "200") {
		t.Errorf("under its own ID it shows\n%s", out)
	}
	runs(t, young, "replay", id)
	testkit.Eventually(t, "it is replayed", func() bool { return app.Times()["delivered0"] == 2 })
	for _, got := range app.Got() {
		if got.Header.Get("Webhook-Replay") == "true" && got.Header.Get("Webhook-Event-Id") != id {
			t.Errorf("the replay has the event ID %q, want %q", got.Header.Get("Webhook-Event-Id"), id)
		}
	}
	for _, c := range []struct{ args, words string }{
		{"export --output " + file, "exists"},
		{"import " + file + "x", "no such file"},
		{"import " + filepath.Join(young.Dir, "Caddyfile"), "lines were refused"},
		{"export --type=", "parameter type is empty"},
	} {
		out, err := young.Run(append(append([]string{"webhooks"}, strings.Fields(c.args)...), "--address", young.Admin)...)
		if err == nil || !strings.Contains(out, c.words) {
			t.Errorf("%s: %v\n%s", c.args, err, out)
		}
	}
}
