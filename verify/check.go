package verify

import (
	"crypto/hmac"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/tidwall/gjson"
)

// Precheck refuses what can be refused before a byte of the body is read: a
// wrong method (ErrMethod), or a request without any signature (ErrMissing).
func (v *Verifier) Precheck(method string, h http.Header) error {
	if !slices.Contains(v.methods, method) {
		return fmt.Errorf("%w: %s", ErrMethod, method)
	}
	for _, s := range v.schemes {
		if s.present(h) {
			return nil
		}
	}
	return v.unproven()
}

// unproven is the error for a request that bears nothing that any scheme is for.
func (v *Verifier) unproven() error {
	if names := v.headers(); len(names) > 0 {
		return fmt.Errorf("%w: no header %s", ErrMissing, strings.Join(names, " or "))
	}
	return fmt.Errorf("%w: the request is none of this provider's kinds", ErrMissing)
}

// headers lists the headers that carry signatures or tokens.
func (v *Verifier) headers() []string {
	var names []string
	if !v.basic.Empty() {
		names = append(names, "Authorization")
	}
	for _, s := range v.schemes {
		if s.Kind == "basic" {
			names = append(names, "Authorization")
		}
		names = append(names, s.Header...)
	}
	return names
}

// Proof lists the headers and parameters that prove the sender; they are
// masked wherever a request is shown.
func (v *Verifier) Proof() []string {
	names := v.headers()
	for _, s := range v.schemes {
		if s.Query != "" {
			names = append(names, s.Query)
		}
	}
	return names
}

// Verify proves a request. Secrets of the request's own may be given; they are
// tried after the configured ones. Every error wraps [ErrRejected].
func (v *Verifier) Verify(r *Request, now time.Time, own ...Secret) (Verdict, error) {
	if err := v.checkBasic(r); err != nil {
		return Verdict{}, err
	}
	var err error
	signed := false // a signature was there, and did not fit
	for _, s := range v.schemes {
		if !v.concerns(s, r) || signed && s.plain() {
			continue
		}
		verdict, why := v.try(s, r, now, own)
		switch {
		case why == nil:
			return verdict, nil
		case errors.Is(why, errNotMeant):
			continue
		case errors.Is(why, ErrKeys):
			return Verdict{}, why // whether it is good cannot be known
		case err == nil, errors.Is(why, ErrExpired), errors.Is(why, ErrFuture):
			err = why
		}
		signed = signed || !s.plain()
	}
	if err == nil {
		err = v.unproven()
	}
	return Verdict{}, err
}

// try checks a request by one scheme.
func (v *Verifier) try(s *scheme, r *Request, now time.Time, own []Secret) (Verdict, error) {
	verdict, err := s.try(r, now, len(v.secrets), own)
	if err == nil && v.isLent(s, r) {
		return Verdict{}, fmt.Errorf("%w: what is signed is the answer to a handshake, and no event", ErrMismatch)
	}
	return verdict, err
}

// concerns tells whether a request may be one of the scheme's. Where its
// address names a hash of the body, only schemes count that check it: else the
// body could be taken away.
func (v *Verifier) concerns(s *scheme, r *Request) bool {
	return s.present(r.Header) && (s.BodyHash != nil || !v.hashed(r))
}

// hashed tells whether the address names a hash of the body.
func (v *Verifier) hashed(r *Request) bool {
	return slices.ContainsFunc(v.schemes, func(s *scheme) bool {
		return s.BodyHash != nil && s.BodyHash.Query != "" && r.Query.Has(s.BodyHash.Query)
	})
}

// errNotMeant is returned by try when no secret is meant for the scheme.
var errNotMeant = errors.New("configured for another scheme of this provider")

// try checks a request with the keys that are meant for this scheme.
func (s *scheme) try(r *Request, now time.Time, configured int, own []Secret) (Verdict, error) {
	keys, err := s.allKeys(configured, own)
	switch {
	case err != nil:
		return Verdict{}, err
	case !s.When.fit(r), len(keys) == 0 && s.Kind != "none" && s.Keys == nil:
		return Verdict{}, errNotMeant
	}
	if err := s.pinned(r); err != nil {
		return Verdict{}, err
	}
	if len(keys) == 0 && s.Keys != nil {
		if keys, err = s.published(r, now); err != nil {
			return Verdict{}, err
		}
	}
	return s.check(r, now, keys)
}

// plain tells whether the secret itself is sent. Where a provider also signs, a
// signature that fails must not be made good by it.
func (s *scheme) plain() bool { return s.Kind == "token" || s.Kind == "basic" }

// allKeys gives the configured keys and those of the request.
func (s *scheme) allKeys(configured int, own []Secret) ([]key, error) {
	if len(own) == 0 {
		return s.keys, nil
	}
	keys := slices.Clone(s.keys)
	for i, secret := range own {
		if secret.Empty() {
			return nil, ErrNoSecret
		}
		if !s.chosen(secret) {
			continue
		}
		k, err := s.key(configured+i, secret)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrNoSecret, err)
		}
		keys = append(keys, k)
	}
	return keys, nil
}

func (s *scheme) check(r *Request, now time.Time, keys []key) (Verdict, error) {
	check := s.checkOne
	if s.Each != "" {
		check = s.checkEach
	}
	verdict, err := check(r, now, keys)
	if err == nil {
		err = s.unambiguous(r)
	}
	if err != nil {
		return Verdict{}, err
	}
	return verdict, nil
}

// checkOne checks a request, or one of its items.
func (s *scheme) checkOne(r *Request, now time.Time, keys []key) (Verdict, error) {
	switch s.Kind {
	case "none":
		return Verdict{Secret: -1}, nil
	case "token", "basic":
		return s.checkToken(r, keys)
	case "jwt":
		return s.checkJWT(r, now, keys)
	}
	if s.BodyHash != nil && !s.BodyHash.is(r.Query.Get(s.BodyHash.Query), r.Body) {
		return Verdict{}, fmt.Errorf("%w: %s is not the hash of the body", ErrMismatch, s.BodyHash.Query)
	}
	return s.checkSignature(r, now, keys)
}

// checkSignature checks the sets of signatures of a request; one is enough.
func (s *scheme) checkSignature(r *Request, now time.Time, keys []key) (Verdict, error) {
	if s.single() {
		value, err := s.text(r)
		if err != nil {
			return Verdict{}, err
		}
		return s.checkValue(r, value, now, keys)
	}
	values, err := s.values(r)
	if err != nil {
		return Verdict{}, err
	}
	for _, value := range values {
		var verdict Verdict
		if verdict, err = s.checkValue(r, value, now, keys); err == nil {
			return verdict, nil
		}
	}
	return Verdict{}, err
}

func (s *scheme) checkValue(r *Request, value string, now time.Time, keys []key) (Verdict, error) {
	sc := newScratch()
	defer sc.free()
	st, err := s.parseInto(sc, r, value)
	if err != nil {
		return Verdict{}, err
	}
	k, ok := s.match(sc, r, st, keys)
	if !ok {
		return Verdict{}, ErrMismatch
	}
	verdict := Verdict{Secret: k.index, Digest: k.digest}
	if !s.timed() {
		return verdict, nil
	}
	// Only now, when the timestamp is proven, is its age worth a word.
	if verdict.Time, err = s.time(st.ts); err != nil {
		return Verdict{}, err
	}
	return verdict, s.fresh(verdict.Time, now)
}

// maxItems bounds the items of one request that are signed each for itself.
const maxItems = 1000

// checkEach proves every item of a request; one that is not spoils it.
func (s *scheme) checkEach(r *Request, now time.Time, keys []key) (Verdict, error) {
	items := gjson.GetBytes(r.Body, s.Each).Array()
	switch {
	case len(items) == 0:
		return Verdict{}, fmt.Errorf("%w: nothing at %s", ErrMissing, s.Each)
	case len(items) > maxItems:
		return Verdict{}, fmt.Errorf("%w: %d items at %s", ErrFormat, len(items), s.Each)
	case !s.all(r, len(items)):
		return Verdict{}, fmt.Errorf("%w: an item is not at %s", ErrFormat, s.Each)
	}
	var verdict Verdict
	for _, item := range items {
		one := *r
		one.Body = []byte(item.Raw)
		var err error
		if verdict, err = s.checkOne(&one, now, keys); err != nil {
			return Verdict{}, err
		}
	}
	return verdict, nil
}

// fresh checks a timestamp against the tolerance.
func (s *scheme) fresh(at, now time.Time) error {
	// Both ways are computed: a difference of centuries is cut off, and the least
	// one has no negative.
	age, lead := now.Sub(at), at.Sub(now)
	switch {
	case s.Tolerance > 0 && age > s.Tolerance:
		return fmt.Errorf("%w: %s old, tolerance %s", ErrExpired, age.Round(time.Second), s.Tolerance)
	case s.Future > 0 && lead > s.Future:
		return fmt.Errorf("%w: %s ahead of our clock, tolerance %s", ErrFuture, lead.Round(time.Second), s.Future)
	}
	return nil
}

// match finds the key that one of the signatures was made with.
func (s *scheme) match(sc *scratch, r *Request, st stamps, keys []key) (key, bool) {
	if s.asymmetric() {
		return s.matchPublic(r, st, sc.signatures, keys)
	}
	if !s.URLVariants {
		return s.matchMAC(sc, r, st, keys)
	}
	for _, u := range urlVariants(r.URL) {
		one := *r
		one.URL = u
		if k, ok := s.matchMAC(sc, &one, st, keys); ok {
			return k, true
		}
	}
	return key{}, false
}

func (s *scheme) matchMAC(sc *scratch, r *Request, st stamps, keys []key) (key, bool) {
	for _, k := range keys {
		sum := s.mac(k, r, st, sc.sum[:0])
		for _, sig := range sc.signatures {
			if hmac.Equal(sum, sig) {
				return k, true
			}
		}
	}
	return key{}, false
}

// mac computes the signature that a key gives.
func (s *scheme) mac(k key, r *Request, st stamps, dst []byte) []byte {
	m, ok := k.macs.Get().(*hasher)
	if !ok {
		return nil
	}
	defer k.macs.Put(m)
	m.Reset()
	st.secret = k.bytes
	_ = s.write(m, r, st)
	return m.Sum(dst)
}

type contentBuffer struct{ b []byte }

// Write appends.
func (c *contentBuffer) Write(p []byte) (int, error) {
	c.b = append(c.b, p...)
	return len(p), nil
}

// checkToken compares a secret that is sent as it is.
func (s *scheme) checkToken(r *Request, keys []key) (Verdict, error) {
	got, err := s.presented(r)
	if err != nil {
		return Verdict{}, err
	}
	for _, k := range keys {
		if sameSecret([]byte(got), k.bytes) {
			return Verdict{Secret: k.index, Digest: k.digest}, nil
		}
	}
	return Verdict{}, ErrMismatch
}

// presented gives the token or the user and password of a request.
func (s *scheme) presented(r *Request) (string, error) {
	if s.Kind == "basic" {
		return basicAuth(r.Header)
	}
	got, err := s.text(r)
	if got = strings.TrimPrefix(got, s.Prefix); err != nil || got == "" {
		return "", fmt.Errorf("%w: no token", ErrMissing)
	}
	return got, nil
}

func basicAuth(h http.Header) (string, error) {
	rest, ok := cutFold(h.Get("Authorization"), "Basic ")
	if !ok {
		return "", fmt.Errorf("%w: no Basic authorization", ErrMissing)
	}
	b, err := base64.StdEncoding.DecodeString(strings.TrimSpace(rest))
	if err != nil || len(b) == 0 {
		return "", fmt.Errorf("%w: Basic authorization is not base64", ErrFormat)
	}
	return string(b), nil
}

func cutFold(s, prefix string) (string, bool) {
	if len(s) < len(prefix) || !strings.EqualFold(s[:len(prefix)], prefix) {
		return "", false
	}
	return s[len(prefix):], true
}
