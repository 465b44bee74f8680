package forward

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-webhooks/caddy-webhooks/event"
)

// tooLate tells that the attempt's time ran out before an answer was there.
func tooLate(ctx context.Context, rec *recorder, err error) bool {
	return errors.Is(context.Cause(ctx), context.DeadlineExceeded) && !unreached(err) &&
		(err != nil || rec.status == 0 || rec.status == statusClientClosed)
}

// judgeError explains an error of the chain: the gateway made it, no backend.
// What a chain ends with on purpose (`error 404`) counts as that status; where
// reverse_proxy had no answer to pass on, there is none.
func (c *Chain) judgeError(out *event.Outcome, err error) {
	out.Status, out.Error, out.Unreached = 0, err.Error(), unreached(err)
	var dial reverseproxy.DialError
	var handler caddyhttp.HandlerError
	switch {
	case errors.As(err, &dial):
		out.Error = "cannot connect: " + dial.Error()
	case errors.As(err, &handler):
		out.Error = words(handler)
		out.NoUpstream = noUpstream(handler)
		if !unanswered(handler) {
			out.Status = handler.StatusCode
		}
	}
}

// unreached tells that the error excludes that a backend has got a byte.
func unreached(err error) bool {
	var dial reverseproxy.DialError
	var handler caddyhttp.HandlerError
	return errors.As(err, &dial) || errors.As(err, &handler) && noUpstream(handler)
}

func words(h caddyhttp.HandlerError) string {
	if h.Err == nil || h.Err.Error() == "" {
		return fmt.Sprintf("the destination ended with error %d", h.StatusCode)
	}
	return h.Err.Error()
}

// byProxy tells whether reverse_proxy itself made the error. Its errors have no
// exported type; but Caddy notes in each where it was made, package first, and
// an `error 503` of the chain was made elsewhere.
func byProxy(h caddyhttp.HandlerError) bool { return strings.HasPrefix(h.Trace, "reverseproxy.") }

// noUpstream tells that the proxy found no upstream that it could have tried.
// If it had tried one before, it would end with that one's error.
func noUpstream(h caddyhttp.HandlerError) bool {
	return byProxy(h) && h.StatusCode == http.StatusServiceUnavailable && words(h) == "no upstreams available"
}

// unanswered tells that the proxy got no answer. One that `lb_retry_match` had
// it ask for again, until it gave up, is an answer.
func unanswered(h caddyhttp.HandlerError) bool {
	return byProxy(h) && h.StatusCode >= http.StatusBadGateway && h.StatusCode <= http.StatusGatewayTimeout &&
		!strings.HasPrefix(words(h), "upstream response matched retry_match")
}
