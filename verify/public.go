package verify

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// minRSA is the shortest modulus that is taken, in bits.
const minRSA = 2048

// asymmetric tells whether the operator configures a public key.
func (s *Scheme) asymmetric() bool {
	switch s.Kind {
	case "ed25519", "ecdsa", "rsa":
		return true
	}
	return s.Kind == "jwt" && s.SecretForm == "key"
}

// publicKey derives the key with which signatures of a kind are checked.
func (s Secret) publicKey(kind, form string) (crypto.PublicKey, error) {
	if s.Empty() {
		return s.key("")
	}
	if form == "key" {
		return s.parsedKey(kind)
	}
	var b []byte
	var err error
	switch form {
	case "whpk":
		b, err = decodeKey("base64 behind whpk_", strings.TrimPrefix(s.text, "whpk_"), unbase64)
	case "base64":
		b, err = decodeKey("base64", s.text, unbase64)
	default:
		b, err = decodeKey("hexadecimal", s.text, hex.DecodeString)
	}
	if err != nil {
		return nil, err
	}
	return ed25519.PublicKey(b), fits(kind, ed25519.PublicKey(b))
}

// parsedKey reads a public key or a certificate, as PEM or as base64 of its DER
// form, and refuses one of another kind.
func (s Secret) parsedKey(kind string) (crypto.PublicKey, error) {
	der, err := derOf(s.text)
	if err != nil {
		return nil, err
	}
	public, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		certificate, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, errors.New("the secret must be a public key or a certificate: this one cannot be read")
		}
		public = certificate.PublicKey
	}
	return public, fits(kind, public)
}

func derOf(text string) ([]byte, error) {
	if block, _ := pem.Decode([]byte(strings.TrimSpace(text))); block != nil {
		if strings.Contains(block.Type, "PRIVATE") {
			return nil, errors.New("the secret is a private key: the provider's public key is wanted, and nobody else should have the private one")
		}
		return block.Bytes, nil
	}
	return decodeKey("a public key as PEM, or base64 of its DER form", strings.Join(strings.Fields(text), ""), unbase64)
}

// fits refuses keys with which a kind of signature cannot be checked, or not safely.
func fits(kind string, public crypto.PublicKey) error {
	switch k := public.(type) {
	case ed25519.PublicKey:
		switch {
		case len(k) != ed25519.PublicKeySize: // a published one; checking with it would panic
			return fmt.Errorf("the public key has %d bytes, Ed25519 keys have %d", len(k), ed25519.PublicKeySize)
		case anybodys(k):
			return errors.New("anybody can sign under this public key: is it a placeholder?")
		case kind == "ed25519", kind == "jwt":
			return nil
		}
	case *ecdsa.PublicKey:
		switch {
		case kind == "ecdsa" && k.Curve != elliptic.P256():
			return fmt.Errorf("the public key is of curve %s, P-256 is wanted", k.Curve.Params().Name)
		case kind == "ecdsa", kind == "jwt":
			return nil
		}
	case *rsa.PublicKey:
		switch {
		case k.N.BitLen() < minRSA:
			return fmt.Errorf("the RSA key has %d bits; fewer than %d are not safe", k.N.BitLen(), minRSA)
		case kind == "rsa", kind == "jwt":
			return nil
		}
	}
	return fmt.Errorf("the public key is no %s key", strings.ToUpper(kind))
}

var hashIDs = map[string]crypto.Hash{"": crypto.SHA256, "sha256": crypto.SHA256, "sha1": crypto.SHA1, "sha512": crypto.SHA512}

// digested gives what a key signs: a hash of the content, or the content itself.
func (s *scheme) digested(content []byte) ([]byte, crypto.Hash) {
	if s.Kind == "ed25519" {
		return content, 0
	}
	h := hashes[s.Hash]()
	h.Write(content)
	return h.Sum(nil), hashIDs[s.Hash]
}

// matchPublic finds the key whose holder made one of the signatures.
func (s *scheme) matchPublic(r *Request, st stamps, signatures [][]byte, keys []key) (key, bool) {
	var content contentBuffer
	_ = s.write(&content, r, st)
	signed, hash := s.digested(content.b)
	for _, k := range keys {
		for _, signature := range signatures {
			if proves(k.public, signed, hash, signature) {
				return k, true
			}
		}
	}
	return key{}, false
}

func proves(public crypto.PublicKey, signed []byte, hash crypto.Hash, signature []byte) bool {
	switch k := public.(type) {
	case ed25519.PublicKey:
		return len(signature) == ed25519.SignatureSize && ed25519.Verify(k, signed, signature)
	case *ecdsa.PublicKey:
		return ecdsa.VerifyASN1(k, signed, signature)
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(k, hash, signed, signature) == nil
	}
	return false
}

// KeyKind is the kind of key pair with which the provider signs: ed25519, ecdsa,
// rsa or jwt; empty if its secret is a shared one. only tells whether it is the
// provider's first way to sign.
func (r *Record) KeyKind() (kind string, only bool) {
	if i := r.keyed(); i >= 0 {
		return r.Schemes[i].Kind, i == 0
	}
	return "", false
}

// keyed is the index of the scheme that has a key pair; -1 if none has.
func (r *Record) keyed() int {
	return slices.IndexFunc(r.Schemes, func(s Scheme) bool { return s.asymmetric() })
}

var errShared = errors.New("the provider signs with a shared secret, not with a key pair")

// NewKey makes a throw-away key pair of the provider's kind: the private half
// signs with [Verifier.SignKey].
func (r *Record) NewKey(random io.Reader) (crypto.Signer, error) {
	i := r.keyed()
	if i < 0 {
		return nil, errShared
	}
	private, err := r.Schemes[i].generate(random)
	if err != nil {
		return nil, fmt.Errorf("making a key pair: %w", err)
	}
	return private, nil
}

// PublicKey writes a public key as the operator configures it for this provider.
func (r *Record) PublicKey(public crypto.PublicKey) (string, error) {
	i := r.keyed()
	if i < 0 {
		return "", errShared
	}
	return r.Schemes[i].writeKey(public)
}

func (s *Scheme) generate(random io.Reader) (crypto.Signer, error) {
	switch {
	case s.Kind == "ed25519", strings.HasPrefix(s.algorithm(), "EdDSA"):
		_, private, err := ed25519.GenerateKey(random)
		return private, err
	case s.Kind == "ecdsa", strings.HasPrefix(s.algorithm(), "ES"):
		return ecdsa.GenerateKey(elliptic.P256(), random)
	}
	return rsa.GenerateKey(random, minRSA)
}

// algorithm is the first one of a JWT scheme.
func (s *Scheme) algorithm() string {
	if len(s.Algorithms) == 0 {
		return ""
	}
	return s.Algorithms[0]
}

// writeKey writes a public key in the form in which the scheme reads it.
func (s *Scheme) writeKey(public crypto.PublicKey) (string, error) {
	if k, ok := public.(ed25519.PublicKey); ok && s.SecretForm != "key" {
		switch s.SecretForm {
		case "whpk":
			return "whpk_" + base64.StdEncoding.EncodeToString(k), nil
		case "base64":
			return base64.StdEncoding.EncodeToString(k), nil
		}
		return hex.EncodeToString(k), nil
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return "", fmt.Errorf("writing a public key: %w", err)
	}
	return base64.StdEncoding.EncodeToString(der), nil
}
