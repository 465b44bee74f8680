package cli

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
)

const (
	// maxLine bounds one event of a stream: the largest body in base64, and more.
	maxLine = 128 << 20
	// reconnectAfter is the wait before the stream is asked for again, doubled up
	// to reconnectMost.
	reconnectAfter = 250 * time.Millisecond
	reconnectMost  = 15 * time.Second
)

// stream follows what is accepted. When the connection ends it is made again, from
// where it ended, so that nothing is missed.
type stream struct {
	c *client
	q url.Values
	// last is where to go on; empty: with what comes from now on.
	last string
	// note is told when the connection is lost and found again.
	note io.Writer
	// handle gets each event's JSON. What it has returned nil for does not come again.
	handle func(ctx context.Context, data []byte) error
}

// follow goes on until the context ends, handle fails, or the API refuses.
func (s *stream) follow(ctx context.Context) error {
	wait, connected := reconnectAfter, false
	for {
		err := s.once(ctx, func() {
			if connected {
				_, _ = fmt.Fprintln(s.note, "connected again; nothing was missed") // words beside the output
			}
			connected, wait = true, reconnectAfter
		})
		if ctx.Err() != nil {
			return nil //nolint:nilerr // it was interrupted, which ends it well
		}
		if _, final := errors.AsType[*refusedError](err); final || !connected {
			return err
		}
		if wait == reconnectAfter {
			_, _ = fmt.Fprintf(s.note, "the connection has ended (%v); it is tried again\n", err)
		}
		if !sleep(ctx, wait) {
			return nil
		}
		wait = min(2*wait, reconnectMost)
	}
}

// refusedError ends a stream for good.
type refusedError struct{ error }

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

// once follows over one connection.
func (s *stream) once(ctx context.Context, connected func()) error {
	h := http.Header{"Webhooks-Who": {whoAmI()}, "Accept": {"text/event-stream"}}
	if s.last != "" {
		h.Set("Last-Event-ID", s.last)
	}
	resp, err := caddycmd.AdminAPIRequest(s.c.address, http.MethodGet, "/webhooks/tail?"+s.q.Encode(), h, nil)
	if err != nil {
		return final(explain(s.c.address, err))
	}
	defer resp.Body.Close() //nolint:errcheck // it was read
	defer context.AfterFunc(ctx, func() { _ = resp.Body.Close() })()
	connected()
	return s.read(ctx, resp.Body)
}

// final marks an answer as one that asking again does not change. While Caddy
// starts there is no gateway yet, and a crowd of those that follow goes away.
func final(err error) error {
	var answer *answerError
	if !errors.As(err, &answer) || slices.Contains([]int{http.StatusNotFound, http.StatusServiceUnavailable}, answer.status) {
		return err
	}
	return &refusedError{err}
}

// read takes the events of a stream apart, as the HTML standard has them.
func (s *stream) read(ctx context.Context, body io.Reader) error {
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
			if len(data) > 0 {
				if err := s.handle(ctx, data); err != nil {
					return &refusedError{err}
				}
			}
			s.last, data = id, data[:0]
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("reading the stream: %w", err)
	}
	return io.ErrUnexpectedEOF
}
