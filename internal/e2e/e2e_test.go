// Package e2e holds the tests that start the real binary, send it real
// requests, and kill, reload and starve it.
package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/caddy-webhooks/caddy-webhooks/internal/testkit"
)

func TestMain(m *testing.M) {
	code := m.Run()
	testkit.Cleanup()
	if built.Load() {
		if path, err := buildAlerting(); err == nil {
			_ = os.RemoveAll(filepath.Dir(path))
		}
	}
	os.Exit(code)
}

func simple(app *testkit.App) string {
	return fmt.Sprintf("{$ADDR} {\n\twebhooks /hook {\n\t\tfrom github {env.HOOK_SECRET}\n\t\tto %s {\n\t\t\tretry {\n\t\t\t\tbackoff 50ms 500ms\n\t\t\t}\n\t\t}\n\t}\n\trespond 404\n}", app.Addr())
}

// load sends events over several connections until stop is closed, and tells
// which were answered 2xx.
type load struct {
	wg       sync.WaitGroup
	stop     chan struct{}
	mu       sync.Mutex
	accepted map[string]bool
	sent     map[string]bool
	wrong    []string
}

func start(url, prefix string, conns int) *load {
	l := &load{stop: make(chan struct{}), accepted: map[string]bool{}, sent: map[string]bool{}}
	for c := range conns {
		l.wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-l.stop:
					return
				default:
				}
				l.one(url, fmt.Sprintf("%s-%d-%d", prefix, c, i))
			}
		})
	}
	return l
}

func (l *load) one(url, id string) {
	l.mu.Lock()
	l.sent[id] = true
	l.mu.Unlock()
	status, h, err := testkit.Post(url, testkit.Secret, id, []byte(`{"id":"`+id+`","pad":"`+strings.Repeat("x", 500)+`"}`))
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err != nil: // the process is gone, or its listener changes hands
	case status == http.StatusOK && h.Get("Webhook-Event-Id") != "":
		l.accepted[id] = true
	case status == http.StatusServiceUnavailable && h.Get("Retry-After") != "":
	default:
		l.wrong = append(l.wrong, fmt.Sprintf("%s: %d %v", id, status, h))
	}
}

func (l *load) end() {
	close(l.stop)
	l.wg.Wait()
}

// count is the number of accepted events so far.
func (l *load) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.accepted)
}

// settle checks that everything accepted arrived, and nothing that was not sent.
func (l *load) settle(t *testing.T, app *testkit.App) {
	t.Helper()
	if len(l.wrong) > 0 {
		t.Errorf("%d answers were wrong, the first: %s", len(l.wrong), l.wrong[0])
	}
	missing := ""
	testkit.Eventually(t, "everything that was accepted arrives", func() bool {
		times := app.Times()
		for id := range l.accepted {
			if times[id] == 0 {
				missing = id
				return false
			}
		}
		missing = ""
		return true
	})
	if missing != "" {
		t.Errorf("%s was accepted and never arrived", missing)
	}
	repeats := 0
	for id, n := range app.Times() {
		if !l.sent[id] {
			t.Errorf("%s arrived and was never sent", id)
		}
		repeats += n - 1
	}
	t.Logf("%d accepted, %d attempts more than events", len(l.accepted), repeats)
}

func TestKillNineAtRandomMomentsLosesNothing(t *testing.T) {
	t.Parallel()
	rounds := 20
	if testing.Short() {
		rounds = 5
	}
	app := testkit.NewApp(t)
	g := testkit.New(t)
	all := &load{accepted: map[string]bool{}, sent: map[string]bool{}}
	for round := range rounds {
		g.Start(simple(app))
		l := start("http://"+g.Addr+"/hook", fmt.Sprint("round", round), 8)
		// The moment is random because the load is: after a number of accepted
		// events that differs in each round.
		testkit.Eventually(t, "events are accepted", func() bool { return l.count() > 5+37*round%400 })
		g.Kill()
		l.end()
		for id := range l.accepted {
			all.accepted[id] = true
		}
		for id := range l.sent {
			all.sent[id] = true
		}
		all.wrong = append(all.wrong, l.wrong...)
	}
	g.Start(simple(app))
	all.settle(t, app)
}

func TestFiftyReloadsUnderLoadLoseNothing(t *testing.T) {
	t.Parallel()
	app := testkit.NewApp(t)
	g := testkit.New(t).Start(simple(app))
	l := start("http://"+g.Addr+"/hook", "reload", 4)
	for i := range 50 {
		config := strings.Replace(simple(app), "respond 404", fmt.Sprintf("respond \"%d\" 404", i), 1)
		if err := g.Reload(config); err != nil {
			t.Fatalf("reload %d: %v", i, err)
		}
	}
	l.end()
	l.settle(t, app)
	for id, n := range app.Times() {
		if n > 1 {
			t.Errorf("%s was delivered %d times over reloads", id, n)
		}
	}
}

func TestSIGTERMUnderLoadLosesNothing(t *testing.T) {
	t.Parallel()
	app := testkit.NewApp(t)
	g := testkit.New(t)
	for round := range 3 {
		g.Start(simple(app))
		l := start("http://"+g.Addr+"/hook", fmt.Sprint("term", round), 8)
		testkit.Eventually(t, "events are accepted", func() bool { return l.count() > 100 })
		g.Stop()
		l.end()
		g.Start(simple(app))
		l.sent = merge(l.sent, app.Times())
		l.settle(t, app)
		g.Stop()
	}
}

func merge(sent map[string]bool, times map[string]int) map[string]bool {
	for id := range times {
		if strings.HasPrefix(id, "term") {
			sent[id] = true
		}
	}
	return sent
}

func TestWhileTheApplicationFailsIntakeGoesOnAndEverythingArrivesAfterwards(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]http.HandlerFunc{
		"500":          func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) },
		"503 to retry": func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Retry-After", "1"); w.WriteHeader(503) },
		"cut short": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte("only this"))
		},
		"redirect": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(302)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			app := testkit.NewApp(t)
			app.Answer(answer)
			g := testkit.New(t).Start(simple(app))
			l := start("http://"+g.Addr+"/hook", "fail", 4)
			testkit.Eventually(t, "events are accepted while the application fails", func() bool { return l.count() > 300 })
			l.end()
			if n := g.Count("delivered"); n != 0 {
				t.Errorf("%d count as delivered, though the application answered with %s", n, name)
			}
			app.Answer(nil)
			testkit.Eventually(t, "nothing is pending", func() bool { return g.Count("pending") == 0 })
			if n := g.Count("delivered"); n != len(l.accepted) {
				t.Errorf("%d of %d were delivered", n, len(l.accepted))
			}
		})
	}
}

func TestAHungApplicationDoesNotSlowIntake(t *testing.T) {
	t.Parallel()
	app := testkit.NewApp(t)
	release := make(chan struct{})
	app.Answer(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	config := strings.Replace(simple(app), "retry {", "timeout 1s\n\t\t\tretry {", 1)
	g := testkit.New(t).Start(config)
	l := start("http://"+g.Addr+"/hook", "hang", 4)
	testkit.Eventually(t, "a thousand events are accepted", func() bool { return l.count() > 1000 })
	l.end()
	close(release)
	app.Answer(nil)
	l.settle(t, app)
}

func TestTheApplicationIsGoneAndComesBackAfterARestart(t *testing.T) {
	t.Parallel()
	app := testkit.NewApp(t)
	gone := testkit.FreeAddr(t)
	config := func(addr string) string { return strings.ReplaceAll(simple(app), app.Addr(), addr) }
	g := testkit.New(t).Start(config(gone))
	l := start("http://"+g.Addr+"/hook", "gone", 2)
	testkit.Eventually(t, "events are accepted", func() bool { return l.count() > 100 })
	l.end()
	g.Kill()
	g.Start(config(app.Addr()))
	l.settle(t, app)
}

func TestOneHundredConcurrentRepeatsAreOneEventAndAHundredSuccesses(t *testing.T) {
	t.Parallel()
	app := testkit.NewApp(t)
	g := testkit.New(t).Start(simple(app))
	var wg sync.WaitGroup
	words := make([]string, 100)
	ids := make([]string, 100)
	for i := range words {
		wg.Go(func() {
			status, h, err := testkit.Post("http://"+g.Addr+"/hook", testkit.Secret, "same", []byte("{}"))
			if err != nil || status != 200 {
				t.Errorf("%d: %v", status, err)
				return
			}
			words[i], ids[i] = h.Get("Webhook-Status"), h.Get("Webhook-Event-Id")
		})
	}
	wg.Wait()
	accepted := 0
	for i, w := range words {
		if w == "accepted" {
			accepted++
		} else if w != "duplicate" {
			t.Errorf("answer %d was %q", i, w)
		}
		if ids[i] != ids[0] {
			t.Errorf("two events: %s and %s", ids[0], ids[i])
		}
	}
	if accepted != 1 {
		t.Errorf("%d were accepted, want 1", accepted)
	}
	testkit.Eventually(t, "it is delivered", func() bool { return g.Count("delivered") == 1 })
	if n := len(app.Got()); n != 1 {
		t.Errorf("the application got it %d times", n)
	}
}

// unavailableApp is an application that is there and cannot work.
func unavailableApp(w http.ResponseWriter, _ *http.Request) {
	w.WriteHeader(http.StatusInternalServerError)
}
