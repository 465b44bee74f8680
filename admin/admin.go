// Package admin is the gateway's part of Caddy's admin API: what is stored, how
// it goes, and an operator's actions on single events. Caddy's own checks of
// origin and host stand before it.
package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/gateway"
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
		return f(g, w, r)
	})
}

func (a API) find() (Gateway, bool) {
	if a.running != nil {
		return a.running()
	}
	return gateway.Running()
}

// get refuses every other method.
func get(f action) action {
	return func(g Gateway, w http.ResponseWriter, r *http.Request) error {
		if r.Method != http.MethodGet {
			return wrongMethod(w, http.MethodGet)
		}
		return f(g, w, r)
	}
}

func wrongMethod(w http.ResponseWriter, allowed string) error {
	w.Header().Set("Allow", allowed)
	return fail(http.StatusMethodNotAllowed, fmt.Errorf("only %s is possible here", allowed))
}

func fail(status int, err error) error { return caddy.APIError{HTTPStatus: status, Err: err} }

// failed turns the store's errors into statuses.
func failed(err error) error {
	status := http.StatusServiceUnavailable
	switch {
	case errors.Is(err, store.ErrUnknown):
		status = http.StatusNotFound
	case errors.Is(err, store.ErrInFlight), errors.Is(err, store.ErrConflict):
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

func sources(g Gateway, w http.ResponseWriter, _ *http.Request) error {
	list := []sourceJSON{}
	for _, s := range g.Sources() {
		list = append(list, toSource(s))
	}
	return answer(w, http.StatusOK, map[string]any{"sources": list})
}

func events(g Gateway, w http.ResponseWriter, r *http.Request) error {
	f, err := parseFilter(r.URL.Query())
	if err != nil {
		return fail(http.StatusBadRequest, err)
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
		v.Next = cursor(page.Next)
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
	raw := r.URL.Query().Get("body")
	if raw != "" && raw != "raw" || !only(r.URL.Query(), "body") {
		return fail(http.StatusBadRequest, errors.New("the one parameter is body=raw"))
	}
	record, err := g.Store().Get(r.Context(), id)
	if err != nil {
		return failed(err)
	}
	if raw == "" {
		return answer(w, http.StatusOK, toRecord(record))
	}
	if record.Event == nil {
		return failed(store.ErrGone)
	}
	// The bytes are a stranger's: a browser must not take them for anything.
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, err = w.Write(record.Event.Body)
	return err
}

// maxCommand bounds a command's body, in bytes.
const maxCommand = 4 << 10

// command carries out an operator's action on one event.
func command(g Gateway, w http.ResponseWriter, r *http.Request, c store.Command) error {
	if r.Method != http.MethodPost {
		return wrongMethod(w, http.MethodPost)
	}
	if !only(r.URL.Query(), "destination") {
		return fail(http.StatusBadRequest, errors.New("the one parameter is destination"))
	}
	var body struct {
		Destination string `json:"destination"`
	}
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxCommand))
	d.DisallowUnknownFields()
	if r.ContentLength != 0 {
		if err := d.Decode(&body); err != nil {
			return fail(http.StatusBadRequest, fmt.Errorf("the body must be like {\"destination\":\"default\"}: %w", err))
		}
	}
	c.Destination = body.Destination
	if v := r.URL.Query().Get("destination"); v != "" {
		c.Destination = v
	}
	c.Who = who(r)
	done, err := g.Store().Command(r.Context(), c)
	if err != nil {
		return failed(err)
	}
	status := http.StatusOK
	if len(done.Deferred) > 0 {
		status = http.StatusAccepted
	}
	return answer(w, status, map[string]any{
		"event": c.Event.String(), "changed": slices.Concat([]string{}, done.Changed), "deferred": slices.Concat([]string{}, done.Deferred),
	})
}

// WhoHeader names the person behind a command line, for the record.
const WhoHeader = "Webhooks-Who"

func who(r *http.Request) string {
	if name := r.Header.Get(WhoHeader); name != "" {
		return name
	}
	return "api " + r.RemoteAddr
}

// only tells whether a query has no other parameters, and each at most once.
func only(q map[string][]string, allowed ...string) bool {
	for name, values := range q {
		if !slices.Contains(allowed, name) || len(values) > 1 {
			return false
		}
	}
	return true
}

// Interface guards
var (
	_ caddy.AdminRouter = API{}
	_ Gateway           = (*gateway.Gateway)(nil)
)
