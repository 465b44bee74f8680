package ui

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// row is an event as lists have it.
type row struct {
	Event, Source, Provider, ID, Type string
	Received                          time.Time
	Size                              int
	Gone                              bool
	Deliveries                        []delivery
}

// mostKept is how much of a type or an ID the gateway keeps for show, in bytes.
const mostKept = 255

// CutType tells that there may have been more of it.
func (r row) CutType() bool { return len(r.Type) >= mostKept }

// CutID is as CutType.
func (r row) CutID() bool { return len(r.ID) >= mostKept }

// stateCount is how many deliveries of an event are in a state.
type stateCount struct {
	State string
	N     int
}

// Counts says in short how an event's deliveries stand, where there are many.
func (r row) Counts() (counts []stateCount) {
	for _, d := range r.Deliveries {
		i := slices.IndexFunc(counts, func(c stateCount) bool { return c.State == d.State })
		if i < 0 {
			i = len(counts)
			counts = append(counts, stateCount{State: d.State})
		}
		counts[i].N++
	}
	slices.SortFunc(counts, func(a, b stateCount) int { return cmp.Compare(a.State, b.State) })
	return counts
}

type delivery struct {
	Destination, Source, State string
	Attempts                   json.RawMessage // a number, or a list
	Next                       *time.Time
	InFlight                   bool `json:"in_flight"`
	Replay, Discarding         bool
	DeliveredAt                *time.Time `json:"delivered_at"`
	SettledAt                  *time.Time `json:"settled_at"`
}

// filterNames are the fields of the search, in their order.
var filterNames = []string{"source", "destination", "state", "type", "id", "since", "until", "q"}

type eventsData struct {
	Filter   url.Values
	Rows     []row
	Next     string
	Searched *time.Time
	Sources  []string
	States   []string
	// Problem says what is wrong with the search.
	Problem string
	// Chosen tells that something is searched for, so that one may act on all of it.
	Chosen bool
	// More tells that a field is used which is folded away otherwise.
	More bool
}

// pageRows is how many events a page has.
const pageRows = 50

func (v *visit) events() (content, error) {
	d := eventsData{Filter: url.Values{}, States: []string{"pending", "delivered", "dead", "discarded", "filtered"}}
	q := url.Values{"limit": {fmt.Sprint(pageRows)}}
	for _, name := range append(slices.Clone(filterNames), "cursor") {
		if value := strings.TrimSpace(v.query.Get(name)); value != "" { // an empty field of the form is no filter
			q.Set(name, value)
			if name != "cursor" {
				d.Filter.Set(name, value)
			}
		}
	}
	d.Chosen = len(d.Filter) > 0
	d.More = slices.ContainsFunc([]string{"type", "id", "since", "until"}, d.Filter.Has)
	var all struct{ Sources []source }
	if err := v.get("/webhooks/sources", nil, &all); err != nil {
		return content{}, err
	}
	for _, s := range all.Sources {
		d.Sources = append(d.Sources, s.Name)
	}
	var page struct {
		Events        []row
		Next          string
		SearchedUntil *time.Time `json:"searched_until"`
	}
	err := v.get("/webhooks/events", q, &page)
	if said, ok := err.(*apiError); ok && said.status == http.StatusBadRequest { //nolint:errorlint // it is not wrapped
		d.Problem = said.words
	} else if err != nil {
		return content{}, err
	}
	d.Rows, d.Next, d.Searched = page.Events, page.Next, page.SearchedUntil
	return content{title: "Events", data: d, still: v.query.Has("cursor") || d.Filter.Has("q")}, nil
}

// attempt is one try.
type attempt struct {
	At       time.Time
	Number   int
	Status   int
	Error    string
	Duration float64
	Headers  map[string][]string
	Answer   string
}

// way is an event's way to one destination.
type way struct {
	delivery
	// To is the destination with its source.
	To     string
	Origin string
	Tries  []attempt
	// Why says how it stands, and what happens now.
	Why string
}

// Settled is when it came into the state that it stays in, if that is known.
func (w way) Settled() *time.Time {
	if w.State == "pending" {
		return nil
	}
	return cmp.Or(w.SettledAt, w.DeliveredAt)
}

// Rounds are the tries between a replay and the next one: each counts from 1 again.
func (w way) Rounds() (rounds [][]attempt) {
	for i, t := range w.Tries {
		if i == 0 || t.Number <= w.Tries[i-1].Number {
			rounds = append(rounds, nil)
		}
		rounds[len(rounds)-1] = append(rounds[len(rounds)-1], t)
	}
	return rounds
}

type eventData struct {
	row
	Method, URI string
	Headers     []header
	Ways        []way
	// Pretty is the body for people, Raw as it is; Kind says what it is, and Cut
	// that it is longer than what is shown.
	Pretty, Raw, Kind string
	Cut               bool
	// Held says of which destinations nothing is sent to just now.
	Held []string
}

type header struct {
	Name   string
	Values []string
}

func (v *visit) event() (content, error) {
	var e struct {
		row
		Method, URI string
		Headers     map[string][]string
		Body        []byte
	}
	if err := v.get("/webhooks/events/"+v.at.arg, nil, &e); err != nil {
		return content{}, err
	}
	var all struct{ Sources []source }
	if err := v.get("/webhooks/sources", nil, &all); err != nil {
		return content{}, err
	}
	d := eventData{row: e.row, Method: e.Method, URI: e.URI}
	for _, name := range slices.Sorted(maps.Keys(e.Headers)) {
		d.Headers = append(d.Headers, header{name, e.Headers[name]})
	}
	for _, one := range e.Deliveries {
		w := way{delivery: one, Origin: e.Source}
		if one.Source != "" {
			w.Origin = one.Source
		}
		w.To = w.Origin + "/" + one.Destination
		_ = json.Unmarshal(one.Attempts, &w.Tries) // of one event it is a list
		to := towardOf(all.Sources, w.Origin, one.Destination)
		w.Why = w.explain(to, v.p.now())
		if w.State == "pending" {
			d.Held = append(d.Held, to.held(w.To)...)
		}
		d.Ways = append(d.Ways, w)
	}
	d.Pretty, d.Raw, d.Kind, d.Cut = readable(e.Body, contentType(e.Headers))
	return content{title: "Event " + d.Event, data: d, note: strings.Join(d.Held, " ")}, nil
}

func towardOf(all []source, src, name string) toward {
	for _, s := range all {
		for _, d := range s.Destinations {
			if s.Name == src && d.Name == name {
				return d
			}
		}
	}
	return toward{State: "orphaned"}
}

// held says why nothing is sent to a destination just now; it is empty if it is up.
func (d toward) held(name string) []string {
	words := map[string]string{
		"paused":   " is paused: nothing is sent to it until somebody resumes it.",
		"down":     " is down: nothing is sent to it until it answers again.",
		"orphaned": " is not configured any more: nothing is sent to it.",
	}[d.State]
	if words == "" {
		return nil
	}
	return []string{name + words}
}

// explain says why a delivery stands as it does, and what happens next.
func (w way) explain(to toward, now time.Time) string {
	last := "no attempt was made yet"
	if n := len(w.Tries); n > 0 {
		last = "the last attempt: " + w.Tries[n-1].outcome()
	}
	switch w.State {
	case "pending":
		return w.explainWaiting(to, now, last)
	case "dead":
		return "Dead, and kept: " + strings.TrimSuffix(last, ".") + ". No further attempt is made. When the application is repaired, replay it."
	}
	return settled[w.State]
}

// settled says what the states mean in which nothing more happens.
var settled = map[string]string{
	"delivered": "The application has taken it.",
	"filtered":  "This destination did not want it: its `events` or `match` did not fit when it came.",
	"discarded": "An operator has discarded it.",
}

// explainWaiting says what a delivery waits for.
func (w way) explainWaiting(to toward, now time.Time, last string) string {
	switch {
	case w.Discarding:
		return "An operator has discarded it while an attempt runs; no other follows."
	case w.InFlight:
		return "An attempt runs just now, or is about to; " + last + "."
	case to.State == "paused":
		return "It waits because an operator has paused the destination."
	case to.State == "orphaned":
		return "It waits because the configuration does not name the destination any more. Move it, or configure it again."
	case to.State == "down":
		return "It waits because the destination is down (" + cmp.Or(to.Why, to.LastError, "it does not answer") + "). Nothing of its time for retries is used up."
	case w.Next != nil && w.Next.After(now):
		return "It is tried again in " + short(w.Next.Sub(now)) + "; " + last + "."
	}
	return "It is due, and waits for its turn; " + last + "."
}

// outcome says what came of it.
func (a attempt) outcome() string {
	switch {
	case a.Error != "":
		return a.Error
	case a.Status != 0:
		return fmt.Sprint("the application answered ", a.Status)
	}
	return "no answer"
}

// Good tells that the application took it.
func (a attempt) Good() bool { return a.Status/100 == 2 && a.Error == "" }

// body hands the bytes over as they are, never to be shown by the browser.
func (v *visit) body(w http.ResponseWriter) error {
	resp, err := v.p.api.ask(v.r.Context(), v.who, http.MethodGet, "/webhooks/events/"+v.at.arg, url.Values{"body": {"raw"}}, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // it was read
	if resp.StatusCode != http.StatusOK {
		return &apiError{resp.StatusCode, "the body is not there any more, or never was"}
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Disposition", `attachment; filename="`+v.at.arg+`.bin"`)
	var b bytes.Buffer
	if _, err := b.ReadFrom(resp.Body); err != nil {
		return fmt.Errorf("reading the body: %w", err)
	}
	_, _ = w.Write(b.Bytes()) // whoever has hung up needs none
	return nil
}
