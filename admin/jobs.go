package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/caddy-webhooks/caddy-webhooks/gateway"
	"github.com/caddy-webhooks/caddy-webhooks/jobs"
	"github.com/caddy-webhooks/caddy-webhooks/query"
	"github.com/caddy-webhooks/caddy-webhooks/store"
)

// begunJSON answers an order.
type begunJSON struct {
	// Job is missing from the answer to a dry run.
	Job string `json:"job,omitempty"`
	// Matched counts the deliveries that it is about. Orphaned counts those that fit
	// but have nowhere to go: a replay leaves them alone.
	Matched  int64  `json:"matched"`
	Orphaned int64  `json:"orphaned,omitempty"`
	To       string `json:"to,omitempty"`
	DryRun   bool   `json:"dry_run,omitempty"`
}

// maxRate and minRate bound a job's rate: what is more is no limit, and what is
// less is no work.
const (
	maxRate = 1e6
	minRate = 1e-4
)

// many serves POST /webhooks/replay, /webhooks/discard and /webhooks/move.
func many(action store.Action) action {
	return func(g Gateway, w http.ResponseWriter, r *http.Request) error {
		if r.Method != http.MethodPost {
			return wrongMethod(w, http.MethodPost)
		}
		o, dryRun, err := readOrder(g, w, r, action)
		if err != nil {
			return err
		}
		v := begunJSON{DryRun: dryRun}
		if action == store.Move || o.To.Name != "" {
			v.To = o.To.String()
		}
		if dryRun {
			if v.Matched, v.Orphaned, err = g.Jobs().Count(r.Context(), o); err != nil {
				return misordered(err)
			}
			return answer(w, http.StatusOK, v)
		}
		job, err := g.Jobs().Begin(r.Context(), o)
		if err != nil {
			return misordered(err)
		}
		v.Job, v.Matched = job.ID, job.Matched
		w.Header().Set("Location", "/webhooks/jobs/"+job.ID)
		return answer(w, http.StatusAccepted, v)
	}
}

// misordered turns a runner's refusal into a status: what is no trouble of the
// store is a fault of the order.
func misordered(err error) error {
	for _, known := range []error{store.ErrUnavailable, store.ErrClosed, store.ErrFull} {
		if errors.Is(err, known) {
			return failed(err)
		}
	}
	if errors.Is(err, jobs.ErrTooMany) || errors.Is(err, jobs.ErrOrphans) || errors.Is(err, store.ErrConflict) {
		return fail(http.StatusConflict, err)
	}
	return fail(http.StatusBadRequest, err)
}

// readOrder reads the body: the filters of /webhooks/events, to, rate and dry_run.
func readOrder(g Gateway, w http.ResponseWriter, r *http.Request, action store.Action) (o jobs.Order, dryRun bool, err error) {
	if q, err := parameters(r); err != nil {
		return o, false, err
	} else if err := query.Only(q); err != nil {
		return o, false, fail(http.StatusBadRequest, fmt.Errorf("%w; filters stand in the body", err))
	}
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxCommand))
	if errors.As(err, new(*http.MaxBytesError)) {
		return o, false, tooLarge()
	}
	var body map[string]json.RawMessage
	if err == nil {
		body, err = object(text)
	}
	if err != nil {
		return o, false, fail(http.StatusBadRequest, fmt.Errorf("the body must be like %s: %w", bodyOf[action], err))
	}
	o = jobs.Order{Action: action, Who: who(r)}
	to, dryRun, err := fields(&o, body)
	if err != nil {
		return o, false, fail(http.StatusBadRequest, err)
	}
	if err := aims(g, &o, to); err != nil {
		return o, false, err
	}
	return o, dryRun, nil
}

// bodyOf has an example for each action.
var bodyOf = map[store.Action]string{
	store.Replay:  `{"source":"shop","state":"dead","since":"-2h"}`,
	store.Discard: `{"source":"shop","state":"dead","until":"-7d"}`,
	store.Move:    `{"source":"shop","destination":"old","to":"shop/new"}`,
}

// orderFields are those of a body.
func orderFields() []string {
	return slices.Sorted(slices.Values(append(query.Filters(), "dry_run", "rate", "to")))
}

// known tells whether a field of a body is one of them, or one of those of pages,
// of which the order's own words say why they are none.
func known(name string) bool {
	return slices.Contains(orderFields(), name) || slices.Contains(query.Names(), name)
}

// fields takes the body apart.
func fields(o *jobs.Order, body map[string]json.RawMessage) (to string, dryRun bool, err error) {
	o.Filters = url.Values{}
	for _, name := range slices.Sorted(maps.Keys(body)) {
		var text string
		switch name {
		case "dry_run":
			err = json.Unmarshal(body[name], &dryRun)
		case "rate":
			if err = json.Unmarshal(body[name], &o.Rate); err == nil && (o.Rate < minRate || o.Rate > maxRate) {
				err = fmt.Errorf("it must be deliveries a second, from %g (one in three hours) to %.0f; leave it out for no limit", minRate, maxRate)
			}
		default:
			if !known(name) {
				return "", false, fmt.Errorf("unknown field %q; there are %s", name, strings.Join(orderFields(), ", "))
			}
			if err = json.Unmarshal(body[name], &text); err == nil && text == "" {
				err = errors.New("it is empty; leave it out")
			}
			o.Filters.Set(name, text)
		}
		if err != nil {
			return "", false, fmt.Errorf("field %s: %w", name, err)
		}
	}
	to = o.Filters.Get("to")
	o.Filters.Del("to")
	return to, dryRun, nil
}

// aims finds the destination that an order names. A source or a destination that is
// nowhere is refused: a misspelled name would otherwise look like nothing to do.
func aims(g Gateway, o *jobs.Order, to string) error {
	source, name := o.Filters.Get("source"), o.Filters.Get("destination")
	if err := stored(g, source, name); err != nil {
		return failed(err)
	}
	switch {
	case o.Action == store.Discard && to != "":
		return fail(http.StatusBadRequest, errors.New("field to: what is discarded goes nowhere"))
	case o.Action == store.Replay && to == "":
		return nil
	case o.Action == store.Discard:
		return nil
	}
	c, err := configured(g, source, to)
	o.To = c.Target
	return err
}

// stored refuses names of a source and a destination, both of which may be empty,
// that are neither configured nor those of anything stored. What is stored at a
// destination that is gone is listed, so it can be named, whether it waits or not.
func stored(g Gateway, source, name string) error {
	sources := everKnown(g)
	switch {
	case source != "":
		if _, _, err := gateway.Find(sources, source, name); err != nil && !errors.Is(err, gateway.ErrWhich) {
			return err //nolint:wrapcheck // it says what there is
		}
	case name != "" && !slices.ContainsFunc(sources, func(s gateway.SourceStatus) bool { return has(s, name) }):
		return fmt.Errorf("%w: %s; %s", gateway.ErrNoDestination, name, gateway.ThereAre(sources))
	}
	return nil
}

// everKnown lists what is configured, and all destinations that the store knows.
func everKnown(g Gateway) []gateway.SourceStatus {
	sources := slices.Clone(g.Sources())
	for _, d := range g.Store().Stats().Destinations {
		i := slices.IndexFunc(sources, func(s gateway.SourceStatus) bool { return s.Name == d.Source })
		if i < 0 {
			i, sources = len(sources), append(sources, gateway.SourceStatus{Name: d.Source})
		}
		if s := &sources[i]; !has(*s, d.Name) {
			s.Destinations = append(slices.Clone(s.Destinations), gateway.DestinationStatus{Name: d.Name, State: gateway.Orphaned, Count: d.Count})
		}
	}
	return sources
}

func has(s gateway.SourceStatus, name string) bool {
	return slices.ContainsFunc(s.Destinations, func(d gateway.DestinationStatus) bool { return d.Name == name })
}

// jobList serves GET /webhooks/jobs.
func jobList(g Gateway, w http.ResponseWriter, r *http.Request) error {
	q, err := parameters(r)
	if err != nil {
		return err
	}
	if err := query.Only(q); err != nil {
		return fail(http.StatusBadRequest, err)
	}
	return answer(w, http.StatusOK, map[string]any{"jobs": list(g.Jobs().Jobs())})
}

// job serves /webhooks/jobs/{job}: GET for how far it is, DELETE to cancel it.
func job(g Gateway, w http.ResponseWriter, r *http.Request) error {
	id := strings.TrimPrefix(r.URL.Path, "/webhooks/jobs/")
	q, err := parameters(r)
	if err != nil {
		return err
	}
	if err := query.Only(q); err != nil {
		return fail(http.StatusBadRequest, err)
	}
	var v jobs.Job
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		v, err = g.Jobs().Job(id)
	case http.MethodDelete:
		v, err = g.Jobs().Cancel(r.Context(), id, who(r))
	default:
		return wrongMethod(w, "GET, HEAD, DELETE")
	}
	switch {
	case errors.Is(err, jobs.ErrUnknown):
		return fail(http.StatusNotFound, err)
	case errors.Is(err, jobs.ErrEnded):
		return fail(http.StatusConflict, err)
	case err != nil:
		return failed(err)
	}
	return answer(w, http.StatusOK, v)
}
