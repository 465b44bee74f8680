package verify_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"testing"

	"github.com/caddy-webhooks/caddy-webhooks/verify"
)

// sealed puts a signature into a request, as base64.
func sealed(body string, signature []byte) *verify.Request {
	r := ask(body)
	r.Header.Set("X-Sig", base64.StdEncoding.EncodeToString(signature))
	return r
}

func TestAKeyUnderWhichAnybodyCanSignDoesNotLoad(t *testing.T) {
	t.Parallel()
	// R is the neutral element and S zero: under a key of small order that holds for
	// one message in eight, or in fewer.
	forged := make([]byte, ed25519.SignatureSize)
	forged[0] = 1
	small := verify.SmallOrder()
	if len(small) != 7 {
		t.Errorf("%d points of small order, want 7", len(small))
	}
	for _, text := range small {
		for _, sign := range []byte{0, 0x80} {
			key, err := hex.DecodeString(text)
			if err != nil {
				t.Fatal(err)
			}
			key[31] |= sign
			broken := false
			for i := range 1000 {
				broken = broken || ed25519.Verify(key, fmt.Appendf(nil, "%d", i), forged)
			}
			if !broken && sign == 0 {
				t.Errorf("%s: nothing can be forged, what is it doing in the list?", text)
			}
			for _, form := range []string{"hex", "base64", "whpk", "key"} {
				written := map[string]string{
					"hex": hex.EncodeToString(key), "base64": base64.StdEncoding.EncodeToString(key), "whpk": "whpk_" + base64.StdEncoding.EncodeToString(key),
				}[form]
				if form == "key" {
					written = pemOf(t, ed25519.PublicKey(key))
				}
				_, err := recordOf(verify.Scheme{Kind: "ed25519", Header: []string{"X-Sig"}, SecretForm: form}).
					Compile(verify.Options{Secrets: []verify.Secret{verify.NewSecret(written)}})
				if !errors.Is(err, verify.ErrConfig) {
					t.Errorf("%x as %s: %v, want an error", key, form, err)
				}
			}
		}
	}
}

func TestAnEd25519SignatureHasOneForm(t *testing.T) {
	t.Parallel()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	v := made(t, verify.Scheme{Kind: "ed25519", Header: []string{"X-Sig"}, Encoding: "base64"}, hex.EncodeToString(public))
	good := ed25519.Sign(private, []byte("body"))
	if _, err := v.Verify(sealed("body", good), noon); err != nil {
		t.Fatal(err)
	}
	// S plus the order of the group solves the same equation.
	order, _ := new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)
	s := slices.Clone(good[32:])
	slices.Reverse(s)
	sum := new(big.Int).Add(new(big.Int).SetBytes(s), order).FillBytes(make([]byte, 32))
	slices.Reverse(sum)
	for name, signature := range map[string][]byte{
		"zeros": make([]byte, 64), "ones": bytes.Repeat([]byte{0xff}, 64), "empty": {}, "half": good[:32], "longer": append(slices.Clone(good), 0),
		"S and the order": append(slices.Clone(good[:32]), sum...), "R alone": append(slices.Clone(good[:32]), make([]byte, 32)...),
		"the neutral element": append([]byte{1}, make([]byte, 63)...), "of a hash": ed25519.Sign(private, []byte(hashOf("body"))),
		"the public key": append(slices.Clone([]byte(public)), make([]byte, 32)...),
	} {
		if _, err := v.Verify(sealed("body", signature), noon); !errors.Is(err, verify.ErrRejected) {
			t.Errorf("%s: %v, want a refusal", name, err)
		}
	}
}

func TestAnECDSASignatureIsStrictlyWritten(t *testing.T) {
	t.Parallel()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	v := made(t, verify.Scheme{Kind: "ecdsa", Header: []string{"X-Sig"}, Encoding: "base64", SecretForm: "key"}, pemOf(t, private.Public()))
	digest := sha256.Sum256([]byte("body"))
	r, s, err := ecdsa.Sign(rand.Reader, private, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	n := elliptic.P256().Params().N
	der := func(r, s *big.Int) []byte {
		b, err := asn1.Marshal(struct{ R, S *big.Int }{r, s})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	good := der(r, s)
	for name, c := range map[string]struct {
		signature []byte
		good      bool
	}{
		"good": {good, true},
		// The negative of S signs the same: it tells nothing that was not signed.
		"the other S":  {der(r, new(big.Int).Sub(n, s)), true},
		"nothing":      {der(big.NewInt(0), big.NewInt(0)), false},
		"R zero":       {der(big.NewInt(0), s), false},
		"S zero":       {der(r, big.NewInt(0)), false},
		"one and one":  {der(big.NewInt(1), big.NewInt(1)), false},
		"R negative":   {der(new(big.Int).Neg(r), s), false},
		"S negative":   {der(r, new(big.Int).Neg(s)), false},
		"R too large":  {der(new(big.Int).Add(r, n), s), false},
		"S too large":  {der(r, new(big.Int).Add(s, n)), false},
		"the order":    {der(n, n), false},
		"swapped":      {der(s, r), false},
		"trailing":     {append(slices.Clone(good), 0), false},
		"cut":          {good[:len(good)-1], false},
		"long length":  {append([]byte{0x30, 0x81, good[1]}, good[2:]...), false},
		"without DER":  {append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...), false},
		"no end":       {append(append([]byte{0x30, 0x80}, good[2:]...), 0, 0), false},
		"a set":        {append([]byte{0x31}, good[1:]...), false},
		"zero before":  {zeroBefore(good), false},
		"three":        {append(append([]byte{0x30, good[1] + 3}, good[2:]...), 2, 1, 1), false},
		"another hash": {sha1Signed(t, private), false},
		"empty":        {[]byte{0x30, 0}, false},
	} {
		if _, err := v.Verify(sealed("body", c.signature), noon); (err == nil) != c.good {
			t.Errorf("%s: %v, accepted should be %v", name, err, c.good)
		}
	}
}

// zeroBefore writes R with a zero before it that DER forbids.
func zeroBefore(der []byte) []byte {
	length := der[3]
	out := []byte{0x30, der[1] + 2, 2, length + 2, 0, 0}
	return append(out, der[4:]...)
}

func sha1Signed(t *testing.T, private *ecdsa.PrivateKey) []byte {
	t.Helper()
	digest := sha1.Sum([]byte("body"))
	b, err := ecdsa.SignASN1(rand.Reader, private, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestAnRSASignatureIsOfTheKeyTheHashAndThePaddingThatAreConfigured(t *testing.T) {
	t.Parallel()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	v := made(t, verify.Scheme{Kind: "rsa", Header: []string{"X-Sig"}, Encoding: "base64", SecretForm: "key"}, pemOf(t, private.Public()))
	by := func(hash crypto.Hash, body string) []byte {
		h := hash.New()
		h.Write([]byte(body))
		b, err := rsa.SignPKCS1v15(nil, private, hash, h.Sum(nil))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	digest := sha256.Sum256([]byte("body"))
	pss, err := rsa.SignPSS(rand.Reader, private, crypto.SHA256, digest[:], nil)
	if err != nil {
		t.Fatal(err)
	}
	bare, err := rsa.SignPKCS1v15(nil, private, 0, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	good := by(crypto.SHA256, "body")
	for name, c := range map[string]struct {
		signature []byte
		good      bool
	}{
		"good": {good, true}, "SHA-1": {by(crypto.SHA1, "body"), false}, "SHA-512": {by(crypto.SHA512, "body"), false},
		"PSS": {pss, false}, "without the hash's name": {bare, false}, "another body": {by(crypto.SHA256, "bodY"), false},
		"a zero before": {append([]byte{0}, good...), false}, "cut": {good[:255], false}, "first cut": {good[1:], false}, "a zero behind": {append(slices.Clone(good), 0), false},
		"zeros": {make([]byte, 256), false}, "ones": {bytes.Repeat([]byte{0xff}, 256), false}, "one": {append(make([]byte, 255), 1), false},
		"the modulus and more": {new(big.Int).Add(new(big.Int).SetBytes(good), private.N).Bytes(), false},
		"the modulus":          {private.N.Bytes(), false}, "of a longer key": {append(slices.Clone(good), good...), false},
		"the padded hash itself": {padded(digest[:]), false},
	} {
		if _, err := v.Verify(sealed("body", c.signature), noon); (err == nil) != c.good {
			t.Errorf("%s: %v, accepted should be %v", name, err, c.good)
		}
	}
	// Under the exponent 1 the padded hash signs itself.
	one := recordOf(verify.Scheme{Kind: "rsa", Header: []string{"X-Sig"}, Encoding: "base64", SecretForm: "key"})
	loose, err := one.Compile(verify.Options{Secrets: []verify.Secret{verify.NewSecret(pemOf(t, &rsa.PublicKey{N: private.N, E: 1}))}})
	if err == nil {
		if _, err = loose.Verify(sealed("body", padded(digest[:])), noon); err == nil {
			t.Error("the exponent 1: the padded hash itself is accepted")
		}
	}
}

// padded is what PKCS #1 v1.5 signs.
func padded(digest []byte) []byte {
	prefix, _ := hex.DecodeString("3031300d060960864801650304020105000420")
	out := bytes.Repeat([]byte{0xff}, 256)
	out[0], out[1] = 0, 1
	tail := append(prefix, digest...)
	copy(out[256-len(tail):], tail)
	out[256-len(tail)-1] = 0
	return out
}

func TestAJWTsKeyGoesWithItsAlgorithms(t *testing.T) {
	t.Parallel()
	keys := map[string]crypto.Signer{}
	for name, curve := range map[string]elliptic.Curve{"P-224": elliptic.P224(), "P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()} {
		k, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		keys[name] = k
	}
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys["Ed25519"] = edwards
	if keys["RSA"], err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		t.Fatal(err)
	}
	fit := map[string]string{"ES256": "P-256", "ES384": "P-384", "ES512": "P-521", "EdDSA": "Ed25519", "RS256": "RSA", "RS512": "RSA"}
	for algorithm, want := range fit {
		for name, k := range keys {
			_, err := recordOf(verify.Scheme{Kind: "jwt", Header: []string{"X-Sig"}, SecretForm: "key", Algorithms: []string{algorithm}}).
				Compile(verify.Options{Secrets: []verify.Secret{verify.NewSecret(pemOf(t, k.Public()))}})
			if name == want && err != nil || name != want && !errors.Is(err, verify.ErrConfig) {
				t.Errorf("%s with a key of %s: %v", algorithm, name, err)
			}
		}
	}
}
