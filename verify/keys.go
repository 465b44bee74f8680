package verify

import (
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4/jwt"
)

// ErrKeys is returned when the provider's keys cannot be asked for just now. It
// is no rejection: nothing is known about the request, and it should come again.
var ErrKeys = errors.New("the provider's key cannot be had")

// Keys gets keys that providers publish. It is safe for concurrent use.
type Keys interface {
	// Get gives the keys that answer a query; none if there is no such key. The
	// error wraps ErrKeys if nobody could be asked, or [ErrRejected] if what was
	// found cannot be trusted.
	Get(q KeyQuery, now time.Time) ([]crypto.PublicKey, error)
}

// KeyQuery says where a key is published. All of it is of the record or has been
// checked against it.
type KeyQuery struct {
	// URL is the https address.
	URL string
	// KID names one of a set's keys; empty means all.
	KID string
	// Ask is posted as JSON; nil means that the address is got.
	Ask []byte
	// At is the JSON path of a single JWK in the answer; empty: the answer is a set.
	At string
	// Certificate tells that the answer is one, as PEM, for one of Names; with
	// Chain it holds its issuers too, and they are checked.
	Certificate bool
	Chain       bool
	Names       []string
}

// KeySource says where a provider publishes its keys. The operator may configure
// a public key instead.
type KeySource struct {
	// JWKS is the address of a set of keys (RFC 7517), a template.
	JWKS string `yaml:"jwks"`
	// Certificate says where a request names its certificate, e.g. {header:X}. Host
	// and Path are regular expressions for all of its address's host and path,
	// Names what the certificate must be issued for; with Chain its issuers stand
	// beside it.
	Certificate string   `yaml:"certificate"`
	Host        string   `yaml:"host"`
	Path        string   `yaml:"path"`
	Names       []string `yaml:"names"`
	Chain       bool     `yaml:"chain"`
	// Lookup is where one key is asked for by posting Ask, an object of templates in
	// which {kid} is the key's ID; it stands At that path of the answer.
	Lookup string            `yaml:"lookup"`
	Ask    map[string]string `yaml:"ask"`
	At     string            `yaml:"at"`
}

// maxKeys bounds the published keys tried on one request.
const maxKeys = 16

// published gets the keys that the provider publishes for a request.
func (s *scheme) published(r *Request, now time.Time) ([]key, error) {
	if err := s.worthAsking(r, now); err != nil {
		return nil, err
	}
	q, err := s.query(r)
	if err != nil {
		return nil, err
	}
	if s.source == nil {
		return nil, fmt.Errorf("%w: nobody asks for it here; configure the public key", ErrKeys)
	}
	found, err := s.source.Get(q, now)
	if err != nil {
		return nil, err //nolint:wrapcheck // it says itself what it is
	}
	var keys []key
	for _, public := range found {
		if fits(s.Kind, public) == nil && s.suits(public) == nil && len(keys) < maxKeys {
			keys = append(keys, key{index: -1, public: public})
		}
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%w: the provider has published no key that it names", ErrMismatch)
	}
	return keys, nil
}

// worthAsking refuses what would be refused whatever the key is, so that nobody
// is asked on its behalf.
func (s *scheme) worthAsking(r *Request, now time.Time) error {
	if s.Kind == "jwt" {
		_, err := s.token(r)
		return err
	}
	values, err := s.values(r)
	if err != nil {
		return err
	}
	_, st, err := s.parse(r, values[0])
	if err != nil || !s.timed() {
		return err
	}
	at, err := s.time(st.ts)
	if err != nil {
		return err
	}
	return s.fresh(at, now)
}

// query says where the key of a request is published.
func (s *scheme) query(r *Request) (KeyQuery, error) {
	from := s.Keys
	q := KeyQuery{At: from.At}
	st := stamps{options: s.options}
	if s.Kind == "jwt" {
		token, err := s.token(r)
		if err != nil {
			return q, err
		}
		q.KID, st.kid = token.Headers[0].KeyID, token.Headers[0].KeyID
	}
	switch {
	case from.JWKS != "":
		q.URL = fill(from.JWKS, r, st)
	case from.Lookup != "":
		if q.KID == "" {
			return q, fmt.Errorf("%w: the token names no key", ErrFormat)
		}
		q.URL, q.Ask = fill(from.Lookup, r, st), from.ask(r, st)
	default:
		q.URL, q.Certificate, q.Names, q.Chain = fill(from.Certificate, r, st), true, from.Names, from.Chain
		if !trusted(q.URL, from.Host, from.Path) || strings.Contains(q.URL, "?") {
			return q, fmt.Errorf("%w: the certificate's address is none of the provider's", ErrFormat)
		}
	}
	return q, nil
}

func (k *KeySource) ask(r *Request, st stamps) []byte {
	members := maps.Clone(k.Ask)
	for name, template := range members {
		members[name] = fill(template, r, st)
	}
	text, err := json.Marshal(members)
	if err != nil { // strings can always be encoded
		return []byte("{}")
	}
	return text
}

// trusted tells whether an address that a stranger names is the provider's: of
// https, on its usual port, and nothing in it that could mislead.
func trusted(address, host, path string) bool {
	u, err := url.Parse(address)
	return err == nil && u.Scheme == "https" && u.User == nil && u.Port() == "" && u.Opaque == "" && u.Fragment == "" &&
		fitsAll(host, u.Host) && fitsAll(path, u.Path) && u.RawPath == "" && !strings.Contains(u.Path, "..")
}

// token reads a JWT without believing it.
func (s *scheme) token(r *Request) (*jwt.JSONWebToken, error) {
	text, err := s.jwtText(r)
	if err != nil {
		return nil, err
	}
	token, err := jwt.ParseSigned(text, s.algorithms())
	if err != nil || len(token.Headers) != 1 {
		return nil, fmt.Errorf("%w: %s holds no JWT of algorithm %s", ErrFormat, s.place(), strings.Join(s.Algorithms, " or "))
	}
	return token, nil
}

// overTLS refuses an address of keys, filled in by the operator, that anybody on
// the way could answer for.
func (s *scheme) overTLS() error {
	if s.Keys == nil || s.Keys.Certificate != "" {
		return nil
	}
	address := fill(s.Keys.JWKS+s.Keys.Lookup, &Request{}, stamps{options: s.options})
	if u, err := url.Parse(address); err != nil || u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("the address of the keys, %q, is no https URL", address)
	}
	return nil
}

// validateKeys refuses a record that leaves open whom it trusts.
func (s *Scheme) validateKeys() error {
	k := s.Keys
	places := slices.DeleteFunc([]string{k.JWKS, k.Certificate, k.Lookup}, func(v string) bool { return v == "" })
	switch {
	case len(places) != 1:
		return errors.New("keys stand at one of jwks, certificate and lookup")
	case !s.asymmetric():
		return errors.New("keys are public ones: the secret's form must be key")
	case k.Certificate != "" && (k.Host == "" || k.Path == "" || len(k.Names) == 0):
		return errors.New("a certificate that the request names needs host, path and names")
	}
	return nil
}
