package verify

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/tidwall/gjson"
)

// otherUnit is an age that no clock and no queue explains: a number of seconds
// read as milliseconds, or the other way round.
const otherUnit = 10 * 365 * 24 * time.Hour

// clock says what to do about a proven timestamp.
func (x *inquiry) clock() string {
	age, ok := x.age()
	switch {
	case ok && age.Abs() > otherUnit && x.v.record.Generic:
		return "seconds and milliseconds are mixed up: give `timestamp` the other unit, s or ms"
	case ok && age.Abs() > otherUnit:
		return "seconds and milliseconds seem to be mixed up: is it this provider?"
	case ok && age > time.Hour:
		return "is the clock right? If the sender queues or repeats without signing anew, raise `tolerance`"
	}
	return "is the clock right?"
}

// age is that of the request's timestamp.
func (x *inquiry) age() (time.Duration, bool) {
	for _, s := range x.v.schemes {
		if !s.timed() || !s.present(x.Request.Header) {
			continue
		}
		values, err := s.values(x.Request)
		if err != nil {
			continue
		}
		if _, st, err := s.parse(x.Request, values[0]); err == nil {
			if at, err := s.time(st.ts); err == nil {
				return x.Now.Sub(at), true
			}
		}
	}
	return 0, false
}

// telling finds headers that look like another provider's proof.
var telling = regexp.MustCompile(`(?i)signature|hmac`)

// missing says what is there in place of what is missing. Only names of headers
// are told.
func (x *inquiry) missing() string {
	h := x.Request.Header
	for _, name := range x.v.headers() {
		if values := h.Values(name); len(values) > 0 && strings.TrimSpace(strings.Join(values, "")) == "" {
			return fmt.Sprintf("the header %s is there and empty: is a secret set at the provider?", name)
		}
	}
	for _, p := range x.Others {
		if p.Verifier.record != x.v.record && p.Verifier.speaks(x.Request) {
			return fmt.Sprintf("it looks like a request for source %s (%s): has it come to the wrong address?", p.Name, p.Verifier.record.Name)
		}
	}
	var found []string
	for _, name := range slices.Sorted(maps.Keys(h)) {
		if telling.MatchString(name) && len(name) <= 64 && len(found) < 3 {
			found = append(found, name)
		}
	}
	if len(found) > 0 {
		return fmt.Sprintf("it has %s: is it another provider's, or signed in an older way?", strings.Join(found, ", "))
	}
	return "is a secret set at the provider, and does nothing on the way drop it?"
}

// speaks tells whether a request carries headers that only this provider's do.
func (v *Verifier) speaks(r *Request) bool {
	return slices.ContainsFunc(v.schemes, func(s *scheme) bool {
		_, ok := first(r.Header, s.Header)
		return ok && !slices.Contains(s.Header, "Authorization")
	})
}

// format says what a proof looks like that cannot be read.
func (x *inquiry) format() string {
	for _, s := range x.v.schemes {
		if !s.present(x.Request.Header) {
			continue
		}
		value, err := s.text(x.Request)
		if err != nil || len(value) > maxSignature {
			continue
		}
		if s.Kind == "jwt" {
			return jwtShape(value)
		}
		if hint := s.shape(strings.TrimSpace(value), x.v.record.Generic); hint != "" {
			return hint
		}
	}
	return ""
}

// jwtShape tells the algorithm that a token names.
func jwtShape(value string) string {
	_, token, found := strings.Cut(value, " ")
	if !found {
		token = value
	}
	head, _, _ := strings.Cut(token, ".")
	text, err := base64.RawURLEncoding.DecodeString(head)
	algorithm := gjson.GetBytes(text, "alg").String()
	if err != nil || algorithm == "" || len(algorithm) > 16 {
		return "it holds something else than a JWT"
	}
	return fmt.Sprintf("the token's algorithm is %q", algorithm)
}

// knownPrefixes are what stands before signatures in general. No other part of a
// header is repeated.
var knownPrefixes = []string{
	"sha1=", "sha256=", "sha512=", "hmac-sha256=", "hmac-sha512=", "SHA256=", "v0=", "v1=", "v1,", "v1a,", "v2=", "t=", "ts=",
	"Bearer ", "Basic ", "HMAC ", "Signature ",
}

// shape says how a value differs from what is expected.
func (s *scheme) shape(value string, generic bool) string {
	bare, quoted := strings.CutPrefix(value, `"`)
	if quoted && strings.HasSuffix(bare, `"`) {
		return "its value stands in quotes"
	}
	if s.Prefix != "" && !strings.HasPrefix(value, s.Prefix) {
		for _, p := range knownPrefixes {
			if strings.HasPrefix(value, p) {
				return fmt.Sprintf("it begins with %q, and %q is expected%s", p, s.Prefix, advice(generic, "write `prefix "+strings.TrimSpace(p)+"`"))
			}
		}
		if s.sized(value) != "" {
			return fmt.Sprintf("it comes without the prefix %q%s", s.Prefix, advice(generic, "leave `prefix` out"))
		}
	}
	value = strings.TrimPrefix(value, s.Prefix)
	if looks := s.sized(value); looks != "" && looks != s.encoding() {
		return fmt.Sprintf("it looks like %s, and %s is expected%s", looks, s.encoding(), advice(generic, "write `encoding "+looks+"`"))
	}
	return ""
}

// advice is what to write for a scheme without a preset.
func advice(generic bool, what string) string {
	if !generic {
		return ": is it this provider?"
	}
	return ": " + what
}

func (s *scheme) encoding() string {
	if s.Encoding == "" {
		return "hex"
	}
	return s.Encoding
}

// sizes are the lengths of what the hashes give.
var sizes = map[int]string{20: "sha1", 32: "sha256", 64: "sha512"}

// sized is the encoding in which a text has the length of a hash; empty if in none.
func (s *scheme) sized(text string) string {
	if b, err := hex.DecodeString(text); err == nil && sizes[len(b)] != "" {
		return "hex"
	}
	if b, err := base64.StdEncoding.DecodeString(text); err == nil && sizes[len(b)] != "" {
		return "base64"
	}
	if b, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(text, "=")); err == nil && sizes[len(b)] != "" {
		return "base64url"
	}
	return ""
}

// length notices signatures that no key could have made: they have the length
// of another hash, or are of another encoding. Every scheme that they may be of
// has to say so.
func (x *inquiry) length() (Diagnosis, bool) {
	found := ""
	for _, s := range x.v.schemes {
		if s.Kind == "none" || !s.present(x.Request.Header) {
			continue
		}
		if s.Kind != "hmac" && s.Kind != "digest" || s.Each != "" {
			return Diagnosis{}, false
		}
		values, err := s.values(x.Request)
		if err != nil {
			continue
		}
		for _, value := range values {
			signatures, _, err := s.parse(x.Request, value)
			if err != nil {
				continue
			}
			if found = s.wrongLength(signatures, value, x.v.record.Generic); found == "" {
				return Diagnosis{}, false
			}
		}
	}
	return Diagnosis{Reason: ReasonFormat, Words: found}, found != ""
}

func (s *scheme) wrongLength(signatures [][]byte, value string, generic bool) string {
	want := hashes[s.Hash]().Size()
	if slices.ContainsFunc(signatures, func(b []byte) bool { return len(b) == want }) {
		return ""
	}
	if hint := s.shape(strings.TrimSpace(value), generic); hint != "" {
		return "signature malformed: " + hint
	}
	n := len(signatures[0])
	text := fmt.Sprintf("signature malformed: it has %d bytes, and %s gives %d", n, sizes[want], want)
	if sizes[n] != "" {
		text += advice(generic, "write `hash "+sizes[n]+"`")
	}
	return text
}
