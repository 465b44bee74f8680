package words

import (
	"fmt"
	"strings"

	"github.com/caddy-webhooks/caddy-webhooks/verify"
)

// signedContent says what is signed, part by part.
func signedContent(r *verify.Record, s *verify.Scheme) string {
	said := phrase(s.Content)
	switch {
	case s.Content == "" && r.Generic:
		return "the body, or what the option `content` says"
	case s.Content == "":
		return "the body"
	case s.URLVariants:
		said += "; the address counts with and without its default port"
	}
	return said
}

// phrase says the parts of a template in their order.
func phrase(template string) string {
	var parts []string
	for template != "" {
		before, rest, found := strings.Cut(template, "{")
		if before != "" {
			parts = append(parts, literal(before))
		}
		name, after, closed := strings.Cut(rest, "}")
		if !found || !closed {
			break
		}
		parts = append(parts, token(name))
		template = after
	}
	return strings.Join(parts, ", ")
}

// literal marks a text; line ends are named.
func literal(s string) string {
	if s == "\n" {
		return "a line feed"
	}
	return code(strings.ReplaceAll(s, "\n", `\n`))
}

var tokens = map[string]string{
	"body": "the body", "ts": "the timestamp", "url": "the whole address", "uri": "path and query of the address",
	"path": "the path of the address", "method": "the method", "secret": "the secret", "kid": "the key's ID",
	"body_sha256": "the SHA-256 of the body (hexadecimal)", "body_crc32": "the CRC-32 of the body (decimal)",
	"sorted_form":  "the form's fields, each name with its value, sorted by name",
	"url_and_form": "the address, then its query and the form's fields, sorted",
	"uri_escaped":  "path and query of the address (the query encoded twice)",
	"qsh":          "the hash of method, path and sorted query", "id": "the ID", "mac": "its HMAC",
}

// token says what one part of a template stands for.
func token(name string) string {
	if said, ok := tokens[name]; ok {
		return said
	}
	kind, arg, _ := strings.Cut(name, ":")
	switch kind {
	case "lines":
		return fmt.Sprintf("of each of %s that is in the JSON body its name and its value, each with a line feed", list(codes(strings.Fields(arg)), "and"))
	case "signed":
		return "the headers that " + code(arg) + " lists"
	}
	if _, known := places[kind]; known {
		return where(kind) + " " + code(arg)
	}
	return code("{" + name + "}")
}

var places = map[string]string{
	"header": "header", "query": "parameter", "json": "JSON", "form": "form field", "option": "the option", "body": "the body",
}

// where names the place before a name.
func where(in string) string {
	if said, ok := places[in]; ok {
		return said
	}
	return in
}
