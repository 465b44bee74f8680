package words

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/caddy-webhooks/caddy-webhooks/verify"
)

// Questions lists the names of the handshakes that are answered, and `secret`
// where the provider hands its secret over.
func Questions(r *verify.Record) []string {
	var names []string
	for i := range r.Handshakes {
		names = append(names, r.Handshakes[i].Name)
	}
	if r.Learn != nil {
		names = append(names, "secret")
	}
	return names
}

func handshakes(r *verify.Record) []Block {
	var items []string
	for i := range r.Handshakes {
		h := &r.Handshakes[i]
		items = append(items, fmt.Sprintf("%s: %s. It is answered %s.", code(h.Name), question(h), reply(&h.Answer)))
	}
	var blocks []Block
	if len(items) > 0 {
		blocks = append(blocks, text("Answered by the gateway, and not delivered:"), Block{Items: items})
	}
	if r.Learn != nil {
		blocks = append(blocks, text("%s hands its secret over in %s. With `secret learn` in place of a secret it is taken, once, after `caddy webhooks learn <source>`%s.",
			title(r), handedOver(r.Learn), map[bool]string{true: "; a person then has to confirm it at the provider, and Caddy's log shows it once"}[r.Learn.Show]))
	}
	return blocks
}

func handedOver(l *verify.Learn) string {
	if l.Header != "" {
		return "the header " + code(l.Header)
	}
	return code(l.JSON) + " of a JSON body"
}

// question says what marks a handshake.
func question(h *verify.Handshake) string {
	said := cmp.Or(h.Method, http.MethodPost)
	var with []string
	for _, p := range []struct {
		in     string
		values map[string]string
	}{{"header", h.Header}, {"query", h.Query}, {"json", h.JSON}, {"form", h.Form}} {
		with = append(with, marked(p.in, p.values)...)
	}
	for _, name := range slices.Sorted(maps.Keys(h.Secret)) {
		with = append(with, fmt.Sprintf("parameter %s equal to the option %s", code(name), code(h.Secret[name])))
	}
	if len(with) > 0 {
		said += " with " + list(with, "and")
	}
	if len(h.NoJSON) > 0 {
		said += " and without " + list(codes(h.NoJSON), "and") + " in its body"
	}
	if h.Signed {
		return said + ", proven like an event"
	}
	return said + ", not proven"
}

// marked lists the values that must stand at a place.
func marked(in string, values map[string]string) []string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(values)) {
		want := values[name]
		said := where(in) + " " + code(name)
		switch pattern, isPattern := strings.CutPrefix(want, "~"); {
		case isPattern:
			said += " like " + code(pattern)
		case strings.Contains(want, "{"):
			said += " = " + phrase(want)
		case want != "":
			said += " = " + code(want)
		}
		parts = append(parts, said)
	}
	return parts
}

// reply says what is answered.
func reply(a *verify.Answer) string {
	said := fmt.Sprint(a.Status)
	if a.Status == 0 {
		said = "200"
	}
	switch {
	case a.Body != "":
		said += " with " + code(a.Body)
	case a.Echo != "":
		said += " with " + phrase(a.Echo)
	case len(a.JSON) > 0:
		var members []string
		for _, name := range slices.Sorted(maps.Keys(a.JSON)) {
			members = append(members, code(name)+" = "+phrase(a.JSON[name]))
		}
		said += " with JSON " + list(members, "and")
	default:
		said += " with an empty body"
	}
	for _, name := range slices.Sorted(maps.Keys(a.Header)) {
		said += ", header " + code(name) + " = " + phrase(a.Header[name])
	}
	said = strings.ReplaceAll(said, tokens["mac"], "the HMAC of "+phrase(a.Mac)+" with the source's first secret")
	if a.Visit != "" {
		said += ", after the address in " + phrase(a.Visit) + " has been fetched, if its host fits " + code(a.VisitHost)
	}
	return said
}
