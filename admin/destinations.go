package admin

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/caddy-webhooks/caddy-webhooks/gateway"
	"github.com/caddy-webhooks/caddy-webhooks/query"
	"github.com/caddy-webhooks/caddy-webhooks/store"
)

// destination serves everything below /webhooks/destinations/. The destination
// may be left out where its source has only one: {source}/pause.
func destination(g Gateway, w http.ResponseWriter, r *http.Request) error {
	source, name, verb, ok := route(strings.TrimPrefix(r.URL.Path, "/webhooks/destinations/"))
	action := map[string]store.Action{"pause": store.Pause, "resume": store.Resume}[verb]
	if !ok || action == 0 {
		return fail(http.StatusNotFound, errors.New("the address is /webhooks/destinations/{source}/{destination}/pause, or /resume"))
	}
	if r.Method != http.MethodPost {
		return wrongMethod(w, http.MethodPost)
	}
	q, err := parameters(r)
	if err != nil {
		return err
	}
	if err := query.Only(q); err != nil {
		return fail(http.StatusBadRequest, err)
	}
	d, was, err := gateway.Find(g.Sources(), source, name)
	if err != nil {
		return failed(err)
	}
	done, err := g.Store().Command(r.Context(), store.Command{
		Action: action, Target: d, Introduce: was.State != gateway.Orphaned, Who: who(r),
	})
	if err != nil {
		return failed(err)
	}
	_, now, err := gateway.Find(g.Sources(), d.Source, d.Name)
	if err != nil { // an orphan that was settled meanwhile
		now = was
	}
	return answer(w, http.StatusOK, pausedJSON{
		Source: d.Source, Destination: d.Name, Changed: len(done.Changed) > 0,
		destinationJSON: toDestination(now),
	})
}

// route takes the rest of an address apart: source, destination or nothing, verb.
func route(path string) (source, name, verb string, ok bool) {
	parts := strings.Split(path, "/")
	switch len(parts) {
	case 2:
		return parts[0], "", parts[1], parts[0] != ""
	case 3:
		return parts[0], parts[1], parts[2], parts[0] != "" && parts[1] != ""
	}
	return "", "", "", false
}

// pausedJSON tells where the destination stands after the command.
type pausedJSON struct {
	Source      string `json:"source"`
	Destination string `json:"destination"`
	// Changed is false if it was so before.
	Changed bool `json:"changed"`
	destinationJSON
}

// configured finds a destination that a delivery can be moved to: `shop/default`,
// or only `default` where the source is known otherwise.
func configured(g Gateway, source, to string) (store.Command, error) {
	name := to
	if s, n, ok := strings.Cut(to, "/"); ok {
		source, name = s, n
	}
	switch {
	case to == "":
		return store.Command{}, fail(http.StatusBadRequest, errors.New(`to is missing; write "to":"source/destination"`))
	case source == "" || name == "":
		return store.Command{}, fail(http.StatusBadRequest, fmt.Errorf("to is %q; write it as source/destination", to))
	}
	sources := g.Sources()
	d, status, err := gateway.Find(sources, source, name)
	if err != nil {
		return store.Command{}, failed(err)
	}
	if status.State == gateway.Orphaned {
		return store.Command{}, fail(http.StatusConflict,
			fmt.Errorf("%s is not configured any more, so nothing would be sent; %s", d, gateway.ThereAre(sources)))
	}
	return store.Command{Action: store.Move, Target: d}, nil
}
