package cli

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

func TestTheDashboardUsesOneConnectionForAllItsRequests(t *testing.T) {
	t.Parallel()
	var opened atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Origin") != "http://"+r.Host || r.Header.Get("Webhooks-Who") != "dashboard amy" {
			w.WriteHeader(http.StatusForbidden)
		}
		_, _ = io.WriteString(w, r.Method+" "+r.URL.RequestURI())
	}))
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			opened.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	api := transportTo(t, server.Listener.Addr().String())
	for range 50 {
		if status, text := asked(t, api, "/webhooks/sources?a=b"); status != http.StatusOK || text != "GET /webhooks/sources?a=b" {
			t.Fatalf("%d %s", status, text)
		}
	}
	if n := opened.Load(); n != 1 {
		t.Errorf("%d connections were opened", n)
	}
}

func transportTo(t *testing.T, address string) adminTransport {
	t.Helper()
	api, err := newEndpoint(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(api.close)
	return adminTransport{api}
}

func asked(t *testing.T, api http.RoundTripper, path string) (status int, text string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://admin"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Webhooks-Who", "dashboard amy")
	resp, err := api.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode, string(b)
}

func TestTheDashboardAsksAnAdminEndpointOnASocket(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "admin.sock")
	l, err := new(net.ListenConfig).Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Host+" "+r.Header.Get("Origin"))
	}))
	_ = server.Listener.Close()
	server.Listener = l
	server.Start()
	t.Cleanup(server.Close)
	for _, address := range []string{"unix/" + path, "unix/" + path + "|0220"} {
		api := transportTo(t, address)
		if _, text := asked(t, api, "/"); text != "127.0.0.1 " {
			t.Errorf("%s: it is asked as %q", address, text)
		}
	}
}

func TestTheDashboardGivesUpWhatABrowserDoesNotWaitFor(t *testing.T) {
	t.Parallel()
	reached, left := make(chan struct{}), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(reached)
		<-r.Context().Done()
		close(left)
	}))
	t.Cleanup(server.Close)
	api := transportTo(t, server.Listener.Addr().String())
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://admin/", nil)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		<-reached
		cancel()
	}()
	if _, err := api.RoundTrip(req); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	<-left
}

func TestADashboardThatHasNoGatewaySaysSo(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.NotFoundHandler())
	api := transportTo(t, server.Listener.Addr().String())
	req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://admin/webhooks/sources", nil)
	if _, err := api.RoundTrip(req); err == nil || !strings.Contains(err.Error(), "without the webhook gateway") {
		t.Errorf("without the module: %v", err)
	}
	server.Close()
	api.api.close()
	if _, err := api.RoundTrip(req); err == nil || !strings.Contains(err.Error(), "no Caddy answers") {
		t.Errorf("without Caddy: %v", err)
	}
	for _, address := range []string{"localhost:2019-2030", "tcp/:x"} {
		if _, err := newEndpoint(address); err == nil {
			t.Errorf("%s is taken", address)
		}
	}
}

func TestTheDashboardKnowsItsNamesAndItsOwnCookie(t *testing.T) {
	t.Parallel()
	pages := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "the pages") })
	visit := func(d *door, target string, cookies ...*http.Cookie) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
		for _, c := range cookies {
			r.AddCookie(c)
		}
		w := httptest.NewRecorder()
		d.ServeHTTP(w, r)
		return w
	}
	for _, host := range []string{"127.0.0.1", "127.0.0.1:80", "localhost", "LOCALHOST", "[::1]", "[::1]:80"} {
		if w := visit(newDoor("127.0.0.1:80", pages), "http://"+host+"/"); w.Code != http.StatusForbidden {
			t.Errorf("port 80 under %s: %d", host, w.Code)
		}
	}
	if w := visit(newDoor("127.0.0.1:8081", pages), "http://127.0.0.1/"); w.Code != http.StatusMisdirectedRequest {
		t.Errorf("another port's name: %d", w.Code)
	}
	// One browser, with two of them.
	one, two := newDoor("127.0.0.1:8081", pages), newDoor("127.0.0.1:8082", pages)
	var jar []*http.Cookie
	for _, d := range []*door{one, two} {
		w := visit(d, "http://"+d.hosts[0]+"/?key="+d.key, jar...)
		for _, c := range w.Result().Cookies() {
			for _, kept := range jar {
				if kept.Name == c.Name {
					t.Errorf("both have a cookie %s", c.Name)
				}
			}
			jar = append(jar, c)
		}
	}
	for _, d := range []*door{one, two} {
		if w := visit(d, "http://"+d.hosts[0]+"/", jar...); w.Code != http.StatusOK {
			t.Errorf("%s: %d", d.hosts[0], w.Code)
		}
	}
}
