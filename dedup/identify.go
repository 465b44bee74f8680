// Package dedup answers: have we seen it? It says what names an event
// ([Identify]) and keeps the claims on these names ([Claims], in Badger).
//
// Whether a claim is taken is decided by the store, in the same step that
// stores the event: a claim without its event would lose the event.
package dedup

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"net/http"
	"net/url"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/caddy-webhooks/caddy-webhooks/jsonpath"
	"github.com/caddy-webhooks/caddy-webhooks/verify"
)

// Message is what an event's name is looked for in.
type Message struct {
	Header http.Header
	Query  url.Values
	Body   []byte
}

// Identity is an event's name within its scope.
type Identity struct {
	// Key is a hash of scope and parts, each with its length before it, so that
	// "a"+"bc" is not "ab"+"c".
	Key [32]byte
	// ProviderID is the name for people to read, at most [MaxDisplay] bytes.
	ProviderID string
}

// MaxDisplay is how much of a provider's ID is kept for display, in bytes. The
// key is made of all of it.
const MaxDisplay = 255

// maxPart is the longest value that is taken for an ID.
const maxPart = 4096

// Identify names an event by all parts that the picks point at. It is not ok
// when one is absent, empty, no scalar, or longer than any ID: such an event is
// stored without a claim. The scope is the source, and with a secret of the
// request's own also a digest of that secret, so that tenants of one source
// cannot claim each other's IDs.
func Identify(scope []string, picks []verify.Pick, m Message) (id Identity, ok bool) {
	if len(picks) == 0 {
		return Identity{}, false
	}
	h := sha256.New()
	writePart(h, "scope")
	for _, s := range scope {
		writePart(h, s)
	}
	var shown []string
	for _, p := range picks {
		parts, ok := pick(p, m)
		if !ok {
			return Identity{}, false
		}
		for _, part := range parts {
			writePart(h, part)
			if part != "" {
				shown = append(shown, part)
			}
		}
	}
	h.Sum(id.Key[:0])
	id.ProviderID = clip(strings.Join(shown, " "))
	return id, len(shown) > 0
}

func writePart(h hash.Hash, part string) {
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], uint64(len(part)))
	_, _ = h.Write(n[:])
	_, _ = h.Write([]byte(part))
}

// Value gives the one value that a pick points at, e.g. an event's type; empty
// if there is none.
func Value(p *verify.Pick, m Message) string {
	if p == nil {
		return ""
	}
	parts, ok := pick(*p, m)
	if !ok || len(parts) == 0 {
		return ""
	}
	return clip(parts[0])
}

// pick gives the parts that one pick points at.
func pick(p verify.Pick, m Message) ([]string, bool) {
	if p.In == "body" {
		return []string{bodyHash(m.Body)}, true
	}
	parts := make([]string, 0, len(p.Names))
	for _, name := range p.Names {
		name, optional := strings.CutSuffix(name, "?")
		part, ok := firstOf(p.In, name, m)
		if !ok && !optional {
			return nil, false
		}
		parts = append(parts, part)
	}
	return parts, true
}

// firstOf gives the first of the alternatives that is present.
func firstOf(in, alternatives string, m Message) (string, bool) {
	for name := range strings.SplitSeq(alternatives, "|") {
		if name == "@body" {
			return bodyHash(m.Body), true
		}
		if v := value(in, name, m); v != "" && len(v) <= maxPart {
			return v, true
		}
	}
	return "", false
}

func value(in, name string, m Message) string {
	switch in {
	case "header":
		return strings.TrimSpace(m.Header.Get(name))
	case "query":
		return m.Query.Get(name)
	case "form":
		form, err := url.ParseQuery(string(m.Body))
		if err != nil {
			return ""
		}
		return form.Get(name)
	case "json":
		switch v := jsonpath.Get(jsonpath.Text(m.Header, m.Body), name); v.Type {
		case gjson.String:
			return v.Str
		case gjson.Number:
			return v.Raw // as it was written: a large number must not be rounded
		case gjson.JSON:
			if strings.Contains(name, "#") {
				return list(v)
			}
		case gjson.True, gjson.False, gjson.Null:
		}
	}
	return ""
}

// list names a batch by the names of all that is in it, for paths such as
// events.#.id; empty if there is nothing, or something without a name.
func list(v gjson.Result) string {
	items := v.Array()
	if !v.IsArray() || len(items) == 0 {
		return ""
	}
	for _, item := range items {
		if item.Type != gjson.Number && item.Str == "" {
			return ""
		}
	}
	if len(v.Raw) > maxPart {
		return "list " + bodyHash([]byte(v.Raw))
	}
	return v.Raw
}

func bodyHash(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:16])
}

// Digest is a short digest of a body, to notice a duplicate that differs.
func Digest(body []byte) uint64 {
	sum := sha256.Sum256(body)
	return binary.BigEndian.Uint64(sum[:])
}

func clip(s string) string {
	if len(s) > MaxDisplay {
		s = s[:MaxDisplay]
	}
	return strings.ToValidUTF8(s, "�")
}
