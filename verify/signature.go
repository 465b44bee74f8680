package verify

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/jsonpath"
)

const (
	// maxSignature bounds the header that is looked at, in bytes: the longest
	// known, several SHA-512 digests during a rotation, has less than half.
	maxSignature = 4096
	// maxSignatures bounds the signatures tried of one header.
	maxSignatures = 16
)

// first gives the value of the first of several headers that is there; their
// names are canonical.
func first(h http.Header, names []string) (string, bool) {
	for _, n := range names {
		switch vs := h[n]; len(vs) {
		case 0:
		case 1:
			return vs[0], true
		default:
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
	if s.Kind == "none" || len(s.Header) == 0 || s.Query != "" || s.JSON != "" || s.Form != "" || s.Whole {
		return true
	}
	_, ok := first(h, s.Header)
	return ok
}

// text gives what stands where the signature or the token has to be.
func (s *scheme) text(r *Request) (string, error) {
	var value string
	switch {
	case s.Whole:
		value = string(r.Body)
	case s.Query != "":
		value = r.Query.Get(s.Query)
	case s.JSON != "":
		value = jsonpath.Get(r.Body, s.JSON).String()
	case s.Form != "":
		value = token{"form", s.Form}.ofBody(r.Body)
	default:
		value, _ = first(r.Header, s.Header)
	}
	if strings.TrimSpace(value) == "" {
		return "", fmt.Errorf("%w: no %s", ErrMissing, s.place())
	}
	return value, nil
}

// place names where the signature has to be.
func (s *scheme) place() string {
	switch {
	case s.Whole:
		return "the body"
	case s.Query != "":
		return "query parameter " + s.Query
	case s.JSON != "":
		return s.JSON + " in the body"
	case s.Form != "":
		return "form field " + s.Form
	}
	return "header " + strings.Join(s.Header, " or ")
}

// single tells whether there is one text that holds signatures.
func (s *scheme) single() bool { return !s.AllHeaders && s.Sets == "" }

// values gives the texts that hold signatures, each with all that it names.
func (s *scheme) values(r *Request) ([]string, error) {
	var values []string
	if s.AllHeaders {
		for _, name := range s.Header {
			values = append(values, r.Header.Values(name)...)
		}
	}
	if len(values) == 0 {
		value, err := s.text(r)
		if err != nil {
			return nil, err
		}
		values = []string{value}
	}
	if s.Sets != "" {
		values = strings.Split(strings.Join(values, s.Sets), s.Sets)
	}
	if len(values) > maxSignatures {
		return nil, fmt.Errorf("%w: %s holds %d values", ErrFormat, s.place(), len(values))
	}
	return values, nil
}

// parse takes the signatures and the timestamp out of a request.
func (s *scheme) parse(r *Request, value string) (signatures [][]byte, st stamps, err error) {
	sc := new(scratch)
	st, err = s.parseInto(sc, r, value)
	return sc.signatures, st, err
}

// parseInto is parse with working memory of the caller's.
func (s *scheme) parseInto(sc *scratch, r *Request, value string) (st stamps, err error) {
	if len(value) > maxSignature {
		return st, fmt.Errorf("%w: %s has %d bytes", ErrFormat, s.place(), len(value))
	}
	for name, want := range s.Require {
		if r.Header.Get(name) != want {
			return st, fmt.Errorf("%w: header %s is not %q", ErrFormat, name, want)
		}
	}
	st.ts, st.options = s.timestamp(r), s.options
	st.id, _ = first(r.Header, s.IDHeader)
	if s.List == " " && strings.Contains(value, ",v") {
		value = commaJoined.ReplaceAllString(value, " $1")
	}
	first := s.TimeFirst
	for item, more := "", true; more; {
		item, value, more = s.next(value)
		item = strings.TrimSpace(item)
		if first {
			st.ts, first = item, false
			continue
		}
		if text, ok := s.part(item, &st); ok {
			sc.add(s.Encoding, text)
		}
	}
	if len(sc.signatures) == 0 {
		return st, fmt.Errorf("%w: %s holds no signature that can be read", ErrFormat, s.place())
	}
	return st, s.complete(r, st)
}

// commaJoined finds a comma that stands in place of the space between two
// signatures: several headers of one name are joined so. The version's own comma
// must follow, since a base64 signature may begin with v too.
var commaJoined = regexp.MustCompile(`,(v[0-9]+a?,)`)

// next takes the first item off a header's value; more tells that there may be
// others.
func (s *scheme) next(value string) (item, rest string, more bool) {
	switch s.List {
	case "":
		return value, "", false
	case " ":
		value = strings.TrimLeft(value, " \t")
		if i := strings.IndexAny(value, " \t"); i >= 0 {
			return value[:i], value[i:], true
		}
		return value, "", false
	}
	return strings.Cut(value, s.List)
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
func (s *scheme) complete(r *Request, st stamps) error {
	for _, t := range s.content {
		if err := s.given(t, r, st); err != nil {
			return err
		}
	}
	if s.timed() && st.ts == "" {
		return fmt.Errorf("%w: no timestamp", ErrMissing)
	}
	return nil
}

// given tells whether a request has what a token stands for.
func (s *scheme) given(t token, r *Request, st stamps) error {
	switch {
	case t.kind == "ts" && st.ts == "":
		return fmt.Errorf("%w: no timestamp", ErrMissing)
	case t.kind == "id" && st.id == "":
		return fmt.Errorf("%w: no header %s", ErrMissing, strings.Join(s.IDHeader, " or "))
	case t.kind == "header" && r.Header.Get(t.arg) == "":
		return fmt.Errorf("%w: no header %s", ErrMissing, t.arg)
	case t.kind == "signed" && !s.signsTime(listed(r.Header, t.arg), t.arg):
		return fmt.Errorf("%w: header %s does not list itself and the timestamp", ErrFormat, t.arg)
	case t.wholeForm() && len(r.Body) > 0 && !readsAsForm(r):
		return fmt.Errorf("%w: the body is no form", ErrFormat)
	}
	return t.once(r)
}

// wholeForm tells whether a token stands for all fields of a form.
func (t token) wholeForm() bool { return t.kind == "sorted_form" || t.kind == "url_and_form" }

// signsTime tells whether a list of signed headers holds what makes it count.
func (s *scheme) signsTime(names []string, list string) bool {
	for _, name := range append([]string{list}, s.TimeHeader...) {
		if !slices.Contains(names, strings.ToLower(name)) {
			return false
		}
	}
	return true
}

// readsAsForm tells whether a body is a form that can be read: of one that cannot,
// nothing would be signed, and everything believed.
func readsAsForm(r *Request) bool {
	_, err := url.ParseQuery(string(r.Body))
	return err == nil && isForm(r.Header)
}

func isForm(h http.Header) bool {
	kind, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	return err == nil && kind == "application/x-www-form-urlencoded"
}

// urlVariants are the address as it is, and with or without its default port.
func urlVariants(address string) []string {
	list := []string{address}
	u, err := url.Parse(address)
	if err != nil {
		return list
	}
	port := map[string]string{"https": "443", "http": "80"}[u.Scheme]
	switch u.Port() {
	case "":
		u.Host += ":" + port
	case port:
		u.Host = u.Hostname()
	default:
		return list
	}
	return append(list, u.String())
}

// timed tells whether the scheme has a timestamp at all.
func (s *Scheme) timed() bool {
	return len(s.TimeHeader) > 0 || s.TimeJSON != "" || s.TimeKey != "" || s.TimeFirst
}

func (s *scheme) timestamp(r *Request) string {
	if len(s.TimeHeader) > 0 {
		v, _ := first(r.Header, s.TimeHeader)
		return v
	}
	if s.TimeJSON != "" {
		return jsonpath.Get(r.Body, s.TimeJSON).String()
	}
	return ""
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
		t, err := time.Parse(time.RFC3339Nano, text)
		if err != nil && !s.abuts() { // a zone is left out only where its Z could not be the body's
			t, err = time.Parse("2006-01-02T15:04:05.999999999", text)
		}
		if err == nil {
			return t, nil
		}
		return time.Time{}, fmt.Errorf("%w: timestamp is no RFC 3339 time", ErrFormat)
	}
	// No signs and no zeros before it, which ParseUint and senders agree on.
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil || n > math.MaxInt64/2000 || len(text) > 1 && text[0] == '0' {
		return time.Time{}, fmt.Errorf("%w: timestamp is no number", ErrFormat)
	}
	digits, at := 10, time.Unix(int64(n), 0)
	if s.TimeUnit == "ms" {
		digits, at = 13, time.UnixMilli(int64(n))
	}
	if s.abuts() && len(text) != digits {
		return time.Time{}, fmt.Errorf("%w: timestamp is no number of %d digits", ErrFormat, digits)
	}
	return at, nil
}

// formatTime writes a timestamp as the provider would.
func (s *scheme) formatTime(t time.Time) string {
	switch s.TimeUnit {
	case "rfc3339":
		return t.UTC().Format(time.RFC3339)
	case "http":
		return t.UTC().Format(http.TimeFormat)
	case "ms":
		return strconv.FormatInt(t.UnixMilli(), 10)
	}
	return strconv.FormatInt(t.Unix(), 10)
}
