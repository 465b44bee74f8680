package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-webhooks/caddy-webhooks/archive"
	"github.com/caddy-webhooks/caddy-webhooks/query"
	"github.com/caddy-webhooks/caddy-webhooks/store"
)

// linesType is what lines of JSON are called.
const linesType = "application/x-ndjson"

// export serves GET /webhooks/export: every event that matches, the oldest first,
// a line of JSON each, whole and unmasked.
func export(g Gateway, w http.ResponseWriter, r *http.Request) error {
	q, err := parameters(r)
	if err != nil {
		return err
	}
	f, err := readExport(q)
	if err != nil {
		return fail(http.StatusBadRequest, err)
	}
	if err := within(g.Store(), f.After); err != nil {
		return err
	}
	latest, err := newest(r.Context(), g.Store())
	if err != nil {
		return failed(err)
	}
	f.Before = latest + 1
	x := &exporting{
		s: g.Store(), filter: f, out: stream{w: w, control: http.NewResponseController(w)},
		log: caddy.Log().Named("webhooks.export").Sugar().With("who", who(r)),
	}
	w.Header().Set("Content-Type", linesType)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return nil
	}
	if err := x.run(r.Context()); err != nil {
		if r.Context().Err() == nil { // else its reader is gone
			x.log.Errorw("an export ended early; what is behind the cursor of its last line can be exported", "error", err)
		}
		// The answer has begun: breaking it off is how its reader learns that it is
		// not whole.
		panic(http.ErrAbortHandler)
	}
	return nil
}

// readExport reads the filters of events but for limit; cursor goes on behind it.
func readExport(q url.Values) (store.Filter, error) {
	if q.Has("limit") {
		return store.Filter{}, errors.New("parameter limit: an export has all that matches; use since and until")
	}
	f, _, err := query.Onward(q, time.Now())
	f.Limit = tailPage
	return f, err //nolint:wrapcheck // it says which parameter
}

// exporting is one export on its way.
type exporting struct {
	s      store.Store
	filter store.Filter
	out    stream
	line   []byte
	log    *zap.SugaredLogger
}

func (x *exporting) run(ctx context.Context) error {
	for {
		page, err := x.s.Query(ctx, x.filter)
		if err != nil {
			return fmt.Errorf("reading what is next: %w", err)
		}
		for _, row := range page.Rows {
			if err := x.write(ctx, row); err != nil {
				return err
			}
		}
		if x.filter.After = page.Next; page.Next == 0 {
			return x.out.flush()
		}
	}
}

// write writes one event, if it has not been removed meanwhile. One that the disk
// does not give as it was written keeps no other from being carried elsewhere.
func (x *exporting) write(ctx context.Context, row store.Row) error {
	record, err := x.s.Get(ctx, row.ID)
	if errors.Is(err, store.ErrUnknown) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading event %s: %w", row.ID, err)
	}
	if record.Damaged {
		x.log.Errorw("an event is damaged, and left out of an export", "event", row.ID.String(), "source", row.Source, "id", row.ProviderID)
		return nil
	}
	if x.line, err = archive.Append(x.line[:0], record, query.Cursor(row.Seq)); err != nil {
		return fmt.Errorf("writing an event: %w", err)
	}
	err = x.out.write(x.line)
	if cap(x.line) > 1<<20 {
		x.line = nil
	}
	return err
}

// stream is an answer that goes on for as long as its reader keeps up.
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
}

func (s stream) write(text []byte) error {
	if err := s.control.SetWriteDeadline(time.Now().Add(streamWrite)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return fmt.Errorf("limiting the time for writing: %w", err)
	}
	if _, err := s.w.Write(text); err != nil { //nolint:gosec // lines of JSON or server-sent events: no browser takes them for a page
		return fmt.Errorf("writing the answer: %w", err)
	}
	return nil
}

func (s stream) flush() error {
	if err := s.control.Flush(); err != nil {
		return fmt.Errorf("writing the answer: %w", err)
	}
	return nil
}
