package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/gateway"
	"github.com/caddy-webhooks/caddy-webhooks/query"
	"github.com/caddy-webhooks/caddy-webhooks/store"
)

// movedJSON answers a move of many.
type movedJSON struct {
	// Matched counts the deliveries that the filters choose and that wait or are dead.
	Matched int64 `json:"matched"`
	// Moved counts those that wait at the new destination now.
	Moved int64 `json:"moved"`
	// Skipped counts the others: Sending of them are being sent just now, the
	// rest are owed to the new destination already or were settled meanwhile.
	Skipped int64  `json:"skipped"`
	Sending int64  `json:"sending"`
	To      string `json:"to"`
	DryRun  bool   `json:"dry_run,omitempty"`
}

// moving is what a request to move many asks for.
type moving struct {
	filter  store.Filter
	command store.Command
	dryRun  bool
}

// move serves POST /webhooks/move. It answers when all is done; whoever hangs up
// ends it, and what was moved until then stays moved.
func move(g Gateway, w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodPost {
		return wrongMethod(w, http.MethodPost)
	}
	m, err := readMove(g, w, r)
	if err != nil {
		return err
	}
	parcels, err := m.collect(r.Context(), g.Store())
	if err != nil {
		return failed(err)
	}
	v := movedJSON{Matched: int64(len(parcels)), To: m.command.Target.String(), DryRun: m.dryRun}
	if !m.dryRun {
		if err := m.carry(r.Context(), g.Store(), parcels, &v); err != nil {
			return failed(fmt.Errorf("moved %d of %d, and then it failed; repeat the command to go on: %w", v.Moved, v.Matched, err))
		}
	}
	return answer(w, http.StatusOK, v)
}

// readMove reads the body: the filters of /webhooks/events, to, and dry_run.
func readMove(g Gateway, w http.ResponseWriter, r *http.Request) (m moving, err error) {
	if q, err := parameters(r); err != nil {
		return m, err
	} else if err := query.Only(q); err != nil {
		return m, fail(http.StatusBadRequest, fmt.Errorf("%w; filters stand in the body", err))
	}
	var body map[string]json.RawMessage
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxCommand))
	if err == nil {
		err = strict(text, &body)
	}
	if err != nil {
		return m, fail(http.StatusBadRequest, fmt.Errorf(`the body must be like {"source":"shop","destination":"old","to":"shop/new"}: %w`, err))
	}
	to, q, err := m.fields(body)
	if err == nil {
		m.filter, err = query.Parse(q, time.Now())
	}
	if err == nil && m.filter.State != 0 && !m.filter.State.Unsettled() {
		err = fmt.Errorf("what is %s is not moved: only pending and dead deliveries are", m.filter.State)
	}
	if err != nil {
		return m, fail(http.StatusBadRequest, err)
	}
	if err := exists(g, m.filter); err != nil {
		return m, err
	}
	m.command, err = configured(g, m.filter.Source, to)
	m.command.Who = who(r)
	return m, err
}

// fields takes the body apart. Pages are no filters: a move is of all that match.
func (m *moving) fields(body map[string]json.RawMessage) (to string, q url.Values, err error) {
	q = url.Values{}
	for _, name := range slices.Sorted(maps.Keys(body)) {
		var text string
		switch name {
		case "dry_run":
			err = strict(body[name], &m.dryRun)
		case "limit", "cursor":
			err = errors.New("a move is of all that match: there are no pages")
		default:
			if err = strict(body[name], &text); err == nil && text == "" {
				err = errors.New("it is empty; leave it out")
			}
			q.Set(name, text)
		}
		if err != nil {
			return "", nil, fmt.Errorf("field %s: %w", name, err)
		}
	}
	to = q.Get("to")
	q.Del("to")
	return to, q, nil
}

// exists refuses a source or a destination that is nowhere: a misspelled name
// would otherwise look like nothing to do.
func exists(g Gateway, f store.Filter) error {
	if f.Source == "" {
		return nil
	}
	_, _, err := gateway.Find(g.Sources(), f.Source, f.Destination)
	if err == nil || errors.Is(err, gateway.ErrWhich) {
		return nil
	}
	return failed(err)
}

// parcel is one delivery of one event.
type parcel struct {
	event event.ID
	at    event.Destination
	// ordered tells that it goes in turn with others.
	ordered bool
}

// collect finds what is to be moved, the oldest first.
func (m *moving) collect(ctx context.Context, s store.Store) ([]parcel, error) {
	f := m.filter
	f.Limit = query.MaxLimit
	var found []parcel
	for {
		page, err := s.Query(ctx, f)
		if err != nil {
			return nil, fmt.Errorf("looking for what matches: %w", err)
		}
		for _, row := range page.Rows {
			found = append(found, m.parcels(row)...)
		}
		if f.Before = page.Next; page.Next == 0 {
			break
		}
	}
	slices.Reverse(found)
	return found, nil
}

// parcels gives the deliveries of an event that can be moved.
func (m *moving) parcels(row store.Row) (list []parcel) {
	for _, d := range row.Deliveries {
		at := event.Destination{Source: row.Source, Name: d.Destination}
		if d.Source != "" {
			at.Source = d.Source
		}
		if d.State.Unsettled() && at != m.command.Target && m.filter.Delivery(at, d.State) {
			list = append(list, parcel{row.ID, at, d.Ordered})
		}
	}
	return list
}

// movers is how many moves are written at once, so that one sync of the store
// serves many.
const movers = 32

// together is how many of these may be moved at once: what is delivered in an
// order arrives in that order only one by one.
func together(parcels []parcel) int {
	if slices.ContainsFunc(parcels, func(p parcel) bool { return p.ordered }) {
		return 1
	}
	return movers
}

// carry moves the parcels, about in their order. It ends at the first failure
// that is none of a single event's.
func (m *moving) carry(ctx context.Context, s store.Store, parcels []parcel, v *movedJSON) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var moved, skipped, sending atomic.Int64
	one := func(p parcel) {
		c := m.command
		c.Event, c.Destination = p.event, p.at.String()
		_, err := s.Command(ctx, c)
		switch {
		case err == nil:
			moved.Add(1)
		case errors.Is(err, store.ErrInFlight):
			sending.Add(1)
			skipped.Add(1)
		case errors.Is(err, store.ErrConflict), errors.Is(err, store.ErrUnknown):
			skipped.Add(1)
		default:
			cancel(err)
		}
	}
	for some := range slices.Chunk(parcels, together(parcels)) {
		var wg sync.WaitGroup
		for _, p := range some {
			wg.Go(func() { one(p) })
		}
		if wg.Wait(); ctx.Err() != nil {
			break
		}
	}
	v.Moved, v.Skipped, v.Sending = moved.Load(), skipped.Load(), sending.Load()
	return context.Cause(ctx)
}
