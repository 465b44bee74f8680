package verifytest

import (
	"crypto"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"

	"github.com/caddy-webhooks/caddy-webhooks/verify"
)

// Door is one scheme of a record, set up as an operator would who uses that one:
// [Sender] knows the first only. Verifier is of the whole record, as in life.
type Door struct {
	// Name is the record's, with what tells the door from the record's others.
	Name   string
	Record *verify.Record
	// Scheme is the scheme with all that the options say filled in.
	Scheme   verify.Scheme
	Secret   string
	Params   map[string][]string
	Private  crypto.Signer
	Verifier *verify.Verifier

	signer *verify.Verifier
}

// Doors sets up every scheme of a record, and a generic one in several shapes.
func Doors(r *verify.Record) ([]*Door, error) {
	var doors []*Door
	for i := range r.Schemes {
		for name, extra := range shapes(r) {
			d := &Door{Name: r.Name + "/" + strconv.Itoa(i) + name, Record: r, Scheme: r.Schemes[i], Params: Params(r)}
			if name != "" {
				delete(d.Params, "header")
			}
			maps.Copy(d.Params, extra)
			if err := d.open(i); err != nil {
				return nil, fmt.Errorf("%s: %w", d.Name, err)
			}
			doors = append(doors, d)
		}
	}
	slices.SortFunc(doors, func(a, b *Door) int { return strings.Compare(a.Name, b.Name) })
	return doors, nil
}

// shapes are the options with which a record is tried, by name.
func shapes(r *verify.Record) map[string]map[string][]string {
	list := map[string]map[string][]string{"": nil}
	switch r.Name {
	case "hmac":
		list[" in the query"] = map[string][]string{"query": {"sig"}}
		list[" in a list"] = map[string][]string{"header": {"X-Sig"}, "list": {","}, "key": {"v1"}, "timestamp": {"key", "t", "ms"}, "content": {"{ts}.{body}"}, "prefix": {""}}
		list[" with a header"] = map[string][]string{
			"header": {"X-Sig"}, "encoding": {"base64url"}, "hash": {"sha512"}, "timestamp": {"header", "X-Time", "rfc3339"},
			"id_header": {"X-Id"}, "content": {"{method} {uri} {header:X-Tenant} {query:a} {id} {ts} {body_sha256}"},
		}
	case "token":
		list[" in the query"] = map[string][]string{"query": {"token"}}
		list[" in the body"] = map[string][]string{"json": {"auth.token"}}
	case "jwt":
		list[" of a public key"] = map[string][]string{"header": {"Authorization"}, "prefix": {"Bearer "}, "algorithms": {"ES256"}, "claims": {"iss=shop"}}
		list[" of EdDSA"] = map[string][]string{"header": {"X-Token"}, "algorithms": {"EdDSA"}, "body_hash": {"h", "base64url"}}
	}
	return list
}

// open sets the door's scheme up, with a secret that is meant for it.
func (d *Door) open(i int) error {
	d.shape()
	only := *d.Record
	only.Schemes = []verify.Scheme{d.Scheme}
	d.Secret = Secret(&only)
	if _, paired := only.KeyKind(); paired {
		var err error
		if d.Private, err = keyOf(&only); err == nil {
			d.Secret, err = only.PublicKey(d.Private.Public())
		}
		if err != nil {
			return fmt.Errorf("making a key: %w", err)
		}
	}
	var err error
	if d.Verifier, err = d.Compile(d.Secret, nil); err != nil {
		return err
	}
	only.Schemes = []verify.Scheme{d.Record.Schemes[i]}
	d.signer, err = only.Compile(d.options(d.Secret, nil))
	return wrap(err)
}

func wrap(err error) error {
	if err != nil {
		return fmt.Errorf("setting up: %w", err)
	}
	return nil
}

// shape fills in what the options say of the scheme.
func (d *Door) shape() {
	s := &d.Scheme
	one := func(name string, into *string) {
		if v, ok := d.Params[name]; ok && d.Record.Generic {
			*into = v[0]
		}
	}
	if v, ok := d.Params["header"]; ok && d.Record.Generic {
		s.Header = v
	}
	for name, into := range map[string]*string{
		"query": &s.Query, "json": &s.JSON, "prefix": &s.Prefix, "hash": &s.Hash, "encoding": &s.Encoding,
		"content": &s.Content, "list": &s.List, "key": &s.Key,
	} {
		one(name, into)
	}
	if s.Query != "" || s.JSON != "" && d.Record.Generic {
		s.Header = nil
	}
	d.shapeMore()
	for _, o := range d.Record.Options {
		if v := d.Params[o.Name]; len(v) > 0 {
			s.Prefix = strings.ReplaceAll(s.Prefix, "{option:"+o.Name+"}", v[0])
		}
	}
}

func (d *Door) shapeMore() {
	s := &d.Scheme
	if v := d.Params["timestamp"]; len(v) == 3 {
		s.Tolerance, s.Future, s.TimeUnit = 5*time.Minute, 5*time.Minute, v[2]
		switch v[0] {
		case "header":
			s.TimeHeader = []string{v[1]}
		case "key":
			s.TimeKey = v[1]
		}
	}
	if v := d.Params["id_header"]; v != nil {
		s.IDHeader = v
	}
	if v := d.Params["algorithms"]; v != nil && d.Record.Generic {
		if s.Algorithms = v; !strings.HasPrefix(v[0], "HS") {
			s.SecretForm = "key"
		}
	}
	if v := d.Params["body_hash"]; v != nil {
		s.BodyHash = &verify.BodyHash{Claim: v[0], Encoding: v[1]}
	}
	if v := d.Params["claims"]; v != nil {
		name, want, _ := strings.Cut(v[0], "=")
		s.Claims = map[string]string{name: want}
	}
}

// Options are what an operator would configure, with another secret or option.
func (d *Door) options(secret string, changed map[string][]string) verify.Options {
	o := verify.Options{Params: maps.Clone(d.Params)}
	maps.Copy(o.Params, changed)
	if d.Scheme.Kind != "none" {
		o.Secrets = []verify.Secret{verify.NewSecret(secret)}
	}
	return o
}

// Compile sets the whole record up with a secret, and with other options.
func (d *Door) Compile(secret string, changed map[string][]string) (*verify.Verifier, error) {
	v, err := d.Record.Compile(d.options(secret, changed))
	return v, wrap(err)
}

// keys are made once for all doors of a kind: RSA keys take long.
var keys sync.Map

func keyOf(r *verify.Record) (crypto.Signer, error) {
	kind := r.Schemes[0].Kind
	if len(r.Schemes[0].Algorithms) > 0 {
		kind = r.Schemes[0].Algorithms[0][:2]
	}
	if k, ok := keys.Load(kind); ok {
		return k.(crypto.Signer), nil //nolint:forcetypeassert // nothing else is stored
	}
	k, err := r.NewKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making a key: %w", err)
	}
	kept, _ := keys.LoadOrStore(kind, k)
	return kept.(crypto.Signer), nil //nolint:forcetypeassert // see above
}

// Signed gives a sample event as the provider would send it by this scheme.
func (d *Door) Signed(id string, at time.Time) (*verify.Request, error) {
	return d.Sign(d.Request(id, at), id, at)
}

// Request is a sample event that nobody has signed yet.
func (d *Door) Request(id string, at time.Time) *verify.Request {
	body := d.Record.Payload(id, d.Record.Kind(), at)
	if d.Scheme.BodyHash != nil && d.Scheme.BodyHash.Query != "" {
		body = []byte(`{"id":1}`) // no form: those are of the other scheme
	}
	q := &verify.Request{
		Method: d.Verifier.Methods()[0], URL: "https://hooks.example.com/x?a=1", Header: http.Header{},
		Query: url.Values{"a": {"1"}}, Body: body,
	}
	q.Header.Set("Content-Type", verify.ContentType(body))
	d.Record.Label(q, id, d.Record.Kind())
	Mark(q, d.Scheme.When)
	return q
}

// Sign signs a request by this scheme.
func (d *Door) Sign(q *verify.Request, id string, at time.Time) (*verify.Request, error) {
	return q, d.SignAs(d.signer, q, id, at)
}

// SignAs signs with the secret of another verifier.
func (d *Door) SignAs(v *verify.Verifier, q *verify.Request, id string, at time.Time) error {
	var err error
	if d.Private != nil {
		err = v.SignKey(q, d.Private, at, id)
	} else {
		err = v.Sign(q, at, id)
	}
	if err != nil && !errors.Is(err, verify.ErrCannotSign) {
		return fmt.Errorf("signing as %s: %w", d.Name, err)
	}
	return nil
}

// Forger gives a verifier of this scheme alone, as somebody would set it up who
// signs by the provider's rules with a secret of his own; change may bend them.
func (d *Door) Forger(secret string, change func(*verify.Scheme)) (*verify.Verifier, error) {
	only, s := *d.Record, d.Scheme
	if change != nil {
		change(&s)
	}
	only.Schemes, only.Generic, only.Handshakes = []verify.Scheme{s}, false, nil
	o := d.options(secret, nil)
	for name := range o.Params {
		if !slices.ContainsFunc(only.Options, func(o verify.Option) bool { return o.Name == name }) {
			delete(o.Params, name)
		}
	}
	v, err := only.Compile(o)
	return v, wrap(err)
}

// Rewrite replaces the text at each place where the scheme reads its proof.
func (d *Door) Rewrite(q *verify.Request, f func(string) string) error {
	s := d.Scheme
	switch {
	case s.Kind == "basic":
		q.Header.Set("Authorization", f(q.Header.Get("Authorization")))
	case s.Whole:
		q.Body = []byte(f(string(q.Body)))
	case s.Query != "":
		q.Query.Set(s.Query, f(q.Query.Get(s.Query)))
	case s.JSON != "":
		return rewriteJSON(q, Paths(s, q.Body), f)
	case s.Form != "":
		form, err := url.ParseQuery(string(q.Body))
		if err != nil {
			return fmt.Errorf("reading the form: %w", err)
		}
		form.Set(s.Form, f(form.Get(s.Form)))
		q.Body = []byte(form.Encode())
	default:
		q.Header.Set(s.Header[0], f(q.Header.Get(s.Header[0])))
	}
	return nil
}

func rewriteJSON(q *verify.Request, paths []string, f func(string) string) error {
	for _, path := range paths {
		body, err := sjson.SetBytes(q.Body, path, f(gjson.GetBytes(q.Body, path).String()))
		if err != nil {
			return fmt.Errorf("writing %s: %w", path, err)
		}
		q.Body = body
	}
	return nil
}

// Text is what stands where the scheme reads its proof.
func (d *Door) Text(q *verify.Request) (text string) {
	clone := Clone(q)
	_ = d.Rewrite(clone, func(v string) string { text = v; return v })
	return text
}

// Paths are the JSON paths of the signature, one for each item that is signed.
func Paths(s verify.Scheme, body []byte) []string { return Within(s, body, s.JSON) }

// Within are the paths of a value of each item, or of the body.
func Within(s verify.Scheme, body []byte, path string) []string {
	if s.Each == "" {
		return []string{path}
	}
	list, rest, _ := strings.Cut(s.Each, ".#")
	var paths []string
	for i := range gjson.GetBytes(body, list).Array() {
		paths = append(paths, list+"."+strconv.Itoa(i)+rest+"."+path)
	}
	return paths
}

// Clone copies a request, so that one can be spoilt.
func Clone(q *verify.Request) *verify.Request {
	c := *q
	c.Header, c.Query, c.Body = q.Header.Clone(), url.Values{}, slices.Clone(q.Body)
	for name, values := range q.Query {
		c.Query[name] = slices.Clone(values)
	}
	return &c
}
