package store_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/store"
)

var (
	began  = time.Unix(1_000, 0) // before anything here happens
	spent  = time.Hour           // of the retry budget
	now    = time.Unix(2_000, 0)
	later  = time.Unix(3_000, 0)
	before = time.Unix(900, 0) // when a delivery that was delivered once was so
)

// columns are the states of the table, as deliveries that have been tried three times.
var columns = map[string]event.Delivery{
	"waiting":    {Destination: "a", State: event.Pending, Attempts: 3, Next: later, Spent: spent},
	"in flight":  {Destination: "a", State: event.Pending, Attempts: 3, Next: began, Spent: spent, InFlight: true},
	"discarding": {Destination: "a", State: event.Pending, Attempts: 3, Next: began, Spent: spent, InFlight: true, Discarding: true},
	"delivered":  {Destination: "a", State: event.Delivered, Attempts: 3, Spent: spent, DeliveredAt: before},
	"dead":       {Destination: "a", State: event.Dead, Attempts: 3, Spent: spent},
	"discarded":  {Destination: "a", State: event.Discarded, Attempts: 3, Spent: spent},
	"filtered":   {Destination: "a", State: event.Filtered},
}

// cell is what one row does in one column. The zero cell is "–".
type cell struct {
	state event.State // zero: unchanged, in every field
	// fresh: no attempts, no budget begun, due now
	fresh, replay, discarding bool
	next                      time.Time // where it is not fresh
	attempts                  int       // zero: as before
	deliveredAt               time.Time // zero: as before
	err                       error
	says                      bool // what the function reports besides an error
}

// want gives the delivery that the cell leads to.
func (c cell) want(d event.Delivery) event.Delivery {
	if c.state == 0 {
		return d
	}
	d.State, d.Next, d.Discarding = c.state, c.next, c.discarding
	if c.attempts != 0 {
		d.Attempts = c.attempts
	}
	if !c.deliveredAt.IsZero() {
		d.DeliveredAt = c.deliveredAt
	}
	if c.fresh {
		d.Attempts, d.Spent, d.Next = 0, 0, now
	}
	d.Replay = d.Replay || c.replay
	return d
}

func outcome(state event.State) func(*event.Delivery) (bool, error) {
	return func(d *event.Delivery) (bool, error) {
		return store.Settle(d, store.Settlement{
			Attempt: event.Attempt{Destination: "a", Number: 4, At: now, Duration: time.Second},
			State:   state, Next: later, Spent: spent,
		}), nil
	}
}

func repeat(wanted bool) func(*event.Delivery) (bool, error) {
	return func(d *event.Delivery) (bool, error) { return store.Revive(d, wanted, now), nil }
}

func replay(explicit, gone bool) func(*event.Delivery) (bool, error) {
	return func(d *event.Delivery) (bool, error) {
		return false, store.ReplayDelivery(d, explicit, gone, now)
	}
}

func move(d *event.Delivery) (bool, error) {
	there, err := store.MoveDelivery(d, "b", now)
	if want := (event.Delivery{Destination: "b", State: event.Pending, Next: now}); err == nil && there != want {
		return false, fmt.Errorf("there it is %+v, want %+v", there, want)
	}
	return err == nil, err
}

// rows are the table's rows. A column that a row leaves out is "–".
var rows = []struct {
	name  string
	do    func(*event.Delivery) (bool, error)
	cells map[string]cell
}{
	{"the provider sends it again, wanted", repeat(true), map[string]cell{
		"dead":     {state: event.Pending, fresh: true, says: true},
		"filtered": {state: event.Pending, fresh: true, says: true},
	}},
	{"the provider sends it again, not wanted", repeat(false), map[string]cell{
		"dead": {state: event.Pending, fresh: true, says: true},
	}},
	{"attempt 2xx", outcome(event.Delivered), map[string]cell{
		"waiting":    {state: event.Delivered, attempts: 4, deliveredAt: now.Add(time.Second), says: true},
		"in flight":  {state: event.Delivered, attempts: 4, deliveredAt: now.Add(time.Second), says: true},
		"discarding": {state: event.Delivered, attempts: 4, deliveredAt: now.Add(time.Second), says: true},
	}},
	{"status in never, or budget spent", outcome(event.Dead), map[string]cell{
		"waiting":    {state: event.Dead, attempts: 4, says: true},
		"in flight":  {state: event.Dead, attempts: 4, says: true},
		"discarding": {state: event.Discarded, attempts: 4, says: true},
	}},
	{"any other outcome", outcome(event.Pending), map[string]cell{
		"waiting":    {state: event.Pending, attempts: 4, next: later, says: true},
		"in flight":  {state: event.Pending, attempts: 4, next: later, says: true},
		"discarding": {state: event.Discarded, attempts: 4, says: true},
	}},
	{"lease lost, kill, shutdown", func(d *event.Delivery) (bool, error) { store.Lost(d, now); return false, nil }, map[string]cell{
		"waiting":    {state: event.Pending, next: now},
		"in flight":  {state: event.Pending, next: now},
		"discarding": {state: event.Discarded},
	}},
	{"replay", replay(false, false), map[string]cell{
		"waiting":    {state: event.Pending, fresh: true},
		"in flight":  {err: store.ErrInFlight},
		"discarding": {err: store.ErrInFlight},
		"delivered":  {state: event.Pending, fresh: true, replay: true},
		"dead":       {state: event.Pending, fresh: true, replay: true},
		"discarded":  {state: event.Pending, fresh: true, replay: true},
		"filtered":   {err: store.ErrConflict},
	}},
	{"replay of a named destination", replay(true, false), map[string]cell{
		"waiting":    {state: event.Pending, fresh: true},
		"in flight":  {err: store.ErrInFlight},
		"discarding": {err: store.ErrInFlight},
		"delivered":  {state: event.Pending, fresh: true, replay: true},
		"dead":       {state: event.Pending, fresh: true, replay: true},
		"discarded":  {state: event.Pending, fresh: true, replay: true},
		"filtered":   {state: event.Pending, fresh: true, replay: true},
	}},
	{"replay, body gone", replay(true, true), map[string]cell{
		// a body never goes while a delivery is pending; were it so, nothing is lost by trying
		"waiting":    {state: event.Pending, fresh: true},
		"in flight":  {err: store.ErrInFlight},
		"discarding": {err: store.ErrInFlight},
		"delivered":  {err: store.ErrGone},
		"dead":       {err: store.ErrGone},
		"discarded":  {err: store.ErrGone},
		"filtered":   {err: store.ErrGone},
	}},
	{"discard", store.DiscardDelivery, map[string]cell{
		"waiting":    {state: event.Discarded},
		"in flight":  {state: event.Pending, next: began, discarding: true, says: true},
		"discarding": {says: true},
		"delivered":  {err: store.ErrConflict},
		"dead":       {state: event.Discarded},
	}},
	{"move", move, map[string]cell{
		"waiting":    {state: event.Discarded, says: true},
		"in flight":  {err: store.ErrInFlight},
		"discarding": {err: store.ErrInFlight},
		"delivered":  {err: store.ErrConflict},
		"dead":       {state: event.Discarded, says: true},
		"discarded":  {err: store.ErrConflict},
		"filtered":   {err: store.ErrConflict},
	}},
}

func TestEveryCellOfTheStateTableIsAsItIsWritten(t *testing.T) {
	t.Parallel()
	for _, row := range rows {
		for name, from := range columns {
			t.Run(row.name+"/"+name, func(t *testing.T) {
				t.Parallel()
				want := row.cells[name]
				got := from
				says, err := row.do(&got)
				if !errors.Is(err, want.err) || says != want.says {
					t.Errorf("answers %v, %v; want %v, %v", says, err, want.says, want.err)
				}
				if w := want.want(from); got != w {
					t.Errorf("from %+v\ngot  %+v\nwant %+v", from, got, w)
				}
			})
		}
	}
}

func TestAReplayThatFailsForGoodStillKnowsWhenItWasDelivered(t *testing.T) {
	t.Parallel()
	d := columns["delivered"]
	if err := store.ReplayDelivery(&d, false, false, now); err != nil {
		t.Fatal(err)
	}
	store.Settle(&d, store.Settlement{Attempt: event.Attempt{Number: 1, At: later}, State: event.Dead})
	if d.State != event.Dead || !d.DeliveredAt.Equal(before) || d.Attempts != 1 {
		t.Errorf("%+v, want dead after one attempt and delivered at %v", d, before)
	}
}

func TestASecondDeliveryDoesNotMoveTheTimeOfTheFirst(t *testing.T) {
	t.Parallel()
	d := columns["delivered"]
	if err := store.ReplayDelivery(&d, false, false, now); err != nil {
		t.Fatal(err)
	}
	store.Settle(&d, store.Settlement{Attempt: event.Attempt{Number: 1, At: later}, State: event.Delivered})
	if d.State != event.Delivered || !d.DeliveredAt.Equal(before) {
		t.Errorf("%+v, want delivered at %v", d, before)
	}
}

func TestEveryRefusalOfAcceptHasItsOwnReason(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]string{
		store.ErrFull: "full", store.ErrBacklog: "backlog", store.ErrTooLarge: "too_large",
		store.ErrClosed: "closed", store.ErrUnavailable: "failing", errors.New("anything"): "failing",
	} {
		if got := store.Reason(fmt.Errorf("accepting: %w", err)); got != want {
			t.Errorf("%v: %q, want %q", err, got, want)
		}
	}
}
