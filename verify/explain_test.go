package verify_test

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"crypto"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/caddy-webhooks/caddy-webhooks/verify"
	"github.com/caddy-webhooks/caddy-webhooks/verify/providers"
)

// accident is a request that is refused, and what is to be said of it.
type accident struct {
	name string
	// sender is how the provider signs, here is what is configured.
	sender, here *verify.Verifier
	// sent is signed, and what came of it on its way is checked.
	sent   *verify.Request
	onWay  func(*verify.Request)
	later  time.Duration
	others []verify.Peer
	former []verify.Peer
	reason string
	words  string
}

// diagnosed has the request signed, sent, refused and explained.
func (a accident) diagnosed(t *testing.T) verify.Diagnosis {
	t.Helper()
	if a.sender != nil {
		if err := a.sender.Sign(a.sent, noon, "msg_1"); err != nil {
			t.Fatal(a.name, err)
		}
	}
	if a.onWay != nil {
		a.onWay(a.sent)
	}
	at := noon.Add(a.later)
	err := a.here.Precheck(a.sent.Method, a.sent.Header)
	if err == nil {
		_, err = a.here.Verify(a.sent, at)
	}
	if err == nil {
		t.Fatalf("%s: it verifies", a.name)
	}
	return a.here.Explain(verify.Refusal{Request: a.sent, Err: err, Now: at, Others: a.others, Former: a.former})
}

func (a accident) check(t *testing.T) {
	t.Helper()
	d := a.diagnosed(t)
	if d.Reason != a.reason || !strings.Contains(d.Words, a.words) {
		t.Errorf("%s: %s: %q; want %s: …%q…", a.name, d.Reason, d.Words, a.reason, a.words)
	}
	if !slices.Contains(verify.Reasons(), d.Reason) {
		t.Errorf("%s: %q is none of the reasons", a.name, d.Reason)
	}
}

// becomes is what makes another body of the one that was sent.
func becomes(body string) func(*verify.Request) {
	return func(r *verify.Request) { r.Body = []byte(body) }
}

func TestABodyThatWasChangedOnItsWayIsRecognised(t *testing.T) {
	t.Parallel()
	github := verifier(t, "github", verify.Options{}, "sesame")
	slack := verifier(t, "slack", verify.Options{}, "sesame")
	var packed, deflated bytes.Buffer
	for w, to := range map[interface {
		Write([]byte) (int, error)
		Close() error
	}]string{gzip.NewWriter(&packed): "gzip", zlib.NewWriter(&deflated): "deflate"} {
		if _, err := w.Write([]byte(`{"a":1}`)); err != nil {
			t.Fatal(to, err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(to, err)
		}
	}
	for _, c := range []struct {
		v                  *verify.Verifier
		sent, comes, words string
	}{
		{github, `{}`, "{}\n", "with the trailing newline removed"},
		{github, "{}\n", "{}", "with a newline at the end"},
		{github, "{}\r\n", "{}\n", "with a line end (CR LF) at the end"},
		{github, `{}`, " {} \t", "with the white space around it removed"},
		{github, `{}`, "\ufeff{}", "without the byte order mark"},
		{github, "\ufeff{}", `{}`, "with a byte order mark"},
		{github, "{\r\n\"a\":1\r\n}", "{\n\"a\":1\n}", "with CRLF for each newline"},
		{github, "{\n\"a\":1\n}", "{\r\n\"a\":1\r\n}", "with newlines for each CRLF"},
		{github, `{"b":1.50,"a":["x",{}],"c":{"d":null}}`, `{ "b" : 1.50, "a":["x", { }], "c":{"d":null} }`, "with its JSON written compactly: something"},
		{github, `{"b":"\u0001\t"}`, `{"b": "\u0001\t"}`, "with its JSON written compactly: something"},
		{github, `{"u":"https:\/\/x\/","n":"Z\u00fcrich \ud83d\ude00"}`, `{"u":"https://x/","n":"Zürich 😀"}`, "as PHP does"},
		{github, `{"u":"https:\/\/x\/","n":"Zürich"}`, `{"u":"https://x/","n":"Zürich"}`, "compactly, slashes escaped"},
		{github, `{"n":"Z\u00fcrich/"}`, `{"n":"Zürich/"}`, "compactly, all but ASCII escaped"},
		{github, `{"n":"\u003cb\u003e \u0026"}`, `{"n":"<b> &"}`, "as Go and Rails do"},
		{github, `{"n":"\u003cb\u003e"}` + "\n", `{"n":"<b>"}`, "<, > and & escaped, and a newline at the end"},
		{github, `{"n": "Z\u00fcrich", "m": [1, 2]}`, `{"n":"Zürich","m":[1,2]}`, "as Python does"},
		{github, `{"n": "Zürich", "m": [1, 2]}`, `{"n":"Zürich","m":[1,2]}`, "with its JSON written with spaces"},
		{github, "{\n  \"n\": [\n    1,\n    {}\n  ]\n}", `{"n":[1,{}]}`, "indented by two"},
		{github, "{\n    \"n\": [\n        1\n    ]\n}", `{"n":[1]}`, "indented by four"},
		{github, `{"a":"\"b\\"}`, `"{\"a\":\"\\\"b\\\\\"}"`, "taken out of a JSON string"},
		{github, `{"a":1}`, packed.String(), "decompressed (gzip)"},
		{github, `{"a":1}`, deflated.String(), "decompressed (deflate)"},
		{github, `{"a":1}`, base64.StdEncoding.EncodeToString([]byte(`{"a":1}`)), "decoded from base64"},
		{slack, `command=%2Fgo&text=a+b%26c`, `command=%2Fgo&text=a%20b%26c`, "as a form, percent-encoded:"},
		{slack, `command=%2Fgo&text=a%20b`, `command=%2Fgo&text=a+b`, "as a form, percent-encoded with %20"},
		{slack, `command=%2fgo&text=a`, `command=%2Fgo&text=a`, "as a form, percent-encoded in small letters"},
		{slack, `payload=%7B%22a%22%3A%22b+c%26d%22%7D`, `payload={"a":"b c&d"}`, "as a form, percent-encoded:"},
		{slack, `payload=%7B%22a%22%3A%22b%2Bc%22%7D`, `payload={"a":"b+c"}`, "as a form, percent-encoded:"},
		{slack, `command=%2Fgo&text=a+b`, `{"command":"/go","text":"a b"}`, "as a form made of its JSON:"},
		{slack, `command=%2Fgo&text=a%20b`, `{"command":"/go","text":"a b"}`, "as a form made of its JSON, with %20"},
		{slack, `payload=%7B%22a%22%3A1%7D`, `{"a":1}`, "as the field payload of a form"},
		{github, "{\"n\":\"Z\xfcrich\"}", `{"n":"Zürich"}`, "in Latin-1"},
		{github, `{"n":"Zürich"}`, "{\"n\":\"Z\xfcrich\"}", "in UTF-8"},
	} {
		accident{
			name: c.words, sender: c.v, here: c.v, sent: ask(c.sent), onWay: becomes(c.comes),
			reason: verify.ReasonBodyChanged, words: "matches " + strings.TrimPrefix(c.words, "matches "),
		}.checkPart(t, c.words)
	}
}

// checkPart looks for some of the words, wherever they stand.
func (a accident) checkPart(t *testing.T, part string) {
	t.Helper()
	a.words = part
	a.check(t)
}

func TestTheWaySchemesSignDoesNotMatterToWhatHappensToBodies(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"stripe", "standard-webhooks", "square", "paddle", "netlify", "upstash-qstash", "livekit", "trello", "hubspot-legacy", "zoom"} {
		v := verifier(t, name, verify.Options{}, secretFor(name))
		accident{
			name: name, sender: v, here: v, sent: ask(`{"a":"b"}`), onWay: becomes(`{"a": "b"}` + "\n"),
			reason: verify.ReasonBodyChanged, words: "JSON written compactly",
		}.check(t)
	}
}

func secretFor(name string) string {
	if name == "standard-webhooks" {
		return "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	}
	return sharedKey
}

func TestABodyIsRecognisedUnderAPublicKeyToo(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"discord", "telnyx", "sendgrid", "standard-webhooks"} {
		r, _ := providers.Get(name)
		private, err := r.NewKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		v := verifier(t, name, verify.Options{}, publicOf(t, r, private))
		sent := ask(`{"a":1}`)
		if err := v.SignKey(sent, private, noon, "msg_1"); err != nil {
			t.Fatal(err)
		}
		accident{
			name: name, here: v, sent: sent, onWay: becomes("{\"a\":1}\r\n"),
			reason: verify.ReasonBodyChanged, words: "with the trailing newline removed",
		}.check(t)
		stranger, err := r.NewKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		shop := verify.Peer{Name: "shop", Verifier: v}
		accident{
			name: name, here: verifier(t, name, verify.Options{}, publicOf(t, r, stranger)), sent: sent, onWay: becomes(`{"a":1}`),
			others: []verify.Peer{shop}, reason: verify.ReasonOtherSource, words: "this is the secret of source shop",
		}.check(t)
	}
}

func publicOf(t *testing.T, r *verify.Record, private crypto.Signer) string {
	t.Helper()
	public, err := r.PublicKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	return public
}

func TestASecretThatIsWrittenWronglyIsRecognised(t *testing.T) {
	t.Parallel()
	key := []byte("0123456789abcdef0123456789abcdef")
	text := base64.StdEncoding.EncodeToString(key)
	hmac := verify.Options{Params: map[string][]string{"header": {"X-Sig"}}}
	inHex := verify.Options{Params: map[string][]string{"header": {"X-Sig"}, "secret_form": {"hex"}}}
	for _, c := range []struct {
		provider      string
		o             verify.Options
		there, here   string
		reason, words string
	}{
		{"stripe", verify.Options{}, "whsec_right", "whsec_right\n", verify.ReasonSecretSpace, "secret 1 has white space or a newline around it"},
		{"stripe", verify.Options{}, "whsec_right\n", "whsec_right", verify.ReasonSecretSpace, "secret 1 lacks the newline"},
		{"stripe", verify.Options{}, "whsec_right\r\n", "whsec_right", verify.ReasonSecretSpace, "lacks the line end (CR LF)"},
		{"github", verify.Options{}, "right ", "right", verify.ReasonSecretSpace, "secret 1 lacks a blank that stands behind it at the provider"},
		{"github", verify.Options{}, " right", "right", verify.ReasonSecretSpace, "secret 1 lacks a blank that stands before it at the provider"},
		{"stripe", verify.Options{}, "whsec_right", "whsec_ri ght", verify.ReasonSecretSpace, "has white space within"},
		{"stripe", verify.Options{}, "whsec_right", `whsec_right\n`, verify.ReasonSecretSpace, `ends with \n as two characters`},
		{"stripe", verify.Options{}, "whsec_right", `"whsec_right"`, verify.ReasonSecretForm, "stands in quotes"},
		{"stripe", verify.Options{}, "whsec_right", "right", verify.ReasonSecretForm, "must be written with whsec_"},
		{"github", verify.Options{}, "right", "whsec_right", verify.ReasonSecretForm, "must be written without whsec_"},
		{"github", verify.Options{}, "ri/ght", "ri%2Fght", verify.ReasonSecretForm, "percent-encoded"},
		{"gitlab", verify.Options{}, "glx", "Bearer glx", verify.ReasonSecretForm, "must be written without Bearer"},
		{"postmark", verify.Options{}, "me:pass", "me:pass ", verify.ReasonSecretSpace, "has white space"},
		{"hubspot-legacy", verify.Options{}, "right", "right\n", verify.ReasonSecretSpace, "has white space"},
		{"netlify", verify.Options{}, sharedKey, sharedKey + "\n", verify.ReasonSecretSpace, "has white space"},
		{"hmac", hmac, string(key), text, verify.ReasonSecretForm, "takes secret 1 decoded from base64, and this configuration does not: write `secret_form base64`"},
		{"hmac", hmac, string(key), hex.EncodeToString(key), verify.ReasonSecretForm, "write `secret_form hex`"},
		{"hmac", hmac, string(key), "whsec_" + text, verify.ReasonSecretForm, "write `secret_form whsec`"},
	} {
		accident{
			name: c.words, sender: verifier(t, c.provider, c.o, c.there), here: verifier(t, c.provider, c.o, c.here),
			sent: ask(`{"a":1}`), reason: c.reason, words: c.words,
		}.check(t)
	}
	// The other way round: what is decoded here is taken as it is there.
	polar := verifier(t, "polar", verify.Options{}, "whsec_"+text)
	accident{
		name: "polar", sender: polar, here: verifier(t, "standard-webhooks", verify.Options{}, "whsec_"+text), sent: ask("{}"),
		reason: verify.ReasonSecretForm, words: "takes secret 1 as it is written, and this configuration does not: is it another provider than standard-webhooks?",
	}.check(t)
	accident{
		name: "hex as text", sender: verifier(t, "hmac", hmac, "abcd"), here: verifier(t, "hmac", inHex, "abcd"), sent: ask("{}"),
		reason: verify.ReasonSecretForm, words: "write `secret_form utf8`",
	}.check(t)
}

func TestTheSecondSecretAndTheRequestsOwnAreNamed(t *testing.T) {
	t.Parallel()
	sent := ask("{}")
	if err := verifier(t, "github", verify.Options{}, "right").Sign(sent, noon, ""); err != nil {
		t.Fatal(err)
	}
	here := verifier(t, "github", verify.Options{}, "wrong", "right ")
	accident{name: "second", here: here, sent: sent, reason: verify.ReasonSecretSpace, words: "secret 2 has"}.check(t)
	tenants := verifier(t, "github", verify.Options{PerRequest: true})
	own := []verify.Secret{verify.NewSecret("right ")}
	_, err := tenants.Verify(sent, noon, own...)
	if d := tenants.Explain(verify.Refusal{Request: sent, Err: err, Now: noon, Own: own}); !strings.Contains(d.Words, "the request's own secret has white space") {
		t.Errorf("%+v", d)
	}
	// A peer's address does not make it the peer's.
	square := verifier(t, "square", verify.Options{PerRequest: true})
	there := ask("{}")
	there.URL = "https://till.example/in"
	if err := verifier(t, "square", verify.Options{}, "right").Sign(there, noon, ""); err != nil {
		t.Fatal(err)
	}
	there.URL = "http://till.example/in"
	own = []verify.Secret{verify.NewSecret("right")}
	_, err = square.Verify(there, noon, own...)
	till := []verify.Peer{{Name: "till", Verifier: verifier(t, "square", verify.Options{}, "other"), URL: "https://till.example/in"}}
	if d := square.Explain(verify.Refusal{Request: there, Err: err, Now: noon, Own: own, Others: till}); d.Reason != verify.ReasonWrongURL {
		t.Errorf("%+v", d)
	}
	// With the right body its own secret proves the rest too.
	sent.Body = []byte("{}\n")
	own = []verify.Secret{verify.NewSecret("right")}
	_, err = tenants.Verify(sent, noon, own...)
	if d := tenants.Explain(verify.Refusal{Request: sent, Err: err, Now: noon, Own: own}); d.Reason != verify.ReasonBodyChanged {
		t.Errorf("%+v", d)
	}
}

func TestASecretOfAnotherSourceAndAFormerOneAreRecognised(t *testing.T) {
	t.Parallel()
	stripe := verifier(t, "stripe", verify.Options{}, "whsec_right")
	open, err := recordOf(verify.Scheme{Kind: "none"}).Compile(verify.Options{})
	if err != nil {
		t.Fatal(err)
	}
	peers := []verify.Peer{
		{Name: "open", Verifier: open},
		{Name: "code", Verifier: verifier(t, "github", verify.Options{}, "sesame")},
		{Name: "shop", Verifier: verifier(t, "stripe", verify.Options{}, "whsec_of_shop")},
		{Name: "desk", Verifier: verifier(t, "github", verify.Options{PerRequest: true}), Learned: []verify.Secret{verify.NewSecret("learned")}},
		{Name: "till", Verifier: verifier(t, "square", verify.Options{}, "sq"), URL: "https://till.example/square"},
	}
	till := ask("{}")
	till.URL = "https://till.example/square"
	for _, a := range []accident{
		{name: "same provider", sender: peers[2].Verifier, sent: ask("{}"), words: "this is the secret of source shop: are two secrets mixed up"},
		{name: "mixed up", sender: verifier(t, "stripe", verify.Options{}, "sesame"), sent: ask("{}"), words: "this is the secret of source code"},
		{name: "learned", sender: verifier(t, "stripe", verify.Options{}, "learned"), sent: ask("{}"), words: "this is the secret of source desk"},
		{name: "learned, its own", sender: verifier(t, "github", verify.Options{}, "learned"), sent: ask("{}"), onWay: func(r *verify.Request) {
			r.Header.Set("Stripe-Signature", "t=1,v1="+strings.Repeat("0", 64))
		}, words: "this is for source desk (github)"},
	} {
		a.here, a.others, a.reason = stripe, peers, verify.ReasonOtherSource
		a.check(t)
	}
	// Intercom and Bitbucket use one header; the request is at the wrong door.
	jira := verifier(t, "jira", verify.Options{}, "here")
	accident{
		name: "wrong address", sender: verifier(t, "square", verify.Options{}, "sq"), sent: till, onWay: func(r *verify.Request) {
			r.Header.Set("X-Hub-Signature", "sha256="+strings.Repeat("0", 64))
			r.URL = "https://hooks.example.com/jira"
		},
		here: jira, others: peers, reason: verify.ReasonOtherSource, words: "this is for source till (square): it has come to the wrong address",
	}.check(t)
	accident{
		name: "former", sender: verifier(t, "stripe", verify.Options{}, "whsec_old"), here: stripe, sent: ask("{}"), others: peers,
		former: []verify.Peer{{Name: "2026-11-01T00:00:00Z", Verifier: verifier(t, "stripe", verify.Options{}, "whsec_old")}},
		reason: verify.ReasonSecretRotated, words: "this is the secret that was in use until 2026-11-01T00:00:00Z",
	}.check(t)
	accident{
		name: "several signatures", sender: stripe, here: verifier(t, "stripe", verify.Options{}, "whsec_other"), sent: ask("{}"),
		onWay: func(r *verify.Request) {
			r.Header.Set("Stripe-Signature", r.Header.Get("Stripe-Signature")+",v1="+strings.Repeat("0", 64))
		},
		reason: verify.ReasonSecretRotated, words: "header Stripe-Signature holds 2 signatures",
	}.check(t)
}

func TestAnAddressThatIsNotThePublicOneIsRecognised(t *testing.T) {
	t.Parallel()
	square := verifier(t, "square", verify.Options{}, "sesame")
	for _, c := range []struct{ public, here, header, words string }{
		{"https://a.example/in", "http://a.example/in", "", "https://a.example/in (with https): write `url https://a.example/in`"},
		{"http://a.example/in", "https://a.example/in", "", "with http)"},
		{"https://a.example/in", "http://a.example:8080/in", "", "with https, without the port"},
		{"https://a.example/in/", "https://a.example/in", "", "with a trailing slash"},
		{"https://a.example/in", "https://a.example/in/", "", "without the trailing slash"},
		{"https://a.example/in", "http://app:3000/in", "X-Forwarded-Host: a.example", "with https, with the host of X-Forwarded-Host"},
		{"https://a.example:8443/in", "https://a.example/in", "X-Forwarded-Port: 8443", "with the port of X-Forwarded-Port"},
		{"https://a.example/api/in", "https://a.example/in", "X-Forwarded-Prefix: /api", "with the path of X-Forwarded-Prefix"},
		{"https://a.example/old", "https://a.example/new", "X-Original-Uri: /old?x=1", "with the path of X-Original-Uri"},
		{"https://a.example/in", "https://a.example/in?key=k", "", "https://a.example/in (without the query)"},
		{"https://a.example/in?key=k", "http://a.example/in?key=k", "", "https://a.example/in (with https): write `url https://a.example/in`"},
		{"https://a.example/in?a=b c", "https://a.example/in?a=b%20c", "", "with the query decoded"},
	} {
		sent := ask(`{"a":1}`)
		sent.URL = c.public
		accident{
			name: c.words, sender: square, here: square, sent: sent, onWay: func(r *verify.Request) {
				r.URL = c.here
				name, value, _ := strings.Cut(c.header, ": ")
				r.Header.Set(name, value)
			},
			reason: verify.ReasonWrongURL, words: c.words,
		}.check(t)
	}
}

func TestEveryKindOfSchemeThatSignsTheAddressIsAskedForIt(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"square", "twilio", "hubspot", "trello", "upstash-qstash", "monday"} {
		v := verifier(t, name, verify.Options{}, sharedKey)
		sent := ask("{}")
		sent.URL = "https://hooks.example.com/in"
		sent.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		accident{
			name: name, sender: v, here: v, sent: sent, onWay: func(r *verify.Request) { r.URL = "http://hooks.example.com/in/" },
			reason: verify.ReasonWrongURL, words: "https://hooks.example.com/in (with https, without the trailing slash)",
		}.check(t)
	}
	accident{
		name: "an unknown address", sender: verifier(t, "monday", verify.Options{}, sharedKey), here: verifier(t, "monday", verify.Options{}, sharedKey),
		sent: ask("{}"), onWay: func(r *verify.Request) { r.URL = "https://other.example/" },
		reason: verify.ReasonWrongURL, words: "write `url` with the address that the provider has",
	}.check(t)
}

func TestAnOldTimestampIsToldAndByHowMuch(t *testing.T) {
	t.Parallel()
	stripe := verifier(t, "stripe", verify.Options{}, "whsec_right")
	seconds := verifier(t, "hmac", verify.Options{Params: map[string][]string{
		"header": {"X-Sig"}, "content": {"{ts}.{body}"}, "timestamp": {"header", "X-Time", "s"},
	}}, "right")
	millis := verifier(t, "hmac", verify.Options{Params: map[string][]string{
		"header": {"X-Sig"}, "content": {"{ts}.{body}"}, "timestamp": {"header", "X-Time", "ms"},
	}}, "right")
	jwt := verifier(t, "netlify", verify.Options{}, sharedKey)
	for _, a := range []accident{
		{name: "old", sender: stripe, here: stripe, later: 14 * time.Minute, reason: verify.ReasonExpired, words: "14m0s old, tolerance 5m0s; is the clock right?"},
		{name: "very old", sender: stripe, here: stripe, later: 14 * time.Hour, reason: verify.ReasonExpired, words: "raise `tolerance`"},
		{name: "ahead", sender: stripe, here: stripe, later: -6 * time.Minute, reason: verify.ReasonFuture, words: "6m0s ahead of our clock, tolerance 5m0s; is the clock right?"},
		{name: "milliseconds", sender: millis, here: seconds, reason: verify.ReasonFuture, words: "give `timestamp` the other unit"},
		{name: "seconds", sender: seconds, here: millis, reason: verify.ReasonExpired, words: "give `timestamp` the other unit"},
		{name: "token", sender: jwt, here: jwt, later: time.Hour, reason: verify.ReasonExpired, words: "expired"},
		{
			name: "old and changed", sender: stripe, here: stripe, later: time.Hour, onWay: becomes("{}\n"),
			reason: verify.ReasonBodyChanged, words: "let it pass as it comes; besides, timestamp too old: 1h0m0s old",
		},
	} {
		a.sent = ask("{}")
		a.check(t)
	}
}

func TestWhatIsMissingOrMalformedIsToldByName(t *testing.T) {
	t.Parallel()
	github := verifier(t, "github", verify.Options{}, "sesame")
	hmac := verifier(t, "hmac", verify.Options{Params: map[string][]string{"header": {"X-Sig"}, "prefix": {"sha256="}}}, "sesame")
	bare := verifier(t, "hmac", verify.Options{Params: map[string][]string{"header": {"X-Sig"}}}, "sesame")
	hex64 := strings.Repeat("0a", 32)
	sha1 := strings.Repeat("0a", 20)
	base := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{0xfb}, 32))
	shop := []verify.Peer{{Name: "shop", Verifier: verifier(t, "stripe", verify.Options{}, "whsec_x")}}
	for _, a := range []accident{
		{name: "nothing", here: github, sent: post("{}"), reason: verify.ReasonMissing, words: "no header X-Hub-Signature-256; is a secret set at the provider"},
		{name: "empty", here: github, sent: post("{}", "X-Hub-Signature-256", ""), reason: verify.ReasonMissing, words: "the header X-Hub-Signature-256 is there and empty"},
		{name: "older", here: github, sent: post("{}", "X-Hub-Signature", "sha1=00"), reason: verify.ReasonMissing, words: "it has X-Hub-Signature: is it another provider's"},
		{name: "another's", here: github, sent: post("{}", "Stripe-Signature", "t=1,v1=00"), others: shop, reason: verify.ReasonMissing, words: "it looks like a request for source shop (stripe)"},
		{name: "wrong prefix", here: github, sent: post("{}", "X-Hub-Signature-256", "sha1="+sha1), reason: verify.ReasonFormat, words: `it begins with "sha1=", and "sha256=" is expected: is it this provider?`},
		{name: "wrong prefix, generic", here: hmac, sent: post("{}", "X-Sig", "v1="+hex64), reason: verify.ReasonFormat, words: "write `prefix v1=`"},
		{name: "no prefix", here: hmac, sent: post("{}", "X-Sig", hex64), reason: verify.ReasonFormat, words: `it comes without the prefix "sha256=": leave`},
		{name: "in base64", here: hmac, sent: post("{}", "X-Sig", "sha256="+base), reason: verify.ReasonFormat, words: "it looks like base64, and hex is expected: write `encoding base64`"},
		{name: "in quotes", here: bare, sent: post("{}", "X-Sig", `"`+hex64+`"`), reason: verify.ReasonFormat, words: "stands in quotes"},
		{name: "other hash", here: bare, sent: post("{}", "X-Sig", sha1), reason: verify.ReasonFormat, words: "it has 20 bytes, and sha256 gives 32: write `hash sha1`"},
		{name: "cut off", here: bare, sent: post("{}", "X-Sig", hex64[:30]), reason: verify.ReasonFormat, words: "it has 15 bytes, and sha256 gives 32"},
		{name: "hex for base64", here: verifier(t, "shopify", verify.Options{}, "s"), sent: post("{}", "X-Shopify-Hmac-Sha256", hex64), reason: verify.ReasonFormat, words: "it looks like hex, and base64 is expected"},
		{name: "other algorithm", here: verifier(t, "netlify", verify.Options{}, sharedKey), sent: post("{}", "X-Webhook-Signature", "eyJhbGciOiJub25lIn0.e30."), reason: verify.ReasonFormat, words: `the token's algorithm is "none"`},
		{name: "no token", here: verifier(t, "netlify", verify.Options{}, sharedKey), sent: post("{}", "X-Webhook-Signature", "zzz"), reason: verify.ReasonFormat, words: "something else than a JWT"},
		{name: "method", here: github, sent: &verify.Request{Method: http.MethodGet}, reason: verify.ReasonMethod, words: "the source takes POST"},
		{name: "no secret", here: verifier(t, "github", verify.Options{PerRequest: true}), sent: post("{}", "X-Hub-Signature-256", "sha256="+hex64), reason: verify.ReasonMissing, words: ""},
	} {
		a.check(t)
	}
	_, err := github.Verify(post("{}", "X-Hub-Signature-256", "sha256="+hex64), noon, verify.NewSecret(""))
	if d := github.Explain(verify.Refusal{Request: post("{}"), Err: err, Now: noon}); d.Reason != verify.ReasonNoSecret || !strings.Contains(d.Words, "the placeholder of its secret") {
		t.Errorf("%+v", d)
	}
}

func TestASchemeOfTheSameHeaderSparesASignatureItsLength(t *testing.T) {
	t.Parallel()
	// Front signs with SHA-256 here and SHA-1 there, in one header.
	accident{
		name: "front", sender: verifier(t, "front", verify.Options{}, "there"), here: verifier(t, "front", verify.Options{}, "here"), sent: ask("{}"),
		reason: verify.ReasonMismatch, words: "another secret",
	}.check(t)
}

func TestWhatCannotBeProvenIsHintedAt(t *testing.T) {
	t.Parallel()
	v := func(name string, secret string) *verify.Verifier { return verifier(t, name, verify.Options{}, secret) }
	adyen := v("adyen-platform", strings.Repeat("0a", 32))
	for _, a := range []accident{
		{name: "test", sender: v("stripe", "whsec_t"), here: v("stripe", "whsec_l"), sent: ask(`{"livemode":false}`), reason: verify.ReasonTestMode, words: "the event is of test mode (livemode is false), which has its own secret: is the configured one of live mode?"},
		{name: "live", sender: v("stripe", "whsec_l"), here: v("stripe", "whsec_t"), sent: ask(`{"livemode":true}`), reason: verify.ReasonMismatch, words: "the event is of live mode (livemode is true)"},
		{name: "header", sender: v("square", "t"), here: v("square", "l"), sent: sandbox(), reason: verify.ReasonTestMode, words: "(header Square-Environment is Sandbox)"},
		{name: "second path", sender: v("lemonsqueezy", "t"), here: v("lemonsqueezy", "l"), sent: ask(`{"data":{"attributes":{"test_mode":true}}}`), reason: verify.ReasonTestMode, words: "of test mode (data.attributes.test_mode is true)"},
		{
			name: "adyen", sender: v("adyen", strings.Repeat("0a", 32)), here: v("adyen", strings.Repeat("0b", 32)), reason: verify.ReasonTestMode, words: "of test mode (live is false)",
			sent: ask(`{"live":"false","notificationItems":[{"NotificationRequestItem":{"pspReference":"p","amount":{"value":1,"currency":"EUR"},"eventCode":"C","success":"true","merchantAccountCode":"m","merchantReference":"r","additionalData":{}}}]}`),
		},
		{name: "fintoc", sender: v("fintoc", "t"), here: v("fintoc", "l"), sent: ask(`{"mode":"test"}`), reason: verify.ReasonTestMode, words: "(mode is test)"},
		{name: "live key", sender: v("paystack", "sk_test_a"), here: v("paystack", "sk_live_a"), sent: ask(`{"data":{"domain":"test"}}`), reason: verify.ReasonTestMode, words: "and secret 1 is of live mode: it begins with sk_live_"},
		{name: "test key", sender: v("paystack", "sk_live_a"), here: v("paystack", "sk_test_a"), sent: ask(`{"data":{"domain":"live"}}`), reason: verify.ReasonTestMode, words: "and secret 1 is of test mode: it begins with sk_test_"},
		{name: "same mode", sender: v("paystack", "sk_live_a"), here: v("paystack", "sk_live_b"), sent: ask(`{"data":{"domain":"live"}}`), reason: verify.ReasonMismatch, words: "the event is of live mode"},
		{name: "modern treasury", sender: v("modern-treasury", "t"), here: v("modern-treasury", "l"), sent: ask(`{"data":{"live_mode":false}}`), reason: verify.ReasonTestMode, words: "of test mode"},
		{name: "API key", sender: v("stripe", "whsec_x"), here: v("stripe", "sk_live_x"), sent: ask(`{"livemode":true}`), reason: verify.ReasonSecretForm, words: "secret 1 begins with sk_live_, as an API key"},
		{name: "user", sender: v("postmark", "me:a"), here: v("postmark", "me:b"), sent: ask("{}"), reason: verify.ReasonMismatch, words: "the user is right, and the password is not"},
		{name: "other user", sender: v("postmark", "me:a"), here: v("postmark", "you:a"), sent: ask("{}"), reason: verify.ReasonMismatch, words: "the user is another"},
		{name: "unpacked", sender: v("github", "a"), here: v("github", "b"), sent: gzipped(), reason: verify.ReasonBodyChanged, words: "Content-Encoding is gzip, and the body is not compressed"},
		{name: "emptied", sender: v("github", "a"), here: v("github", "a"), sent: ask("{}"), onWay: becomes(""), reason: verify.ReasonBodyChanged, words: "the body is empty"},
		{name: "claimed hash", sender: v("netlify", sharedKey), here: v("netlify", sharedKey), sent: ask(`{"a":1}`), onWay: becomes(`{"a":2}`), reason: verify.ReasonBodyChanged, words: "is not the hash of the body; the body was changed"},
		{name: "pin", here: pinning(t), sent: post(`{"topic":"theirs"}`, "X-Sig", strings.Repeat("0", 64)), reason: verify.ReasonMismatch, words: "topic in the body is not the configured topic; is it for another source"},
		{name: "claim", sender: v("netlify", sharedKey), here: claiming(t), sent: ask("{}"), reason: verify.ReasonMismatch, words: "the token is good, and for somebody else"},
		{name: "nothing known", sender: v("github", "a"), here: v("github", "b"), sent: ask("{}"), reason: verify.ReasonMismatch, words: "signature does not match; another secret, or a body changed on its way"},
		{name: "binary key", sender: v("adyen-platform", strings.Repeat("0b", 32)), here: adyen, sent: ask("{}"), reason: verify.ReasonMismatch, words: "another secret"},
	} {
		a.check(t)
	}
}

// pinning wants events of one topic.
func pinning(t *testing.T) *verify.Verifier {
	t.Helper()
	r := recordOf(verify.Scheme{Kind: "hmac", Header: []string{"X-Sig"}, Pins: map[string]string{"topic": "topic"}})
	r.Options = []verify.Option{{Name: "topic"}}
	v, err := r.Compile(verify.Options{Secrets: []verify.Secret{verify.NewSecret("s")}, Params: map[string][]string{"topic": {"ours"}}})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// claiming wants a claim that Netlify's tokens do not have.
func claiming(t *testing.T) *verify.Verifier {
	t.Helper()
	return made(t, verify.Scheme{
		Kind: "jwt", Header: []string{"X-Webhook-Signature"}, Algorithms: []string{"HS256"}, Claims: map[string]string{"iss": "us"},
	}, sharedKey)
}

func sandbox() *verify.Request {
	r := ask("{}")
	r.Header.Set("Square-Environment", "Sandbox")
	return r
}

func gzipped() *verify.Request {
	r := ask("{}")
	r.Header.Set("Content-Encoding", "gzip")
	return r
}

func TestTheModesAreOfProvidersThatExist(t *testing.T) {
	t.Parallel()
	for _, name := range verify.HintedProviders() {
		if r, ok := providers.Get(name); !ok || r.Name != name {
			t.Errorf("there is no record %s", name)
		}
	}
}

// Whatever the accident, neither a secret nor a signature may be told, neither
// that which came nor one that would have been right.
func TestADiagnosisTellsNoSecretAndNoSignature(t *testing.T) {
	t.Parallel()
	const there, here = "whsec_dGhlcmUgaXMgbm8gc2VjcmV0IGxpa2UgaXQ", "whsec_aGVyZSBpcyBhbm90aGVyIG9uZSBvZiB0aGVt"
	for _, r := range providers.All() {
		if r.Generic || len(r.Options) > 0 {
			continue
		}
		sender, err := r.Compile(verify.Options{Secrets: []verify.Secret{verify.NewSecret(there)}})
		if err != nil {
			continue // another form of secrets
		}
		receiver, err := r.Compile(verify.Options{Secrets: []verify.Secret{verify.NewSecret(here)}})
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range []*verify.Verifier{sender, receiver} {
			sent := ask(`{"a":"b"}`)
			if err := sender.Sign(sent, noon, "msg_1"); err != nil {
				continue
			}
			signed := *sent
			if err := receiver.Sign(sent, noon, "msg_1"); err != nil { // what would have been right
				t.Fatal(err)
			}
			right := fmt.Sprint(sent.Header, string(sent.Body), sent.Query)
			signed.Body = append(bytes.Clone(signed.Body), "\n "...)
			d := accident{name: r.Name, here: v, sent: &signed, others: []verify.Peer{{Name: "shop", Verifier: sender}}}
			_, err := v.Verify(&signed, noon)
			if err == nil {
				continue
			}
			text := v.Explain(verify.Refusal{Request: &signed, Err: err, Now: noon, Others: d.others}).Words
			for _, word := range append(proofs(fmt.Sprint(signed.Header, string(signed.Body), signed.Query)), append(proofs(right), there, here)...) {
				if strings.Contains(text, word) {
					t.Errorf("%s: %q shows %q", r.Name, text, word)
				}
			}
		}
	}
}

// proofs are the parts of a request that are long enough to be a signature.
func proofs(text string) []string {
	var found []string
	for _, word := range strings.FieldsFunc(text, func(c rune) bool { return strings.ContainsRune(" []{}:=,;\"&", c) }) {
		if len(word) > 20 && !strings.Contains(word, "-") {
			found = append(found, word)
		}
	}
	return found
}

func TestADiagnosisIsBounded(t *testing.T) {
	t.Parallel()
	v := verifier(t, "github", verify.Options{}, "a", "b", "c", "d", "e")
	var peers []verify.Peer
	for i := range 1000 {
		peers = append(peers, verify.Peer{Name: fmt.Sprint("s", i), Verifier: verifier(t, "github", verify.Options{}, fmt.Sprint("k", i))})
	}
	for _, size := range []int{10, 100 << 10, 1 << 20, 5 << 20, 25 << 20} {
		sent := ask(`{"a":"` + strings.Repeat("é<", size/3) + `"}`)
		sent.Header.Set("X-Hub-Signature-256", "sha256="+strings.Repeat("0", 64))
		_, err := v.Verify(sent, noon)
		tries, work := v.ExplainCost(verify.Refusal{Request: sent, Err: err, Now: noon, Others: peers})
		if tries > 96 || work > 16<<20 {
			t.Errorf("%d bytes: %d tries, %d bytes of work", size, tries, work)
		}
		if tries == 0 {
			t.Errorf("%d bytes: nothing was tried", size)
		}
	}
}

func TestALargeBodyGetsTheCheapGuessesOnly(t *testing.T) {
	t.Parallel()
	v := verifier(t, "github", verify.Options{}, "sesame")
	large := `{"a":"` + strings.Repeat("x", 1<<20) + `"}`
	accident{
		name: "newline", sender: v, here: v, sent: ask(large), onWay: becomes(large + "\n"),
		reason: verify.ReasonBodyChanged, words: "trailing newline removed",
	}.check(t)
	accident{
		name: "line ends", sender: v, here: v, sent: ask("{\r\n" + large[1:]), onWay: becomes("{\n" + large[1:]),
		reason: verify.ReasonMismatch, words: "another secret",
	}.check(t)
}

func TestNestedJSONDoesNotBecomeMostlyIndentation(t *testing.T) {
	t.Parallel()
	nested := strings.Repeat("[", 5000) + "1,1,1" + strings.Repeat("]", 5000)
	if n := len(verify.Indented([]byte(nested))); n > 0 {
		t.Errorf("%d bytes became %d", len(nested), n)
	}
	if got := string(verify.Indented([]byte(`[1,{}]`))); got != "[\n    1,\n    {}\n]" {
		t.Errorf("%q", got)
	}
}

func TestOfManySecretsTheFirstFewAreWrittenAnew(t *testing.T) {
	t.Parallel()
	sender := verifier(t, "github", verify.Options{}, "right")
	for _, c := range []struct {
		secrets []string
		reason  string
	}{
		{[]string{"a", "b", "c", "right "}, verify.ReasonSecretSpace},
		{[]string{"a", "b", "c", "d", "right "}, verify.ReasonMismatch},
	} {
		accident{name: c.reason, sender: sender, here: verifier(t, "github", verify.Options{}, c.secrets...), sent: ask("{}"), reason: c.reason}.check(t)
	}
}

func TestAFewBytesThatUnpackToManyAreNotUnpacked(t *testing.T) {
	t.Parallel()
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write(make([]byte, 64<<20)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	v := verifier(t, "github", verify.Options{}, "sesame")
	accident{
		name: "bomb", sender: v, here: v, sent: ask(string(make([]byte, 64<<20))), onWay: becomes(packed.String()),
		reason: verify.ReasonMismatch, words: "another secret",
	}.check(t)
}

// FuzzExplain gives diagnoses whatever a stranger may send.
func FuzzExplain(f *testing.F) {
	for _, body := range []string{`{"a":[1,"\u00e9"]}`, "a=b&c=%zz", `"{}"`, "\x1f\x8b", "[[[[", "payload={", "\ufeff{}\r\n"} {
		f.Add(body, "sha256=00", "/in?x=%zz", "t=1,v1=00")
	}
	names := []string{"github", "stripe", "square", "twilio", "netlify", "hubspot-legacy", "gitlab", "postmark", "mailgun"}
	f.Fuzz(func(t *testing.T, body, signature, uri, other string) {
		for _, name := range names {
			secret := sharedKey
			if name == "postmark" {
				secret = "me:" + sharedKey
			}
			v := verifier(t, name, verify.Options{}, secret)
			r := ask(body)
			r.URL = "http://hooks.example.com" + uri
			if u, err := url.Parse(r.URL); err == nil {
				r.Query = u.Query()
			}
			for _, h := range v.Proof() {
				r.Header.Set(h, signature)
			}
			r.Header.Set("X-Forwarded-Host", other)
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			_, err := v.Verify(r, noon)
			if err == nil {
				continue
			}
			d := v.Explain(verify.Refusal{Request: r, Err: err, Now: noon})
			if !slices.Contains(verify.Reasons(), d.Reason) || d.Words == "" || strings.Contains(d.Words, sharedKey) {
				t.Errorf("%s: %+v", name, d)
			}
		}
	})
}

func BenchmarkExplain(b *testing.B) {
	for _, size := range []int{1 << 10, 100 << 10, 1 << 20, 5 << 20} {
		v := verifier(b, "github", verify.Options{}, "sesame")
		r := ask(`{"a":"` + strings.Repeat("x", size) + `"}`)
		r.Header.Set("X-Hub-Signature-256", "sha256="+strings.Repeat("0", 64))
		_, err := v.Verify(r, noon)
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				v.Explain(verify.Refusal{Request: r, Err: err, Now: noon})
			}
		})
	}
}

// keyring gives a published key, and counts who asks for it.
type keyring struct {
	public crypto.PublicKey
	asked  int
}

func (k *keyring) Get(verify.KeyQuery, time.Time) ([]crypto.PublicKey, error) {
	k.asked++
	return []crypto.PublicKey{k.public}, nil
}

func TestADiagnosisAsksAProvidersServerForNoMoreThanTheVerificationDid(t *testing.T) {
	t.Parallel()
	r := recordOf(verify.Scheme{
		Kind: "jwt", Header: []string{"X-Token"}, Algorithms: []string{"RS256"}, SecretForm: "key",
		Keys: &verify.KeySource{JWKS: "https://keys.example/{kid}"}, BodyHash: &verify.BodyHash{Claim: "body"},
	})
	private, err := r.NewKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ring := &keyring{public: private.Public()}
	v, err := r.Compile(verify.Options{Keys: ring})
	if err != nil {
		t.Fatal(err)
	}
	sent := ask("{\n    \"a\": 1\n}")
	if err := v.SignKey(sent, private, noon, ""); err != nil {
		t.Fatal(err)
	}
	sent.Body = []byte(`{"a":1}`)
	accident{name: "published", here: v, sent: sent, reason: verify.ReasonBodyChanged, words: "indented by four"}.check(t)
	if ring.asked != 2 {
		t.Errorf("asked %d times, want once by each of Verify and Explain", ring.asked)
	}
	// Nor is anybody asked in the name of another source.
	ring.asked = 0
	r.Schemes = append(r.Schemes, verify.Scheme{Kind: "hmac", Header: []string{"X-Sig"}, When: &verify.Marks{Header: map[string]string{"X-Kind": "hmac"}}})
	both, err := r.Compile(verify.Options{Keys: ring, Secrets: []verify.Secret{verify.NewSecret(publicOf(t, r, private))}})
	if err != nil {
		t.Fatal(err)
	}
	accident{
		name: "others", here: verifier(t, "github", verify.Options{}, "s"), sent: post("{}", "X-Hub-Signature-256", "sha256="+strings.Repeat("0", 64), "X-Token", sent.Header.Get("X-Token")),
		others: []verify.Peer{{Name: "published", Verifier: v, Learned: []verify.Secret{verify.NewSecret("x")}}, {Name: "both", Verifier: both}}, reason: verify.ReasonMismatch,
	}.check(t)
	if ring.asked != 0 {
		t.Errorf("another source's server was asked %d times", ring.asked)
	}
}

func TestADiagnosisAsksForNoOtherKey(t *testing.T) {
	t.Parallel()
	r := recordOf(verify.Scheme{
		Kind: "jwt", Header: []string{"X-Token"}, Algorithms: []string{"RS256"}, SecretForm: "key",
		Keys: &verify.KeySource{JWKS: "https://keys.example/{json:a}"}, BodyHash: &verify.BodyHash{Claim: "body"},
	})
	private, err := r.NewKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ring := &keyring{public: private.Public()}
	v, err := r.Compile(verify.Options{Keys: ring})
	if err != nil {
		t.Fatal(err)
	}
	sent := ask(`{"a":1}`)
	if err := v.SignKey(sent, private, noon, ""); err != nil {
		t.Fatal(err)
	}
	sent.Body = []byte(`"{\"a\":1}"`) // it names its key only when it is unpacked
	accident{name: "other key", here: v, sent: sent, reason: verify.ReasonBodyChanged, words: "is not the hash of the body"}.check(t)
	if ring.asked != 2 {
		t.Errorf("asked %d times", ring.asked)
	}
}

func TestTheDocsExplainEveryReason(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/troubleshooting.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, reason := range verify.Reasons() {
		if !strings.Contains(string(text), "`"+reason+"`") {
			t.Errorf("%s is not explained", reason)
		}
	}
}

func TestAnAPIKeyInPlaceOfTheSecretIsRecognised(t *testing.T) {
	t.Parallel()
	for name, prefixes := range map[string]string{
		"stripe":            "sk_live_ sk_test_ rk_live_ rk_test_ pk_live_ pk_test_",
		"github":            "ghp_ gho_ ghs_ github_pat_",
		"gitlab":            "glpat-",
		"slack":             "xoxb- xoxp- xapp-",
		"shopify":           "shpat_ shpca_",
		"standard-webhooks": "sk_live_ sk_test_ pk_live_ pk_test_ re_",
		"openai":            "sk-",
		"twilio":            "AC SK",
		"square":            "sq0 EAAA",
		"linear":            "lin_api_",
		"paddle":            "pdl_live_apikey_ pdl_sdbx_apikey_",
	} {
		for prefix := range strings.FieldsSeq(prefixes) {
			sent := ask("a=b")
			sent.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			right := "whsec_c29tZXRoaW5nIGVsc2Ugc29tZXRoaW5n"
			if name == "gitlab" {
				right = "something else"
			}
			key := prefix + strings.Repeat("c", 40-len(prefix)%4)
			accident{
				name: name, sender: verifier(t, name, verify.Options{}, right), here: verifier(t, name, verify.Options{}, key), sent: sent,
				reason: verify.ReasonSecretForm, words: "secret 1 begins with " + prefix + ", as an API key or account does",
			}.check(t)
		}
	}
}

// FuzzRestyle checks that JSON that is written anew says the same.
func FuzzRestyle(f *testing.F) {
	for _, text := range []string{`{"a":[1.50,{"b":"\\/\u00e9\ud83d\ude00\n"},[]]}`, `"\ud800"`, `[ ]`, "\"\u2028<\"", `-0e1`, ` {"":{} } `} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		if !json.Valid(src) || !utf8.Valid(src) || len(src) > 1000 {
			return
		}
		var want any
		if err := json.Unmarshal(src, &want); err != nil {
			return // a number beyond all floats
		}
		for i, text := range verify.Restyled(src) {
			if text == nil {
				continue // mostly indentation
			}
			var got any
			if err := json.Unmarshal(text, &got); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("style %d makes %q of %q: %v", i, text, src, err)
			}
		}
	})
}
