package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
)

const (
	// dialWithin is how long the operating system may take for a connection.
	dialWithin = 10 * time.Second
	// answerWithin is how long nothing may move while a command waits for an answer.
	answerWithin = time.Minute
	// mostWords bounds what is read of an answer that is no success.
	mostWords = 2 << 20
)

// The content types of what the API answers.
const (
	jsonType   = "application/json"
	linesType  = "application/x-ndjson"
	eventsType = "text/event-stream"
)

// endpoint is the admin endpoint of a running Caddy. A command makes one, and
// keeps its connections for as long as it runs: a job that is followed for hours
// would otherwise leave thousands behind, on both sides.
type endpoint struct {
	address string // as the operator wrote it
	base    string // what the URL of each request begins with
	origin  string // empty where none is sent
	http    *http.Client
}

// newEndpoint understands addresses as Caddy's own commands do, and sends the
// Host and the Origin that Caddy's admin endpoint asks for.
func newEndpoint(address string) (*endpoint, error) {
	parsed, err := caddy.ParseNetworkAddress(address)
	if err != nil {
		return nil, fmt.Errorf("the admin address %q: %w", address, err)
	}
	if parsed.PortRangeSize() > 1 {
		return nil, fmt.Errorf("the admin address %q is more than one", address)
	}
	e := &endpoint{address: address, base: "http://" + parsed.JoinHostPort(0)}
	if parsed.IsUnixNetwork() || parsed.IsFdNetwork() {
		e.base = "http://127.0.0.1"                       // a name that the endpoint takes there, which has none
		parsed.Host, _, _ = strings.Cut(parsed.Host, "|") // the mode that Caddy makes the socket with
	} else {
		e.origin = e.base
	}
	e.http = &http.Client{
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return (&net.Dialer{Timeout: dialWithin}).DialContext(ctx, parsed.Network, parsed.JoinHostPort(0))
			},
			DisableCompression: true, // packed events would wait for one another
		},
		// A redirect would lead away from the admin endpoint, which gives none.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return e, nil
}

func (e *endpoint) close() { e.http.CloseIdleConnections() }

// ask is one request.
type ask struct {
	method, uri string
	header      http.Header
	body        []byte // nil for none
	// kind is the content type that a success must have: whatever else answers is
	// not the gateway.
	kind string
	// silence is how long nothing may move, neither there nor back; 0 for ever.
	silence time.Duration
}

// do makes a request. Its answer is a success, of the kind that was asked for;
// everything else is an error in an operator's words. Reading the body fails with
// [errSilent] when nothing comes for too long; the time between two reads does not
// count.
func (e *endpoint) do(parent context.Context, a ask) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(parent)
	w := newWatch(a.silence, func() { cancel(errSilent) })
	req, err := e.request(ctx, a, w)
	if err != nil {
		cancel(nil)
		return nil, err
	}
	w.start()
	resp, err := e.http.Do(req)
	w.stop()
	if err != nil {
		err = e.failed(parent, ctx, a, err)
		cancel(nil)
		return nil, err
	}
	resp.Body = &watched{body: resp.Body, watch: w, ctx: ctx, cancel: cancel}
	if err := e.check(resp, a.kind); err != nil {
		_ = resp.Body.Close() // it was read
		return nil, err
	}
	return resp, nil
}

func (e *endpoint) request(ctx context.Context, a ask, w *watch) (*http.Request, error) {
	var body io.Reader
	if a.body != nil {
		body = moving{bytes.NewReader(a.body), w}
	}
	req, err := http.NewRequestWithContext(ctx, a.method, e.base+a.uri, body)
	if err != nil {
		return nil, fmt.Errorf("making the request: %w", err)
	}
	if e.origin != "" {
		req.Header.Set("Origin", e.origin)
	}
	if a.body != nil {
		req.ContentLength = int64(len(a.body))
		req.Header.Set("Content-Type", jsonType)
	}
	req.Header.Set("Accept", a.kind)
	req.Header.Set("Webhooks-Who", whoAmI())
	maps.Copy(req.Header, a.header)
	return req, nil
}

// errInterrupted ends a command that a signal has ended.
var errInterrupted = errors.New("interrupted")

// failed says why there was no answer.
func (e *endpoint) failed(parent, ctx context.Context, a ask, err error) error {
	switch {
	case parent.Err() != nil:
		return errInterrupted
	case errors.Is(context.Cause(ctx), errSilent):
		return fmt.Errorf("the Caddy at %s does not answer: %w for %v", e.address, errSilent, a.silence)
	case nobodyListens(err):
		return fmt.Errorf("no Caddy answers at %s; is it running? use --address (%w)", e.address, err)
	}
	return fmt.Errorf("asking the Caddy at %s: %w", e.address, err)
}

// nobodyListens tells whether there was not even a connection.
func nobodyListens(err error) bool {
	dialing, ok := errors.AsType[*net.OpError](err)
	return ok && dialing.Op == "dial"
}

// check refuses what is no success, and what the gateway would not have answered:
// behind a wrong address there may be any web site.
func (e *endpoint) check(resp *http.Response, kind string) error {
	if resp.StatusCode/100 != 2 {
		text, err := io.ReadAll(io.LimitReader(resp.Body, mostWords))
		if err != nil {
			return fmt.Errorf("reading the answer %d of the Caddy at %s: %w", resp.StatusCode, e.address, err)
		}
		return refusal(e.address, resp.StatusCode, text)
	}
	got := resp.Header.Get("Content-Type")
	if name, _, err := mime.ParseMediaType(got); err == nil && name == kind {
		return nil
	}
	return &answerError{
		status: resp.StatusCode,
		error:  fmt.Errorf("what answers at %s is no admin endpoint with the webhook gateway: it sends %q, not %s", e.address, got, kind),
	}
}

// answerError is an answer that is no success.
type answerError struct {
	error

	status int
	body   []byte
}

func answerOf(err error) *answerError {
	answer, _ := errors.AsType[*answerError](err)
	return answer
}

// refusal puts an answer that is no success into words.
func refusal(address string, status int, text []byte) error {
	var said struct{ Error string }
	err := fmt.Errorf("the Caddy at %s answers HTTP %d: %s", address, status, cut(strings.TrimSpace(string(text)), 200))
	switch {
	case json.Unmarshal(text, &said) == nil && said.Error != "":
		err = errors.New(said.Error)
	case status == http.StatusNotFound:
		err = fmt.Errorf("the Caddy at %s was built without the webhook gateway", address)
	}
	return &answerError{status: status, body: text, error: err}
}

// errSilent is returned when nothing has come for too long: the machine, the
// network or the gateway may be gone without a word.
var errSilent = errors.New("nothing came")

// watch calls end when nothing has moved for too long. It only counts the time
// between start and stop.
type watch struct {
	limit time.Duration
	timer *time.Timer // nil if there is no limit
}

func newWatch(limit time.Duration, end func()) *watch {
	w := &watch{limit: limit}
	if limit > 0 {
		w.timer = time.AfterFunc(limit, end)
		w.timer.Stop()
	}
	return w
}

func (w *watch) start() {
	if w.timer != nil {
		w.timer.Reset(w.limit)
	}
}

func (w *watch) stop() {
	if w.timer != nil {
		w.timer.Stop()
	}
}

// moving is a request's body; what is sent of it counts as something that moves.
type moving struct {
	io.Reader

	watch *watch
}

func (m moving) Read(p []byte) (int, error) {
	m.watch.start()
	return m.Reader.Read(p) //nolint:wrapcheck // io.EOF is looked for
}

// watched is an answer's body.
type watched struct {
	body   io.ReadCloser
	watch  *watch
	ctx    context.Context //nolint:containedctx // the request's, to tell why reading failed
	cancel context.CancelCauseFunc
}

// Read fails with errSilent when nothing comes.
func (w *watched) Read(p []byte) (int, error) {
	w.watch.start()
	n, err := w.body.Read(p)
	w.watch.stop()
	if err != nil && errors.Is(context.Cause(w.ctx), errSilent) {
		return n, fmt.Errorf("%w for %v", errSilent, w.watch.limit)
	}
	return n, err //nolint:wrapcheck // io.EOF is looked for
}

func (w *watched) Close() error {
	defer w.cancel(nil)
	return w.body.Close() //nolint:wrapcheck // whoever closes has read it
}
