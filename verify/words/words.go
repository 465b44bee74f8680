// Package words says in sentences what a provider's record says as data. The
// pages in docs/providers and `caddy webhooks providers` are both made of them,
// so that they cannot differ.
//
// [Page] gives all that is to be said of one provider; [Algorithms], [Naming],
// [Questions] and [Renewal] are the short forms for tables.
package words

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/caddy-webhooks/caddy-webhooks/verify"
)

// Section is one heading and what stands below it. What is literal stands in
// backticks.
type Section struct {
	Heading string
	Blocks  []Block
}

// Block is one paragraph, one list or one piece of code: only one of the fields
// is set. Lang is that of the code.
type Block struct {
	Text  string
	Items []string
	Code  string
	Lang  string
}

func text(format string, args ...any) Block { return Block{Text: fmt.Sprintf(format, args...)} }

// Page says what is known of a provider.
func Page(r *verify.Record) []Section {
	sections := []Section{
		{"Configuration", configuration(r)},
		{"What is verified", verified(r)},
		{"What the signature does not cover", uncovered(r)},
		{"Event ID and type", named(r)},
	}
	if handshakes := handshakes(r); len(handshakes) > 0 {
		sections = append(sections, Section{"Handshakes", handshakes})
	}
	sections = append(sections,
		Section{"Answer", answered(r)},
		Section{"Retries by the sender", refused(r)},
		Section{"Late deliveries", late(r)},
		Section{"Largest body", largest(r)},
		Section{"Try it", try(r)},
	)
	if len(r.Facts) > 0 || len(r.Sources) > 0 {
		sections = append(sections, Section{"How sure this is", sure(r)})
	}
	return sections
}

func uncovered(r *verify.Record) []Block {
	blocks := []Block{text("%s", gap(r))}
	if names := unsigned(r); len(names) > 0 {
		blocks = append(blocks, text("Of what names the event, %s not signed. Whoever captures a request can change %s and send it again as another event%s.",
			byPlace(names)+plural(names, " is", " are"), plural(names, "it", "them"), untilStale(r)))
	}
	return blocks
}

// gap says what of the body is not signed.
func gap(r *verify.Record) string {
	sent, signed := false, false
	for i := range r.Schemes {
		sent, signed = sent || plain(&r.Schemes[i]), signed || !plain(&r.Schemes[i])
	}
	switch {
	case r.Uncovered != "":
		return sentence(r.Uncovered)
	case r.Schemes[0].Kind == "none":
		return "Everything: nothing is proven."
	case sent && signed:
		return "With a signature nothing of the body. With a token everything: it is sent, and nothing is signed."
	case sent:
		return "Everything: the secret is sent, and nothing is signed."
	case r.Generic:
		return "Whatever the options leave out. Without `content` the whole body is signed."
	}
	return "Nothing of the body: all of it is signed."
}

// byPlace lists names as `the headers a and b`.
func byPlace(names []placed) string {
	var parts []string
	for _, in := range []string{"header", "query"} {
		var group []string
		for _, n := range names {
			if n.in == in {
				group = append(group, code(n.name))
			}
		}
		if len(group) > 0 {
			parts = append(parts, "the "+where(in)+plural(group, "", "s")+" "+list(group, "and"))
		}
	}
	return strings.Join(parts, " and ")
}

// placed is a name at a place of a request.
type placed struct{ in, name string }

// untilStale bounds how long a captured request is good for.
func untilStale(r *verify.Record) string {
	for i := range r.Schemes {
		if s := &r.Schemes[i]; s.Kind != "jwt" && (!timed(s) || s.Tolerance <= 0) {
			return ""
		}
	}
	return ", until its signature is too old"
}

// unsigned are the headers and parameters that name an event and are not signed.
func unsigned(r *verify.Record) []placed {
	var names []placed
	if r.Generic || plain(&r.Schemes[0]) {
		return nil
	}
	for _, p := range r.ID {
		for _, alternatives := range p.Names {
			for name := range strings.SplitSeq(strings.TrimSuffix(alternatives, "?"), "|") {
				if !signs(r, p.In, name) {
					names = append(names, placed{p.In, name})
				}
			}
		}
	}
	return names
}

// signs tells whether each of the record's schemes covers a header or parameter,
// whatever the request says itself of what is signed.
func signs(r *verify.Record, in, name string) bool {
	if in != "header" && in != "query" {
		return true
	}
	for i := range r.Schemes {
		s := &r.Schemes[i]
		if plain(s) {
			continue // nothing is signed there, which is said elsewhere
		}
		covered := strings.Contains(s.Content, "{"+in+":"+name+"}") ||
			in == "query" && (strings.Contains(s.Content, "{url") || strings.Contains(s.Content, "{uri")) ||
			in == "header" && slices.ContainsFunc(s.IDHeader, func(h string) bool { return strings.EqualFold(h, name) })
		if !covered {
			return false
		}
	}
	return true
}

func answered(r *verify.Record) []Block {
	return []Block{text("An accepted event is answered %s. `respond` sets another answer.", reply(success(r)))}
}

func success(r *verify.Record) *verify.Answer {
	if r.Success != nil {
		return r.Success
	}
	return &verify.Answer{Status: http.StatusOK}
}

func refused(r *verify.Record) []Block {
	if r.Retries == "" {
		return []Block{text("Not known here: each sender has its own.")}
	}
	return []Block{text("%s", sentence(r.Retries))}
}

func largest(r *verify.Record) []Block {
	if r.MaxBody > 0 {
		return []Block{text("%s, as the provider documents; a larger one is answered 413. `max_body` sets another limit.", Size(r.MaxBody))}
	}
	return []Block{text("None is documented. 5 MiB is accepted, a larger one is answered 413. `max_body` sets another limit.")}
}

// Size writes a number of bytes in the unit in which it is round.
func Size(n int64) string {
	for _, unit := range []struct {
		of   int64
		sign string
	}{{1 << 20, "MiB"}, {1_000_000, "MB"}, {1 << 10, "KiB"}, {1000, "kB"}} {
		if n >= unit.of && n%unit.of == 0 {
			return fmt.Sprintf("%d %s", n/unit.of, unit.sign)
		}
	}
	return fmt.Sprintf("%d bytes", n)
}

func sure(r *verify.Record) []Block {
	var items []string
	for _, fact := range slices.Sorted(maps.Keys(r.Facts)) {
		items = append(items, fact+": "+r.Facts[fact])
	}
	var blocks []Block
	if len(items) > 0 {
		blocks = append(blocks, Block{Items: items})
	}
	if len(r.Sources) > 0 {
		blocks = append(blocks, text("Sources: %s.", strings.Join(r.Sources, "; ")))
	}
	return blocks
}

// title is what the provider is called in a sentence.
func title(r *verify.Record) string {
	short, _, _ := strings.Cut(r.Title, ", ")
	if name, _, found := strings.Cut(short, ": "); found {
		short = name
	}
	return cmp.Or(short, r.Name)
}

// code marks what is literal. No record holds a backtick.
func code(s string) string { return "`" + s + "`" }

func codes(names []string) []string {
	marked := make([]string, len(names))
	for i, name := range names {
		marked[i] = code(name)
	}
	return marked
}

// list joins parts as a sentence does.
func list(parts []string, word string) string {
	if len(parts) < 2 {
		return strings.Join(parts, "")
	}
	return strings.Join(parts[:len(parts)-1], ", ") + " " + word + " " + parts[len(parts)-1]
}

func plural[T any](of []T, one, many string) string {
	if len(of) == 1 {
		return one
	}
	return many
}

// sentence makes one of a record's words.
func sentence(s string) string {
	s = upper(strings.TrimSpace(s))
	if s == "" || strings.ContainsAny(s[len(s)-1:], ".!?") {
		return s
	}
	return s + "."
}

func upper(s string) string {
	first, n := utf8.DecodeRuneInString(s)
	if word, _, _ := strings.Cut(s, " "); strings.ContainsAny(word, "_.-") || word != strings.ToLower(word) {
		return s // a name, which is written as it is
	}
	return string(unicode.ToUpper(first)) + s[n:]
}

// number writes small numbers as words.
func number(n int) string {
	if words := []string{"no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"}; n >= 0 && n < len(words) {
		return words[n]
	}
	return strconv.Itoa(n)
}
