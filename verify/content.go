package verify

import (
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/tidwall/gjson"
)

// token is one part of what is signed.
type token struct {
	kind string // literal, body, ts, id, url, method, header, json, form
	arg  string
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
		switch kind {
		case "body", "ts", "id", "url", "method":
			if hasArg {
				return nil, fmt.Errorf("content: {%s} takes no argument", kind)
			}
		case "header", "json", "form":
			if arg == "" {
				return nil, fmt.Errorf("content: write {%s:name}", kind)
			}
		default:
			return nil, fmt.Errorf("content: unknown token {%s}", name)
		}
		tokens = append(tokens, token{kind, arg})
		text = after
	}
	return tokens, nil
}

// stamps are the values that a signature names itself.
type stamps struct{ ts, id string }

// write writes what is signed.
func (s *scheme) write(w io.Writer, r *Request, st stamps) error {
	for _, t := range s.content {
		var err error
		switch t.kind {
		case "body":
			_, err = w.Write(r.Body)
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
	case "url":
		return r.URL
	case "method":
		return r.Method
	case "header":
		return r.Header.Get(t.arg)
	case "json":
		return gjson.GetBytes(r.Body, t.arg).String()
	default: // form
		form, err := url.ParseQuery(string(r.Body))
		if err != nil {
			return ""
		}
		return form.Get(t.arg)
	}
}
