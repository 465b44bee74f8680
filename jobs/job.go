// Package jobs does to many events what an operator does to one: replays,
// discards and moves them, at a rate, within what the destinations bear, and over
// restarts.
//
// A job goes through the events from the oldest to the newest that there was when
// it began. Now and then it notes how far it is, and what it has done. After a
// crash it goes on from there, and what it has done already is spared: it acts on
// no delivery that was settled since it began.
package jobs

import (
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/query"
	"github.com/caddy-webhooks/caddy-webhooks/store"
)

// State is how far a job is.
type State string

// The states.
const (
	Running   State = "running"
	Done      State = "done"
	Cancelled State = "cancelled"
	Failed    State = "failed"
)

// Errors of this package.
var (
	ErrUnknown  = errors.New("no such job")
	ErrEnded    = errors.New("the job has ended")
	ErrTooMany  = errors.New("too many jobs are running")
	ErrNoFilter = errors.New("name what it is about: at least one filter, such as source, state or since")
	ErrTooLong  = errors.New("the filters are too long")
	ErrOrphans  = errors.New("what matches is at destinations that are not configured any more, so nothing would be sent; " +
		"name with to where it shall go, hand it over with a move, or configure them again")
)

// Order is what an operator wants.
type Order struct {
	// Action is Replay, Discard or Move.
	Action store.Action
	// Filters choose the deliveries; see [query.Names]. There are no pages.
	Filters url.Values
	// To is where a Move hands to, and where a Replay sends instead; else zero.
	To event.Destination
	// Rate is how many deliveries a second at most; 0 for as fast as may be.
	Rate float64
	// Who gave the order.
	Who string
}

// Job is an order and what has become of it so far.
type Job struct {
	ID      string            `json:"job"`
	Action  string            `json:"action"`
	Filters map[string]string `json:"filters"`
	To      string            `json:"to,omitempty"`
	Rate    float64           `json:"rate,omitempty"`
	Who     string            `json:"who"`
	State   State             `json:"state"`
	// Matched counts the deliveries that were chosen when the job began.
	Matched int64 `json:"matched"`
	// Changed counts those that it has acted on; Deferred those discarded ones that
	// follow as soon as their attempt has ended; Skipped those that it left alone,
	// Sending of them because they were just being sent, Orphaned because their
	// destination is not configured any more, and the others because they had
	// changed meanwhile. Orphaned ones are not among those that Matched.
	Changed  int64 `json:"changed"`
	Deferred int64 `json:"deferred"`
	Skipped  int64 `json:"skipped"`
	Sending  int64 `json:"sending"`
	Orphaned int64 `json:"orphaned"`
	// Spared counts those that were settled since the job began, or wait already at
	// To: it is not told whether by the job itself, just before a crash, or otherwise.
	Spared int64 `json:"spared"`
	// Waiting says what a running job waits for, if it does.
	Waiting string     `json:"waiting,omitempty"`
	Error   string     `json:"error,omitempty"`
	Began   time.Time  `json:"began"`
	Ended   *time.Time `json:"ended,omitempty"`
	// After and Upto are the sequence numbers between which it still has to look.
	After uint64 `json:"after"`
	Upto  uint64 `json:"upto"`
}

// plan is a job's order, read.
type plan struct {
	action store.Action
	filter store.Filter
	to     event.Destination
	// configured tells whether something sent to a destination would leave.
	configured func(event.Destination) bool
}

// plan reads an order.
func (o Order) plan(now time.Time) (plan, error) {
	p := plan{action: o.Action, to: o.To}
	if len(o.Filters) == 0 {
		return p, ErrNoFilter
	}
	for _, name := range []string{"limit", "cursor"} {
		if o.Filters.Has(name) {
			return p, fmt.Errorf("field %s: a %s is of all that match: there are no pages", name, o.Action)
		}
	}
	f, err := query.Parse(o.Filters, now)
	if err != nil {
		return p, err //nolint:wrapcheck // it says which parameter
	}
	p.filter = f
	if s := f.State; s != 0 && !p.fits(s) {
		return p, fmt.Errorf("what is %s cannot be %s", s, pastOf[o.Action])
	}
	return p, nil
}

// pastOf has the words for what was done.
var pastOf = map[store.Action]string{store.Replay: "replayed", store.Discard: "discarded", store.Move: "moved"}

// fits tells whether deliveries in that state can be acted on. Filtered ones are
// replayed only if they are asked for: their destination does not want them.
func (p plan) fits(s event.State) bool {
	if p.action == store.Replay {
		return s != event.Filtered || p.filter.State == event.Filtered
	}
	return s.Unsettled()
}

// parcel is one delivery that a job is about.
type parcel struct {
	command store.Command
	// to is where it will wait then.
	to event.Destination
	// grows tells that a replay makes one more wait.
	grows bool
	// ordered tells that it goes in turn with others.
	ordered bool
	size    int64
	seq     uint64
	// before is the delivery as it was found.
	before event.Delivery
	// orphaned ones are left alone: nothing is sent there. spared ones too, since
	// the job may have acted on them before it went on after a restart.
	orphaned, spared bool
}

// acts tells whether anything is done to it.
func (p parcel) acts() bool { return !p.orphaned && !p.spared }

// parcels gives what is to be done to one event.
func (p plan) parcels(row store.Row) (list []parcel) {
	for _, d := range row.Deliveries {
		at := d.At(row.Source)
		switch {
		case !p.filter.Delivery(at, d.State), !p.fits(d.State), row.Gone && !d.State.Unsettled(),
			p.action == store.Move && at == p.to:
			continue
		}
		c := store.Command{Action: p.action, Event: row.ID, Destination: at.String(), Target: p.to}
		v := parcel{command: c, to: at, grows: d.State != event.Pending, ordered: d.Order != 0, size: int64(row.Size), seq: row.Seq, before: d}
		switch {
		case p.action != store.Replay:
		case p.to != (event.Destination{}):
			v.to, v.grows, v.before = p.to, true, p.there(row)
			return append(list, v) // once, for whichever delivery it was chosen
		default:
			v.orphaned = !p.configured(at)
		}
		list = append(list, v)
	}
	return list
}

// there is the event's delivery where a replay sends it; one that was never settled
// if it is owed there for the first time.
func (p plan) there(row store.Row) event.Delivery {
	for _, d := range row.Deliveries {
		if d.At(row.Source) == p.to {
			return d
		}
	}
	return event.Delivery{State: event.Filtered}
}
