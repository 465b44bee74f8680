package verifytest

import (
	"net/url"
	"regexp/syntax"
	"strings"

	"github.com/tidwall/sjson"

	"github.com/caddy-webhooks/caddy-webhooks/verify"
)

// Mark puts the marks into a request by which a scheme knows its own.
func Mark(q *verify.Request, m *verify.Marks) {
	if m == nil {
		return
	}
	for name, want := range m.Header {
		q.Header.Set(name, Example(want))
	}
	markJSON(q, m.JSON)
}

func markJSON(q *verify.Request, marks map[string]string) {
	for path, want := range marks {
		if body, err := sjson.SetBytes(q.Body, path, Example(want)); err == nil {
			q.Body = body
		}
	}
}

// Ask gives the question of a handshake, as the provider would put it; options
// are those of the source.
func Ask(h *verify.Handshake, options map[string][]string) *verify.Request {
	q := &verify.Request{Method: h.Method, URL: "https://hooks.example.com/x", Header: map[string][]string{}, Query: url.Values{}}
	if q.Method == "" {
		q.Method = "POST"
	}
	for name, want := range h.Header {
		for option, values := range options {
			want = strings.ReplaceAll(want, "{option:"+option+"}", values[0])
		}
		q.Header.Set(name, Example(want))
	}
	for name, want := range h.Query {
		q.Query.Set(name, Example(want))
	}
	for name, option := range h.Secret {
		q.Query.Set(name, options[option][0])
	}
	askBody(q, h)
	if len(q.Query) > 0 {
		q.URL += "?" + q.Query.Encode()
	}
	return q
}

func askBody(q *verify.Request, h *verify.Handshake) {
	switch {
	case len(h.JSON) > 0:
		q.Body = []byte(`{}`)
		for path := range h.JSON {
			if strings.HasPrefix(path, "0.") {
				q.Body = []byte(`[{}]`)
			}
		}
		markJSON(q, h.JSON)
	case len(h.Form) > 0:
		form := url.Values{}
		for name, want := range h.Form {
			form.Set(name, Example(want))
		}
		q.Body = []byte(form.Encode())
	}
	if len(q.Body) > 0 {
		q.Header.Set("Content-Type", verify.ContentType(q.Body))
	}
}

// Example gives a text that fits a mark: the mark itself, or something that its
// pattern matches, or a word where anything will do.
func Example(mark string) string {
	pattern, ok := strings.CutPrefix(mark, "~")
	switch {
	case mark == "":
		return "anything"
	case !ok:
		return mark
	}
	re, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return ""
	}
	return match(re)
}

// match gives a text that a regular expression matches.
func match(re *syntax.Regexp) string {
	var b strings.Builder
	switch re.Op { //nolint:exhaustive // what the records' patterns are made of
	case syntax.OpLiteral:
		b.WriteString(string(re.Rune))
	case syntax.OpCharClass:
		b.WriteRune(re.Rune[0])
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		b.WriteByte('x')
	case syntax.OpAlternate, syntax.OpCapture:
		b.WriteString(match(re.Sub[0]))
	case syntax.OpConcat:
		for _, part := range re.Sub {
			b.WriteString(match(part))
		}
	case syntax.OpPlus:
		b.WriteString(match(re.Sub[0]))
	case syntax.OpRepeat:
		b.WriteString(strings.Repeat(match(re.Sub[0]), max(re.Min, 1)))
	}
	return b.String()
}
