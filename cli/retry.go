package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"
)

const (
	// reconnectAfter is the wait before a connection is made again, doubled up to
	// reconnectMost.
	reconnectAfter = 250 * time.Millisecond
	reconnectMost  = 15 * time.Second
	// patience is how long one tries without getting on.
	patience = 5 * time.Minute
	// cuts is how often in a row an answer may break off at the same place. A
	// gateway that is there and does so each time will do so the next time too.
	cuts = 4
)

// refusedError is an end that asking again does not change.
type refusedError struct{ error }

func (e *refusedError) Unwrap() error { return e.error }

// final marks an answer as one that asking again does not change. While Caddy
// starts there is no gateway yet, a crowd of those that follow goes away, and so
// does what keeps a proxy on the way there from reaching it.
func final(err error) error {
	answer := answerOf(err)
	if answer == nil || slices.Contains([]int{
		http.StatusNotFound, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout,
	}, answer.status) {
		return err
	}
	return &refusedError{err}
}

// hopeless tells of a first try that another one will hardly mend: nobody listens
// there, or whoever does has no gateway.
func hopeless(err error) bool {
	answer := answerOf(err)
	return nobodyListens(err) || answer != nil && answer.status != http.StatusServiceUnavailable
}

// backoff is the wait between connections.
type backoff struct {
	note  io.Writer
	first time.Duration // the shortest wait
	delay time.Duration
	since time.Time // when it stopped getting on; zero while it does
	tried bool
	cut   int // how often in a row the answer broke off
}

// wait waits before the next connection. gotOn tells that the last one was of use.
// It gives up with why when asking again does not help, or has not helped for long.
func (b *backoff) wait(ctx context.Context, why error, gotOn bool) error {
	first := !b.tried && !gotOn
	b.tried = true
	if refused, ok := errors.AsType[*refusedError](why); ok {
		return refused.error
	}
	if first && hopeless(why) {
		return why
	}
	if gotOn {
		b.cut, b.since = 0, time.Time{}
	}
	if !nobodyListens(why) && answerOf(why) == nil {
		b.cut++
	}
	if b.since.IsZero() {
		b.delay, b.since = b.first, time.Now()
		_, _ = fmt.Fprintf(b.note, "%s; it is tried again\n", paragraphs(why.Error())) // words beside the output
	}
	switch {
	case b.cut >= cuts:
		return &cutError{why}
	case time.Since(b.since) > patience || !sleep(ctx, b.delay):
		return why
	}
	b.delay = min(2*b.delay, reconnectMost)
	return nil
}

// cutError is the end of tries that each broke off at the same place.
type cutError struct{ error }

func (e *cutError) Unwrap() error { return e.error }

// Error says who knows more.
func (e *cutError) Error() string {
	return fmt.Sprintf("the gateway has ended the answer %d times at the same place, and its log says why (%v)", cuts, e.error)
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
