package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/store"
)

// backend is a handler in a destination's route: it tells what it was sent.
type backend struct{ got chan string }

func (b backend) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	b.got <- r.Header.Get("Webhook-Event-Id")
	w.WriteHeader(http.StatusOK)
	return nil
}

func (b backend) routes(t *testing.T, ctx caddy.Context) caddyhttp.RouteList {
	t.Helper()
	return chain(t, ctx, b)
}

func chain(t *testing.T, ctx caddy.Context, h caddyhttp.MiddlewareHandler) caddyhttp.RouteList {
	t.Helper()
	list := caddyhttp.RouteList{{Handlers: []caddyhttp.MiddlewareHandler{h}}}
	if err := list.Provision(ctx); err != nil {
		t.Fatal(err)
	}
	return list
}

func provision(t *testing.T, a *App) caddy.Context {
	t.Helper()
	ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
	t.Cleanup(cancel)
	if err := a.Provision(ctx); err != nil {
		t.Fatal(err)
	}
	if err := a.Validate(); err != nil {
		t.Fatal(err)
	}
	return ctx
}

func register(t *testing.T, a *App, routes caddyhttp.RouteList, name string) *Source {
	t.Helper()
	s, err := a.Register(SourceConfig{Name: name, Provider: "github", JSON: []byte(name), Destinations: []Destination{{Name: "default", Routes: routes}}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func webhook(source string) *event.Event {
	return &event.Event{
		Source: source, Provider: "github", Method: http.MethodPost, URI: "/", OriginalURI: "/", Proto: "HTTP/1.1",
		Host: "example.com", RemoteAddr: "192.0.2.1:1", Header: http.Header{}, Body: []byte("{}"),
	}
}

func end(t *testing.T, a *App) {
	t.Helper()
	if err := errors.Join(a.Stop(), a.Cleanup(), a.Cleanup()); err != nil {
		t.Error(err)
	}
}

// The tests of this file are not parallel: the pool is the process's.

func TestAnAcceptedEventIsDeliveredAndCountedOverAReload(t *testing.T) {
	for _, kind := range []string{kindMemory, kindLocal} {
		t.Run(kind, func(t *testing.T) {
			config := &Store{Kind: kind}
			if kind == kindLocal {
				config.Path, config.MinFree = filepath.Join(t.TempDir(), "store"), 1
			}
			first, b := &App{Store: config}, backend{make(chan string, 8)}
			ctx := provision(t, first)
			s := register(t, first, b.routes(t, ctx), "github")
			if _, err := s.Accept(t.Context(), webhook("github"), nil, nil); !errors.Is(err, store.ErrClosed) {
				t.Fatalf("accepted before the store was open: %v", err)
			}
			if err := first.Start(); err != nil {
				t.Fatal(err)
			}
			deliverOne(t, s, b)

			second := &App{Store: &Store{Kind: kind, Path: config.Path, MinFree: config.MinFree}}
			ctx = provision(t, second)
			again := register(t, second, b.routes(t, ctx), "github")
			if err := second.Start(); err != nil {
				t.Fatal(err)
			}
			end(t, first)
			deliverOne(t, again, b)
			deliverOne(t, s, b) // a request that is still inside the old handler
			if s.Counts != again.Counts {
				t.Error("the reload has lost the counts")
			}
			end(t, second)
			if _, running := Running(); running {
				t.Error("a gateway without any configuration is running")
			}
		})
	}
}

func deliverOne(t *testing.T, s *Source, b backend) {
	t.Helper()
	receipt, err := s.Accept(t.Context(), webhook("github"), nil, nil)
	if err != nil || receipt.Result != store.Accepted {
		t.Fatalf("accepting: %v, %v", receipt.Result, err)
	}
	if got := <-b.got; got != receipt.ID.String() {
		t.Errorf("delivered %s, want %s", got, receipt.ID)
	}
}

func TestProvisioningCreatesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	a := &App{Store: &Store{Path: dir}}
	provision(t, a)
	end(t, a)
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("validating has made the directory: %v", err)
	}
}

func TestAReloadThatWouldLeaveEventsBehindIsRefused(t *testing.T) {
	a := &App{Store: &Store{Kind: kindLocal, Path: filepath.Join(t.TempDir(), "a"), MinFree: 1}}
	ctx := provision(t, a)
	hang := make(chan struct{})
	began := make(chan struct{}, 1)
	routes := chain(t, ctx, handlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		began <- struct{}{}
		select {
		case <-hang:
		case <-r.Context().Done():
		}
		return context.Cause(r.Context())
	}))
	s := register(t, a, routes, "github")
	if err := a.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Accept(t.Context(), webhook("github"), nil, nil); err != nil {
		t.Fatal(err)
	}
	<-began
	other := filepath.Join(t.TempDir(), "b")
	b := &App{Store: &Store{Path: other, MinFree: 1}}
	provision(t, b)
	err := b.Start()
	if !errors.Is(err, ErrMoved) || !strings.Contains(err.Error(), a.Store.Path) {
		t.Errorf("the store moved away from a pending event: %v", err)
	}
	end(t, b)
	if _, err := os.Stat(other); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the refused reload has made its directory: %v", err)
	}
	close(hang)
	end(t, a)
}

type handlerFunc func(http.ResponseWriter, *http.Request) error

func (f handlerFunc) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	return f(w, r)
}

func TestOneNameIsOneSource(t *testing.T) {
	a := &App{Store: &Store{Kind: kindMemory}}
	ctx := provision(t, a)
	defer end(t, a)
	routes := backend{make(chan string)}.routes(t, ctx)
	first := register(t, a, routes, "github")
	if again := register(t, a, routes, "github"); again != first {
		t.Error("the same source at a second address became another one")
	}
	_, err := a.Register(SourceConfig{Name: "github", JSON: json.RawMessage("{}"), Destinations: []Destination{{Name: "default"}}})
	if !errors.Is(err, ErrClash) {
		t.Errorf("two sources took one name: %v", err)
	}
	if _, err := a.Register(SourceConfig{Name: "other"}); err == nil {
		t.Error("a source without destinations was registered")
	}
}

func TestWhatAFailedReloadPublishedIsTakenBack(t *testing.T) {
	old, b := &App{Store: &Store{Kind: kindMemory}}, backend{make(chan string, 8)}
	ctx := provision(t, old)
	s := register(t, old, b.routes(t, ctx), "github")
	if err := old.Start(); err != nil {
		t.Fatal(err)
	}
	failed := &App{Store: &Store{Kind: kindMemory}}
	provision(t, failed) // it has no sources
	if err := failed.Start(); err != nil {
		t.Fatal(err)
	}
	end(t, failed) // as Caddy does when another app fails to start
	deliverOne(t, s, b)
	g, running := Running()
	if !running || g.Sources()[0].Destinations[0].State != Up {
		t.Error("the old configuration's destination is not up")
	}
	end(t, old)
}

func TestTheMetricsKeepPrometheusRules(t *testing.T) {
	a, b := &App{Store: &Store{Kind: kindMemory}}, backend{make(chan string, 8)}
	ctx := provision(t, a)
	s := register(t, a, b.routes(t, ctx), "github")
	if err := a.Start(); err != nil {
		t.Fatal(err)
	}
	defer end(t, a)
	s.Accepted.Add(1)
	s.Rejected("signature")
	s.Unavailable("full")
	deliverOne(t, s, b)
	families, err := ctx.GetMetricsRegistry().Gather() // a pedantic registry
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, f := range families {
		found[f.GetName()] = true
	}
	for _, name := range []string{
		"events_accepted_total", "events_duplicate_total", "events_rejected_total", "events_unavailable_total",
		"deliveries", "backlog_bytes", "oldest_pending_seconds", "accept_seconds", "delivery_lag_seconds",
		"destination_up", "concurrency_limit", "store_sync_seconds", "store_batch_size",
	} {
		if !found[prefix+name] {
			t.Errorf("no metric %s", prefix+name)
		}
	}
}

func TestAReloadChangesTheStoresLimitsAtOnceAndItsWithdrawalChangesThemBack(t *testing.T) {
	config := Store{Kind: kindMemory}
	first, b := &App{Store: &config, MaxBacklog: 1000}, backend{make(chan string, 8)}
	s := register(t, first, b.routes(t, provision(t, first)), "github")
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	second := &App{Store: &Store{Kind: kindMemory}, MaxBacklog: 2}
	tight := register(t, second, b.routes(t, provision(t, second)), "github")
	if err := second.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := tight.Accept(t.Context(), webhook("github"), nil, nil); !errors.Is(err, store.ErrBacklog) {
		t.Errorf("with the reload's limit: %v, want %v", err, store.ErrBacklog)
	}
	end(t, second)
	deliverOne(t, s, b)
	end(t, first)
}
