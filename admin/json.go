package admin

import (
	"strings"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/gateway"
	"github.com/caddy-webhooks/caddy-webhooks/store"
)

type sourceJSON struct {
	Name         string            `json:"name"`
	Provider     string            `json:"provider"`
	Destinations []destinationJSON `json:"destinations"`
	Accepted     uint64            `json:"accepted"`
	Duplicates   uint64            `json:"duplicates"`
	// DuplicateDiffers counts those of the duplicates that had another body.
	DuplicateDiffers uint64 `json:"duplicate_differs"`
	Rejected         uint64 `json:"rejected"`
}

type destinationJSON struct {
	Name          string     `json:"name"`
	State         string     `json:"state"`
	Pending       int64      `json:"pending"`
	Delivered     int64      `json:"delivered"`
	Dead          int64      `json:"dead"`
	Discarded     int64      `json:"discarded"`
	Filtered      int64      `json:"filtered"`
	InFlight      int64      `json:"in_flight"`
	Retrying      int64      `json:"retrying"` // of the pending ones: those that have failed before
	OldestPending *time.Time `json:"oldest_pending"`
	Rate          float64    `json:"rate"`
	Failures      int        `json:"failures"`
	DownSince     *time.Time `json:"down_since,omitempty"`
	Why           string     `json:"why,omitempty"`
	NextProbe     *time.Time `json:"next_probe,omitempty"`
	FailingSince  *time.Time `json:"failing_since,omitempty"`
	LastError     string     `json:"last_error,omitempty"`
	CutAnswers    uint64     `json:"cut_answers,omitempty"`
}

func toSource(s gateway.SourceStatus) sourceJSON {
	v := sourceJSON{
		Name: s.Name, Provider: s.Provider, Accepted: s.Accepted, Duplicates: s.Duplicates, DuplicateDiffers: s.Differs, Rejected: s.Rejected,
		Destinations: []destinationJSON{},
	}
	for _, d := range s.Destinations {
		v.Destinations = append(v.Destinations, toDestination(d))
	}
	return v
}

func toDestination(d gateway.DestinationStatus) destinationJSON {
	return destinationJSON{
		Name: d.Name, State: d.State, Pending: d.Count[event.Pending], Delivered: d.Count[event.Delivered],
		Dead: d.Count[event.Dead], Discarded: d.Count[event.Discarded], Filtered: d.Count[event.Filtered],
		InFlight: d.InFlight, Retrying: d.Retrying, OldestPending: at(d.OldestPending), Rate: d.Rate, Failures: d.Failures,
		DownSince: at(d.DownSince), Why: maskText(d.Why, nil), NextProbe: at(d.NextProbe),
		FailingSince: at(d.FailingSince), LastError: maskText(d.LastError, nil), CutAnswers: d.Truncated,
	}
}

type eventsJSON struct {
	Events []eventJSON `json:"events"`
	Next   string      `json:"next"` // empty on the last page
	// SearchedUntil is there where the search ended early so as to stay short: how
	// far back it came. next goes on from there.
	SearchedUntil *time.Time `json:"searched_until,omitempty"`
}

type eventJSON struct {
	Event      string         `json:"event"`
	Source     string         `json:"source"`
	Provider   string         `json:"provider"`
	ID         string         `json:"id"`
	Type       string         `json:"type"`
	Received   time.Time      `json:"received"`
	Size       int            `json:"size"`
	Gone       bool           `json:"gone,omitempty"`
	Deliveries []deliveryJSON `json:"deliveries"`
}

type deliveryJSON struct {
	Destination string     `json:"destination"`
	Source      string     `json:"source,omitempty"` // the destination's, where it is another than the event's
	State       string     `json:"state"`
	Attempts    any        `json:"attempts"` // a number in lists, []attemptJSON for one event
	Next        *time.Time `json:"next"`
	InFlight    bool       `json:"in_flight,omitempty"`
	Replay      bool       `json:"replay,omitempty"`
	Discarding  bool       `json:"discarding,omitempty"`
	DeliveredAt *time.Time `json:"delivered_at,omitempty"`
	// SettledAt is when it came to its end: delivered, dead, discarded or filtered.
	SettledAt *time.Time `json:"settled_at,omitempty"`
}

type attemptJSON struct {
	At       time.Time           `json:"at"`
	Number   int                 `json:"number"`
	Status   int                 `json:"status"`
	Error    string              `json:"error"`
	Duration float64             `json:"duration"` // seconds
	Headers  map[string][]string `json:"headers"`
	Answer   string              `json:"answer"`
}

type recordJSON struct {
	eventJSON
	Method  string              `json:"method"`
	URI     string              `json:"uri"`
	Headers map[string][]string `json:"headers"`
	Body    []byte              `json:"body"`
	// Damaged tells that the content is not on the disk as it was written.
	Damaged bool `json:"damaged,omitempty"`
}

func toEvent(r store.Row) eventJSON {
	v := eventJSON{
		Event: r.ID.String(), Source: r.Source, Provider: r.Provider, ID: r.ProviderID, Type: r.Type,
		Received: r.Received.UTC(), Size: r.Size, Gone: r.Gone, Deliveries: []deliveryJSON{},
	}
	for _, d := range r.Deliveries {
		settled := d.SettledAt
		if d.State == event.Pending { // then it is when it was last attempted
			settled = time.Time{}
		}
		v.Deliveries = append(v.Deliveries, deliveryJSON{
			Destination: d.Destination, Source: d.Source, State: d.State.String(), Attempts: d.Attempts, Next: at(d.Next),
			InFlight: d.InFlight, Replay: d.Replay, Discarding: d.Discarding, DeliveredAt: at(d.DeliveredAt), SettledAt: at(settled),
		})
	}
	return v
}

// toRecord gives an event whole. Unless it is open, values of headers and
// parameters that look like secrets are masked.
func toRecord(r store.Record, open bool) recordJSON {
	v := recordJSON{eventJSON: toEvent(r.Row), Headers: map[string][]string{}, Body: []byte{}, Damaged: r.Damaged}
	var proof []string
	if r.Event != nil {
		proof = r.Event.Proof
	}
	for i := range v.Deliveries {
		d := &v.Deliveries[i]
		attempts := []attemptJSON{}
		for _, a := range r.Attempts {
			if a.Of(&r.Deliveries[i]) {
				attempts = append(attempts, toAttempt(a, proof, open))
			}
		}
		d.Attempts = attempts
	}
	if e := r.Event; e != nil {
		v.Method, v.URI, v.Headers, v.Body = e.Method, maskURI(e.URI, proof), mask(e.Header, proof), list(e.Body)
		if open {
			v.URI, v.Headers = e.URI, e.Header
		}
	}
	return v
}

// toAttempt masks the words of an error too: they may name the address with its query.
func toAttempt(a event.Attempt, proof []string, open bool) attemptJSON {
	v := attemptJSON{
		At: a.At.UTC(), Number: a.Number, Status: a.Status, Error: maskText(a.Error, proof), Duration: a.Duration.Seconds(),
		Headers: mask(a.Header, proof), Answer: strings.ToValidUTF8(string(a.Answer), "�"),
	}
	if open {
		v.Error, v.Headers = a.Error, a.Header
	}
	return v
}

// at is nil for the zero time.
func at(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
