package handler

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/gateway"
	"github.com/caddy-webhooks/caddy-webhooks/verify"
	"github.com/caddy-webhooks/caddy-webhooks/verify/providers"
	"github.com/caddy-webhooks/caddy-webhooks/verify/verifytest"
)

const whsec = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// application is one that verifies by itself, now, with one secret.
func application(t *testing.T, provider, secret string) *verify.Verifier {
	t.Helper()
	r, _ := providers.Get(provider)
	v, err := r.Compile(verify.Options{Secrets: []verify.Secret{verify.NewSecret(secret)}, Params: verifytest.Params(r)})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// arrived is what an application got.
type arrived struct {
	header http.Header
	uri    string
	body   []byte
	err    error
}

// listening starts an application; what it got is read off the channel.
func listening(t *testing.T, v *verify.Verifier) (address string, got chan arrived) {
	t.Helper()
	got = make(chan arrived, 16)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			_, err = v.Verify(&verify.Request{Method: r.Method, URL: "https://" + r.Host + r.RequestURI, Header: r.Header, Query: r.URL.Query(), Body: body}, time.Now())
		}
		got <- arrived{r.Header, r.RequestURI, body, err}
	}))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String(), got
}

func to(name, address, more string) string {
	return fmt.Sprintf(`{"name":%q,"routes":[{"handle":[{"handler":"reverse_proxy","upstreams":[{"dial":%q}]}]}]%s}`, name, address, more)
}

// sent is an event as its provider sends it.
func sent(t *testing.T, provider, secret string, at time.Time) *verify.Request {
	t.Helper()
	r, _ := providers.Get(provider)
	q := &verify.Request{Method: "POST", URL: "https://shop.example/in?a=1", Header: http.Header{}, Body: []byte("{\"id\": \"evt_1\", \"n\": 1.0}\n")}
	q.Header.Set("Content-Type", "application/json")
	r.Label(q, "evt_1", "a.b")
	if err := application(t, provider, secret).Sign(q, at, "msg_1"); err != nil {
		t.Fatal(err)
	}
	return q
}

// An event comes while the applications are away, and is delivered two hours later.
func TestALateDeliveryVerifiesAndWithoutANewSignatureItDoesNot(t *testing.T) {
	v := application(t, "stripe", "new")
	late, gotLate := listening(t, v)
	never, gotNever := listening(t, v)
	h, _ := servingConfig(t, nil, fmt.Sprintf(`{"from":{"provider":"stripe","secrets":["old","new"]},"to":[%s,%s]}`,
		to("late", late, ""), to("never", never, `,"resign":"never"`)))
	accepted := time.Now().Add(-2 * time.Hour)
	h.now = func() time.Time { return accepted }
	q := sent(t, "stripe", "new", accepted)
	expect(t, "stripe", serve(t, h, arriving(q)), 200, "accepted")
	a, b := <-gotLate, <-gotNever
	if a.err != nil {
		t.Errorf("the late delivery is refused: %v: %v", a.err, a.header)
	}
	if b.err == nil || len(b.header["Webhook-Original-Stripe-Signature"]) > 0 {
		t.Errorf("with `resign never` it is not refused: %v", b.header)
	}
	if want := q.Header.Get("Stripe-Signature"); a.header.Get("Webhook-Original-Stripe-Signature") != want || b.header.Get("Stripe-Signature") != want {
		t.Errorf("the original signature is not there: %v, %v", a.header, b.header)
	}
	for _, got := range []arrived{a, b} {
		if !bytes.Equal(got.body, q.Body) || got.uri != "/in?a=1" {
			t.Errorf("got %s %q", got.uri, got.body)
		}
	}
}

func TestAFreshDeliveryKeepsItsSignatureUnlessItIsAlwaysMadeAnew(t *testing.T) {
	v := application(t, "stripe", "s")
	auto, gotAuto := listening(t, v)
	always, gotAlways := listening(t, v)
	h, _ := servingConfig(t, nil, fmt.Sprintf(`{"from":{"provider":"stripe","secrets":["s"]},"to":[%s,%s]}`,
		to("auto", auto, `,"resign":"auto"`), to("always", always, `,"resign":"always"`)))
	q := sent(t, "stripe", "s", time.Now().Add(-10*time.Second))
	expect(t, "stripe", serve(t, h, arriving(q)), 200, "accepted")
	was := q.Header.Get("Stripe-Signature")
	if got := <-gotAuto; got.err != nil || got.header.Get("Stripe-Signature") != was || got.header.Get("Webhook-Original-Stripe-Signature") != "" {
		t.Errorf("auto: %v %v", got.err, got.header)
	}
	if got := <-gotAlways; got.err != nil || got.header.Get("Stripe-Signature") == was || got.header.Get("Webhook-Original-Stripe-Signature") != was {
		t.Errorf("always: %v %v", got.err, got.header)
	}
}

func TestASignatureForTheApplicationIsFreshAndTheProvidersOwnTravelsBeside(t *testing.T) {
	address, got := listening(t, application(t, "standard-webhooks", "whsec_AAAA9r8GKYqrTwjUPD8ILPZIo2LaLaSw"))
	h, _ := servingConfig(t, nil, fmt.Sprintf(`{"from":{"provider":"standard-webhooks","secrets":[%q]},"to":[%s]}`, whsec,
		to("default", address, `,"resign":"always","sign":["newest","whsec_AAAA9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]`)))
	q := sent(t, "standard-webhooks", whsec, time.Now())
	w := serve(t, h, arriving(q))
	expect(t, "standard-webhooks", w, 200, "accepted")
	a := <-got
	id := w.Header().Get("Webhook-Event-Id")
	if a.err != nil || a.header.Get("Webhook-Id") != id || len(strings.Fields(a.header.Get("Webhook-Signature"))) != 2 {
		t.Errorf("event %s: %v: %v", id, a.err, a.header)
	}
	for _, name := range []string{"Webhook-Id", "Webhook-Timestamp", "Webhook-Signature"} {
		if got, want := a.header["Webhook-Original-"+name], q.Header[name]; !slices.Equal(got, want) {
			t.Errorf("Webhook-Original-%s is %q, want %q", name, got, want)
		}
	}
}

// signer provisions a source, and gives what it does to the headers of an attempt.
func signer(t *testing.T, config string) (*Handler, func(*event.Event, time.Time) http.Header, *bytes.Buffer) {
	t.Helper()
	h, _ := servingConfig(t, nil, config)
	log := new(bytes.Buffer)
	h.log = slog.New(slog.NewTextHandler(log, nil))
	sign, err := h.signing(h.To[0])
	if err != nil {
		t.Fatal(err)
	}
	return h, sign, log
}

const anywhere = `{"name":"default","routes":[{"handle":[{"handler":"static_response"}]}]`

// stock is an event as it is stored, of a request that a secret proved.
func stock(q *verify.Request, secret string, received time.Time) *event.Event {
	_, uri, _ := strings.Cut(strings.TrimPrefix(q.URL, "https://"), "/")
	return &event.Event{
		ID: event.NewID(received, 1, 2, 3), Received: received, Method: q.Method, URI: "/rewritten", OriginalURI: "/" + uri,
		TLS: true, Host: "shop.example", Header: q.Header, Body: q.Body, Secret: verify.NewSecret(secret).Digest(),
	}
}

// delivered is a request with an attempt's headers.
func delivered(q *verify.Request, changed http.Header) *verify.Request {
	d := verifytest.Clone(q)
	maps.Copy(d.Header, changed)
	return d
}

func TestASecretThatChangesInItsFileSignsAnewAtOnce(t *testing.T) {
	path, text := secretFile(t, "old")
	signPath, signText := secretFile(t, "old")
	h, sign, log := signer(t, fmt.Sprintf(`{"from":{"provider":"stripe","secrets":[%q]},"to":[%s,"sign":[%q]}]}`, text, anywhere, signText))
	at := time.Now().Add(-2 * time.Hour)
	q := sent(t, "stripe", "old", at)
	e := stock(q, "old", at)
	now := time.Now()
	check := func(name, secret string) {
		t.Helper()
		changed := sign(e, now)
		if _, err := application(t, "stripe", secret).Verify(delivered(q, changed), now); err != nil {
			t.Errorf("%s: the provider's: %v", name, err)
		}
		standard, err := verify.NewStandard([]verify.Secret{verify.NewSecret(secret)})
		if err != nil {
			t.Fatal(err)
		}
		if got := changed.Get("Webhook-Signature"); got != standard.Sign(e.ID.String(), e.Body, now).Get("Webhook-Signature") {
			t.Errorf("%s: ours is another's", name)
		}
	}
	check("before", "old")
	write(t, path, "sesame")
	write(t, signPath, "sesame")
	now = now.Add(2 * time.Second)
	check("after", "sesame")
	if h.verifier.Load().Renewable() != nil || !strings.Contains(log.String(), "a secret of `sign` has changed") {
		t.Errorf("logged %s", log)
	}
	write(t, path, "")
	write(t, signPath, "")
	now = now.Add(2 * time.Second)
	check("emptied", "sesame")
	if got := log.String(); strings.Count(got, "changed for the worse") != 2 || strings.Contains(got, "sesame") {
		t.Errorf("logged %s", got)
	}
}

func TestTheSignedAddressIsThePublicOne(t *testing.T) {
	for name, url := range map[string]string{"as received": "", "as configured": "https://public.example/y"} {
		_, sign, _ := signer(t, fmt.Sprintf(`{"from":{"provider":"hubspot","secrets":["s"],"url":%q},"to":[%s}]}`, url, anywhere))
		at := time.Now().Add(-time.Hour)
		q := sent(t, "hubspot", "s", at)
		if url != "" {
			q.URL = url
		}
		changed := sign(stock(sent(t, "hubspot", "s", at), "s", at), time.Now())
		if _, err := application(t, "hubspot", "s").Verify(delivered(q, changed), time.Now()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestALearnedSecretSignsAnew(t *testing.T) {
	h, _ := servingConfig(t, nil, fmt.Sprintf(`{"from":{"provider":"asana","learn":true},"to":[%s}]}`, anywhere))
	// Asana signs no time; as Stripe would, were its secret learned.
	stripe, _ := providers.Get("stripe")
	v, err := stripe.Compile(verify.Options{PerRequest: true})
	if err != nil {
		t.Fatal(err)
	}
	h.verifier.Store(v)
	sign, err := h.signing(h.To[0])
	if err != nil || sign == nil {
		t.Fatalf("got %v", err)
	}
	at := time.Now().Add(-time.Hour)
	q := sent(t, "stripe", "learned", at)
	if changed := sign(stock(q, "learned", at), time.Now()); len(changed) > 0 {
		t.Errorf("nothing is learned, and yet %v", changed)
	}
	g, _ := gateway.Running()
	_, err = g.Learn(h.Name, time.Now())
	if err = errors.Join(err, h.source.Learn(t.Context(), "learned", time.Now())); err != nil {
		t.Fatal(err)
	}
	changed := sign(stock(q, "learned", at), time.Now())
	if _, err := application(t, "stripe", "learned").Verify(delivered(q, changed), time.Now()); err != nil {
		t.Error(err)
	}
}

func TestASecretOfTheRequestIsNotReplacedByAnother(t *testing.T) {
	_, sign, log := signer(t, fmt.Sprintf(`{"from":{"provider":"stripe","secrets":["{vars.tenant}","s"]},"to":[%s}]}`, anywhere))
	if !strings.Contains(log.String(), "comes with each request") {
		t.Errorf("logged %s", log)
	}
	at := time.Now().Add(-time.Hour)
	log.Reset()
	for range 3 {
		if changed := sign(stock(sent(t, "stripe", "tenant", at), "tenant", at), time.Now()); len(changed) > 0 {
			t.Errorf("a tenant's event is signed with another secret: %v", changed)
		}
	}
	if strings.Count(log.String(), "\n") != 1 || !strings.Contains(log.String(), "destination=default") {
		t.Errorf("logged %s", log)
	}
	if changed := sign(stock(sent(t, "stripe", "s", at), "s", at), time.Now()); len(changed) == 0 {
		t.Error("what the configured secret has proven is not signed anew")
	}
	_, sign, log = signer(t, fmt.Sprintf(`{"from":{"provider":"stripe","secrets":["{vars.tenant}"]},"to":[%s}]}`, anywhere))
	if sign != nil || !strings.Contains(log.String(), "comes with each request") {
		t.Errorf("logged %s", log)
	}
	for from, to := range map[string]string{
		`"secrets":["{vars.tenant}"]`: `,"resign":"never"`, `"secrets":["{vars.tenant}"],"tolerance_off":true`: "",
	} {
		if _, sign, log := signer(t, fmt.Sprintf(`{"from":{"provider":"stripe",%s},"to":[%s%s}]}`, from, anywhere, to)); sign != nil || log.Len() > 0 {
			t.Errorf("%s, %s: logged %s", from, to, log)
		}
	}
}

// The address of the webhook has been changed since: nothing fits the signature.
func TestWhereNothingFitsTheDigestTellsTheSecret(t *testing.T) {
	_, sign, _ := signer(t, fmt.Sprintf(`{"from":{"provider":"hubspot","secrets":["first","s"],"url":"https://moved.example/y"},"to":[%s}]}`, anywhere))
	at := time.Now().Add(-time.Hour)
	changed := sign(stock(sent(t, "hubspot", "s", at), "s", at), time.Now())
	q := sent(t, "hubspot", "s", at)
	q.URL = "https://moved.example/y"
	if _, err := application(t, "hubspot", "s").Verify(delivered(q, changed), time.Now()); err != nil {
		t.Error(err)
	}
}

func TestAnEventIsSignedAnewAsItWasVerified(t *testing.T) {
	h, _ := serving(t, nil)
	for _, target := range []string{"/in?a=1&b=%2F&a=2", "http://shop.example/in?a=1", "/a%2Fb//c", "*"} {
		r := httptest.NewRequest(http.MethodPut, "/", strings.NewReader("{}"))
		r.RequestURI, r.Host = target, "shop.example"
		if u, err := url.ParseRequestURI(target); err == nil {
			r.URL = u
		}
		in := h.arrive(r)
		in.checked.Body = []byte("{}")
		h.addURL(in)
		if got := h.asProven(h.event(in, time.Now())); !reflect.DeepEqual(*got, in.checked) {
			t.Errorf("%s: %+v, was verified as %+v", target, *got, in.checked)
		}
	}
}

func TestWhatNeedsNoNewSignatureHasNothingToDo(t *testing.T) {
	for _, from := range []string{
		`{"provider":"github","secrets":["s"]}`, `{"provider":"gitlab","secrets":["token"]}`, `{"provider":"none"}`, `{"provider":"mailgun","secrets":["s"]}`,
	} {
		if _, sign, log := signer(t, fmt.Sprintf(`{"from":%s,"to":[%s}]}`, from, anywhere)); sign != nil || strings.Contains(log.String(), "resign") {
			t.Errorf("%s: logged %s", from, log)
		}
	}
	if _, sign, _ := signer(t, fmt.Sprintf(`{"from":{"provider":"github","secrets":["s"]},"to":[%s,"sign":["x"]}]}`, anywhere)); sign == nil {
		t.Error("`sign` does nothing for a provider without timestamps")
	}
}

func TestWhatCannotBeSignedDoesNotLoad(t *testing.T) {
	ctx := newExplaining(t).ctx
	for _, c := range []struct{ name, from, to, want string }{
		{"no timestamp", `{"provider":"github","secrets":["s"]}`, `"resign":"always"`, "resign always: of provider github the signature cannot be made anew: there is no timestamp in it"},
		{"a token", `{"provider":"gitlab","secrets":["s"]}`, `"resign":"always"`, "the secret itself is sent"},
		{"a key pair", `{"provider":"sendgrid","secrets":["` + publicKey(t, "sendgrid") + `"]}`, `"resign":"always"`, "only the sender has the private key"},
		{"in the body", `{"provider":"mailgun","secrets":["s"]}`, `"resign":"always"`, "it stands in the body"},
		{"in the query", `{"provider":"hmac","secrets":["s"],"options":{"query":["sig"],"timestamp":["header","X-Time"],"content":["{ts}{body}"]}}`, `"resign":"always"`, "it stands in the address"},
		{"nothing", `{"provider":"none"}`, `"resign":"always"`, "nothing is signed"},
		{"of the request", `{"provider":"stripe","secrets":["{vars.x}"]}`, `"resign":"always"`, "the secret comes with each request"},
		{"another word", `{"provider":"stripe","secrets":["s"]}`, `"resign":"sometimes"`, `resign: "sometimes" is none of auto, always and never`},
		{"an empty secret", `{"provider":"stripe","secrets":["s"]}`, `"sign":["a",""]`, "sign: secret 2 (a literal) is empty or not set"},
		{"an unset one", `{"provider":"stripe","secrets":["s"]}`, `"sign":["{env.SURELY_NOT_SET_HERE}"]`, "sign: secret 1 ({env.SURELY_NOT_SET_HERE}) is empty or not set"},
		{"one of the request", `{"provider":"stripe","secrets":["s"]}`, `"sign":["{vars.x}"]`, "sign: a placeholder of the request has no value when an event is delivered"},
		{"an unknown one", `{"provider":"stripe","secrets":["s"]}`, `"sign":["{webhooks.type}"]`, "nothing fills {webhooks.type}"},
		{"not base64", `{"provider":"stripe","secrets":["s"]}`, `"sign":["whsec_%%"]`, "base64 behind whsec_"},
	} {
		one := new(Handler)
		config := fmt.Sprintf(`{"name":"other","from":%s,"to":[%s,%s}],"places":{"webhooks":"Caddyfile:2","default/resign":"Caddyfile:7","default/sign":"Caddyfile:8"}}`, c.from, anywhere, c.to)
		if err := json.Unmarshal([]byte(config), one); err != nil {
			t.Fatal(err)
		}
		err := one.Provision(ctx)
		line := map[bool]string{true: "Caddyfile:7", false: "Caddyfile:8"}[strings.Contains(c.to, "resign")]
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasSuffix(err.Error(), ", at "+line) || strings.Contains(err.Error(), "%%") {
			t.Errorf("%s: got %v, want %s", c.name, err, c.want)
		}
	}
}

func TestALiteralSecretToSignWithWarnsAndIsNotLogged(t *testing.T) {
	_, _, log := signer(t, fmt.Sprintf(`{"from":{"provider":"stripe","secrets":["s"]},"to":[%s,"sign":[" open sesame"]}]}`, anywhere))
	if got := log.String(); strings.Count(got, "\n") != 2 || !strings.Contains(got, "stands in the configuration itself") || !strings.Contains(got, "white space") || strings.Contains(got, "sesame") {
		t.Errorf("logged %s", got)
	}
}

// publicKey is one of the kind that a provider has.
func publicKey(t *testing.T, provider string) string {
	t.Helper()
	r, _ := providers.Get(provider)
	private, err := r.NewKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	text, err := r.PublicKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	return text
}
