package gateway

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// Bounds of the refusals that are kept to be looked at, in memory.
const (
	refusalsKept = 50 // of each source
	maxRefusal   = 300
)

// Refusal is a request that was refused, or answered 503. It has nothing that
// proves anything, and nothing of the content.
type Refusal struct {
	At     time.Time
	Source string
	// Status is the answer's.
	Status int
	// Reason is that of the metrics, out of a closed set; Why says more.
	Reason, Why string
	// Remote, Method and Path are the request's, the path without its query. Size
	// is what it said its body has in bytes; -1 if it said nothing.
	Remote, Method, Path string
	Size                 int64
	// More counts those of the same source and reason that came since the one
	// before and are not listed.
	More int
}

// refusedLog has the last refusals of each source.
type refusedLog struct {
	mu   sync.Mutex
	last map[string][]Refusal
}

// RefusedAs keeps a refusal for operators to look at. Its caller sees to it that
// a flood of requests is not a flood of these.
func (s *Source) RefusedAs(r Refusal) {
	r.Source = s.config.Name
	for _, text := range []*string{&r.Why, &r.Remote, &r.Method, &r.Path} {
		if len(*text) > maxRefusal {
			*text = strings.ToValidUTF8((*text)[:maxRefusal], "") + "…"
		}
	}
	l := &s.gateway.refused
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last == nil {
		l.last = map[string][]Refusal{}
	}
	list := append(l.last[r.Source], r)
	l.last[r.Source] = slices.Delete(list, 0, max(0, len(list)-refusalsKept))
}

// Refusals gives the last refusals of a source, or with an empty name of all,
// the newest first.
func (g *Gateway) Refusals(source string) []Refusal {
	g.refused.mu.Lock()
	defer g.refused.mu.Unlock()
	var all []Refusal
	for name, list := range g.refused.last {
		if source == "" || source == name {
			all = append(all, list...)
		}
	}
	slices.SortStableFunc(all, func(a, b Refusal) int { return b.At.Compare(a.At) })
	return all
}

// RefusalCount is how many requests of a source were refused for a reason since
// the process started.
type RefusalCount struct {
	Source, Reason string
	// Unavailable tells that they were answered 503: the provider was asked to try again.
	Unavailable bool
	Count       uint64
}

// RefusalCounts gives the counts of a source, or with an empty name of all, the
// highest first.
func (g *Gateway) RefusalCounts(source string) []RefusalCount {
	g.mu.Lock()
	counts := maps.Clone(g.counts)
	g.mu.Unlock()
	var all []RefusalCount
	for name, c := range counts {
		if source != "" && source != name {
			continue
		}
		rejected, unavailable := c.reasons()
		add := func(counted map[string]uint64, unavailable bool) {
			for reason, n := range counted {
				if n > 0 { // those of metrics are there from the start
					all = append(all, RefusalCount{name, reason, unavailable, n})
				}
			}
		}
		add(rejected, false)
		add(unavailable, true)
	}
	slices.SortFunc(all, func(a, b RefusalCount) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Source, b.Source), cmp.Compare(a.Reason, b.Reason))
	})
	return all
}
