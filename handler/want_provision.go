package handler

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-webhooks/caddy-webhooks/placeholders"
)

// provisionWants sets up what the destinations choose by.
func (h *Handler) provisionWants(ctx caddy.Context) error {
	chosen := false
	list := make([]*chooser, len(h.To))
	for i, to := range h.To {
		c, err := h.chooser(ctx, to)
		if err != nil {
			return err
		}
		list[i], chosen = c, chosen || len(c.events) > 0 || len(c.match) > 0 || c.order != ""
	}
	if chosen {
		h.choosers = list
	}
	return nil
}

func (h *Handler) chooser(ctx caddy.Context, to *To) (*chooser, error) {
	wrong := func(what string, err error) error {
		return misplaced{to.Name + "/" + what, fmt.Errorf("destination %s: %s: %w", to.Name, what, err)}
	}
	c := &chooser{name: to.Name, events: to.Events, order: to.OrderBy}
	if err := h.checkEvents(to.Events); err != nil {
		return nil, wrong("events", err)
	}
	if to.OrderBy != "" {
		if err := CheckOrderBy(to.OrderBy); err != nil {
			return nil, wrong("order_by", err)
		}
	}
	raw, err := json.Marshal(to.Match)
	if err == nil {
		err = checkPlaceholders(raw)
	}
	if err != nil {
		return nil, wrong("match", err)
	}
	h.looksAtBody = h.looksAtBody || strings.Contains(string(raw)+to.OrderBy, "http.request.body")
	if len(to.Match) == 0 {
		return c, nil
	}
	loaded, err := ctx.LoadModule(to, "Match")
	if err == nil {
		err = c.match.FromInterface(loaded)
	}
	if err != nil {
		return nil, wrong("match", err)
	}
	return c, nil
}

func (h *Handler) checkEvents(globs []string) error {
	switch {
	case len(globs) == 0:
		return nil
	case slices.Contains(globs, ""):
		return errors.New("a glob is empty; write a type such as invoice.paid, or a part of it with a star: invoice.*")
	case h.typ == nil:
		return fmt.Errorf("an event of %s has no type that is known; say where it stands: from %s { type header|query|json <name> }",
			h.From.Provider, h.From.Provider)
	}
	return nil
}

// CheckOrderBy refuses what cannot tell events apart when they come.
func CheckOrderBy(text string) error {
	const such = "name what must stay in order by a placeholder such as {webhooks.json.<path>} or {http.request.header.<name>}"
	var names []string
	_, err := caddy.NewEmptyReplacer().ReplaceFunc(text, func(name string, _ any) (any, error) {
		names = append(names, name)
		return nil, nil
	})
	if err != nil {
		return err //nolint:wrapcheck // Caddy's own words
	}
	names = slices.DeleteFunc(names, func(name string) bool { return name == "" || fixedPlaceholder.MatchString("{"+name+"}") })
	if len(names) == 0 {
		return fmt.Errorf("%q is the same for all events: %s", text, such)
	}
	for _, name := range names {
		if err := atOnce(name); err != nil {
			return fmt.Errorf("%w: %s", err, such)
		}
	}
	return nil
}

// ourPlaceholder finds ours in a matcher, whatever kind of matcher it is.
var ourPlaceholder = regexp.MustCompile(`\{(` + regexp.QuoteMeta(placeholders.Prefix) + `[^{}"\\]*)\}`)

func checkPlaceholders(raw []byte) error {
	for _, m := range ourPlaceholder.FindAllSubmatch(raw, -1) {
		if err := atOnce(string(m[1])); err != nil {
			return err
		}
	}
	return nil
}

// atOnce refuses a placeholder of ours that there is not, or that is still
// empty when an event comes: what looks at it would never find anything.
func atOnce(name string) error {
	known, now := placeholders.Known(name)
	switch {
	case !strings.HasPrefix(name, placeholders.Prefix) || now:
		return nil
	case known:
		return fmt.Errorf("{%s} has no value yet when an event comes", name)
	}
	return fmt.Errorf("there is no placeholder {%s}", name)
}
