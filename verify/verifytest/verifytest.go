// Package verifytest sets up any provider's record for tests and measurements:
// a secret of the right form, the options that it asks for, a signed request.
package verifytest

import (
	"crypto"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/verify"
)

// Secret gives a secret of the form that a provider wants.
func Secret(r *verify.Record) string {
	s := r.Schemes[0]
	switch {
	case s.Kind == "basic":
		return "me:It's a Secret to Everybody"
	case s.Kind == "jwt":
		return "a shared secret of more than thirty-two bytes"
	case s.SecretForm == "hex":
		return "44782def547aaa06c910c43932b1eb0c71fc68d9d0c057550c48ec2acf6ba056"
	case s.SecretForm == "base64":
		return "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	case strings.HasPrefix(s.SecretForm, "whsec"), s.SecretPrefix == "whsec_":
		return "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	}
	return s.SecretPrefix + "It's a Secret to Everybody"
}

// Params gives the options that a record needs besides the secret.
func Params(r *verify.Record) map[string][]string {
	params := map[string][]string{}
	if s := r.Schemes[0]; r.Generic && len(s.Header) == 0 && s.Kind != "basic" && s.Kind != "none" {
		params["header"] = []string{"X-Signature"}
	}
	if r.Name == "hmac" {
		params["prefix"] = []string{"sha256="}
	}
	for _, o := range r.Options {
		params[o.Name] = []string{"configured"}
		if o.Name == "jwks" {
			params[o.Name] = []string{"https://keys.example.com/jwks.json"}
		}
	}
	return params
}

// Sender is a record that is set up, and can sign as the provider would.
type Sender struct {
	Record   *verify.Record
	Verifier *verify.Verifier
	// Private is the provider's key where only the provider can sign.
	Private crypto.Signer
}

// New sets a record up.
func New(r *verify.Record) (*Sender, error) {
	s := &Sender{Record: r}
	secret := Secret(r)
	if _, only := r.KeyKind(); only {
		var err error
		if s.Private, err = r.NewKey(rand.Reader); err == nil {
			secret, err = r.PublicKey(s.Private.Public())
		}
		if err != nil {
			return nil, fmt.Errorf("making a key for %s: %w", r.Name, err)
		}
	}
	o := verify.Options{Secrets: []verify.Secret{verify.NewSecret(secret)}, Params: Params(r)}
	if r.Schemes[0].Kind == "none" {
		o.Secrets = nil
	}
	var err error
	s.Verifier, err = r.Compile(o)
	if err != nil {
		return nil, fmt.Errorf("setting up %s: %w", r.Name, err)
	}
	return s, nil
}

// Signed gives a sample event as the provider would send it.
func (s *Sender) Signed(id string, at time.Time) (*verify.Request, error) {
	return s.Sign(s.Record.Payload(id, s.Record.Kind(), at), id, at)
}

// Sign signs a body as the provider would.
func (s *Sender) Sign(body []byte, id string, at time.Time) (*verify.Request, error) {
	r := &verify.Request{
		Method: s.Verifier.Methods()[0], URL: "https://hooks.example.com/x", Header: http.Header{}, Query: url.Values{}, Body: body,
	}
	r.Header.Set("Content-Type", verify.ContentType(body))
	s.Record.Label(r, id, s.Record.Kind())
	var err error
	if s.Private != nil {
		err = s.Verifier.SignKey(r, s.Private, at, id)
	} else {
		err = s.Verifier.Sign(r, at, id)
	}
	if err != nil && !errors.Is(err, verify.ErrCannotSign) {
		err = fmt.Errorf("signing as %s: %w", s.Record.Name, err)
	}
	return r, err
}
