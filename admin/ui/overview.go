package ui

import (
	"cmp"
	"net/url"
	"slices"
	"strconv"
	"time"
)

// source and toward are a source and a destination as the API tells of them.
type source struct {
	Name, Provider                 string
	Destinations                   []toward
	Accepted, Duplicates, Rejected int64
}

type toward struct {
	Name, State                                   string
	Pending, Delivered, Dead, Discarded, Filtered int64
	InFlight                                      int64      `json:"in_flight"`
	OldestPending                                 *time.Time `json:"oldest_pending"`
	Rate                                          float64
	Failures                                      int
	DownSince                                     *time.Time `json:"down_since"`
	Why                                           string
	NextProbe                                     *time.Time `json:"next_probe"`
	FailingSince                                  *time.Time `json:"failing_since"`
	LastError                                     string     `json:"last_error"`
}

// past is the history as the API tells of it.
type past struct {
	Span         string
	From         time.Time
	Step, Points int
	Sources      []struct {
		Source                                      string
		Accepted, Duplicates, Rejected, Unavailable []*float64
	}
	Destinations []struct {
		Source, Destination              string
		Delivered, Failed, Dead, Pending []*float64
		OldestPending                    []*float64 `json:"oldest_pending"`
	}
	Changes []change
}

type change struct {
	At                              time.Time
	Source, Destination, State, Why string
}

// overviewData is what the first page shows.
type overviewData struct {
	Troubles     []trouble
	Tiles        []tile
	Destinations []destinationRow
	Sources      []sourceRow
	Changes      []change
	Span         string
	Jobs         int
}

// trouble is something that an operator should look at: what, since when, and
// what to press.
type trouble struct {
	Kind, Words string
	Since       *time.Time
	Link, Press string
}

type tile struct {
	Name, Value, Note, Kind, Link string
}

type destinationRow struct {
	Source string
	toward
	Waiting, Flow plot
}

type sourceRow struct {
	source
	In, Refused plot
}

// spanOf is the span that was asked for; an hour if none was.
func (v *visit) spanOf() string {
	if v.query.Get("span") == "24h" {
		return "24h"
	}
	return "1h"
}

func (v *visit) overview() (content, error) {
	var all struct{ Sources []source }
	if err := v.get("/webhooks/sources", nil, &all); err != nil {
		return content{}, err
	}
	d := overviewData{Span: v.spanOf()}
	var h past
	if err := v.get("/webhooks/history", url.Values{"span": {d.Span}}, &h); err != nil {
		return content{}, err
	}
	var health struct {
		Reasons []struct{ Reason, Source, Destination, Words string }
	}
	if err := v.get("/webhooks/health", nil, &health); err != nil {
		return content{}, err
	}
	for _, r := range health.Reasons {
		d.Troubles = append(d.Troubles, trouble{Kind: "bad", Words: r.Words})
	}
	for _, s := range all.Sources {
		d.Sources = append(d.Sources, s.row(h))
		for _, to := range s.Destinations {
			d.Destinations = append(d.Destinations, to.row(s.Name, h))
			d.Troubles = append(d.Troubles, to.troubles(s.Name)...)
		}
	}
	slices.SortStableFunc(d.Troubles, func(a, b trouble) int { return cmp.Compare(a.Kind, b.Kind) }) // bad before warn
	slices.SortStableFunc(d.Destinations, func(a, b destinationRow) int { return cmp.Compare(a.rank(), b.rank()) })
	d.Tiles = tiles(all.Sources, h)
	d.Changes = latest(h.Changes, 10)
	return content{title: "Overview", data: d}, nil
}

// rank puts what needs somebody first.
func (r destinationRow) rank() int {
	switch {
	case r.State == "down":
		return 0
	case r.State == "orphaned":
		return 1
	case r.State == "paused":
		return 2
	case r.Dead > 0:
		return 3
	}
	return 4
}

// latest gives the last n changes, the newest first.
func latest(all []change, n int) []change {
	all = slices.Clone(all[max(0, len(all)-n):])
	slices.Reverse(all)
	return all
}

func (d toward) row(src string, h past) destinationRow {
	r := destinationRow{Source: src, toward: d}
	for _, s := range h.Destinations {
		if s.Source == src && s.Destination == d.Name {
			r.Waiting = smallGauge("Waiting", s.Pending)
			r.Flow = smallFlow("Delivered", s.Delivered)
		}
	}
	return r
}

func (s source) row(h past) sourceRow {
	r := sourceRow{source: s}
	for _, one := range h.Sources {
		if one.Source == s.Name {
			r.In, r.Refused = smallFlow("Accepted", one.Accepted), smallFlow("Refused", one.Rejected)
		}
	}
	return r
}

// troubles are those of one destination.
func (d toward) troubles(src string) (all []trouble) {
	name := src + "/" + d.Name
	at := "destinations/" + url.PathEscape(src) + "/" + url.PathEscape(d.Name)
	events := "events?" + url.Values{"source": {src}, "destination": {d.Name}, "state": {"dead"}}.Encode()
	switch {
	case d.State == "down":
		all = append(all, trouble{"bad", name + " is down: " + cmp.Or(d.Why, d.LastError) + ". " + counted(d.Pending, "event waits", "events wait") +
			"; they are kept and sent when it answers again.", d.DownSince, at, "Look at it"})
	case d.State == "paused":
		all = append(all, trouble{"warn", name + " is paused by an operator. " + counted(d.Pending, "event waits", "events wait") + ".", nil, at, "Resume it"})
	case d.State == "orphaned" && d.Pending+d.Dead > 0:
		all = append(all, trouble{"warn", name + " is not configured any more, and " + counted(d.Pending+d.Dead, "event is", "events are") +
			" kept for it.", nil, at, "Move or discard them"})
	case d.Failures >= 3 && d.Dead == 0:
		all = append(all, trouble{"warn", name + " fails: " + d.LastError + ".", d.FailingSince, at, "Look at it"})
	}
	if d.Dead > 0 && d.State != "orphaned" {
		all = append(all, trouble{"warn", counted(d.Dead, "event is", "events are") + " dead at " + name + ": no further attempt is made.", nil, events, "See why, replay or discard"})
	}
	return all
}

// tiles are the numbers of the whole gateway.
func tiles(all []source, h past) []tile {
	var waiting, flying, dead int64
	var oldest *time.Time
	for _, s := range all {
		for _, d := range s.Destinations {
			waiting, flying, dead = waiting+d.Pending, flying+d.InFlight, dead+d.Dead
			if d.OldestPending != nil && (oldest == nil || d.OldestPending.Before(*oldest)) {
				oldest = d.OldestPending
			}
		}
	}
	var in, out, refused float64
	for _, s := range h.Sources {
		in, refused = in+total(s.Accepted), refused+total(s.Rejected)+total(s.Unavailable)
	}
	for _, d := range h.Destinations {
		out += total(d.Delivered)
	}
	during := "in the last hour"
	if h.Span == "24h" {
		during = "in the last day"
	}
	age := tile{Name: "Oldest waiting", Value: "–", Note: "nothing waits"}
	if oldest != nil {
		age.Value, age.Note = short(time.Since(*oldest)), "since it was received"
	}
	return []tile{
		{Name: "Accepted", Value: whole(in), Note: during},
		{Name: "Delivered", Value: whole(out), Note: during},
		{Name: "Waiting", Value: whole(float64(waiting)), Note: whole(float64(flying)) + " under way", Link: "events?state=pending"},
		age,
		{Name: "Dead", Value: whole(float64(dead)), Note: "given up, and kept", Kind: kindIf(dead > 0, "warn"), Link: "events?state=dead"},
		{Name: "Refused", Value: whole(refused), Note: during, Link: "refusals"},
	}
}

func kindIf(b bool, kind string) string {
	if b {
		return kind
	}
	return ""
}

func counted(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return whole(float64(n)) + " " + many
}

// destinationData is what the page of one destination shows.
type destinationData struct {
	Source string
	toward
	Troubles []trouble
	Plots    []plot
	Numbers  []numbers
	Changes  []change
	Span     string
	// Others are where its events could be moved to.
	Others []string
}

// numbers is one row of the table that says what the plots show.
type numbers struct {
	From   time.Time
	Values []string
}

func (v *visit) destination() (content, error) {
	var all struct{ Sources []source }
	if err := v.get("/webhooks/sources", nil, &all); err != nil {
		return content{}, err
	}
	d := destinationData{Source: v.at.arg, Span: v.spanOf()}
	found := false
	for _, s := range all.Sources {
		for _, to := range s.Destinations {
			switch {
			case s.Name == v.at.arg && to.Name == v.at.rest:
				d.toward, found = to, true
			case to.State != "orphaned":
				d.Others = append(d.Others, s.Name+"/"+to.Name)
			}
		}
	}
	if !found {
		return content{}, errUnknown
	}
	d.Troubles = d.troubles(d.Source)
	var h past
	if err := v.get("/webhooks/history", url.Values{"span": {d.Span}, "source": {d.Source}, "destination": {d.Name}}, &h); err != nil {
		return content{}, err
	}
	d.Changes = latest(h.Changes, 100)
	if len(h.Destinations) == 1 {
		s := h.Destinations[0]
		d.Plots = []plot{
			gaugePlot("Waiting", s.Pending, whole), gaugePlot("Age of the oldest", s.OldestPending, seconds),
			flowPlot("Delivered", s.Delivered), flowPlot("Failed attempts", s.Failed), flowPlot("Given up", s.Dead),
		}
		d.Numbers = table(h, s.Pending, s.OldestPending, s.Delivered, s.Failed, s.Dead)
	}
	return content{title: d.Source + "/" + d.Name, data: d}, nil
}

// perRow is how many points are one row of the table.
const perRow = 12

// table says in numbers what the plots show. The first two lines are gauges, of
// which a row has the highest; of the others it has the sum.
func table(h past, lines ...[]*float64) (rows []numbers) {
	for at := 0; at+perRow <= h.Points; at += perRow {
		row := numbers{From: h.From.Add(time.Duration(at*h.Step) * time.Second)}
		known := false
		for i, line := range lines {
			var v float64
			for _, p := range line[at:min(at+perRow, len(line))] {
				switch {
				case p == nil:
				case i < 2:
					v, known = max(v, *p), true
				default:
					v, known = v+*p, true
				}
			}
			text := whole(v)
			if i == 1 {
				text = seconds(v)
			}
			row.Values = append(row.Values, text)
		}
		if known {
			rows = append(rows, row)
		}
	}
	slices.Reverse(rows)
	return rows
}

func total(points []*float64) (sum float64) {
	for _, p := range points {
		if p != nil {
			sum += *p
		}
	}
	return sum
}

// whole writes a number with its thousands apart.
func whole(v float64) string {
	text := strconv.FormatFloat(v, 'f', 0, 64)
	for at := len(text) - 3; at > 0 && text[at-1] != '-'; at -= 3 {
		text = text[:at] + "\u202f" + text[at:]
	}
	return text
}

func seconds(v float64) string { return short(time.Duration(v * float64(time.Second))) }
