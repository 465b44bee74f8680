// Package forward makes one attempt: it turns an event into an http.Request,
// sends it through a chain of Caddy's handlers, and says what came of it.
//
// It decides nothing about retries; package deliver does. The two calls a
// newcomer makes are [New], with a destination's provisioned routes, and
// [Chain.Forward].
package forward

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-webhooks/caddy-webhooks/event"
)

// Chain is one destination's handlers. It is immutable and safe for concurrent use.
type Chain struct {
	handler caddyhttp.Handler
	server  *caddyhttp.Server
	log     *slog.Logger
	now     func() time.Time
	takeCut bool
	sign    Signer
	trace   func(ctx context.Context, destination string, t event.Try, h http.Header) (end func(event.Outcome))

	destination string
}

// Options are a chain's surroundings; the zero value is usable.
type Options struct {
	// Destination is the name that {webhooks.destination} gives.
	Destination string
	// Server is the server in whose site the destination stands. With it, named
	// routes can be invoked and its settings hold. Default: an empty one.
	Server *caddyhttp.Server
	// AcceptCut takes a 2xx answer whose body breaks off for a success.
	AcceptCut bool
	// Sign gives headers that are made for each attempt. Default: none are.
	Sign Signer
	// Trace is told of each attempt with the headers that the application will get,
	// which it may add to, and of its end. Default: nobody is.
	Trace func(ctx context.Context, destination string, t event.Try, h http.Header) (end func(event.Outcome))
	// Logger gets the stack of a handler that panicked.
	Logger *slog.Logger
	// Now is the clock for Retry-After dates. Default: time.Now.
	Now func() time.Time
}

// errUnanswered is what a chain ends with when none of its handlers answered.
var errUnanswered = errors.New("no handler of the destination answered")

// New makes a chain of provisioned routes.
func New(routes caddyhttp.RouteList, o Options) *Chain {
	c := &Chain{server: o.Server, log: o.Logger, now: o.Now, takeCut: o.AcceptCut, sign: o.Sign, trace: o.Trace, destination: o.Destination}
	if c.trace == nil {
		c.trace = func(context.Context, string, event.Try, http.Header) func(event.Outcome) {
			return func(event.Outcome) {}
		}
	}
	if c.server == nil {
		c.server = &caddyhttp.Server{} // some of Caddy's handlers follow this pointer unasked
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	if c.now == nil {
		c.now = time.Now
	}
	c.handler = routes.Compile(caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error {
		return errUnanswered
	}))
	return c
}

// Forward makes one attempt. ctx carries its deadline; cancelling it is our
// own doing (a shutdown), and the outcome is then Aborted. It does not panic,
// whatever a handler does.
func (c *Chain) Forward(ctx context.Context, t event.Try) (out event.Outcome) {
	began := c.now()
	out = event.Outcome{Attempt: event.Attempt{Number: t.Number, At: began}}
	start := time.Now()
	rec := &recorder{header: http.Header{}, keep: t.Keep}
	req, err := request(ctx, t)
	if err == nil {
		c.renew(req.Header, t.Event, began)
		end := c.trace(ctx, c.destination, t, req.Header)
		defer func() { end(out) }()
		err = c.within(ctx, rec, req, t)
	}
	if errors.Is(err, errOvertime) {
		rec = new(recorder) // the handler may still write to the other
	}
	out.Duration = time.Since(start)
	rec.read(&out)
	c.judge(ctx, &out, rec, err)
	return out
}

// panicked is a handler's panic as an error.
type panicked struct {
	value any
	stack []byte
}

// Error says what the handler panicked with.
func (p *panicked) Error() string { return fmt.Sprintf("handler panicked: %v", p.value) }

// serve runs the chain, and turns its panics into errors. reverse_proxy
// panics with http.ErrAbortHandler when an answer's body is cut short.
func (c *Chain) serve(w http.ResponseWriter, r *http.Request, t event.Try) (err error) {
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		if cause, ok := v.(error); ok && errors.Is(cause, http.ErrAbortHandler) {
			err = cause
			return
		}
		err = &panicked{v, debug.Stack()}
	}()
	r = caddyhttp.PrepareRequest(r, c.replacer(t), w, c.server)
	caddyhttp.SetVar(r.Context(), caddyhttp.TrustedProxyVarKey, t.Event.TrustedProxy)
	if t.Event.ClientIP != "" {
		caddyhttp.SetVar(r.Context(), caddyhttp.ClientIPVarKey, t.Event.ClientIP)
	}
	return c.handler.ServeHTTP(w, r)
}

// judge fills in the verdict and the words for it.
func (c *Chain) judge(ctx context.Context, out *event.Outcome, rec *recorder, err error) {
	out.Verdict = event.Again
	var p *panicked
	switch {
	case tooLate(ctx, rec, err):
		out.Status, out.Error = 0, "timeout: no complete answer in time"
	case errors.Is(ctx.Err(), context.Canceled) && !rec.complete(err):
		out.Status, out.Verdict, out.Error = 0, event.Aborted, "the attempt was cancelled"
	case errors.As(err, &p):
		out.Error = p.Error()
		c.log.Error("a handler of the destination panicked", "panic", fmt.Sprint(p.value), "stack", string(p.stack))
	case errors.Is(err, http.ErrAbortHandler):
		out.Truncated = rec.status/100 == 2
		out.Error = fmt.Sprintf("answer %d was cut short after %d bytes", rec.status, rec.size)
		if out.Truncated && c.takeCut {
			out.Verdict = event.Done
		}
	case err != nil:
		c.judgeError(out, err)
	default:
		c.judgeStatus(out, rec)
	}
}

// statusClientClosed is what reverse_proxy reports when the request's context ended.
const statusClientClosed = 499

// judgeStatus explains an answer.
func (c *Chain) judgeStatus(out *event.Outcome, rec *recorder) {
	switch status := rec.status; {
	case status == 0:
		out.Error = "no answer: the destination ended without a status"
	case status/100 == 2:
		out.Verdict = event.Done
	case status/100 == 3:
		out.Error = fmt.Sprintf("backend answered %d; redirects are not followed", status)
	default:
		out.Error = fmt.Sprintf("backend answered %d", status)
	}
	if rec.status == http.StatusTooManyRequests || rec.status == http.StatusServiceUnavailable {
		out.RetryAfter = retryAfter(rec.header.Get("Retry-After"), c.now())
	}
}
