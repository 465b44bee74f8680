package providers_test

import (
	"crypto"
	"crypto/rand"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/verify"
	"github.com/caddy-webhooks/caddy-webhooks/verify/providers"
)

func TestEveryRecordIsCompleteAndItsNamesAreItsOwn(t *testing.T) {
	t.Parallel()
	owner := map[string]string{}
	for _, r := range providers.All() {
		for _, name := range append([]string{r.Name}, r.Aliases...) {
			if other, taken := owner[name]; taken {
				t.Errorf("%s is a name of both %s and %s", name, other, r.Name)
			}
			owner[name] = r.Name
		}
		if r.Title == "" || len(r.Schemes) == 0 {
			t.Errorf("%s has no title or no scheme", r.Name)
		}
		if !r.Generic && (r.Docs == "" || r.Retries == "" || len(r.Sources) == 0 || (len(r.ID) == 0) == (r.Unnamed == "") || len(r.Facts) == 0) {
			t.Errorf("%s lacks docs, retries, sources, facts or an ID", r.Name)
		}
		for _, p := range append(r.ID, verify.Pick{In: "header", Names: []string{"X"}}) {
			if p.In != "header" && p.In != "json" && p.In != "query" && p.In != "body" {
				t.Errorf("%s: ID in %q", r.Name, p.In)
			}
		}
	}
}

// secretFor gives a secret of the form that a provider wants.
func secretFor(r *verify.Record) string {
	s := r.Schemes[0]
	switch {
	case s.Kind == "basic":
		return "user:password"
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

var paramsFor = map[string]map[string][]string{
	"hmac": {"header": {"X-Signature"}, "prefix": {"sha256="}}, "token": {"header": {"X-Token"}},
	"ed25519": {"header": {"X-Signature"}},
}

// optionsFor fills in what the operator has to configure besides the secret.
func optionsFor(r *verify.Record) map[string][]string {
	params := maps.Clone(paramsFor[r.Name])
	for _, o := range r.Options {
		if params == nil {
			params = map[string][]string{}
		}
		params[o.Name] = []string{"configured"}
	}
	return params
}

var testNow = time.Unix(1_795_000_000, 0)

type fixture struct {
	v       *verify.Verifier
	private crypto.Signer
	timed   bool
}

func compile(t testing.TB, r *verify.Record) fixture {
	t.Helper()
	var f fixture
	secret := secretFor(r)
	if _, only := r.KeyKind(); only {
		var err error
		if f.private, err = r.NewKey(rand.Reader); err == nil {
			secret, err = r.PublicKey(f.private.Public())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	o := verify.Options{Secrets: []verify.Secret{verify.NewSecret(secret)}, Params: optionsFor(r)}
	if r.Schemes[0].Kind == "none" {
		o.Secrets = nil
	}
	v, err := r.Compile(o)
	if err != nil {
		t.Fatalf("%s: %v", r.Name, err)
	}
	f.v = v
	f.timed = r.Schemes[0].Tolerance > 0
	return f
}

// bodyFor gives a body with what the first scheme looks for in it.
func bodyFor(r *verify.Record) string {
	switch first := r.Schemes[0]; {
	case first.Form != "":
		return "payload=x&bt_payload=PGE%2B"
	case first.Each != "":
		return `{"notificationItems":[{"NotificationRequestItem":{"pspReference":"1","eventCode":"X","success":"true"}}]}`
	}
	return `{"id":"evt_1","webhookTimestamp":1795000000000,"signature":{"timestamp":"1795000000","token":"t"},"é":1}`
}

func (f fixture) signed(t *testing.T) *verify.Request {
	t.Helper()
	req := &verify.Request{
		Method: http.MethodPost, URL: "https://hooks.example.com/x", Header: http.Header{}, Query: url.Values{},
		Body: []byte(bodyFor(f.v.Record())),
	}
	var err error
	if f.private != nil {
		err = f.v.SignKey(req, f.private, testNow, "msg_1")
	} else {
		err = f.v.Sign(req, testNow, "msg_1")
	}
	if err != nil {
		t.Fatal(err)
	}
	return req
}

func TestEveryProviderProvesWhatItSignedAndNothingElse(t *testing.T) {
	t.Parallel()
	for _, r := range providers.All() {
		if r.Name == "none" {
			continue
		}
		t.Run(r.Name, func(t *testing.T) {
			t.Parallel()
			f := compile(t, r)
			if err := f.v.Precheck(http.MethodPost, f.signed(t).Header); err != nil {
				t.Fatalf("precheck: %v", err)
			}
			verdict, err := f.v.Verify(f.signed(t), testNow)
			if err != nil || verdict.Secret != 0 || verdict.Digest == "" {
				t.Fatalf("a good request: %+v, %v", verdict, err)
			}
			for name, spoil := range attacks {
				req := f.signed(t)
				if !spoil(req, r) {
					continue
				}
				if _, err := f.v.Verify(req, testNow); !errors.Is(err, verify.ErrRejected) {
					t.Errorf("%s: %v, want a refusal", name, err)
				}
			}
			if !f.timed {
				return
			}
			s := r.Schemes[0]
			for offset, want := range map[time.Duration]error{
				s.Tolerance: nil, s.Tolerance + time.Second: verify.ErrExpired, -s.Future: nil, -s.Future - time.Second: verify.ErrFuture,
			} {
				if _, err := f.v.Verify(f.signed(t), testNow.Add(offset)); !errors.Is(err, want) {
					t.Errorf("at %v: %v, want %v", offset, err, want)
				}
			}
		})
	}
}

// attacks spoil a signed request; false where that makes no sense.
var attacks = map[string]func(*verify.Request, *verify.Record) bool{
	"no headers": func(q *verify.Request, r *verify.Record) bool { q.Header = http.Header{}; return !inBody(r) },
	"empty signature": func(q *verify.Request, r *verify.Record) bool {
		return setSignature(q, r, func(string) string { return "" })
	},
	"only the prefix": func(q *verify.Request, r *verify.Record) bool {
		return r.Schemes[0].Prefix != "" && setSignature(q, r, func(string) string { return r.Schemes[0].Prefix })
	},
	"truncated signature": func(q *verify.Request, r *verify.Record) bool {
		return setSignature(q, r, func(v string) string { return v[:len(v)-4] })
	},
	"longer signature": func(q *verify.Request, r *verify.Record) bool {
		return setSignature(q, r, func(v string) string { return v + "00ff" })
	},
	"huge signature": func(q *verify.Request, r *verify.Record) bool {
		return setSignature(q, r, func(v string) string { return strings.Repeat(v+",", 4000) })
	},
	"a flipped bit in the body": func(q *verify.Request, r *verify.Record) bool {
		q.Body = append([]byte(nil), q.Body...)
		q.Body[8] ^= 1
		return coversBody(r)
	},
	"an empty body": func(q *verify.Request, r *verify.Record) bool {
		q.Body = nil
		return coversBody(r) || inBody(r)
	},
	"another timestamp": func(q *verify.Request, r *verify.Record) bool {
		if len(r.Schemes[0].TimeHeader) == 0 {
			return false
		}
		q.Header.Set(r.Schemes[0].TimeHeader[0], "1795000001")
		return true
	},
	"no timestamp": func(q *verify.Request, r *verify.Record) bool {
		if len(r.Schemes[0].TimeHeader) == 0 {
			return false
		}
		q.Header.Del(r.Schemes[0].TimeHeader[0])
		return true
	},
	"another ID": func(q *verify.Request, r *verify.Record) bool {
		if len(r.Schemes[0].IDHeader) == 0 {
			return false
		}
		q.Header.Set(r.Schemes[0].IDHeader[0], "msg_2")
		return true
	},
}

func inBody(r *verify.Record) bool { return r.Schemes[0].JSON != "" || r.Schemes[0].Form != "" }

func coversBody(r *verify.Record) bool {
	return r.Uncovered == "" && !slices.Contains([]string{"token", "basic", "none"}, r.Schemes[0].Kind)
}

func setSignature(q *verify.Request, r *verify.Record, f func(string) string) bool {
	name, first := "Authorization", r.Schemes[0]
	switch p := paramsFor[r.Name]["header"]; {
	case first.JSON != "" || first.Form != "" || first.Query != "":
		return false
	case len(first.Header) > 0:
		name = first.Header[0]
	case len(p) > 0:
		name = p[0]
	}
	q.Header.Set(name, f(q.Header.Get(name)))
	return true
}

func TestASecretThatIsEmptyOrMissingDoesNotCompile(t *testing.T) {
	t.Parallel()
	for _, r := range providers.All() {
		if r.Name == "none" {
			continue
		}
		for name, secrets := range map[string][]verify.Secret{
			"none": nil, "empty": {verify.NewSecret("")}, "blank": {verify.NewSecret(" \n")},
			"one good, one empty": {verify.NewSecret(secretFor(r)), verify.NewSecret("")},
		} {
			if _, err := r.Compile(verify.Options{Secrets: secrets, Params: optionsFor(r)}); !errors.Is(err, verify.ErrConfig) {
				t.Errorf("%s with %s secret: %v, want an error", r.Name, name, err)
			}
		}
	}
}

func TestAMisspeltProviderIsSuggested(t *testing.T) {
	t.Parallel()
	for wrote, meant := range map[string]string{"strype": "stripe", "git-hub": "github", "standardwebhooks": "standard-webhooks", "Slack": "slack"} {
		if got := providers.Suggest(wrote); got != meant {
			t.Errorf("%s: suggested %q, want %q", wrote, got, meant)
		}
	}
	if got := providers.Suggest("zzzzzzzzzzzzzzzz"); got != "" {
		t.Errorf("nonsense suggested %q", got)
	}
}
