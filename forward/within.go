package forward

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/event"
)

// overtime is how long a handler may take to notice that its attempt has ended.
const overtime = time.Second

// errOvertime is what an attempt ends with whose handler did not notice it.
var errOvertime = errors.New("a handler of the destination goes on after the end of its attempt")

// within runs the chain, and returns soon after ctx has ended, whatever a
// handler does. Not all of Caddy's look at the request's context: FastCGI does
// not while it waits for an answer, nor reverse_proxy between two tries of
// lb_try_duration. A handler that goes on is left to itself, and what it still
// answers is dropped; it can hold neither a slot of the destination nor the end
// of the process.
func (c *Chain) within(ctx context.Context, w http.ResponseWriter, r *http.Request, t event.Try) error {
	done := make(chan error, 1)
	go func() { done <- c.serve(w, r, t) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	patience := time.NewTimer(overtime)
	defer patience.Stop()
	select {
	case err := <-done:
		return err
	case <-patience.C:
		c.log.Warn("a handler of the destination goes on after the end of its attempt; what it answers is dropped",
			"event", t.Event.ID.String(), "hint", "give it a time limit of its own, as read_timeout in `transport fastcgi`")
		return errOvertime
	}
}
