package words_test

import (
	"errors"
	"maps"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/caddy-webhooks/caddy-webhooks/verify"
	"github.com/caddy-webhooks/caddy-webhooks/verify/providers"
	"github.com/caddy-webhooks/caddy-webhooks/verify/verifytest"
	"github.com/caddy-webhooks/caddy-webhooks/verify/words"
)

var (
	testNow   = time.Unix(1_795_000_000, 0)
	muchLater = testNow.AddDate(1, 0, 0)
)

// said is a page as one text.
func said(r *verify.Record) string {
	var b strings.Builder
	for _, s := range words.Page(r) {
		b.WriteString("# " + s.Heading + "\n")
		for _, block := range s.Blocks {
			b.WriteString(block.Text + block.Code + strings.Join(block.Items, "\n") + "\n")
		}
	}
	return b.String()
}

func TestEveryPageIsWholeAndEveryTokenIsSaidInWords(t *testing.T) {
	t.Parallel()
	unsaid := regexp.MustCompile("`\\{[a-z_0-9]+(:[^}]*)?\\}`|%!|  \\n|, ,|\\.\\.$")
	for _, r := range providers.All() {
		for _, s := range words.Page(r) {
			if len(s.Blocks) == 0 {
				t.Errorf("%s: nothing below %q", r.Name, s.Heading)
			}
			for _, b := range s.Blocks {
				if b.Text == "" && b.Code == "" && len(b.Items) == 0 || slices.Contains(b.Items, "") {
					t.Errorf("%s: an empty block below %q", r.Name, s.Heading)
				}
			}
		}
		if found := unsaid.FindString(said(r)); found != "" && !r.Generic {
			t.Errorf("%s: %q in\n%s", r.Name, found, said(r))
		}
	}
}

// A field that a page does not speak of would make it say less than is verified.
func TestThePagesKnowEveryFieldOfARecord(t *testing.T) {
	t.Parallel()
	known := map[reflect.Type]string{
		reflect.TypeFor[verify.Record](): "Name Title Aliases Docs Generic Schemes Methods Options ID Type Unnamed Handshakes Learn Success Uncovered Sample MaxBody Retries Facts Sources",
		reflect.TypeFor[verify.Scheme](): "Kind Header AllHeaders Query JSON Form Whole Each Prefix List Key TimeKey Sets TimeFirst Optional Hash Encoding Content URLVariants BodyHash " +
			"Algorithms Claims TimeHeader TimeJSON TimeUnit IDHeader Tolerance Future SecretForm SecretPrefix NotSecretPrefix Require When Pins Keys",
		reflect.TypeFor[verify.Handshake](): "Name Signed Method Header Query JSON Form NoJSON Secret Answer",
		reflect.TypeFor[verify.Answer]():    "Status Type Body Echo JSON Header Mac Visit VisitHost VisitPath",
		reflect.TypeFor[verify.Learn]():     "Header JSON Pattern Show Answer",
		reflect.TypeFor[verify.BodyHash]():  "Query Claim Encoding",
		reflect.TypeFor[verify.Option]():    "Name About Required Secret Many",
		reflect.TypeFor[verify.Marks]():     "Header JSON",
		reflect.TypeFor[verify.KeySource](): "JWKS Certificate Host Path Names Chain Lookup Ask At",
	}
	for of, names := range known {
		for f := range of.Fields() {
			if !slices.Contains(strings.Fields(names), f.Name) {
				t.Errorf("%s.%s is new: have verify/words speak of it, then name it here", of, f.Name)
			}
		}
	}
}

func TestTheOptionsOfGenericSchemesAreAllExplained(t *testing.T) {
	t.Parallel()
	var pages strings.Builder
	for _, r := range providers.All() {
		if r.Generic {
			pages.WriteString(said(r))
		}
	}
	for _, name := range verify.Params() {
		if !strings.Contains(pages.String(), "\n`"+name+" ") {
			t.Errorf("no page of a generic scheme explains %s", name)
		}
	}
}

// What the pages say of late deliveries is tried out: an event is signed, and
// comes a year later.
func TestWhatIsSaidOfLateDeliveriesHolds(t *testing.T) {
	t.Parallel()
	seen := map[string]int{}
	for _, r := range providers.All() {
		if r.Generic {
			continue
		}
		s, err := verifytest.New(r)
		if err != nil {
			t.Fatal(err)
		}
		q, err := s.Signed("evt_1", testNow)
		if err != nil {
			t.Fatal(err)
		}
		seen[words.Renewal(r)]++
		_, late := s.Verifier.Verify(q, muchLater)
		renewed := verifytest.Clone(q)
		changed, err := s.Verifier.Renew(q, verify.Renewal{Now: muchLater, Received: testNow})
		maps.Copy(renewed.Header, changed)
		if err == nil {
			_, err = s.Verifier.Verify(renewed, muchLater)
		}
		again := err == nil && len(changed) > 0
		switch words.Renewal(r) {
		case "yes", "shared secret only":
			if !errors.Is(late, verify.ErrExpired) || !again {
				t.Errorf("%s: a year later: %v, signed anew: %v", r.Name, late, err)
			}
		case "no":
			if !errors.Is(late, verify.ErrExpired) || again {
				t.Errorf("%s: a year later: %v, signed anew: %v", r.Name, late, again)
			}
		case "not needed":
			if late != nil || len(changed) > 0 {
				t.Errorf("%s: a year later: %v, signed anew: %v", r.Name, late, changed)
			}
		default:
			t.Errorf("%s: %q", r.Name, words.Renewal(r))
		}
	}
	if len(seen) != 4 {
		t.Errorf("only these were tried: %v", seen)
	}
}

var notSigned = regexp.MustCompile("`([^`]+)`")

// Headers that name an event are changed: where the page says that they are not
// signed it is not noticed, else it is.
func TestWhatIsSaidOfUnsignedNamesHolds(t *testing.T) {
	t.Parallel()
	tried := map[bool]int{}
	for _, r := range providers.All() {
		if r.Generic || r.Schemes[0].Kind == "token" || r.Schemes[0].Kind == "basic" {
			continue
		}
		_, cover, _ := strings.Cut(said(r), "Of what names the event, ")
		cover, _, _ = strings.Cut(cover, "\n")
		var unsigned []string
		for _, found := range notSigned.FindAllStringSubmatch(cover, -1) {
			unsigned = append(unsigned, found[1])
		}
		for _, p := range r.ID {
			if p.In != "header" {
				continue
			}
			for name := range strings.SplitSeq(strings.Join(p.Names, "|"), "|") {
				s, err := verifytest.New(r)
				if err != nil {
					t.Fatal(err)
				}
				q, err := s.Signed("evt_1", testNow)
				if err != nil {
					t.Fatal(err)
				}
				if q.Header.Get(strings.TrimSuffix(name, "?")) == "" {
					continue
				}
				q.Header.Set(strings.TrimSuffix(name, "?"), "another")
				_, err = s.Verifier.Verify(q, testNow)
				free := slices.Contains(unsigned, strings.TrimSuffix(name, "?"))
				tried[free]++
				if (err == nil) != free {
					t.Errorf("%s: %s, said to be unsigned: %v, was changed: %v", r.Name, name, free, err)
				}
			}
		}
	}
	if tried[true] == 0 || tried[false] == 0 {
		t.Errorf("too little was tried: %v", tried)
	}
}

func TestTheFieldsHoldTheWholeRecordUnderItsOwnNames(t *testing.T) {
	t.Parallel()
	for _, r := range providers.All() {
		text, err := yaml.Marshal(words.Fields(r))
		if err != nil {
			t.Fatal(err)
		}
		again, err := providers.Decode(text)
		if err != nil || !reflect.DeepEqual(again, r) {
			t.Errorf("%s: %v, in\n%s", r.Name, err, text)
		}
	}
}

func TestEachWayToSignIsDescribed(t *testing.T) {
	t.Parallel()
	for name, lines := range map[string][]string{
		"stripe": {
			"Form: `t=<timestamp>,v1=<signature>`; there may be several signatures, separated by a comma, of which one has to fit.",
			"Signed: the timestamp, `.`, the body.", "at most 5 minutes old, and as much ahead of our clock.",
			"ID: JSON `id` and `account` (where present).",
		},
		"standard-webhooks": {"if the secret begins with `whpk_`", "base64, with or without `whsec_`", "ID: header `webhook-id`, else `svix-id`."},
		"aws-sns":           {"Common to all:", "for requests with JSON `SignatureVersion` = `2`", "from aws-sns {\n\t\t\ttopic {env.AWS_SNS_TOPIC}\n", "after the address in JSON `SubscribeURL` has been fetched"},
		"plaid":             {"`https://<environment>.plaid.com/webhook_verification_key/get`", "the claim `iat`, at most 5 minutes old, and 1 minute ahead"},
		"slack":             {"`url_verification`: POST with JSON `challenge` and JSON `type` = `url_verification`, proven like an event. It is answered 200 with JSON `challenge`."},
		"asana":             {"secret learn", "`caddy webhooks learn <source>`", "ID: none, so duplicates are not recognised."},
		"ms-graph":          {"An accepted event is answered 202", "`clientState` in the JSON body, in every item of `value`"},
		"github":            {"the header `X-GitHub-Delivery` is not signed. Whoever captures a request can change it and send it again as another event."},
		"mailgun":           {"its timestamp stands in the body"},
		"token":             {"Everything: the secret is sent, and nothing is signed."},
		"none":              {"Whoever knows the address can send events."},
		"meta":              {"parameter `hub.verify_token` equal to the option `verify_token`", "verify_token {env.META_VERIFY_TOKEN}"},
		"discord":           {"any age is accepted", "{env.DISCORD_PUBLIC_KEY}", "throw-away pair"},
		"x":                 {"`response_token` = `sha256=`, the HMAC of parameter `crc_token` with the source's first secret."},
		"gitlab":            {"With a token everything: it is sent", "the headers `Idempotency-Key` and `X-Gitlab-Event-UUID` are not signed. Whoever captures a request can change them"},
		"braintree":         {"`<public_key>|<signature>`"},
	} {
		r, ok := providers.Get(name)
		if !ok {
			t.Fatalf("no provider %s", name)
		}
		for _, line := range lines {
			if !strings.Contains(said(r), line) {
				t.Errorf("%s: no %q in\n%s", name, line, said(r))
			}
		}
	}
}

func TestAnswersAreDescribedAsTheyAreGiven(t *testing.T) {
	t.Parallel()
	for _, r := range providers.All() {
		status := http.StatusOK
		if r.Success != nil {
			status = r.Success.Status
		}
		if !strings.Contains(said(r), "An accepted event is answered "+strconv.Itoa(status)+" with") {
			t.Errorf("%s: not answered %d", r.Name, status)
		}
	}
}

func TestSizesAndDurationsAreRound(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{25 << 20: "25 MiB", 25_000_000: "25 MB", 256 << 10: "256 KiB", 5000: "5 kB", 1023: "1023 bytes"} {
		if got := words.Size(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{
		5 * time.Minute: "5 minutes", time.Hour: "1 hour", 90 * time.Second: "90 seconds", 48 * time.Hour: "2 days", time.Millisecond: "1ms",
	} {
		if got := words.Duration(d); got != want {
			t.Errorf("%s: %s, want %s", d, got, want)
		}
	}
}
