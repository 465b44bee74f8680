package cli

import (
	"fmt"
	"io"
	"strings"
)

// bar is a progress bar on a terminal, and nothing elsewhere.
type bar struct {
	out   io.Writer
	on    bool
	shown bool
}

func newBar(out io.Writer) *bar { return &bar{out: out, on: columnsOf(out) > 0} }

// show draws the bar; what it waits for, if anything, stands behind it.
func (b *bar) show(done, all int64, waiting string) {
	b.draw(done, all, count(done)+"/"+count(all), waiting)
}

// bytes draws the bar for what is measured in bytes.
func (b *bar) bytes(done, all int64, words string) {
	b.draw(done, all, size(done)+" of "+size(all), words)
}

func (b *bar) draw(done, all int64, numbers, words string) {
	if b.on {
		b.line(drawn(done, all, numbers, words, b.room()))
	}
}

// count shows how many there were so far, where nobody knows of how many.
func (b *bar) count(n int64) {
	if b.on {
		b.line(cut(events(n), b.room()))
	}
}

// room is what fits on a line: the terminal can become narrower meanwhile. Its last
// column stays free, since some terminals go on to the next line there.
func (b *bar) room() int { return max(columnsOf(b.out), leastWidth) - 1 }

func (b *bar) line(text string) {
	b.shown = true
	_, _ = io.WriteString(b.out, "\r\x1b[K"+text) // a bar that cannot be drawn is none
}

// drawn is the bar in at most so many columns. Where they are few, the numbers stay.
func drawn(done, all int64, numbers, words string, room int) string {
	width := min(30, room-columns(numbers)-5)
	text := numbers
	if width >= 5 {
		full := width
		if all > 0 {
			full = int(min(done, all) * int64(width) / all)
		}
		text = fmt.Sprintf("[%s%s] %s", strings.Repeat("#", full), strings.Repeat(".", width-full), numbers)
	}
	if words != "" {
		text += "  " + printable(words)
	}
	return cut(text, room)
}

// clear takes the bar away.
func (b *bar) clear() {
	if b.shown {
		_, _ = io.WriteString(b.out, "\r\x1b[K")
	}
}
