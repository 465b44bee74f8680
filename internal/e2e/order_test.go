package e2e

import (
	"fmt"
	"net/http"
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
