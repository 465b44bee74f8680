package cli

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// column is one column of a table; in a narrow terminal its cells are cut at most
// columns.
type column struct {
	title       string
	least, most int
}

// table prints rows under titles. The widths are found with the first rows and
// kept, so that what is printed page by page stays in line.
type table struct {
	out     io.Writer
	columns []column
	// width is the terminal's. 0 is no terminal: then nothing is cut, since what
	// reads a table there wants whole names.
	width int
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
			text = printable(text)
			if t.width > 0 {
				text = cutMiddle(text, t.widths[i])
			}
			fmt.Fprintf(&line, "%s%s ", text, strings.Repeat(" ", max(t.widths[i]-columns(text), 0)))
		}
		if _, err := fmt.Fprintln(t.out, strings.TrimRight(line.String(), " ")); err != nil {
			return fmt.Errorf("printing: %w", err)
		}
	}
	return nil
}

// measure gives each column what its cells need, if that fits; else at most what it
// may have in a narrow terminal, and what is left over to those that need more.
func (t *table) measure(rows [][]string) {
	t.widths = make([]int, len(t.columns))
	need := make([]int, len(t.columns))
	left := t.width - (len(t.columns) - 1)
	for i, c := range t.columns {
		need[i] = c.least
		for _, row := range rows {
			need[i] = max(need[i], columns(printable(row[i])))
		}
		t.widths[i] = min(need[i], c.most)
		left -= t.widths[i]
	}
	if t.width == 0 {
		t.widths = need
		return
	}
	for i := range need {
		more := min(need[i]-t.widths[i], max(left, 0))
		t.widths[i] += more
		left -= more
	}
	t.fit(left)
}

// fit has the flexible column take what is left of a page, for longer cells that
// come later, and give what is too much.
func (t *table) fit(left int) {
	if t.flex < 0 {
		return
	}
	if left > 0 {
		left = max(left-max(t.width-pageWidth, 0), 0)
	}
	t.widths[t.flex] = max(t.widths[t.flex]+left, t.columns[t.flex].least)
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

// wrapped breaks a text between words into lines that fit, each after indent.
func wrapped(text, indent string) string {
	var b strings.Builder
	used := pageWidth // as if the line before were full
	for word := range strings.FieldsSeq(text) {
		n := columns(word)
		switch {
		case used+1+n > pageWidth && b.Len() > 0:
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
