package verify

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// ErrCannotRenew is wrapped by the errors that say why a signature cannot be
// made anew.
var ErrCannotRenew = errors.New("the signature cannot be made anew")

// Unrenewable says why signatures of this scheme cannot be made anew; it is empty
// if they can. Whoever signs anew has the secret, and changes nothing but headers.
func (s *Scheme) Unrenewable() string {
	switch {
	case s.Kind == "none":
		return "nothing is signed"
	case s.Kind == "token", s.Kind == "basic":
		return "the secret itself is sent, and nothing is signed that could grow old"
	case s.asymmetric():
		return "only the sender has the private key"
	case s.Kind != "jwt" && !s.timed():
		return "there is no timestamp in it, and it does not grow old"
	case s.JSON != "", s.Form != "", s.Whole, s.Each != "", s.TimeJSON != "":
		return "it stands in the body, which is delivered byte for byte"
	case s.Query != "", s.BodyHash != nil && s.BodyHash.Query != "":
		return "it stands in the address, which is delivered as it came"
	}
	return ""
}

// Renewable tells whether late deliveries can be signed anew with the secrets
// that are configured. The error wraps [ErrCannotRenew] and says why not.
func (v *Verifier) Renewable() error {
	reason := ""
	for _, s := range v.schemes {
		if len(v.secrets) > 0 && len(s.keys) == 0 {
			continue // no secret is meant for it
		}
		why := s.Unrenewable()
		if why == "" {
			return nil
		}
		if reason == "" {
			reason = why
		}
	}
	return fmt.Errorf("%w: %s", ErrCannotRenew, reason)
}

// Renewal is what is known of a proven request that has waited.
type Renewal struct {
	// Now is the present, Received when the request was complete.
	Now, Received time.Time
	// Always signs anew however young the request is. Else it must have waited
	// for more than half of the tolerance, and the tolerance must not be off.
	Always bool
	// Digest tells which secret proved the request, see [Verdict].
	Digest string
	// Own are secrets that are not configured, such as a learned one.
	Own []Secret
	// Strict signs with no other secret if the one that proved the request is
	// known no more. Else the first one does.
	Strict bool
}

// Renew makes the signature of a proven request anew, for the same bytes at the
// present time, in the provider's own format. It gives the headers that change,
// by canonical name; one without a value is to go. There are none if the
// signature is young enough, or has no timestamp. Errors wrap [ErrCannotRenew].
func (v *Verifier) Renew(r *Request, o Renewal) (http.Header, error) {
	var ways []way
	for _, s := range v.schemes {
		if s.Unrenewable() != "" || !s.When.fit(r) || !o.Always && !s.late(r, o) || !s.shaped(r) {
			continue
		}
		if keys, err := s.allKeys(len(v.secrets), o.Own); err == nil && len(keys) > 0 {
			ways = append(ways, way{s, keys})
		}
	}
	for _, w := range ways {
		if proofs := w.s.proofs(r, w.keys); len(proofs) > 0 {
			return w.s.anew(r, proofs, o)
		}
	}
	return v.substitute(r, ways, o)
}

// way is a scheme by which a request may have been proven, with its keys.
type way struct {
	s    *scheme
	keys []key
}

// late tells whether a request has waited for more than half of what its
// signature is good for.
func (s *scheme) late(r *Request, o Renewal) bool {
	life := s.Tolerance
	if s.Kind == "jwt" {
		if token := s.tokenLife(r, o.Received); life == 0 || token > 0 && token < life {
			life = token
		}
	}
	return life > 0 && o.Now.Sub(o.Received) > life/2
}

// substitute signs where no known secret fits the signature any more: it was
// rotated away, or the configured address has changed.
func (v *Verifier) substitute(r *Request, ways []way, o Renewal) (http.Header, error) {
	if len(ways) == 0 {
		if o.Always {
			return nil, fmt.Errorf("%w: the request was proven in another way than by a signature with a timestamp", ErrCannotRenew)
		}
		return nil, nil
	}
	isIt := func(k key) bool { return k.digest == o.Digest }
	for _, w := range ways {
		if i := slices.IndexFunc(w.keys, isIt); i >= 0 {
			return w.s.anew(r, w.s.places(r, w.keys[i]), o)
		}
	}
	elsewhere := slices.ContainsFunc(v.schemes, func(s *scheme) bool { return slices.ContainsFunc(s.keys, isIt) })
	if elsewhere || o.Strict {
		return nil, fmt.Errorf("%w: the secret that proved the request is not at hand", ErrCannotRenew)
	}
	return ways[0].s.anew(r, ways[0].s.places(r, ways[0].keys[0]), o)
}

// proof is one place of a request with signatures, and whose they are.
type proof struct {
	names []string
	keys  []key
}

// proofs finds the keys that signed a request, for each place of signatures. A
// provider that rotates its secrets signs with several at once, and which of
// them the application has is not known here.
func (s *scheme) proofs(r *Request, keys []key) []proof {
	if s.Kind == "jwt" {
		return s.tokenProofs(r, keys)
	}
	var list []proof
	for _, names := range s.split(r.Header) {
		one := *s
		one.Header, one.AllHeaders = names, false
		if p := one.proof(r, keys); len(p.keys) > 0 {
			list = append(list, p)
		}
	}
	return list
}

// split gives the headers that carry signatures: those that must say the same
// are together.
func (s *scheme) split(h http.Header) [][]string {
	var names []string
	for _, name := range s.Header {
		if len(h[name]) > 0 {
			names = append(names, name)
		}
	}
	if !s.AllHeaders {
		return [][]string{names}
	}
	list := make([][]string, len(names))
	for i := range names {
		list[i] = names[i : i+1]
	}
	return list
}

// proof finds the keys that signed at one place.
func (s *scheme) proof(r *Request, keys []key) proof {
	p := proof{names: s.Header}
	values, err := s.values(r)
	if err != nil {
		return p
	}
	for _, value := range values {
		p.keys = append(p.keys, s.signers(r, value, keys)...)
	}
	return p
}

// signers are the keys that one value's signatures were made with.
func (s *scheme) signers(r *Request, value string, keys []key) (found []key) {
	sc := newScratch()
	defer sc.free()
	st, err := s.parseInto(sc, r, value)
	if err != nil {
		return nil
	}
	for i := range keys {
		if k, ok := s.matchMAC(sc, r, st, keys[i:i+1]); ok {
			found = append(found, k)
		}
	}
	return found
}

// places is where a key signs whose own signature is not there.
func (s *scheme) places(r *Request, k key) []proof {
	return []proof{{names: s.split(r.Header)[0], keys: []key{k}}}
}

// shaped tells whether what stands in a request can be a signature of this
// scheme, right or wrong: several schemes of a provider may share a header.
func (s *scheme) shaped(r *Request) bool {
	if s.Kind == "jwt" {
		_, err := s.token(r)
		return err == nil
	}
	values, err := s.values(r)
	if err != nil {
		return false
	}
	sc := newScratch()
	defer sc.free()
	if _, err := s.parseInto(sc, r, values[0]); err != nil {
		return false
	}
	return len(sc.signatures[0]) == hashes[s.Hash]().Size()
}

// anew signs at the present time. Signatures that nobody here can make are left
// out: their timestamp is another.
func (s *scheme) anew(r *Request, proofs []proof, o Renewal) (http.Header, error) {
	if s.Kind == "jwt" {
		return s.tokenAnew(r, proofs[0], o)
	}
	st := stamps{ts: s.formatTime(o.Now), options: s.options}
	st.id, _ = first(r.Header, s.IDHeader)
	signed, changed := *r, http.Header{}
	signed.Header = r.Header.Clone()
	for _, name := range s.TimeHeader {
		if len(r.Header[name]) > 0 {
			changed[name], signed.Header[name] = []string{st.ts}, []string{st.ts}
		}
	}
	for _, names := range s.split(r.Header) {
		for _, name := range names {
			changed[name] = nil
		}
	}
	for _, p := range proofs {
		texts := make([]string, len(p.keys))
		for i, k := range p.keys {
			texts[i] = s.encode(s.mac(k, &signed, st, nil))
		}
		for _, name := range p.names {
			changed[name] = []string{s.join(st.ts, texts)}
		}
	}
	return changed, nil
}

// join writes signatures as they stand in a header, with what they name.
func (s *scheme) join(ts string, signatures []string) string {
	if s.List == "" {
		signatures = signatures[:1]
	}
	if s.Sets != "" && len(signatures) > 1 {
		sets := make([]string, len(signatures))
		for i := range signatures {
			sets[i] = s.join(ts, signatures[i:i+1])
		}
		return strings.Join(sets, s.Sets)
	}
	var parts []string
	switch {
	case s.Key != "" && s.TimeKey != "":
		parts = append(parts, s.TimeKey+"="+ts)
	case s.Key == "" && s.TimeFirst:
		parts = append(parts, ts)
	}
	for _, v := range signatures {
		switch {
		case s.Key != "":
			v = s.Key + "=" + v
		case !s.TimeFirst:
			v = s.Prefix + v
		}
		parts = append(parts, v)
	}
	return strings.Join(parts, s.List)
}
