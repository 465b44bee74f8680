package gateway

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	_ "github.com/caddyserver/caddy/v2/modules/standard"
)

// provisioned makes routes of Caddy's real handlers.
func provisioned(t *testing.T, routes string) caddyhttp.RouteList {
	t.Helper()
	ctx, err := caddy.ProvisionContext(&caddy.Config{Admin: &caddy.AdminConfig{Disabled: true}})
	if err != nil {
		t.Fatal(err)
	}
	var list caddyhttp.RouteList
	if err := json.Unmarshal([]byte(routes), &list); err != nil {
		t.Fatal(err)
	}
	if err := list.Provision(ctx); err != nil {
		t.Fatal(err)
	}
	return list
}

func handles(handlers ...string) string { return `[{"handle":[` + strings.Join(handlers, ",") + `]}]` }

// checkedBackend answers checks as it is told, and counts them.
type checkedBackend struct {
	addr    string
	bad     atomic.Bool
	checked atomic.Int64
}

func newCheckedBackend(t *testing.T) *checkedBackend {
	t.Helper()
	b := new(checkedBackend)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if b.bad.Load() {
			w.WriteHeader(http.StatusInternalServerError)
		}
		b.checked.Add(1)
	}))
	t.Cleanup(s.Close)
	b.addr = s.Listener.Addr().String()
	return b
}

// proxyOf is a reverse_proxy that checks its upstreams every 10 ms.
func proxyOf(backends ...*checkedBackend) string {
	up := make([]string, 0, len(backends))
	for _, b := range backends {
		up = append(up, fmt.Sprintf(`{"dial":%q}`, b.addr))
	}
	return `{"handler":"reverse_proxy","upstreams":[` + strings.Join(up, ",") + `],"health_checks":{"active":{"uri":"/up","interval":"10ms"}}}`
}

const unchecked = `{"handler":"reverse_proxy","upstreams":[{"dial":"127.0.0.1:1"}]}`

func TestADestinationIsUnhealthyWhenChecksFindEveryUpstreamSo(t *testing.T) {
	for name, chain := range map[string]func(a, b *checkedBackend) string{
		"one proxy":    func(a, b *checkedBackend) string { return handles(proxyOf(a, b)) },
		"two proxies":  func(a, b *checkedBackend) string { return handles(proxyOf(a), proxyOf(b)) },
		"in subroutes": func(a, b *checkedBackend) string { return handles(nested(nested(proxyOf(a))), proxyOf(b)) },
		"behind others": func(a, b *checkedBackend) string {
			return handles(`{"handler":"rewrite","uri":"/x"}`, `{"handler":"headers"}`, proxyOf(a, b))
		},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := newCheckedBackend(t), newCheckedBackend(t)
			healthy := healthOf(provisioned(t, chain(a, b)), nil)
			if healthy == nil {
				t.Fatal("nobody looks at the checks")
			}
			goesDownAndUp(t, healthy, a, b)
		})
	}
}

func nested(handler string) string {
	return `{"handler":"subroute","routes":` + handles(handler) + `}`
}

// goesDownAndUp has first one, then both, then one of the upstreams fail its checks.
func goesDownAndUp(t *testing.T, healthy func() bool, a, b *checkedBackend) {
	t.Helper()
	if !healthy() {
		t.Error("unhealthy, before any check has failed")
	}
	a.bad.Store(true)
	for seen := a.checked.Load() + 2; a.checked.Load() < seen; {
		await(t)
	}
	if !healthy() {
		t.Error("unhealthy, though one upstream passes its checks")
	}
	b.bad.Store(true)
	for healthy() {
		await(t)
	}
	a.bad.Store(false)
	for !healthy() {
		await(t)
	}
}

func await(t *testing.T) {
	t.Helper()
	select {
	case <-t.Context().Done():
		t.Fatal("it never happened")
	case <-time.After(time.Millisecond):
	}
}

func TestNobodyKnowsHowADestinationIsThatIsNotChecked(t *testing.T) {
	a := newCheckedBackend(t)
	for name, routes := range map[string]string{
		"no proxy":             handles(`{"handler":"static_response"}`),
		"no routes":            `[]`,
		"no checks":            handles(unchecked),
		"one without checks":   handles(proxyOf(a), unchecked),
		"checks of nothing":    handles(`{"handler":"reverse_proxy","upstreams":[{"dial":"127.0.0.1:1"}],"health_checks":{"active":{"interval":"1s"}}}`),
		"passive ones":         handles(`{"handler":"reverse_proxy","upstreams":[{"dial":"127.0.0.1:1"}],"health_checks":{"passive":{"fail_duration":"1s"}}}`),
		"no upstreams":         handles(`{"handler":"reverse_proxy","health_checks":{"active":{"uri":"/up"}}}`),
		"dynamic upstreams":    handles(`{"handler":"reverse_proxy","upstreams":[{"dial":"127.0.0.1:1"}],"dynamic_upstreams":{"source":"a","name":"x"},"health_checks":{"active":{"uri":"/up"}}}`),
		"routes for its error": handles(`{"handler":"subroute","routes":` + handles(proxyOf(a)) + `,"errors":{"routes":` + handles(`{"handler":"static_response"}`) + `}}`),
	} {
		if healthOf(provisioned(t, routes), &caddyhttp.Server{}) != nil {
			t.Errorf("%s: somebody claims to know", name)
		}
	}
}

func TestChecksInANamedRouteCount(t *testing.T) {
	a, b := newCheckedBackend(t), newCheckedBackend(t)
	server := &caddyhttp.Server{NamedRoutes: map[string]*caddyhttp.Route{}}
	healthy := healthOf(provisioned(t, handles(`{"handler":"invoke","name":"one"}`)), server)
	for name, handlers := range map[string][]string{
		"one": {`{"handler":"invoke","name":"two"}`, proxyOf(a)},
		"two": {`{"handler":"invoke","name":"one"}`, `{"handler":"invoke","name":"gone"}`, proxyOf(b)},
	} {
		server.NamedRoutes[name] = &provisioned(t, handles(handlers...))[0]
	}
	goesDownAndUp(t, healthy, a, b)

	server.NamedRoutes["one"] = &provisioned(t, handles(unchecked))[0]
	if !healthOf(provisioned(t, handles(`{"handler":"invoke","name":"one"}`)), server)() {
		t.Error("unhealthy, though nobody checks it")
	}
}

func TestADestinationWhoseChecksFailIsShownAsDown(t *testing.T) {
	b := newCheckedBackend(t)
	b.bad.Store(true)
	a := &App{Store: &Store{Kind: kindMemory}}
	provision(t, a)
	register(t, a, provisioned(t, handles(proxyOf(b))), "github")
	if err := a.Start(); err != nil {
		t.Fatal(err)
	}
	defer end(t, a)
	g, _ := Running()
	state := func() string { return g.Sources()[0].Destinations[0].State }
	for state() != Down {
		await(t)
	}
	b.bad.Store(false)
	for state() != Up {
		await(t)
	}
}
