package cli

import (
	"io"
	"os"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"
	"golang.org/x/text/width"
)

const (
	// pageWidth is what text and tables are made for where nobody knows better.
	pageWidth = 80
	// leastWidth is the narrowest terminal that is fitted into.
	leastWidth = 20
)

// columnsOf is how many columns a terminal has; 0 if it is none.
func columnsOf(out io.Writer) int {
	f, ok := out.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return 0
	}
	n, _, err := term.GetSize(int(f.Fd()))
	if err != nil || n <= 0 { // a terminal that does not know its own width
		return pageWidth
	}
	return n
}

// columns is how many columns a text takes: characters of East Asia and emoji take
// two, marks above and below others none.
func columns(s string) (n int) {
	for _, r := range s {
		n += runeColumns(r)
	}
	return n
}

func runeColumns(r rune) int {
	switch {
	case r < utf8.RuneSelf:
		return 1
	case unicode.In(r, unicode.Mn, unicode.Me):
		return 0
	}
	switch width.LookupRune(r).Kind() { //nolint:exhaustive // the others take one
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

// cut shortens a text to so many columns, and marks its end.
func cut(s string, most int) string {
	if columns(s) <= most {
		return s
	}
	return head(s, most-1) + "…"
}

// cutMiddle shortens a name: its beginning and its end tell it from others.
func cutMiddle(s string, most int) string {
	if columns(s) <= most {
		return s
	}
	behind := (most - 1) / 2
	return head(s, most-1-behind) + "…" + tailOf(s, behind)
}

// head is what of a text's beginning fits into so many columns.
func head(s string, most int) string {
	for i, r := range s {
		if most -= runeColumns(r); most < 0 {
			return s[:i]
		}
	}
	return s
}

// tailOf is what of a text's end fits.
func tailOf(s string, most int) string {
	for i := len(s); i > 0; {
		r, n := utf8.DecodeLastRuneInString(s[:i])
		if most -= runeColumns(r); most < 0 {
			return s[i:]
		}
		i -= n
	}
	return s
}
