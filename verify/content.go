package verify

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/caddy-webhooks/caddy-webhooks/jsonpath"
)

// token is one part of what is signed: a literal, or a value of the request.
type token struct{ kind, arg string }

// The tokens, and whether each takes an argument.
var tokenKinds = map[string]bool{
	"body": false, "ts": false, "id": false, "url": false, "method": false, "uri": false, "path": false,
	"body_sha256": false, "body_crc32": false, "sorted_form": false, "secret": false, "mac": false,
	"uri_escaped": false, "url_and_form": false, "qsh": false, "kid": false, "lines": true, "signed": true,
	"header": true, "query": true, "json": true, "form": true, "option": true,
}

// parseContent reads a template such as `{ts}.{body}`.
func parseContent(text string) ([]token, error) {
	if text == "" {
		return []token{{kind: "body"}}, nil
	}
	var tokens []token
	for text != "" {
		before, rest, found := strings.Cut(text, "{")
		if before != "" {
			tokens = append(tokens, token{"literal", before})
		}
		if !found {
			break
		}
		name, after, closed := strings.Cut(rest, "}")
		if !closed {
			return nil, fmt.Errorf("content: { without }")
		}
		kind, arg, hasArg := strings.Cut(name, ":")
		switch takes, known := tokenKinds[kind]; {
		case !known:
			return nil, fmt.Errorf("content: unknown token {%s}", name)
		case takes && arg == "":
			return nil, fmt.Errorf("content: write {%s:name}", kind)
		case !takes && hasArg:
			return nil, fmt.Errorf("content: {%s} takes no argument", kind)
		}
		tokens = append(tokens, token{kind, arg})
		text = after
	}
	return tokens, nil
}

// stamps are the values that the request's body and address do not hold: what a
// signature names itself, and what the operator configured.
type stamps struct {
	ts, id  string
	secret  []byte
	options map[string]string
	mac     string
	kid     string
}

// write writes what is signed.
func (s *scheme) write(w io.Writer, r *Request, st stamps) error {
	for _, t := range s.content {
		var err error
		switch t.kind {
		case "body":
			_, err = w.Write(r.Body)
		case "secret":
			_, err = w.Write(st.secret)
		default:
			_, err = io.WriteString(w, t.value(r, st))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (t token) value(r *Request, st stamps) string {
	switch t.kind {
	case "literal":
		return t.arg
	case "ts":
		return st.ts
	case "id":
		return st.id
	case "option":
		return st.options[t.arg]
	case "mac":
		return st.mac
	case "kid":
		return st.kid
	}
	return t.ofRequest(r)
}

// ofRequest is the value of a token that is taken from the request.
func (t token) ofRequest(r *Request) string {
	switch t.kind {
	case "url":
		return r.URL
	case "method":
		return r.Method
	case "uri", "path":
		return r.address(t.kind)
	case "uri_escaped":
		return escapedTwice(r.address("uri"))
	case "url_and_form":
		return urlAndForm(r)
	case "qsh":
		return queryHash(r)
	case "header":
		return r.Header.Get(t.arg)
	case "signed":
		return signedHeaders(r.Header, t.arg)
	case "query":
		return r.Query.Get(t.arg)
	}
	return t.ofBody(r.Body)
}

// ofBody is the value of a token that is taken from the body.
func (t token) ofBody(body []byte) string {
	switch t.kind {
	case "body_sha256":
		sum := sha256.Sum256(body)
		return hex.EncodeToString(sum[:])
	case "body_crc32":
		return strconv.FormatUint(uint64(crc32.ChecksumIEEE(body)), 10)
	case "json":
		return jsonpath.Get(body, t.arg).String()
	case "lines":
		return lines(body, t.arg)
	}
	form, err := url.ParseQuery(string(body))
	switch {
	case err != nil:
		return ""
	case t.kind == "sorted_form":
		return sortedForm(form)
	}
	return form.Get(t.arg)
}

// sortedForm writes the parameters by name, and the distinct values of each by
// value: name, value, name, value, without anything between them.
func sortedForm(form url.Values) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(form)) {
		values := slices.Clone(form[name])
		slices.Sort(values)
		for _, v := range slices.Compact(values) {
			b.WriteString(name)
			b.WriteString(v)
		}
	}
	return b.String()
}

// address is the path, or the path with the query, of the public URL.
func (r *Request) address(part string) string {
	u, err := url.Parse(r.URL)
	switch {
	case err != nil:
		return ""
	case part == "path":
		return u.EscapedPath()
	}
	return u.RequestURI()
}
