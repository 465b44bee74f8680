package verify

import (
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/tidwall/gjson"
)

// Greet answers a handshake. Unsigned ones are asked about before, signed ones
// after verification. It tells the handshake's name.
//
// What an answer echoes is a stranger's: it is sent as text/plain, or encoded
// into JSON, and never as anything that a browser would run.
func (v *Verifier) Greet(r *Request, signed bool) (a Answer, name string, ok bool) {
	for i := range v.record.Handshakes {
		h := &v.record.Handshakes[i]
		if h.Signed == signed && h.asks(r, v.options) {
			return v.answer(&h.Answer, r), h.Name, true
		}
	}
	return Answer{}, "", false
}

// Greets tells whether the provider has handshakes at all that are (un)signed.
func (v *Verifier) Greets(signed bool) bool {
	for i := range v.record.Handshakes {
		if v.record.Handshakes[i].Signed == signed {
			return true
		}
	}
	return false
}

// isLent tells whether what a request's signature covers is something that a
// handshake signs for any stranger: it proves nothing about the sender.
func (v *Verifier) isLent(s *scheme, r *Request) bool {
	if len(v.lent) == 0 || s.Kind != "hmac" {
		return false
	}
	var content contentBuffer
	if err := s.write(&content, r, stamps{options: v.options}); err != nil {
		return true
	}
	return slices.ContainsFunc(v.lent, func(pattern string) bool { return fitsAll(pattern, string(content.b)) })
}

// asks tells whether a request is this handshake.
func (h *Handshake) asks(r *Request, options map[string]string) bool {
	method := h.Method
	if method == "" {
		method = http.MethodPost
	}
	if r.Method != method {
		return false
	}
	for name, want := range h.Header {
		if strings.Contains(want, "{option:") {
			want = "~" + regexp.QuoteMeta(fill(want, r, stamps{options: options}))
		}
		if !marks(r.Header.Get(name), want) {
			return false
		}
	}
	return h.asksQuery(r) && h.asksJSON(r) && h.asksForm(r) && h.knows(r, options)
}

func (h *Handshake) asksQuery(r *Request) bool {
	for name, want := range h.Query {
		if !marks(r.Query.Get(name), want) {
			return false
		}
	}
	return true
}

func (h *Handshake) asksJSON(r *Request) bool {
	for path, want := range h.JSON {
		if !marks(gjson.GetBytes(r.Body, path).String(), want) {
			return false
		}
	}
	return !slices.ContainsFunc(h.NoJSON, func(path string) bool { return gjson.GetBytes(r.Body, path).Exists() })
}

// knows tells whether the question holds what the operator configured, which
// has to be something. It is compared in constant time.
func (h *Handshake) knows(r *Request, options map[string]string) bool {
	for name, option := range h.Secret {
		want := options[option]
		if want == "" || !sameSecret([]byte(r.Query.Get(name)), []byte(want)) {
			return false
		}
	}
	return true
}

func (h *Handshake) asksForm(r *Request) bool {
	if len(h.Form) == 0 {
		return true
	}
	// An event in JSON whose text holds `&name=value` could be read as a form too,
	// and would be lost.
	form, err := url.ParseQuery(string(r.Body))
	if err != nil || r.Header.Get("Content-Type") != "" && !isForm(r.Header) || json.Valid(r.Body) {
		return false
	}
	for name, want := range h.Form {
		if !marks(form.Get(name), want) {
			return false
		}
	}
	return true
}

// marks compares a marker; an empty one means that there must be something.
func marks(got, want string) bool {
	if pattern, ok := strings.CutPrefix(want, "~"); ok {
		return got != "" && fitsAll(pattern, got)
	}
	return got != "" && (want == "" || got == want)
}

// patterns are the compiled ones of the records, which are few.
var patterns sync.Map

func fitsAll(pattern, got string) bool {
	compiled, ok := patterns.Load(pattern)
	if !ok {
		re, err := regexp.Compile("^(?:" + pattern + ")$")
		if err != nil {
			return false
		}
		compiled, _ = patterns.LoadOrStore(pattern, re)
	}
	re, ok := compiled.(*regexp.Regexp)
	return ok && re.MatchString(got)
}

// answer puts the request's values into the answer.
func (v *Verifier) answer(a *Answer, r *Request) Answer {
	st := stamps{options: v.options}
	if a.Mac != "" {
		st.mac = v.mac(a, r)
	}
	filled := Answer{Status: a.Status, Type: a.Type, Body: a.Body}
	if a.Echo != "" {
		filled.Body = fill(a.Echo, r, st)
	}
	if len(a.JSON) > 0 {
		members := make(map[string]string, len(a.JSON))
		for name, template := range a.JSON {
			members[name] = fill(template, r, st)
		}
		if text, err := json.Marshal(members); err == nil {
			filled.Type, filled.Body = "application/json", string(text)
		}
	}
	if a.Visit != "" {
		filled.Visit, filled.VisitHost, filled.VisitPath = fill(a.Visit, r, st), a.VisitHost, a.VisitPath
	}
	for name, template := range a.Header {
		if filled.Header == nil {
			filled.Header = map[string]string{}
		}
		filled.Header[name] = headerSafe(fill(template, r, st))
	}
	return filled
}

// Success is the record's answer to an accepted event.
func (v *Verifier) Success() Answer {
	if v.record.Success == nil {
		return Answer{Status: http.StatusOK}
	}
	return v.answer(v.record.Success, &Request{})
}

// MayVisit tells whether the address that the answer depends on is one that the
// record allows.
func (a *Answer) MayVisit() bool { return trusted(a.Visit, a.VisitHost, a.VisitPath) }

// fill replaces the tokens of a template; one that cannot be read stands as it is.
func fill(template string, r *Request, st stamps) string {
	tokens, err := parseContent(template)
	if err != nil {
		return template
	}
	var b strings.Builder
	for _, t := range tokens {
		b.WriteString(t.value(r, st))
	}
	return b.String()
}

// headerSafe drops what may not stand in a header's value.
func headerSafe(v string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f {
			return -1
		}
		return c
	}, v)
}

// mac signs a question with the first secret of the first scheme that has one.
func (v *Verifier) mac(a *Answer, r *Request) string {
	tokens, err := parseContent(a.Mac)
	if err != nil {
		return ""
	}
	for _, s := range v.schemes {
		if s.Kind != "hmac" || len(s.keys) == 0 {
			continue
		}
		answering := *s
		answering.content = tokens
		return s.encode(answering.mac(s.keys[0], r, stamps{options: v.options}, nil))
	}
	return ""
}
