package providers_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"hash"
	"maps"
	"math/big"
	"strings"
	"testing"

	"github.com/caddy-webhooks/caddy-webhooks/verify"
	"github.com/caddy-webhooks/caddy-webhooks/verify/verifytest"
)

var raw = base64.RawURLEncoding

// jwt is a good token of a door, taken apart.
type jwtParts struct {
	d               *verifytest.Door
	header, payload map[string]any
	text            string
}

func apart(t *testing.T, d *verifytest.Door) jwtParts {
	t.Helper()
	p := jwtParts{d: d, text: d.Text(signedBy(t, d))[len(d.Scheme.Prefix):]}
	parts := strings.Split(p.text, ".")
	if len(parts) != 3 {
		t.Fatalf("%s: no token: %q", d.Name, p.text)
	}
	for i, into := range []*map[string]any{&p.header, &p.payload} {
		text, err := raw.DecodeString(parts[i])
		if err == nil {
			err = json.Unmarshal(text, into)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// with gives a changed copy of a header or payload; a nil value removes the member.
func with(m map[string]any, name string, value any) map[string]any {
	c := maps.Clone(m)
	if c[name] = value; value == nil {
		delete(c, name)
	}
	return c
}

// null stands for a JSON null.
var null = json.RawMessage("null")

// sign writes a token whose header and payload are anything, signed with a key
// by what its kind and the algorithm's digits say.
func sign(t *testing.T, algorithm string, key any, header, payload any) string {
	t.Helper()
	var parts []string
	for _, part := range []any{header, payload} {
		text, ok := part.(string)
		if !ok {
			b, err := json.Marshal(part)
			if err != nil {
				t.Fatal(err)
			}
			text = string(b)
		}
		parts = append(parts, raw.EncodeToString([]byte(text)))
	}
	content := strings.Join(parts, ".")
	return content + "." + raw.EncodeToString(signedWith(t, algorithm, key, []byte(content)))
}

func signedWith(t *testing.T, algorithm string, key any, content []byte) []byte {
	t.Helper()
	hashID, newHash := crypto.SHA256, sha256.New
	switch algorithm[2:] {
	case "384":
		hashID, newHash = crypto.SHA384, sha512.New384
	case "512":
		hashID, newHash = crypto.SHA512, sha512.New
	}
	digest := newHash()
	digest.Write(content)
	sum := digest.Sum(nil)
	var out []byte
	var err error
	switch k := key.(type) {
	case []byte:
		mac := hmac.New(func() hash.Hash { return newHash() }, k)
		mac.Write(content)
		return mac.Sum(nil)
	case *rsa.PrivateKey:
		if algorithm[:2] == "PS" {
			out, err = rsa.SignPSS(rand.Reader, k, hashID, sum, nil)
		} else {
			out, err = rsa.SignPKCS1v15(nil, k, hashID, sum)
		}
	case ed25519.PrivateKey:
		return ed25519.Sign(k, content)
	case *ecdsa.PrivateKey:
		var r, s *big.Int
		r, s, err = ecdsa.Sign(rand.Reader, k, sum)
		size := (k.Curve.Params().BitSize + 7) / 8
		out = append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// key is what the provider signs this door's tokens with.
func (p jwtParts) key() any {
	if p.d.Private != nil {
		return p.d.Private
	}
	return []byte(p.d.Secret)
}

func (p jwtParts) algorithm() string { return p.d.Scheme.Algorithms[0] }

// good signs as the provider would, whatever header and payload say.
func (p jwtParts) good(t *testing.T, header, payload any) string {
	t.Helper()
	return sign(t, p.algorithm(), p.key(), header, payload)
}

func everyJWT(t *testing.T, f func(p jwtParts, send func(token string) error)) {
	t.Helper()
	seen := 0
	for _, d := range allDoors(t) {
		if d.Scheme.Kind != "jwt" {
			continue
		}
		seen++
		p := apart(t, d)
		send := func(token string) error {
			q := signedBy(t, d)
			if err := d.Rewrite(q, func(string) string { return d.Scheme.Prefix + token }); err != nil {
				t.Fatal(err)
			}
			_, err := d.Verifier.Verify(q, testNow)
			return err
		}
		if err := send(p.good(t, p.header, p.payload)); err != nil {
			t.Errorf("%s: a token signed here: %v", d.Name, err)
		}
		f(p, send)
	}
	if seen < 5 {
		t.Errorf("only %d doors take a JWT", seen)
	}
}

func TestAJWTDoesNotChooseHowItIsChecked(t *testing.T) {
	t.Parallel()
	attacker, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	jwk := map[string]any{
		"kty": "EC", "crv": "P-256", "alg": "ES256",
		"x": raw.EncodeToString(attacker.X.FillBytes(make([]byte, 32))), "y": raw.EncodeToString(attacker.Y.FillBytes(make([]byte, 32))),
	}
	everyJWT(t, func(p jwtParts, send func(string) error) {
		bad := unsignedTokens(t, p)
		for _, algorithm := range []string{"HS256", "HS384", "HS512"} {
			for name, secret := range publicTexts(t, p) {
				bad[algorithm+" with "+name] = sign(t, algorithm, secret, with(p.header, "alg", algorithm), p.payload)
			}
		}
		for _, algorithm := range []string{"ES256", "EdDSA", "RS256"} {
			var key any = attacker
			if algorithm == "EdDSA" {
				key = edwards
			}
			header := with(p.header, "alg", algorithm)
			bad[algorithm+" with the attacker's key"] = sign(t, "ES256", key, header, p.payload)
			bad[algorithm+" with a key in the header"] = sign(t, "ES256", key, with(header, "jwk", jwk), p.payload)
			bad[algorithm+" with an address of keys"] = sign(t, "ES256", key, with(header, "jku", "https://evil.example/jwks.json"), p.payload)
			bad[algorithm+" with an address of a certificate"] = sign(t, "ES256", key, with(header, "x5u", "https://evil.example/cert.pem"), p.payload)
			bad[algorithm+" with a certificate"] = sign(t, "ES256", key, with(header, "x5c", []string{"MIIB"}), p.payload)
			bad[algorithm+" with a path for an ID"] = sign(t, "ES256", key, with(header, "kid", "../../../../dev/null"), p.payload)
		}
		for _, extra := range []map[string]any{
			{"crit": []string{"exp"}},
			{"crit": []string{"unknown"}, "unknown": true},
			{"crit": "exp"},
			{"b64": false, "crit": []string{"b64"}},
			{"alg": []string{p.algorithm()}},
			{"alg": 1},
			{"jwk": "x"},
		} {
			header := maps.Clone(p.header)
			maps.Copy(header, extra)
			bad[fmt.Sprint("the provider's, with ", extra)] = p.good(t, header, p.payload)
		}
		for name, token := range bad {
			if err := send(token); !errors.Is(err, verify.ErrRejected) {
				t.Errorf("%s: %s: %v, want a refusal", p.d.Name, name, err)
			}
		}
	})
}

// unsignedTokens say that nobody has to sign them, or are signed by nobody.
func unsignedTokens(t *testing.T, p jwtParts) map[string]string {
	t.Helper()
	parts := strings.Split(p.text, ".")
	bad := map[string]string{
		"no signature": parts[0] + "." + parts[1] + ".", "no third part": parts[0] + "." + parts[1], "one part": parts[0], "two dots": "..", "one dot": ".",
		"no payload": parts[0] + ".." + parts[2], "no header": "." + parts[1] + "." + parts[2], "a fourth part": p.text + "." + parts[2], "five parts": p.text + ".a.b",
		"twice": p.text + "," + p.text, "after another": "e30.e30.AA " + p.text,
		"in JSON": fmt.Sprintf(`{"protected":%q,"payload":%q,"signature":%q}`, parts[0], parts[1], parts[2]),
		"several in JSON": fmt.Sprintf(`{"payload":%q,"signatures":[{"protected":%q,"signature":%q},{"protected":"e30","signature":"AA"}]}`,
			parts[1], parts[0], parts[2]),
		"a zero signature":  parts[0] + "." + parts[1] + "." + raw.EncodeToString(make([]byte, 64)),
		"a short signature": parts[0] + "." + parts[1] + "." + raw.EncodeToString([]byte{0}),
		"another header":    raw.EncodeToString([]byte(`{"alg":"`+p.algorithm()+`","x":1}`)) + "." + parts[1] + "." + parts[2],
		"another payload":   parts[0] + "." + raw.EncodeToString([]byte(`{"exp":9999999999,"iss":"evil"}`)) + "." + parts[2],
	}
	for _, algorithm := range []string{"none", "None", "NONE", "nOnE", "", " ", "HS", "hs256", "rs256", "es256", p.algorithm() + " ", p.algorithm() + "\x00"} {
		header, err := json.Marshal(with(p.header, "alg", algorithm))
		if err != nil {
			t.Fatal(err)
		}
		content := raw.EncodeToString(header) + "." + parts[1] + "."
		for name, signature := range map[string]string{"none": "", "the good one": parts[2], "one byte": "AA", "an empty HMAC": raw.EncodeToString(signedWith(t, "HS256", []byte{}, []byte(strings.TrimSuffix(content, "."))))} {
			bad[fmt.Sprintf("algorithm %q and for a signature %s", algorithm, name)] = content + signature
		}
	}
	bad["no algorithm"] = p.good(t, with(p.header, "alg", nil), p.payload)
	bad["no header's members"] = p.good(t, map[string]any{}, p.payload)
	bad["a list for a header"] = p.good(t, []string{p.algorithm()}, p.payload)
	bad["a payload that is text"] = p.good(t, p.header, "text")
	bad["a payload that is a list"] = p.good(t, p.header, "[]")
	return bad
}

// publicTexts are what everybody knows and a careless verifier takes for a secret.
func publicTexts(t *testing.T, p jwtParts) map[string][]byte {
	t.Helper()
	texts := map[string][]byte{"nothing": {}, "a zero byte": {0}, "no-secret-provided": []byte("no-secret-provided")}
	if p.d.Private == nil {
		return texts
	}
	der, err := x509.MarshalPKIXPublicKey(p.d.Private.Public())
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	texts["the key's PEM"], texts["the key's DER"] = text, der
	texts["the key's PEM without its newline"] = []byte(strings.TrimSpace(string(text)))
	texts["the secret as configured"] = []byte(p.d.Secret)
	return texts
}

func TestAJWTWhoseClaimsAreMissingWrongOrOfAnotherTypeIsRefused(t *testing.T) {
	t.Parallel()
	everyJWT(t, func(p jwtParts, send func(string) error) {
		s, claimed := p.d.Scheme, 0
		refuse := func(name string, payload any) {
			if err := send(p.good(t, p.header, payload)); !errors.Is(err, verify.ErrRejected) {
				t.Errorf("%s: %s: %v, want a refusal", p.d.Name, name, err)
			}
		}
		checked := map[string]bool{}
		for name := range s.Claims {
			checked[name] = true
		}
		if s.BodyHash != nil {
			checked[s.BodyHash.Claim] = true
		}
		for name := range checked {
			want, ok := p.payload[name]
			if !ok {
				continue // an option that was left empty
			}
			claimed++
			for what, value := range map[string]any{
				"missing": nil, "null": null, "another": "forged", "empty": "", "a number": 1, "zero": 0, "false": false, "an object": map[string]any{"x": want},
				"an empty object": map[string]any{}, "an empty list": []string{}, "a list of others": []string{"forged", ""}, "longer": fmt.Sprint(want) + "x",
				"in a list in a list": []any{[]any{want}}, "with a space": fmt.Sprint(want, " "),
			} {
				refuse("claim "+name+" "+what, with(p.payload, name, value))
			}
			if s.BodyHash != nil && name == s.BodyHash.Claim {
				refuse("a list of body hashes", with(p.payload, name, []any{want}))
				refuse("the hash of an empty body", with(p.payload, name, hashedNothing(s)))
				continue
			}
			// RFC 7519 lets an audience be a list; issuer and subject are one.
			if err := send(p.good(t, p.header, with(p.payload, name, []any{"other", want}))); (err == nil) != (name != "iss" && name != "sub") {
				t.Errorf("%s: claim %s in a list with others: %v", p.d.Name, name, err)
			}
		}
		if claimed == 0 && len(checked) > 0 {
			t.Errorf("%s: no claim was attacked: %v", p.d.Name, p.payload)
		}
	})
}

func TestAJWTOutOfItsTimeIsRefused(t *testing.T) {
	t.Parallel()
	now := testNow.Unix()
	everyJWT(t, func(p jwtParts, send func(string) error) {
		s := p.d.Scheme
		refuse := func(name string, want error, payload any) {
			if err := send(p.good(t, p.header, payload)); !errors.Is(err, want) {
				t.Errorf("%s: %s: %v, want %v", p.d.Name, name, err, want)
			}
		}
		refuse("expired", verify.ErrExpired, with(p.payload, "exp", now-3600))
		refuse("expired in the year 0", verify.ErrExpired, with(p.payload, "exp", 0))
		refuse("expired before that", verify.ErrRejected, with(p.payload, "exp", -1))
		refuse("not valid yet", verify.ErrFuture, with(p.payload, "nbf", now+3600))
		refuse("not issued yet", verify.ErrFuture, with(p.payload, "iat", now+3600))
		for _, name := range []string{"exp", "nbf", "iat"} {
			for _, value := range []any{"now", fmt.Sprint(now), []int64{now}, map[string]any{}, true, json.RawMessage("1e400"), json.RawMessage("99999999999999999999")} {
				refuse(fmt.Sprintf("%s is %v", name, value), verify.ErrRejected, with(p.payload, name, value))
			}
		}
		if s.Tolerance == 0 && s.BodyHash == nil && !s.Whole {
			refuse("without an end", verify.ErrFormat, with(p.payload, "exp", nil))
			refuse("with null for an end", verify.ErrRejected, with(p.payload, "exp", null))
		}
		if s.Tolerance > 0 {
			refuse("without a time of issue", verify.ErrFormat, with(p.payload, "iat", nil))
			refuse("issued too long ago", verify.ErrExpired, with(p.payload, "iat", now-int64(s.Tolerance.Seconds())-1))
		}
	})
}

func TestClaimsThatStandTwiceDoNotPass(t *testing.T) {
	t.Parallel()
	everyJWT(t, func(p jwtParts, send func(string) error) {
		text, err := json.Marshal(p.payload)
		if err != nil {
			t.Fatal(err)
		}
		names := []string{"exp"}
		for name := range p.d.Scheme.Claims {
			if _, ok := p.payload[name]; ok {
				names = append(names, name)
			}
		}
		for _, name := range names {
			for _, doubled := range []string{
				fmt.Sprintf(`{%q:"forged",%s`, name, text[1:]), fmt.Sprintf(`%s,%q:"forged"}`, text[:len(text)-1], name),
			} {
				if err := send(p.good(t, p.header, doubled)); !errors.Is(err, verify.ErrRejected) {
					t.Errorf("%s: %s twice: %v, want a refusal", p.d.Name, name, err)
				}
			}
		}
	})
}

// hashedNothing is the hash of an empty body as a scheme writes it.
func hashedNothing(s verify.Scheme) string {
	sum := sha256.Sum256(nil)
	if s.BodyHash.Encoding == "" {
		return encoded("hex", sum[:])
	}
	return encoded(s.BodyHash.Encoding, sum[:])
}
