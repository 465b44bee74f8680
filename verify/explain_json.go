package verify

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// style is a way to write JSON. Order of members and digits of numbers stay: no
// style of writing changes them.
type style struct {
	// indent is that of each level; empty: all on one line.
	indent string
	// spaced puts a space behind each colon and comma.
	spaced bool
	// ascii, slash and html tell what is escaped besides what must be.
	ascii, slash, html bool
}

// write writes JSON anew; nil if it is none, or if it becomes far longer: deeply
// nested arrays would otherwise be mostly indentation.
func (s style) write(src []byte) []byte {
	if !json.Valid(src) {
		return nil
	}
	w := &restyler{style: s, src: src, out: make([]byte, 0, len(src)+len(src)/4)}
	for w.at < len(src) {
		w.next()
		if len(w.out) > 8*len(src) {
			return nil
		}
	}
	return w.out
}

// restyler writes valid JSON anew, one token after the other.
type restyler struct {
	style
	src, out  []byte
	at, depth int
}

func (w *restyler) next() {
	c := w.src[w.at]
	switch c {
	case ' ', '\t', '\r', '\n':
		w.at++
	case '"':
		w.text()
	case '{', '[':
		w.open(c)
	case '}', ']':
		w.depth--
		w.line()
		w.put(c)
	case ',':
		w.put(c)
		if w.indent == "" && w.spaced {
			w.out = append(w.out, ' ')
		}
		w.line()
	case ':':
		w.put(c)
		if w.indent != "" || w.spaced {
			w.out = append(w.out, ' ')
		}
	default:
		w.put(c)
	}
}

func (w *restyler) put(c byte) {
	w.out = append(w.out, c)
	w.at++
}

// open begins an object or an array; an empty one is closed at once.
func (w *restyler) open(c byte) {
	w.put(c)
	for strings.IndexByte(" \t\r\n", w.src[w.at]) >= 0 {
		w.at++
	}
	if w.src[w.at] == c+2 { // } and ] stand two behind { and [
		w.put(c + 2)
		return
	}
	w.depth++
	w.line()
}

func (w *restyler) line() {
	if w.indent == "" {
		return
	}
	w.out = append(w.out, '\n')
	for range w.depth {
		w.out = append(w.out, w.indent...)
	}
}

// text writes a string anew.
func (w *restyler) text() {
	end := w.at + 1
	for w.src[end] != '"' {
		if w.src[end] == '\\' {
			end++
		}
		end++
	}
	raw := w.src[w.at : end+1]
	w.at = end + 1
	var plain string
	if w.stays(raw) || json.Unmarshal(raw, &plain) != nil {
		w.out = append(w.out, raw...)
		return
	}
	w.out = append(w.out, '"')
	for _, c := range plain {
		w.out = w.character(w.out, c)
	}
	w.out = append(w.out, '"')
}

// stays tells a string that every style writes so, which most are.
func (s style) stays(raw []byte) bool {
	for _, c := range raw {
		if c == '\\' || c > '~' || s.slash && c == '/' || s.html && (c == '<' || c == '>' || c == '&') {
			return false
		}
	}
	return true
}

// short are the escapes of one letter.
var short = map[rune]string{'"': `\"`, '\\': `\\`, '\b': `\b`, '\f': `\f`, '\n': `\n`, '\r': `\r`, '\t': `\t`}

func (s style) character(out []byte, c rune) []byte {
	if escaped, ok := short[c]; ok {
		return append(out, escaped...)
	}
	switch {
	case s.slash && c == '/':
		return append(out, `\/`...)
	case c < ' ', s.html && strings.ContainsRune("<>&\u2028\u2029", c), s.ascii && c > '~':
		for _, unit := range utf16.Encode([]rune{c}) {
			out = fmt.Appendf(out, `\u%04x`, unit)
		}
		return out
	}
	return utf8.AppendRune(out, c)
}
