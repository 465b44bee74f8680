package providers_test

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/dedup"
	"github.com/caddy-webhooks/caddy-webhooks/verify"
	"github.com/caddy-webhooks/caddy-webhooks/verify/providers"
	"github.com/caddy-webhooks/caddy-webhooks/verify/verifytest"
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
			if p.In != "header" && p.In != "json" && p.In != "query" && p.In != "form" && p.In != "body" {
				t.Errorf("%s: ID in %q", r.Name, p.In)
			}
		}
	}
}

var testNow = time.Unix(1_795_000_000, 0)

type fixture struct{ *verifytest.Sender }

func compile(t testing.TB, r *verify.Record) fixture {
	t.Helper()
	s, err := verifytest.New(r)
	if err != nil {
		t.Fatal(err)
	}
	return fixture{s}
}

func (f fixture) signed(t *testing.T) *verify.Request {
	t.Helper()
	req, err := f.Signed("evt_1", testNow)
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
			if err := f.Verifier.Precheck(http.MethodPost, f.signed(t).Header); err != nil {
				t.Fatalf("precheck: %v", err)
			}
			verdict, err := f.Verifier.Verify(f.signed(t), testNow)
			if err != nil || verdict.Secret != 0 || verdict.Digest == "" {
				t.Fatalf("a good request: %+v, %v", verdict, err)
			}
			for name, spoil := range attacks {
				req := f.signed(t)
				if !spoil(req, r) {
					continue
				}
				if _, err := f.Verifier.Verify(req, testNow); !errors.Is(err, verify.ErrRejected) {
					t.Errorf("%s: %v, want a refusal", name, err)
				}
			}
			if r.Schemes[0].Tolerance <= 0 {
				return
			}
			s := r.Schemes[0]
			for offset, want := range map[time.Duration]error{
				s.Tolerance: nil, s.Tolerance + time.Second: verify.ErrExpired, -s.Future: nil, -s.Future - time.Second: verify.ErrFuture,
			} {
				if _, err := f.Verifier.Verify(f.signed(t), testNow.Add(offset)); !errors.Is(err, want) {
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
		return coversBody(r) || inBody(r) && r.Schemes[0].Query == ""
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

func inBody(r *verify.Record) bool {
	return r.Schemes[0].Whole || r.Schemes[0].Query != "" || r.Schemes[0].JSON != "" || r.Schemes[0].Form != ""
}

func coversBody(r *verify.Record) bool {
	return r.Uncovered == "" && !slices.Contains([]string{"token", "basic", "none"}, r.Schemes[0].Kind)
}

func setSignature(q *verify.Request, r *verify.Record, f func(string) string) bool {
	name, first := "Authorization", r.Schemes[0]
	switch p := verifytest.Params(r)["header"]; {
	case first.Whole || first.JSON != "" || first.Form != "" || first.Query != "":
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
			"one good, one empty": {verify.NewSecret(verifytest.Secret(r)), verify.NewSecret("")},
		} {
			if secrets == nil && r.Schemes[0].Keys != nil {
				continue // the provider publishes its key
			}
			if _, err := r.Compile(verify.Options{Secrets: secrets, Params: verifytest.Params(r)}); !errors.Is(err, verify.ErrConfig) {
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

func TestASampleIsNamedAndTypedAsTheRecordSays(t *testing.T) {
	t.Parallel()
	for _, r := range providers.All() {
		if r.Name == "none" || len(r.ID) == 0 {
			continue
		}
		names := map[string]bool{}
		for _, id := range []string{"evt_1", "evt_1", "evt_2"} {
			q, err := compile(t, r).Signed(id, testNow)
			if err != nil {
				t.Fatal(err)
			}
			m := dedup.Message{Header: q.Header, Query: q.Query, Body: q.Body}
			named, ok := dedup.Identify(nil, r.ID, m)
			if !ok {
				t.Errorf("%s: nothing names %s", r.Name, q.Body)
			}
			names[named.ProviderID] = true
			if got := dedup.Value(r.Type, m); r.Type != nil && (r.Sample == nil || r.Sample.Type != "") && got != r.Kind() {
				t.Errorf("%s: the type of %s is %q", r.Name, q.Body, got)
			}
		}
		if len(names) != 2 {
			t.Errorf("%s: two events and a duplicate have the names %v", r.Name, names)
		}
	}
}

// Whatever a stranger can have signed by asking is refused as an event: else the
// handshake would sign forgeries.
func TestWhatAHandshakeSignsForAnybodyIsNoEvent(t *testing.T) {
	t.Parallel()
	signing := 0
	for _, r := range providers.All() {
		for _, h := range r.Handshakes {
			name, ok := strings.CutPrefix(strings.TrimSuffix(h.Answer.Mac, "}"), "{query:")
			if h.Signed || h.Answer.Mac == "" {
				continue
			}
			signing++
			if !ok || !strings.HasPrefix(h.Query[name], "~") {
				t.Errorf("%s signs %s for anybody, whatever it is", r.Name, h.Answer.Mac)
			}
		}
	}
	if signing == 0 {
		t.Fatal("no handshake signs; this test tests nothing")
	}
	x, _ := providers.Get("x")
	f := compile(t, x)
	q, err := f.Sign([]byte("challenge_string"), "1", testNow)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Verifier.Verify(q, testNow); !errors.Is(err, verify.ErrMismatch) {
		t.Errorf("a token that anybody can have signed: %v, want a refusal", err)
	}
}
