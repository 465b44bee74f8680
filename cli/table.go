package cli

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// width is what tables fit into: a terminal of 80 columns.
const width = 80

// column is one column of a table; its cells are cut at most runes.
type column struct {
	title       string
	least, most int
}

// table prints rows under titles. The widths are found with the first rows and
// kept, so that what is printed page by page stays in line.
type table struct {
	out     io.Writer
	columns []column
	// flex is the column that takes what room is left; -1 for none.
	flex   int
	widths []int
}

func (t *table) print(rows [][]string) error {
	if t.widths == nil {
		titles := make([]string, len(t.columns))
		for i, c := range t.columns {
			titles[i] = c.title
		}
		rows = append([][]string{titles}, rows...)
		t.measure(rows)
	}
	for _, row := range rows {
		var line strings.Builder
		for i, text := range row {
			text = cut(printable(text), t.widths[i])
			fmt.Fprintf(&line, "%s%s ", text, strings.Repeat(" ", t.widths[i]-utf8.RuneCountInString(text)))
		}
		if _, err := fmt.Fprintln(t.out, strings.TrimRight(line.String(), " ")); err != nil {
			return fmt.Errorf("printing: %w", err)
		}
	}
	return nil
}

func (t *table) measure(rows [][]string) {
	t.widths = make([]int, len(t.columns))
	used := len(t.columns) - 1
	for i, c := range t.columns {
		for _, row := range rows {
			t.widths[i] = max(t.widths[i], utf8.RuneCountInString(row[i]))
		}
		t.widths[i] = min(max(t.widths[i], c.least), c.most)
		used += t.widths[i]
	}
	if t.flex >= 0 {
		t.widths[t.flex] = max(t.widths[t.flex]+width-used, t.columns[t.flex].least)
	}
}

// printable keeps a stranger's bytes from steering the terminal: what is no
// visible character is replaced, line ends and characters that turn the
// direction of writing included.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '�'
		}
		return r
	}, s)
}

// paragraphs is printable for texts of several lines.
func paragraphs(s string) string {
	lines := strings.Split(strings.ReplaceAll(s, "\r\n", "\n"), "\n")
	for i, line := range lines {
		lines[i] = printable(strings.ReplaceAll(line, "\t", "    "))
	}
	return strings.Join(lines, "\n")
}

// cut shortens by runes.
func cut(s string, most int) string {
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most-1]) + "…"
}

// wrapped breaks a text between words into lines that fit, each after indent.
func wrapped(text, indent string) string {
	var b strings.Builder
	used := width // as if the line before were full
	for word := range strings.FieldsSeq(text) {
		n := utf8.RuneCountInString(word)
		switch {
		case used+1+n > width && b.Len() > 0:
			b.WriteString("\n")
			fallthrough
		case b.Len() == 0:
			b.WriteString(indent)
			used = len(indent)
		default:
			b.WriteByte(' ')
			used++
		}
		b.WriteString(word)
		used += n
	}
	return b.String()
}

// count writes a number in at most seven characters.
func count(n int64) string {
	for _, unit := range []struct {
		from, of float64
		sign     string
	}{{1e13, 1e12, "T"}, {1e10, 1e9, "G"}, {1e7, 1e6, "M"}} {
		if float64(n) >= unit.from {
			return fmt.Sprintf("%.1f%s", float64(n)/unit.of, unit.sign)
		}
	}
	return fmt.Sprint(n)
}

// short writes a duration in a few characters.
func short(d time.Duration) string {
	d = max(d, 0)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	default:
		return fmt.Sprintf("%dd", int(d.Hours()/24))
	}
}
