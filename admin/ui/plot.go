package ui

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// plot is a line of the history as a picture: paths in a field of plotWidth by
// plotHeight, which the browser stretches.
type plot struct {
	Title string
	// Line and Area are paths; empty if nothing is known.
	Line, Area string
	// Most is the upper end of the scale in words, Now the newest value, and Sum all
	// of them together.
	Most, Now, Sum string
	// Per is the time that a bar stands for; empty for what goes up and down.
	Per string
	// Ago is how long ago the left end is, and Half the middle.
	Ago, Half string
	Known     bool
}

// Flow tells that it counts, in bars.
func (p plot) Flow() bool { return p.Per != "" }

const (
	plotWidth  = 240
	plotHeight = 48
)

// line is what a plot is made of.
type line struct {
	title  string
	points []*float64
	step   time.Duration
	unit   func(float64) string
}

func (l line) plot() plot {
	most := highest(l.points)
	span := l.step * time.Duration(len(l.points))
	return plot{Title: l.title, Most: l.unit(most), Ago: plain(span) + " ago", Half: plain(span/2) + " ago"}
}

// gauge draws what goes up and down. Where nothing is known there is a gap.
func (l line) gauge() plot {
	p := l.plot()
	var path, area strings.Builder
	n, most := len(l.points), highest(l.points)
	for from := 0; from < n; {
		run := known(l.points[from:])
		if run == 0 {
			from++
			continue
		}
		// A run begins and ends with the time that its points stand for, so that one
		// point alone is seen too.
		begin, end, floor := edge(from, n), edge(from+run, n), strconv.Itoa(plotHeight)
		var way strings.Builder
		way.WriteString(begin + " " + y(*l.points[from], most))
		for i := from; i < from+run; i++ {
			way.WriteString("L" + x(i, n) + " " + y(*l.points[i], most))
		}
		way.WriteString("H" + end)
		path.WriteString("M" + way.String())
		area.WriteString("M" + begin + " " + floor + "L" + way.String() + "V" + floor + "Z")
		p.Known, p.Now = true, l.unit(*l.points[from+run-1])
		from += run
	}
	p.Line, p.Area = path.String(), area.String()
	return p
}

// known is how many points at the beginning are.
func known(points []*float64) int {
	if n := slices.Index(points, nil); n >= 0 {
		return n
	}
	return len(points)
}

// flow draws counts as bars.
func (l line) flow() plot {
	p := l.plot()
	p.Per, p.Sum = plain(l.step), l.unit(total(l.points))
	most := highest(l.points)
	var path strings.Builder
	for i, v := range l.points {
		if v == nil {
			continue
		}
		p.Known, p.Now = true, l.unit(*v)
		if *v > 0 {
			path.WriteString("M" + x(i, len(l.points)) + " " + strconv.Itoa(plotHeight) + "V" + y(*v, most))
		}
	}
	p.Line = path.String()
	return p
}

// plain writes a span without what is zero in it.
func plain(d time.Duration) string {
	switch {
	case d%time.Hour == 0:
		return strconv.Itoa(int(d/time.Hour)) + " h"
	case d%time.Minute == 0:
		return strconv.Itoa(int(d/time.Minute)) + " min"
	}
	return strconv.Itoa(int(d/time.Second)) + " s"
}

func highest(points []*float64) (most float64) {
	for _, v := range points {
		if v != nil {
			most = max(most, *v)
		}
	}
	return most
}

// x is the middle of a point's place, edge its beginning.
func x(i, n int) string { return strconv.Itoa((2*i + 1) * plotWidth / (2 * max(n, 1))) }

func edge(i, n int) string { return strconv.Itoa(i * plotWidth / max(n, 1)) }

func y(v, most float64) string {
	return strconv.Itoa(int(plotHeight - v/max(most, 1)*(plotHeight-2)))
}

// small is how many points of the history are one of a picture in a table.
const small = 3

// smallGauge and smallFlow draw less, for pages with many of them.
func (l line) smallGauge() plot {
	few := l
	few.points, few.step = merged(l.points, func(a, b float64) float64 { return max(a, b) }), small*l.step
	p := few.gauge()
	for _, v := range slices.Backward(l.points) { // not the highest of the last ones
		if v != nil {
			p.Now = l.unit(*v)
			break
		}
	}
	return p
}

func (l line) smallFlow() plot {
	l.points, l.step = merged(l.points, func(a, b float64) float64 { return a + b }), small*l.step
	return l.flow()
}

// merged makes one point of several. What is known of one of them is known.
func merged(points []*float64, join func(a, b float64) float64) []*float64 {
	some := make([]*float64, 0, len(points)/small)
	for group := range slices.Chunk(points, small) {
		var v *float64
		for _, p := range group {
			switch {
			case p == nil:
			case v == nil:
				one := *p
				v = &one
			default:
				*v = join(*v, *p)
			}
		}
		some = append(some, v)
	}
	return some
}
