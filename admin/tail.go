package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/query"
	"github.com/caddy-webhooks/caddy-webhooks/store"
)

const (
	// maxTails is how many may follow at once.
	maxTails = 32
	// heartbeat is how often something is sent to one that follows, so that both
	// sides notice when the other is gone.
	heartbeat = 15 * time.Second
	// streamWrite is how long a reader may take for what it is sent.
	streamWrite = 30 * time.Second
	// tailPage is how many events are read at once.
	tailPage = 100
)

// tails counts those that follow, over all configurations.
var tails atomic.Int64

// tailing is one that follows.
type tailing struct {
	s      store.Store
	out    stream
	filter store.Filter
	// after is the number of the last event that was looked at; given tells that
	// it was named, and need not be found.
	after uint64
	given bool
	// sent is when something was last sent.
	sent time.Time
	// body tells that contents are wanted, open that secrets in them are.
	body, open bool
}

// tail serves GET /webhooks/tail: server-sent events, one for each that is
// accepted. Its ID is where to go on after a break, in Last-Event-ID.
func tail(g Gateway, w http.ResponseWriter, r *http.Request) error {
	t, err := readTail(r)
	if err != nil {
		return fail(http.StatusBadRequest, err)
	}
	t.s, t.out = g.Store(), stream{w: w, control: http.NewResponseController(w)}
	if err := t.begin(r.Context()); err != nil {
		return err
	}
	if tails.Add(1) > maxTails {
		tails.Add(-1)
		return fail(http.StatusServiceUnavailable, fmt.Errorf("%d follow already", maxTails))
	}
	defer tails.Add(-1)
	// The server's time for reading a request would end what is read no more.
	if err := t.out.control.SetReadDeadline(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return fail(http.StatusInternalServerError, err)
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return nil
	}
	// The answer has begun: whatever ends it now can only end it.
	for err := t.beat(); err == nil; {
		err = t.next(r.Context())
	}
	return nil
}

// begin finds where to go on: at the cursor, with since at the oldest event, and
// else behind the newest one.
func (t *tailing) begin(ctx context.Context) (err error) {
	switch {
	case t.given:
		return within(t.s, t.after)
	case !t.filter.Since.IsZero():
		return nil
	}
	if t.after, err = newest(ctx, t.s); err != nil {
		return failed(err)
	}
	return nil
}

// errBeyond is the answer to a cursor at which nothing would ever come.
var errBeyond = errors.New("the cursor is beyond the newest event: it is of another store, or this one was restored; leave it out, or use since")

// within refuses a cursor beyond the newest event that there ever was.
func within(s store.Store, cursor uint64) error {
	if cursor == 0 {
		return nil
	}
	ended, end := context.WithCancel(context.Background())
	end() // what is there already is told all the same
	_, err := s.Await(ended, cursor-1)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled):
		return fail(http.StatusConflict, errBeyond)
	}
	return failed(err)
}

// newest is the number of the newest event, 0 if there is none.
func newest(ctx context.Context, s store.Store) (uint64, error) {
	page, err := s.Query(ctx, store.Filter{Limit: 1})
	if err != nil || len(page.Rows) == 0 {
		return 0, err
	}
	return page.Rows[0].Seq, nil
}

// readTail reads the parameters: the filters of events but for pages and until,
// and what is wanted of each event.
func readTail(r *http.Request) (*tailing, error) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, fmt.Errorf("reading the query: %w", err)
	}
	t := new(tailing)
	for name, flag := range map[string]*bool{"body": &t.body, "secrets": &t.open} {
		if *flag, err = flagged(q, name); err != nil {
			return nil, err
		}
		q.Del(name)
	}
	for _, name := range []string{"limit", "until"} {
		if q.Has(name) {
			return nil, fmt.Errorf("parameter %s: one that follows has no end", name)
		}
	}
	if last := r.Header.Get("Last-Event-Id"); last != "" {
		q.Set("cursor", last)
	}
	if t.filter, t.given, err = query.Onward(q, time.Now()); err != nil {
		return nil, err //nolint:wrapcheck // it says which parameter
	}
	t.after, t.filter.Limit = t.filter.After, tailPage
	return t, nil
}

// flagged reads a parameter that is 1 or left out.
func flagged(q url.Values, name string) (bool, error) {
	if !q.Has(name) {
		return false, nil
	}
	if v := q[name]; len(v) != 1 || v[0] != "1" {
		return false, fmt.Errorf("parameter %s: must be 1, or left out", name)
	}
	return true, nil
}

// next waits for events and sends them. What passes without a match for too long
// gives a heartbeat, as silence does.
func (t *tailing) next(ctx context.Context) error {
	wait, cancel := context.WithDeadline(ctx, t.sent.Add(heartbeat))
	defer cancel()
	latest, err := t.s.Await(wait, t.after)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, context.DeadlineExceeded):
		return t.beat()
	case err != nil:
		return err
	}
	for t.after < latest {
		if err := t.page(ctx, latest); err != nil {
			return err
		}
		if time.Since(t.sent) >= heartbeat {
			if err := t.beat(); err != nil {
				return err
			}
		}
	}
	return t.out.flush()
}

// page looks at the next events up to the latest, and sends those that match.
func (t *tailing) page(ctx context.Context, latest uint64) error {
	f := t.filter
	f.After, f.Before = t.after, latest+1
	page, err := t.s.Query(ctx, f)
	if err != nil {
		return fmt.Errorf("reading what is new: %w", err)
	}
	for _, row := range page.Rows {
		if err := t.send(ctx, row); err != nil {
			return err
		}
	}
	if t.after = page.Next; page.Next == 0 {
		t.after = latest
	}
	return nil
}

// send writes one event.
func (t *tailing) send(ctx context.Context, row store.Row) error {
	var v any = toEvent(row)
	if t.body {
		record, err := t.s.Get(ctx, row.ID)
		switch {
		case errors.Is(err, store.ErrUnknown): // removed meanwhile
			return nil
		case err != nil:
			return err
		}
		v = toRecord(record, t.open)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "id: %s\nevent: accepted\ndata: ", query.Cursor(row.Seq))
	e := json.NewEncoder(&b) // its JSON is one line
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("writing event %s: %w", row.ID, err)
	}
	b.WriteByte('\n')
	return t.write(b.Bytes())
}

// write sends something, and remembers when.
func (t *tailing) write(text []byte) error {
	t.sent = time.Now()
	return t.out.write(text)
}

// beat sends where to go on, and no event.
func (t *tailing) beat() error {
	if err := t.write([]byte("id: " + query.Cursor(t.after) + "\n\n")); err != nil {
		return err
	}
	return t.out.flush()
}
