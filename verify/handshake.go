package verify

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

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
		if h.Signed == signed && h.asks(r) {
			return h.Answer.fill(r), h.Name, true
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

// asks tells whether a request is this handshake.
func (h *Handshake) asks(r *Request) bool {
	method := h.Method
	if method == "" {
		method = http.MethodPost
	}
	if r.Method != method {
		return false
	}
	for name, want := range h.Header {
		if !marks(r.Header.Get(name), want) {
			return false
		}
	}
	for name, want := range h.Query {
		if !marks(r.Query.Get(name), want) {
			return false
		}
	}
	for path, want := range h.JSON {
		if !marks(gjson.GetBytes(r.Body, path).String(), want) {
			return false
		}
	}
	return h.asksForm(r)
}

func (h *Handshake) asksForm(r *Request) bool {
	if len(h.Form) == 0 {
		return true
	}
	form, err := url.ParseQuery(string(r.Body))
	if err != nil {
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
func marks(got, want string) bool { return got != "" && (want == "" || got == want) }

// fill puts the request's values into the answer.
func (a Answer) fill(r *Request) Answer {
	if a.Echo == "" {
		return a
	}
	tokens, err := parseContent(a.Echo)
	if err != nil {
		return a
	}
	var b strings.Builder
	for _, t := range tokens {
		value := t.value(r, stamps{})
		if t.kind != "literal" && strings.Contains(a.Type, "json") {
			quoted, err := json.Marshal(value)
			if err != nil {
				continue
			}
			value = string(quoted)
		}
		b.WriteString(value)
	}
	a.Body, a.Echo = b.String(), ""
	return a
}
