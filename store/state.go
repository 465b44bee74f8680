package store

import (
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/event"
)

// The ways between the states of a delivery. Every implementation uses these
// functions and no others, so that there is one state table; they are pure, so
// that a journal can be folded with them again and again.

// Arrive changes a delivery that comes from another store: nothing is in flight
// here, and what was only waiting for that to be given up is given up.
func Arrive(d *event.Delivery, now time.Time) {
	d.InFlight = false
	if d.State == event.Pending && d.Discarding {
		d.State, d.Discarding, d.Next, d.SettledAt = event.Discarded, false, time.Time{}, now
	}
}

// Settle applies an attempt's outcome. Only a pending delivery can be settled;
// it tells whether it was.
func Settle(d *event.Delivery, s Settlement) bool {
	if d.State != event.Pending {
		return false
	}
	d.Attempts = max(d.Attempts, s.Attempt.Number)
	d.Spent, d.Next, d.Asked = s.Spent, time.Time{}, false
	d.Excused = min(max(d.Excused+s.Excuse, 0), d.Attempts)
	discarding := d.Discarding
	d.Discarding = false
	switch {
	case s.State == event.Delivered:
		d.State = event.Delivered
		if d.DeliveredAt.IsZero() {
			d.DeliveredAt = s.Attempt.At.Add(s.Attempt.Duration)
		}
	case discarding:
		d.State = event.Discarded
	case s.State == event.Dead:
		d.State = event.Dead
	default:
		d.Next, d.Asked = s.Next, s.Asked
	}
	return true
}

// Lost applies the loss of a lease without an outcome (a kill, a shutdown, a
// lease that ran out): the delivery is due at once, unless it was discarded
// meanwhile.
func Lost(d *event.Delivery, now time.Time) {
	if d.State != event.Pending {
		return
	}
	d.Next, d.Asked = now, false
	if d.Discarding {
		d.State, d.Discarding, d.Next = event.Discarded, false, time.Time{}
	}
}

// Revive applies a provider's repeat: a dead delivery is wanted after all, and
// a filtered one if the destination now wants it. It tells whether that changed
// anything; the operator's word (discarded) stands.
func Revive(d *event.Delivery, wanted bool, now time.Time) bool {
	if d.State == event.Dead || (d.State == event.Filtered && wanted) {
		again(d, now)
		return true
	}
	return false
}

// ReplayDelivery applies an operator's replay. explicit tells that the
// operator named this destination; gone that the event has no body any more.
func ReplayDelivery(d *event.Delivery, explicit, gone bool, now time.Time) error {
	switch {
	case d.State == event.Pending && (d.InFlight || d.Discarding):
		return ErrInFlight
	case d.State == event.Pending:
		again(d, now)
		return nil
	case gone:
		return ErrGone
	case d.State == event.Filtered && !explicit:
		return ErrConflict
	}
	again(d, now)
	d.Replay = true
	return nil
}

// Spared tells whether a command leaves a delivery alone, because it was settled
// since, or waits already where the event is to be sent.
func Spared(c Command, d *event.Delivery) bool {
	if c.Before.IsZero() {
		return false
	}
	if d.State == event.Pending {
		return c.Action == Replay && c.Target != (event.Destination{})
	}
	return !d.SettledAt.Before(c.Before)
}

// DiscardDelivery applies an operator's discard. It tells whether the delivery
// is in flight, so that the discard follows its attempt.
func DiscardDelivery(d *event.Delivery) (deferred bool, err error) {
	switch {
	case d.State == event.Delivered:
		return false, ErrConflict
	case d.State == event.Pending && d.InFlight:
		d.Discarding = true
		return true, nil
	case d.State == event.Pending, d.State == event.Dead:
		d.State, d.Discarding, d.Next = event.Discarded, false, time.Time{}
	}
	return false, nil
}

// MoveDelivery applies an operator's move: discarded here, pending there. The
// caller has made sure that there is no such delivery there yet.
func MoveDelivery(from *event.Delivery, to string, now time.Time) (event.Delivery, error) {
	if from.State == event.Pending && from.InFlight {
		return event.Delivery{}, ErrInFlight
	}
	if !from.State.Unsettled() {
		return event.Delivery{}, ErrConflict
	}
	from.State, from.Discarding, from.Next = event.Discarded, false, time.Time{}
	return event.Delivery{Destination: to, State: event.Pending, Next: now}, nil
}

// again makes a delivery pending with a fresh budget, due now.
func again(d *event.Delivery, now time.Time) {
	d.State, d.Attempts, d.Excused, d.Spent = event.Pending, 0, 0, 0
	d.Next, d.Asked, d.Discarding = now, false, false
}
