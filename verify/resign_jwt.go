package verify

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"hash"
	"net/http"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"
)

// tokenTimes are the claims that move when a token is made anew.
var tokenTimes = []string{"iat", "nbf", "exp"}

// tokenClaims gives what a token says, unproven.
func (s *scheme) tokenClaims(r *Request) (token string, payload []byte) {
	token, err := s.jwtText(r)
	if err != nil {
		return "", nil
	}
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return "", nil
	}
	payload, err = base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || !json.Valid(payload) {
		return "", nil
	}
	return token, payload
}

// tokenLife is how long a request's token is good for; 0 if it does not end.
func (s *scheme) tokenLife(r *Request, received time.Time) time.Duration {
	_, payload := s.tokenClaims(r)
	end := gjson.GetBytes(payload, "exp")
	if !end.Exists() {
		return 0
	}
	return max(time.Unix(end.Int(), 0).Sub(begun(payload, received)), time.Second)
}

// begun is when a token was issued, as far as it says so.
func begun(payload []byte, received time.Time) time.Time {
	for _, name := range tokenTimes[:2] {
		if at := gjson.GetBytes(payload, name); at.Exists() {
			return time.Unix(at.Int(), 0)
		}
	}
	return received
}

// tokenProofs finds the key that signed a token.
func (s *scheme) tokenProofs(r *Request, keys []key) []proof {
	token, err := s.token(r)
	if err != nil {
		return nil
	}
	for _, k := range keys {
		if token.Claims(k.verifying(), new(jwt.Claims)) == nil {
			return s.places(r, k)
		}
	}
	return nil
}

var tokenHashes = map[string]func() hash.Hash{"HS256": sha256.New, "HS384": sha512.New384, "HS512": sha512.New}

// tokenAnew issues a token anew: its times move to the present, and everything
// else that it says stays as it is, its header too.
func (s *scheme) tokenAnew(r *Request, p proof, o Renewal) (http.Header, error) {
	token, payload := s.tokenClaims(r)
	head, _, _ := strings.Cut(token, ".")
	protected, err := base64.RawURLEncoding.DecodeString(head)
	newHash := tokenHashes[gjson.GetBytes(protected, "alg").String()]
	if err != nil || newHash == nil {
		return nil, fmt.Errorf("%w: its token cannot be read", ErrCannotRenew)
	}
	moved, aged := o.Now.Unix()-begun(payload, o.Received).Unix(), false
	for _, name := range tokenTimes {
		at := gjson.GetBytes(payload, name)
		if !at.Exists() {
			continue
		}
		aged = true
		if payload, err = sjson.SetBytes(payload, name, at.Int()+moved); err != nil {
			return nil, fmt.Errorf("%w: its token cannot be written: %w", ErrCannotRenew, err)
		}
	}
	if !aged {
		return nil, nil // it says nothing of the time, and is good for ever
	}
	text := head + "." + base64.RawURLEncoding.EncodeToString(payload)
	m := hmac.New(newHash, p.keys[0].bytes)
	m.Write([]byte(text))
	text += "." + base64.RawURLEncoding.EncodeToString(m.Sum(nil))
	changed := http.Header{}
	for _, name := range p.names {
		before := strings.TrimSuffix(strings.TrimSpace(r.Header.Get(name)), token)
		changed[name] = []string{before + text}
	}
	return changed, nil
}
