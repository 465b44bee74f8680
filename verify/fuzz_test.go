package verify_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-webhooks/caddy-webhooks/verify"
)

// FuzzContent reads any template for what is signed: it is refused, or signs and
// proves, and then no other body is proven where the template holds the body.
func FuzzContent(f *testing.F) {
	for _, text := range []string{"", "{body}", "{ts}.{body}", "{id}{header:X-A}{json:a.b}", "{query:a}{form:b}{option:c}", "{", "}", "{}", "{:}", "{lines:a b}{signed:X-B}", "{url}{uri}{path}{method}{sorted_form}{body_crc32}{uri_escaped}", "{json:@this|#(a==1)#}", "{json:..#.#}"} {
		f.Add(text, []byte(`{"a":{"b":1}}`), "https://h/x?a=1")
	}
	f.Fuzz(func(t *testing.T, content string, body []byte, address string) {
		v, err := recordOf(verify.Scheme{Kind: "hmac", Header: []string{"X-Sig"}, Content: content, TimeHeader: []string{"X-Time"}, IDHeader: []string{"X-Id"}}).
			Compile(verify.Options{Secrets: []verify.Secret{verify.NewSecret("s")}})
		if err != nil {
			if !errors.Is(err, verify.ErrConfig) {
				t.Fatalf("%q: %v", content, err)
			}
			return
		}
		r := ask(string(body))
		r.URL = address
		r.Header.Set("Content-Type", verify.ContentType(body))
		if err := v.Sign(r, noon, "id"); err != nil {
			return
		}
		if _, err := v.Verify(r, noon); err != nil {
			if !errors.Is(err, verify.ErrRejected) {
				t.Fatalf("%q: %v is no refusal", content, err)
			}
			return
		}
		r.Body = append(r.Body, 'x')
		if _, err := v.Verify(r, noon); err == nil && strings.Contains(content, "{body}") {
			t.Fatalf("%q: another body is proven", content)
		}
	})
}

// FuzzJWT sends any token to verifiers of each kind of key: none is accepted.
func FuzzJWT(f *testing.F) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	var list []*verify.Verifier
	for _, c := range []struct{ algorithm, form, secret string }{
		{"HS256", "", sharedKey}, {"ES256", "key", publicPEM(f, &private.PublicKey)},
	} {
		v, err := recordOf(verify.Scheme{Kind: "jwt", Header: []string{"X-Token"}, Prefix: "Bearer ", Optional: true, Algorithms: []string{c.algorithm}, SecretForm: c.form}).
			Compile(verify.Options{Secrets: []verify.Secret{verify.NewSecret(c.secret)}})
		if err != nil {
			f.Fatal(err)
		}
		list = append(list, v)
	}
	raw := base64.RawURLEncoding.EncodeToString
	for _, header := range []string{`{"alg":"none"}`, `{"alg":"HS256"}`, `{"alg":"ES256","kid":"x","jwk":{"kty":"EC"}}`, `{"alg":"HS256","b64":false,"crit":["b64"]}`, `{}`, `[]`} {
		f.Add(raw([]byte(header))+"."+raw([]byte(`{"exp":9999999999}`))+".", "")
		f.Add(raw([]byte(header))+"."+raw([]byte(`{"exp":1e400}`))+"."+raw(make([]byte, 64)), "Bearer ")
	}
	f.Add(`{"payload":"e30","signatures":[{"protected":"e30","signature":"AA"}]}`, "")
	f.Fuzz(func(t *testing.T, token, before string) {
		for _, v := range list {
			r := ask("body")
			r.Header = http.Header{"X-Token": {before + token}}
			if _, err := v.Verify(r, noon); !errors.Is(err, verify.ErrRejected) {
				t.Fatalf("%q: %v", token, err)
			}
		}
	})
}

func publicPEM(f *testing.F, public any) string {
	f.Helper()
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		f.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// FuzzPublicKey reads any text as a key or certificate of every kind: what loads
// refuses an empty signature and one of zeros.
func FuzzPublicKey(f *testing.F) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(publicPEM(f, &private.PublicKey))
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	f.Add(base64.StdEncoding.EncodeToString(der))
	f.Add(strings.Repeat("00", 32))
	f.Add("whpk_" + base64.StdEncoding.EncodeToString(make([]byte, 32)))
	f.Add("-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----")
	var schemes []verify.Scheme
	for _, kind := range []string{"ecdsa", "rsa", "ed25519"} {
		schemes = append(schemes, verify.Scheme{Kind: kind, Header: []string{"X-Sig"}, SecretForm: "key", Encoding: "base64"})
	}
	schemes = append(schemes,
		verify.Scheme{Kind: "ed25519", Header: []string{"X-Sig"}, SecretForm: "whpk", Encoding: "base64"},
		verify.Scheme{Kind: "ed25519", Header: []string{"X-Sig"}, Encoding: "base64"},
		verify.Scheme{Kind: "jwt", Header: []string{"X-Sig"}, SecretForm: "key", Algorithms: []string{"ES256", "ES384", "RS256", "EdDSA"}})
	f.Fuzz(func(t *testing.T, text string) {
		for _, s := range schemes {
			v, err := recordOf(s).Compile(verify.Options{Secrets: []verify.Secret{verify.NewSecret(text)}})
			if err != nil {
				if !errors.Is(err, verify.ErrConfig) {
					t.Fatalf("%q: %v", text, err)
				}
				continue
			}
			forged := make([]byte, 64)
			forged[0] = 1
			for _, signature := range [][]byte{make([]byte, 64), make([]byte, 256), forged, {0x30, 6, 2, 1, 0, 2, 1, 0}} {
				if _, err := v.Verify(sealed("body", signature), noon); !errors.Is(err, verify.ErrRejected) {
					t.Fatalf("%s with key %q accepts %x: %v", s.Kind, text, signature, err)
				}
			}
		}
	})
}

// FuzzReadings compares what is taken for one reading with what the standard
// library reads: a body in which a signed name could mean two things is refused.
func FuzzReadings(f *testing.F) {
	for _, text := range []string{`{"a":"x"}`, `{"a":"x","a":"y"}`, `{"a":"x","\u0061":"y"}`, `{"a":"x"}{"a":"y"}`, `{"b":{"a":1},"a":"x"}`, `[{"a":"x"}]`, "{\"a\":\"x\",\"a\x80\":1}", `{"a":"x","A":"y"}`} {
		f.Add(text)
	}
	v, err := recordOf(verify.Scheme{Kind: "hmac", Header: []string{"X-Sig"}, Content: "{json:a}"}).
		Compile(verify.Options{Secrets: []verify.Secret{verify.NewSecret("s")}})
	if err != nil {
		f.Fatal(err)
	}
	signed := ask("")
	signer, err := recordOf(verify.Scheme{Kind: "hmac", Header: []string{"X-Sig"}, Content: "x"}).
		Compile(verify.Options{Secrets: []verify.Secret{verify.NewSecret("s")}})
	if err != nil {
		f.Fatal(err)
	}
	if err := signer.Sign(signed, noon, ""); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body string) {
		r := ask(body)
		r.Header = signed.Header
		if _, err := v.Verify(r, noon); err != nil {
			if !errors.Is(err, verify.ErrRejected) {
				t.Fatalf("%q: %v is no refusal", body, err)
			}
			return
		}
		var last map[string]any
		if err := json.Unmarshal([]byte(body), &last); err != nil {
			t.Fatalf("%q is proven, and no application can read it: %v", body, err)
		}
		if last["a"] != "x" {
			t.Fatalf("%q is proven with a=x, and reads a=%v", body, last["a"])
		}
	})
}
