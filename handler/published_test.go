package handler

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/caddy-webhooks/caddy-webhooks/verify"
	"github.com/caddy-webhooks/caddy-webhooks/verify/keys"
	"github.com/caddy-webhooks/caddy-webhooks/verify/providers"
)

// publisherOf serves what a provider publishes at any of its hosts, over real
// TLS, and makes the handlers ask it.
type publisherOf struct {
	*httptest.Server
	private crypto.Signer
	visits  atomic.Int64
	down    atomic.Bool
}

func publish(t *testing.T, provider string, hosts ...string) *publisherOf {
	t.Helper()
	record, _ := providers.Get(provider)
	private, err := record.NewKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p := &publisherOf{private: private}
	p.Server = httptest.NewUnstartedServer(p)
	server, roots := certificateFor(t, hosts...)
	p.TLS = &tls.Config{Certificates: []tls.Certificate{server}, MinVersion: tls.VersionTLS12}
	p.StartTLS()
	t.Cleanup(p.Close)
	fetcher := keys.New(keys.Options{Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, p.Listener.Addr().String())
		},
	}})
	before := published
	published = func() publisher { return fetcher }
	t.Cleanup(func() { published = before })
	return p
}

func certificateFor(t *testing.T, hosts ...string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := selfSigned(t, hosts[0], hosts, k)
	roots := x509.NewCertPool()
	roots.AddCert(c)
	return tls.Certificate{Certificate: [][]byte{c.Raw}, PrivateKey: k}, roots
}

func selfSigned(t *testing.T, name string, hosts []string, k crypto.Signer) *x509.Certificate {
	t.Helper()
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: hosts,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func (p *publisherOf) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case p.down.Load():
		w.WriteHeader(http.StatusBadGateway)
	case r.URL.Query().Get("Action") == "ConfirmSubscription":
		p.visits.Add(1)
	case strings.HasSuffix(r.URL.Path, ".pem"):
		der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
			SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "sns.amazonaws.com"},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		}, &x509.Certificate{SerialNumber: big.NewInt(2)}, p.private.Public(), p.private)
		if err == nil {
			_ = pem.Encode(w, &pem.Block{Type: "CERTIFICATE", Bytes: der})
		}
	default:
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: p.private.Public(), KeyID: "k1", Use: "sig"}}})
	}
}

// sends makes a request as the provider would, with the key that it publishes.
func (p *publisherOf) sends(t *testing.T, provider string, params map[string][]string, body string) *http.Request {
	t.Helper()
	record, _ := providers.Get(provider)
	v, err := record.Compile(verify.Options{Params: params})
	if err != nil {
		t.Fatal(err)
	}
	q := &verify.Request{Method: http.MethodPost, URL: "https://shop.example/hook", Header: http.Header{}, Body: []byte(body)}
	if err := v.SignKey(q, p.private, time.Now(), "1"); err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, "/hook", bytes.NewReader(q.Body))
	r.Header = q.Header
	return r
}

func TestAPublishedKeyIsGotAndItsServersOutageIsNoRefusal(t *testing.T) {
	p := publish(t, "google-pubsub", "www.googleapis.com")
	params := map[string][]string{"audience": {"https://shop.example/hook"}, "email": {"push@example.com"}}
	h, _ := servingFrom(t, nil, `{"provider":"google-pubsub","options":{"audience":["https://shop.example/hook"],"email":["push@example.com"]}}`, 1000)
	const body = `{"message":{"messageId":"1"},"subscription":"s"}`
	p.down.Store(true)
	w := serve(t, h, p.sends(t, "google-pubsub", params, body))
	expect(t, "while Google is down", w, http.StatusServiceUnavailable, unavailable)
	if w.Header().Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	p.down.Store(false)
	h.now = func() time.Time { return time.Now().Add(20 * time.Second) }
	expect(t, "when it is back", serve(t, h, p.sends(t, "google-pubsub", params, body)), http.StatusOK, "accepted")
	for name, wrong := range map[string]map[string][]string{
		"a token for another":       {"audience": {"https://other.example"}, "email": {"push@example.com"}},
		"another's service account": {"audience": {"https://shop.example/hook"}, "email": {"evil@example.com"}},
	} {
		expect(t, name, serve(t, h, p.sends(t, "google-pubsub", wrong, body)), http.StatusUnauthorized, rejected)
	}
	forger := &publisherOf{}
	record, _ := providers.Get("google-pubsub")
	forger.private, _ = record.NewKey(rand.Reader)
	expect(t, "another's key", serve(t, h, forger.sends(t, "google-pubsub", params, body)), http.StatusUnauthorized, rejected)
}

const topic = "arn:aws:sns:eu-west-1:123456789012:shop"

// confirmation is an SNS message that asks to get an address.
func confirmation(topic, certificate, visit string) string {
	b, err := json.Marshal(map[string]string{
		"Type": "SubscriptionConfirmation", "MessageId": "m1", "Token": "t", "TopicArn": topic, "Message": "hello",
		"SubscribeURL": visit, "Timestamp": time.Now().UTC().Format(time.RFC3339), "SignatureVersion": "2", "SigningCertURL": certificate,
	})
	if err != nil {
		return ""
	}
	return string(b)
}

func TestASubscriptionIsConfirmedWhereTheProviderIsAndNowhereElse(t *testing.T) {
	const host = "https://sns.eu-west-1.amazonaws.com"
	const good, visit = host + "/SimpleNotificationService-0a1b.pem", host + "/?Action=ConfirmSubscription&Token=t"
	p := publish(t, "aws-sns", "sns.eu-west-1.amazonaws.com", "evil.example")
	h, _ := servingFrom(t, nil, `{"provider":"aws-sns","options":{"topic":["`+topic+`"]}}`, 10000)
	params := map[string][]string{"topic": {topic}}
	w := serve(t, h, p.sends(t, "aws-sns", params, confirmation(topic, good, visit)))
	if w.Code != http.StatusOK || w.Header().Get(headerStatus) != handshake {
		t.Errorf("confirmed: %d, %v", w.Code, w.Header())
	}
	if p.visits.Load() != 1 || stored() != 0 {
		t.Errorf("%d visits, %d events stored", p.visits.Load(), stored())
	}
	for name, body := range map[string]string{
		"another's topic":             confirmation(topic+"2", good, visit),
		"an address elsewhere":        confirmation(topic, good, "https://evil.example/?Action=ConfirmSubscription"),
		"an address without TLS":      confirmation(topic, good, "http://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription"),
		"an address with a user":      confirmation(topic, good, "https://sns.eu-west-1.amazonaws.com@evil.example/"),
		"an address with a port":      confirmation(topic, good, "https://sns.eu-west-1.amazonaws.com:8443/?Action=ConfirmSubscription"),
		"a certificate elsewhere":     confirmation(topic, "https://evil.example/SimpleNotificationService-0a1b.pem", visit),
		"a certificate of S3":         confirmation(topic, "https://sns.eu-west-1.amazonaws.com.evil.example/SimpleNotificationService-0a1b.pem", visit),
		"a certificate of a relative": confirmation(topic, host+"/../SimpleNotificationService-0a1b.pem", visit),
	} {
		expect(t, name, serve(t, h, p.sends(t, "aws-sns", params, body)), http.StatusUnauthorized, rejected)
	}
	if p.visits.Load() != 1 {
		t.Errorf("%d visits", p.visits.Load())
	}
	p.down.Store(true)
	expect(t, "while Amazon is down", serve(t, h, p.sends(t, "aws-sns", params, confirmation(topic, good, visit))), http.StatusServiceUnavailable, unavailable)
}

func TestASenderAsksForConsentByOptionsAndNothingIsStored(t *testing.T) {
	h, _ := servingFrom(t, nil, `{"provider":"cloudevents","secrets":["s3cret"],"options":{"origin":["events.example.com"]}}`, 1000)
	for origin, want := range map[string]int{"events.example.com": http.StatusOK, "evil.example": http.StatusMethodNotAllowed} {
		r := httptest.NewRequest(http.MethodOptions, "/hook", http.NoBody)
		r.Header.Set("WebHook-Request-Origin", origin)
		r.Header.Set("WebHook-Request-Rate", "100")
		w := serve(t, h, r)
		allowed, rate := w.Header().Get("WebHook-Allowed-Origin"), w.Header().Get("WebHook-Allowed-Rate")
		if w.Code != want || (want == http.StatusOK) != (allowed == origin && rate == "*" && w.Header().Get("Allow") != "") {
			t.Errorf("%s: %d, origin %q, rate %q", origin, w.Code, allowed, rate)
		}
	}
	if n := stored(); n != 0 {
		t.Errorf("%d events stored", n)
	}
}

func TestAnOptionTakesItsValueFromTheEnvironmentAndAnUnsetOneDoesNotLoad(t *testing.T) {
	t.Setenv("WEBHOOKS_TEST_OPTION", "value")
	got, err := resolveOptions(map[string][]string{"a": {"x{env.WEBHOOKS_TEST_OPTION}y"}, "content": {"{ts}.{body}"}})
	if err != nil || got["a"][0] != "xvaluey" || got["content"][0] != "{ts}.{body}" {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := resolveOptions(map[string][]string{"a": {"{env.WEBHOOKS_TEST_UNSET}"}}); err == nil || !strings.Contains(err.Error(), "option a") {
		t.Errorf("an unset variable: %v", err)
	}
}
