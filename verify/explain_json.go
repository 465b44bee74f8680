package verify

import (
	"strconv"
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

// write writes valid JSON anew; nil if it becomes far longer: deeply nested arrays
// would otherwise be mostly indentation.
func (s style) write(src []byte) []byte {
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

// text writes a string anew. What is written is held apart from w meanwhile: the
// collector would be told of every character otherwise.
func (w *restyler) text() {
	w.put('"')
	out := w.out
	for w.src[w.at] != '"' {
		c := w.src[w.at]
		switch {
		case c == '\\':
			out = w.character(out, w.escape())
		case c < utf8.RuneSelf:
			w.at++
			out = w.character(out, rune(c))
		default:
			r, n := utf8.DecodeRune(w.src[w.at:])
			w.at += n
			if r == utf8.RuneError && n == 1 { // no UTF-8: nobody writes that anew
				out = append(out, c)
				continue
			}
			out = w.character(out, r)
		}
	}
	w.out = out
	w.put('"')
}

// plain are the characters that escapes of one letter stand for, but for \u.
var plain = [256]rune{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// escape takes an escape, and gives what it stands for.
func (w *restyler) escape() rune {
	letter := w.src[w.at+1]
	w.at += 2
	if letter != 'u' {
		return plain[letter]
	}
	r := w.unit()
	if utf16.IsSurrogate(r) && w.at+1 < len(w.src) && w.src[w.at] == '\\' && w.src[w.at+1] == 'u' {
		high, rest := r, w.at
		w.at += 2
		if r = utf16.DecodeRune(high, w.unit()); r == utf8.RuneError { // no pair: the second speaks for itself
			w.at = rest
		}
	}
	return r
}

// unit reads four hexadecimal digits.
func (w *restyler) unit() rune {
	n, err := strconv.ParseUint(string(w.src[w.at:w.at+4]), 16, 16)
	w.at += 4
	if err != nil { // valid JSON has digits there
		return utf8.RuneError
	}
	return rune(n)
}

// short are the escapes of one letter.
var short = [128]string{'"': `\"`, '\\': `\\`, '\b': `\b`, '\f': `\f`, '\n': `\n`, '\r': `\r`, '\t': `\t`}

func (s style) character(out []byte, c rune) []byte {
	switch {
	case c <= '~' && short[c] != "":
		return append(out, short[c]...)
	case c == '/' && s.slash:
		return append(out, `\/`...)
	case c < ' ', c > '~' && s.ascii, s.html && isMarkup(c):
		return unicode(out, c)
	}
	return utf8.AppendRune(out, c)
}

// isMarkup tells the characters that are escaped so that JSON may stand in a page.
func isMarkup(c rune) bool {
	switch c {
	case '<', '>', '&', '\u2028', '\u2029':
		return true
	}
	return false
}

const hexDigits = "0123456789abcdef"

// unicode writes \uXXXX, twice for characters beyond 16 bits.
func unicode(out []byte, c rune) []byte {
	if c > 0xffff {
		high, low := utf16.EncodeRune(c)
		return unicode(unicode(out, high), low)
	}
	return append(out, '\\', 'u', hexDigits[c>>12&15], hexDigits[c>>8&15], hexDigits[c>>4&15], hexDigits[c&15])
}
