package providers_test

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-webhooks/caddy-webhooks/verify"
	"github.com/caddy-webhooks/caddy-webhooks/verify/verifytest"
)

// joins matches prefixes that split header values which were joined by a comma.
var joins = regexp.MustCompile(`^v[0-9]+a?,$`)

// anyOf is the rule for a signature header that is there twice. Values of one
// name are joined by commas, as HTTP has it. Where the provider lists signatures
// so, or sends several headers, one good one is enough; named ones are found
// behind the other separators too; of two Authorization headers with a password
// the first counts; everything else is refused. anyOf tells whether one good signature among several header values is enough;
// else the header may be there once only.
func anyOf(s verify.Scheme) bool {
	return !plain(s) && s.Kind != "jwt" && (s.AllHeaders || s.List == "," || s.List == " " && joins.MatchString(s.Prefix))
}

// zeros is the text with a signature of nothing but zeros.
func zeros(d *verifytest.Door, text string) string {
	before := lead(d, text)
	return before + encoded(d.Scheme.Encoding, make([]byte, 32))
}

func TestOfTwoSignatureHeadersOnlyListsTakeEither(t *testing.T) {
	t.Parallel()
	for _, d := range allDoors(t) {
		s := d.Scheme
		name := "Authorization"
		switch {
		case len(s.Header) > 0:
			name = http.CanonicalHeaderKey(s.Header[0])
		case s.Kind != "basic":
			continue
		}
		good := d.Text(signedBy(t, d))
		bad := zeros(d, good)
		other := d.Request("evt_1", testNow)
		other.Body = append(other.Body, ' ')
		if other, err := d.Sign(other, "evt_1", testNow); err != nil {
			t.Fatal(err)
		} else if text := d.Text(other); coversBody(s) && text != good {
			refuses(t, d, attack{"two of another body", func(q *verify.Request) { q.Header[name] = []string{text, text} }})
		}
		refuses(t, d, attack{"two bad ones", func(q *verify.Request) { q.Header[name] = []string{bad, bad} }})
		for _, c := range []struct {
			name   string
			values []string
			good   bool
		}{
			{"a good one and a bad one", []string{good, bad}, anyOf(s) || s.Kind == "basic"},
			{"a bad one and a good one", []string{bad, good}, anyOf(s) || s.Key != "" && s.List != ""},
			{"a good one and an empty one", []string{good, ""}, anyOf(s) && s.List != " " || s.Kind == "basic"},
		} {
			q := signedBy(t, d)
			q.Header[name] = c.values
			if _, err := d.Verifier.Verify(q, testNow); (err == nil) != c.good {
				t.Errorf("%s: %s: %v, accepted should be %v", d.Name, c.name, err, c.good)
			}
		}
		if len(s.Header) > 1 && !s.AllHeaders {
			refuses(t, d, attack{"a bad one before, of the other name", func(q *verify.Request) {
				q.Header.Set(s.Header[1], q.Header.Get(name))
				q.Header.Set(name, bad)
			}})
		}
	}
}

func coversBody(s verify.Scheme) bool {
	kind, ok := coversWhole(s)
	return ok && kind != "sorted_form" && kind != "whole"
}

func TestAProofThatStandsTwiceInQueryFormOrJSONIsNotGuessedAt(t *testing.T) {
	t.Parallel()
	seen := 0
	for _, d := range allDoors(t) {
		s := d.Scheme
		good := d.Text(signedBy(t, d))
		var list []attack
		switch {
		case s.Query != "":
			list = append(list, attack{"a bad one before", func(q *verify.Request) { q.Query[s.Query] = []string{zeros(d, good), good} }})
		case s.Form != "":
			list = attacksOnField(s.Form)
		case s.JSON != "":
			name := s.JSON[strings.LastIndex(s.JSON, ".")+1:]
			list = append(list,
				attack{"a bad one before", func(q *verify.Request) {
					q.Body = []byte(strings.Replace(string(q.Body), `"`+name+`":`, `"`+name+`":"x","`+name+`":`, 1))
				}},
				attack{"a bad one behind", func(q *verify.Request) { q.Body = doubledBehind(q.Body, name, `"`+name+`":"x",`) }},
			)
		}
		seen += len(list)
		refuses(t, d, list...)
	}
	if seen < 10 {
		t.Errorf("only %d attacks; places in the body are not attacked", seen)
	}
}

// The same secret may protect several providers' sources. Secrets that all forms
// can read, so that most of the records share them.
var common = []string{
	"6f8d2a1c4b7e9035d8c1f2a4b6e8097153cadbef12345678901234567890abcd",
	"whsec_6f8d2a1c4b7e9035d8c1f2a4b6e8097153cadbef12345678901234567890abcd",
}

// crossed is a door set up with a common secret, and what it makes of the body.
type crossed struct {
	d    *verifytest.Door
	v    *verify.Verifier
	good *verify.Request
	sig  []byte
	same string // what it signs with what, in full
	// takes is the same for all schemes that read this header so.
	takes []string
}

// A signature of another record over the same body with the same secret counts
// where both sign the same with the same, and nowhere else. Which do so is found
// by comparing what they are made of.
func TestASignatureOfAnotherProviderCountsOnlyWhereBothSignAlike(t *testing.T) {
	t.Parallel()
	for _, secret := range common {
		var list []crossed
		for _, d := range allDoors(t) {
			if c, ok := cross(t, d, secret); ok {
				list = append(list, c)
			}
		}
		alike, pairs := 0, 0
		for _, of := range list {
			for _, at := range list {
				if of.d == at.d {
					continue
				}
				q := verifytest.Clone(at.good)
				if err := at.d.Rewrite(q, func(text string) string { return lead(at.d, text) + encoded(at.d.Scheme.Encoding, of.sig) }); err != nil {
					t.Fatal(err)
				}
				_, err := at.v.Verify(q, testNow)
				must, may := of.same == at.same, slices.Contains(at.takes, of.same)
				if err != nil && must || err == nil && !must && !may {
					t.Errorf("a signature of %s at %s: %v, accepted should be %v", of.d.Name, at.d.Name, err, must)
				}
				pairs++
				if of.same == at.same {
					alike++
				}
			}
		}
		t.Logf("%d pairs, %d sign alike", pairs, alike)
		if alike == 0 || pairs < 1000 {
			t.Errorf("%d pairs, %d sign alike: this tests nothing", pairs, alike)
		}
	}
}

func cross(t *testing.T, d *verifytest.Door, secret string) (c crossed, ok bool) {
	t.Helper()
	s := d.Scheme
	if plain(s) || s.Kind == "jwt" || s.Each != "" || s.Whole {
		return c, false // they hold a secret or a body, and no bare signature of one
	}
	if d.Private != nil {
		secret = d.Secret // the key pair is shared as it is
	}
	v, err := d.Compile(secret, nil)
	if err != nil {
		return c, false // the form or the prefix of the secret is another
	}
	forger, err := d.Forger(secret, nil)
	if err != nil {
		return c, false
	}
	q := d.Request("evt_1", testNow)
	q.Method, q.Body = http.MethodPost, []byte(`{"id":"evt_1","type":"common","Type":"Notification","SignatureVersion":"2","Timestamp":"2026-11-18T11:06:40Z"}`)
	if slices.ContainsFunc(contentOf(s), func(t [2]string) bool { return slices.Contains([]string{"json", "form", "lines", "sorted_form"}, t[0]) }) || s.JSON != "" || s.Form != "" {
		q.Body = d.Request("evt_1", testNow).Body // of its own making, so signed by no other
	}
	if err := d.SignAs(forger, q, "evt_1", testNow); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(q, testNow); err != nil {
		return c, false // the record chooses another scheme for this secret
	}
	text := d.Text(q)
	sig, err := decoded(s.Encoding, text[len(lead(d, text)):])
	if err != nil {
		t.Fatalf("%s: %v", d.Name, err)
	}
	c = crossed{d: d, v: v, good: q, sig: sig, same: fingerprint(s, secret, q)}
	for _, other := range d.Record.Schemes {
		if slices.Equal(other.Header, s.Header) && cmp.Or(other.Encoding, "hex") == cmp.Or(s.Encoding, "hex") {
			c.takes = append(c.takes, fingerprint(other, secret, q))
		}
	}
	if d.Record.Generic {
		c.takes = []string{c.same}
	}
	return c, true
}

// fingerprint is all that makes a signature: which function of which key, over what.
func fingerprint(s verify.Scheme, secret string, q *verify.Request) string {
	key := secret
	switch form := s.SecretForm; {
	case strings.HasPrefix(form, "whsec") && (form == "whsec" || strings.HasPrefix(secret, "whsec_")):
		key = "base64 of " + strings.TrimPrefix(secret, "whsec_")
	case slices.Contains([]string{"ed25519", "ecdsa", "rsa"}, s.Kind):
		key = "the pair" // one for all of a kind, however it is written
	case form == "base64":
		key = "base64 of " + secret
	case form == "hex", form == "sha1":
		key = form + " of " + secret
	}
	content := cmp.Or(s.Content, "{body}")
	if s.BodyHash != nil {
		content += " with a hash"
	}
	unit := ""
	if strings.Contains(content, "{ts}") {
		unit = cmp.Or(s.TimeUnit, "s")
	}
	body := ""
	if strings.Contains(content, "{") {
		body = string(q.Body)
	}
	hash := cmp.Or(s.Hash, "sha256")
	if s.Kind == "ed25519" {
		hash = ""
	}
	return fmt.Sprintf("%s %s %q %q %s %q %q", s.Kind, hash, key, content, unit, body, q.URL)
}

func TestAnotherSecretAndTheWrongHalfOfAPairAreRefused(t *testing.T) {
	t.Parallel()
	for _, d := range allDoors(t) {
		others := []string{d.Secret + "x", "x" + d.Secret, strings.ToUpper(d.Secret), "no-secret-provided", "\x00", "null", "undefined", d.Record.Name, "whsec_AAAA", strings.Repeat("0", 64)}
		if d.Scheme.Kind == "jwt" {
			others = append(others, strings.Repeat("\x00", 64), d.Secret+"\n")
		}
		if user, password, ok := strings.Cut(d.Secret, ":"); ok {
			others = append(others, password+":"+user, user+":", ":"+password, user+":"+password+":", user+": "+password, ":")
		}
		tried := 0
		for _, o := range d.Record.Options {
			others = append(others, d.Params[o.Name]...)
		}
		for _, other := range others {
			if d.Private != nil || other == d.Secret || d.Scheme.SecretForm == "hex" && strings.EqualFold(other, d.Secret) {
				continue
			}
			forger, err := d.Forger(other, nil)
			if err != nil {
				continue // it is none that this scheme could have
			}
			q := d.Request("evt_1", testNow)
			if err := d.SignAs(forger, q, "evt_1", testNow); err != nil {
				t.Fatal(err)
			}
			tried++
			if _, err := d.Verifier.Verify(q, testNow); !errors.Is(err, verify.ErrRejected) {
				t.Errorf("%s: signed with %q: %v, want a refusal", d.Name, other, err)
			}
		}
		if tried == 0 && d.Private == nil {
			t.Errorf("%s: no other secret was tried", d.Name)
		}
	}
}

func TestAnotherKeyPairOfTheSameKindIsRefused(t *testing.T) {
	t.Parallel()
	for _, d := range allDoors(t) {
		if d.Private == nil || d.Scheme.Kind == "rsa" || d.Scheme.Algorithms != nil && d.Scheme.Algorithms[0] == "RS256" {
			continue // RSA keys take long to make; engines of all kinds are tested in verify
		}
		other := *d
		only := *d.Record
		only.Schemes = []verify.Scheme{d.Scheme}
		var err error
		if other.Private, err = only.NewKey(nil); err != nil {
			t.Fatal(err)
		}
		q, err := other.Signed("evt_1", testNow)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.Verifier.Verify(q, testNow); !errors.Is(err, verify.ErrRejected) {
			t.Errorf("%s: signed with another key: %v", d.Name, err)
		}
	}
}

func TestEveryOptionThatIsProvenWithIsProvenWith(t *testing.T) {
	t.Parallel()
	for _, d := range allDoors(t) {
		s := d.Scheme
		proof := s.Content + d.Record.Schemes[0].Prefix + fmt.Sprint(s.Claims)
		for _, o := range d.Record.Options {
			if !strings.Contains(proof, "{option:"+o.Name+"}") && !slices.Contains(pins(s), o.Name) {
				continue
			}
			v, err := d.Compile(d.Secret, map[string][]string{o.Name: {"another"}})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := v.Verify(signedBy(t, d), testNow); !errors.Is(err, verify.ErrRejected) {
				t.Errorf("%s: another %s: %v, want a refusal", d.Name, o.Name, err)
			}
		}
	}
}

func pins(s verify.Scheme) (names []string) {
	for _, option := range s.Pins {
		names = append(names, option)
	}
	return names
}

func TestASecretThatIsEmptyBlankOrMissingDoesNotCompile(t *testing.T) {
	t.Parallel()
	for _, d := range allDoors(t) {
		for _, secret := range []string{"", " ", "\t\r\n", "\u00a0", ":", " : "} {
			if strings.Contains(secret, ":") && d.Scheme.Kind != "basic" {
				continue // a colon is a bad secret, and one all the same
			}
			if _, err := d.Compile(secret, nil); !errors.Is(err, verify.ErrConfig) {
				t.Errorf("%s with secret %q: %v, want an error", d.Name, secret, err)
			}
			o := verify.Options{Secrets: []verify.Secret{verify.NewSecret(d.Secret), verify.NewSecret(secret)}, Params: d.Params}
			if _, err := d.Record.Compile(o); !errors.Is(err, verify.ErrConfig) {
				t.Errorf("%s with a good secret and %q: %v, want an error", d.Name, secret, err)
			}
			if _, err := d.Verifier.Verify(signedBy(t, d), testNow, verify.NewSecret(secret)); !errors.Is(err, verify.ErrNoSecret) {
				t.Errorf("%s with a request's own secret %q: %v", d.Name, secret, err)
			}
		}
		if _, err := d.Record.Compile(verify.Options{Params: d.Params}); d.Scheme.Keys == nil && !errors.Is(err, verify.ErrConfig) {
			t.Errorf("%s without a secret: %v, want an error", d.Name, err)
		}
	}
}

// While a secret is changed, two are configured: either proves, and tells which it
// was; a third does not.
func TestOfTwoSecretsEitherProvesAndTheVerdictTellsWhich(t *testing.T) {
	t.Parallel()
	tried := 0
	for _, d := range allDoors(t) {
		if d.Private != nil {
			continue
		}
		second := d.Secret[:len(d.Secret)-2] + map[bool]string{true: "00", false: "AA"}[d.Scheme.SecretForm == "hex"]
		third := d.Secret[:len(d.Secret)-2] + map[bool]string{true: "11", false: "BB"}[d.Scheme.SecretForm == "hex"]
		v, err := d.Record.Compile(verify.Options{Secrets: []verify.Secret{verify.NewSecret(second), verify.NewSecret(d.Secret)}, Params: d.Params})
		if err != nil {
			t.Fatalf("%s: %v", d.Name, err)
		}
		tried++
		digests := map[string]bool{}
		for i, secret := range []string{second, d.Secret, third} {
			forger, err := d.Forger(secret, nil)
			if err != nil {
				t.Fatalf("%s: %v", d.Name, err)
			}
			q := d.Request("evt_1", testNow)
			if err := d.SignAs(forger, q, "evt_1", testNow); err != nil {
				t.Fatal(err)
			}
			verdict, err := v.Verify(q, testNow)
			if good := i < 2; (err == nil) != good || good && verdict.Secret != i {
				t.Errorf("%s: secret %d: %+v, %v", d.Name, i, verdict, err)
			}
			digests[verdict.Digest] = true
		}
		if len(digests) != 3 || !digests[""] {
			t.Errorf("%s: the digests are %v", d.Name, digests)
		}
	}
	if tried < 100 {
		t.Errorf("only %d doors tried", tried)
	}
}
