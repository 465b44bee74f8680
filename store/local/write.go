package local

import (
	"context"
	"fmt"
	"slices"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/store/local/journal"
)

// recordSize is an upper bound for every record that carries no content of a
// stranger's: numbers, names, who acted.
const recordSize = 2 << 10

// write appends a small record and waits until it is synced and applied.
// apply runs with the mutex held. Outcomes and commands may use the reserve.
func write[T any](ctx context.Context, s *Store, w order[T]) (T, error) {
	type answer struct {
		v   T
		err error
	}
	var none T
	done := make(chan answer, 1)
	finish := func(st journal.Stamp, err error) {
		var a answer
		a.err = s.applied(func() error {
			if err == nil {
				a.v, err = w.apply(st)
			}
			if w.finally != nil {
				w.finally(err)
			}
			return err
		})
		done <- a
	}
	err := s.journal.Append(ctx, journal.Entry{Size: recordSize + w.size, Reserved: !w.intake, Encode: encoder(w.encode), Done: finish})
	if err != nil {
		finish(journal.Stamp{}, err)
	}
	select {
	case a := <-done:
		return a.v, unavailable(a.err)
	case <-ctx.Done():
		return none, fmt.Errorf("waiting for the disk: %w", context.Cause(ctx))
	}
}

// order is a record that somebody waits for.
type order[T any] struct {
	// size is what it takes beyond recordSize, at most, in bytes.
	size   int
	encode func(*writer, journal.Stamp)
	// intake tells that it brings something new, for which the reserve is not.
	intake bool
	apply  func(journal.Stamp) (T, error)
	// finally runs with the mutex held, whether the record was written or not.
	finally func(err error)
}

// append writes a record that nobody waits for: it is applied once it is
// durable. It rides along with others, unless it is to be soon.
//
// It may have to wait for room, so it must not be called with the mutex held.
func (s *Store) append(a event.Attempt, soon bool, encode func(*writer, journal.Stamp), apply func(journal.Stamp) error) error {
	err := s.journal.Append(context.Background(), journal.Entry{
		Size: attemptSize(a), Reserved: true, Ride: !soon,
		Encode: encoder(encode),
		Done: func(st journal.Stamp, err error) {
			if err == nil {
				err = s.applied(func() error { return apply(st) })
			}
			if err != nil && s.ctx.Err() == nil {
				s.o.Logger.Error("an outcome could not be recorded; the event will be delivered again", "error", err)
			}
		},
	})
	return unavailable(err)
}

// attemptSize is an upper bound of a record with this attempt.
func attemptSize(a event.Attempt) int {
	size := recordSize + len(a.Error) + len(a.Answer)
	for name, values := range a.Header {
		size += len(name) + 10
		for _, v := range values {
			size += len(v) + 5
		}
	}
	return size
}

// applied runs apply under the mutex, and tells afterwards who must be woken.
func (s *Store) applied(apply func() error) error {
	s.mu.Lock()
	err := apply()
	wake := slices.Clone(s.afterwards)
	s.afterwards = s.afterwards[:0]
	tell := s.wake
	s.nudge()
	s.mu.Unlock()
	for _, d := range wake {
		tell(d)
	}
	return err
}

func encoder(encode func(*writer, journal.Stamp)) func([]byte, journal.Stamp) []byte {
	return func(dst []byte, st journal.Stamp) []byte {
		w := writer{b: dst}
		encode(&w, st)
		return w.b
	}
}
