package cli

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// lexer splits a command line as bash does, as far as captured commands need
// it. Nothing is expanded and nothing is run.
type lexer struct {
	src   string
	at    int
	word  []byte
	open  bool // a word has begun, if only with quotes
	words []string
	notes []string
}

var (
	errQuote  = errors.New("the command ends within quotes: it was not copied whole")
	errNested = errors.New("the command holds another one, in $(…) or backquotes: run it, and put in what it prints")
)

// shellWords gives the words of the first command in a text.
func shellWords(text string) (words, notes []string, err error) {
	l := &lexer{src: text}
	for l.at < len(l.src) {
		done, err := l.next()
		if err != nil {
			return nil, nil, err
		}
		if done {
			break
		}
	}
	l.end()
	return l.words, l.notes, nil
}

func (l *lexer) end() {
	if l.open {
		l.words = append(l.words, string(l.word))
	}
	l.word, l.open = nil, false
}

func (l *lexer) add(s string) { l.word, l.open = append(l.word, s...), true }

// next takes one character, or what is quoted.
func (l *lexer) next() (done bool, err error) {
	c := l.src[l.at]
	l.at++
	switch c {
	case ' ', '\t', '\r':
		l.end()
	case '\n':
		l.end()
		return len(l.words) > 0, nil
	case '|', ';', '&', '<', '>', '(', ')':
		l.end()
		if strings.TrimSpace(l.src[l.at:]) != "" {
			l.notes = append(l.notes, fmt.Sprintf("what follows the unquoted %c is no part of the command", c))
		}
		return true, nil
	case '#':
		l.comment()
	case '\\':
		l.escaped()
	case '\'':
		return false, l.single()
	case '"':
		return false, l.double()
	case '$':
		return false, l.dollar()
	case '`':
		return false, errNested
	default:
		l.add(string([]byte{c}))
	}
	return false, nil
}

// comment skips to the end of the line, if it is one.
func (l *lexer) comment() {
	if l.open {
		l.add("#")
		return
	}
	if i := strings.IndexByte(l.src[l.at:], '\n'); i >= 0 {
		l.at += i
		return
	}
	l.at = len(l.src)
}

// escaped takes what follows a backslash; at a line's end it joins two lines.
func (l *lexer) escaped() {
	rest := l.src[l.at:]
	switch {
	case rest == "":
	case strings.HasPrefix(rest, "\r\n"):
		l.at += 2
	case rest[0] == '\n':
		l.at++
	default:
		l.add(rest[:1])
		l.at++
	}
}

func (l *lexer) single() error {
	i := strings.IndexByte(l.src[l.at:], '\'')
	if i < 0 {
		return errQuote
	}
	l.add(l.src[l.at : l.at+i])
	l.at += i + 1
	return nil
}

func (l *lexer) double() error {
	l.add("")
	for l.at < len(l.src) {
		c := l.src[l.at]
		l.at++
		switch c {
		case '"':
			return nil
		case '`':
			return errNested
		case '$':
			if err := l.variable(); err != nil {
				return err
			}
		case '\\':
			if rest := l.src[l.at:]; rest != "" && !strings.ContainsRune("$`\"\\\r\n", rune(rest[0])) {
				l.add(`\`) // it stays before everything else
			}
			l.escaped()
		default:
			l.add(string([]byte{c}))
		}
	}
	return errQuote
}

// dollar begins $'…', $"…" or a variable.
func (l *lexer) dollar() error {
	switch rest := l.src[l.at:]; {
	case strings.HasPrefix(rest, `'`):
		l.at++
		return l.ansi()
	case strings.HasPrefix(rest, `"`):
		l.at++
		return l.double()
	}
	return l.variable()
}

func isName(c byte) bool {
	return c == '_' || c == '{' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// variable keeps a variable as it is written: its value is not known here.
func (l *lexer) variable() error {
	l.add("$")
	if l.at == len(l.src) {
		return nil
	}
	c := l.src[l.at]
	if c == '(' {
		return errNested
	}
	if isName(c) {
		end := l.at + 1
		for end < len(l.src) && (isName(l.src[end]) || l.src[end] >= '0' && l.src[end] <= '9') {
			end++
		}
		l.notes = append(l.notes, fmt.Sprintf("the variable $%s is taken as it is written; put its value in", strings.TrimLeft(l.src[l.at:end], "{")))
	}
	return nil
}

// letters are the escapes of one letter within $'…'.
var letters = map[byte]byte{
	'a': 7, 'b': 8, 'e': 27, 'E': 27, 'f': 12, 'n': 10, 'r': 13, 't': 9, 'v': 11, '\\': '\\', '\'': '\'', '"': '"', '?': '?',
}

// digits are the escapes with digits: their base, and how many there may be.
var digits = map[byte]struct{ base, most int }{'x': {16, 2}, 'u': {16, 4}, 'U': {16, 8}}

// ansi takes $'…' with its escapes.
func (l *lexer) ansi() error {
	l.add("")
	for l.at < len(l.src) {
		c := l.src[l.at]
		l.at++
		switch {
		case c == '\'':
			return nil
		case c == '\\' && l.at < len(l.src):
			l.ansiEscape()
		default:
			l.add(string([]byte{c}))
		}
	}
	return errQuote
}

func (l *lexer) ansiEscape() {
	c := l.src[l.at]
	l.at++
	if plain, ok := letters[c]; ok {
		l.add(string([]byte{plain}))
		return
	}
	switch d, ok := digits[c]; {
	case ok:
		n, found := l.number(d.base, d.most)
		switch {
		case !found:
			l.add(`\` + string([]byte{c}))
		case c == 'x':
			l.add(string([]byte{byte(n)}))
		default:
			l.word = utf8.AppendRune(l.word, rune(n)) // a number that is no character becomes U+FFFD
		}
	case c >= '0' && c <= '7':
		l.at--
		n, _ := l.number(8, 3)
		l.add(string([]byte{byte(n)}))
	case c == 'c' && l.at < len(l.src):
		l.add(string([]byte{l.src[l.at] & 0x1f}))
		l.at++
	default:
		l.add(`\` + string([]byte{c}))
	}
}

// number takes up to so many digits.
func (l *lexer) number(base, most int) (n uint64, found bool) {
	end := l.at
	for end < len(l.src) && end-l.at < most {
		if _, err := strconv.ParseUint(l.src[end:end+1], base, 8); err != nil {
			break
		}
		end++
	}
	n, err := strconv.ParseUint(l.src[l.at:end], base, 32)
	l.at = end
	return n, err == nil
}
