package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/internal/testkit"
)

// events posts n events to the example, each of which must be accepted.
func events(t *testing.T, g *testkit.Gateway, n int) {
	t.Helper()
	for i := range n {
		status, word := send(t, "http://"+g.Addr+"/gitlab", "gitlab", "token", "", "{}", "Idempotency-Key", fmt.Sprint(i))
		if status != 200 || word != "accepted" {
			t.Errorf("event %d: %d %s", i, status, word)
		}
	}
}

// upstreams starts the example with a bad upstream between two good ones.
func upstreams(t *testing.T, bad string) *testkit.Gateway {
	t.Helper()
	a, b := testkit.NewApp(t), testkit.NewApp(t)
	return testkit.New(t, "GITLAB_SECRET=token").Start(example(t, "upstreams",
		"localhost:3001", a.Addr(), "localhost:3002", bad, "localhost:3003", b.Addr()))
}

func TestExampleUpstreamsPassesOverOneThatIsGone(t *testing.T) {
	t.Parallel()
	bad := testkit.NewApp(t)
	g := upstreams(t, bad.Addr())
	testkit.Eventually(t, "its health has been checked", func() bool { return len(bad.Got()) > 0 })
	bad.CloseClientConnections()
	bad.Close() // the next check is seconds away
	events(t, g, 24)
	testkit.Eventually(t, "all are delivered", func() bool { return g.Count("delivered") == 24 })
	var v struct {
		Events []struct{ Deliveries []struct{ Attempts int } }
	}
	g.Get("/webhooks/events?limit=50", &v)
	for _, e := range v.Events {
		if n := e.Deliveries[0].Attempts; n != 1 {
			t.Errorf("an event took %d attempts: the proxy did not pass over the one that refuses", n)
		}
	}
}

func TestExampleUpstreamsIsNotHeldUpByOneThatHangs(t *testing.T) {
	t.Parallel()
	var hanging atomic.Int64
	release := make(chan struct{})
	bad := testkit.NewApp(t)
	bad.Answer(func(_ http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			return // its health check passes
		}
		hanging.Add(1)
		defer hanging.Add(-1)
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	g := upstreams(t, bad.Addr())
	events(t, g, 24)
	testkit.Eventually(t, "all that do not hang are delivered", func() bool { return g.Count("delivered")+int(hanging.Load()) >= 24 })
	close(release)
	testkit.Eventually(t, "all are delivered", func() bool { return g.Count("delivered") == 24 })
}

func TestExampleUpstreamsDeliversInSpiteOfOneThatFails(t *testing.T) {
	t.Parallel()
	bad := testkit.NewApp(t)
	bad.Answer(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	g := upstreams(t, bad.Addr())
	events(t, g, 24)
	testkit.Eventually(t, "all are delivered", func() bool { return g.Count("delivered") == 24 })
}

func TestExampleUnixSocket(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "hook") //nolint:usetesting // t.TempDir is longer than the name of a socket may be
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "app.sock")
	g := testkit.New(t, "SHOPIFY_SECRET=s").Start(example(t, "unix", "/run/app/app.sock", socket))
	if status, word := send(t, "http://"+g.Addr+"/shopify", "shopify", "s", "1", "{}"); status != 200 || word != "accepted" {
		t.Fatalf("%d %s", status, word)
	}
	app := testkit.NewApp(t)
	s := httptest.NewUnstartedServer(app.Config.Handler)
	_ = s.Listener.Close()
	s.Listener = listen(t, "unix", socket)
	s.Start()
	t.Cleanup(s.Close)
	testkit.Eventually(t, "it is delivered, now that somebody listens", func() bool { return g.Count("delivered") == 1 })
	if got := app.Got(); len(got) != 1 || got[0].Host != g.Addr || string(got[0].Body) != "{}" {
		t.Errorf("it arrived as %+v", got)
	}
}

// certificate makes a server's certificate that is its own authority, as two
// files in dir.
func certificate(t *testing.T, dir, name string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	about := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{name},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, about, about, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".key")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

func TestExamplePrivateCA(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := certificate(t, dir, "app.internal")
	other, _ := certificate(t, dir, "other.internal")
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	app, asked := testkit.NewApp(t), make(chan string, 8)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.TLS.ServerName
		app.Config.Handler.ServeHTTP(w, r)
	}))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	s.StartTLS()
	t.Cleanup(s.Close)
	with := func(ca string) string {
		return example(t, "private-ca", "10.0.0.5:8443", s.Listener.Addr().String(), "/etc/webhooks/app-ca.pem", ca)
	}
	g := testkit.New(t, "TWILIO_SECRET=s").Start(with(other))
	const form = "MessageSid=SM1&Body=hello"
	status, word := send(t, "http://"+g.Addr+"/twilio", "twilio", "s", "", form, "Content-Type", "application/x-www-form-urlencoded")
	if status/100 != 2 || word != "accepted" {
		t.Fatalf("%d %s", status, word)
	}
	testkit.Eventually(t, "an attempt has failed", func() bool {
		_, attempts := only(g, "twilio")
		return len(attempts) > 0
	})
	if got := app.Got(); len(got) > 0 {
		t.Fatalf("an application that proved nothing got %+v", got)
	}
	if err := g.Reload(with(cert)); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "it is delivered", func() bool { return g.Count("delivered") == 1 })
	got := app.Got()
	if len(got) != 1 || got[0].Host != g.Addr || string(got[0].Body) != form || got[0].Header.Get("X-Twilio-Signature") == "" {
		t.Errorf("it arrived as %+v", got)
	}
	if name := <-asked; name != "app.internal" {
		t.Errorf("the application was asked for as %q", name)
	}
}

func TestNothingIsTriedWhileEveryUpstreamFailsItsChecks(t *testing.T) {
	t.Parallel()
	var sick atomic.Bool
	var checks atomic.Int64
	app := testkit.NewApp(t)
	app.Answer(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/up" {
			return
		}
		if sick.Load() {
			w.WriteHeader(http.StatusInternalServerError)
		}
		checks.Add(1)
	})
	posts := func() (n int) {
		for _, got := range app.Got() {
			if got.Method == http.MethodPost {
				n++
			}
		}
		return n
	}
	g := testkit.New(t).Start(fmt.Sprintf(`{
	webhooks {
		store memory
	}
}
{$ADDR} {
	webhooks /hook {
		from github {env.HOOK_SECRET}
		to %[1]s %[1]s {
			retry {
				backoff 10ms 20ms
			}
			reverse_proxy {
				health_uri /up
				health_interval 50ms
			}
		}
	}
}`, app.Addr()))
	const n = 8
	post := func(prefix string) {
		for i := range n {
			status, h, err := testkit.Post("http://"+g.Addr+"/hook", testkit.Secret, fmt.Sprint(prefix, i), []byte("{}"))
			if err != nil || status != 200 || h.Get("Webhook-Status") != "accepted" {
				t.Fatalf("event %s%d: %d %v %v", prefix, i, status, h, err)
			}
		}
	}
	post("well-")
	testkit.Eventually(t, "all are delivered", func() bool { return g.Count("delivered") == n })
	sick.Store(true)
	testkit.Eventually(t, "it is down", func() bool { return destinationState(g) == "down" })
	post("sick-")
	seen := checks.Load() + 20 // some moments
	testkit.Eventually(t, "its health is looked at again and again", func() bool { return checks.Load() > seen })
	for id, attempts := range attempted(g) {
		if len(id) > 4 && id[:4] == "sick" && attempts > 0 {
			t.Errorf("%s was tried %d times, of which nothing could come", id, attempts)
		}
	}
	if posts() != n || destinationState(g) != "down" {
		t.Errorf("%d requests came, want %d; the destination is %s", posts(), n, destinationState(g))
	}
	sick.Store(false)
	testkit.Eventually(t, "all are delivered", func() bool { return g.Count("delivered") == 2*n })
	if posts() != 2*n || destinationState(g) != "up" {
		t.Errorf("%d requests came, want %d; the destination is %s", posts(), 2*n, destinationState(g))
	}
}

func destinationState(g *testkit.Gateway) string {
	var v struct {
		Sources []struct{ Destinations []struct{ State string } }
	}
	g.Get("/webhooks/sources", &v)
	return v.Sources[0].Destinations[0].State
}

// attempted tells how often each event has been tried, by the provider's ID.
func attempted(g *testkit.Gateway) map[string]int {
	var v struct {
		Events []struct {
			ID         string
			Deliveries []struct{ Attempts int }
		}
	}
	g.Get("/webhooks/events?limit=100", &v)
	n := map[string]int{}
	for _, e := range v.Events {
		n[e.ID] = e.Deliveries[0].Attempts
	}
	return n
}
