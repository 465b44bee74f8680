package verify

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"
)

// The words of the metrics' label `reason`. Those of [Reason] are known from
// the error alone; the others take a [Verifier.Explain].
const (
	ReasonMissing  = "missing"
	ReasonFormat   = "format"
	ReasonMismatch = "mismatch"
	ReasonExpired  = "expired"
	ReasonFuture   = "future"
	ReasonNoSecret = "no_secret"
	ReasonMethod   = "method"

	ReasonOtherSource   = "other_source"
	ReasonSecretRotated = "secret_rotated"
	ReasonSecretSpace   = "secret_space"
	ReasonSecretForm    = "secret_form"
	ReasonTestMode      = "test_mode"
	ReasonBodyChanged   = "body_changed"
	ReasonWrongURL      = "wrong_url"
)

// Reasons lists every word that a refused proof can have for its reason.
func Reasons() []string {
	return []string{
		ReasonMissing, ReasonFormat, ReasonMismatch, ReasonExpired, ReasonFuture, ReasonNoSecret, ReasonMethod,
		ReasonOtherSource, ReasonSecretRotated, ReasonSecretSpace, ReasonSecretForm, ReasonTestMode,
		ReasonBodyChanged, ReasonWrongURL,
	}
}

// Diagnosis says why a request was refused. It is for the operator alone: told
// to the sender, it would be an oracle.
type Diagnosis struct {
	// Reason is one of [Reasons].
	Reason string
	// Words say what is wrong and what to do. No secret and no signature stands
	// in them.
	Words string
}

// Refusal is what is known of a refused request.
type Refusal struct {
	Request *Request
	// Err is what [Verifier.Verify] or [Verifier.Precheck] gave.
	Err error
	Now time.Time
	// Own are the secrets of the request's own, as they were given to Verify.
	Own []Secret
	// Former are what held for this source before; Others are the other sources.
	// Their secrets are tried here and nowhere else.
	Former, Others []Peer
}

// Peer is another verifier that a diagnosis tries.
type Peer struct {
	// Name is the source's; of a former one, since when it holds no longer.
	Name     string
	Verifier *Verifier
	// URL is the public one of its configuration; empty: as received.
	URL string
	// Learned are secrets besides those that it is configured with.
	Learned []Secret
}

func (p Peer) secrets() []Secret { return slices.Concat(p.Verifier.secrets, p.Learned) }

const (
	// mostTries and mostWork bound one diagnosis: the verifications, and the bytes
	// that are hashed or rewritten for them. That is some ten milliseconds.
	mostTries = 96
	mostWork  = 16 << 20
	// tryCost is added to the bytes of each verification, keyCost is what a public
	// key's takes, in bytes hashed in the same time.
	tryCost = 1 << 10
	keyCost = 64 << 10
	// largeBody is the size beyond which a body is not rewritten.
	largeBody = 1 << 20
)

// Explain says why a request was refused, and what to do. Its work is bounded:
// it changes secret, body and address as they are usually changed by accident,
// and sees whether the signature fits then.
func (v *Verifier) Explain(f Refusal) Diagnosis { return v.inquire(f).diagnose() }

// inquiry is one diagnosis at work.
type inquiry struct {
	Refusal
	v *Verifier
	// tries and work are what is left of them.
	tries, work int
}

func (v *Verifier) inquire(f Refusal) *inquiry {
	x := &inquiry{Refusal: f, v: v, tries: mostTries, work: mostWork}
	if asked := v.asking(); asked != nil {
		x.v = v.asked(&memory{keys: asked})
	}
	return x
}

func (x *inquiry) diagnose() Diagnosis {
	switch {
	case errors.Is(x.Err, ErrExpired), errors.Is(x.Err, ErrFuture):
		return x.plain(x.clock())
	case errors.Is(x.Err, ErrMissing):
		return x.plain(x.missing())
	case errors.Is(x.Err, ErrFormat):
		return x.plain(x.format())
	case errors.Is(x.Err, ErrMethod):
		return x.plain("the source takes " + strings.Join(x.v.methods, ", "))
	case errors.Is(x.Err, ErrNoSecret):
		if x.Err == ErrNoSecret { //nolint:errorlint // one that is wrapped says more itself
			return x.plain("the placeholder of its secret gives nothing here")
		}
		return x.plain("")
	case !errors.Is(x.Err, ErrMismatch):
		return x.plain("")
	}
	for _, look := range []func(*inquiry) (Diagnosis, bool){(*inquiry).length, (*inquiry).search, (*inquiry).hint} {
		if d, ok := look(x); ok {
			return d
		}
	}
	return x.plain("another secret, or a body changed on its way")
}

// plain is the error in words, and what else is to be said.
func (x *inquiry) plain(more string) Diagnosis {
	text := words(x.Err)
	if more != "" {
		text += "; " + more
	}
	return Diagnosis{Reason: Reason(x.Err), Words: text}
}

// words strips the sentinel from an error.
func words(err error) string {
	return strings.TrimPrefix(err.Error(), ErrRejected.Error()+": ")
}

// guess is what may have happened: the request verifies if it did.
type guess struct {
	v             *Verifier
	r             *Request
	reason, words string
}

// families are the guesses by kind, the likeliest and cheapest first.
var families = []struct {
	// large tells that they are tried on large bodies too.
	large   bool
	guesses func(*inquiry) iter.Seq[guess]
}{
	{true, (*inquiry).former},
	{true, (*inquiry).secretTexts},
	{true, (*inquiry).others},
	{true, (*inquiry).addresses},
	{true, (*inquiry).bodyEnds},
	{true, (*inquiry).secretForms},
	{false, (*inquiry).bodies},
}

// search tries all guesses that it can afford.
func (x *inquiry) search() (Diagnosis, bool) {
	for _, f := range families {
		if len(x.Request.Body) > largeBody && !f.large {
			continue
		}
		for g := range f.guesses(x) {
			if x.tries == 0 {
				return Diagnosis{}, false
			}
			if more, ok := x.proves(g); ok {
				return Diagnosis{Reason: g.reason, Words: g.words + more}, true
			}
		}
	}
	return Diagnosis{}, false
}

// proves tells whether a request verifies by a guess, and what is wrong with it
// besides: a good signature may be old.
func (x *inquiry) proves(g guess) (more string, ok bool) {
	x.tries--
	if !x.spend(g.v.cost(g.r)) {
		return "", false
	}
	own := x.Own
	if g.v != x.v { // its keys are in it
		own = nil
	}
	_, err := g.v.Verify(g.r, x.Now, own...)
	switch {
	case err == nil:
		return "", true
	case errors.Is(err, ErrExpired), errors.Is(err, ErrFuture):
		return "; besides, " + words(err), true
	}
	return "", false
}

// spend takes from what may be worked.
func (x *inquiry) spend(n int) bool {
	if n > x.work {
		return false
	}
	x.work -= n
	return true
}

// cost is what one verification takes at most, in bytes.
func (v *Verifier) cost(r *Request) int {
	sum := tryCost
	for _, s := range v.schemes {
		each := len(r.Body) + len(r.URL)
		if s.asymmetric() {
			each += keyCost
		}
		sum += each * max(1, len(s.keys))
		if s.URLVariants {
			sum += each
		}
	}
	return sum
}

// rekeyed is the same verifier with other keys; nil if it would have none.
func (v *Verifier) rekeyed(keysOf func(*scheme) []key) *Verifier {
	c, n := *v, 0
	c.schemes = make([]*scheme, len(v.schemes))
	for i, s := range v.schemes {
		one := *s
		one.keys = keysOf(s)
		c.schemes[i] = &one
		n += len(one.keys)
	}
	if n == 0 {
		return nil
	}
	return &c
}

// with is the request with another body.
func (r *Request) with(body []byte) *Request {
	c := *r
	c.Body = body
	return &c
}

// at is the request at another address.
func (r *Request) at(address string) *Request {
	if address == "" {
		return r
	}
	c := *r
	c.URL = address
	return &c
}

// signs tells whether one of the tokens is part of what is signed.
func (v *Verifier) signs(kinds ...string) bool {
	return slices.ContainsFunc(v.schemes, func(s *scheme) bool {
		return !s.plain() && slices.ContainsFunc(s.content, func(t token) bool { return slices.Contains(kinds, t.kind) })
	})
}

// former tries what held for this source before.
func (x *inquiry) former() iter.Seq[guess] {
	return func(yield func(guess) bool) {
		for _, p := range x.Former {
			text := fmt.Sprintf("this is the secret that was in use until %s: the provider signs with it still; "+
				"configure both until it has changed", p.Name)
			if !yield(guess{p.whole(), x.Request.at(p.URL), ReasonSecretRotated, text}) {
				return
			}
		}
	}
}

// others tries the other sources: their keys with their providers' schemes, for
// a request at the wrong address, and with ours, for secrets mixed up.
func (x *inquiry) others() iter.Seq[guess] {
	return func(yield func(guess) bool) {
		for _, p := range x.near() {
			text := "this is the secret of source " + p.Name
			mixed := x.v.rekeyed(func(s *scheme) []key { return s.keysOf(p.secrets()) })
			if mixed != nil && !yield(guess{mixed, x.Request, ReasonOtherSource, text + ": are two secrets mixed up, or two addresses?"}) {
				return
			}
			if p.Verifier.record == x.v.record && p.URL == "" || p.Verifier.Precheck(x.Request.Method, x.Request.Header) != nil {
				continue
			}
			text = fmt.Sprintf("this is for source %s (%s): it has come to the wrong address", p.Name, p.Verifier.record.Name)
			if !yield(guess{p.whole(), x.Request.at(p.URL), ReasonOtherSource, text}) {
				return
			}
		}
	}
}

// whole is the peer's own verifier with all of its secrets, which asks nobody.
func (p Peer) whole() *Verifier {
	v := p.Verifier.asked(nil)
	for _, s := range v.schemes {
		s.keys = slices.Concat(s.keys, s.keysOf(p.Learned))
	}
	return v
}

// mostPeers bounds the other sources that are tried.
const mostPeers = 24

// near are the other sources that are tried, those of the same provider first.
// One without a secret would take everything, and tells nothing.
func (x *inquiry) near() []Peer {
	peers := slices.DeleteFunc(slices.Clone(x.Others), func(p Peer) bool { return len(p.secrets()) == 0 })
	slices.SortStableFunc(peers, func(a, b Peer) int { return x.distance(a) - x.distance(b) })
	return peers[:min(len(peers), mostPeers)]
}

func (x *inquiry) distance(p Peer) int {
	if p.Verifier.record == x.v.record {
		return 0
	}
	return 1
}

// keysOf are the keys of secrets as far as they are fit for a scheme.
func (s *scheme) keysOf(secrets []Secret) []key {
	var keys []key
	for i, secret := range secrets {
		if k, err := s.key(i, secret); err == nil && s.Kind != "none" {
			keys = append(keys, k)
		}
	}
	return keys
}

// asking is what asks for published keys, if the provider publishes any.
func (v *Verifier) asking() Keys {
	for _, s := range v.schemes {
		if s.source != nil {
			return s.source
		}
	}
	return nil
}

// asked is the same verifier with somebody else to ask for published keys.
func (v *Verifier) asked(keys Keys) *Verifier {
	c := *v
	c.schemes = make([]*scheme, len(v.schemes))
	for i, s := range v.schemes {
		one := *s
		one.source = keys
		c.schemes[i] = &one
	}
	return &c
}

// memory asks once in a diagnosis, for the key that was asked for just before,
// when the request was refused. No guess has a provider's server asked.
type memory struct {
	keys  Keys
	query KeyQuery
	found []crypto.PublicKey
	err   error
	asked bool
}

// Get implements [Keys].
func (m *memory) Get(q KeyQuery, now time.Time) ([]crypto.PublicKey, error) {
	switch {
	case !m.asked:
		m.asked, m.query = true, q
		m.found, m.err = m.keys.Get(q, now)
	case q.URL != m.query.URL || q.KID != m.query.KID || !bytes.Equal(q.Ask, m.query.Ask):
		return nil, ErrKeys
	}
	return m.found, m.err
}
