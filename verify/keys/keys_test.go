package keys

import (
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
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/caddy-webhooks/caddy-webhooks/verify"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// provider is a real HTTPS server that publishes keys under any host's name.
type provider struct {
	*httptest.Server
	fetcher *Fetcher
	asked   atomic.Int64
	mu      sync.Mutex
	answer  http.HandlerFunc
}

func publish(t *testing.T) *provider {
	t.Helper()
	p := new(provider)
	p.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.asked.Add(1)
		p.mu.Lock()
		defer p.mu.Unlock()
		p.answer(w, r)
	}))
	t.Cleanup(p.Close)
	roots := x509.NewCertPool()
	roots.AddCert(p.Certificate())
	p.fetcher = New(Options{Transport: &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, p.Listener.Addr().String())
		},
	}})
	return p
}

func (p *provider) says(f http.HandlerFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer = f
}

func text(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

func pair(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func setOf(t *testing.T, keys ...jose.JSONWebKey) string {
	t.Helper()
	b, err := json.Marshal(jose.JSONWebKeySet{Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func jwk(kid string, k crypto.PublicKey) jose.JSONWebKey {
	return jose.JSONWebKey{Key: k, KeyID: kid, Use: "sig"}
}

const address = "https://example.com/jwks.json"

func set1(kid string) verify.KeyQuery { return verify.KeyQuery{URL: address, KID: kid} }

func TestASetIsAskedForOnceHoweverManyNeedIt(t *testing.T) {
	t.Parallel()
	p := publish(t)
	k := pair(t)
	p.says(text(setOf(t, jwk("a", k.Public()), jwk("b", pair(t).Public()))))
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			got, err := p.fetcher.Get(set1("a"), noon)
			if err != nil || len(got) != 1 || !k.PublicKey.Equal(got[0]) {
				t.Errorf("got %d keys, %v", len(got), err)
			}
		})
	}
	all.Wait()
	if n := p.asked.Load(); n != 1 {
		t.Errorf("asked %d times", n)
	}
	if got, err := p.fetcher.Get(set1(""), noon); err != nil || len(got) != 2 {
		t.Errorf("without a name: %d keys, %v", len(got), err)
	}
}

func TestAnAnswerIsFreshAsLongAsItsServerSaysWithinBounds(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]time.Duration{
		"": usualFresh, "max-age=1": minFresh, "public, max-age=7200": 2 * time.Hour, "max-age=99999999": maxFresh,
		"max-age=-5": usualFresh, "max-age=x": usualFresh, "no-store": usualFresh,
	} {
		p := publish(t)
		body := setOf(t, jwk("a", pair(t).Public()))
		p.says(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Cache-Control", header)
			_, _ = io.WriteString(w, body)
		})
		for _, at := range []time.Duration{0, want - time.Second, want} {
			if _, err := p.fetcher.Get(set1("a"), noon.Add(at)); err != nil {
				t.Fatal(err)
			}
		}
		if n := p.asked.Load(); n != 2 {
			t.Errorf("%q: asked %d times, want at first and at %s", header, n, want)
		}
	}
}

func TestARotatedKeyIsFoundAndAnUnknownOneDoesNotFloodTheServer(t *testing.T) {
	t.Parallel()
	p := publish(t)
	p.says(text(setOf(t, jwk("old", pair(t).Public()))))
	if _, err := p.fetcher.Get(set1("old"), noon); err != nil {
		t.Fatal(err)
	}
	p.says(text(setOf(t, jwk("new", pair(t).Public()))))
	for i := range 30 {
		_, err := p.fetcher.Get(set1("new"), noon.Add(time.Duration(i)*time.Second))
		if !errors.Is(err, verify.ErrKeys) || errors.Is(err, verify.ErrRejected) {
			t.Fatalf("a moment after the set was got: %v, want to be told to come again", err)
		}
	}
	if n := p.asked.Load(); n != 1 {
		t.Errorf("asked %d times for a name that nobody knew", n)
	}
	if got, err := p.fetcher.Get(set1("new"), noon.Add(newer)); err != nil || len(got) != 1 {
		t.Errorf("a minute later: %d keys, %v", len(got), err)
	}
	if got, err := p.fetcher.Get(set1("old"), noon.Add(3*newer)); err != nil || len(got) != 0 {
		t.Errorf("the key that was withdrawn: %d keys, %v", len(got), err)
	}
}

func TestWithoutItsServerAKeyIsUnknownAndAnOldOneIsUsedForADay(t *testing.T) {
	t.Parallel()
	page := text("<html>maintenance</html>")
	for name, down := range map[string]http.HandlerFunc{
		"500": status(500), "429": status(429), "a page": page, "a redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://example.com/elsewhere", http.StatusFound)
		}, "a huge answer": text(strings.Repeat(" ", maxAnswer+1)), "cut off": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := publish(t)
			p.says(down)
			for range 3 {
				if _, err := p.fetcher.Get(set1("a"), noon); !errors.Is(err, verify.ErrKeys) || errors.Is(err, verify.ErrRejected) {
					t.Errorf("got %v", err)
				}
			}
			if n := p.asked.Load(); n != 1 {
				t.Errorf("asked %d times while it is down", n)
			}
			p.says(text(setOf(t, jwk("a", pair(t).Public()))))
			up := noon.Add(again)
			if got, err := p.fetcher.Get(set1("a"), up); err != nil || len(got) != 1 {
				t.Fatalf("when it is back: %d keys, %v", len(got), err)
			}
			p.says(down)
			if got, err := p.fetcher.Get(set1("a"), up.Add(usualFresh+stale-time.Minute)); err != nil || len(got) != 1 {
				t.Errorf("down again, the old key within a day: %d keys, %v", len(got), err)
			}
			if _, err := p.fetcher.Get(set1("a"), up.Add(usualFresh+stale+time.Minute)); !errors.Is(err, verify.ErrKeys) {
				t.Errorf("after more than a day: %v", err)
			}
		})
	}
}

func TestOnlyTheRightServerIsBelieved(t *testing.T) {
	t.Parallel()
	p := publish(t)
	p.says(text(setOf(t, jwk("a", pair(t).Public()))))
	for _, address := range []string{"https://other.test/jwks.json", "http://example.com/jwks.json", "https://exa mple.com/"} {
		if _, err := p.fetcher.Get(verify.KeyQuery{URL: address, KID: "a"}, noon); !errors.Is(err, verify.ErrKeys) {
			t.Errorf("%s: %v", address, err)
		}
	}
	if n := p.asked.Load(); n != 0 {
		t.Errorf("%d requests got through", n)
	}
}

func TestKeysThatAreNotForCheckingSignaturesAreLeftOut(t *testing.T) {
	t.Parallel()
	p := publish(t)
	private := pair(t)
	p.says(text(setOf(t,
		jose.JSONWebKey{Key: private, KeyID: "private", Use: "sig"},
		jose.JSONWebKey{Key: []byte("a shared secret of more than thirty-two bytes"), KeyID: "shared", Use: "sig"},
		jose.JSONWebKey{Key: private.Public(), KeyID: "encryption", Use: "enc"},
		jose.JSONWebKey{Key: private.Public(), KeyID: "good"},
	)))
	if got, err := p.fetcher.Get(set1(""), noon); err != nil || len(got) != 1 {
		t.Errorf("got %d keys, %v", len(got), err)
	}
}

func TestAServerThatKnowsNoSuchKeyRefusesTheRequest(t *testing.T) {
	t.Parallel()
	p := publish(t)
	p.says(status(404))
	for range 5 {
		if _, err := p.fetcher.Get(set1("a"), noon); !errors.Is(err, verify.ErrMismatch) {
			t.Errorf("got %v", err)
		}
	}
	if n := p.asked.Load(); n != 1 {
		t.Errorf("asked %d times", n)
	}
}

func TestASingleKeyIsAskedForByItsNameAndNotUsedOnceItHasEnded(t *testing.T) {
	t.Parallel()
	p := publish(t)
	k := pair(t)
	for ended, want := range map[string]error{"null": nil, "1795000000": verify.ErrMismatch} {
		b, err := json.Marshal(jwk("k1", k.Public()))
		if err != nil {
			t.Fatal(err)
		}
		one := strings.TrimSuffix(string(b), "}") + `,"created_at":1,"expired_at":` + ended + "}"
		p.says(func(w http.ResponseWriter, r *http.Request) {
			asked, err := io.ReadAll(r.Body)
			if err != nil || r.Method != http.MethodPost || !strings.HasPrefix(string(asked), `{"key_id":"k1"`) || r.Header.Get("Content-Type") != "application/json" {
				t.Errorf("asked %s %s, %v", r.Method, asked, err)
			}
			_, _ = io.WriteString(w, `{"key":`+one+`}`)
		})
		q := verify.KeyQuery{URL: "https://example.com/get", KID: "k1", Ask: []byte(`{"key_id":"k1","n":"` + ended + `"}`), At: "key"}
		got, err := p.fetcher.Get(q, noon)
		if !errors.Is(err, want) || want == nil && len(got) != 1 {
			t.Errorf("expired_at %s: %d keys, %v", ended, len(got), err)
		}
	}
}

// issued makes a certificate; without an issuer it signs itself.
func issued(t *testing.T, name string, ca bool, issuer *x509.Certificate, issuerKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	k := pair(t)
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: noon.Add(-time.Hour), NotAfter: noon.Add(10 * time.Hour),
		IsCA: ca, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	if issuer == nil {
		issuer, issuerKey = c, k
	}
	der, err := x509.CreateCertificate(rand.Reader, c, issuer, k.Public(), issuerKey)
	if err != nil {
		t.Fatal(err)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return made, k
}

func inPEM(certificates ...*x509.Certificate) string {
	var b strings.Builder
	for _, c := range certificates {
		b.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
	}
	return b.String()
}

func TestACertificateMustBeForTheProviderWithinItsTimeAndOfAnIssuerWhomWeTrust(t *testing.T) {
	t.Parallel()
	root, rootKey := issued(t, "root", true, nil, nil)
	between, betweenKey := issued(t, "between", true, root, rootKey)
	leaf, _ := issued(t, "signer.example.com", false, between, betweenKey)
	stranger, strangerKey := issued(t, "root", true, nil, nil)
	forged, _ := issued(t, "signer.example.com", false, stranger, strangerKey)
	near, _ := issued(t, "signer.example.com.evil.test", false, between, betweenKey)
	for name, c := range map[string]struct {
		answer string
		chain  bool
		at     time.Duration
		want   error
	}{
		"with its chain":            {inPEM(leaf, between), true, 0, nil},
		"without its issuer":        {inPEM(leaf), true, 0, verify.ErrMismatch},
		"alone, where it may be":    {inPEM(leaf), false, 0, nil},
		"of a stranger":             {inPEM(forged, stranger), true, 0, verify.ErrMismatch},
		"of a stranger among ours":  {inPEM(forged, between, root), true, 0, verify.ErrMismatch},
		"for another":               {inPEM(near, between), true, 0, verify.ErrMismatch},
		"before its time":           {inPEM(leaf, between), true, -2 * time.Hour, verify.ErrMismatch},
		"after its time":            {inPEM(leaf, between), true, 11 * time.Hour, verify.ErrMismatch},
		"no certificate":            {"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", false, 0, verify.ErrKeys},
		"a page where it should be": {"<html>", false, 0, verify.ErrKeys},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := publish(t)
			p.fetcher.roots = x509.NewCertPool()
			p.fetcher.roots.AddCert(root)
			p.says(text(c.answer))
			q := verify.KeyQuery{URL: "https://example.com/cert.pem", Certificate: true, Chain: c.chain, Names: []string{"signer.example.com"}}
			got, err := p.fetcher.Get(q, noon.Add(c.at))
			if !errors.Is(err, c.want) || c.want == nil && (len(got) != 1 || !leaf.PublicKey.(*ecdsa.PublicKey).Equal(got[0])) {
				t.Errorf("got %d keys, %v, want %v", len(got), err, c.want)
			}
		})
	}
}

func TestACertificateIsNotUsedBeyondItsEndHoweverFreshTheAnswer(t *testing.T) {
	t.Parallel()
	p := publish(t)
	leaf, _ := issued(t, "signer.example.com", false, nil, nil)
	p.says(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "max-age=86400")
		_, _ = io.WriteString(w, inPEM(leaf))
	})
	q := verify.KeyQuery{URL: "https://example.com/cert.pem", Certificate: true, Names: []string{"signer.example.com"}}
	for at, want := range map[time.Duration]error{0: nil, 9 * time.Hour: nil, 10*time.Hour + time.Second: verify.ErrMismatch} {
		if _, err := p.fetcher.Get(q, noon.Add(at)); !errors.Is(err, want) {
			t.Errorf("after %s: %v, want %v", at, err, want)
		}
	}
}

func TestHoweverManyAddressesStrangersNameFewAreAsked(t *testing.T) {
	t.Parallel()
	p := publish(t)
	k := pair(t)
	p.says(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/good" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		_, _ = io.WriteString(w, setOf(t, jwk("a", k.Public())))
	})
	good := verify.KeyQuery{URL: "https://example.com/good", KID: "a"}
	if _, err := p.fetcher.Get(good, noon); err != nil {
		t.Fatal(err)
	}
	refused, later := 0, 0
	for i := range 1000 {
		_, err := p.fetcher.Get(verify.KeyQuery{URL: fmt.Sprintf("https://example.com/%d", i), KID: "a"}, noon.Add(time.Second))
		switch {
		case errors.Is(err, verify.ErrRejected):
			refused++
		case errors.Is(err, verify.ErrKeys):
			later++
		}
	}
	if n := p.asked.Load(); n > burst || refused+later != 1000 || later == 0 {
		t.Errorf("%d addresses were asked, %d refused, %d told to come again", n, refused, later)
	}
	if _, err := p.fetcher.Get(good, noon.Add(2*time.Second)); err != nil {
		t.Errorf("the provider's own key, which is known: %v", err)
	}
	if len(p.fetcher.kept) > maxKept {
		t.Errorf("%d answers are kept", len(p.fetcher.kept))
	}
}

func TestAVisitIsOneRequestAndNeedsASuccess(t *testing.T) {
	t.Parallel()
	p := publish(t)
	for code, want := range map[int]error{200: nil, 204: nil, 302: verify.ErrKeys, 403: verify.ErrKeys, 500: verify.ErrKeys} {
		p.says(status(code))
		if err := p.fetcher.Visit("https://example.com/?Token=t0ken", noon); !errors.Is(err, want) {
			t.Errorf("status %d: %v", code, err)
		}
	}
	p.Close()
	err := p.fetcher.Visit("https://example.com/?Token=t0ken", noon)
	if !errors.Is(err, verify.ErrKeys) || strings.Contains(err.Error(), "t0ken") {
		t.Errorf("a dead server: %v; the token must not be told", err)
	}
}
