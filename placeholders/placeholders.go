// Package placeholders says what {webhooks.…} stand for: while an event is
// accepted, and in each attempt to deliver it.
//
// Whatever they give is a stranger's word. It is given as one line, so that it
// cannot end a header and begin another; and it is looked up when it is asked
// for, never before.
package placeholders

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidwall/gjson"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/jsonpath"
)

// Prefix begins the name of each of them, and JSON the names that go on with a path.
const (
	Prefix = "webhooks."
	JSON   = "json."
)

// names are the others: those that an event has when it comes, those that it
// gets when it is stored, and those that only an attempt has.
var (
	early    = []string{"source", "provider", "id", "type", "received"}
	stored   = []string{"event"}
	attempts = []string{"attempt", "destination"}
)

// Known tells whether the placeholder with this name, its prefix included, has
// a value at some time; and whether it has it already when an event comes.
func Known(name string) (known, atOnce bool) {
	name, ours := strings.CutPrefix(name, Prefix)
	path, inBody := strings.CutPrefix(name, JSON)
	switch {
	case !ours:
		return false, false
	case inBody:
		return path != "", path != ""
	case slices.Contains(early, name):
		return true, true
	}
	return slices.Contains(stored, name) || slices.Contains(attempts, name), false
}

// Values are the placeholders of one event, for one request or one attempt.
type Values struct {
	// Event is what they are about. It need not have been stored yet.
	Event *event.Event
	// ID is the stored event's: a duplicate has the first one's.
	ID event.ID
	// Destination and Attempt are an attempt's; zero while an event is accepted.
	Destination string
	Attempt     int

	read sync.Once
	json []byte
	err  error // why there is no json
	hit  atomic.Bool
}

// Get gives the value of the placeholder with this name, and whether there is
// such a placeholder. One that has no value just now is empty.
func (v *Values) Get(name string) (any, bool) {
	name, ours := strings.CutPrefix(name, Prefix)
	if !ours {
		return nil, false
	}
	if path, inBody := strings.CutPrefix(name, JSON); inBody {
		return oneLine(v.lookup(path)), true
	}
	switch name {
	case "source":
		return v.Event.Source, true
	case "provider":
		return v.Event.Provider, true
	case "id":
		return oneLine(v.Event.ProviderID), true
	case "type":
		return oneLine(v.Event.Type), true
	case "event":
		return v.id(), true
	case "received":
		return v.received(), true
	case "destination":
		return v.Destination, true
	case "attempt":
		return v.attempt(), true
	}
	return nil, false
}

func (v *Values) id() string {
	if v.ID.IsZero() {
		return ""
	}
	return v.ID.String()
}

func (v *Values) received() string {
	if v.Event.Received.IsZero() {
		return ""
	}
	return v.Event.Received.UTC().Format(time.RFC3339Nano)
}

// attempt is a number, so that an expression can compare it with one.
func (v *Values) attempt() any {
	if v.Attempt == 0 {
		return ""
	}
	return v.Attempt
}

// ErrJSON is why nothing is found in a body that begins like JSON.
var ErrJSON = errors.New("the body is not valid JSON, or is nested too deeply")

// Err is ErrJSON if, since it was called last, a value was looked for in such a
// body.
func (v *Values) Err() error {
	if v.hit.Swap(false) {
		return v.err
	}
	return nil
}

// lookup gives what a path of gjson leads to: a scalar's text, an object's or an
// array's JSON, else nothing.
func (v *Values) lookup(path string) string {
	v.read.Do(v.parse)
	if v.err != nil {
		v.hit.Store(true)
	}
	if v.json == nil || path == "" {
		return ""
	}
	switch r := jsonpath.Get(v.json, path); {
	case r.Type == gjson.Number && r.Raw != "":
		return r.Raw // as it was written: a large number must not be rounded
	default:
		return r.String()
	}
}

// parse finds the JSON. gjson trusts it to be valid; the standard library's
// check is made once, does not call itself, and takes at most 10,000 levels.
func (v *Values) parse() {
	text := bytes.TrimPrefix(jsonpath.Text(v.Event.Header, v.Event.Body), []byte("\xef\xbb\xbf"))
	switch begin := bytes.TrimLeft(text, " \t\r\n"); {
	case len(begin) == 0, begin[0] != '{' && begin[0] != '[':
	case !json.Valid(text):
		v.err = ErrJSON
	default:
		v.json = text
	}
}

// oneLine puts a space in the place of each control character: with one of them
// in a header an attempt would fail, and fail again, until its event is dead.
func oneLine(s string) string {
	if strings.IndexFunc(s, control) < 0 {
		return s
	}
	return strings.Map(func(r rune) rune {
		if control(r) {
			return ' '
		}
		return r
	}, s)
}

func control(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }
