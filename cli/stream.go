package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/query"
)

const (
	// maxLine bounds one event of a stream: the largest body in base64, and more.
	maxLine = 128 << 20
	// streamSilence is three times what the gateway lets pass before it sends
	// something.
	streamSilence = 45 * time.Second
	// beginning is the cursor before the first event.
	beginning = "0"
)

// stream follows what is accepted. When the connection ends, or nothing comes over
// it any more, it is made again, from where it ended, so that nothing is missed.
type stream struct {
	c *client
	q url.Values
	// last is where to go on; empty: with what comes from now on.
	last string
	// silence is how long nothing may come; 0 for streamSilence.
	silence time.Duration
	// handle gets each event's JSON. What it has returned nil for does not come again.
	handle func(ctx context.Context, data []byte) error

	began     time.Time
	connected bool // something has come, at some time
	// other tells that it goes on in another store than it began with.
	other bool
}

// errOtherStore is returned where the user's cursor lies behind all that there is.
var errOtherStore = errors.New("the cursor is of another store, or of a later state of this one: leave --cursor out, or say where to begin with --since")

// follow goes on until the context ends, handle fails, or the API refuses.
func (s *stream) follow(ctx context.Context) error {
	s.began = time.Now()
	wait, lost := s.c.retry, false
	for {
		err := s.once(ctx, func() {
			if lost {
				s.tell("connected again; %s", s.since())
			}
			s.connected, lost, s.other, wait = true, false, false, s.c.retry
		})
		if ctx.Err() != nil {
			return nil //nolint:nilerr // it was interrupted, which ends it well
		}
		if answer := answerOf(err); answer != nil && answer.status == http.StatusConflict {
			err = s.elsewhere(err)
		}
		if _, refused := errors.AsType[*refusedError](err); refused || !s.connected && (hopeless(err) || answerOf(err) != nil) {
			return err
		}
		if !lost {
			lost = true
			s.tell("the connection has ended (%v); it is tried again", err)
		}
		if !sleep(ctx, wait) {
			return nil
		}
		wait = min(2*wait, reconnectMost)
	}
}

func (s *stream) tell(format string, args ...any) {
	_, _ = fmt.Fprintln(s.c.note, paragraphs(fmt.Sprintf(format, args...))) // words beside the output
}

// since says what has become of the events that came meanwhile.
func (s *stream) since() string {
	if s.other {
		return "every event of the store that is there now follows"
	}
	return "nothing was missed"
}

// elsewhere decides what follows on a cursor that lies behind the newest event: a
// store in memory that was emptied by a restart, or one that was restored. What is
// new there may have any number, so that only its beginning misses nothing. A cursor
// of the user's is an error: he meant an event that is not there.
func (s *stream) elsewhere(err error) error {
	if !s.connected {
		return &refusedError{fmt.Errorf("%w (%w)", errOtherStore, err)}
	}
	if s.last == beginning {
		return &refusedError{err}
	}
	s.tell("the gateway has another store now, or an earlier state of it: its newest event lies before the last one that came (--cursor %s). "+
		"It is followed from its beginning; some events may come again", s.last)
	s.last, s.other = beginning, true
	s.q.Del("since")
	return answerOf(err) // which is tried again
}

// parameters are the filters, as they were meant at the beginning.
func (s *stream) parameters() string {
	q := maps.Clone(s.q)
	if s.connected {
		q = query.Fix(q, s.began)
	}
	if s.last != "" && s.last != beginning {
		q.Del("since") // the cursor says more
	}
	return q.Encode()
}

// once follows over one connection. connected is called when something comes.
func (s *stream) once(ctx context.Context, connected func()) error {
	a := ask{method: http.MethodGet, uri: "/webhooks/tail?" + s.parameters(), kind: eventsType, silence: s.silence, header: http.Header{}}
	if a.silence == 0 {
		a.silence = streamSilence
	}
	if s.last != "" {
		a.header.Set("Last-Event-ID", s.last)
	}
	resp, err := s.c.api.do(ctx, a)
	if err != nil {
		return final(err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was read
	return s.read(ctx, resp.Body, connected)
}

// read takes the events of a stream apart, as the HTML standard has them.
func (s *stream) read(ctx context.Context, body io.Reader, connected func()) error {
	lines := bufio.NewScanner(body)
	lines.Buffer(make([]byte, 0, 64<<10), maxLine)
	var id string
	var data []byte
	for lines.Scan() {
		name, value, _ := bytes.Cut(lines.Bytes(), []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(name) {
		case "id":
			id = string(value)
		case "data":
			data = append(data, value...)
		case "": // the event's end
			connected()
			if err := s.event(ctx, data); err != nil {
				return err
			}
			s.last, data = id, data[:0]
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("reading the stream: %w", err)
	}
	return io.ErrUnexpectedEOF
}

// event hands an event on. Without data it only tells where to go on.
func (s *stream) event(ctx context.Context, data []byte) error {
	if len(data) == 0 {
		return nil
	}
	if !json.Valid(data) {
		return &refusedError{fmt.Errorf("this is no event: %s", cut(string(data), 60))}
	}
	if err := s.handle(ctx, data); err != nil {
		return &refusedError{err}
	}
	return nil
}
