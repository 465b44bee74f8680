// Package jsonpath reads single values of a stranger's JSON, by paths that an
// operator has written, in the syntax of gjson. However the JSON is nested, it
// takes no more than the stack that its path needs.
package jsonpath

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"github.com/tidwall/gjson"
)

// formType is how a form announces itself.
const formType = "application/x-www-form-urlencoded"

// Text gives the part of a request in which JSON is looked for: the body, or, of
// a form, its field `payload`, as GitHub and Slack send it. Whether it is JSON is
// not asked. Of a form with two such fields nobody knows which one the
// application reads; it is left as it is.
func Text(header http.Header, body []byte) []byte {
	kind := header.Get("Content-Type")
	if len(kind) < len(formType) || !strings.EqualFold(kind[:len(formType)], formType) {
		return body
	}
	form, err := url.ParseQuery(string(body))
	if err != nil || len(form["payload"]) != 1 {
		return body
	}
	return []byte(form["payload"][0])
}

// fromString is gjson's word for JSON that stands in a string.
const fromString = "@fromstr"

// Get gives what a path leads to. The names in a path are followed without a
// second look at the JSON. Its modifiers (@…) are another matter: some call
// themselves as deeply as the text is nested, and five million brackets would
// take the process along. They are given only what is valid and nested at most
// 10,000 deep, which is what the standard library's check takes.
func Get(text []byte, path string) gjson.Result {
	if !strings.Contains(path, "@") {
		return gjson.GetBytes(text, path)
	}
	first, rest, inString := strings.Cut(path, fromString)
	if !json.Valid(text) {
		return gjson.Result{}
	}
	if !inString {
		return gjson.GetBytes(text, path)
	}
	inner := text
	if first = strings.TrimRight(first, ".|"); first != "" {
		inner = []byte(gjson.GetBytes(text, first).String())
	} else {
		inner = []byte(gjson.ParseBytes(inner).String())
	}
	if rest = strings.TrimLeft(rest, ".|"); rest == "" {
		rest = "@this"
	}
	return Get(inner, rest)
}
