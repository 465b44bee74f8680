package e2e

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/caddy-webhooks/caddy-webhooks/internal/testkit"
)

func TestAnEventThatFailsHoldsOnlyThoseOfItsOwnKey(t *testing.T) {
	t.Parallel()
	app := testkit.NewApp(t)
	var well atomic.Bool
	app.Answer(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Customer") == "ill" && !well.Load() {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	config := fmt.Sprintf(`{$ADDR} {
	webhooks /hook {
		from github {env.HOOK_SECRET}
		to %s {
			order_by {webhooks.json.customer}
			retry {
				backoff 10ms 100ms
			}
			reverse_proxy {
				header_up X-Customer {webhooks.json.customer}
			}
		}
	}
}`, app.Addr())
	g := testkit.New(t).Start(config)
	const each = 5
	for i := range each {
		for _, customer := range []string{"ill", "fit", ""} {
			id := fmt.Sprint(customer, i)
			status, h, err := testkit.Post("http://"+g.Addr+"/hook", testkit.Secret, id, fmt.Appendf(nil, `{"customer":%q}`, customer))
			if err != nil || status != 200 {
				t.Fatalf("%s: %d %v %v", id, status, h, err)
			}
		}
	}
	testkit.Eventually(t, "the others are delivered", func() bool { return g.Count("delivered") == 2*each })
	for _, got := range app.Got() {
		if got.Header.Get("X-Customer") == "ill" && got.ID() != "ill0" {
			t.Errorf("%s came before ill0 was delivered", got.ID())
		}
	}
	g.Kill()
	well.Store(true)
	g.Start(config)
	testkit.Eventually(t, "all are delivered", func() bool { return g.Count("delivered") == 3*each })
	last := map[string]string{}
	for _, got := range app.Got() {
		customer := got.Header.Get("X-Customer")
		if customer != "" && got.ID() < last[customer] {
			t.Errorf("%s came after %s", got.ID(), last[customer])
		}
		last[customer] = got.ID()
	}
}

// TestAThousandKeysKeepTheirOrderThroughFailuresAndKills looks at first
// successes: after a kill an event whose outcome was not on the disk yet comes
// once more.
func TestAThousandKeysKeepTheirOrderThroughFailuresAndKills(t *testing.T) {
	t.Parallel()
	const keys, each, clients = 1000, 4, 20
	app := testkit.NewApp(t)
	var seen successes
	app.Answer(func(w http.ResponseWriter, r *http.Request) {
		if rand.IntN(5) == 0 {
			w.WriteHeader([]int{http.StatusInternalServerError, http.StatusConflict}[rand.IntN(2)])
			return
		}
		seen.add(r.Header.Get("X-Key"), r.Header.Get("X-GitHub-Delivery"))
	})
	config := fmt.Sprintf(`{$ADDR} {
	webhooks /hook {
		from github {env.HOOK_SECRET}
		to %s {
			order_by {webhooks.json.key}
			retry {
				backoff 5ms 50ms
			}
			reverse_proxy {
				header_up X-Key {webhooks.json.key}
			}
		}
	}
}`, app.Addr())
	g := testkit.New(t).Start(config)
	post := func(from, to int) {
		var wg sync.WaitGroup
		for client := range clients { // each has its own keys, so their order is known
			wg.Go(func() {
				for i := from; i < to; i++ {
					for key := client; key < keys; key += clients {
						id, body := fmt.Sprintf("%d-%d", key, i), fmt.Appendf(nil, `{"key":"%d"}`, key)
						if status, _, err := testkit.Post("http://"+g.Addr+"/hook", testkit.Secret, id, body); err != nil || status != 200 {
							t.Errorf("%s: %d %v", id, status, err)
							return
						}
					}
				}
			})
		}
		wg.Wait()
	}
	post(0, each/2)
	g.Kill()
	g.Start(config)
	post(each/2, each)
	testkit.Eventually(t, "half is delivered", func() bool { return seen.count() >= keys*each/2 })
	g.Kill()
	g.Start(config)
	testkit.Eventually(t, "all are delivered", func() bool { return g.Count("delivered") == keys*each })
	for key := range keys {
		for i, id := range seen.of(fmt.Sprint(key)) {
			if want := fmt.Sprintf("%d-%d", key, i); id != want {
				t.Fatalf("of key %d came %s at place %d, want %s", key, id, i, want)
			}
		}
		if n := len(seen.of(fmt.Sprint(key))); n != each {
			t.Errorf("of key %d came %d, want %d", key, n, each)
		}
	}
}

// successes are the events that an application has taken, each once, by key.
type successes struct {
	mu    sync.Mutex
	taken map[string]bool
	by    map[string][]string
}

func (s *successes) add(key, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.by == nil {
		s.taken, s.by = map[string]bool{}, map[string][]string{}
	}
	if !s.taken[id] {
		s.taken[id] = true
		s.by[key] = append(s.by[key], id)
	}
}

func (s *successes) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.taken)
}

func (s *successes) of(key string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.by[key]
}
