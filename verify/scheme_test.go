package verify_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/caddy-webhooks/caddy-webhooks/verify"
	"github.com/caddy-webhooks/caddy-webhooks/verify/providers"
)

const sharedKey = "a shared secret of more than thirty-two bytes"

var noon = time.Unix(1_795_000_000, 0)

func recordOf(s verify.Scheme) *verify.Record {
	return &verify.Record{Name: "test", Schemes: []verify.Scheme{s}}
}

func made(t *testing.T, s verify.Scheme, secrets ...string) *verify.Verifier {
	t.Helper()
	var o verify.Options
	for _, text := range secrets {
		o.Secrets = append(o.Secrets, verify.NewSecret(text))
	}
	v, err := recordOf(s).Compile(o)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func ask(body string) *verify.Request {
	return &verify.Request{
		Method: http.MethodPost, URL: "https://hooks.example.com/in?a=1",
		Header: http.Header{}, Query: url.Values{"a": {"1"}}, Body: []byte(body),
	}
}

// token makes a JWT with any algorithm, key and claims.
func token(t *testing.T, algorithm jose.SignatureAlgorithm, key any, claims map[string]any) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: key}, nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func hashOf(body string) string {
	sum := sha256.Sum256([]byte(body))
	return hex.EncodeToString(sum[:])
}

func TestAJWTProvesOnlyWhatItClaims(t *testing.T) {
	t.Parallel()
	v := made(t, verify.Scheme{
		Kind: "jwt", Header: []string{"X-Token"}, Prefix: "Bearer ", Optional: true, Algorithms: []string{"HS256"},
		Claims: map[string]string{"iss": "shop", "aud": "{url}"}, BodyHash: &verify.BodyHash{Claim: "sha256"},
		Tolerance: 5 * time.Minute, Future: time.Minute,
	}, sharedKey)
	good := func(change func(map[string]any)) map[string]any {
		claims := map[string]any{
			"iss": "shop", "aud": []string{"other", "https://hooks.example.com/in?a=1"}, "sha256": hashOf("body"),
			"iat": noon.Unix(), "exp": noon.Add(time.Minute).Unix(),
		}
		change(claims)
		return claims
	}
	same := func(map[string]any) {}
	unsigned := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." +
		base64.RawURLEncoding.EncodeToString([]byte(`{"iss":"shop"}`)) + "."
	for name, c := range map[string]struct {
		token string
		want  error
	}{
		"good":            {token(t, jose.HS256, []byte(sharedKey), good(same)), nil},
		"with a prefix":   {"bearer " + token(t, jose.HS256, []byte(sharedKey), good(same)), nil},
		"another key":     {token(t, jose.HS256, []byte(strings.Repeat("k", 32)), good(same)), verify.ErrMismatch},
		"another HMAC":    {token(t, jose.HS512, []byte(strings.Repeat(sharedKey, 2)), good(same)), verify.ErrFormat},
		"no algorithm":    {unsigned, verify.ErrFormat},
		"not a token":     {"abc", verify.ErrFormat},
		"too long":        {strings.Repeat("a", 20<<10), verify.ErrFormat},
		"nothing":         {"", verify.ErrMissing},
		"another issuer":  {token(t, jose.HS256, []byte(sharedKey), good(func(m map[string]any) { m["iss"] = "x" })), verify.ErrMismatch},
		"no issuer":       {token(t, jose.HS256, []byte(sharedKey), good(func(m map[string]any) { delete(m, "iss") })), verify.ErrMismatch},
		"another address": {token(t, jose.HS256, []byte(sharedKey), good(func(m map[string]any) { m["aud"] = "https://x/" })), verify.ErrMismatch},
		"another body":    {token(t, jose.HS256, []byte(sharedKey), good(func(m map[string]any) { m["sha256"] = hashOf("x") })), verify.ErrMismatch},
		"no body hash":    {token(t, jose.HS256, []byte(sharedKey), good(func(m map[string]any) { delete(m, "sha256") })), verify.ErrMismatch},
		"expired":         {token(t, jose.HS256, []byte(sharedKey), good(func(m map[string]any) { m["exp"] = noon.Add(-2 * time.Minute).Unix() })), verify.ErrExpired},
		"issued long ago": {token(t, jose.HS256, []byte(sharedKey), good(func(m map[string]any) { m["iat"] = noon.Add(-6 * time.Minute).Unix() })), verify.ErrExpired},
		"not issued yet":  {token(t, jose.HS256, []byte(sharedKey), good(func(m map[string]any) { m["iat"] = noon.Add(2 * time.Minute).Unix() })), verify.ErrFuture},
		"not valid yet":   {token(t, jose.HS256, []byte(sharedKey), good(func(m map[string]any) { m["nbf"] = noon.Add(2 * time.Minute).Unix() })), verify.ErrFuture},
		"never issued":    {token(t, jose.HS256, []byte(sharedKey), good(func(m map[string]any) { delete(m, "iat") })), verify.ErrFormat},
	} {
		r := ask("body")
		r.Header.Set("X-Token", c.token)
		if _, err := v.Verify(r, noon); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestAPublicKeyIsNoSharedSecretOfAJWT(t *testing.T) {
	t.Parallel()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	public := pemOf(t, private.Public())
	v := made(t, verify.Scheme{Kind: "jwt", Header: []string{"X-Token"}, Algorithms: []string{"RS256"}, SecretForm: "key"}, public)
	for name, c := range map[string]struct {
		token string
		want  error
	}{
		"its private half": {token(t, jose.RS256, private, map[string]any{"exp": noon.Unix()}), nil},
		"as an HMAC key":   {token(t, jose.HS256, []byte(public), map[string]any{"exp": noon.Unix()}), verify.ErrFormat},
		"another padding":  {token(t, jose.PS256, private, map[string]any{"exp": noon.Unix()}), verify.ErrFormat},
	} {
		r := ask("body")
		r.Header.Set("X-Token", c.token)
		if _, err := v.Verify(r, noon); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestAJWTsSecretIsLongEnough(t *testing.T) {
	t.Parallel()
	_, err := recordOf(verify.Scheme{Kind: "jwt", Header: []string{"X-Token"}, Algorithms: []string{"HS256"}}).
		Compile(verify.Options{Secrets: []verify.Secret{verify.NewSecret("short")}})
	if !errors.Is(err, verify.ErrConfig) || !strings.Contains(err.Error(), "5 bytes") || !strings.Contains(err.Error(), "at least 32") {
		t.Errorf("got %v", err)
	}
}

func pemOf(t *testing.T, public crypto.PublicKey) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

func TestAKeyThatCannotBeTrustedOrIsOfAnotherKindDoesNotLoad(t *testing.T) {
	t.Parallel()
	short, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	long, _ := rsa.GenerateKey(rand.Reader, 2048)
	curve, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	_, edwards, _ := ed25519.GenerateKey(rand.Reader)
	secret, err := x509.MarshalPKCS8PrivateKey(long)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ kind, key, words string }{
		"a short RSA key":        {"rsa", pemOf(t, short.Public()), "1024 bits"},
		"another curve":          {"ecdsa", pemOf(t, curve.Public()), "P-384"},
		"RSA for ECDSA":          {"ecdsa", pemOf(t, long.Public()), "no ECDSA key"},
		"Ed25519 for RSA":        {"rsa", pemOf(t, edwards.Public()), "no RSA key"},
		"a private key":          {"rsa", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})), "private key"},
		"no key":                 {"rsa", "bm8ga2V5", "cannot be read"},
		"neither PEM nor base64": {"rsa", "%%%", "PEM"},
	} {
		_, err := recordOf(verify.Scheme{Kind: c.kind, Header: []string{"X-Sig"}, SecretForm: "key"}).
			Compile(verify.Options{Secrets: []verify.Secret{verify.NewSecret(c.key)}})
		if !errors.Is(err, verify.ErrConfig) || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%s: %v, want an error with %q", name, err, c.words)
		}
	}
}

func TestEveryKindOfKeyPairProvesWhatItsOtherHalfSigned(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]verify.Scheme{
		"ed25519":   {Kind: "ed25519", Header: []string{"X-Sig"}, Content: "{ts}|{body}", TimeHeader: []string{"X-Time"}},
		"ecdsa":     {Kind: "ecdsa", Header: []string{"X-Sig"}, SecretForm: "key", Encoding: "base64"},
		"rsa":       {Kind: "rsa", Header: []string{"X-Sig"}, SecretForm: "key", Encoding: "base64"},
		"rsa sha1":  {Kind: "rsa", Header: []string{"X-Sig"}, SecretForm: "key", Hash: "sha1"},
		"jwt rsa":   {Kind: "jwt", Header: []string{"X-Sig"}, SecretForm: "key", Algorithms: []string{"RS256"}, BodyHash: &verify.BodyHash{Claim: "h"}},
		"jwt ecdsa": {Kind: "jwt", Header: []string{"X-Sig"}, SecretForm: "key", Algorithms: []string{"ES256"}, BodyHash: &verify.BodyHash{Claim: "h", Encoding: "base64url"}},
		"jwt eddsa": {Kind: "jwt", Header: []string{"X-Sig"}, SecretForm: "key", Algorithms: []string{"EdDSA"}, BodyHash: &verify.BodyHash{Claim: "h", Encoding: "base64"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			record := recordOf(s)
			key, err := record.NewKey(rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			public, err := record.PublicKey(key.Public())
			if err != nil {
				t.Fatal(err)
			}
			v := made(t, s, public)
			r := ask("body")
			if err := v.SignKey(r, key, noon, ""); err != nil {
				t.Fatal(err)
			}
			if verdict, err := v.Verify(r, noon); err != nil || verdict.Secret != 0 {
				t.Errorf("signed by its other half: %+v, %v", verdict, err)
			}
			r.Body = []byte("bodY")
			if _, err := v.Verify(r, noon); !errors.Is(err, verify.ErrMismatch) {
				t.Errorf("another body: %v", err)
			}
			other, err := record.NewKey(rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			if err := v.SignKey(r, other, noon, ""); err != nil {
				t.Fatal(err)
			}
			if _, err := v.Verify(r, noon); !errors.Is(err, verify.ErrMismatch) {
				t.Errorf("signed by another key: %v", err)
			}
		})
	}
}

func TestADigestWithoutASecretDoesNotLoad(t *testing.T) {
	t.Parallel()
	_, err := recordOf(verify.Scheme{Kind: "digest", Header: []string{"X-Sig"}, Content: "{body}"}).
		Compile(verify.Options{Secrets: []verify.Secret{verify.NewSecret("s")}})
	if !errors.Is(err, verify.ErrConfig) {
		t.Errorf("got %v", err)
	}
	v := made(t, verify.Scheme{Kind: "digest", Header: []string{"X-Sig"}, Content: "{secret}{method}{url}{body}"}, "s")
	r := ask("{}")
	r.Header.Set("X-Sig", hashOf("sPOSThttps://hooks.example.com/in?a=1{}"))
	if _, err := v.Verify(r, noon); err != nil {
		t.Error(err)
	}
	r.Header.Set("X-Sig", hashOf("POSThttps://hooks.example.com/in?a=1{}"))
	if _, err := v.Verify(r, noon); !errors.Is(err, verify.ErrMismatch) {
		t.Errorf("without the secret: %v", err)
	}
}

func TestEveryItemOfARequestMustBeSigned(t *testing.T) {
	t.Parallel()
	v := made(t, verify.Scheme{Kind: "hmac", Each: "items.#.item", JSON: "sig", Content: "{json:id}:{json:what}"}, "s")
	signed := func(body string) *verify.Request {
		r := ask(body)
		if err := v.Sign(r, noon, ""); err != nil {
			t.Fatal(err)
		}
		return r
	}
	two := `{"items":[{"item":{"id":1,"what":"a"}},{"item":{"id":2}}]}`
	if _, err := v.Verify(signed(two), noon); err != nil {
		t.Errorf("both are signed: %v", err)
	}
	for name, spoil := range map[string]func(string) string{
		"one is changed":      func(b string) string { return strings.Replace(b, `"id":2`, `"id":3`, 1) },
		"one has none":        func(b string) string { return strings.Replace(b, `{"id":2,"sig"`, `{"id":2,"no"`, 1) },
		"there is none":       func(string) string { return `{"items":[]}` },
		"it is no list":       func(string) string { return `{"items":"x"}` },
		"there are thousands": func(string) string { return `{"items":[` + strings.Repeat(`{"item":{}},`, 1001) + `{"item":{}}]}` },
	} {
		r := signed(two)
		r.Body = []byte(spoil(string(r.Body)))
		if _, err := v.Verify(r, noon); !errors.Is(err, verify.ErrRejected) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSignaturesAreFoundWhereverAProviderPutsThem(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		scheme verify.Scheme
		body   string
		header http.Header
	}{
		"sets":        {verify.Scheme{Kind: "hmac", Header: []string{"X-Sig"}, Sets: " ", List: ",", Key: "v1", TimeKey: "t", Content: "{ts}.{body}"}, "b", nil},
		"time first":  {verify.Scheme{Kind: "hmac", Header: []string{"X-Sig"}, List: ",", TimeFirst: true, TimeUnit: "ms", Content: "{ts}.{body}"}, "b", nil},
		"a form":      {verify.Scheme{Kind: "hmac", Form: "sig", Content: "{form:payload}"}, "payload=a%2Bb", nil},
		"JSON":        {verify.Scheme{Kind: "hmac", JSON: "sig.value", Content: "{json:sig.token}"}, `{"sig":{"token":"x"}}`, nil},
		"all headers": {verify.Scheme{Kind: "hmac", Header: []string{"X-Sig-1", "X-Sig-2"}, AllHeaders: true}, "b", http.Header{"X-Sig-2": {"00"}}},
		"the query":   {verify.Scheme{Kind: "hmac", Query: "sig"}, "b", nil},
	} {
		v := made(t, c.scheme, "s")
		r := ask(c.body)
		if err := v.Sign(r, noon, ""); err != nil {
			t.Fatal(err)
		}
		maps.Copy(r.Header, c.header)
		if _, err := v.Verify(r, noon); err != nil {
			t.Errorf("%s: %v (%v, %s)", name, err, r.Header, r.Body)
		}
		if err := v.Precheck(http.MethodPost, r.Header); err != nil {
			t.Errorf("%s: refused before the body is read: %v", name, err)
		}
		if _, err := v.Verify(ask(c.body), noon); !errors.Is(err, verify.ErrMissing) {
			t.Errorf("%s, not signed: %v", name, err)
		}
	}
}

func TestOneOfTwoSetsDuringARotationIsEnough(t *testing.T) {
	t.Parallel()
	s := verify.Scheme{
		Kind: "hmac", Header: []string{"X-Sig"}, Sets: " ", List: ",", Key: "v1", TimeKey: "t", Content: "{ts}.{body}",
		Tolerance: time.Minute,
	}
	r, value := ask("b"), []string{}
	for _, secret := range []string{"new", "old"} {
		if err := made(t, s, secret).Sign(r, noon, ""); err != nil {
			t.Fatal(err)
		}
		value = append(value, r.Header.Get("X-Sig"))
	}
	r.Header.Set("X-Sig", strings.Join(value, " "))
	for _, secret := range []string{"new", "old"} {
		if _, err := made(t, s, secret).Verify(r, noon); err != nil {
			t.Errorf("with the %s secret: %v", secret, err)
		}
	}
	r.Header.Set("X-Sig", strings.Repeat("t=1,v1=00 ", 17))
	if _, err := made(t, s, "new").Verify(r, noon); !errors.Is(err, verify.ErrFormat) {
		t.Errorf("too many: %v", err)
	}
}

func TestTheAddressCountsWithAndWithoutItsDefaultPort(t *testing.T) {
	t.Parallel()
	s := verify.Scheme{Kind: "hmac", Header: []string{"X-Sig"}, Content: "{url}{body}", URLVariants: true}
	v := made(t, s, "s")
	for _, c := range []struct {
		signed, seen string
		want         error
	}{
		{"https://example.com/in?a=1", "https://example.com/in?a=1", nil},
		{"https://example.com:443/in?a=1", "https://example.com/in?a=1", nil},
		{"https://example.com/in?a=1", "https://example.com:443/in?a=1", nil},
		{"http://example.com/in", "http://example.com:80/in", nil},
		{"https://example.com:8443/in", "https://example.com/in", verify.ErrMismatch},
		{"https://example.com/in", "http://example.com/in", verify.ErrMismatch},
		{"https://example.com/in", "https://example.com/other", verify.ErrMismatch},
	} {
		r := ask("{}")
		r.URL = c.signed
		if err := v.Sign(r, noon, ""); err != nil {
			t.Fatal(err)
		}
		r.URL = c.seen
		if _, err := v.Verify(r, noon); !errors.Is(err, c.want) {
			t.Errorf("signed %s, seen %s: %v, want %v", c.signed, c.seen, err, c.want)
		}
	}
}

func TestAHashOfTheBodyInTheQueryMustBeTheBodys(t *testing.T) {
	t.Parallel()
	v := made(t, verify.Scheme{
		Kind: "hmac", Header: []string{"X-Sig"}, Content: "{url}", BodyHash: &verify.BodyHash{Query: "sum"},
	}, "s")
	r := ask("body")
	if err := v.Sign(r, noon, ""); err != nil {
		t.Fatal(err)
	}
	if r.Query.Get("sum") != hashOf("body") || !strings.HasSuffix(r.URL, "?a=1&sum="+hashOf("body")) {
		t.Errorf("signed as %s", r.URL)
	}
	if _, err := v.Verify(r, noon); err != nil {
		t.Error(err)
	}
	r.Body = []byte("other")
	if _, err := v.Verify(r, noon); !errors.Is(err, verify.ErrMismatch) {
		t.Errorf("another body: %v", err)
	}
	r.Query = url.Values{}
	if _, err := v.Verify(r, noon); !errors.Is(err, verify.ErrMismatch) {
		t.Errorf("no hash: %v", err)
	}
}

func TestABodyCannotBeTakenAwayFromItsHash(t *testing.T) {
	t.Parallel()
	record, ok := providers.Get("twilio")
	if !ok {
		t.Fatal("no provider twilio")
	}
	v, err := record.Compile(verify.Options{Secrets: []verify.Secret{verify.NewSecret("s")}})
	if err != nil {
		t.Fatal(err)
	}
	r := ask(`{"a":1}`)
	if err := v.Sign(r, noon, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(r, noon); err != nil {
		t.Fatal(err)
	}
	for name, body := range map[string]string{"another": `{"a":2}`, "none": "", "a form": "a=1"} {
		r.Body = []byte(body)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if _, err := v.Verify(r, noon); !errors.Is(err, verify.ErrMismatch) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAnswersAreComputedAndEscaped(t *testing.T) {
	t.Parallel()
	record := recordOf(verify.Scheme{Kind: "hmac", Header: []string{"X-Sig"}})
	record.Options = []verify.Option{{Name: "verify_token", About: "the text", Required: true}}
	record.Handshakes = []verify.Handshake{
		{
			Name: "crc", Method: http.MethodGet, Query: map[string]string{"crc": ""},
			Answer: verify.Answer{Status: 200, JSON: map[string]string{"token": "sha256={mac}", "asked": "{query:crc}"}, Mac: "{query:crc}"},
		},
		{
			Name: "subscribe", Method: http.MethodGet, Query: map[string]string{"challenge": ""}, Secret: map[string]string{"token": "verify_token"},
			Answer: verify.Answer{Status: 200, Type: "text/plain", Echo: "{query:challenge}", Header: map[string]string{"X-Echo": "{query:challenge}"}},
		},
		{
			Name: "first", NoJSON: []string{"event"}, JSON: map[string]string{"challenge": ""},
			Answer: verify.Answer{Status: 200, JSON: map[string]string{"challenge": "{json:challenge}"}},
		},
	}
	secrets := []verify.Secret{verify.NewSecret("key")}
	if _, err := record.Compile(verify.Options{Secrets: secrets}); !errors.Is(err, verify.ErrConfig) || !strings.Contains(err.Error(), "verify_token") {
		t.Errorf("without its option: %v", err)
	}
	v, err := record.Compile(verify.Options{Secrets: secrets, Params: map[string][]string{"verify_token": {"sesame"}}})
	if err != nil {
		t.Fatal(err)
	}
	get := func(query string) *verify.Request {
		values, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		return &verify.Request{Method: http.MethodGet, Header: http.Header{}, Query: values}
	}
	for name, c := range map[string]struct {
		r            *verify.Request
		body, header string
		ok           bool
	}{
		// echo -n 'a"<b' | openssl dgst -sha256 -hmac key
		"computed":      {get("crc=a%22%3Cb"), `{"asked":"a\"\u003cb","token":"sha256=bbe4e16153f374ec6b28dd17e933f9d8b7372115a2879a31e4dddde7f168dde5"}`, "", true},
		"known":         {get("challenge=x%0Ay&token=sesame"), "x\ny", "xy", true},
		"another token": {get("challenge=x&token=open"), "", "", false},
		"no token":      {get("challenge=x"), "", "", false},
		"empty":         {get("challenge=&token=sesame"), "", "", false},
		"json":          {ask(`{"challenge":"c"}`), `{"challenge":"c"}`, "", true},
		"an event":      {ask(`{"challenge":"c","event":{}}`), "", "", false},
	} {
		a, _, ok := v.Greet(c.r, false)
		if ok != c.ok || a.Body != c.body || a.Header["X-Echo"] != c.header {
			t.Errorf("%s: %+v %v, want %q, %q, %v", name, a, ok, c.body, c.header, c.ok)
		}
	}
}
