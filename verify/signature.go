package verify

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/gjson"
)

const (
	// maxSignature bounds the header that is looked at, in bytes: the longest
	// known, several SHA-512 digests during a rotation, has less than half.
	maxSignature = 4096
	// maxSignatures bounds the signatures tried of one header.
	maxSignatures = 16
)

// first gives the value of the first of several headers that is there.
func first(h http.Header, names []string) (string, bool) {
	for _, n := range names {
		if vs := h[http.CanonicalHeaderKey(n)]; len(vs) > 0 {
			return strings.Join(vs, ","), true
		}
	}
	return "", false
}

// present tells whether a request carries this scheme's signature.
func (s *scheme) present(h http.Header) bool {
	if s.Kind == "basic" {
		return len(h["Authorization"]) > 0
	}
	if s.Kind == "none" || len(s.Header) == 0 {
		return true
	}
	_, ok := first(h, s.Header)
	return ok
}

// parse takes the signatures and the timestamp out of a request.
func (s *scheme) parse(r *Request) (signatures [][]byte, st stamps, err error) {
	value, _ := first(r.Header, s.Header)
	switch {
	case strings.TrimSpace(value) == "":
		return nil, st, fmt.Errorf("%w: no header %s", ErrMissing, strings.Join(s.Header, " or "))
	case len(value) > maxSignature:
		return nil, st, fmt.Errorf("%w: header %s has %d bytes", ErrFormat, s.Header[0], len(value))
	}
	for name, want := range s.Require {
		if r.Header.Get(name) != want {
			return nil, st, fmt.Errorf("%w: header %s is not %q", ErrFormat, name, want)
		}
	}
	st.ts = s.timestamp(r)
	st.id, _ = first(r.Header, s.IDHeader)
	for _, part := range s.split(value) {
		if text, ok := s.part(strings.TrimSpace(part), &st); ok {
			if b, err := s.decode(text); err == nil && len(b) > 0 && len(signatures) < maxSignatures {
				signatures = append(signatures, b)
			}
		}
	}
	if len(signatures) == 0 {
		return nil, st, fmt.Errorf("%w: header %s holds no signature that can be read", ErrFormat, s.Header[0])
	}
	return signatures, st, s.complete(st)
}

// commaJoined finds a comma that stands in place of the space between two
// signatures: several headers of one name are joined so. The version's own comma
// must follow, since a base64 signature may begin with v too.
var commaJoined = regexp.MustCompile(`,(v[0-9]+a?,)`)

// split takes the items of a header apart.
func (s *scheme) split(value string) []string {
	switch s.List {
	case "":
		return []string{value}
	case " ":
		return strings.Fields(commaJoined.ReplaceAllString(value, " $1"))
	}
	return strings.Split(value, s.List)
}

// part takes one item of the list: a signature, or the timestamp into st.
func (s *scheme) part(part string, st *stamps) (signature string, ok bool) {
	if s.Key != "" {
		name, v, _ := strings.Cut(part, "=")
		switch name {
		case s.TimeKey:
			st.ts = v
		case s.Key:
			return v, true
		}
		return "", false
	}
	v, found := strings.CutPrefix(part, s.Prefix)
	return v, found || s.Optional
}

// complete refuses a signature without what it must name.
func (s *scheme) complete(st stamps) error {
	for _, t := range s.content {
		switch {
		case t.kind == "ts" && st.ts == "":
			return fmt.Errorf("%w: no timestamp", ErrMissing)
		case t.kind == "id" && st.id == "":
			return fmt.Errorf("%w: no header %s", ErrMissing, strings.Join(s.IDHeader, " or "))
		}
	}
	if s.timed() && st.ts == "" {
		return fmt.Errorf("%w: no timestamp", ErrMissing)
	}
	return nil
}

// timed tells whether the scheme has a timestamp at all.
func (s *scheme) timed() bool { return len(s.TimeHeader) > 0 || s.TimeJSON != "" || s.TimeKey != "" }

func (s *scheme) timestamp(r *Request) string {
	if len(s.TimeHeader) > 0 {
		v, _ := first(r.Header, s.TimeHeader)
		return v
	}
	if s.TimeJSON != "" {
		return gjson.GetBytes(r.Body, s.TimeJSON).String()
	}
	return ""
}

func (s *scheme) decode(text string) ([]byte, error) {
	switch s.Encoding {
	case "base64":
		return base64.StdEncoding.DecodeString(text)
	case "base64url":
		return base64.RawURLEncoding.DecodeString(strings.TrimRight(text, "="))
	}
	return hex.DecodeString(text)
}

func (s *scheme) encode(b []byte) string {
	switch s.Encoding {
	case "base64":
		return base64.StdEncoding.EncodeToString(b)
	case "base64url":
		return base64.RawURLEncoding.EncodeToString(b)
	}
	return hex.EncodeToString(b)
}

// time reads a timestamp.
func (s *scheme) time(text string) (time.Time, error) {
	if s.TimeUnit == "rfc3339" {
		for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999"} {
			if t, err := time.Parse(layout, text); err == nil {
				return t, nil
			}
		}
		return time.Time{}, fmt.Errorf("%w: timestamp is no RFC 3339 time", ErrFormat)
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/2000 {
		return time.Time{}, fmt.Errorf("%w: timestamp is no number", ErrFormat)
	}
	if s.TimeUnit == "ms" {
		return time.UnixMilli(n), nil
	}
	return time.Unix(n, 0), nil
}

// formatTime writes a timestamp as the provider would.
func (s *scheme) formatTime(t time.Time) string {
	switch s.TimeUnit {
	case "rfc3339":
		return t.UTC().Format(time.RFC3339)
	case "ms":
		return strconv.FormatInt(t.UnixMilli(), 10)
	}
	return strconv.FormatInt(t.Unix(), 10)
}
