package forward_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/event"
)

// arrival is one request as a backend saw it.
type arrival struct {
	request *http.Request
	body    []byte
	err     error // of reading the body
}

// witness is a backend that keeps what arrives and answers 204.
type witness chan arrival

func (w witness) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	w <- arrival{r, b, err}
	rw.WriteHeader(http.StatusNoContent)
}

// newWitness has room for more requests than any test should cause.
func newWitness() witness { return make(witness, 16) }

// only gives the one request that arrived.
func (w witness) only(t *testing.T) arrival {
	t.Helper()
	if len(w) != 1 {
		t.Fatalf("%d requests arrived, want one", len(w))
	}
	return <-w
}

// strange is an event that every careless hand on its way would change.
func strange() *event.Event {
	e := sample()
	e.Method = "PROPFIND"
	e.URI = "/hook%2Fa%2fb//./x/../%E2%82%AC;v=1/+%20'(!)*?b=2&a=1&a=%2f&&=&e=+%20&semi;colon&u=%zz&"
	e.Header["X-Multi"] = []string{"b", "a", "", "a, c", "b"}
	e.Header["X-Bytes"] = []string{"caf\xe9 \xe2\x82\xac", "tab\there"}
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	e.Body = bytes.Repeat(every, 1200) // more than one window of HTTP/2
	return e
}

// unchanged checks that an event arrived byte for byte.
func unchanged(t *testing.T, e *event.Event, got arrival) {
	t.Helper()
	if got.err != nil {
		t.Fatalf("the backend could not read the body: %v", got.err)
	}
	r := got.request
	path, query, _ := strings.Cut(e.URI, "?")
	for _, c := range []struct{ what, got, want string }{
		{"method", r.Method, e.Method},
		{"request target", r.RequestURI, e.URI},
		{"path", r.URL.EscapedPath(), path},
		{"raw query", r.URL.RawQuery, query},
		{"host", r.Host, e.Host},
	} {
		if c.got != c.want {
			t.Errorf("the %s is %q, want %q", c.what, c.got, c.want)
		}
	}
	for _, name := range []string{"X-Multi", "X-Bytes"} {
		if !slices.Equal(r.Header[name], e.Header[name]) {
			t.Errorf("%s is %q, want %q", name, r.Header[name], e.Header[name])
		}
	}
	if !bytes.Equal(got.body, e.Body) {
		t.Errorf("the body has %d bytes and differs from the %d sent", len(got.body), len(e.Body))
	}
	if r.ContentLength != int64(len(e.Body)) {
		t.Errorf("the length is announced as %d, want %d", r.ContentLength, len(e.Body))
	}
}

// start runs a server on l, or on loopback where l is nil, until the test ends.
func start(t *testing.T, h http.Handler, l net.Listener, change func(*httptest.Server)) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	if l != nil {
		_ = s.Listener.Close()
		s.Listener = l
	}
	if change != nil {
		change(s)
	}
	if s.TLS != nil {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s
}

// proxyTo is a reverse_proxy with further JSON, and a transport with further JSON.
func proxyTo(transport, further string, dials ...string) string {
	var up []string
	for _, d := range dials {
		up = append(up, fmt.Sprintf(`{"dial":%q}`, d))
	}
	return fmt.Sprintf(`{"handler":"reverse_proxy","upstreams":[%s],"transport":{"protocol":"http","compression":false%s}%s}`,
		strings.Join(up, ","), transport, further)
}

// refusing is an address of loopback that refuses connections, and goes on to:
// the port belongs to the near end of a connection, so nobody can listen there.
func refusing(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c.LocalAddr().String()
}

func onlyHTTP2() *http.Protocols {
	p := new(http.Protocols)
	p.SetUnencryptedHTTP2(true)
	return p
}

func TestAnUpstreamOverCleartextHTTP2GetsTheEventUnchanged(t *testing.T) {
	t.Parallel()
	seen := newWitness()
	s := start(t, seen, nil, func(s *httptest.Server) { s.Config.Protocols = onlyHTTP2() })
	e := strange()
	out := chain(t, proxyTo(`,"versions":["h2c"]`, "", s.Listener.Addr().String())).Forward(t.Context(), try(e, 1, false))
	if out.Verdict != event.Done || out.Status != http.StatusNoContent || out.Error != "" {
		t.Fatalf("%+v", out)
	}
	got := seen.only(t)
	if got.request.ProtoMajor != 2 {
		t.Errorf("it came over %s", got.request.Proto)
	}
	unchanged(t, e, got)
}

func TestAnUpstreamOnAUnixSocketGetsTheEventUnchanged(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "hook") //nolint:usetesting // t.TempDir is longer than the name of a socket may be
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	seen := newWitness()
	start(t, seen, l, nil)
	e := strange()
	out := chain(t, proxyTo("", "", "unix/"+path)).Forward(t.Context(), try(e, 1, false))
	if out.Verdict != event.Done || out.Status != http.StatusNoContent || out.Error != "" {
		t.Fatalf("%+v", out)
	}
	unchanged(t, e, seen.only(t))

	gone := filepath.Join(dir, "gone")
	out = chain(t, proxyTo("", "", "unix/"+gone)).Forward(t.Context(), try(e, 1, false))
	if out.Verdict != event.Again || !out.Unreached || out.Status != 0 || !strings.Contains(out.Error, "cannot connect") {
		t.Errorf("without a socket: %+v", out)
	}
}

// authority is a private CA, and a server's certificate that it signed.
func authority(t *testing.T) (ca string, leaf tls.Certificate) {
	t.Helper()
	sign := func(c, parent *x509.Certificate, key, parentKey *ecdsa.PrivateKey) []byte {
		der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, parentKey)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	var keys [2]*ecdsa.PrivateKey
	for i := range keys {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		keys[i] = k
	}
	from, to := time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: from, NotAfter: to, IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	server := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: from, NotAfter: to, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		DNSNames: []string{zone},
	}
	rootDER := sign(root, root, keys[0], keys[0])
	leafDER := sign(server, root, keys[1], keys[0])
	return base64.StdEncoding.EncodeToString(rootDER), tls.Certificate{Certificate: [][]byte{leafDER}, PrivateKey: keys[1]}
}

func trusting(ca string) string {
	return fmt.Sprintf(`,"tls":{"ca":{"provider":"inline","trusted_ca_certs":[%q]}}`, ca)
}

// keepHost is `header_up Host {hostport}`: over TLS, reverse_proxy names the upstream otherwise.
const keepHost = `,"headers":{"request":{"set":{"Host":["{http.request.hostport}"]}}}`

func TestAnUpstreamOverTLSStillLearnsTheHostThatWasAskedFor(t *testing.T) {
	t.Parallel()
	ca, leaf := authority(t)
	seen := newWitness()
	s := start(t, seen, nil, func(s *httptest.Server) {
		s.TLS = &tls.Config{Certificates: []tls.Certificate{leaf}, MinVersion: tls.VersionTLS12}
	})
	addr, e := s.Listener.Addr().String(), strange()
	if out := chain(t, proxyTo(trusting(ca), "", addr)).Forward(t.Context(), try(e, 1, false)); out.Verdict != event.Done {
		t.Fatalf("%+v", out)
	}
	r := seen.only(t).request
	if r.Host != addr || r.Header.Get("X-Forwarded-Host") != e.Host {
		t.Errorf("the host is %q, forwarded for %q; want %q, forwarded for %q", r.Host, r.Header.Get("X-Forwarded-Host"), addr, e.Host)
	}
}

func TestAnUpstreamWithAPrivateCAGetsTheEventUnchanged(t *testing.T) {
	t.Parallel()
	ca, leaf := authority(t)
	other, _ := authority(t)
	for name, h2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2.0": true} {
		seen := newWitness()
		s := start(t, seen, nil, func(s *httptest.Server) {
			s.EnableHTTP2 = h2
			s.TLS = &tls.Config{Certificates: []tls.Certificate{leaf}, MinVersion: tls.VersionTLS12}
		})
		addr := s.Listener.Addr().String()
		e := strange()
		out := chain(t, proxyTo(trusting(ca), keepHost, addr)).Forward(t.Context(), try(e, 1, false))
		if out.Verdict != event.Done || out.Status != http.StatusNoContent || out.Error != "" {
			t.Fatalf("%s: %+v", name, out)
		}
		got := seen.only(t)
		if got.request.TLS == nil || got.request.Proto != name {
			t.Errorf("it came over %s, TLS %v; want %s over TLS", got.request.Proto, got.request.TLS != nil, name)
		}
		unchanged(t, e, got)

		out = chain(t, proxyTo(trusting(other), "", addr)).Forward(t.Context(), try(e, 1, false))
		if out.Verdict != event.Again || out.Status != 0 || !strings.Contains(out.Error, "certificate") {
			t.Errorf("%s, signed by somebody else: %+v", name, out)
		}
		if len(seen) != 0 {
			t.Errorf("%s: a backend that proved nothing got the event", name)
		}
	}
}

func TestARefusingUpstreamIsPassedOverForTheNext(t *testing.T) {
	t.Parallel()
	for _, policy := range []string{"first", "round_robin", "least_conn"} {
		t.Run(policy, func(t *testing.T) {
			t.Parallel()
			seen := newWitness()
			s := start(t, seen, nil, nil)
			// A passive check marks the refusing one, so that no policy draws it twice.
			further := fmt.Sprintf(`,"load_balancing":{"selection_policy":{"policy":%q},"retries":2},`+
				`"health_checks":{"passive":{"fail_duration":"1h"}}`, policy)
			c := chain(t, proxyTo("", further, refusing(t), s.Listener.Addr().String()))
			for n := 1; n <= 3; n++ {
				e := strange()
				out := c.Forward(t.Context(), try(e, n, false))
				if out.Verdict != event.Done || out.Status != http.StatusNoContent || out.Number != n || out.Unreached {
					t.Fatalf("%+v", out)
				}
				unchanged(t, e, seen.only(t))
			}
		})
	}
}

func TestUpstreamsThatAllRefuseAreUnreached(t *testing.T) {
	t.Parallel()
	a, b := refusing(t), refusing(t)
	out := chain(t, proxyTo("", `,"load_balancing":{"selection_policy":{"policy":"first"},"retries":3}`, a, b)).
		Forward(t.Context(), try(strange(), 1, false))
	if out.Verdict != event.Again || !out.Unreached || out.Status != 0 || !strings.Contains(out.Error, "connection refused") {
		t.Errorf("%+v", out)
	}
}

func TestAnAnswerIsNotAskedForAgainFromTheNextUpstream(t *testing.T) {
	t.Parallel()
	asked := make(chan string, 16)
	failing := func(name string) string {
		return start(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			asked <- name
			w.WriteHeader(http.StatusServiceUnavailable)
		}), nil, nil).Listener.Addr().String()
	}
	further := `,"load_balancing":{"selection_policy":{"policy":"first"},"retries":3}`
	out := chain(t, proxyTo("", further, failing("first"), failing("second"))).Forward(t.Context(), try(strange(), 1, false))
	if out.Verdict != event.Again || out.Status != http.StatusServiceUnavailable || out.Unreached {
		t.Errorf("%+v", out)
	}
	if len(asked) != 1 || <-asked != "first" {
		t.Errorf("one attempt became several requests")
	}
}

func TestAByteThatAPathMayNotHoldCostsItsEscapesNothing(t *testing.T) {
	t.Parallel()
	seen := newWitness()
	addr := start(t, seen, nil, nil).Listener.Addr().String()
	for uri, want := range map[string]string{
		"/a|b%2Fc?|":  "/a%7Cb%2Fc?|",
		"/\xe4%2fx":   "/%E4%2fx",
		"/a#b%2F?c#d": "/a%23b%2F?c#d",
		"/{x}%7b\"?":  "/%7Bx%7D%7b%22?",
	} {
		e := sample()
		e.URI = uri
		// The target as it came is still there for whoever wants it.
		asked := `,"headers":{"request":{"set":{"X-Target":["{http.request.orig_uri}"]}}}`
		if out := chain(t, proxyTo("", asked, addr)).Forward(t.Context(), try(e, 1, false)); out.Verdict != event.Done {
			t.Fatalf("%q: %+v", uri, out)
		}
		r := seen.only(t).request
		if got := r.RequestURI; got != want {
			t.Errorf("%q arrives as %q, want %q", uri, got, want)
		}
		if got := r.Header.Get("X-Target"); got != uri {
			t.Errorf("%q is remembered as %q", uri, got)
		}
	}
}
