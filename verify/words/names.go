package words

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/caddy-webhooks/caddy-webhooks/verify"
)

// Naming says in a few words what names an event: of many parts the first.
func Naming(r *verify.Record) string {
	if len(r.ID) == 0 {
		return "none"
	}
	if parts := count(r.ID); parts > 2 {
		first := verify.Pick{In: r.ID[0].In, Names: r.ID[0].Names[:1]}
		return fmt.Sprintf("%s and %s more", picks([]verify.Pick{first}), number(parts-1))
	}
	return picks(r.ID)
}

func count(list []verify.Pick) int {
	n := 0
	for _, p := range list {
		n += max(1, len(p.Names))
	}
	return n
}

func named(r *verify.Record) []Block {
	var items []string
	switch {
	case len(r.ID) > 0:
		items = append(items, "ID: "+picks(r.ID)+". A repeat with the same ID is dropped.")
	case r.Generic:
		items = append(items, "ID: none, until `id` says where it stands. Without it duplicates are not recognised.")
	default:
		items = append(items, "ID: none, so duplicates are not recognised. "+sentence(r.Unnamed))
	}
	switch {
	case r.Type != nil:
		items = append(items, "Type: "+picks([]verify.Pick{*r.Type})+".")
	case r.Generic:
		items = append(items, "Type: none, until `type` says where it stands.")
	default:
		items = append(items, "Type: none.")
	}
	blocks := []Block{{Items: items}}
	if hash, number := strings.Contains(strings.Join(items, ""), "#"), indexed.MatchString(strings.Join(items, "")); hash || number {
		blocks = append(blocks, text("In a path `#` stands for every item of a list, and a number for one of them, counted from 0."))
	}
	return blocks
}

// indexed finds a path through a list.
var indexed = regexp.MustCompile("[`.][0-9]+[.`]")

// picks says where values stand; all of them together make the name.
func picks(list []verify.Pick) string {
	var parts []string
	before := ""
	for _, p := range list {
		if p.In == "body" || len(p.Names) == 0 {
			parts = append(parts, "a hash of the body")
			continue
		}
		names := make([]string, len(p.Names))
		for i, name := range p.Names {
			names[i] = pick(name)
		}
		said := strings.Join(names, " and ")
		if p.In != before {
			said, before = where(p.In)+" "+said, p.In
		}
		parts = append(parts, said)
	}
	return strings.Join(parts, " and ")
}

// pick says one name of a [verify.Pick].
func pick(name string) string {
	name, optional := strings.CutSuffix(name, "?")
	var parts []string
	for one := range strings.SplitSeq(name, "|") {
		if one == "@body" {
			parts = append(parts, "a hash of the body")
			continue
		}
		parts = append(parts, code(one))
	}
	said := parts[0]
	if len(parts) > 1 {
		said += " (else " + strings.Join(parts[1:], ", else ") + ")"
	}
	if optional {
		said += " (where present)"
	}
	return said
}

// Renewal says in a word whether a late delivery can be signed anew.
func Renewal(r *verify.Record) string {
	word, _ := renewal(r)
	return word
}

func late(r *verify.Record) []Block {
	_, why := renewal(r)
	return []Block{text("%s", why)}
}

// What becomes of a signature that has grown old.
const (
	isRenewed  = "a delivery later than half of the tolerance gets a new signature, for the same body, at the present time, with the secret that is configured; the one that came travels as `Webhook-Original-…`. `resign always` does it at each attempt, `resign never` not at all."
	isNotMade  = "An application that verifies by itself has to accept older ones, or look at `webhook-signature` instead, which `sign` adds."
	needsNoNew = "Nothing that is verified grows old: a late delivery verifies as it is."
)

// renewal looks at what a signature says of the time, and at who can make one.
func renewal(r *verify.Record) (word, why string) {
	if first := &r.Schemes[0]; r.Generic && !plain(first) && first.Kind != "none" {
		return genericRenewal(first)
	}
	ways := map[string]bool{}
	for i := range r.Schemes {
		ways[way(&r.Schemes[i])] = true
	}
	switch {
	case ways[anew] && ways[pair]:
		return "shared secret only", "With a shared secret " + isRenewed + " With a key pair a late delivery cannot be signed anew: only the sender has the private key. " + isNotMade
	case ways[anew]:
		return "yes", sentence(isRenewed) + unless(r)
	case ways[pair]:
		return "no", "The signature grows old, and only the sender has the private key: a late delivery cannot be signed anew. " + isNotMade
	case ways[elsewhere]:
		return "no", "The signature grows old, and its timestamp stands in the body, which is delivered byte for byte: a late delivery cannot be signed anew. " + isNotMade
	case patient(r):
		return "not needed", needsNoNew + " There is a timestamp, and the sender sets no limit to its age; for an application that does, `resign always` makes the signature anew."
	}
	return "not needed", needsNoNew
}

// unless says which of a record's schemes need no new signature.
func unless(r *verify.Record) string {
	var names []string
	for i := range r.Schemes {
		s := &r.Schemes[i]
		switch {
		case way(s) != "":
		case plain(s):
			names = append(names, "a token")
		default:
			names = append(names, "a signature without a timestamp")
		}
	}
	switch {
	case len(names) > 0:
		return " With " + list(names, "or") + " that is not needed: nothing grows old."
	case r.Schemes[0].Kind == "jwt":
		return " A token that does not say when it ends is good for ever, and stays as it is."
	}
	return ""
}

// patient tells whether a signature could be made anew that nobody finds too old.
func patient(r *verify.Record) bool {
	return slices.ContainsFunc(r.Schemes, func(s verify.Scheme) bool { return s.Unrenewable() == "" })
}

func genericRenewal(s *verify.Scheme) (word, why string) {
	if keyed(s) {
		return "no", "Only the sender has the private key: a signature cannot be made anew. Without a timestamp a late delivery verifies as it is."
	}
	return "by options", "Where the timestamp is signed, and it and the signature stand in headers, " + isRenewed +
		" Without a timestamp a late delivery verifies as it is."
}

// What it would take to sign anew.
const (
	anew      = "the secret"
	pair      = "the private key"
	elsewhere = "another body"
)

// way says what it would take to sign anew; empty if it is not needed.
func way(s *verify.Scheme) string {
	switch {
	case !ages(s):
		return ""
	case keyed(s):
		return pair
	case s.Unrenewable() != "":
		return elsewhere
	}
	return anew
}

// ages tells whether a signature is refused when it is old.
func ages(s *verify.Scheme) bool {
	if s.Kind == "jwt" {
		return s.Tolerance >= 0
	}
	return timed(s) && s.Tolerance > 0
}
