package providers_test

import (
	"errors"
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
