package ui

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"mime"
	"net/url"
	"strings"
	"unicode/utf8"
)

// mostShown is how much of a body a page has, in bytes.
const mostShown = 128 << 10

// contentType is the kind that a body was sent as.
func contentType(headers map[string][]string) string {
	for _, value := range headers["Content-Type"] {
		kind, _, _ := mime.ParseMediaType(value) // what cannot be read is none
		return kind
	}
	return ""
}

// readable gives a body for people: JSON and XML in lines, a form's fields one by
// one, other text as it is, and bytes in hexadecimal. cut tells that it is only the
// beginning.
func readable(body []byte, sentAs string) (pretty, raw, kind string, cut bool) {
	whole := body
	if cut = len(body) > mostShown; cut {
		body = beginning(body)
	}
	switch {
	case len(body) == 0:
		return "", "", "empty", cut
	case !utf8.Valid(body) || bytes.ContainsRune(body, 0):
		const most = 4096
		return "", hex.Dump(body[:min(len(body), most)]), "bytes", cut || len(body) > most
	case cut:
		return "", string(body), "text", cut
	}
	pretty, kind = inLines(whole, sentAs)
	return pretty, string(body), kind, cut
}

// inLines is a body for people, and what it is; empty for what is only text.
func inLines(body []byte, sentAs string) (pretty, kind string) {
	if pretty = indented(body); pretty != "" {
		return pretty, "JSON"
	}
	if sentAs == "application/x-www-form-urlencoded" {
		if pretty = fields(string(body)); pretty != "" {
			return pretty, "form"
		}
	}
	if strings.HasSuffix(sentAs, "xml") || bytes.HasPrefix(bytes.TrimSpace(body), []byte("<?xml")) {
		if pretty = elements(body); pretty != "" {
			return pretty, "XML"
		}
	}
	return "", "text"
}

// indented is JSON in lines; empty for what is none, or too much of it.
func indented(body []byte) string {
	var lines bytes.Buffer
	if !json.Valid(body) || json.Indent(&lines, body, "", "  ") != nil || lines.Len() > 4*mostShown {
		return ""
	}
	return lines.String()
}

// fields is a form, decoded, a field a line; JSON in one is in lines of its own.
// It is empty for what is no form.
func fields(body string) string {
	var lines strings.Builder
	for pair := range strings.SplitSeq(body, "&") {
		name, value, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(name)
		value, also := url.QueryUnescape(value)
		if err = errors.Join(err, also); err != nil || !utf8.ValidString(name+value) {
			return ""
		}
		if pretty := indented([]byte(value)); strings.ContainsAny(value, "{[") && pretty != "" {
			value = "\n" + pretty
		}
		lines.WriteString(name + " = " + value + "\n")
	}
	return strings.TrimSuffix(lines.String(), "\n")
}

// elements is XML with an element a line; empty for what is none, or too much of it.
func elements(body []byte) string {
	var lines strings.Builder
	d := xml.NewDecoder(bytes.NewReader(body))
	depth, inside, seen := 0, false, false // inside an element that has no other one yet
	line := func(text []byte) {
		if lines.Len() > 0 {
			lines.WriteString("\n" + strings.Repeat("  ", depth))
		}
		lines.Write(text)
	}
	for from := int64(0); lines.Len() <= 4*mostShown; from = d.InputOffset() {
		token, err := d.Token()
		if errors.Is(err, io.EOF) && seen {
			return lines.String()
		}
		if err != nil {
			return ""
		}
		text := bytes.TrimSpace(body[from:d.InputOffset()])
		switch token.(type) {
		case xml.StartElement:
			line(text)
			depth, inside, seen = depth+1, true, true
		case xml.EndElement:
			if depth--; inside || len(text) == 0 {
				lines.Write(text)
			} else {
				line(text)
			}
			inside = false
		default:
			switch {
			case len(text) == 0:
			case inside:
				lines.Write(text)
			default:
				line(text)
			}
		}
	}
	return ""
}

// beginning does not end in the middle of a character.
func beginning(body []byte) []byte {
	body = body[:mostShown]
	for range utf8.UTFMax {
		if r, n := utf8.DecodeLastRune(body); r != utf8.RuneError || n != 1 {
			break
		}
		body = body[:len(body)-1]
	}
	return body
}
