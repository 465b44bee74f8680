package ui

import (
	"cmp"
	"net/url"
	"slices"
	"strings"
	"time"
)

// trouble is something that an operator should look at: what, since when, and
// what to press.
type trouble struct {
	// Kind is bad or warn; What names the kinds of which there may be many.
	Kind, What string
	// Name is the destination's, Words what is wrong with it.
	Name, Words string
	// Why is the reason of it alone.
	Why string
	// Since is when it began, Last when it was so last; either may not be known.
	Since, Last *time.Time
	Link, Press string
}

// group is troubles of one kind.
type group struct {
	Kind, Words string
	Troubles    []trouble
	// Since is when the first of them began.
	Since *time.Time
}

// Key names it among the parts of the page.
func (g group) Key() string {
	if len(g.Troubles) == 1 {
		return g.Troubles[0].What + g.Troubles[0].Name + g.Troubles[0].Words
	}
	return g.Troubles[0].What
}

// few is how many troubles of a kind are shown one by one.
const few = 2

// manyOf says of how many a kind of trouble is.
var manyOf = map[string][2]string{
	"down":     {"destination is down", "destinations are down"},
	"fails":    {"destination fails", "destinations fail"},
	"retried":  {"destination has events that fail", "destinations have events that fail and are tried again"},
	"orphaned": {"destination is not configured any more", "destinations are not configured any more, and have events"},
	"paused":   {"destination is paused", "destinations are paused by an operator"},
	"dead":     {"destination has dead events", "destinations have dead events, of which no further attempt is made"},
}

// grouped puts troubles of a kind together where there are many of them, the bad
// ones first.
func grouped(all []trouble) (groups []group) {
	slices.SortStableFunc(all, func(a, b trouble) int { return cmp.Compare(a.Kind, b.Kind) }) // bad before warn
	counts := map[string]int{}
	for _, t := range all {
		counts[t.What]++
	}
	at := map[string]int{}
	for _, t := range all {
		i, ok := at[t.What]
		switch {
		case counts[t.What] <= few || manyOf[t.What][1] == "":
			groups = append(groups, group{Kind: t.Kind, Troubles: []trouble{t}})
		case ok:
			g := &groups[i]
			g.Troubles, g.Since = append(g.Troubles, t), earlier(g.Since, t.Since)
		default:
			at[t.What] = len(groups)
			groups = append(groups, group{Kind: t.Kind, Troubles: []trouble{t}, Since: t.Since})
		}
	}
	for i := range groups {
		groups[i].summarise()
	}
	return groups
}

// summarise says what many have in common.
func (g *group) summarise() {
	n, first := len(g.Troubles), g.Troubles[0]
	if n == 1 {
		return
	}
	g.Words = counted(int64(n), manyOf[first.What][0], manyOf[first.What][1]) + "."
	if first.Why == "" {
		return
	}
	others := slices.DeleteFunc(slices.Clone(g.Troubles), func(t trouble) bool { return t.Why == first.Why })
	g.Words = strings.TrimSuffix(g.Words, ".") + ": " + first.Why + either(int64(len(others)), ", and 1 for another reason", "")
	if len(others) > 1 {
		g.Words += ", and " + whole(float64(len(others))) + " for other reasons"
	}
	g.Words += "."
}

func earlier(a, b *time.Time) *time.Time {
	if a == nil || b != nil && b.Before(*a) {
		return b
	}
	return a
}

// pages of a destination.
func (d toward) at(src string) string {
	return "destinations/" + url.PathEscape(src) + "/" + url.PathEscape(d.Name)
}

func (d toward) eventsIn(src, state string) string {
	return "events?" + url.Values{"source": {src}, "destination": {d.Name}, "state": {state}}.Encode()
}

// troubles are those of one destination.
func (d toward) troubles(src string, h past) (all []trouble) {
	if t, ok := d.standing(src); ok {
		if t.Since == nil {
			t.Since = h.turned(src, d.Name, d.State)
		}
		all = append(all, t)
	}
	name := src + "/" + d.Name
	if d.Retrying > 0 && d.State == "up" {
		words := counted(d.Retrying, "event fails at ", "events fail at ") + name + " and " + either(d.Retrying, "is", "are") + " tried again"
		if d.LastError != "" {
			words += ": " + d.LastError
		}
		all = append(all, trouble{Kind: "warn", What: "retried", Name: name, Words: words + ".", Since: d.FailingSince, Link: d.eventsIn(src, "pending"), Press: "Look at them"})
	}
	if d.Dead > 0 && d.State != "orphaned" {
		all = append(all, trouble{
			Kind: "warn", What: "dead", Name: name, Last: h.lastDead(src, d.Name), Link: d.eventsIn(src, "dead"), Press: "See why, replay or discard",
			Words: counted(d.Dead, "event is", "events are") + " dead at " + name + ": no further attempt is made.",
		})
	}
	return all
}

// standing is what is wrong with the destination as such.
func (d toward) standing(src string) (trouble, bool) {
	name, wait := src+"/"+d.Name, counted(d.Pending, "event waits", "events wait")
	t := trouble{Kind: "warn", What: d.State, Name: name, Link: d.at(src), Press: "Look at it"}
	switch {
	case d.State == "down":
		t.Kind, t.Since = "bad", d.DownSince
		t.Why = cmp.Or(d.Why, d.LastError, "it does not answer")
		t.Words = name + " is down: " + t.Why + ". " + wait + "; they are kept and sent when it answers again."
	case d.State == "paused":
		t.Press = "Resume it"
		t.Words = name + " is paused by an operator. " + wait + "."
	case d.State == "orphaned" && d.Pending+d.Dead > 0:
		t.Press = "Move or discard them"
		t.Words = name + " is not configured any more, and " + counted(d.Pending+d.Dead, "event is", "events are") + " kept for it."
	case d.State == "up" && d.Failures >= 3 && d.Retrying == 0:
		t.What, t.Since = "fails", d.FailingSince
		t.Words = name + " fails: " + cmp.Or(d.LastError, "its last attempts came to nothing") + "."
	default:
		return trouble{}, false
	}
	return t, true
}

// remember takes from the history since when the destination is down: the gateway
// itself begins anew when it is started.
func (d *toward) remember(src string, h past) {
	if d.State == "down" {
		d.DownSince = earlier(d.DownSince, h.turned(src, d.Name, "down"))
	}
}

// turned is when a destination came into the state that it has, if that is known.
func (h past) turned(src, name, state string) *time.Time {
	for _, c := range slices.Backward(h.Changes) {
		if c.Source == src && c.Destination == name {
			if c.State == state {
				return &c.At
			}
			return nil
		}
	}
	return nil
}

// lastDead is about when a delivery was given up last, if that is within the span.
func (h past) lastDead(src, name string) *time.Time {
	for _, s := range h.Destinations {
		if s.Source != src || s.Destination != name {
			continue
		}
		for i, v := range slices.Backward(s.Dead) {
			if v != nil && *v > 0 {
				at := h.From.Add(time.Duration(i*h.Step) * time.Second)
				return &at
			}
		}
	}
	return nil
}

func counted(n int64, one, many string) string {
	return whole(float64(n)) + " " + either(n, one, many)
}

// either chooses the word for so many.
func either(n int64, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}
