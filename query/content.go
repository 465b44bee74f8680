package query

import (
	"errors"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/jsonpath"
	"github.com/caddy-webhooks/caddy-webhooks/store"
)

// maxPath bounds the path of a search through contents, in bytes.
const maxPath = 256

// text reads the parameter q: a part of an ID or of a type, or with an equals sign
// a JSON path and the value that is looked for there.
func text(f *store.Filter, v string) error {
	path, want, found := cut(v)
	if !found {
		f.Text = v
		return nil
	}
	switch {
	case path == "":
		return errors.New("there must be a JSON path before the equals sign, such as data.object.customer=cus_1")
	case len(path) > maxPath:
		return errors.New("the JSON path is too long")
	}
	f.Content = func(e *event.Event) bool {
		return equals(jsonpath.Get(jsonpath.Text(e.Header, e.Body), path), want)
	}
	return nil
}

// cut splits at the first equals sign that is not part of the path: a path may
// hold comparisons, in brackets.
func cut(v string) (path, want string, found bool) {
	depth := 0
	for i, c := range v {
		switch c {
		case '(', '[', '{':
			depth++
		case ')', ']', '}':
			depth--
		case '=':
			if depth <= 0 {
				return v[:i], v[i+1:], true
			}
		}
	}
	if path, want, found = strings.Cut(v, "="); found && depth > 0 { // brackets that do not close: no path at all
		return path, want, true
	}
	return v, "", false
}

// equals compares as a person would: 5 with the number and with the text, and a
// list by each of its elements.
func equals(got gjson.Result, want string) bool {
	if !got.Exists() {
		return false
	}
	if !got.IsArray() {
		return got.String() == want || got.Raw == want
	}
	if got.Raw == want {
		return true
	}
	found := false
	got.ForEach(func(_, element gjson.Result) bool {
		found = element.String() == want
		return !found
	})
	return found
}
