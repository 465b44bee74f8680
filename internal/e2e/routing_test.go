package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-webhooks/caddy-webhooks/internal/testkit"
)

// destination is what the admin API tells of one.
type destination struct {
	Name                         string
	Pending, Delivered, Filtered int
}

// destinationsOf asks for the destinations of the only source, by name.
func destinationsOf(g *testkit.Gateway) map[string]destination {
	var v struct {
		Sources []struct{ Destinations []destination }
	}
	g.Get("/webhooks/sources", &v)
	found := map[string]destination{}
	for _, s := range v.Sources {
		for _, d := range s.Destinations {
			found[d.Name] = d
		}
	}
	return found
}

func TestExampleFanOutGivesEachWhatItWants(t *testing.T) {
	t.Parallel()
	ledger, mailer, sales := testkit.NewApp(t), testkit.NewApp(t), testkit.NewApp(t)
	g := testkit.New(t, "STRIPE_SECRET=whsec_test").Start(example(t, "fan-out",
		"localhost:3001", ledger.Addr(), "localhost:3002", mailer.Addr(), "localhost:3003", sales.Addr()))
	for id, c := range map[string]struct{ kind, amount, want string }{
		"evt_small": {"invoice.paid", "5000", "accepted"},
		"evt_large": {"invoice.created", "100000", "accepted"},
		"evt_other": {"customer.created", "1", "filtered"},
	} {
		body := fmt.Sprintf(`{"id":%q,"type":%q,"data":{"object":{"customer":"cus\r\n1","amount_due":%s}}}`, id, c.kind, c.amount)
		status, word := send(t, "http://"+g.Addr+"/stripe", "stripe", "whsec_test", "", body)
		if status != 200 || word != c.want {
			t.Errorf("%s: %d %s, want %s", id, status, word, c.want)
		}
	}
	testkit.Eventually(t, "all are delivered", func() bool { return g.Count("delivered") == 4 })
	if n := destinationsOf(g); n["ledger"].Filtered != 1 || n["mailer"].Filtered != 2 || n["sales"].Filtered != 2 {
		t.Errorf("filtered: %+v", n)
	}
	if len(ledger.Got()) != 2 || len(mailer.Got()) != 1 || len(sales.Got()) != 1 {
		t.Fatalf("delivered %d, %d, %d", len(ledger.Got()), len(mailer.Got()), len(sales.Got()))
	}
	if h := mailer.Got()[0].Header; h.Get("X-Event-Type") != "invoice.paid" || h.Get("X-Customer") != "cus  1" {
		t.Errorf("the mailer got %v", h)
	}
	if got := sales.Got()[0]; got.URI != "/inbox/invoice.created" || !strings.Contains(string(got.Body), "evt_large") {
		t.Errorf("sales got %s %s", got.URI, got.Body)
	}
}

func TestADestinationThatIsDownHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	quick, slow := testkit.NewApp(t), testkit.NewApp(t)
	held := make(chan struct{})
	slow.Answer(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-held:
		case <-r.Context().Done():
		}
	})
	gone := testkit.FreeAddr(t)
	config := fmt.Sprintf(`{$ADDR} {
	webhooks /hook {
		from github {env.HOOK_SECRET}
		to %s {
			name gone
			events pu*
			retry {
				backoff 50ms 200ms
			}
		}
		to %s {
			name slow
			concurrency 1
			match not header X-GitHub-Delivery odd-*
		}
		to %s {
			name quick
		}
	}
}`, gone, slow.Addr(), quick.Addr())
	g := testkit.New(t).Start(config)
	const events = 20
	for i := range events {
		id := fmt.Sprint([]string{"even-", "odd-"}[i%2], i)
		status, h, err := testkit.Post("http://"+g.Addr+"/hook", testkit.Secret, id, []byte("{}"))
		if err != nil || status != 200 || h.Get("Webhook-Status") != "accepted" {
			t.Fatalf("event %d: %d %v %v", i, status, h, err)
		}
	}
	testkit.Eventually(t, "the one that is well has all", func() bool { return len(quick.Times()) == events })
	n := destinationsOf(g)
	if n["gone"].Pending != events || n["slow"].Pending != events/2 || n["slow"].Filtered != events/2 {
		t.Errorf("the others: %+v", n)
	}
	close(held)
	testkit.Eventually(t, "the slow one has its own", func() bool { return destinationsOf(g)["slow"].Delivered == events/2 })
	back := testkit.NewApp(t)
	if err := g.Reload(strings.Replace(config, gone, back.Addr(), 1)); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "the one that was gone has all", func() bool { return len(back.Times()) == events })
	for _, app := range []*testkit.App{quick, back} {
		for id, times := range app.Times() {
			if times != 1 {
				t.Errorf("%s was delivered %d times", id, times)
			}
		}
	}
}

func TestAFilteredEventThatIsSentAgainWhenItIsWantedIsRevived(t *testing.T) {
	t.Parallel()
	app := testkit.NewApp(t)
	config := func(glob string) string {
		return fmt.Sprintf("{$ADDR} {\n\twebhooks /hook {\n\t\tfrom github {env.HOOK_SECRET}\n\t\tto %s {\n\t\t\tevents %s\n\t\t}\n\t}\n}", app.Addr(), glob)
	}
	g := testkit.New(t).Start(config("fork"))
	post := func(want string) {
		t.Helper()
		if status, h, err := testkit.Post("http://"+g.Addr+"/hook", testkit.Secret, "a", []byte("{}")); err != nil || status != 200 || h.Get("Webhook-Status") != want {
			t.Errorf("%d %v %v, want %s", status, h, err, want)
		}
	}
	post("filtered")
	post("duplicate")
	if err := g.Reload(config("push fork")); err != nil {
		t.Fatal(err)
	}
	post("revived")
	testkit.Eventually(t, "it arrives", func() bool { return len(app.Got()) == 1 })
	testkit.Eventually(t, "it is delivered", func() bool { return g.Count("delivered") == 1 && g.Count("filtered") == 0 })
	post("duplicate")
}

func TestTheAccessLogKnowsTheEvent(t *testing.T) {
	t.Parallel()
	app := testkit.NewApp(t)
	g := testkit.New(t)
	g.Start(fmt.Sprintf(`{$ADDR} {
	log {
		output file %s
	}
	log_append type {webhooks.type}
	log_append ref {webhooks.json.ref}
	log_append event {webhooks.event}
	header >X-Seen {webhooks.json.ref}
	webhooks /hook {
		from github {env.HOOK_SECRET}
		to %s
	}
}`, filepath.Join(g.Dir, "access.log"), app.Addr()))
	_, h, err := testkit.Post("http://"+g.Addr+"/hook", testkit.Secret, "first", []byte(`{"ref":"{env.HOOK_SECRET}"}`))
	if err != nil || h.Get("X-Seen") != "{env.HOOK_SECRET}" {
		t.Errorf("%v %v", h, err)
	}
	testkit.Eventually(t, "the line is written", func() bool {
		text, err := os.ReadFile(filepath.Join(g.Dir, "access.log"))
		return err == nil && strings.Contains(string(text), `"type":"push"`) &&
			strings.Contains(string(text), `"ref":"{env.HOOK_SECRET}"`) &&
			strings.Contains(string(text), fmt.Sprintf(`"event":%q`, h.Get("Webhook-Event-Id")))
	})
}

func TestAMatcherThatCannotLoadNamesItsLine(t *testing.T) {
	t.Parallel()
	g := testkit.New(t)
	path := filepath.Join(g.Dir, "Bad")
	if err := os.WriteFile(path, []byte("localhost {\n\twebhooks /hook {\n\t\tfrom github {env.HOOK_SECRET}\n\t\tto localhost:1 {\n\t\t\tmatch `{webhooks.jsn.ref} == \"x\"`\n\t\t}\n\t}\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := g.Run("validate", "--config", path, "--adapter", "caddyfile")
	if want := "destination default: match: there is no placeholder {webhooks.jsn.ref}, at " + path + ":5"; err == nil || !strings.Contains(out, want) {
		t.Errorf("%v %s, want %s", err, out, want)
	}
}
