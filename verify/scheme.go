package verify

import (
	"crypto"
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // some providers still sign so
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"errors"
	"fmt"
	"hash"
	"slices"
	"strings"
	"sync"
	"time"
)

// scheme is a compiled [Scheme] with the keys that fit it.
type scheme struct {
	Scheme
	content []token
	keys    []key
	options map[string]string
	source  Keys
}

// key is one secret, ready to use.
type key struct {
	index  int
	digest string
	bytes  []byte
	macs   *sync.Pool // of *hasher keyed with bytes
	public crypto.PublicKey
}

var hashes = map[string]func() hash.Hash{"": sha256.New, "sha256": sha256.New, "sha1": sha1.New, "sha512": sha512.New}

var kinds = []string{"hmac", "digest", "ed25519", "ecdsa", "rsa", "jwt", "token", "basic", "none"}

// params are the options with which an operator shapes a generic scheme.
var params = map[string]func(*Scheme, []string) error{
	"header":   func(s *Scheme, v []string) error { s.Header = v; return nil },
	"query":    one(func(s *Scheme, v string) { s.Query, s.Header = v, nil }),
	"json":     one(func(s *Scheme, v string) { s.JSON, s.Header = v, nil }),
	"prefix":   one(func(s *Scheme, v string) { s.Prefix = v }),
	"hash":     one(func(s *Scheme, v string) { s.Hash = v }),
	"encoding": one(func(s *Scheme, v string) { s.Encoding = v }),
	"content":  one(func(s *Scheme, v string) { s.Content = v }),
	"list":     one(func(s *Scheme, v string) { s.List = v }),
	"key":      one(func(s *Scheme, v string) { s.Key = v }),
	"timestamp": func(s *Scheme, v []string) error {
		if len(v) < 2 {
			return errors.New("timestamp takes `header|json|key <name> [s|ms|rfc3339]`")
		}
		switch v[0] {
		case "header":
			s.TimeHeader = v[1:2]
		case "json":
			s.TimeJSON = v[1]
		case "key":
			s.TimeKey = v[1]
		default:
			return fmt.Errorf("timestamp stands in header, json or key, not %q", v[0])
		}
		if len(v) > 2 {
			s.TimeUnit = v[2]
		}
		if s.Tolerance == 0 {
			s.Tolerance, s.Future = 5*time.Minute, 5*time.Minute
		}
		return nil
	},
	"id_header":   func(s *Scheme, v []string) error { s.IDHeader = v; return nil },
	"secret_form": one(func(s *Scheme, v string) { s.SecretForm = v }),
	"algorithms": func(s *Scheme, v []string) error {
		s.Algorithms = v
		if s.Keys == nil && s.SecretForm == "" && len(v) > 0 && !strings.HasPrefix(v[0], "HS") {
			s.SecretForm = "key"
		}
		return nil
	},
	"claims": func(s *Scheme, v []string) error {
		s.Claims = map[string]string{}
		for _, claim := range v {
			name, want, ok := strings.Cut(claim, "=")
			if !ok || name == "" || want == "" {
				return errors.New("claims takes `<name>=<value>...`")
			}
			s.Claims[name] = want
		}
		return nil
	},
	"body_hash": func(s *Scheme, v []string) error {
		if len(v) == 0 || len(v) > 2 {
			return errors.New("body_hash takes `<claim> [hex|base64|base64url]`")
		}
		s.BodyHash = &BodyHash{Claim: v[0]}
		if len(v) == 2 {
			s.BodyHash.Encoding = v[1]
		}
		return nil
	},
	"jwks": one(func(s *Scheme, v string) { s.Keys, s.SecretForm = &KeySource{JWKS: v}, "key" }),
}

func one(set func(*Scheme, string)) func(*Scheme, []string) error {
	return func(s *Scheme, v []string) error {
		if len(v) != 1 {
			return fmt.Errorf("takes one value, not %d", len(v))
		}
		set(s, v[0])
		return nil
	}
}

// Params lists the options that shape a generic scheme.
func Params() []string {
	names := make([]string, 0, len(params))
	for name := range params {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// with applies the operator's options.
func (s Scheme) with(o Options, used map[string]bool) (Scheme, error) {
	switch {
	case o.Tolerance > 0:
		s.Tolerance, s.Future = o.Tolerance, min(max(s.Future, 0), o.Tolerance)
		if s.Future == 0 {
			s.Future = o.Tolerance
		}
	case o.Tolerance < 0:
		s.Tolerance, s.Future = -1, -1
	}
	for name, values := range o.Params {
		set := params[name]
		if set == nil || s.Kind == "none" {
			continue
		}
		if err := set(&s, values); err != nil {
			return s, &OptionError{Option: name, Err: err}
		}
		used[name] = true
	}
	return s, nil
}

// compile derives the keys of the secrets that are meant for this scheme.
func (s Scheme) compile(secrets []Secret) (*scheme, error) {
	c := &scheme{Scheme: s}
	c.Header, c.TimeHeader, c.IDHeader = canonical(s.Header), canonical(s.TimeHeader), canonical(s.IDHeader)
	if err := s.validate(); err != nil {
		return nil, err
	}
	var err error
	if c.content, err = parseContent(s.Content); err != nil {
		return nil, err
	}
	for i, secret := range secrets {
		if s.Kind == "none" || !s.chosen(secret) {
			continue
		}
		k, err := c.key(i, secret)
		if err != nil {
			return nil, fmt.Errorf("secret %d: %w", i+1, err)
		}
		c.keys = append(c.keys, k)
	}
	return c, nil
}

// chosen tells whether the scheme is meant for a secret that looks so.
func (s *Scheme) chosen(secret Secret) bool {
	if s.SecretPrefix != "" && !strings.HasPrefix(secret.text, s.SecretPrefix) {
		return false
	}
	return s.NotSecretPrefix == "" || !strings.HasPrefix(secret.text, s.NotSecretPrefix)
}

// placed tells whether it is said where the signature stands.
func (s *Scheme) placed() bool {
	return len(s.Header) > 0 || s.Query != "" || s.JSON != "" || s.Form != "" || s.Whole
}

func (s *Scheme) validate() error {
	switch {
	case !slices.Contains(kinds, s.Kind):
		return fmt.Errorf("unknown scheme %q", s.Kind)
	case s.Kind == "none", s.Kind == "basic":
		return nil
	case !s.placed():
		return errors.New("where does the signature stand? write `header <name>`")
	case s.Kind == "digest" && !strings.Contains(s.Content, "{secret}"):
		return errors.New("the content of a digest must hold {secret}, else anybody could make it")
	case s.Keys != nil:
		if err := s.validateKeys(); err != nil {
			return err
		}
	}
	if s.Kind == "jwt" {
		return s.validateJWT()
	}
	return s.validateWords()
}

// validateWords checks what is one of a few words.
func (s *Scheme) validateWords() error {
	switch {
	case hashes[s.Hash] == nil:
		return fmt.Errorf("unknown hash %q: sha256, sha1 or sha512", s.Hash)
	case !slices.Contains([]string{"", "hex", "base64", "base64url"}, s.Encoding):
		return fmt.Errorf("unknown encoding %q: hex, base64 or base64url", s.Encoding)
	case !slices.Contains([]string{"", "s", "ms", "rfc3339", "http"}, s.TimeUnit):
		return fmt.Errorf("unknown unit of time %q: s, ms, rfc3339 or http", s.TimeUnit)
	}
	return nil
}

// key makes a secret ready to use.
func (s *scheme) key(index int, secret Secret) (key, error) {
	k := key{index: index, digest: secret.Digest()}
	var err error
	if s.asymmetric() {
		if k.public, err = secret.publicKey(s.Kind, s.SecretForm); err == nil {
			err = s.suits(k.public)
		}
		return k, err
	}
	if k.bytes, err = secret.key(s.SecretForm); err != nil {
		return k, err
	}
	if s.Kind == "basic" && !isPair(string(k.bytes)) {
		return k, errors.New("the secret of scheme basic is `user:password`")
	}
	newHash, bytes := hashes[s.Hash], k.bytes
	switch s.Kind {
	case "jwt":
		return k, s.longEnough(k.bytes)
	case "hmac":
		k.macs = &sync.Pool{New: func() any { return &hasher{Hash: hmac.New(newHash, bytes)} }}
	case "digest": // the key is part of the content
		k.macs = &sync.Pool{New: func() any { return &hasher{Hash: newHash()} }}
	}
	return k, nil
}

// sameSecret compares in a time that depends on neither content nor length.
func sameSecret(a, b []byte) bool {
	x, y := sha256.Sum256(a), sha256.Sum256(b)
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}
