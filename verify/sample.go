package verify

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/sjson"
)

// Sample is a small payload in the provider's shape, to try things out with.
type Sample struct {
	// Type is an event type that the provider really has.
	Type string `yaml:"type"`
	// Body is JSON, a form or text. "ID", "TYPE" and "TIME" (RFC 3339) with their
	// quotes, =ID in a form, SECONDS, MILLIS and NUMBER (made of the ID) stand for
	// values, and BASE64(…) is encoded for a form.
	Body string `yaml:"body"`
}

// Kind is the type of the sample event.
func (r *Record) Kind() string {
	if r.Sample == nil || r.Sample.Type == "" {
		return "test"
	}
	return r.Sample.Type
}

// Payload is the body of a sample event. Where the record has no sample, it is
// JSON that holds ID and type where the record looks for them.
func (r *Record) Payload(id, kind string, at time.Time) []byte {
	if r.Sample != nil && r.Sample.Body != "" {
		return []byte(fillSample(r.Sample.Body, id, kind, at))
	}
	body := []byte(fillSample(`{"id":"ID","type":"TYPE","created":SECONDS}`, id, kind, at))
	first := true
	for _, p := range r.ID {
		for _, names := range p.Names {
			value := "sample"
			if first {
				value, first = id, false
			}
			body = placed(body, p.In, names, value)
		}
	}
	if r.Type != nil {
		for _, names := range r.Type.Names {
			body = placed(body, r.Type.In, names, kind)
		}
	}
	return body
}

// placed puts a value where the first of the names points, if it points into
// JSON; a path that nothing can be put at leaves the body as it was.
func placed(body []byte, in, names, value string) []byte {
	path, _, _ := strings.Cut(strings.TrimSuffix(names, "?"), "|")
	if in != "json" || strings.ContainsAny(path, "@*?(") {
		return body
	}
	steps := strings.Split(strings.ReplaceAll(path, "#", "0"), ".")
	if steps[0] == "0" && body[0] == '{' {
		body = []byte("[" + string(body) + "]")
	}
	if changed, err := sjson.SetBytes(body, strings.Join(steps, "."), value); err == nil {
		return changed
	}
	return body
}

var encoded = regexp.MustCompile(`BASE64\(([^)]*)\)`)

// fillSample puts the values of one event into a payload.
func fillSample(payload, id, kind string, at time.Time) string {
	var number uint64
	for _, c := range []byte(id) {
		number = number*31 + uint64(c)
	}
	filled := strings.NewReplacer(
		`"ID"`, quoted(id), `"TYPE"`, quoted(kind), `"TIME"`, strconv.Quote(at.UTC().Format(time.RFC3339)),
		"=ID", "="+url.QueryEscape(id), ">ID<", ">"+url.QueryEscape(id)+"<", ">TIME<", ">"+at.UTC().Format(time.RFC3339)+"<",
		"SECONDS", strconv.FormatInt(at.Unix(), 10), "MILLIS", strconv.FormatInt(at.UnixMilli(), 10),
		"NUMBER", strconv.FormatUint(number%1e9, 10),
	).Replace(payload)
	return encoded.ReplaceAllStringFunc(filled, func(s string) string {
		return url.QueryEscape(base64.StdEncoding.EncodeToString([]byte(encoded.FindStringSubmatch(s)[1])))
	})
}

func quoted(s string) string {
	b, err := json.Marshal(s)
	if err != nil { // a string can always be encoded
		return `""`
	}
	return string(b)
}

// ContentType is what a body is sent as: JSON where it looks like it, else a form.
func ContentType(body []byte) string {
	if text := strings.TrimSpace(string(body)); text == "" || text[0] == '{' || text[0] == '[' {
		return "application/json"
	}
	return "application/x-www-form-urlencoded"
}

// Label puts ID and type into the headers and parameters where the provider has
// them; what stands in the body is the payload's.
func (r *Record) Label(q *Request, id, kind string) {
	for _, p := range r.ID {
		for i, names := range p.Names {
			value := "sample" // what else tells events apart is the same for all
			if i == 0 {
				value = id
			}
			label(q, p.In, names, value)
		}
	}
	if r.Type != nil && len(r.Type.Names) > 0 {
		label(q, r.Type.In, r.Type.Names[0], kind)
	}
}

// label sets the first of the names, written as in [Pick].
func label(q *Request, in, names, value string) {
	name, _, _ := strings.Cut(names, "|")
	name = strings.TrimSuffix(name, "?")
	switch {
	case strings.HasPrefix(name, "@"):
	case in == "header":
		q.Header.Set(name, value)
	case in == "query":
		q.Query.Set(name, value)
	}
}
