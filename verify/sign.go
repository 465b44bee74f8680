package verify

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// ErrCannotSign is returned by Sign for schemes whose key only the provider has.
var ErrCannotSign = errors.New("only the provider can sign so")

// Sign sets the headers that the provider would send with these bytes at this
// time, with the first secret that fits. id is used where the scheme signs one.
func (v *Verifier) Sign(r *Request, now time.Time, id string) error {
	for _, s := range v.schemes {
		if len(s.keys) > 0 && s.Kind != "ed25519" {
			return s.sign(r, s.keys[0], now, id)
		}
	}
	for _, s := range v.schemes {
		if s.Kind == "none" {
			return nil
		}
	}
	return fmt.Errorf("provider %s: %w", v.record.Name, ErrCannotSign)
}

// SignEd25519 signs as the holder of the private key would.
func (v *Verifier) SignEd25519(r *Request, private ed25519.PrivateKey, now time.Time, id string) error {
	for _, s := range v.schemes {
		if s.Kind != "ed25519" {
			continue
		}
		st := s.stamp(r, now, id)
		var content contentBuffer
		if err := s.write(&content, r, st); err != nil {
			return err
		}
		s.attach(r, st, ed25519.Sign(private, content.b))
		return nil
	}
	return fmt.Errorf("provider %s does not use Ed25519", v.record.Name)
}

// PublicKey writes a public key as the operator configures it for this provider.
func (v *Verifier) PublicKey(public ed25519.PublicKey) string { return v.record.PublicKey(public) }

// PublicKey writes a public key as the operator configures it for this provider.
func (r *Record) PublicKey(public ed25519.PublicKey) string {
	for i := range r.Schemes {
		switch s := &r.Schemes[i]; {
		case s.Kind != "ed25519":
		case s.SecretForm == "whpk":
			return "whpk_" + base64.StdEncoding.EncodeToString(public)
		case s.SecretForm == "base64":
			return base64.StdEncoding.EncodeToString(public)
		default:
			return fmt.Sprintf("%x", []byte(public))
		}
	}
	return ""
}

func (s *scheme) sign(r *Request, k key, now time.Time, id string) error {
	switch s.Kind {
	case "basic":
		r.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString(k.bytes))
		return nil
	case "token":
		return s.present1(r, k)
	}
	st := s.stamp(r, now, id)
	s.attach(r, st, s.mac(k, r, st, nil))
	return nil
}

// present1 puts a token where it is expected.
func (s *scheme) present1(r *Request, k key) error {
	switch {
	case s.Query != "":
		r.Query.Set(s.Query, string(k.bytes))
	case s.JSON != "":
		return errors.New("the token is part of the body: put it there")
	default:
		r.Header.Set(s.Header[0], s.Prefix+string(k.bytes))
	}
	return nil
}

// stamp sets the headers that are signed along.
func (s *scheme) stamp(r *Request, now time.Time, id string) stamps {
	st := stamps{ts: s.formatTime(now), id: id}
	if r.Header == nil {
		r.Header = http.Header{}
	}
	if len(s.TimeHeader) > 0 {
		r.Header.Set(s.TimeHeader[0], st.ts)
	}
	if s.TimeJSON != "" {
		st.ts = s.timestamp(r) // it is in the body already
	}
	if len(s.IDHeader) > 0 {
		r.Header.Set(s.IDHeader[0], id)
	}
	return st
}

// attach sets the header with the signature.
func (s *scheme) attach(r *Request, st stamps, signature []byte) {
	v := s.encode(signature)
	switch {
	case s.Key != "" && s.TimeKey != "":
		v = strings.Join([]string{s.TimeKey + "=" + st.ts, s.Key + "=" + v}, s.List)
	case s.Key != "":
		v = s.Key + "=" + v
	default:
		v = s.Prefix + v
	}
	r.Header.Set(s.Header[0], v)
}
