// Package history keeps what an operator wants to see plotted: what came and
// went, what waits and since when, over the last hour and the last day, and when
// destinations went down and came back. It takes a fixed amount of memory, and
// outlives the process in one small file ([History.Encode], [Decode]).
package history

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"sync"
	"time"
)

// Span is how far back a plot looks.
type Span struct {
	// Step is the time that one point stands for, Points how many there are.
	Step   time.Duration
	Points int
}

// The spans.
var (
	Hour = Span{Step: 15 * time.Second, Points: 240}
	Day  = Span{Step: 5 * time.Minute, Points: 288}
)

var spans = [...]Span{Hour, Day}

// Bounds of what is kept. Where there are more sources and destinations, a new one
// takes the place of one that has not been seen for an hour, and else is not kept.
const (
	MaxSeries  = 512
	MaxChanges = 100
	// MaxWords bounds the reason of a change, in bytes.
	MaxWords = 200
)

// Well is the state that a destination has to begin with.
const Well = "up"

// Name names a source, or with Destination one of its destinations.
type Name struct{ Source, Destination string }

// Reading is what is known of one of them at a moment.
type Reading struct {
	Name

	// Counts only grow while the process runs. For a source they are accepted,
	// duplicates, rejected and unavailable; for a destination delivered, failed
	// and dead.
	Counts []uint64
	// Gauges go up and down; a point has the highest. For a destination they are
	// pending deliveries, and the age of the oldest pending event in seconds.
	Gauges []float64
	// State is a destination's; Why says more.
	State, Why string
}

// Change is a destination's change of state.
type Change struct {
	At time.Time
	Name
	State, Why string
}

// Series is one of them over a span. Every line has a value for each point; NaN
// where nothing is known.
type Series struct {
	Name

	Counts, Gauges [][]float32
}

// Plot is everything over a span.
type Plot struct {
	Span

	// From is when the first point begins.
	From    time.Time
	Series  []Series
	Changes []Change
}

// History is safe for concurrent use.
type History struct {
	mu sync.Mutex
	// latest is the number of the newest step of each span, counted from 1970.
	latest  [len(spans)]int64
	series  map[Name]*series
	changes []Change
	// begun tells that this process has observed something before.
	begun bool
}

type series struct {
	name   Name
	counts int // how many of the lines are counts
	// last has the counts at the last reading of this process, if read; before its
	// first they are 0, for the process began with them.
	last []uint64
	read bool
	// states are a destination's last one.
	state string
	seen  time.Time
	// lines has the values of each span, at the step's number modulo Points.
	lines [len(spans)][][]float32
}

// New gives an empty one.
func New() *History { return &History{series: map[Name]*series{}} }

var unknown = float32(math.NaN())

func newSeries(name Name, counts, gauges int) *series {
	s := &series{name: name, counts: counts, last: make([]uint64, counts)}
	for i, span := range spans {
		s.lines[i] = make([][]float32, counts+gauges)
		for j := range s.lines[i] {
			s.lines[i][j] = slices.Repeat([]float32{unknown}, span.Points)
		}
	}
	return s
}

// Observe adds what is known at a moment. Several readings within a step become
// one point. It may be called at any rate; once in 5 seconds will do.
func (h *History) Observe(now time.Time, all []Reading) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, span := range spans {
		h.move(i, stepAt(now, span))
	}
	for _, r := range all {
		s := h.find(r, now)
		if s == nil {
			continue
		}
		if h.begun && !s.read {
			copy(s.last, r.Counts) // it came later: what was counted until now is no one moment's
		}
		s.read = true
		s.add(r, h.latest)
		h.turned(s, r, now)
	}
	h.begun = h.begun || len(all) > 0
}

// stepAt is the number of the step that a moment is in.
func stepAt(t time.Time, span Span) int64 { return max(0, t.UnixNano()/int64(span.Step)) }

// back is how many steps a clock may be set back before the points ahead of it
// are given up; less is added to the newest one.
const back = 4

// move begins a new step, and forgets what it takes the place of.
func (h *History) move(i int, step int64) {
	span, latest := spans[i], h.latest[i]
	switch {
	case step == latest || step < latest && latest-step <= back:
		return
	case max(step-latest, latest-step) >= int64(span.Points):
		h.forget(i, 0, int64(span.Points)) // nothing of it is within the span
	case step < latest: // the clock was set back: only what lies ahead is given up
		h.forget(i, step+1, latest+1)
	default:
		h.forget(i, latest+1, step+1)
	}
	h.latest[i] = step
}

func (h *History) forget(i int, from, to int64) {
	for _, s := range h.series {
		for _, line := range s.lines[i] {
			for step := from; step < to; step++ {
				line[step%int64(len(line))] = unknown
			}
		}
	}
}

// staleAfter is how long one has not been seen that makes room for a new one.
const staleAfter = time.Hour

// find gives a reading's series, and makes room for a new one; nil if there is none.
func (h *History) find(r Reading, now time.Time) *series {
	s := h.series[r.Name]
	if s == nil || s.counts != len(r.Counts) || len(s.lines[0]) != len(r.Counts)+len(r.Gauges) {
		if s == nil && len(h.series) >= MaxSeries && !h.makeRoom(now) {
			return nil
		}
		s = newSeries(r.Name, len(r.Counts), len(r.Gauges))
		h.series[r.Name] = s
	}
	s.seen = now
	return s
}

// makeRoom forgets the one that was not seen for longest, if that is long.
func (h *History) makeRoom(now time.Time) bool {
	oldest := slices.MinFunc(slices.Collect(maps.Values(h.series)), func(a, b *series) int { return a.seen.Compare(b.seen) })
	if now.Sub(oldest.seen) < staleAfter {
		return false
	}
	delete(h.series, oldest.name)
	return true
}

// add adds a reading to the newest points.
func (s *series) add(r Reading, latest [len(spans)]int64) {
	for i, span := range spans {
		at := latest[i] % int64(span.Points)
		for j, n := range r.Counts {
			point := &s.lines[i][j][at]
			grown := float32(n - min(n, s.last[j]))
			if *point != *point { // it is NaN
				*point = 0
			}
			*point += grown
		}
		for j, v := range r.Gauges {
			point := &s.lines[i][s.counts+j][at]
			if *point != *point || float32(v) > *point {
				*point = float32(v)
			}
		}
	}
	copy(s.last, r.Counts)
}

// turned notes a change of state. What is seen for the first time was well before.
func (h *History) turned(s *series, r Reading, now time.Time) {
	was := cmp.Or(s.state, Well)
	if s.state = r.State; was == r.State || r.State == "" {
		return
	}
	why := r.Why
	if len(why) > MaxWords {
		why = why[:MaxWords]
	}
	h.changes = append(h.changes, Change{At: now, Name: r.Name, State: r.State, Why: why})
	if n := len(h.changes); n > MaxChanges {
		h.changes = slices.Delete(h.changes, 0, n-MaxChanges)
	}
}

// Plot gives what want wants of a span, by name.
func (h *History) Plot(span Span, now time.Time, want func(Name) bool) Plot {
	h.mu.Lock()
	defer h.mu.Unlock()
	i := slices.Index(spans[:], span)
	if i < 0 {
		return Plot{}
	}
	h.move(i, stepAt(now, span))
	first := h.latest[i] - int64(span.Points) + 1
	p := Plot{Span: span, From: time.Unix(0, first*int64(span.Step))}
	for _, s := range h.series {
		if want(s.name) {
			p.Series = append(p.Series, s.unrolled(i, first))
		}
	}
	slices.SortFunc(p.Series, func(a, b Series) int {
		return cmp.Or(cmp.Compare(a.Source, b.Source), cmp.Compare(a.Destination, b.Destination))
	})
	for _, c := range h.changes {
		if want(c.Name) {
			p.Changes = append(p.Changes, c)
		}
	}
	return p
}

// unrolled gives the lines of a span from their first point to their last.
func (s *series) unrolled(i int, first int64) Series {
	v := Series{Name: s.name}
	for j, line := range s.lines[i] {
		n := int64(len(line))
		at := ((first % n) + n) % n
		points := slices.Concat(line[at:], line[:at])
		if j < s.counts {
			v.Counts = append(v.Counts, points)
		} else {
			v.Gauges = append(v.Gauges, points)
		}
	}
	return v
}
