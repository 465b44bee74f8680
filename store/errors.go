package store

import "errors"

// Returned by Accept and Command.
var (
	// ErrFull is returned when the store's space is used up: the disk is nearly
	// full, or only the reserve for outcomes is left.
	ErrFull = errors.New("store is full")
	// ErrBacklog is returned when undelivered bodies have reached max_backlog, or
	// one source its share of it.
	ErrBacklog = errors.New("backlog is full")
	// ErrTooLarge is returned when one event does not fit the store at all.
	ErrTooLarge = errors.New("event is too large for the store")
	// ErrUnavailable is returned when writing or syncing failed, and until it
	// works again.
	ErrUnavailable = errors.New("store is failing")
	// ErrClosed is returned after Close, and before the store is open.
	ErrClosed = errors.New("store is closed")
)

// Returned by Queue, Command and Reader.
var (
	// ErrStale is returned when a lease is no longer held.
	ErrStale = errors.New("lease is stale")
	// ErrPaused is returned when an operator has paused the destination.
	ErrPaused = errors.New("destination is paused")
	// ErrUnknown is returned when there is no such event or destination.
	ErrUnknown = errors.New("no such event")
	// ErrInFlight is returned when an attempt is running and the action has to wait for it.
	ErrInFlight = errors.New("an attempt is in flight")
	// ErrConflict is returned when the action does not fit the delivery's state.
	ErrConflict = errors.New("not possible in this state")
	// ErrGone is returned when the event's body was removed by retention.
	ErrGone = errors.New("the event's body is gone")
)

// Reasons lists every word that [Reason] gives.
func Reasons() []string { return []string{"full", "backlog", "too_large", "closed", "failing"} }

// Reason gives the word for an error of Accept that the metrics' `reason`
// label uses; the set is closed.
func Reason(err error) string {
	switch {
	case errors.Is(err, ErrFull):
		return "full"
	case errors.Is(err, ErrBacklog):
		return "backlog"
	case errors.Is(err, ErrTooLarge):
		return "too_large"
	case errors.Is(err, ErrClosed):
		return "closed"
	default:
		return "failing"
	}
}
