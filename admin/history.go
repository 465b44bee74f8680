package admin

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/history"
	"github.com/caddy-webhooks/caddy-webhooks/query"
	"github.com/caddy-webhooks/caddy-webhooks/store"
)

type historyJSON struct {
	Span   string    `json:"span"`
	From   time.Time `json:"from"` // when the first point begins
	Step   int       `json:"step"` // seconds
	Points int       `json:"points"`
	// Sources and Destinations have a value for each point, null where nothing is known.
	Sources      []sourceHistoryJSON      `json:"sources"`
	Destinations []destinationHistoryJSON `json:"destinations"`
	// Changes are those of destinations' states, the oldest first.
	Changes []changeJSON `json:"changes"`
}

type sourceHistoryJSON struct {
	Source      string `json:"source"`
	Accepted    points `json:"accepted"`
	Duplicates  points `json:"duplicates"`
	Rejected    points `json:"rejected"`
	Unavailable points `json:"unavailable"`
}

type destinationHistoryJSON struct {
	Source      string `json:"source"`
	Destination string `json:"destination"`
	Delivered   points `json:"delivered"`
	Failed      points `json:"failed"`
	Dead        points `json:"dead"`
	Pending     points `json:"pending"`
	// OldestPending is the age of the oldest pending event in seconds.
	OldestPending points `json:"oldest_pending"`
}

type changeJSON struct {
	At          time.Time `json:"at"`
	Source      string    `json:"source"`
	Destination string    `json:"destination"`
	State       string    `json:"state"`
	Why         string    `json:"why"`
}

// points are written with null for what is not known.
type points []float32

// MarshalJSON writes numbers as short as they can be told apart.
func (p points) MarshalJSON() ([]byte, error) {
	b := []byte{'['}
	for i, v := range p {
		if i > 0 {
			b = append(b, ',')
		}
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			b = append(b, "null"...)
			continue
		}
		b = strconv.AppendFloat(b, float64(v), 'f', -1, 32)
	}
	return append(b, ']'), nil
}

var historySpans = map[string]history.Span{"1h": history.Hour, "24h": history.Day}

// past serves GET /webhooks/history.
func past(g Gateway, w http.ResponseWriter, r *http.Request) error {
	q, err := parameters(r)
	if err != nil {
		return err
	}
	if err := query.Only(q, "source", "destination", "span"); err != nil {
		return fail(http.StatusBadRequest, err)
	}
	name, source, destination := q.Get("span"), q.Get("source"), q.Get("destination")
	if name == "" {
		name = "1h"
	}
	span, ok := historySpans[name]
	if !ok {
		return fail(http.StatusBadRequest, errors.New("parameter span: must be 1h or 24h"))
	}
	h := g.History()
	if h == nil {
		return failed(store.ErrClosed)
	}
	p := h.Plot(span, time.Now(), func(n history.Name) bool {
		return (source == "" || source == n.Source) && (destination == "" || destination == n.Destination)
	})
	return answer(w, http.StatusOK, toHistory(name, p))
}

func toHistory(name string, p history.Plot) historyJSON {
	v := historyJSON{
		Span: name, From: p.From.UTC(), Step: int(p.Step / time.Second), Points: p.Points,
		Sources: []sourceHistoryJSON{}, Destinations: []destinationHistoryJSON{}, Changes: []changeJSON{},
	}
	for _, s := range p.Series {
		c, g := s.Counts, s.Gauges
		switch {
		case s.Destination == "" && len(c) == 4:
			v.Sources = append(v.Sources, sourceHistoryJSON{s.Source, c[0], c[1], c[2], c[3]})
		case s.Destination != "" && len(c) == 3 && len(g) == 2:
			v.Destinations = append(v.Destinations, destinationHistoryJSON{s.Source, s.Destination, c[0], c[1], c[2], g[0], g[1]})
		}
	}
	for _, c := range p.Changes {
		v.Changes = append(v.Changes, changeJSON{c.At.UTC(), c.Source, c.Destination, c.State, maskText(c.Why, nil)})
	}
	return v
}

type refusalsJSON struct {
	Refusals []refusalJSON `json:"refusals"`
	// Counts are those since the process started.
	Counts []refusalCountJSON `json:"counts"`
}

type refusalJSON struct {
	At     time.Time `json:"at"`
	Source string    `json:"source"`
	Status int       `json:"status"`
	Reason string    `json:"reason"`
	Why    string    `json:"why"`
	Remote string    `json:"remote"`
	Method string    `json:"method"`
	Path   string    `json:"path"`
	Size   *int64    `json:"size"` // null if the request did not say
	More   int       `json:"more"`
}

type refusalCountJSON struct {
	Source string `json:"source"`
	Reason string `json:"reason"`
	// Unavailable: they were answered 503.
	Unavailable bool   `json:"unavailable"`
	Count       uint64 `json:"count"`
}

// maxRefusals bounds the parameter limit.
const maxRefusals = 200

// refusals serves GET /webhooks/refusals.
func refusals(g Gateway, w http.ResponseWriter, r *http.Request) error {
	q, err := parameters(r)
	if err != nil {
		return err
	}
	if err := query.Only(q, "source", "limit"); err != nil {
		return fail(http.StatusBadRequest, err)
	}
	limit := 50
	if q.Has("limit") {
		if limit, err = strconv.Atoi(q.Get("limit")); err != nil || limit < 1 || limit > maxRefusals {
			return fail(http.StatusBadRequest, fmt.Errorf("parameter limit: must be 1 to %d", maxRefusals))
		}
	}
	source := q.Get("source")
	v := refusalsJSON{Refusals: []refusalJSON{}, Counts: []refusalCountJSON{}}
	list := g.Refusals(source)
	for _, one := range list[:min(limit, len(list))] {
		said := refusalJSON{
			one.At.UTC(), one.Source, one.Status, one.Reason, maskText(one.Why, nil), one.Remote, one.Method, one.Path, nil, one.More,
		}
		if one.Size >= 0 {
			said.Size = &one.Size
		}
		v.Refusals = append(v.Refusals, said)
	}
	for _, c := range g.RefusalCounts(source) {
		v.Counts = append(v.Counts, refusalCountJSON(c))
	}
	return answer(w, http.StatusOK, v)
}
