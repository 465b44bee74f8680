package e2e

import (
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/caddy-webhooks/caddy-webhooks/internal/testkit"
)

// accepted posts one event and insists that it is accepted.
func accepted(t *testing.T, g *testkit.Gateway, id string) (event string) {
	t.Helper()
	status, h, err := testkit.Post("http://"+g.Addr+"/hook", testkit.Secret, id, []byte("{}"))
	if err != nil || status != http.StatusOK || h.Get("Webhook-Status") != "accepted" {
		t.Fatalf("%s: %d %v %v", id, status, h, err)
	}
	return h.Get("Webhook-Event-Id")
}

func TestAnExitWaitsForARunningAttempt(t *testing.T) {
	t.Parallel()
	app := testkit.NewApp(t)
	begun, release := make(chan struct{}), make(chan struct{})
	app.Answer(func(http.ResponseWriter, *http.Request) {
		close(begun)
		<-release
	})
	g := testkit.New(t).Start(simple(app))
	accepted(t, g, "slow")
	<-begun
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		g.Stop()
	}()
	testkit.Eventually(t, "the exit has begun", func() bool { return strings.Contains(g.Log(), "shutting down") })
	close(release)
	<-ended
	app.Answer(nil)
	g.Start(simple(app))
	if n := g.Count("delivered"); n != 1 {
		t.Errorf("%d are delivered after the restart, want the one whose attempt the exit waited for", n)
	}
	if n := app.Times()["slow"]; n != 1 {
		t.Errorf("the application got it %d times", n)
	}
}

func TestAnExitCutsOffAnAttemptThatOutlastsTheGracePeriodAndSendsItAgain(t *testing.T) {
	t.Parallel()
	app := testkit.NewApp(t)
	app.Answer(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	g := testkit.New(t).Start("{\n\tgrace_period 1s\n}\n" + simple(app))
	id := accepted(t, g, "endless")
	testkit.Eventually(t, "the attempt runs", func() bool { return len(app.Got()) == 1 })
	g.Stop()
	app.Answer(nil)
	g.Start(simple(app))
	testkit.Eventually(t, "it is delivered", func() bool { return g.Count("delivered") == 1 })
	for i, got := range app.Got() {
		if e := got.Header.Get("Webhook-Event-Id"); e != id {
			t.Errorf("attempt %d has event ID %s, want %s", i+1, e, id)
		}
	}
}

func TestASecondProcessWaitsForTheDirectoryAndThenSaysWhoHasIt(t *testing.T) {
	t.Parallel()
	app := testkit.NewApp(t)
	g := testkit.New(t).Start(simple(app))
	other := testkit.New(t, "XDG_DATA_HOME="+g.Dir)
	path := writeCaddyfile(t, "{\n\tadmin "+other.Admin+"\n\tpersist_config off\n}\n"+strings.Replace(simple(app), "{$ADDR}", "http://"+other.Addr, 1))
	out, err := other.Run("run", "--config", path, "--adapter", "caddyfile")
	if err == nil {
		t.Fatal("two processes use one directory")
	}
	for _, want := range []string{"waiting for another process", "used by another process", "process " + pid(g)} {
		if !strings.Contains(out, want) {
			t.Errorf("the output lacks %q:\n%s", want, last(out))
		}
	}
	accepted(t, g, "still at work")
}

func TestASecondProcessStartsWhenTheFirstLetsGo(t *testing.T) {
	t.Parallel()
	app := testkit.NewApp(t)
	app.Answer(unavailableApp)
	g := testkit.New(t).Start(simple(app))
	id := accepted(t, g, "handed over")
	other := testkit.New(t, "XDG_DATA_HOME="+g.Dir)
	go func() {
		testkit.Eventually(t, "the second waits", func() bool { return strings.Contains(other.Log(), "waiting for another process") })
		app.Answer(nil)
		g.Stop()
	}()
	other.Start(simple(app))
	testkit.Eventually(t, "the second delivers what the first accepted", func() bool { return app.Times()["handed over"] > 0 && other.Count("pending") == 0 })
	if got := app.Got(); got[len(got)-1].Header.Get("Webhook-Event-Id") != id {
		t.Error("the event ID has changed")
	}
}

// states tells the state of every destination, by source/name.
func states(g *testkit.Gateway) map[string]string {
	var v struct {
		Sources []struct {
			Name         string
			Destinations []struct{ Name, State string }
		}
	}
	g.Get("/webhooks/sources", &v)
	list := map[string]string{}
	for _, s := range v.Sources {
		for _, d := range s.Destinations {
			list[s.Name+"/"+d.Name] = d.State
		}
	}
	return list
}

func TestWhatWaitsForAVanishedDestinationIsKeptShownAndNotSent(t *testing.T) {
	t.Parallel()
	app := testkit.NewApp(t)
	app.Answer(unavailableApp)
	before := simple(app)
	g := testkit.New(t).Start(before)
	accepted(t, g, "one")
	testkit.Eventually(t, "five attempts have failed", func() bool { return app.Times()["one"] >= 5 })
	if err := g.Reload(strings.Replace(before, "retry {", "name other\n\t\t\tretry {", 1)); err != nil {
		t.Fatal(err)
	}
	if got := states(g); got["github/default"] != "orphaned" || got["github/other"] != "up" {
		t.Errorf("the destinations' states are %v", got)
	}
	testkit.Eventually(t, "the log says it", func() bool {
		return strings.Contains(g.Log(), "events wait for a destination that is not configured any more")
	})
	app.Answer(nil)
	accepted(t, g, "two")
	testkit.Eventually(t, "the new destination gets the new event", func() bool { return app.Times()["two"] == 1 })
	testkit.Eventually(t, "one is delivered and one waits", func() bool { return g.Count("delivered") == 1 && g.Count("pending") == 1 })
	if err := g.Reload(strings.Replace(before, "from github", "name elsewhere\n\t\tfrom github", 1)); err != nil {
		t.Fatal(err)
	}
	// The other one owes nothing any more, and is not shown.
	if got := states(g); got["github/default"] != "orphaned" || got["github/other"] != "" || got["elsewhere/default"] != "up" {
		t.Errorf("after the source was renamed the states are %v", got)
	}
	if err := g.Reload(before); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "the first is delivered to the destination that is back", func() bool { return g.Count("pending") == 0 })
	if got := states(g); got["github/default"] != "up" || g.Count("delivered") != 1 {
		t.Errorf("in the end the states are %v, %d are delivered", got, g.Count("delivered"))
	}
}

func pid(g *testkit.Gateway) string { return strconv.Itoa(g.PID()) }
