package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-webhooks/caddy-webhooks/internal/testkit"
)

// one is a source with one destination of some name.
func one(source, name, addr, more string) string {
	return fmt.Sprintf("{\n\twebhooks {\n\t\tstore local {$DIR}/store\n\t}\n}\n{$ADDR} {\n\twebhooks /hook {\n\t\tname %s\n\t\tfrom github {env.HOOK_SECRET}\n\t\tto %s {\n\t\t\tname %s\n\t\t\t%s\n\t\t}\n\t}\n}",
		source, addr, name, more)
}

// runs is `caddy webhooks` with these arguments, which must end well.
func runs(t *testing.T, g *testkit.Gateway, args ...string) string {
	t.Helper()
	out, err := g.Run(append(append([]string{"webhooks"}, args...), "--address", g.Admin)...)
	if err != nil {
		t.Fatalf("caddy webhooks %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// stands gives what `sources` says of one; nil if it is not shown.
func stands(t *testing.T, g *testkit.Gateway, source, name string) map[string]any {
	t.Helper()
	var v struct {
		Sources []struct {
			Name         string
			Destinations []map[string]any
		}
	}
	g.Get("/webhooks/sources", &v)
	for _, s := range v.Sources {
		for _, d := range s.Destinations {
			if s.Name == source && d["name"] == name {
				return d
			}
		}
	}
	return nil
}

// post sends n events and wants each accepted.
func post(t *testing.T, g *testkit.Gateway, prefix string, n int) (ids []string) {
	t.Helper()
	for i := range n {
		id := fmt.Sprint(prefix, i)
		status, h, err := testkit.Post("http://"+g.Addr+"/hook", testkit.Secret, id, []byte(`{}`))
		if err != nil || status != http.StatusOK || h.Get("Webhook-Status") != "accepted" {
			t.Fatalf("%s: %d %q %v", id, status, h.Get("Webhook-Status"), err)
		}
		ids = append(ids, id)
	}
	return ids
}

// again kills the gateway and starts it with the same configuration.
func again(g *testkit.Gateway, config string) {
	g.Kill()
	g.Start(config)
}

func TestARenamedDestinationsEventsAreOrphanedMovedAndDelivered(t *testing.T) {
	t.Parallel()
	app := testkit.NewApp(t)
	gone := testkit.FreeAddr(t)
	before, after := one("shop", "old", gone, ""), one("shop", "new", app.Addr(), "")
	g := testkit.New(t).Start(before)
	ids := post(t, g, "e", 5)
	if err := g.Reload(after); err != nil {
		t.Fatal(err)
	}
	const command = "caddy webhooks move --source shop --destination old --to shop/new"
	testkit.Eventually(t, "the reload warns with the command that moves the events", func() bool {
		return strings.Contains(g.Log(), `"pending":5,"dead":0,"hint":"move them: `+command+`;`)
	})
	orphaned := func(when string) {
		t.Helper()
		testkit.Eventually(t, when+" the old destination is orphaned, with five events, and nothing is under way", func() bool {
			d := stands(t, g, "shop", "old")
			return d != nil && d["state"] == "orphaned" && d["pending"] == 5.0 && d["in_flight"] == 0.0
		})
	}
	orphaned("after the reload")
	again(g, after)
	orphaned("after a restart")
	if n := len(app.Got()); n != 0 {
		t.Errorf("%d were delivered before they were moved", n)
	}
	move := strings.Fields(strings.TrimPrefix(command, "caddy webhooks "))
	if out := runs(t, g, append(move, "--dry-run")...); out != "5 would be moved to shop/new\n" {
		t.Errorf("a dry run says %q", out)
	}
	runs(t, g, "pause", "shop/new") // so that the restart comes between move and delivery
	if out := runs(t, g, move...); out != "5 of 5 moved to shop/new\n" {
		t.Errorf("the move says %q", out)
	}
	again(g, after)
	if d := stands(t, g, "shop", "new"); d["pending"] != 5.0 || d["state"] != "paused" {
		t.Errorf("moved and restarted: %v", d)
	}
	runs(t, g, "resume", "shop/new")
	testkit.Eventually(t, "they are delivered", func() bool { return len(app.Got()) == len(ids) })
	g.Stop() // not killed: an outcome of a moment ago may not be on the disk yet
	g.Start(after)
	if d := stands(t, g, "shop", "old"); d != nil {
		t.Errorf("the old destination is still shown: %v", d)
	}
	if status, h, err := testkit.Post("http://"+g.Addr+"/hook", testkit.Secret, ids[0], []byte(`{}`)); err != nil || status != 200 || h.Get("Webhook-Status") != "duplicate" {
		t.Errorf("a repeat of a moved event: %d %q %v", status, h.Get("Webhook-Status"), err)
	}
	for id, n := range app.Times() {
		if n != 1 {
			t.Errorf("%s came %d times", id, n)
		}
	}
}

func TestARenamedSourcesEventsAreMovedToTheNewOne(t *testing.T) {
	t.Parallel()
	app := testkit.NewApp(t)
	g := testkit.New(t).Start(one("shop", "default", testkit.FreeAddr(t), ""))
	post(t, g, "e", 3)
	after := one("store", "default", app.Addr(), "")
	if err := g.Reload(after); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "the reload warns with the command that moves the events", func() bool {
		return strings.Contains(g.Log(), "caddy webhooks move --source shop --destination default --to store/default;")
	})
	if out := runs(t, g, "sources"); !strings.Contains(out, "orphaned") || !strings.Contains(out, "shop (not configured)") {
		t.Errorf("sources:\n%s", out)
	}
	runs(t, g, "move", "--source", "shop", "--to", "store/default")
	testkit.Eventually(t, "they are delivered", func() bool { return len(app.Got()) == 3 })
	if out := runs(t, g, "events", "--source", "store", "--all"); strings.Count(out, " shop ") != 3 {
		t.Errorf("the new source's events:\n%s", out)
	}
	repeated := func(when, want string) {
		t.Helper()
		status, h, err := testkit.Post("http://"+g.Addr+"/hook", testkit.Secret, "e0", []byte(`{}`))
		if err != nil || status != http.StatusOK || h.Get("Webhook-Status") != want {
			t.Errorf("%s a repeat is %d %q %v, want %s", when, status, h.Get("Webhook-Status"), err, want)
		}
	}
	repeated("after the move", "duplicate")
	again(g, after)
	repeated("after a kill", "duplicate")

	// Renamed once more, when nothing waits.
	last := one("boutique", "default", app.Addr(), "")
	if err := g.Reload(last); err != nil {
		t.Fatal(err)
	}
	const command = "caddy webhooks move --source store --to boutique/default"
	testkit.Eventually(t, "the reload says how the claims can follow", func() bool { return strings.Contains(g.Log(), command+`"`) })
	runs(t, g, strings.Fields(strings.TrimPrefix(command, "caddy webhooks "))...)
	repeated("renamed twice,", "duplicate")
	post(t, g, "other", 1)

	// The first name is back: its claims are its own again.
	both := last + "\n{$ADDR} {\n\twebhooks /old {\n\t\tname shop\n\t\tfrom github {env.HOOK_SECRET}\n\t\tto " + app.Addr() + "\n\t}\n}"
	if err := g.Reload(strings.Replace(both, "}\n{$ADDR} {\n\twebhooks /old", "\twebhooks /old", 1)); err != nil {
		t.Fatal(err)
	}
	repeated("with the first name configured again", "accepted")
}

func TestAPauseOutlivesAKillAndWhatWaitedIsDeliveredInOrder(t *testing.T) {
	t.Parallel()
	app := testkit.NewApp(t)
	config := one("shop", "default", app.Addr(), "concurrency 1\n\t\t\tretry {\n\t\t\t\tfor 1s\n\t\t\t}")
	g := testkit.New(t).Start(config)
	if out := runs(t, g, "pause", "shop"); out != "shop/default is paused: nothing waits\n" {
		t.Errorf("the pause says %q", out)
	}
	if out := runs(t, g, "pause", "shop"); out != "shop/default is paused, as before: nothing waits\n" {
		t.Errorf("the second pause says %q", out)
	}
	ids := post(t, g, "before", 20)
	again(g, config)
	if d := stands(t, g, "shop", "default"); d["state"] != "paused" || d["pending"] != 20.0 {
		t.Fatalf("after a kill: %v", d)
	}
	ids = append(ids, post(t, g, "after", 20)...)
	if err := g.Reload(config); err != nil {
		t.Fatal(err)
	}
	if d := stands(t, g, "shop", "default"); d["state"] != "paused" || d["pending"] != 40.0 || d["dead"] != 0.0 {
		t.Fatalf("after a reload: %v", d)
	}
	if n := len(app.Got()); n != 0 {
		t.Fatalf("%d were delivered during the pause", n)
	}
	if out := runs(t, g, "resume", "shop/default"); !strings.HasPrefix(out, "shop/default is up: ") {
		t.Errorf("the resumption says %q", out)
	}
	testkit.Eventually(t, "all are delivered", func() bool { return len(app.Got()) == len(ids) })
	var got []string
	for _, r := range app.Got() {
		got = append(got, r.ID())
	}
	if !slices.Equal(got, ids) {
		t.Errorf("the order is %v", got)
	}
}

func TestWhatCannotBePausedOrMovedIsSaidInWords(t *testing.T) {
	t.Parallel()
	app := testkit.NewApp(t)
	g := testkit.New(t)
	refused := func(want string, args ...string) {
		t.Helper()
		out, err := g.Run(append(append([]string{"webhooks"}, args...), "--address", g.Admin)...)
		if err == nil || !strings.Contains(out, want) {
			t.Errorf("%v: %v %q, want %q", args, err, out, want)
		}
	}
	for _, args := range [][]string{{"pause", "shop"}, {"resume", "shop"}, {"move", "--to", "shop/default"}} {
		refused("no Caddy answers at "+g.Admin, args...)
	}
	g.Start(one("shop", "default", app.Addr(), ""))
	refused("there is no such source: shoop; there are: shop/default", "pause", "shoop")
	refused("there is no such destination: shop/x; there are: shop/default", "resume", "shop/x")
	refused("there is no such destination: shop/x; there are: shop/default", "move", "--source", "shop", "--to", "x")
	refused("where to?", "move", "--source", "shop")
	refused("it is empty", "move", "--source", "", "--to", "shop/default")
	refused("is no destination", "pause", "/default")
	if out := runs(t, g, "move", "--source", "shop", "--to", "default"); out != "nothing matches\n" {
		t.Errorf("%q", out)
	}
	if out := runs(t, g, "pause", "shop", "--json"); !strings.Contains(out, `"changed":true`) || !strings.Contains(out, `"state":"paused"`) {
		t.Errorf("%q", out)
	}
	for _, verb := range []string{"pause", "resume", "move"} {
		if out := runs(t, g, verb, "--help"); !strings.Contains(out, "Examples:") || strings.Count(out, "caddy webhooks "+verb) < 3 {
			t.Errorf("--help of %s:\n%s", verb, out)
		}
	}
}
