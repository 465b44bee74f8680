package providers_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidwall/sjson"

	"github.com/caddy-webhooks/caddy-webhooks/verify"
	"github.com/caddy-webhooks/caddy-webhooks/verify/verifytest"
)

// server answers for the provider's key server, and keeps what it was asked. It
// would show a verifier that asks wherever a stranger tells it to.
type server struct {
	mu    sync.Mutex
	asked []verify.KeyQuery
	keys  []crypto.PublicKey
}

func (s *server) Get(q verify.KeyQuery, _ time.Time) ([]crypto.PublicKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, q)
	return s.keys, nil
}

// everyPublished calls f for the doors whose provider publishes its keys, set up
// without one of the operator's.
func everyPublished(t *testing.T, f func(d *verifytest.Door, v *verify.Verifier, at *server)) {
	t.Helper()
	seen := 0
	for _, d := range allDoors(t) {
		if d.Scheme.Keys == nil {
			continue
		}
		at := new(server)
		v, err := d.Record.Compile(verify.Options{Params: d.Params, Keys: at})
		if err != nil {
			t.Fatalf("%s: %v", d.Name, err)
		}
		seen++
		f(d, v, at)
	}
	if seen < 8 {
		t.Errorf("only %d schemes have published keys", seen)
	}
}

// named is a signed request that says which published key it is signed with.
func named(t *testing.T, d *verifytest.Door) *verify.Request {
	t.Helper()
	q, k := signedBy(t, d), d.Scheme.Keys
	if name, ok := strings.CutPrefix(strings.TrimSuffix(k.Certificate, "}"), "{header:"); ok {
		q.Header.Set(name, "https://"+verifytest.Example("~"+k.Host)+verifytest.Example("~"+k.Path))
	}
	if d.Scheme.Kind == "jwt" {
		p := apart(t, d)
		if err := d.Rewrite(q, func(string) string { return d.Scheme.Prefix + p.good(t, with(p.header, "kid", "1"), p.payload) }); err != nil {
			t.Fatal(err)
		}
	}
	return q
}

func TestAPublishedKeyOfTheWrongKindOrCurveProvesNothing(t *testing.T) {
	t.Parallel()
	curve, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	short := &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 1023), E: 65537}
	everyPublished(t, func(d *verifytest.Door, v *verify.Verifier, at *server) {
		at.keys = []crypto.PublicKey{d.Private.Public()}
		if _, err := v.Verify(named(t, d), testNow); err != nil {
			t.Errorf("%s: with the provider's published key: %v", d.Name, err)
		}
		for name, keys := range map[string][]crypto.PublicKey{
			"none": nil, "another curve": {curve.Public()}, "another key": {other.Public()}, "another Ed25519 key": {edwards.Public()},
			"all zeros": {ed25519.PublicKey(make([]byte, 32))}, "a short one": {short}, "a nil": {nil}, "a secret": {[]byte(d.Secret)}, "text": {d.Secret},
			"an empty Ed25519 key": {ed25519.PublicKey{}},
		} {
			at.keys = keys
			if _, err := v.Verify(named(t, d), testNow); !errors.Is(err, verify.ErrRejected) {
				t.Errorf("%s: published is %s: %v, want a refusal", d.Name, name, err)
			}
		}
	})
}

// misleading makes addresses of a good one that only look like the provider's.
func misleading(good string) map[string]string {
	u, err := url.Parse(good)
	if err != nil {
		panic(err) // the record's sample says it
	}
	host, path := u.Host, u.Path
	return map[string]string{
		"another host": "https://evil.example" + path, "without TLS": "http://" + host + path, "a longer host": "https://" + host + ".evil.example" + path,
		"a host before": "https://evil.example." + host + path, "glued": "https://evil" + host + path, "a user": "https://" + host + "@evil.example" + path,
		"a user before": "https://evil.example@" + host + path, "a port": "https://" + host + ":8443" + path, "a file": "file://" + host + path,
		"up": "https://" + host + "/.." + path, "up, encoded": "https://" + host + "/%2e%2e" + path, "another path": "https://" + host + "/evil.pem",
		"a path before": "https://" + host + "/evil" + path, "a fragment": good + "#x", "a backslash": "https://evil.example\\@" + host + path,
		"a newline": "https://" + host + path + "\nx", "a space": " " + good, "nothing": "", "no scheme": "//" + host + path, "opaque": "https:" + host + path,
		"encoded slashes": "https://" + host + "/" + strings.ReplaceAll(path[1:], "/", "%2f") + "%2f", "an encoded letter": fmt.Sprintf("https://%s/%%%02x%s", host, path[1], path[2:]), "a dot behind": "https://" + host + "." + path, "loopback": "https://127.0.0.1" + path,
		"a NUL": "https://" + host + "\x00.evil.example" + path, "a bracket": "https://[" + host + "]" + path, "wide letters": "https://ｓｎｓ" + host + path,
	}
}

func TestACertificateIsNeverGotFromWhereAStrangerWantsItGot(t *testing.T) {
	t.Parallel()
	seen := 0
	everyPublished(t, func(d *verifytest.Door, v *verify.Verifier, at *server) {
		place := tokens(d.Scheme.Keys.Certificate + " ")
		if d.Scheme.Keys.Certificate == "" || len(place) != 1 {
			return
		}
		seen++
		at.keys = []crypto.PublicKey{d.Private.Public()}
		kind, arg := place[0][0], place[0][1]
		put := func(q *verify.Request, address string) {
			switch kind {
			case "header":
				q.Header.Set(arg, address)
			case "json":
				q.Body, _ = sjson.SetBytes(q.Body, arg, address)
			}
		}
		if _, err := v.Verify(named(t, d), testNow); err != nil || len(at.asked) != 1 {
			t.Fatalf("%s: a good request: %v, asked %v", d.Name, err, at.asked)
		}
		for name, address := range misleading(at.asked[0].URL) {
			at.asked = nil
			q := named(t, d)
			put(q, address)
			if _, err := v.Verify(q, testNow); !errors.Is(err, verify.ErrRejected) {
				t.Errorf("%s: %s, %q: %v, want a refusal", d.Name, name, address, err)
			}
			if len(at.asked) > 0 {
				t.Errorf("%s: %s: %q was asked", d.Name, name, at.asked[0].URL)
			}
		}
	})
	if seen == 0 {
		t.Error("no record has certificates")
	}
}

func TestATokenDoesNotSayWhereItsKeyIsPublished(t *testing.T) {
	t.Parallel()
	everyPublished(t, func(d *verifytest.Door, v *verify.Verifier, at *server) {
		if d.Scheme.Kind != "jwt" {
			return
		}
		p := apart(t, d)
		at.keys = []crypto.PublicKey{d.Private.Public()}
		want := ""
		for _, header := range []map[string]any{
			with(p.header, "kid", "1"), with(with(p.header, "kid", "1"), "jku", "https://evil.example/"), with(with(p.header, "kid", "1"), "x5u", "https://evil.example/"),
			with(p.header, "kid", "../../evil"), with(p.header, "kid", "https://evil.example/"), with(p.header, "kid", `","key_id":"x`), with(p.header, "kid", "a@evil.example"),
		} {
			at.asked = nil
			q := signedBy(t, d)
			if err := d.Rewrite(q, func(string) string { return d.Scheme.Prefix + p.good(t, header, p.payload) }); err != nil {
				t.Fatal(err)
			}
			if _, err := v.Verify(q, testNow); err != nil && !errors.Is(err, verify.ErrRejected) {
				t.Errorf("%s: %v", d.Name, err)
			}
			for _, q := range at.asked {
				if want == "" {
					want = q.URL
				}
				if q.URL != want || strings.Contains(q.URL, "evil") {
					t.Errorf("%s: header %v has %q asked, want %q", d.Name, header, q.URL, want)
				}
				if strings.Count(string(q.Ask), `"key_id"`) > 1 {
					t.Errorf("%s: header %v makes the question %s", d.Name, header, q.Ask)
				}
			}
		}
		if want == "" {
			t.Errorf("%s: nobody was asked", d.Name)
		}
	})
}

// A certificate is a public key too, and of the kind that is configured or none.
func TestACertificateOfAnotherKindDoesNotLoad(t *testing.T) {
	t.Parallel()
	curve, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, curve.Public(), curve)
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, d := range allDoors(t) {
		if d.Scheme.SecretForm != "key" || d.Record.Name == "fusionauth" {
			continue // that one takes every curve
		}
		seen++
		if _, err := d.Compile(encoded("base64", der), nil); !errors.Is(err, verify.ErrConfig) {
			t.Errorf("%s with a certificate for P-384: %v, want an error", d.Name, err)
		}
	}
	if seen < 5 {
		t.Errorf("only %d doors take keys", seen)
	}
}
