package ui

import (
	"net/url"
	"slices"
	"time"
)

// destinationData is what the page of one destination shows.
type destinationData struct {
	Source string
	toward
	Troubles []trouble
	Plots    []plot
	Numbers  []numbers
	Changes  []change
	Strip    strip
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
	var h past
	if err := v.get("/webhooks/history", url.Values{"span": {d.Span}, "source": {d.Source}, "destination": {d.Name}}, &h); err != nil {
		return content{}, err
	}
	d.remember(d.Source, h)
	d.Changes, d.Troubles = latest(h.Changes, 100), d.troubles(d.Source, h)
	if len(h.Destinations) == 1 {
		s := h.Destinations[0]
		d.Plots = []plot{
			h.line("Waiting", s.Pending, whole).gauge(), h.line("Age of the oldest", s.OldestPending, seconds).gauge(),
			h.line("Delivered", s.Delivered, whole).flow(), h.line("Failed attempts", s.Failed, whole).flow(),
			h.line("Dead", s.Dead, whole).flow(),
		}
		d.Strip = h.strip(d.Source, d.Name, d.State, s.Pending)
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
