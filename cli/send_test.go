package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/caddy-webhooks/caddy-webhooks/verify"
	"github.com/caddy-webhooks/caddy-webhooks/verify/providers"
	"github.com/caddy-webhooks/caddy-webhooks/verify/verifytest"
)

// webhooks runs `caddy webhooks` with arguments, and gives what it printed.
func webhooks(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	return webhooksReading(t, "", args...)
}

func webhooksReading(t *testing.T, stdin string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	cmd := &cobra.Command{Use: "webhooks"}
	build(cmd)
	var out, errs bytes.Buffer
	cmd.SetArgs(args)
	cmd.SetIn(strings.NewReader(stdin))
	cmd.SetOut(&out)
	cmd.SetErr(&errs)
	err = cmd.ExecuteContext(t.Context())
	return out.String(), errs.String(), err
}

// receiver is a provider's other side: it verifies what comes, with the record
// that the gateway uses.
type receiver struct {
	*httptest.Server
	mu       sync.Mutex
	verifier *verify.Verifier
	got      []*http.Request
	bodies   []string
	refusals []error
}

func receive(t *testing.T, provider string, o verify.Options) *receiver {
	t.Helper()
	r := new(receiver)
	if o.Secrets != nil || provider == "none" {
		r.trust(t, provider, o)
	}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) trust(t *testing.T, provider string, o verify.Options) {
	t.Helper()
	record, ok := providers.Get(provider)
	if !ok {
		t.Fatalf("no provider %s", provider)
	}
	v, err := record.Compile(o)
	if err != nil {
		t.Fatal(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.verifier = v
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	body, err := io.ReadAll(req.Body)
	if err == nil && r.verifier != nil {
		_, err = r.verifier.Verify(&verify.Request{
			Method: req.Method, URL: r.URL + req.URL.RequestURI(), Header: req.Header, Query: req.URL.Query(), Body: body,
		}, time.Now())
	}
	r.got, r.bodies = append(r.got, req), append(r.bodies, string(body))
	if err != nil {
		r.refusals = append(r.refusals, err)
		w.Header().Set("Webhook-Status", "rejected")
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	w.Header().Set("Webhook-Status", "accepted")
	w.Header().Set("Webhook-Event-Id", "01a208c1-2273-78b6-b2b3-3f9bb56ab108")
}

// sender is a provider that signs with a secret, and how `send` and the
// receiver are configured for it.
type sender struct {
	secret string
	args   []string
	params map[string][]string
}

func senders() map[string]sender {
	all := map[string]sender{}
	for _, r := range providers.All() {
		if _, pair := r.KeyKind(); pair || r.Name == "none" {
			continue
		}
		s := sender{secret: verifytest.Secret(r), params: verifytest.Params(r)}
		for name, values := range s.params {
			s.args = append(s.args, "--option", name+"="+values[0])
		}
		all[r.Name] = s
	}
	return all
}

func TestEveryProvidersWebhookIsSignedAsItWould(t *testing.T) {
	t.Parallel()
	for provider, s := range senders() {
		t.Run(provider, func(t *testing.T) {
			t.Parallel()
			r := receive(t, provider, verify.Options{Secrets: []verify.Secret{verify.NewSecret(s.secret)}, Params: s.params})
			args := append([]string{"send", provider, r.URL + "/hook?x=%20b&a=1", "--secret", s.secret}, s.args...)
			out, _, err := webhooks(t, args...)
			if err != nil || !regexp.MustCompile(`^200 accepted 01a208c1-2273-78b6-b2b3-3f9bb56ab108 [0-9.]+[mµn]?s\n$`).MatchString(out) {
				t.Errorf("%q, %v, refused: %v", out, err, r.refusals)
			}
			if got := r.got[0].URL.RawQuery; !strings.HasPrefix(got, "x=%20b&a=1") {
				t.Errorf("the query was rewritten to %s", got)
			}
			if _, err := url.ParseQuery(r.bodies[0]); !json.Valid([]byte(r.bodies[0])) && (err != nil || !strings.Contains(r.bodies[0], "=")) {
				t.Errorf("the sample is neither JSON nor a form: %s", r.bodies[0])
			}
			out, _, err = webhooks(t, append(args, "--bad")...)
			if err != nil || !strings.HasPrefix(out, "401 rejected ") || len(r.refusals) != 1 {
				t.Fatalf("with --bad: %q, %v", out, err)
			}
			if !errors.Is(r.refusals[0], verify.ErrMismatch) && !errors.Is(r.refusals[0], verify.ErrFormat) {
				t.Errorf("with --bad it is refused for another reason: %v", r.refusals[0])
			}
		})
	}
}

func TestATokenInTheQueryIsSentAndSpoiled(t *testing.T) {
	t.Parallel()
	r := receive(t, "token", verify.Options{
		Secrets: []verify.Secret{verify.NewSecret("s3cret")}, Params: map[string][]string{"query": {"token"}},
	})
	args := []string{"send", "token", r.URL + "/?a=1", "--secret", "s3cret", "--option", "query=token"}
	if out, _, err := webhooks(t, args...); err != nil || r.got[0].URL.Query().Get("token") != "s3cret" || r.got[0].URL.Query().Get("a") != "1" {
		t.Errorf("%q, %v, refused: %v", out, err, r.refusals)
	}
	if out, _, err := webhooks(t, append(args, "--bad")...); err != nil || !strings.HasPrefix(out, "401 ") {
		t.Errorf("with --bad: %q, %v", out, err)
	}
}

func TestAProviderWithItsOwnKeyGetsAThrowAwayPair(t *testing.T) {
	t.Parallel()
	for provider, args := range map[string][]string{
		"discord": nil, "standard-webhooks": {"--key", strings.Repeat("0f", 32)},
		"ed25519": {"--option", "header=X-Signature"},
	} {
		t.Run(provider, func(t *testing.T) {
			t.Parallel()
			r := receive(t, provider, verify.Options{})
			args := append([]string{"send", provider, r.URL}, args...)
			out, notes, err := webhooks(t, args...)
			if err != nil || !strings.HasPrefix(out, "200 ") {
				t.Fatalf("%q, %v", out, err)
			}
			key := regexp.MustCompile(`^public key for the configuration: (\S+)\nthe same pair again: --key ([0-9a-f]{64})\n$`).FindStringSubmatch(notes)
			if key == nil {
				t.Fatalf("no key is printed: %q", notes)
			}
			o := verify.Options{Secrets: []verify.Secret{verify.NewSecret(key[1])}}
			if provider == "ed25519" {
				o.Params = map[string][]string{"header": {"X-Signature"}}
			}
			r.trust(t, provider, o)
			if !slices.Contains(args, "--key") {
				args = append(args, "--key", key[2])
			}
			if out, again, err := webhooks(t, args...); err != nil || again != notes || !strings.HasPrefix(out, "200 ") {
				t.Errorf("with the same pair: %q, %q, %v, refused: %v", out, again, err, r.refusals)
			}
			if out, _, err := webhooks(t, append(args, "--bad")...); err != nil || !strings.HasPrefix(out, "401 ") {
				t.Errorf("with --bad: %q, %v", out, err)
			}
		})
	}
}

func github(t *testing.T) *receiver {
	t.Helper()
	return receive(t, "github", verify.Options{Secrets: []verify.Secret{verify.NewSecret("s3cret")}})
}

func TestRepeatSendsDuplicatesAndCountDifferentEvents(t *testing.T) {
	t.Parallel()
	r := github(t)
	out, _, err := webhooks(t, "send", "github", "--url", r.URL, "--secret", "s3cret", "--repeat", "2", "--count", "3")
	if err != nil || strings.Count(out, "200 accepted") != 6 {
		t.Fatalf("%s, %v", out, err)
	}
	ids := map[string]int{}
	for _, req := range r.got {
		ids[req.Header.Get("X-GitHub-Delivery")]++
	}
	if got := slices.Collect(maps.Values(ids)); !slices.Equal(got, []int{2, 2, 2}) {
		t.Errorf("IDs: %v", ids)
	}
}

func TestABurstIsSentAtOnceAndEveryEventOfItCounts(t *testing.T) {
	t.Parallel()
	var gate sync.WaitGroup
	gate.Add(8)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		gate.Done() // eight are here together, else this hangs
		gate.Wait()
		w.Header().Set("Webhook-Status", "accepted")
	}))
	defer s.Close()
	out, _, err := webhooks(t, "send", "github", s.URL, "--secret", "s3cret", "--count", "8", "--parallel", "8")
	if err != nil || strings.Count(out, "200 accepted") != 8 {
		t.Errorf("%s, %v", out, err)
	}
}

func TestIDAndTypeAreWhereTheProviderHasThem(t *testing.T) {
	t.Parallel()
	for provider, where := range map[string]func(*http.Request, string) bool{
		"github": func(r *http.Request, _ string) bool {
			return r.Header.Get("X-GitHub-Delivery") == "ev\"1" && r.Header.Get("X-GitHub-Event") == "star"
		},
		"stripe": func(_ *http.Request, body string) bool {
			return strings.Contains(body, `"id":"ev\"1"`) && strings.Contains(body, `"type":"star"`)
		},
		"slack": func(_ *http.Request, body string) bool { return strings.Contains(body, `"event_id":"ev\"1"`) },
		"shopify": func(r *http.Request, _ string) bool {
			return r.Header.Get("X-Shopify-Event-Id") == "ev\"1" && r.Header.Get("X-Shopify-Topic") == "star" && r.Header.Get("X-Shopify-Shop-Domain") != ""
		},
	} {
		r := receive(t, provider, verify.Options{Secrets: []verify.Secret{verify.NewSecret("s3cret")}})
		_, _, err := webhooks(t, "send", provider, r.URL, "--secret", "s3cret", "--id", "ev\"1", "--type", "star")
		if err != nil || !json.Valid([]byte(r.bodies[0])) || !where(r.got[0], r.bodies[0]) {
			t.Errorf("%s: %v, %v, %s", provider, err, r.got[0].Header, r.bodies[0])
		}
	}
}

func TestAPayloadOfYourOwnIsSentByteForByte(t *testing.T) {
	t.Parallel()
	const own = " {\"id\" : \"ID\",\r\n\"SECONDS\":1}\n"
	file := filepath.Join(t.TempDir(), "payload")
	if err := os.WriteFile(file, []byte(own), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"--data", own}, {"--file", file}, {"--file", "-"}, {"--data", ""}} {
		r := github(t)
		want := own
		if args[1] == "" {
			want = ""
		}
		_, _, err := webhooksReading(t, own, append([]string{"send", "github", r.URL, "--secret", "s3cret"}, args...)...)
		if err != nil || r.bodies[0] != want {
			t.Errorf("%v: %q, %v", args, r.bodies, err)
		}
	}
}

func TestAnOldTimestampIsRefusedAsTooOld(t *testing.T) {
	t.Parallel()
	for _, provider := range []string{"stripe", "slack", "paddle", "linear", "standard-webhooks"} {
		secret := "whsec_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"
		r := receive(t, provider, verify.Options{Secrets: []verify.Secret{verify.NewSecret(secret)}})
		out, _, err := webhooks(t, "send", provider, r.URL, "--secret", secret, "--age", "10m")
		if err == nil || !strings.HasPrefix(out, "401 ") || !errors.Is(r.refusals[0], verify.ErrExpired) {
			t.Errorf("%s: %q, %v, refused: %v", provider, out, err, r.refusals)
		}
	}
}

func TestAnOpenDoorFailsTheTestWithABadSignature(t *testing.T) {
	t.Parallel()
	r := receive(t, "none", verify.Options{})
	out, _, err := webhooks(t, "send", "github", r.URL, "--secret", "s3cret", "--bad")
	if err == nil || !strings.Contains(err.Error(), "in spite of a wrong signature") {
		t.Errorf("%q, %v", out, err)
	}
}

func TestSendSpeaksJSONToo(t *testing.T) {
	t.Parallel()
	r := github(t)
	out, _, err := webhooks(t, "send", "github", r.URL, "--secret", "s3cret", "--json")
	var v struct {
		Status        int
		WebhookStatus string `json:"webhook_status"`
		Event         string
		Seconds       float64
	}
	if err != nil || json.Unmarshal([]byte(out), &v) != nil || v.Status != 200 || v.WebhookStatus != "accepted" || v.Event == "" || v.Seconds <= 0 {
		t.Errorf("%q, %v", out, err)
	}
}

func TestSendSaysWhatIsWrongWithItsArguments(t *testing.T) {
	t.Parallel()
	r := github(t)
	for args, want := range map[string]string{
		"githob URL --secret s":                   "did you mean github",
		"xyzzyxyzzy URL --secret s":               "providers",
		"github localhost --secret s":             "http://localhost:8080/github",
		"github ftp://x --secret s":               "http://localhost:8080/github",
		"github URL --url URL --secret s":         "twice",
		"github URL":                              "WEBHOOK_SECRET",
		"github URL --key 00":                     "--secret",
		"discord URL --secret 00":                 "--key",
		"discord URL --key 00":                    "64 hex digits",
		"discord URL --key xy":                    "key",
		"standard-webhooks URL --secret whsec_!":  "base64",
		"github URL --secret s --count 0":         "begin at 1",
		"github URL --secret s --id a --count 2":  "--repeat",
		"github URL --secret s --data a --file b": "both",
		"github URL --secret s --file /no/such":   "no such file",
		"none URL --bad":                          "no signature",
		"hmac URL --secret s --option header":     "name=value",
		"github URL --secret s --option colour=x": "colour",
		"": "arg",
	} {
		list := append([]string{"send"}, strings.Fields(strings.ReplaceAll(args, "URL", r.URL))...)
		if out, _, err := webhooks(t, list...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %q, %v, want %s", args, out, err, want)
		}
	}
	if len(r.got) != 0 {
		t.Errorf("%d requests were made all the same", len(r.got))
	}
}

func TestNobodyListening(t *testing.T) {
	t.Parallel()
	r := github(t)
	r.Close()
	if _, _, err := webhooks(t, "send", "github", r.URL, "--secret", "s3cret"); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("%v", err)
	}
}

func TestTheSecretIsNotPrinted(t *testing.T) {
	t.Parallel()
	r := github(t)
	for _, args := range [][]string{{}, {"--bad"}, {"--option", "colour=x"}, {"--json"}} {
		out, errs, err := webhooks(t, append([]string{"send", "github", r.URL, "--secret", "s3cret"}, args...)...)
		if text := out + errs; strings.Contains(text, "s3cret") || err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%v: %s, %v", args, text, err)
		}
	}
}

func TestAMistypedCommandFails(t *testing.T) {
	t.Parallel()
	root := &cobra.Command{Use: "caddy"} // in Caddy it is not the root, which cobra would check by itself
	cmd := &cobra.Command{Use: "webhooks"}
	build(cmd)
	root.AddCommand(cmd)
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&out)
	root.SetArgs([]string{"webhooks", "repaly", "01a208c1-2273-78b6-b2b3-3f9bb56ab108"})
	if err := root.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), "repaly") {
		t.Errorf("%v", err)
	}
	root.SetArgs([]string{"webhooks"})
	if err := root.ExecuteContext(t.Context()); err != nil || !strings.Contains(out.String(), "Available Commands") {
		t.Errorf("%v", err)
	}
}

func TestEveryCommandHasHelpWithExamples(t *testing.T) {
	t.Parallel()
	cmd := &cobra.Command{Use: "webhooks"}
	build(cmd)
	names := []string{}
	for _, c := range cmd.Commands() {
		names = append(names, c.Name())
		if c.Short == "" || !strings.Contains(c.Example, "caddy webhooks "+c.Name()) {
			t.Errorf("%s has no example", c.Name())
		}
		out, _, err := webhooks(t, c.Name(), "--help")
		if err != nil || !strings.Contains(out, c.Example) {
			t.Errorf("%s --help: %s, %v", c.Name(), out, err)
		}
	}
	slices.Sort(names)
	if want := []string{"dashboard", "discard", "events", "export", "health", "import", "jobs", "learn", "listen", "move", "pause", "providers", "refused", "replay", "resume", "send", "show", "sources", "tail", "verify"}; !slices.Equal(names, want) {
		t.Errorf("commands %v, want %v", names, want)
	}
}
