// Package admin is the gateway's part of Caddy's admin API: what is stored, how
// it goes, and an operator's actions on single events. Caddy's own checks of
// origin and host stand before it.
package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/gateway"
	"github.com/caddy-webhooks/caddy-webhooks/history"
	"github.com/caddy-webhooks/caddy-webhooks/jobs"
	"github.com/caddy-webhooks/caddy-webhooks/query"
	"github.com/caddy-webhooks/caddy-webhooks/store"
)

func init() { caddy.RegisterModule(API{}) }

// API is the admin module `admin.api.webhooks`.
type API struct {
	// running finds the gateway; nil means the one of this process.
	running func() (Gateway, bool)
}

// Gateway is what the API shows and commands.
type Gateway interface {
	Sources() []gateway.SourceStatus
	Store() store.Store
	// Import takes in what another gateway has accepted.
	Import(ctx context.Context, r store.Record, now time.Time) (store.Receipt, error)
	// Jobs are those of the store; nil if it is closed.
	Jobs() *jobs.Runner
	// Troubles lists what is wrong just now.
	Troubles(oldest time.Duration, now time.Time) []gateway.Trouble
	// History is what the plots show; nil if the store is closed.
	History() *history.History
	// Refusals and RefusalCounts tell of requests that were refused; an empty
	// source means all.
	Refusals(source string) []gateway.Refusal
	RefusalCounts(source string) []gateway.RefusalCount
	// Learn, Learning and Forget steer a source that gets its secret from its provider.
	Learn(source string, now time.Time) (gateway.Learning, error)
	Learning(source string, now time.Time) (gateway.Learning, error)
	Forget(ctx context.Context, source, who string) error
}

// CaddyModule names the module.
func (API) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "admin.api.webhooks", New: func() caddy.Module { return new(API) }}
}

// Routes lists what is served. Admin routers are provisioned before apps and
// outlive failed reloads, so each request looks for the gateway anew.
func (a API) Routes() []caddy.AdminRoute {
	return []caddy.AdminRoute{
		{Pattern: "/webhooks/sources", Handler: a.serve(get(sources))},
		{Pattern: "/webhooks/events", Handler: a.serve(get(events))},
		{Pattern: "/webhooks/events/", Handler: a.serve(one)},
		{Pattern: "/webhooks/health", Handler: a.serve(get(health))},
		{Pattern: "/webhooks/tail", Handler: a.serve(get(tail))},
		{Pattern: "/webhooks/history", Handler: a.serve(get(past))},
		{Pattern: "/webhooks/refusals", Handler: a.serve(get(refusals))},
		{Pattern: "/webhooks/export", Handler: a.serve(get(export))},
		{Pattern: "/webhooks/import", Handler: a.serve(bring)},
		{Pattern: "/webhooks/learn/", Handler: a.serve(learn)},
		{Pattern: "/webhooks/destinations/", Handler: a.serve(destination)},
		{Pattern: "/webhooks/replay", Handler: a.serve(many(store.Replay))},
		{Pattern: "/webhooks/discard", Handler: a.serve(many(store.Discard))},
		{Pattern: "/webhooks/move", Handler: a.serve(many(store.Move))},
		{Pattern: "/webhooks/jobs", Handler: a.serve(get(jobList))},
		{Pattern: "/webhooks/jobs/", Handler: a.serve(job)},
	}
}

// action answers one request.
type action func(g Gateway, w http.ResponseWriter, r *http.Request) error

func (a API) serve(f action) caddy.AdminHandler {
	return caddy.AdminHandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		g, ok := a.find()
		if !ok {
			return fail(http.StatusNotFound, errors.New("no gateway is running: the configuration has no webhooks directive"))
		}
		s, j := g.Store(), g.Jobs()
		if s == nil || j == nil { // closed since it was found
			return failed(store.ErrClosed)
		}
		return f(held{g, s, j}, w, r)
	})
}

// held is a gateway with the store that it had when the request began.
type held struct {
	Gateway
	store store.Store
	jobs  *jobs.Runner
}

// Store gives the store that is held.
func (h held) Store() store.Store { return h.store }

// Jobs gives those that are held.
func (h held) Jobs() *jobs.Runner { return h.jobs }

func (a API) find() (Gateway, bool) {
	if a.running != nil {
		return a.running()
	}
	return gateway.Running()
}

// list is v, and never null in JSON.
func list[T any](v []T) []T {
	if v == nil {
		return []T{}
	}
	return v
}

// get refuses every other method but HEAD, whose answer has no body.
func get(f action) action {
	return func(g Gateway, w http.ResponseWriter, r *http.Request) error {
		if !reads(r) {
			return wrongMethod(w, "GET, HEAD")
		}
		return f(g, w, r)
	}
}

// reads tells whether a request only looks. To HEAD everything is answered as to
// GET: the server leaves the body out.
func reads(r *http.Request) bool { return r.Method == http.MethodGet || r.Method == http.MethodHead }

func wrongMethod(w http.ResponseWriter, allowed string) error {
	w.Header().Set("Allow", allowed)
	return fail(http.StatusMethodNotAllowed, fmt.Errorf("only %s is possible here", allowed))
}

func fail(status int, err error) error { return caddy.APIError{HTTPStatus: status, Err: err} }

// failed turns the store's errors into statuses.
func failed(err error) error {
	status := http.StatusServiceUnavailable
	switch {
	case errors.Is(err, store.ErrUnknown), errors.Is(err, gateway.ErrNoSource), errors.Is(err, gateway.ErrNoDestination):
		status = http.StatusNotFound
	case errors.Is(err, store.ErrInFlight), errors.Is(err, store.ErrConflict), errors.Is(err, gateway.ErrNoLearner),
		errors.Is(err, gateway.ErrWhich):
		status = http.StatusConflict
	case errors.Is(err, store.ErrGone):
		status = http.StatusGone
	}
	return fail(status, err)
}

func answer(w http.ResponseWriter, status int, v any) error {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("writing the answer: %w", err)
	}
	return nil
}

// parameters reads the query. Unlike r.URL.Query it refuses what it cannot
// read, where a filter would otherwise be dropped and more be shown than asked for.
func parameters(r *http.Request) (url.Values, error) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, fail(http.StatusBadRequest, fmt.Errorf("reading the query: %w", err))
	}
	return q, nil
}

func sources(g Gateway, w http.ResponseWriter, r *http.Request) error {
	q, err := parameters(r)
	if err != nil {
		return err
	}
	if err := query.Only(q); err != nil {
		return fail(http.StatusBadRequest, err)
	}
	all := []sourceJSON{}
	for _, s := range g.Sources() {
		all = append(all, toSource(s))
	}
	return answer(w, http.StatusOK, map[string]any{"sources": all})
}

func events(g Gateway, w http.ResponseWriter, r *http.Request) error {
	q, err := parameters(r)
	if err != nil {
		return err
	}
	f, err := query.Parse(q, time.Now())
	if err != nil {
		return fail(http.StatusBadRequest, err)
	}
	if err := within(g.Store(), f.Before); err != nil {
		return err
	}
	page, err := g.Store().Query(r.Context(), f)
	if err != nil {
		return failed(err)
	}
	v := eventsJSON{Events: []eventJSON{}}
	for _, row := range page.Rows {
		v.Events = append(v.Events, toEvent(row))
	}
	if page.Next != 0 {
		v.Next = query.Cursor(page.Next)
	}
	if !page.Complete {
		v.SearchedUntil = at(page.Reached)
	}
	return answer(w, http.StatusOK, v)
}

// one serves everything below /webhooks/events/.
func one(g Gateway, w http.ResponseWriter, r *http.Request) error {
	name, verb, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/webhooks/events/"), "/")
	id, err := event.ParseID(name)
	if err != nil {
		return fail(http.StatusNotFound, err)
	}
	switch verb {
	case "":
		return get(func(g Gateway, w http.ResponseWriter, r *http.Request) error { return show(g, w, r, id) })(g, w, r)
	case "replay":
		return command(g, w, r, store.Command{Action: store.Replay, Event: id})
	case "discard":
		return command(g, w, r, store.Command{Action: store.Discard, Event: id})
	}
	return fail(http.StatusNotFound, fmt.Errorf("an event can be replayed or discarded, not %q", verb))
}

func show(g Gateway, w http.ResponseWriter, r *http.Request, id event.ID) error {
	q, err := parameters(r)
	if err != nil {
		return err
	}
	raw := q.Get("body")
	if err := query.Only(q, "body", "secrets"); err != nil {
		return fail(http.StatusBadRequest, err)
	}
	open, err := flagged(q, "secrets")
	switch {
	case err != nil:
		return fail(http.StatusBadRequest, err)
	case raw != "" && raw != "raw":
		return fail(http.StatusBadRequest, errors.New("parameter body: must be raw, or left out"))
	}
	record, err := g.Store().Get(r.Context(), id)
	if err != nil {
		return failed(err)
	}
	if raw == "" {
		return answer(w, http.StatusOK, toRecord(record, open))
	}
	switch {
	case record.Damaged:
		return failed(errDamaged)
	case record.Event == nil:
		return failed(store.ErrGone)
	}
	// The bytes are a stranger's: a browser must not take them for anything.
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if _, err = w.Write(record.Event.Body); err != nil {
		return fmt.Errorf("writing the body: %w", err)
	}
	return nil
}

// errDamaged is returned for the body of an event that the disk has spoiled.
var errDamaged = errors.New("the event's content is damaged on the disk; the log says where; a backup may have it")

// maxCommand bounds a command's body, in bytes.
const maxCommand = 4 << 10

// command carries out an operator's action on one event.
func command(g Gateway, w http.ResponseWriter, r *http.Request, c store.Command) error {
	if r.Method != http.MethodPost {
		return wrongMethod(w, http.MethodPost)
	}
	destination, err := chosen(w, r)
	if err != nil {
		return err
	}
	c.Destination, c.Who = destination, who(r)
	done, err := carryOut(r.Context(), g, c)
	if err != nil {
		return err
	}
	status := http.StatusOK
	if len(done.Deferred) > 0 {
		status = http.StatusAccepted
	}
	return answer(w, status, map[string]any{
		"event": c.Event.String(), "changed": list(done.Changed), "deferred": list(done.Deferred),
	})
}

// chosen is the destination that a command names, in its query or its body;
// empty for all. A name that is there but empty is refused: it would otherwise
// widen one destination to all of them.
func chosen(w http.ResponseWriter, r *http.Request) (string, error) {
	q, err := parameters(r)
	if err != nil {
		return "", err
	}
	if err := query.Only(q, "destination"); err != nil {
		return "", fail(http.StatusBadRequest, err)
	}
	inQuery := q.Get("destination")
	inBody, named, err := bodily(http.MaxBytesReader(w, r.Body, maxCommand))
	switch {
	case errors.As(err, new(*http.MaxBytesError)):
		return "", tooLarge()
	case err != nil:
		return "", fail(http.StatusBadRequest, fmt.Errorf("the body must be like {\"destination\":\"default\"}: %w", err))
	case !named:
		return inQuery, nil
	case inBody == "":
		return "", fail(http.StatusBadRequest, errors.New("the destination is empty; leave it out for all"))
	case inQuery != "" && inQuery != inBody:
		return "", fail(http.StatusBadRequest, errors.New("query and body name different destinations"))
	}
	return inBody, nil
}

func tooLarge() error {
	return fail(http.StatusRequestEntityTooLarge, fmt.Errorf("the body is larger than %d bytes", maxCommand))
}

// bodily reads the destination out of a body that may be empty; named tells
// whether there is one.
func bodily(r io.Reader) (destination string, named bool, err error) {
	text, err := io.ReadAll(r)
	if err != nil {
		return "", false, fmt.Errorf("reading it: %w", err)
	}
	if text = bytes.TrimSpace(text); len(text) == 0 {
		return "", false, nil
	}
	body, err := object(text)
	for name, v := range body {
		if name != "destination" {
			return "", false, fmt.Errorf("unknown field %q", name)
		}
		err = json.Unmarshal(v, &destination)
		named = true
	}
	return destination, named, err
}

// object reads one JSON object. A name that stands twice is refused, as programs
// differ in which of them counts, and so is null: to Go it is whatever was there
// before, which for a dry run is that it is none.
func object(text []byte) (map[string]json.RawMessage, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.Join(errors.New("it is no object"), err)
	}
	fields := map[string]json.RawMessage{}
	for d.More() {
		t, err := d.Token()
		name, _ := t.(string)
		if err != nil {
			return nil, fmt.Errorf("decoding: %w", err)
		}
		if _, twice := fields[name]; twice {
			return nil, fmt.Errorf("field %s stands more than once", name)
		}
		var v json.RawMessage
		if err := d.Decode(&v); err != nil {
			return nil, fmt.Errorf("field %s: %w", name, err)
		}
		if string(v) == "null" {
			return nil, fmt.Errorf("field %s: it is null; leave it out", name)
		}
		fields[name] = v
	}
	if _, err := d.Token(); err != nil {
		return nil, fmt.Errorf("decoding: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is something behind it")
	}
	return fields, nil
}

// WhoHeader names the person behind a command line, for the record. It is
// believed: whoever reaches the admin endpoint may do anything to this Caddy. The
// address goes with it all the same.
const WhoHeader = "Webhooks-Who"

// maxWho bounds the name, in runes.
const maxWho = 100

func who(r *http.Request) string {
	from := "admin api " + r.RemoteAddr
	name := []rune(strings.Map(func(c rune) rune {
		if !unicode.IsPrint(c) {
			return -1
		}
		return c
	}, r.Header.Get(WhoHeader)))
	said := string(name[:min(len(name), maxWho)])
	switch {
	case said == "":
		return from
	case r.RemoteAddr == "": // from within this process: the dashboard knows who it is
		return said
	}
	return said + ", " + from
}

// Interface guards
var (
	_ caddy.AdminRouter = API{}
	_ Gateway           = (*gateway.Gateway)(nil)
)
