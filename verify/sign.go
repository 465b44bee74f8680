package verify

import (
	"crypto"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"
)

// ErrCannotSign is returned by Sign for schemes whose key only the provider has.
var ErrCannotSign = errors.New("only the provider can sign so")

// Sign sets the headers that the provider would send with these bytes at this
// time, with the first secret that fits. id is used where the scheme signs one.
// Where the provider signs in the body, the body changes.
func (v *Verifier) Sign(r *Request, now time.Time, id string) error {
	v.addBasic(r)
	for _, s := range v.schemes {
		if len(s.keys) > 0 && !s.asymmetric() && s.meant(r) {
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

// SignKey signs as the holder of the private key would.
func (v *Verifier) SignKey(r *Request, private crypto.Signer, now time.Time, id string) error {
	v.addBasic(r)
	for _, s := range v.schemes {
		switch {
		case !s.asymmetric(), !s.When.fit(r):
			continue
		case s.Kind == "jwt":
			return s.signJWT(r, private, now)
		}
		st := s.stamp(r, now, id)
		var content contentBuffer
		if err := s.write(&content, r, st); err != nil {
			return err
		}
		signed, hash := s.digested(content.b)
		signature, err := private.Sign(rand.Reader, signed, hash)
		if err != nil {
			return fmt.Errorf("signing: %w", err)
		}
		return s.attach(r, st, signature)
	}
	return fmt.Errorf("provider %s does not sign with a key pair", v.record.Name)
}

// addBasic sets user and password, where they are asked for besides.
func (v *Verifier) addBasic(r *Request) {
	if v.basic.Empty() {
		return
	}
	if r.Header == nil {
		r.Header = http.Header{}
	}
	r.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(v.basic.text)))
}

// meant tells whether a scheme is the one for this kind of body.
func (s *scheme) meant(r *Request) bool {
	if !s.When.fit(r) {
		return false
	}
	for _, t := range s.content {
		if t.wholeForm() {
			return len(r.Body) == 0 || isForm(r.Header)
		}
	}
	return true
}

func (s *scheme) sign(r *Request, k key, now time.Time, id string) error {
	switch s.Kind {
	case "basic":
		r.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString(k.bytes))
		return nil
	case "token":
		if s.Each != "" {
			return s.putEach(r, func(*Request) string { return s.Prefix + string(k.bytes) })
		}
		return s.put(r, s.Prefix+string(k.bytes))
	case "jwt":
		return s.signJWT(r, k.bytes, now)
	}
	if s.Each != "" {
		return s.signEach(r, k)
	}
	if s.BodyHash != nil {
		s.addBodyHash(r)
	}
	st := s.stamp(r, now, id)
	return s.attach(r, st, s.mac(k, r, st, nil))
}

// addBodyHash appends the hash of the body to the query.
func (s *scheme) addBodyHash(r *Request) {
	mark := "?"
	if strings.Contains(r.URL, "?") {
		mark = "&"
	}
	hash := s.BodyHash.of(r.Body)
	r.URL += mark + s.BodyHash.Query + "=" + url.QueryEscape(hash)
	if r.Query == nil {
		r.Query = url.Values{}
	}
	r.Query.Set(s.BodyHash.Query, hash)
}

// Spoil replaces the proofs that stand in the body: wrong makes a wrong one of a
// right one. Headers and queries are the caller's.
func (v *Verifier) Spoil(r *Request, wrong func(string) string) error {
	spoilt := map[string]bool{} // twice, one could be right again
	for _, s := range v.schemes {
		paths := []string{s.JSON}
		if s.Each != "" {
			paths = s.paths(r.Body)
		}
		for _, path := range paths {
			one := *s
			one.JSON = path
			text, err := one.text(r)
			if path == "" && s.Form == "" && !s.Whole || err != nil || spoilt[one.place()] {
				continue
			}
			spoilt[one.place()] = true
			if err := one.put(r, wrong(text)); err != nil {
				return err
			}
		}
	}
	return nil
}

// paths are where the signatures of all items stand.
func (s *scheme) paths(body []byte) []string {
	n := len(gjson.GetBytes(body, s.Each).Array())
	paths := make([]string, n)
	for i := range n {
		item := strings.Replace(s.Each, "#", strconv.Itoa(i), 1)
		if item == s.Each {
			item += "." + strconv.Itoa(i)
		}
		paths[i] = item + "." + s.JSON
	}
	return paths
}

// signEach signs every item of the body for itself.
func (s *scheme) signEach(r *Request, k key) error {
	return s.putEach(r, func(item *Request) string { return s.encode(s.mac(k, item, stamps{options: s.options}, nil)) })
}

// putEach puts its own signature or token into every item of the body.
func (s *scheme) putEach(r *Request, of func(item *Request) string) error {
	items := gjson.GetBytes(r.Body, s.Each).Array()
	for i, path := range s.paths(r.Body) {
		one := *r
		one.Body = []byte(items[i].Raw)
		body, err := sjson.SetBytes(r.Body, path, of(&one))
		if err != nil {
			return fmt.Errorf("signing item %d: %w", i, err)
		}
		r.Body = body
	}
	return nil
}

// put puts a signature or a token where it is expected.
func (s *scheme) put(r *Request, v string) error {
	switch {
	case s.Whole:
		r.Body = []byte(v)
	case s.Query != "":
		if r.Query == nil {
			r.Query = url.Values{}
		}
		r.Query.Set(s.Query, v)
	case s.JSON != "":
		body, err := sjson.SetBytes(r.Body, s.JSON, v)
		if err != nil {
			return fmt.Errorf("putting the signature into the body: %w", err)
		}
		r.Body = body
	case s.Form != "":
		form, err := url.ParseQuery(string(r.Body))
		if err != nil {
			return fmt.Errorf("putting the signature into the form: %w", err)
		}
		form.Set(s.Form, v)
		r.Body = []byte(form.Encode())
	default:
		if r.Header == nil {
			r.Header = http.Header{}
		}
		r.Header.Set(s.Header[0], v)
	}
	return nil
}

// stamp sets the headers that are signed along.
func (s *scheme) stamp(r *Request, now time.Time, id string) stamps {
	st := stamps{ts: s.formatTime(now), id: id, options: s.options}
	if r.Header == nil {
		r.Header = http.Header{}
	}
	for name, value := range s.Require {
		r.Header.Set(name, value)
	}
	if len(s.TimeHeader) > 0 {
		r.Header.Set(s.TimeHeader[0], st.ts)
	}
	if s.TimeJSON != "" {
		if s.timestamp(r) == "" {
			if body, err := sjson.SetBytes(r.Body, s.TimeJSON, st.ts); err == nil {
				r.Body = body
			}
		}
		st.ts = s.timestamp(r)
	}
	if len(s.IDHeader) > 0 {
		r.Header.Set(s.IDHeader[0], id)
	}
	for _, t := range s.content {
		switch {
		case t.kind == "signed":
			r.Header.Set(t.arg, strings.ToLower(strings.Join(append([]string{t.arg}, s.TimeHeader...), ",")))
		case t.kind == "header" && r.Header.Get(t.arg) == "":
			r.Header.Set(t.arg, "sample")
		}
	}
	return st
}

// attach puts the signature with what it names where it is expected.
func (s *scheme) attach(r *Request, st stamps, signature []byte) error {
	return s.put(r, s.join(st.ts, []string{s.encode(signature)}))
}
