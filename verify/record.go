package verify

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Record describes a provider, as data.
type Record struct {
	// Name is what the operator writes, Title what the provider calls itself.
	Name    string   `yaml:"name"`
	Title   string   `yaml:"title"`
	Aliases []string `yaml:"aliases"`
	// Docs is the address of the provider's page about signatures.
	Docs string `yaml:"docs"`
	// Generic marks a scheme without a provider, whose parameters the operator gives.
	Generic bool `yaml:"generic"`
	// Schemes are tried by what the request and the secrets are fit for.
	Schemes []Scheme `yaml:"schemes"`
	// Methods are the request methods. Default: POST.
	Methods []string `yaml:"methods"`
	// Options are what the operator may or must configure besides the secret.
	Options []Option `yaml:"options"`
	// ID says what names an event, all parts together; Type where its type stands.
	ID   []Pick `yaml:"id"`
	Type *Pick  `yaml:"type"`
	// Unnamed says in words why nothing names an event, so that duplicates are not
	// recognised; empty where ID is given.
	Unnamed string `yaml:"unnamed"`
	// Handshakes are the questions that the provider asks.
	Handshakes []Handshake `yaml:"handshakes"`
	// Learn says how the provider hands its secret over.
	Learn *Learn `yaml:"learn"`
	// Success is the answer to an accepted event. Default: 200, empty.
	Success *Answer `yaml:"success"`
	// Uncovered says in words what of an event the signature does not protect;
	// empty if the whole body is signed.
	Uncovered string `yaml:"uncovered"`
	// Sample is a payload to try things out with.
	Sample *Sample `yaml:"sample"`
	// MaxBody is the provider's documented cap in bytes; 0: not documented.
	MaxBody int64 `yaml:"max_body"`
	// Retries says in words what the provider does when it is refused.
	Retries string `yaml:"retries"`
	// Facts says for each fact how sure it is, and Sources where it was read.
	Facts   map[string]string `yaml:"facts"`
	Sources []string          `yaml:"sources"`
}

// Pick points at one value or more of a request.
type Pick struct {
	// In is header, query, json, form or body.
	In string `yaml:"in"`
	// Names are header, parameter or JSON path, each one part of the ID. `a|b` is
	// the first that is present, `a?` may be absent, and as the last of several
	// `@body` is a hash of the body.
	Names []string `yaml:"names"`
}

// Scheme is one way to sign.
type Scheme struct {
	// Kind is hmac, digest (a plain hash over {secret} and more), ed25519, ecdsa
	// (P-256, the signature as ASN.1), rsa (PKCS #1 v1.5), jwt, token, basic or none.
	Kind string `yaml:"kind"`
	// Header names the header with the signature or token; of several the first
	// that is present counts, or with AllHeaders any. Query, JSON and Form are
	// other places.
	Header     []string `yaml:"header"`
	AllHeaders bool     `yaml:"all_headers"`
	Query      string   `yaml:"query"`
	JSON       string   `yaml:"json"`
	Form       string   `yaml:"form"`
	// Whole tells that the body itself is the token.
	Whole bool `yaml:"whole"`
	// Each is a JSON path of several items that are signed each for itself: JSON
	// and the content's {json:…} are then paths within an item.
	Each string `yaml:"each"`
	// Prefix stands before each signature, e.g. `sha256=`; {option:name} may be
	// part of it.
	Prefix string `yaml:"prefix"`
	// List separates several values in one header, e.g. `,`. With Key, each is
	// `key=value`, and Key names the signatures, TimeKey the timestamp.
	List    string `yaml:"list"`
	Key     string `yaml:"key"`
	TimeKey string `yaml:"time_key"`
	// Sets separates whole sets of such values, each with its own timestamp.
	Sets string `yaml:"sets"`
	// TimeFirst tells that the list's first value is the timestamp.
	TimeFirst bool `yaml:"time_first"`
	// Optional tells that a signature without Prefix counts too.
	Optional bool `yaml:"prefix_optional"`
	// Hash is sha256 (default), sha1 or sha512; Encoding hex (default), base64
	// or base64url.
	Hash     string `yaml:"hash"`
	Encoding string `yaml:"encoding"`
	// Content is what is signed: literals and tokens. Default: {body}. There are
	// {body}, {body_sha256} (hex), {body_crc32} (decimal), {ts}, {id}, {url} (the
	// public one), {uri} (its path and query), {path}, {method}, {header:Name},
	// {query:name}, {json:path}, {form:name}, {sorted_form} (each name and value,
	// by name), {option:name} (of the operator), {secret} (for digest), {lines:a b c}
	// (the JSON strings of these names, each with its name on a line), {signed:Name}
	// (the headers that a header lists), {uri_escaped} (path and query, encoded
	// twice) and {url_and_form} (address, query and form, sorted).
	Content string `yaml:"content"`
	// URLVariants tells that {url} counts with and without the default port too.
	URLVariants bool `yaml:"url_variants"`
	// BodyHash is where a hash of the body stands that is signed in its place.
	BodyHash *BodyHash `yaml:"body_hash"`
	// Algorithms are those of a JWT, e.g. HS256; Claims what its claims must say,
	// where {option:name} and {url} stand for values of the operator's.
	Algorithms []string          `yaml:"algorithms"`
	Claims     map[string]string `yaml:"claims"`
	// TimeHeader and TimeJSON say where the timestamp stands; TimeUnit is s
	// (default), ms, rfc3339 or http (a date as in HTTP headers).
	TimeHeader []string `yaml:"time_header"`
	TimeJSON   string   `yaml:"time_json"`
	TimeUnit   string   `yaml:"time_unit"`
	// IDHeader names the header of {id}.
	IDHeader []string `yaml:"id_header"`
	// Tolerance is the accepted age, Future the accepted lead of a timestamp.
	Tolerance time.Duration `yaml:"tolerance"`
	Future    time.Duration `yaml:"future"`
	// SecretForm is how the operator's text becomes the key: utf8 (default), hex,
	// base64, whsec (base64 behind whsec_), whsec_or_utf8 (the same, else the
	// text), sha1 (its digest), whpk (an Ed25519 key, base64 behind whpk_), key (a
	// public key as PEM, or the base64 of its DER form).
	SecretForm string `yaml:"secret_form"`
	// SecretPrefix chooses the scheme by the secret: only secrets that begin so,
	// or with NotSecretPrefix, that do not, are tried.
	SecretPrefix    string `yaml:"secret_prefix"`
	NotSecretPrefix string `yaml:"not_secret_prefix"`
	// Require lists headers that must have a value.
	Require map[string]string `yaml:"require"`
	// When says which requests the scheme is for; others are none of its concern.
	When *Marks `yaml:"when"`
	// Pins are JSON paths whose value must be one of an option's.
	Pins map[string]string `yaml:"pins"`
	// Keys says where the provider publishes its public keys.
	Keys *KeySource `yaml:"keys"`
}

// Handshake is a question of the provider that is answered and not stored.
type Handshake struct {
	// Name is for the log.
	Name string `yaml:"name"`
	// Signed tells that the question is verified like an event.
	Signed bool `yaml:"signed"`
	// Method, and the values at these places, mark the question. An empty value
	// means that it must be there, and ~ begins a regular expression for all of it.
	Method string            `yaml:"method"`
	Header map[string]string `yaml:"header"`
	Query  map[string]string `yaml:"query"`
	JSON   map[string]string `yaml:"json"`
	Form   map[string]string `yaml:"form"`
	// NoJSON are paths at which there must be nothing.
	NoJSON []string `yaml:"no_json"`
	// Secret names query parameters that must have the value of an option.
	Secret map[string]string `yaml:"secret"`
	Answer Answer            `yaml:"answer"`
}

// signs gives the pattern of what an unsigned handshake has us sign for any
// stranger: Mac is then one parameter, and the pattern that marks it.
func (h *Handshake) signs() (pattern string, ok bool) {
	name, isQuery := strings.CutPrefix(strings.TrimSuffix(h.Answer.Mac, "}"), "{query:")
	if h.Signed || h.Answer.Mac == "" || !isQuery {
		return "", false
	}
	return strings.CutPrefix(h.Query[name], "~")
}

// Learn is a request with which a provider hands its secret over.
type Learn struct {
	// Header or JSON is where the secret stands, and Pattern a regular expression
	// for all of it.
	Header  string `yaml:"header"`
	JSON    string `yaml:"json"`
	Pattern string `yaml:"pattern"`
	// Show tells that a person has to confirm the secret at the provider.
	Show   bool   `yaml:"show"`
	Answer Answer `yaml:"answer"`
}

// Answer is what is sent back: Body as it stands, or Echo, a template with the
// tokens of [Scheme.Content], or JSON, an object whose values are templates.
// Header are templates too. In them {mac} is Mac, itself a template, signed with
// the source's first secret.
type Answer struct {
	Status int               `yaml:"status"`
	Type   string            `yaml:"type"`
	Body   string            `yaml:"body"`
	Echo   string            `yaml:"echo"`
	JSON   map[string]string `yaml:"json"`
	Header map[string]string `yaml:"header"`
	Mac    string            `yaml:"mac"`
	// Visit is an address that has to be got before the question is answered; its
	// host and path must fit VisitHost and VisitPath, regular expressions. An
	// address of another host is refused.
	Visit     string `yaml:"visit"`
	VisitHost string `yaml:"visit_host"`
	VisitPath string `yaml:"visit_path"`
}

// BodyHash is a hash of the body that stands in the query, in a header or in a
// JWT's claim.
type BodyHash struct {
	Query string `yaml:"query"`
	Claim string `yaml:"claim"`
	// Encoding is hex (default), base64 or base64url, padded or not.
	Encoding string `yaml:"encoding"`
}

// Option is a value besides the secret that the operator configures.
type Option struct {
	Name  string `yaml:"name"`
	About string `yaml:"about"`
	// Required tells that without it the configuration does not load.
	Required bool `yaml:"required"`
	// Secret tells that it is one.
	Secret bool `yaml:"secret"`
	// Many allows several values, any of which will do.
	Many bool `yaml:"many"`
}

// Options is what the operator adds to a record.
type Options struct {
	Secrets []Secret
	// PerRequest tells that secrets come with each request, so none is needed here.
	PerRequest bool
	// Tolerance replaces the scheme's; negative: any age. 0: the scheme's.
	Tolerance time.Duration
	// Methods replace the record's.
	Methods []string
	// Params are the options of the provider or the generic scheme.
	Params map[string][]string
	// Keys gets published keys; without it, only those that are configured count.
	Keys Keys
}

// Verifier proves requests of one source. It is immutable and safe for
// concurrent use.
type Verifier struct {
	record  *Record
	schemes []*scheme
	methods []string
	secrets []Secret
	options map[string]string
	// basic is user and password that a request must have besides.
	basic Secret
	// lent are patterns of what anybody can have signed by a handshake.
	lent []string
}

// ErrConfig is wrapped by the errors of Compile.
var ErrConfig = errors.New("verification cannot be set up")

// OptionError is an option of a provider that cannot be used.
type OptionError struct {
	Option string
	Err    error
}

func (e *OptionError) Error() string { return "option " + e.Option + ": " + e.Err.Error() }

// Unwrap gives the reason.
func (e *OptionError) Unwrap() error { return e.Err }

var errNoOption = errors.New("there is none of this name")

// Compile makes a verifier. It refuses whatever would leave the door open.
func (r *Record) Compile(o Options) (*Verifier, error) {
	v := &Verifier{record: r, methods: r.Methods, secrets: o.Secrets}
	if len(o.Methods) > 0 {
		v.methods = o.Methods
	}
	if len(v.methods) == 0 {
		v.methods = []string{http.MethodPost}
	}
	used := map[string]bool{}
	if err := v.take(o, used); err != nil {
		return nil, fmt.Errorf("%w: provider %s: %w", ErrConfig, r.Name, err)
	}
	for i := range r.Schemes {
		s, err := v.scheme(&r.Schemes[i], o, used)
		if err != nil {
			return nil, fmt.Errorf("%w: provider %s: %w", ErrConfig, r.Name, err)
		}
		v.schemes = append(v.schemes, s)
	}
	for i := range r.Handshakes {
		if pattern, ok := r.Handshakes[i].signs(); ok {
			v.lent = append(v.lent, pattern)
		}
	}
	for name := range o.Params {
		if !used[name] {
			return nil, fmt.Errorf("%w: provider %s: %w", ErrConfig, r.Name, &OptionError{Option: name, Err: errNoOption})
		}
	}
	return v, v.check(o)
}

// scheme compiles one scheme with what the operator configured.
func (v *Verifier) scheme(of *Scheme, o Options, used map[string]bool) (*scheme, error) {
	shaped, err := of.with(o, used)
	if err != nil {
		return nil, err
	}
	s, err := shaped.compile(o.Secrets)
	if err != nil {
		return nil, err
	}
	s.options, s.source = v.options, o.Keys
	s.Prefix = fill(s.Prefix, &Request{}, stamps{options: v.options})
	return s, s.overTLS()
}

// take takes the record's own options.
func (v *Verifier) take(o Options, used map[string]bool) error {
	v.options = map[string]string{}
	used["basic_auth"] = true
	if err := v.takeBasic(o.Params["basic_auth"]); err != nil {
		return &OptionError{Option: "basic_auth", Err: err}
	}
	for _, option := range v.record.Options {
		values := o.Params[option.Name]
		used[option.Name] = true
		switch {
		case len(values) > 0 && !slices.Contains(values, "") && (len(values) == 1 || option.Many):
			v.options[option.Name] = strings.Join(values, " ")
		case len(values) > 0:
			return &OptionError{Option: option.Name, Err: errors.New("takes one value, which must not be empty")}
		case option.Required:
			return &OptionError{Option: option.Name, Err: fmt.Errorf("is missing: %s", option.About)}
		}
	}
	return nil
}

// check refuses a verifier that could not refuse anybody.
func (v *Verifier) check(o Options) error {
	needs, open, takes := false, false, 0
	for _, s := range v.schemes {
		needs = needs || s.Kind != "none" && s.Keys == nil
		open = open || s.Kind == "none"
		takes += len(s.keys)
	}
	switch {
	case open && !needs && len(o.Secrets) > 0:
		return fmt.Errorf("%w: provider %s takes no secret", ErrConfig, v.record.Name)
	case needs && len(o.Secrets) == 0 && !o.PerRequest:
		return fmt.Errorf("%w: provider %s needs a secret: write `from %s {env.NAME}`", ErrConfig, v.record.Name, v.record.Name)
	case takes < len(o.Secrets):
		return fmt.Errorf("%w: provider %s: a secret fits none of its schemes", ErrConfig, v.record.Name)
	}
	return nil
}

// Methods are the methods that are accepted.
func (v *Verifier) Methods() []string { return v.methods }

// Record is what the verifier was made of.
func (v *Verifier) Record() *Record { return v.record }
