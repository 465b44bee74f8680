package verify_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"hash"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"github.com/caddy-webhooks/caddy-webhooks/verify"
	"github.com/caddy-webhooks/caddy-webhooks/verify/providers"
	"github.com/caddy-webhooks/caddy-webhooks/verify/verifytest"
)

// later is when every signature with a timestamp is too old: the most patient
// record accepts two hours.
const later = 2*time.Hour + time.Second

// with gives a request as it is delivered with renewed headers.
func with(q *verify.Request, changed http.Header) *verify.Request {
	renewed := verifytest.Clone(q)
	for name, values := range changed {
		if renewed.Header[name] = values; len(values) == 0 {
			delete(renewed.Header, name)
		}
	}
	return renewed
}

// Every scheme of every record is signed, waits, and is signed anew: whatever is
// said to be possible is, and nothing else.
func TestEveryRecordIsSignedAnewOrSaysWhyNot(t *testing.T) {
	t.Parallel()
	renewed, refused := 0, 0
	for _, r := range providers.All() {
		doors, err := verifytest.Doors(r)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range doors {
			q, err := d.Signed("evt_1", noon)
			if err != nil {
				t.Fatal(err)
			}
			verdict, err := d.Verifier.Verify(q, noon)
			if err != nil {
				if d.Scheme.Keys != nil {
					continue // nobody publishes keys here, and nobody but the sender signs
				}
				t.Fatalf("%s: %v", d.Name, err)
			}
			patient := d.Scheme.Tolerance < 0 // so the sender documents it: nothing is done unless it is asked for
			changed, err := d.Verifier.Renew(q, verify.Renewal{Now: noon.Add(later), Received: noon, Digest: verdict.Digest, Always: patient && d.Scheme.Unrenewable() == ""})
			if d.Scheme.Unrenewable() != "" {
				refused++
				if len(changed) > 0 || err != nil {
					t.Errorf("%s: %s, and yet %v, %v", d.Name, d.Scheme.Unrenewable(), changed, err)
				}
				staysRefused(t, d, q)
				continue
			}
			renewed++
			if err != nil || d.Verifier.Renewable() != nil {
				t.Errorf("%s: %v, %v", d.Name, err, d.Verifier.Renewable())
				continue
			}
			holds(t, d, q, changed)
			if _, err := d.Verifier.Verify(q, noon.Add(later)); errors.Is(err, verify.ErrExpired) == patient {
				t.Errorf("%s: the old signature: %v", d.Name, err)
			}
		}
	}
	if renewed < 50 || refused < 150 {
		t.Errorf("only %d were signed anew, and %d refused", renewed, refused)
	}
}

// staysRefused makes sure that a configuration is told that `always` is impossible.
func staysRefused(t *testing.T, d *verifytest.Door, q *verify.Request) {
	t.Helper()
	if changed, err := d.Verifier.Renew(q, verify.Renewal{Now: noon.Add(later), Received: noon, Always: true}); len(changed) > 0 || !errors.Is(err, verify.ErrCannotRenew) {
		t.Errorf("%s: always gives %v, %v", d.Name, changed, err)
	}
}

// holds checks a request that was signed anew.
func holds(t *testing.T, d *verifytest.Door, q *verify.Request, changed http.Header) {
	t.Helper()
	now := noon.Add(later)
	again := with(q, changed)
	if _, err := d.Verifier.Verify(again, now); err != nil {
		t.Errorf("%s: the new signature is refused: %v\n%v\n%v", d.Name, err, q.Header, again.Header)
	}
	proof := slices.Concat(d.Scheme.Header, d.Scheme.TimeHeader)
	for name, values := range changed {
		if !slices.ContainsFunc(proof, func(p string) bool { return strings.EqualFold(p, name) }) {
			t.Errorf("%s: header %s is none of the signature, and changes", d.Name, name)
		}
		if slices.Equal(values, q.Header[name]) {
			t.Errorf("%s: header %s is as it was", d.Name, name)
		}
	}
	if changed, err := d.Verifier.Renew(q, verify.Renewal{Now: noon.Add(20 * time.Second), Received: noon}); len(changed) > 0 || err != nil {
		t.Errorf("%s: after 20 s: %v, %v", d.Name, changed, err)
	}
	if changed, err := d.Verifier.Renew(q, verify.Renewal{Now: noon.Add(time.Second), Received: noon, Always: true}); len(changed) == 0 || err != nil {
		t.Errorf("%s: always, after 1 s: %v, %v", d.Name, changed, err)
	}
}

// sourceOf sets a provider up.
func sourceOf(t *testing.T, name string, tolerance time.Duration, secrets ...string) *verify.Verifier {
	t.Helper()
	r, ok := providers.Get(name)
	if !ok {
		t.Fatalf("no provider %s", name)
	}
	o := verify.Options{Tolerance: tolerance, Params: verifytest.Params(r)}
	for _, s := range secrets {
		o.Secrets = append(o.Secrets, verify.NewSecret(s))
	}
	v, err := r.Compile(o)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func signedBy(t *testing.T, v *verify.Verifier) *verify.Request {
	t.Helper()
	q := &verify.Request{Method: "POST", URL: "https://h.example/x", Header: http.Header{}, Body: []byte(`{"id":"evt_1"}`)}
	if err := v.Sign(q, noon, "msg_1"); err != nil {
		t.Fatal(err)
	}
	return q
}

func TestASignatureIsMadeAnewAfterHalfTheTolerance(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		provider  string
		tolerance time.Duration
		after     time.Duration
		renewed   bool
	}{
		"half of Stripe's five minutes":       {"stripe", 0, 150 * time.Second, false},
		"more than that":                      {"stripe", 0, 151 * time.Second, true},
		"before it was received, by a clock":  {"stripe", 0, -time.Hour, false},
		"half of what the operator says":      {"stripe", time.Hour, 30 * time.Minute, false},
		"more than half of it":                {"stripe", time.Hour, 31 * time.Minute, true},
		"never, with the tolerance off":       {"stripe", -1, 1000 * time.Hour, false},
		"never, where the provider has none":  {"pinwheel", 0, 1000 * time.Hour, false},
		"a token, before half of its life":    {"jira-connect", 0, 150 * time.Second, false},
		"a token, after that":                 {"jira-connect", 0, 151 * time.Second, true},
		"a token, by the operator's patience": {"jira-connect", 4 * time.Minute, 121 * time.Second, true},
		"a token ends, however patient":       {"jira-connect", 24 * time.Hour, 151 * time.Second, true},
		"a token, with the tolerance off":     {"jira-connect", -1, 1000 * time.Hour, false},
	} {
		secret := "a shared secret of more than thirty-two bytes"
		v := sourceOf(t, c.provider, c.tolerance, secret)
		changed, err := v.Renew(signedBy(t, v), verify.Renewal{Now: noon.Add(c.after), Received: noon})
		if err != nil || len(changed) > 0 != c.renewed {
			t.Errorf("%s: %v, %v", name, changed, err)
		}
	}
}

func TestAlwaysIsAlwaysEvenWithTheToleranceOff(t *testing.T) {
	t.Parallel()
	v := sourceOf(t, "stripe", -1, "s")
	if changed, err := v.Renew(signedBy(t, v), verify.Renewal{Now: noon.Add(1), Received: noon, Always: true}); err != nil || len(changed) != 1 {
		t.Errorf("got %v, %v", changed, err)
	}
}

func TestTheSecretThatProvedTheEventSignsAgain(t *testing.T) {
	t.Parallel()
	first, second, third := sourceOf(t, "stripe", 0, "one"), sourceOf(t, "stripe", 0, "two"), sourceOf(t, "stripe", 0, "three")
	now := noon.Add(later)
	renew := func(v *verify.Verifier, q *verify.Request, o verify.Renewal) *verify.Request {
		o.Now, o.Received = now, noon
		changed, err := v.Renew(q, o)
		if err != nil {
			t.Fatal(err)
		}
		return with(q, changed)
	}
	fits := func(v *verify.Verifier, q *verify.Request) bool {
		_, err := v.Verify(q, now)
		return err == nil
	}
	q := signedBy(t, second)
	both := renew(sourceOf(t, "stripe", 0, "one", "two"), q, verify.Renewal{})
	if !fits(second, both) || fits(first, both) {
		t.Error("another secret signs than the one that proved the event")
	}
	// The address or the bytes of the signature are lost: the digest tells.
	lost := verifytest.Clone(q)
	lost.Header.Set("Stripe-Signature", "t=1,v1="+strings.Repeat("0", 64))
	if digest := renew(sourceOf(t, "stripe", 0, "one", "two"), lost, verify.Renewal{Digest: verify.NewSecret("two").Digest()}); !fits(second, digest) {
		t.Error("the digest of the secret is not heeded")
	}
	gone := renew(sourceOf(t, "stripe", 0, "three", "one"), q, verify.Renewal{Digest: verify.NewSecret("two").Digest()})
	if !fits(third, gone) || fits(second, gone) {
		t.Error("where the secret is gone, the first one does not sign")
	}
	strict := verify.Renewal{Now: now, Received: noon, Digest: verify.NewSecret("two").Digest(), Strict: true}
	if changed, err := third.Renew(q, strict); len(changed) > 0 || !errors.Is(err, verify.ErrCannotRenew) {
		t.Errorf("another's secret signs what a tenant's own has proven: %v, %v", changed, err)
	}
}

func TestASecretThatIsNotConfiguredSignsToo(t *testing.T) {
	t.Parallel()
	r, _ := providers.Get("stripe")
	v, err := r.Compile(verify.Options{PerRequest: true})
	if err != nil {
		t.Fatal(err)
	}
	q, now := signedBy(t, sourceOf(t, "stripe", 0, "learned")), noon.Add(later)
	changed, err := v.Renew(q, verify.Renewal{Now: now, Received: noon, Own: []verify.Secret{verify.NewSecret("learned")}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sourceOf(t, "stripe", 0, "learned").Verify(with(q, changed), now); err != nil {
		t.Error(err)
	}
	if changed, err := v.Renew(q, verify.Renewal{Now: now, Received: noon}); len(changed) > 0 || err != nil {
		t.Errorf("without any secret: %v, %v", changed, err)
	}
}

// While a provider rotates its secret it signs with both, and the application may
// have either.
func TestEverySignatureOfARotationIsMadeAnew(t *testing.T) {
	t.Parallel()
	for provider, secrets := range map[string][2]string{
		"stripe":            {"one", "two"},
		"standard-webhooks": {"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_AAAA9r8GKYqrTwjUPD8ILPZIo2LaLaSw"},
		"persona":           {"one", "two"},
		"recurly":           {"one", "two"},
		"box":               {"one", "two"},
	} {
		v := sourceOf(t, provider, 0, secrets[0], secrets[1])
		one, two := sourceOf(t, provider, 0, secrets[0]), sourceOf(t, provider, 0, secrets[1])
		q, other := signedBy(t, one), signedBy(t, two)
		q.Header = joined(provider, q.Header, other.Header)
		changed, err := v.Renew(q, verify.Renewal{Now: noon.Add(later), Received: noon})
		if err != nil {
			t.Errorf("%s: %v", provider, err)
			continue
		}
		for _, application := range []*verify.Verifier{one, two} {
			if _, err := application.Verify(q, noon); err != nil {
				t.Errorf("%s: the rotation itself: %v", provider, err)
			}
			if _, err := application.Verify(with(q, changed), noon.Add(later)); err != nil {
				t.Errorf("%s: %v: %v", provider, err, changed)
			}
		}
		// Of a signature whose secret is not known nothing is left: its time is gone.
		changed, err = one.Renew(q, verify.Renewal{Now: noon.Add(later), Received: noon})
		if _, kept := two.Verify(with(q, changed), noon); err != nil || kept == nil {
			t.Errorf("%s: a signature stands that is not of this time: %v, %v", provider, changed, err)
		}
		if values, gone := changed["Box-Signature-Secondary"]; provider == "box" && (!gone || values != nil) {
			t.Errorf("box: the second signature stays: %v", changed)
		}
	}
}

// joined are the headers of a request that two secrets sign.
func joined(provider string, a, b http.Header) http.Header {
	h := maps.Clone(a)
	switch provider {
	case "stripe":
		_, signature, _ := strings.Cut(b.Get("Stripe-Signature"), ",")
		h.Set("Stripe-Signature", a.Get("Stripe-Signature")+","+signature)
	case "recurly":
		_, signature, _ := strings.Cut(b.Get("Recurly-Signature"), ",")
		h.Set("Recurly-Signature", a.Get("Recurly-Signature")+","+signature)
	case "standard-webhooks":
		h.Set("Webhook-Signature", a.Get("Webhook-Signature")+" "+b.Get("Webhook-Signature"))
	case "persona":
		h.Set("Persona-Signature", a.Get("Persona-Signature")+" "+b.Get("Persona-Signature"))
	case "box":
		h.Set("Box-Signature-Secondary", b.Get("Box-Signature-Primary"))
	}
	return h
}

func TestEveryNameUnderWhichASignatureCameIsSignedAnew(t *testing.T) {
	t.Parallel()
	v := sourceOf(t, "standard-webhooks", 0, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	q := signedBy(t, v)
	for _, name := range []string{"Id", "Timestamp", "Signature"} {
		q.Header["Svix-"+name] = q.Header["Webhook-"+name]
	}
	both, err := v.Renew(q, verify.Renewal{Now: noon.Add(later), Received: noon})
	if err != nil || len(both) != 4 || both.Get("Svix-Signature") == "" || both.Get("Svix-Signature") != both.Get("Webhook-Signature") {
		t.Errorf("got %v, %v", both, err)
	}
	for _, name := range []string{"Id", "Timestamp", "Signature"} {
		q.Header.Del("Webhook-" + name)
	}
	svix, err := v.Renew(q, verify.Renewal{Now: noon.Add(later), Received: noon})
	if err != nil || len(svix) != 2 || svix.Get("Svix-Signature") == "" || svix.Get("Svix-Timestamp") == "" {
		t.Errorf("got %v, %v", svix, err)
	}
}

func TestWhatAPublicKeyProvedIsNotSignedWithASharedSecret(t *testing.T) {
	t.Parallel()
	r, _ := providers.Get("standard-webhooks")
	doors, err := verifytest.Doors(r)
	if err != nil {
		t.Fatal(err)
	}
	public := doors[slices.IndexFunc(doors, func(d *verifytest.Door) bool { return d.Private != nil })]
	q, err := public.Signed("evt_1", noon)
	if err != nil {
		t.Fatal(err)
	}
	v := sourceOf(t, "standard-webhooks", 0, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", public.Secret)
	o := verify.Renewal{Now: noon.Add(later), Received: noon, Digest: verify.NewSecret(public.Secret).Digest()}
	if changed, err := v.Renew(q, o); len(changed) > 0 || err != nil {
		t.Errorf("got %v, %v", changed, err)
	}
	q.Header.Set("Webhook-Signature", q.Header.Get("Webhook-Signature")+" v1,"+base64.StdEncoding.EncodeToString(make([]byte, sha256.Size)))
	if changed, err := v.Renew(q, o); len(changed) > 0 || !errors.Is(err, verify.ErrCannotRenew) {
		t.Errorf("with another's signature beside it: %v, %v", changed, err)
	}
	if err := public.Verifier.Renewable(); !errors.Is(err, verify.ErrCannotRenew) || !strings.Contains(err.Error(), "private key") {
		t.Errorf("got %v", err)
	}
	if err := v.Renewable(); err != nil {
		t.Errorf("one of the two can be renewed, and yet: %v", err)
	}
}

// Schemes that differ in their hash alone are told apart, also where the secret is gone.
func TestASignatureKeepsItsHash(t *testing.T) {
	t.Parallel()
	r, _ := providers.Get("cloudinary")
	doors, err := verifytest.Doors(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range doors {
		q, err := d.Signed("evt_1", noon)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range []*verify.Verifier{d.Verifier, sourceOf(t, "cloudinary", 0, "another")} {
			changed, err := v.Renew(q, verify.Renewal{Now: noon.Add(later), Received: noon})
			if err != nil || len(changed.Get("X-Cld-Signature")) != len(q.Header.Get("X-Cld-Signature")) {
				t.Errorf("%s: %v, %v", d.Name, changed, err)
			}
		}
	}
}

func TestATokenMovesInTimeAndSaysAllElseAsItDid(t *testing.T) {
	t.Parallel()
	secret := "a shared secret of more than thirty-two bytes"
	v := sourceOf(t, "fusionauth-hmac", 0, secret)
	q := signedBy(t, v)
	sum := claim(t, q.Header.Get("X-Fusionauth-Signature-Jwt"), "request_body_sha256")
	for name, c := range map[string]struct{ payload, want string }{
		"all times": {
			`{"jti":"a<b","iat":1795000000,"nbf":1794999999,"exp":1795000060,"n":[1.50],"request_body_sha256":"` + sum + `"}`,
			`{"jti":"a<b","iat":1795007201,"nbf":1795007200,"exp":1795007261,"n":[1.50],"request_body_sha256":"` + sum + `"}`,
		},
		"an end alone": {`{"exp":1795000100,"request_body_sha256":"` + sum + `"}`, `{"exp":1795007301,"request_body_sha256":"` + sum + `"}`},
		"no time":      {`{"request_body_sha256":"` + sum + `"}`, ""},
	} {
		for _, alg := range []string{"HS256", "HS512"} {
			r := verifytest.Clone(q)
			r.Header.Set("X-Fusionauth-Signature-Jwt", handmade(alg, `{"kid":"k1","typ":"JWT","alg":"`+alg+`"}`, c.payload, strings.Repeat(secret, 2)))
			v := sourceOf(t, "fusionauth-hmac", 0, strings.Repeat(secret, 2))
			if _, err := v.Verify(r, noon); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			changed, err := v.Renew(r, verify.Renewal{Now: noon.Add(later), Received: noon, Always: true})
			want := ""
			if c.want != "" {
				want = handmade(alg, `{"kid":"k1","typ":"JWT","alg":"`+alg+`"}`, c.want, strings.Repeat(secret, 2))
			}
			if got := changed.Get("X-Fusionauth-Signature-Jwt"); err != nil || got != want {
				t.Errorf("%s, %s: got %s %v, want %s", name, alg, got, err, want)
			}
		}
	}
}

// handmade is a token written by hand.
func handmade(alg, head, payload, secret string) string {
	newHash := map[string]func() hash.Hash{"HS256": sha256.New, "HS512": sha512.New}[alg]
	text := base64.RawURLEncoding.EncodeToString([]byte(head)) + "." + base64.RawURLEncoding.EncodeToString([]byte(payload))
	m := hmac.New(newHash, []byte(secret))
	m.Write([]byte(text))
	return text + "." + base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}

// claim reads a claim of a token.
func claim(t *testing.T, token, name string) string {
	t.Helper()
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	return gjson.GetBytes(payload, name).String()
}

func TestWhatStandsBeforeATokenStays(t *testing.T) {
	t.Parallel()
	v := sourceOf(t, "monday", 0, "a shared secret of more than thirty-two bytes")
	q := signedBy(t, v)
	token := strings.TrimPrefix(q.Header.Get("Authorization"), "Bearer ")
	for _, before := range []string{"", "Bearer ", "bearer "} {
		q.Header.Set("Authorization", before+token)
		changed, err := v.Renew(q, verify.Renewal{Now: noon.Add(later), Received: noon})
		if rest, ok := strings.CutPrefix(changed.Get("Authorization"), before); err != nil || !ok || !strings.HasPrefix(rest, token[:10]) {
			t.Errorf("%q: %v, %v", before, changed, err)
		}
	}
}

func TestStandardWebhooksAreSignedWithEverySecretTheNewestFirst(t *testing.T) {
	t.Parallel()
	whsec := "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	s, err := verify.NewStandard([]verify.Secret{verify.NewSecret(whsec), verify.NewSecret("plain text")})
	if err != nil {
		t.Fatal(err)
	}
	body := []byte("\xff{}\n")
	h := s.Sign("0199", body, noon)
	first, second, _ := strings.Cut(h.Get("Webhook-Signature"), " ")
	r := &verify.Request{Method: "POST", Header: h, Body: body}
	if _, err := sourceOf(t, "standard-webhooks", 0, whsec).Verify(r, noon); err != nil {
		t.Error(err)
	}
	m := hmac.New(sha256.New, []byte("plain text"))
	m.Write([]byte("0199.1795000000."))
	m.Write(body)
	if want := "v1," + base64.StdEncoding.EncodeToString(m.Sum(nil)); second != want || first == second {
		t.Errorf("got %s and %s, want the second to be %s", first, second, want)
	}
	if h.Get("Webhook-Id") != "0199" || h.Get("Webhook-Timestamp") != "1795000000" || len(h) != 3 {
		t.Errorf("got %v", h)
	}
	for _, bad := range []string{"", " ", "whsec_", "whsec_%%%"} {
		if _, err := verify.NewStandard([]verify.Secret{verify.NewSecret(whsec), verify.NewSecret(bad)}); !errors.Is(err, verify.ErrConfig) || strings.Contains(err.Error(), "%%%") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestTheSchemeIsChosenByTheMarksOfTheRequest(t *testing.T) {
	t.Parallel()
	marked := func(kind, content string) verify.Scheme {
		return verify.Scheme{
			Kind: "hmac", Header: []string{"X-Sig"}, TimeHeader: []string{"X-Time"}, Content: content, Tolerance: time.Minute, Future: time.Minute,
			When: &verify.Marks{Header: map[string]string{"X-Kind": kind}},
		}
	}
	record := recordOf(marked("a", "a{ts}{body}"))
	record.Schemes = append(record.Schemes, marked("b", "b{ts}{body}"))
	compile := func(secret string) *verify.Verifier {
		v, err := record.Compile(verify.Options{Secrets: []verify.Secret{verify.NewSecret(secret)}})
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	q := ask("{}")
	q.Header.Set("X-Kind", "b")
	if err := compile("gone").Sign(q, noon, ""); err != nil {
		t.Fatal(err)
	}
	changed, err := compile("present").Renew(q, verify.Renewal{Now: noon.Add(later), Received: noon})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := compile("present").Verify(with(q, changed), noon.Add(later)); err != nil {
		t.Error(err)
	}
}

func TestASecretThatIsConfiguredTwiceSignsOnce(t *testing.T) {
	t.Parallel()
	v := sourceOf(t, "slack", 0, "s", "s")
	q := signedBy(t, v)
	changed, err := v.Renew(q, verify.Renewal{Now: noon.Add(later), Received: noon})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(with(q, changed), noon.Add(later)); err != nil {
		t.Errorf("%v: %v", changed, err)
	}
}

// A clock may differ by a little: a token can come when it has just ended.
func TestATokenIsLateAfterHalfOfWhatItSaysItself(t *testing.T) {
	t.Parallel()
	secret := "a shared secret of more than thirty-two bytes"
	v := sourceOf(t, "fusionauth-hmac", 0, secret)
	sum := claim(t, signedBy(t, v).Header.Get("X-Fusionauth-Signature-Jwt"), "request_body_sha256")
	for name, c := range map[string]struct {
		times string
		after time.Duration
		late  bool
	}{
		"an end that has passed": {`"exp":1794999990`, 2 * time.Second, true},
		"an end alone":           {`"exp":1795000100`, 50 * time.Second, false},
		"past half of it":        {`"exp":1795000100`, 51 * time.Second, true},
		"from another beginning": {`"nbf":1794999900,"exp":1795000100`, 100 * time.Second, false},
		"past half of that":      {`"nbf":1794999900,"exp":1795000100`, 101 * time.Second, true},
		"no end":                 {`"iat":1795000000`, 1000 * time.Hour, false},
	} {
		q := &verify.Request{Method: "POST", Header: http.Header{}, Body: []byte(`{"id":"evt_1"}`)}
		q.Header.Set("X-Fusionauth-Signature-Jwt", handmade("HS256", `{"alg":"HS256"}`, `{`+c.times+`,"request_body_sha256":"`+sum+`"}`, secret))
		if _, err := v.Verify(q, noon); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		changed, err := v.Renew(q, verify.Renewal{Now: noon.Add(c.after), Received: noon})
		if err != nil || len(changed) > 0 != c.late {
			t.Errorf("%s: %v, %v", name, changed, err)
		}
	}
}
