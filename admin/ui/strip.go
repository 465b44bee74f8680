package ui

import (
	"slices"
	"time"
)

// strip is how a destination stood over the span, as coloured stretches of a line
// plotWidth long.
type strip struct {
	Stretches []stretch
	// Times is how often it changed.
	Times int
}

// stretch is the time that it was in one state; "unknown" before anything is known.
type stretch struct {
	State string
	X, W  int
}

// strip is made of the changes; state is how it stands now.
func (h past) strip(src, name, state string, gauge []*float64) (s strip) {
	unknown := slices.IndexFunc(gauge, func(v *float64) bool { return v != nil })
	if unknown < 0 || h.Points == 0 {
		return strip{}
	}
	first, end := unknown*plotWidth/h.Points, plotWidth
	add := func(from int, state string) {
		if from = max(from, first); from < end {
			s.Stretches = append(s.Stretches, stretch{state, from, end - from})
			end = from
		}
	}
	span := time.Duration(h.Points*h.Step) * time.Second
	was := state
	for _, c := range slices.Backward(h.Changes) {
		if c.Source != src || c.Destination != name {
			continue
		}
		if c.At.Before(h.From) {
			add(0, c.State)
			break
		}
		add(int(c.At.Sub(h.From)*plotWidth/span), c.State)
		s.Times++
		was = "up"
		if c.State == "up" {
			was = "down"
		}
	}
	add(0, was)
	if first > 0 {
		first = 0
		add(0, "unknown")
	}
	slices.Reverse(s.Stretches)
	return s
}
