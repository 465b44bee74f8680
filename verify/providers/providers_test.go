package providers_test

import (
	"crypto/ed25519"
	"errors"
	"net/http"
	"net/url"
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
		if !r.Generic && (r.Docs == "" || r.Retries == "" || len(r.Sources) == 0 || len(r.ID) == 0 || len(r.Facts) == 0) {
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

var testNow = time.Unix(1_795_000_000, 0)

type fixture struct {
	v       *verify.Verifier
	private ed25519.PrivateKey
	timed   bool
}

func compile(t *testing.T, r *verify.Record) fixture {
	t.Helper()
	var f fixture
	secret := secretFor(r)
	if r.Schemes[0].Kind == "ed25519" {
		var public ed25519.PublicKey
		public, f.private, _ = ed25519.GenerateKey(nil)
		secret = r.PublicKey(public)
	}
	o := verify.Options{Secrets: []verify.Secret{verify.NewSecret(secret)}, Params: paramsFor[r.Name]}
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

func (f fixture) signed(t *testing.T) *verify.Request {
	t.Helper()
	req := &verify.Request{
		Method: http.MethodPost, URL: "https://hooks.example.com/x", Header: http.Header{}, Query: url.Values{},
		Body: []byte(`{"id":"evt_1","webhookTimestamp":1795000000000,"é":1}`),
	}
	var err error
	if f.private != nil {
		err = f.v.SignEd25519(req, f.private, testNow, "msg_1")
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
	"no headers": func(q *verify.Request, _ *verify.Record) bool { q.Header = http.Header{}; return true },
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
		return r.Schemes[0].Kind == "hmac" || r.Schemes[0].Kind == "ed25519"
	},
	"an empty body": func(q *verify.Request, r *verify.Record) bool {
		q.Body = nil
		return r.Schemes[0].Kind == "hmac" || r.Schemes[0].Kind == "ed25519"
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

func setSignature(q *verify.Request, r *verify.Record, f func(string) string) bool {
	name := "Authorization"
	if len(r.Schemes[0].Header) > 0 {
		name = r.Schemes[0].Header[0]
	} else if p := paramsFor[r.Name]["header"]; len(p) > 0 {
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
			if _, err := r.Compile(verify.Options{Secrets: secrets, Params: paramsFor[r.Name]}); !errors.Is(err, verify.ErrConfig) {
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
