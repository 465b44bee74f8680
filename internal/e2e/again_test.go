package e2e

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"github.com/caddy-webhooks/caddy-webhooks/internal/testkit"
)

// relay is a way to a gateway's admin endpoint that tells when something comes
// back from there.
func relay(t *testing.T, to string) (address string, answered <-chan struct{}) {
	t.Helper()
	told := make(chan struct{}, 1)
	server := httptest.NewServer(&httputil.ReverseProxy{
		FlushInterval: -1,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: to})
			r.Out.Header.Set("Origin", "http://"+to)
		},
		ModifyResponse: func(r *http.Response) error {
			r.Body = &heard{r.Body, told}
			return nil
		},
		ErrorLog: log.New(io.Discard, "", 0),
	})
	t.Cleanup(server.Close)
	return server.Listener.Addr().String(), told
}

// heard tells that something has come.
type heard struct {
	io.ReadCloser

	told chan<- struct{}
}

func (h *heard) Read(p []byte) (int, error) {
	n, err := h.ReadCloser.Read(p)
	if n == 0 {
		return n, err
	}
	select {
	case h.told <- struct{}{}:
	default:
	}
	return n, err
}

// The event that comes first into a store that was empty has none before it to go
// on behind.
func TestAReconnectMissesNothingOfAnEmptyStore(t *testing.T) {
	t.Parallel()
	app := testkit.NewApp(t)
	config := one("shop", "default", app.Addr(), "")
	g := testkit.New(t).Start(config)
	address, answered := relay(t, g.Admin)
	live := begins(t, g, "tail", "--address", address)
	<-answered
	g.Kill() // the relay passes on what it has, before it breaks the answer off
	testkit.Eventually(t, "tail has noticed", func() bool { return strings.Contains(live.said(), "the connection has ended") })
	g.Start(config)
	post(t, g, "first", 1)
	testkit.Eventually(t, "it is printed", func() bool { return strings.Count(live.said(), " shop ") == 1 })
}

// A store in memory is empty after a restart.
func TestATailSaysThatTheStoreIsAnotherOne(t *testing.T) {
	t.Parallel()
	app := testkit.NewApp(t)
	config := strings.Replace(one("shop", "default", app.Addr(), ""), "store local {$DIR}/store", "store memory", 1)
	g := testkit.New(t).Start(config)
	post(t, g, "old", 5)
	live := begins(t, g, "tail", "--since", "-1h")
	testkit.Eventually(t, "it is connected", func() bool { return strings.Count(live.said(), " shop ") == 5 })
	again(g, config)
	testkit.Eventually(t, "it says so", func() bool { return strings.Contains(live.said(), "another store now") })
	post(t, g, "new", 1)
	testkit.Eventually(t, "it goes on", func() bool { return strings.Count(live.said(), " shop ") == 6 })
	if out, err := g.Run("webhooks", "tail", "--cursor", "zz", "--address", g.Admin); err == nil || !strings.Contains(out, "the cursor is of another store") {
		t.Errorf("%v %s", err, out)
	}
}
