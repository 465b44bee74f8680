package judges

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	standard "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/caddy-webhooks/caddy-webhooks/gateway"
	"github.com/caddy-webhooks/caddy-webhooks/handler"
	"github.com/caddy-webhooks/caddy-webhooks/verify"
	"github.com/caddy-webhooks/caddy-webhooks/verify/verifytest"
)

// lateness is how long the events of these tests wait.
const lateness = 2 * time.Hour

// ageless are the SDKs that by default take a signature of any age.
var ageless = map[string]string{
	"Go PaddleHQ/paddle-go-sdk":    "has a tolerance, and it is off",
	"Go buildkite/go-buildkite":    "signs the timestamp along, and does not look at it",
	"npm @atlassian/atlassian-jwt": "leaves the token's end to the application",
	"npm @sanity/webhook":          "signs the timestamp along, and does not look at it",
	"npm replicate":                "signs the timestamp along, and does not look at it",
	"npm webflow-api":              "signs the timestamp along, and does not look at it",
}

// bench is one gateway whose sources accept events as if it were earlier; they
// are delivered now.
type bench struct {
	t   *testing.T
	ctx caddy.Context
	app *gateway.App
}

func newBench(t *testing.T) *bench {
	t.Helper()
	ctx, err := caddy.ProvisionContext(&caddy.Config{
		Admin:   &caddy.AdminConfig{Disabled: true},
		AppsRaw: caddy.ModuleMap{"webhooks": json.RawMessage(`{"store":{"kind":"memory"}}`)},
	})
	if err != nil {
		t.Fatal(err)
	}
	module, err := ctx.App("webhooks")
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, ctx: ctx, app: module.(*gateway.App)}
	t.Cleanup(func() {
		if err := b.app.Cleanup(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// source sets up a source whose events come at a time.
func (b *bench) source(name string, x *trial, at time.Time, destinations ...string) *handler.Handler {
	b.t.Helper()
	record := x.verifier.Record()
	from, err := json.Marshal(map[string]any{"provider": record.Name, "secrets": []string{x.secret}, "options": verifytest.Params(record)})
	if err != nil {
		b.t.Fatal(err)
	}
	h := &handler.Handler{}
	h.Clock = func() time.Time { return at }
	config := fmt.Sprintf(`{"name":%q,"from":%s,"to":[%s]}`, name, from, strings.Join(destinations, ","))
	if err := json.Unmarshal([]byte(config), h); err != nil {
		b.t.Fatal(err)
	}
	if err := h.Provision(b.ctx); err != nil {
		b.t.Fatalf("%s: %v", name, err)
	}
	return h
}

// accept has a source accept a request, as Caddy would hand it over.
func accept(t *testing.T, h *handler.Handler, q *verify.Request) {
	t.Helper()
	r := httptest.NewRequest(q.Method, strings.TrimPrefix(q.URL, "https://hooks.example.com"), bytes.NewReader(q.Body))
	r.Host, r.TLS, r.Header = "hooks.example.com", &tls.ConnectionState{}, q.Header.Clone()
	w := httptest.NewRecorder()
	if err := h.ServeHTTP(w, r, nil); err != nil || w.Code/100 != 2 {
		t.Fatalf("%s: answered %d %v, %v", h.Name, w.Code, w.Header(), err)
	}
}

// received is what a legacy application got, and what its SDK said.
type received struct {
	request *verify.Request
	err     error
}

// legacy starts an application that verifies each request as its SDK does, with
// all that the SDK does by default, and gives what it got.
func legacy(t *testing.T, judge func(*verify.Request) error) (address string, got <-chan received) {
	t.Helper()
	list := make(chan received, 64)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		q := &verify.Request{Method: r.Method, URL: r.Header.Get("X-Forwarded-Proto") + "://" + r.Host + r.RequestURI, Header: r.Header, Body: body}
		if err = errors.Join(err, judge(q)); err != nil {
			w.WriteHeader(http.StatusBadRequest)
		}
		select {
		case list <- received{q, err}:
		default: // an attempt too many, after the test
		}
	}))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String(), list
}

func first(t *testing.T, got <-chan received) received {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	select {
	case r := <-got:
		return r
	case <-ctx.Done():
		t.Fatal("nothing arrives")
		return received{}
	}
}

func destination(name, address, more string) string {
	return fmt.Sprintf(`{"name":%q,"routes":[{"handle":[{"handler":"reverse_proxy","upstreams":[{"dial":%q}]}]}]%s}`, name, address, more)
}

// juror is an SDK before which a late delivery has to verify.
type juror struct {
	name string
	x    *trial
	says func(*verify.Request) error
}

// jury are all of them whose provider signs a timestamp with a shared secret.
func jury(t *testing.T) []juror {
	t.Helper()
	var list []juror
	for _, j := range goJudges {
		if x := newTrial(t, j.judge); j.verify != nil && x.verifier.Renewable() == nil {
			list = append(list, juror{"Go " + j.sdk, x, func(q *verify.Request) error { return j.verify(x.secret, q) }})
		}
	}
	for _, j := range npm {
		x := newTrial(t, j)
		if !j.verifies || x.verifier.Renewable() != nil {
			continue
		}
		list = append(list, juror{"npm " + j.sdk, x, func(q *verify.Request) error {
			question := x.question("verify", q)
			question.Now = time.Now().UnixMilli()
			v, err := x.court.ask(question)
			if err == nil && !v.OK {
				err = fmt.Errorf("%w: %s", errRefused, v.Why)
			}
			return err
		}})
	}
	return list
}

// An event comes, and is delivered two hours later. The provider's own SDK takes it,
// and does not take it as it was sent.
func TestTheOfficialSDKsTakeADeliveryThatIsTwoHoursLate(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	type trialOf struct {
		juror
		h           *handler.Handler
		late, never <-chan received
	}
	var trials []trialOf
	at := time.Now().Add(-lateness).Truncate(time.Second)
	for i, j := range jury(t) {
		j.x.now = at
		late, gotLate := legacy(t, j.says)
		never, gotNever := legacy(t, j.says)
		h := b.source(fmt.Sprintf("s%d", i), j.x, at, destination("late", late, ""), destination("never", never, `,"resign":"never"`))
		trials = append(trials, trialOf{j, h, gotLate, gotNever})
	}
	if err := b.app.Start(); err != nil {
		t.Fatal(err)
	}
	for _, c := range trials {
		q := c.x.signed()
		accept(t, c.h, q)
		late, never := first(t, c.late), first(t, c.never)
		if late.err != nil {
			t.Errorf("%s: %s refuses a late delivery: %v\n%v\n%v", c.x.provider, c.name, late.err, q.Header, late.request.Header)
		}
		if (never.err == nil) != (ageless[c.name] != "") {
			t.Errorf("%s: %s says of what is two hours old: %v", c.x.provider, c.name, never.err)
		}
		if !bytes.Equal(late.request.Body, q.Body) || !bytes.Equal(never.request.Body, q.Body) || late.request.URL != q.URL || late.request.Method != q.Method {
			t.Errorf("%s: %s %s %q", c.x.provider, late.request.Method, late.request.URL, late.request.Body)
		}
	}
	if refusing := len(trials) - len(ageless); refusing < 20 {
		t.Errorf("only %d judges look at the time", refusing)
	}
}

// What `sign` adds is taken by the libraries of Standard Webhooks, with either secret.
func TestTheLibrariesOfStandardWebhooksTakeWhatWeSignForTheApplication(t *testing.T) {
	t.Parallel()
	newer, older := "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_AAAA9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	inGo := func(secret string, q *verify.Request) error {
		open := standard.NewWebhook
		if !strings.HasPrefix(secret, "whsec_") {
			open = func(s string) (*standard.Webhook, error) { return standard.NewWebhookRaw([]byte(s)) }
		}
		w, err := open(secret)
		if err != nil {
			return err
		}
		return w.Verify(q.Body, q.Header)
	}
	inNode := func(secret string, q *verify.Request) error {
		x := newTrial(t, judge{provider: "standard-webhooks", secret: secret})
		v, err := x.court.ask(x.question("verify", q))
		if err == nil && !v.OK {
			err = fmt.Errorf("%w: %s", errRefused, v.Why)
		}
		return err
	}
	for _, provider := range []string{"github", "standard-webhooks", "svix"} {
		b := newBench(t)
		address, got := legacy(t, func(*verify.Request) error { return nil })
		x := newTrial(t, judge{provider: provider})
		h := b.source(provider, x, x.now, destination("default", address, fmt.Sprintf(`,"sign":[%q,%q,"plain text"]`, newer, older)))
		if err := b.app.Start(); err != nil {
			t.Fatal(err)
		}
		accept(t, h, x.signed())
		q := first(t, got).request
		for _, secret := range []string{newer, older, "plain text"} {
			if err := inGo(secret, q); err != nil {
				t.Errorf("%s: Go, %s: %v", provider, secret, err)
			}
			if inGo(secret, tampered(q)) == nil {
				t.Errorf("%s: Go, %s: another body is taken", provider, secret)
			}
		}
		for _, secret := range []string{newer, older} {
			if err := inNode(secret, q); err != nil {
				t.Errorf("%s: Node, %s: %v", provider, secret, err)
			}
		}
		if inGo(x.secret[:len(x.secret)-4]+"AAAA", q) == nil || inNode("whsec_BBBB9r8GKYqrTwjUPD8ILPZIo2LaLaSw", q) == nil {
			t.Errorf("%s: any secret will do", provider)
		}
	}
}
