package verify

import (
	"crypto/sha1" //nolint:gosec // a provider derives its key so
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// Secret is one key, as the operator's text. It does not print itself.
type Secret struct{ text string }

// NewSecret wraps a text. Empty and blank ones are refused when a verifier is made.
func NewSecret(text string) Secret { return Secret{text} }

// String hides the secret.
func (Secret) String() string { return "[secret]" }

// GoString hides the secret.
func (Secret) GoString() string { return "[secret]" }

// MarshalText hides the secret.
func (Secret) MarshalText() ([]byte, error) { return []byte("[secret]"), nil }

// Empty tells whether there is nothing but white space in it.
func (s Secret) Empty() bool { return strings.TrimSpace(s.text) == "" }

// Padded tells whether white space surrounds it, which is nearly always an accident.
func (s Secret) Padded() bool { return strings.TrimSpace(s.text) != s.text }

// Digest is a short digest that tells secrets apart and betrays none: eight hex
// digits of a hash, far fewer than any secret has.
func (s Secret) Digest() string {
	sum := sha256.Sum256([]byte("caddy-webhooks secret\x00" + s.text))
	return hex.EncodeToString(sum[:4])
}

// key derives the bytes that sign.
func (s Secret) key(form string) ([]byte, error) {
	if s.Empty() {
		return nil, errors.New("the secret is empty: is the environment variable set, is the file filled?")
	}
	switch form {
	case "", "utf8":
		return []byte(s.text), nil
	case "hex":
		return decodeKey("hexadecimal", s.text, hex.DecodeString)
	case "base64":
		return decodeKey("base64", s.text, unbase64)
	case "whsec":
		return decodeKey("base64, with or without whsec_ before it", strings.TrimPrefix(s.text, "whsec_"), unbase64)
	case "whsec_or_utf8":
		if rest, ok := strings.CutPrefix(s.text, "whsec_"); ok {
			return decodeKey("base64 behind whsec_", rest, unbase64)
		}
		return []byte(s.text), nil
	case "sha1":
		sum := sha1.Sum([]byte(s.text)) //nolint:gosec // see above
		return sum[:], nil
	}
	return nil, fmt.Errorf("unknown form of a secret %q", form)
}

func decodeKey(what, text string, decode func(string) ([]byte, error)) ([]byte, error) {
	b, err := decode(strings.TrimSpace(text))
	if err != nil {
		return nil, fmt.Errorf("the secret must be %s", what) // the decoder's error would quote it
	}
	if len(b) == 0 {
		return nil, fmt.Errorf("the secret is empty: it must be %s", what)
	}
	return b, nil
}

// unbase64 takes the standard and the URL alphabet, padded or not.
func unbase64(s string) ([]byte, error) {
	s = strings.TrimRight(s, "=")
	if strings.ContainsAny(s, "-_") {
		return base64.RawURLEncoding.DecodeString(s)
	}
	return base64.RawStdEncoding.DecodeString(s)
}
