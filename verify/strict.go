package verify

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"

	"github.com/tidwall/gjson"
)

// maxDepth bounds how deeply a body is nested whose members are signed.
const maxDepth = 1000

// unambiguous refuses a proven request that an application could read
// differently than we did. Where single values are signed and not the bytes, a
// captured request could be sent again with a second value of the same name
// beside the signed one: parsers differ in which of the two counts.
func (s *scheme) unambiguous(r *Request) error {
	if s.readsJSON() {
		if err := onceNamed(r.Body); err != nil {
			return fmt.Errorf("%w: %w", ErrFormat, err)
		}
	}
	for _, name := range s.fields() {
		if !onceInForm(r.Body, name) {
			return fmt.Errorf("%w: form field %s is there more than once", ErrFormat, name)
		}
	}
	if s.runsOn() && !json.Valid(r.Body) {
		return fmt.Errorf("%w: the body is no JSON", ErrFormat)
	}
	return nil
}

// readsJSON tells whether single JSON values prove the request.
func (s *scheme) readsJSON() bool {
	return s.JSON != "" || s.Each != "" || slices.ContainsFunc(s.content, func(t token) bool { return t.kind == "json" || t.kind == "lines" })
}

// fields are the form fields that prove the request.
func (s *scheme) fields() []string {
	var names []string
	if s.Form != "" {
		names = append(names, s.Form)
	}
	for _, t := range s.content {
		if t.kind == "form" {
			names = append(names, t.arg)
		}
	}
	return names
}

// runsOn tells whether a body could be another one with bytes before or behind
// it. A plain hash over secret and body can be continued by whoever knows the
// hash, and an address directly before the body can take its beginning. Neither
// leaves whole JSON behind, which is what all senders of such schemes send.
func (s *scheme) runsOn() bool {
	for i, t := range s.content {
		if t.kind == "body" && (s.Kind == "digest" || i > 0 && s.content[i-1].kind == "url") {
			return true
		}
	}
	return false
}

// abuts tells whether nothing stands between the timestamp and what is signed
// beside it: a digit could then go from one to the other. It cannot where the
// timestamp has exactly as many digits as any time until 2286.
func (s *scheme) abuts() bool {
	for i, t := range s.content {
		if i > 0 && (t.kind == "ts" && s.content[i-1].kind != "literal" || t.kind != "literal" && s.content[i-1].kind == "ts") {
			return true
		}
	}
	return false
}

var (
	errTwice   = errors.New("a name stands twice in one JSON object")
	errDeep    = errors.New("the body is nested too deeply")
	errNotJSON = errors.New("the body is no single JSON value")
)

// onceNamed tells whether a body is one JSON value in which no object names a
// member twice, however it is escaped.
func onceNamed(body []byte) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var open []*object // of the values that are not closed; nil stands for an array
	for {
		t, err := d.Token()
		if errors.Is(err, io.EOF) && len(open) == 0 {
			return nil
		}
		if err != nil {
			return errNotJSON
		}
		if open, err = step(open, t); err != nil {
			return err
		}
		if len(open) == 0 && d.More() {
			return errNotJSON
		}
	}
}

// object is what is known of an object while it is read.
type object struct {
	names map[string]bool
	// value tells that a value follows, and not a name.
	value bool
}

// step takes one more token.
func step(open []*object, t json.Token) ([]*object, error) {
	var in *object
	if len(open) > 0 {
		in = open[len(open)-1]
	}
	if name, ok := t.(string); ok && in != nil && !in.value {
		if in.names[name] {
			return nil, errTwice
		}
		in.names[name], in.value = true, true
		return open, nil
	}
	switch t {
	case json.Delim('}'), json.Delim(']'):
		return open[:len(open)-1], nil
	}
	if in != nil {
		in.value = false // this is the value; after it comes a name
	}
	switch t {
	case json.Delim('{'):
		open = append(open, &object{names: map[string]bool{}})
	case json.Delim('['):
		open = append(open, nil)
	}
	if len(open) > maxDepth {
		return nil, errDeep
	}
	return open, nil
}

// onceInForm tells whether a field is there once, as PHP names fields too: it
// takes dots and spaces for underscores, and what is in brackets for an array,
// and of several the last counts.
func onceInForm(body []byte, field string) bool {
	form, err := url.ParseQuery(string(body))
	if err != nil || len(form[field]) != 1 {
		return false
	}
	for name := range form {
		plain, _, _ := strings.Cut(strings.TrimLeft(name, " "), "[")
		plain, _, _ = strings.Cut(plain, "\x00")
		if name != field && strings.NewReplacer(".", "_", " ", "_").Replace(plain) == field {
			return false
		}
	}
	return true
}

// all tells whether items are all the elements of the list that the path goes
// through: an element without the member would be signed by nobody.
func (s *scheme) all(r *Request, items int) bool {
	list, _, ok := strings.Cut(s.Each, ".#.")
	return !ok || int(gjson.GetBytes(r.Body, list+".#").Int()) == items
}

// once refuses a header or parameter that is signed and there more than once:
// which of them counts would be a guess.
func (t token) once(r *Request) error {
	names := []string{t.arg}
	switch t.kind {
	case "query":
		if len(r.Query[t.arg]) > 1 {
			return fmt.Errorf("%w: query parameter %s is there more than once", ErrFormat, t.arg)
		}
		return nil
	case "signed":
		names = append(names, listed(r.Header, t.arg)...)
	case "header":
	default:
		return nil
	}
	for _, name := range names {
		if len(r.Header.Values(name)) > 1 {
			return fmt.Errorf("%w: header %s is there more than once", ErrFormat, name)
		}
	}
	return nil
}
