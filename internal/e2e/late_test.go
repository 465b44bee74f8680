package e2e

import (
	"bytes"
	"net/http"
	"testing"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/internal/testkit"
	"github.com/caddy-webhooks/caddy-webhooks/verify"
	"github.com/caddy-webhooks/caddy-webhooks/verify/providers"
)

// accepts tells whether an application with this secret would take a request now.
func accepts(t *testing.T, provider, secret string, got testkit.Got) error {
	t.Helper()
	r, _ := providers.Get(provider)
	v, err := r.Compile(verify.Options{Secrets: []verify.Secret{verify.NewSecret(secret)}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = v.Verify(&verify.Request{Method: got.Method, Header: got.Header, Body: got.Body}, time.Now())
	return err
}

func TestExampleVerifying(t *testing.T) {
	t.Parallel()
	shop, ledger := testkit.NewApp(t), testkit.NewApp(t)
	const newer, older = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_AAAA9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	g := testkit.New(t, "STRIPE_SECRET=whsec_test", "LEDGER_SECRET="+newer, "LEDGER_SECRET_OLD="+older).
		Start(example(t, "verifying", "localhost:3001", shop.Addr(), "localhost:3002", ledger.Addr()))
	sent := time.Now().Add(-time.Minute)
	r, _ := providers.Get("stripe")
	v, err := r.Compile(verify.Options{Secrets: []verify.Secret{verify.NewSecret("whsec_test")}})
	if err != nil {
		t.Fatal(err)
	}
	body := []byte("{\"id\": \"evt_1\",\r\n \"type\": \"invoice.paid\"}")
	q := &verify.Request{Method: http.MethodPost, Header: http.Header{}, Body: body}
	if err := v.Sign(q, sent, ""); err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequest(http.MethodPost, "http://"+g.Addr+"/stripe", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = q.Header
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	testkit.Eventually(t, "both got it", func() bool { return len(shop.Got()) == 1 && len(ledger.Got()) == 1 })
	was := q.Header.Get("Stripe-Signature")
	a, b := shop.Got()[0], ledger.Got()[0]
	if err := accepts(t, "stripe", "whsec_test", a); err != nil || a.Header.Get("Stripe-Signature") == was || a.Header.Get("Webhook-Original-Stripe-Signature") != was {
		t.Errorf("the shop: %v: %v", err, a.Header)
	}
	for _, secret := range []string{newer, older} {
		if err := accepts(t, "standard-webhooks", secret, b); err != nil || b.Header.Get("Stripe-Signature") != was {
			t.Errorf("the ledger: %v: %v", err, b.Header)
		}
	}
	if id := resp.Header.Get("Webhook-Event-Id"); b.Header.Get("Webhook-Id") != id || !bytes.Equal(a.Body, body) || !bytes.Equal(b.Body, body) {
		t.Errorf("event %s: %q %q %v", id, a.Body, b.Body, b.Header)
	}
}
