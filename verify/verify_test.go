package verify_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/verify"
	"github.com/caddy-webhooks/caddy-webhooks/verify/providers"
)

func verifier(t testing.TB, name string, o verify.Options, secrets ...string) *verify.Verifier {
	t.Helper()
	r, ok := providers.Get(name)
	if !ok {
		t.Fatalf("no provider %s", name)
	}
	for _, s := range secrets {
		o.Secrets = append(o.Secrets, verify.NewSecret(s))
	}
	v, err := r.Compile(o)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func post(body string, header ...string) *verify.Request {
	r := &verify.Request{Method: http.MethodPost, Header: http.Header{}, Query: url.Values{}, Body: []byte(body)}
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return r
}

// Published vectors: github's from its documentation, standard-webhooks' from
// its specification. Discord's is RFC 8032 §7.1, test 3, whose message af82 is
// split into timestamp and body.
func TestPublishedVectors(t *testing.T) {
	t.Parallel()
	at := time.Unix(1614265330, 0)
	message := string([]byte{0xaf, 0x82})
	for name, c := range map[string]struct {
		v *verify.Verifier
		r *verify.Request
	}{
		"github": {
			verifier(t, "github", verify.Options{}, "It's a Secret to Everybody"),
			post("Hello, World!", "X-Hub-Signature-256", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"),
		},
		"standard-webhooks": {
			verifier(t, "standard-webhooks", verify.Options{}, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
			post(`{"test": 2432232314}`, "Webhook-Id", "msg_p5jXN8AQM9LWM0D4loKWxJek", "Webhook-Timestamp", "1614265330",
				"Webhook-Signature", "v1,bm9ldHUjKzFob2VudXRob2VodWUzMjRvdWVvdW9ldQo= v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
		},
		"ed25519": {
			verifier(t, "ed25519", verify.Options{Params: map[string][]string{"header": {"X-Sig"}}},
				"fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025"),
			post(message, "X-Sig", "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"),
		},
	} {
		if _, err := c.v.Verify(c.r, at); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAnyOfSeveralSecretsAndSignaturesMayMatch(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_795_000_000, 0)
	v := verifier(t, "stripe", verify.Options{}, "whsec_new", "whsec_old")
	for i, secret := range []string{"whsec_new", "whsec_old"} {
		req := post("{}")
		if err := verifier(t, "stripe", verify.Options{}, secret).Sign(req, now, ""); err != nil {
			t.Fatal(err)
		}
		good := req.Header.Get("Stripe-Signature")
		wrong := "v1=" + strings.Repeat("00", 32)
		for _, value := range []string{good, good + "," + wrong, strings.Replace(good, ",", ","+wrong+",", 1) + ",v0=" + strings.Repeat("11", 32)} {
			req.Header.Set("Stripe-Signature", value)
			verdict, err := v.Verify(req, now)
			if err != nil || verdict.Secret != i {
				t.Errorf("secret %d, header %.60s…: %+v, %v", i, value, verdict, err)
			}
		}
		req.Header.Set("Stripe-Signature", strings.Replace(good, "v1=", "v0=", 1))
		if _, err := v.Verify(req, now); !errors.Is(err, verify.ErrRejected) {
			t.Errorf("a signature of scheme v0 was accepted: %v", err)
		}
	}
}

func TestASignatureMayBeginLikeAVersion(t *testing.T) {
	t.Parallel()
	v := verifier(t, "standard-webhooks", verify.Options{}, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	now := time.Unix(1_795_000_000, 0)
	met := false
	for i := range 2000 {
		req := post(fmt.Sprint("{}", i))
		if err := v.Sign(req, now, "msg_1"); err != nil {
			t.Fatal(err)
		}
		met = met || strings.HasPrefix(req.Header.Get("Webhook-Signature"), "v1,v")
		if _, err := v.Verify(req, now); err != nil {
			t.Fatalf("%s: %v", req.Header.Get("Webhook-Signature"), err)
		}
	}
	if !met {
		t.Fatal("no signature began with v")
	}
}

func TestSeveralSignatureHeadersAreOneList(t *testing.T) {
	t.Parallel()
	v := verifier(t, "standard-webhooks", verify.Options{}, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	now := time.Unix(1_795_000_000, 0)
	req := post("{}")
	if err := v.Sign(req, now, "msg_1"); err != nil {
		t.Fatal(err)
	}
	good := req.Header.Get("Webhook-Signature")
	req.Header["Webhook-Signature"] = []string{"v1,AAAA", good}
	if _, err := v.Verify(req, now); err != nil {
		t.Errorf("the second of two headers: %v", err)
	}
}

func TestGiteaWithoutASecretOfItsOwnIsRefused(t *testing.T) {
	t.Parallel()
	v := verifier(t, "gitea", verify.Options{}, "secret")
	if err := v.Precheck(http.MethodPost, post("", "X-Gitea-Signature", "").Header); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(post("{}", "X-Gitea-Signature", ""), time.Now()); !errors.Is(err, verify.ErrMissing) {
		t.Errorf("an empty signature: %v, want ErrMissing", err)
	}
}

func TestGitlabsTokenDoesNotMakeAFailedSignatureGood(t *testing.T) {
	t.Parallel()
	const signing = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	now := time.Unix(1_795_000_000, 0)
	both := verifier(t, "gitlab", verify.Options{}, signing, "plain-token")
	signed := post("{}")
	if err := verifier(t, "gitlab", verify.Options{}, signing).Sign(signed, now, "msg_1"); err != nil {
		t.Fatal(err)
	}
	signed.Header.Set("X-Gitlab-Token", "plain-token")
	if _, err := both.Verify(signed, now); err != nil {
		t.Errorf("signed and with the token: %v", err)
	}
	signed.Body = []byte("{ }")
	if _, err := both.Verify(signed, now); !errors.Is(err, verify.ErrMismatch) {
		t.Errorf("a forged body with a good token: %v, want ErrMismatch", err)
	}
	if _, err := both.Verify(post("{}", "X-Gitlab-Token", "plain-token"), now); err != nil {
		t.Errorf("the token alone: %v", err)
	}
	if _, err := verifier(t, "gitlab", verify.Options{}, signing).Verify(post("{}", "X-Gitlab-Token", signing), now); !errors.Is(err, verify.ErrRejected) {
		t.Errorf("the signing token sent as a plain one: %v, want a refusal", err)
	}
}

func TestHandshakesAreAnsweredAndMarked(t *testing.T) {
	t.Parallel()
	slack := verifier(t, "slack", verify.Options{}, "s")
	discord := verifier(t, "discord", verify.Options{}, strings.Repeat("02", 32))
	for name, c := range map[string]struct {
		v    *verify.Verifier
		body string
		want verify.Answer
		ok   bool
	}{
		"slack url_verification": {slack, `{"type":"url_verification","challenge":"<b>3eZ"}`, verify.Answer{Status: 200, Type: "text/plain", Body: "<b>3eZ"}, true},
		"slack ssl_check":        {slack, `token=x&ssl_check=1`, verify.Answer{Status: 200}, true},
		"slack event":            {slack, `{"type":"event_callback","event_id":"Ev1"}`, verify.Answer{}, false},
		"discord interaction":    {discord, `{"type":1,"id":"1","application_id":"2","token":"t"}`, verify.Answer{Status: 200, Type: "application/json", Body: `{"type":1}`}, true},
		"discord events ping":    {discord, `{"version":1,"application_id":"2","type":0}`, verify.Answer{Status: 204, Type: "application/json"}, true},
		"discord event":          {discord, `{"version":1,"application_id":"2","type":1,"event":{"type":"X"}}`, verify.Answer{}, false},
	} {
		got, _, ok := c.v.Greet(post(c.body), true)
		if ok != c.ok || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v %v, want %+v %v", name, got, ok, c.want, c.ok)
		}
		if _, _, ok := c.v.Greet(post(c.body), false); ok {
			t.Errorf("%s is answered without a signature", name)
		}
	}
}

func TestSecretsDoNotPrintThemselves(t *testing.T) {
	t.Parallel()
	s := verify.NewSecret("top")
	for _, text := range []string{fmt.Sprint(s), fmt.Sprintf("%+v %#v %s", s, s, s)} {
		if strings.Contains(text, "top") {
			t.Errorf("printed %q", text)
		}
	}
	_, err := func() (*verify.Verifier, error) {
		r, _ := providers.Get("standard-webhooks")
		return r.Compile(verify.Options{Secrets: []verify.Secret{verify.NewSecret("whsec_!!not-base64!!")}})
	}()
	if err == nil || strings.Contains(err.Error(), "not-base64") {
		t.Errorf("the error for a malformed secret: %v", err)
	}
}

func TestAnUnknownOptionDoesNotCompile(t *testing.T) {
	t.Parallel()
	r, _ := providers.Get("hmac")
	o := verify.Options{Secrets: []verify.Secret{verify.NewSecret("x")}, Params: map[string][]string{"header": {"X"}, "hsah": {"sha1"}}}
	if _, err := r.Compile(o); err == nil || !strings.Contains(err.Error(), "hsah") {
		t.Errorf("%v, want an error that names hsah", err)
	}
	o.Params = nil
	if _, err := r.Compile(o); err == nil || !strings.Contains(err.Error(), "header") {
		t.Errorf("hmac without a header: %v, want an error that says so", err)
	}
}

func TestTheGenericSchemeTakesItsParameters(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_795_000_000, 0)
	for name, params := range map[string]map[string][]string{
		"prefix":    {"header": {"X-Sig"}, "prefix": {"hmac-sha512="}, "hash": {"sha512"}, "encoding": {"base64"}},
		"pairs":     {"header": {"X-Sig"}, "list": {","}, "key": {"v1"}, "timestamp": {"key", "t", "ms"}, "content": {"{ts}.{method}.{url}.{body}"}},
		"form":      {"header": {"X-Sig"}, "content": {"{form:payload}"}, "hash": {"sha1"}, "secret_form": {"sha1"}},
		"twoheader": {"header": {"X-Sig"}, "timestamp": {"header", "X-Time", "rfc3339"}, "content": {"{body}{ts}{header:X-Extra}"}, "encoding": {"base64url"}},
	} {
		v := verifier(t, "hmac", verify.Options{Params: params}, "secret")
		req := post("payload=a%20b&x=1", "X-Extra", "more")
		if err := v.Sign(req, now, ""); err != nil {
			t.Fatal(err)
		}
		if _, err := v.Verify(req, now); err != nil {
			t.Errorf("%s: %v (%v)", name, err, req.Header)
		}
		req.Body = []byte("payload=changed&x=1")
		if _, err := v.Verify(req, now); !errors.Is(err, verify.ErrMismatch) {
			t.Errorf("%s, changed: %v, want ErrMismatch", name, err)
		}
	}
}

func TestASecretOfTheRequestIsTriedAndAnEmptyOneIsRefused(t *testing.T) {
	t.Parallel()
	v := verifier(t, "github", verify.Options{PerRequest: true})
	req := post("{}")
	if err := verifier(t, "github", verify.Options{}, "tenant").Sign(req, time.Now(), ""); err != nil {
		t.Fatal(err)
	}
	if verdict, err := v.Verify(req, time.Now(), verify.NewSecret("tenant")); err != nil || verdict.Digest != verify.NewSecret("tenant").Digest() {
		t.Errorf("%+v, %v", verdict, err)
	}
	for _, own := range [][]verify.Secret{nil, {verify.NewSecret("")}, {verify.NewSecret("other")}} {
		if _, err := v.Verify(req, time.Now(), own...); !errors.Is(err, verify.ErrRejected) {
			t.Errorf("with %d secrets: %v, want a refusal", len(own), err)
		}
	}
}

func BenchmarkVerifyGitHub(b *testing.B) {
	for _, size := range []int{1 << 10, 100 << 10} {
		v := verifier(b, "github", verify.Options{}, "secret")
		req := post(strings.Repeat("x", size))
		if err := v.Sign(req, time.Now(), ""); err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.Verify(req, time.Time{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
