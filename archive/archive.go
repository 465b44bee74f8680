// Package archive writes events as lines of JSON and reads them back, whole:
// with every byte, every state and every attempt. It is what an export is made
// of, to be kept, searched with other tools, or imported elsewhere.
//
// What came from strangers need not be UTF-8, which JSON must be. Such a text is
// written as {"base64": "…"} in place of a string.
package archive

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/store"
)

// Format is the number of the form of the lines. Another is refused.
const Format = 1

// MaxLine is how long a line may be, in bytes, where lines are read: what the
// largest event takes that a store takes (the local one half a segment of 64 MiB,
// with its body in base64), what JSON adds to its headers, and its attempts. What has
// no line ends, as a file of another kind may have none, must not fill the memory.
const MaxLine = (32<<20)*4/3 + 6<<20 + maxAttempts*8<<10

// ErrLine is returned for a line that is no event.
var ErrLine = errors.New("not an exported event")

// line is one event. Names are those of the API where it has them.
type line struct {
	Format       int               `json:"format"`
	Event        string            `json:"event"`
	Source       string            `json:"source"`
	Provider     string            `json:"provider"`
	ID           text              `json:"id"`
	Type         text              `json:"type"`
	Received     time.Time         `json:"received"`
	Size         int               `json:"size"`
	Gone         bool              `json:"gone,omitempty"`
	Secret       string            `json:"secret,omitempty"`
	Proof        []text            `json:"proof,omitempty"`
	Method       text              `json:"method,omitempty"`
	URI          text              `json:"uri,omitempty"`
	OriginalURI  text              `json:"original_uri,omitempty"`
	Proto        text              `json:"proto,omitempty"`
	Host         text              `json:"host,omitempty"`
	TLS          bool              `json:"tls,omitempty"`
	RemoteAddr   text              `json:"remote_addr,omitempty"`
	ClientIP     text              `json:"client_ip,omitempty"`
	TrustedProxy bool              `json:"trusted_proxy,omitempty"`
	Headers      map[string][]text `json:"headers,omitempty"`
	Body         []byte            `json:"body,omitempty"`
	Deliveries   []delivery        `json:"deliveries"`
	// Cursor means something to the gateway alone that wrote it.
	Cursor string `json:"cursor,omitempty"`
}

type delivery struct {
	Destination string        `json:"destination"`
	Source      string        `json:"source,omitempty"`
	State       string        `json:"state"`
	Tries       int           `json:"tries,omitempty"`
	Excused     int           `json:"excused,omitempty"`
	Spent       time.Duration `json:"spent_ns,omitempty"`
	Next        *time.Time    `json:"next,omitempty"`
	Asked       bool          `json:"asked,omitempty"`
	DeliveredAt *time.Time    `json:"delivered_at,omitempty"`
	SettledAt   *time.Time    `json:"settled_at,omitempty"`
	Replay      bool          `json:"replay,omitempty"`
	Discarding  bool          `json:"discarding,omitempty"`
	Order       string        `json:"order,omitempty"` // hexadecimal
	Attempts    []attempt     `json:"attempts,omitempty"`
}

type attempt struct {
	At       time.Time         `json:"at"`
	Number   int               `json:"number"`
	Status   int               `json:"status,omitempty"`
	Error    text              `json:"error,omitempty"`
	Duration time.Duration     `json:"duration_ns,omitempty"`
	Headers  map[string][]text `json:"headers,omitempty"`
	Answer   text              `json:"answer,omitempty"`
}

// text is a string of a stranger's.
type text string

type encoded struct {
	Base64 []byte `json:"base64"`
}

// MarshalJSON gives a string, or what stands in place of one.
func (t text) MarshalJSON() ([]byte, error) {
	if utf8.ValidString(string(t)) {
		return json.Marshal(string(t)) //nolint:wrapcheck // a string
	}
	return json.Marshal(encoded{[]byte(t)}) //nolint:wrapcheck // bytes
}

// UnmarshalJSON reads both.
func (t *text) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '{' {
		var e encoded
		if err := strict(b, &e); err != nil {
			return err
		}
		*t = text(e.Base64)
		return nil
	}
	return json.Unmarshal(b, (*string)(t)) //nolint:wrapcheck // it says where
}

// Append adds an event's line, with its end, to b. An event that is just being
// sent to a destination is written as one that waits. cursor tells where the
// export would go on behind the event; empty for nowhere.
func Append(b []byte, r store.Record, cursor string) ([]byte, error) {
	v := line{
		Format: Format, Event: r.ID.String(), Source: r.Source, Provider: r.Provider, ID: text(r.ProviderID), Type: text(r.Type),
		Received: r.Received.UTC(), Size: r.Size, Gone: r.Event == nil, Cursor: cursor, Deliveries: []delivery{},
	}
	if e := r.Event; e != nil {
		v.request(e)
	}
	for _, d := range r.Deliveries {
		one := toDelivery(d)
		one.Attempts = toAttempts(r.Attempts, d)
		v.Deliveries = append(v.Deliveries, one)
	}
	buffer := bytes.NewBuffer(b)
	encoder := json.NewEncoder(buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil { //nolint:gosec // Secret is a digest
		return b, fmt.Errorf("writing event %s: %w", r.ID, err)
	}
	return buffer.Bytes(), nil
}

func (v *line) request(e *event.Event) {
	v.Secret, v.Proof = e.Secret, texts(e.Proof)
	v.Method, v.URI, v.OriginalURI, v.Proto, v.Host = text(e.Method), text(e.URI), text(e.OriginalURI), text(e.Proto), text(e.Host)
	v.TLS, v.RemoteAddr, v.ClientIP, v.TrustedProxy = e.TLS, text(e.RemoteAddr), text(e.ClientIP), e.TrustedProxy
	v.Headers, v.Body = headers(e.Header), e.Body
}

func toDelivery(d event.Delivery) delivery {
	v := delivery{
		Destination: d.Destination, Source: d.Source, State: d.State.String(), Tries: d.Attempts, Excused: d.Excused, Spent: d.Spent,
		Next: at(d.Next), Asked: d.Asked, DeliveredAt: at(d.DeliveredAt), SettledAt: at(d.SettledAt), Replay: d.Replay,
		Discarding: d.Discarding,
	}
	if d.Order != 0 {
		v.Order = strconv.FormatUint(d.Order, 16)
	}
	return v
}

func toAttempts(all []event.Attempt, d event.Delivery) (list []attempt) {
	for _, a := range all {
		if a.Of(&d) {
			list = append(list, attempt{
				At: a.At.UTC(), Number: a.Number, Status: a.Status, Error: text(a.Error), Duration: a.Duration,
				Headers: headers(a.Header), Answer: text(a.Answer),
			})
		}
	}
	return list
}

func texts(list []string) []text {
	var v []text
	for _, s := range list {
		v = append(v, text(s))
	}
	return v
}

func plain(list []text) []string {
	var v []string
	for _, s := range list {
		v = append(v, string(s))
	}
	return v
}

func headers(h http.Header) map[string][]text {
	v := make(map[string][]text, len(h))
	for name, values := range h {
		v[name] = texts(values)
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

// strict reads one JSON value and refuses what it does not know: a field that is
// dropped would be lost.
func strict(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err //nolint:wrapcheck // it says where
	}
	if d.More() {
		return errors.New("there is something behind it")
	}
	return nil
}

// Read reads one line. Its errors wrap [ErrLine] and say what is wrong with it.
func Read(b []byte) (store.Record, error) {
	var v line
	err := strict(b, &v)
	if err == nil {
		err = v.check()
	}
	if err != nil {
		return store.Record{}, fmt.Errorf("%w: %w", ErrLine, err)
	}
	return v.record(), nil
}

func (v *line) record() store.Record {
	id, _ := event.ParseID(v.Event) // it was checked
	r := store.Record{Row: store.Row{
		ID: id, Source: v.Source, Provider: v.Provider, ProviderID: string(v.ID), Type: string(v.Type), Received: v.Received,
		Size: v.Size, Gone: v.Gone,
	}}
	if !v.Gone {
		r.Event = v.content(id)
	}
	for _, d := range v.Deliveries {
		r.Deliveries = append(r.Deliveries, d.delivery(v.Received))
		for _, a := range d.Attempts {
			r.Attempts = append(r.Attempts, event.Attempt{
				Destination: d.Destination, Source: d.Source, Number: a.Number, At: a.At, Duration: a.Duration, Status: a.Status, Error: string(a.Error),
				Header: header(a.Headers), Answer: []byte(a.Answer),
			})
		}
	}
	slices.SortStableFunc(r.Attempts, func(a, b event.Attempt) int { return a.At.Compare(b.At) })
	return r
}

func (v *line) content(id event.ID) *event.Event {
	e := &event.Event{
		ID: id, Source: v.Source, Provider: v.Provider, ProviderID: string(v.ID), Type: string(v.Type), Secret: v.Secret,
		Proof: plain(v.Proof), Received: v.Received, Method: string(v.Method), URI: string(v.URI), OriginalURI: string(v.OriginalURI),
		Proto: string(v.Proto), Host: string(v.Host), TLS: v.TLS, RemoteAddr: string(v.RemoteAddr), ClientIP: string(v.ClientIP),
		TrustedProxy: v.TrustedProxy, Header: header(v.Headers), Body: v.Body,
	}
	if e.Body == nil {
		e.Body = []byte{}
	}
	return e
}

func (d delivery) delivery(received time.Time) event.Delivery {
	state, _ := event.ParseState(d.State) // it was checked, as was the order
	order, _ := strconv.ParseUint(d.Order, 16, 64)
	v := event.Delivery{
		Destination: d.Destination, Source: d.Source, State: state, Attempts: d.Tries, Excused: d.Excused, Spent: d.Spent,
		Next: zero(d.Next), Asked: d.Asked, DeliveredAt: zero(d.DeliveredAt), SettledAt: zero(d.SettledAt), Replay: d.Replay,
		Discarding: d.Discarding, Order: order,
	}
	if state == event.Pending && v.Next.IsZero() {
		v.Next = received
	}
	return v
}

func zero(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}

func header(h map[string][]text) http.Header {
	v := make(http.Header, len(h))
	for name, values := range h {
		v[name] = plain(values)
	}
	return v
}
