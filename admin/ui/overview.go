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
	// DuplicateDiffers counts those that said something else than the first.
	DuplicateDiffers int64 `json:"duplicate_differs"`
}

type toward struct {
	Name, State                                   string
	Pending, Delivered, Dead, Discarded, Filtered int64
	InFlight                                      int64 `json:"in_flight"`
	// Retrying is how many of the pending ones have failed at least once.
	Retrying      int64
	OldestPending *time.Time `json:"oldest_pending"`
	Rate          float64
	Failures      int
	DownSince     *time.Time `json:"down_since"`
	Why           string
	NextProbe     *time.Time `json:"next_probe"`
	FailingSince  *time.Time `json:"failing_since"`
	LastError     string     `json:"last_error"`
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
	Troubles     []group
	Tiles        []tile
	Destinations []destinationRow
	Sources      []sourceRow
	Changes      []change
	Older        []change
	Span         string
}

type tile struct {
	Name, Value, Note, Kind, Link string
	// Since is a moment, where the value is how long ago that is.
	Since *time.Time
}

type destinationRow struct {
	Source string
	toward
	Waiting, Oldest, Flow plot
	Strip                 strip
}

type sourceRow struct {
	source
	// Rate is how many it accepts a second just now.
	Rate        float64
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
	var troubles []trouble
	for _, r := range health.Reasons {
		troubles = append(troubles, trouble{Kind: "bad", Words: r.Words})
	}
	for _, s := range all.Sources {
		d.Sources = append(d.Sources, s.row(h, v.p.now()))
		for _, to := range s.Destinations {
			to.remember(s.Name, h)
			d.Destinations = append(d.Destinations, to.row(s.Name, h))
			troubles = append(troubles, to.troubles(s.Name, h)...)
		}
	}
	d.Troubles = grouped(troubles)
	slices.SortStableFunc(d.Destinations, func(a, b destinationRow) int { return cmp.Compare(a.rank(), b.rank()) })
	d.Tiles = tiles(all.Sources, h)
	d.Changes = latest(h.Changes, 100)
	if len(d.Changes) > mostChanges {
		d.Changes, d.Older = d.Changes[:mostChanges], d.Changes[mostChanges:]
	}
	return content{title: "Overview", data: d}, nil
}

// mostChanges is how many changes are shown at once.
const mostChanges = 10

// rank puts what needs somebody first.
func (r destinationRow) rank() int {
	switch {
	case r.State == "down":
		return 0
	case r.State == "orphaned":
		return 1
	case r.State == "paused":
		return 2
	case r.Retrying > 0:
		return 3
	case r.Dead > 0:
		return 4
	}
	return 5
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
			r.Waiting = h.line("Waiting", s.Pending, whole).smallGauge()
			r.Oldest = h.line("Age of the oldest", s.OldestPending, seconds).smallGauge()
			r.Flow = h.line("Delivered", s.Delivered, whole).smallFlow()
			r.Strip = h.strip(src, d.Name, d.State, s.Pending)
		}
	}
	return r
}

func (h past) line(title string, points []*float64, unit func(float64) string) line {
	return line{title, points, time.Duration(h.Step) * time.Second, unit}
}

func (s source) row(h past, now time.Time) sourceRow {
	r := sourceRow{source: s}
	for _, one := range h.Sources {
		if one.Source == s.Name {
			r.Rate = h.rate(one.Accepted, now)
			r.In, r.Refused = h.line("Accepted", one.Accepted, whole).smallFlow(), h.line("Refused", one.Rejected, whole).smallFlow()
		}
	}
	return r
}

// rate is how many there are a second, over about the last minute, or of the day
// over the last ten.
func (h past) rate(points []*float64, now time.Time) float64 {
	last := min(5, len(points))
	if h.Step >= 60 {
		last = min(2, len(points))
	}
	from := h.From.Add(time.Duration((len(points)-last)*h.Step) * time.Second)
	if took := now.Sub(from).Seconds(); took > 0 {
		return total(points[len(points)-last:]) / took
	}
	return 0
}

// tiles are the numbers of the whole gateway.
func tiles(all []source, h past) []tile {
	var waiting, flying, dead, retried int64
	var oldest *time.Time
	for _, s := range all {
		for _, d := range s.Destinations {
			waiting, flying, dead, retried = waiting+d.Pending, flying+d.InFlight, dead+d.Dead, retried+d.Retrying
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
	note := whole(float64(flying)) + " under way"
	if retried > 0 {
		note = whole(float64(retried)) + " failed before"
	}
	age := tile{Name: "Oldest waiting", Value: "–", Note: "nothing waits"}
	if oldest != nil {
		age.Since, age.Note = oldest, "since it was received"
	}
	return []tile{
		{Name: "Accepted", Value: whole(in), Note: during},
		{Name: "Delivered", Value: whole(out), Note: during},
		{Name: "Waiting", Value: whole(float64(waiting)), Note: note, Link: "events?state=pending"},
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
