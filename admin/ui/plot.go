package ui

import (
	"slices"
	"strconv"
	"strings"
)

// plot is a line of the history as a picture: paths in a field of plotWidth by
// plotHeight, which the browser stretches.
type plot struct {
	Title string
	// Line and Area are paths; empty if nothing is known.
	Line, Area string
	// Most, Now and Sum say in words what is to be seen.
	Most, Now, Sum string
	Flow           bool
	Known          bool
}

const (
	plotWidth  = 240
	plotHeight = 48
)

// gaugePlot draws what goes up and down. Where nothing is known there is a gap.
func gaugePlot(title string, points []*float64, unit func(float64) string) plot {
	p := plot{Title: title}
	most := highest(points)
	p.Most = unit(most)
	var line, area strings.Builder
	open := -1
	shut := func(at int) {
		if open >= 0 {
			area.WriteString("L" + x(at-1, len(points)) + " " + strconv.Itoa(plotHeight) + "Z")
		}
		open = -1
	}
	for i, v := range points {
		if v == nil {
			shut(i)
			continue
		}
		p.Known, p.Now = true, unit(*v)
		at := x(i, len(points)) + " " + y(*v, most)
		if open < 0 {
			open = i
			line.WriteString("M" + at)
			area.WriteString("M" + x(i, len(points)) + " " + strconv.Itoa(plotHeight) + "L" + at)
			continue
		}
		line.WriteString("L" + at)
		area.WriteString("L" + at)
	}
	shut(len(points))
	p.Line, p.Area = line.String(), area.String()
	return p
}

// flowPlot draws counts as bars.
func flowPlot(title string, points []*float64) plot {
	p := plot{Title: title, Flow: true}
	most := highest(points)
	p.Most, p.Sum = whole(most), whole(total(points))
	var line strings.Builder
	for i, v := range points {
		if v == nil {
			continue
		}
		p.Known, p.Now = true, whole(*v)
		if *v > 0 {
			line.WriteString("M" + x(i, len(points)) + " " + strconv.Itoa(plotHeight) + "V" + y(*v, most))
		}
	}
	p.Line = line.String()
	return p
}

func highest(points []*float64) (most float64) {
	for _, v := range points {
		if v != nil {
			most = max(most, *v)
		}
	}
	return most
}

// x is the middle of a point's place.
func x(i, n int) string { return strconv.Itoa((2*i + 1) * plotWidth / (2 * max(n, 1))) }

func y(v, most float64) string {
	return strconv.Itoa(int(plotHeight - v/max(most, 1)*(plotHeight-2)))
}

// small is how many points of the history are one of a picture in a table.
const small = 3

// smallGauge and smallFlow draw less, for pages with many of them.
func smallGauge(title string, points []*float64) plot {
	return gaugePlot(title, merged(points, func(a, b float64) float64 { return max(a, b) }), whole)
}

func smallFlow(title string, points []*float64) plot {
	p := flowPlot(title, merged(points, func(a, b float64) float64 { return a + b }))
	p.Most = whole(highest(points))
	return p
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
