package verify

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/tidwall/gjson"
)

const (
	// maxJWT bounds the token that is looked at, in bytes.
	maxJWT = 16 << 10
	// jwtLeeway is how far the clocks may differ where the record says nothing.
	jwtLeeway = time.Minute
	// jwtLife is how long a token lives that we sign.
	jwtLife = 5 * time.Minute
)

// validateJWT refuses a scheme that leaves it to the token how it is checked.
func (s *Scheme) validateJWT() error {
	if len(s.Algorithms) == 0 {
		return errors.New("a JWT's algorithms must be named")
	}
	for _, a := range s.Algorithms {
		switch known := len(a) == 5 && strings.Contains("HS256 HS384 HS512 RS256 RS384 RS512 ES256 ES384 ES512 EdDSA", a); {
		case !known:
			return fmt.Errorf("unknown JWT algorithm %q", a)
		case strings.HasPrefix(a, "HS") == (s.SecretForm == "key"):
			return fmt.Errorf("JWT algorithm %s does not go with secrets of form %q", a, s.SecretForm)
		}
	}
	return nil
}

// longEnough refuses a shared secret that is shorter than the hash of every
// algorithm: RFC 7518 §3.2 forbids it, and no such token would ever be accepted.
func (s *Scheme) longEnough(secret []byte) error {
	var refused error
	for _, a := range s.Algorithms {
		bits, err := strconv.Atoi(strings.TrimPrefix(a, "HS"))
		switch {
		case err != nil:
		case len(secret)*8 >= bits:
			return nil
		case refused == nil:
			refused = fmt.Errorf("the secret has %d bytes, %s needs at least %d: choose a longer one at the provider", len(secret), a, bits/8)
		}
	}
	return refused
}

// algorithms are those that are accepted; every other one, none above all, is
// refused before a key is touched.
func (s *Scheme) algorithms() []jose.SignatureAlgorithm {
	list := make([]jose.SignatureAlgorithm, len(s.Algorithms))
	for i, a := range s.Algorithms {
		list[i] = jose.SignatureAlgorithm(a)
	}
	return list
}

// checkJWT checks a token, then what it claims.
func (s *scheme) checkJWT(r *Request, now time.Time, keys []key) (Verdict, error) {
	token, err := s.token(r)
	if err != nil {
		return Verdict{}, err
	}
	for _, k := range keys {
		var times jwt.Claims
		var payload json.RawMessage
		if token.Claims(k.verifying(), &times, &payload) != nil {
			continue
		}
		verdict := Verdict{Secret: k.index, Digest: k.digest}
		if times.IssuedAt != nil {
			verdict.Time = times.IssuedAt.Time()
		}
		return verdict, s.checkClaims(r, now, payload, times)
	}
	return Verdict{}, ErrMismatch
}

// jwtText gives the token without what stands before it.
func (s *scheme) jwtText(r *Request) (string, error) {
	text, err := s.text(r)
	if err != nil {
		return "", err
	}
	text = strings.TrimSpace(text)
	if len(text) > maxJWT {
		return "", fmt.Errorf("%w: %s has %d bytes", ErrFormat, s.place(), len(text))
	}
	rest, ok := cutFold(text, s.Prefix)
	switch {
	case ok:
		return strings.TrimSpace(rest), nil
	case s.Optional:
		return text, nil
	}
	return "", fmt.Errorf("%w: %s does not begin with %s", ErrFormat, s.place(), s.Prefix)
}

// verifying is the key as the JWT library takes it.
func (k key) verifying() any {
	if k.public != nil {
		return k.public
	}
	return k.bytes
}

// checkClaims checks what a proven token says: for whom, when, of which body.
func (s *scheme) checkClaims(r *Request, now time.Time, payload []byte, times jwt.Claims) error {
	for name, template := range s.Claims {
		want := fill(template, r, stamps{options: s.options})
		if want == "" && strings.Contains(template, "{option:") || want != "" && claims(gjson.GetBytes(payload, name), want) {
			continue
		}
		return fmt.Errorf("%w: the token's claim %s is not %q", ErrMismatch, name, want)
	}
	if s.BodyHash != nil && !s.BodyHash.is(gjson.GetBytes(payload, s.BodyHash.Claim).String(), r.Body) {
		return fmt.Errorf("%w: the token's claim %s is not the hash of the body", ErrMismatch, s.BodyHash.Claim)
	}
	return s.checkTimes(now, times)
}

// claims tells whether a claim says what is wanted; of a list, one has to.
func claims(got gjson.Result, want string) bool {
	if got.IsArray() {
		for _, one := range got.Array() {
			if one.String() == want {
				return true
			}
		}
		return false
	}
	return got.String() == want
}

func (s *scheme) checkTimes(now time.Time, times jwt.Claims) error {
	if s.Tolerance < 0 {
		return nil
	}
	leeway := s.Future
	if leeway <= 0 {
		leeway = jwtLeeway
	}
	switch err := times.ValidateWithLeeway(jwt.Expected{Time: now}, leeway); {
	case errors.Is(err, jwt.ErrExpired):
		return fmt.Errorf("%w: the token expired %s ago", ErrExpired, now.Sub(times.Expiry.Time()).Round(time.Second))
	case err != nil:
		return fmt.Errorf("%w: the token is not valid yet", ErrFuture)
	case s.Tolerance == 0 && times.Expiry == nil && s.BodyHash == nil && !s.Whole:
		return fmt.Errorf("%w: the token does not say when it ends, and would be good for any body for ever", ErrFormat)
	case s.Tolerance == 0:
		return nil
	case times.IssuedAt == nil:
		return fmt.Errorf("%w: the token does not say when it was issued", ErrFormat)
	}
	return s.fresh(times.IssuedAt.Time(), now)
}

// is tells whether a text is the SHA-256 of the body.
func (h *BodyHash) is(text string, body []byte) bool {
	decode := hex.DecodeString
	if strings.HasPrefix(h.Encoding, "base64") {
		decode = unbase64
	}
	got, err := decode(text)
	want := sha256.Sum256(body)
	return err == nil && subtle.ConstantTimeCompare(got, want[:]) == 1
}

// of writes the hash of a body.
func (h *BodyHash) of(body []byte) string {
	sum := sha256.Sum256(body)
	switch h.Encoding {
	case "base64":
		return base64.StdEncoding.EncodeToString(sum[:])
	case "base64url":
		return base64.RawURLEncoding.EncodeToString(sum[:])
	}
	return hex.EncodeToString(sum[:])
}

// signJWT sets the header with a token that the key signs: of shared secrets
// the bytes, else the private half.
func (s *scheme) signJWT(r *Request, with any, now time.Time) error {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: s.algorithms()[0], Key: with}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return fmt.Errorf("signing a token: %w", err)
	}
	said := map[string]any{"iat": now.Unix(), "exp": now.Add(jwtLife).Unix()}
	for name, template := range s.Claims {
		if v := fill(template, r, stamps{options: s.options}); v != "" {
			said[name] = v
		}
	}
	if s.BodyHash != nil {
		said[s.BodyHash.Claim] = s.BodyHash.of(r.Body)
	}
	text, err := jwt.Signed(signer).Claims(said).Serialize()
	if err != nil {
		return fmt.Errorf("signing a token: %w", err)
	}
	return s.put(r, s.Prefix+text)
}
