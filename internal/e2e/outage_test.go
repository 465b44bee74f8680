package e2e

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/internal/testkit"
)

// outage is how long the application is away in each manner: OUTAGE=1m makes
// the test a long one.
func outage(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("OUTAGE")
	if text == "" {
		return 3 * time.Second
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// steady sends events at a steady pace over several connections, and notes how
// long each answer took.
type steady struct {
	*load
	mu   sync.Mutex
	took []time.Duration
}

func steadily(url string, conns int, every time.Duration) *steady {
	s := &steady{load: &load{stop: make(chan struct{}), accepted: map[string]bool{}, sent: map[string]bool{}}}
	for c := range conns {
		s.wg.Go(func() {
			tick := time.NewTicker(every)
			defer tick.Stop()
			for i := 0; ; i++ {
				select {
				case <-s.stop:
					return
				case <-tick.C:
				}
				began := time.Now()
				s.one(url, fmt.Sprintf("steady-%d-%d", c, i))
				s.mu.Lock()
				s.took = append(s.took, time.Since(began))
				s.mu.Unlock()
			}
		})
	}
	return s
}

// times gives p50, p99 and the longest of the answers since the last call.
func (s *steady) times() (n int, p50, p99, longest time.Duration) {
	s.mu.Lock()
	took := s.took
	s.took = nil
	s.mu.Unlock()
	if len(took) == 0 {
		return 0, 0, 0, 0
	}
	slices.Sort(took)
	return len(took), took[len(took)/2], took[len(took)*99/100], took[len(took)-1]
}

// live is what the process's garbage collector finds in use, in MiB.
func live(t *testing.T, g *testkit.Gateway) int {
	t.Helper()
	resp, err := http.Get("http://" + g.Admin + "/debug/pprof/heap?gc=1&debug=1") //nolint:noctx // bounded by the test
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "# HeapAlloc = ")
	number, _, _ := strings.Cut(rest, "\n")
	n, err := strconv.Atoi(number)
	if err != nil {
		t.Fatalf("the heap's size: %v", err)
	}
	return n >> 20
}

// manners are the ways in which an application can be away.
var manners = []struct {
	name   string
	answer http.HandlerFunc
}{
	{"refuses connections", nil},
	{"hangs", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }},
	{"answers 500", unavailableApp},
	{"answers 503 with Retry-After", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusServiceUnavailable)
	}},
	{"cuts its answers short", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		_, _ = w.Write([]byte("only this"))
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}},
}

// It is not parallel: what it measures is only worth reading while nothing
// else runs.
func TestAnOutageInEveryMannerChangesNeitherIntakeNorMemory(t *testing.T) {
	const conns = 8
	app := testkit.NewApp(t)
	gone := testkit.FreeAddr(t)
	config := strings.NewReplacer("retry {", "timeout 1s\n\t\t\tretry {", "50ms 500ms", "500ms 5s").Replace(simple(app))
	away := strings.ReplaceAll(config, app.Addr(), gone)
	g := testkit.New(t).Start(config)
	s := steadily("http://"+g.Addr+"/hook", conns, 4*time.Millisecond)
	pass := func(what string) {
		before := s.count()
		<-time.After(outage(t))
		testkit.Eventually(t, "events are accepted", func() bool { return s.count() > before+100 })
		n, p50, p99, longest := s.times()
		t.Logf("%-40s %6d answers, p50 %v, p99 %v, longest %v; %d pending, %d MiB in use", what, n, p50, p99, longest, g.Count("pending"), live(t, g))
		if longest > 5*time.Second {
			t.Errorf("while the application %s an answer took %v", what, longest)
		}
	}
	pass("works")
	memory := live(t, g)
	for _, m := range manners {
		c := config
		if m.answer == nil {
			c = away
		}
		if err := g.Reload(c); err != nil {
			t.Fatal(err)
		}
		app.Answer(m.answer)
		pass(m.name)
	}
	// The index may take up to about 50 MiB for a moment, when it sorts itself anew.
	if now := live(t, g); now > memory+100 {
		t.Errorf("%d MiB were in use before the outage, %d MiB with %d pending", memory, now, g.Count("pending"))
	}
	app.Answer(nil)
	pass("works again")
	s.end()
	// A reload closes connections that wait for a next request, which may be on its way.
	if failed := len(s.sent) - len(s.accepted); failed > len(manners)*conns {
		t.Errorf("%d of %d were not accepted", failed, len(s.sent))
	}
	for range manners { // a long outage's backlog takes its time
		if <-time.After(outage(t) / 2); g.Count("pending") == 0 {
			break
		}
	}
	s.settle(t, app)
}
