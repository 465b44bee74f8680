// Package judges has the providers' official SDKs judge our signatures: what
// we sign they must accept, what they sign we must. It is a module of its own,
// so that nobody who uses the gateway downloads them.
package judges

import (
	"bytes"
	"crypto/ed25519"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"testing"
	"time"

	paddle "github.com/PaddleHQ/paddle-go-sdk/v4"
	"github.com/bwmarrin/discordgo"
	"github.com/google/go-github/v66/github"
	"github.com/slack-go/slack"
	standard "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stripe/stripe-go/v82/webhook"
	svix "github.com/svix/svix-webhooks/go"

	"github.com/caddy-webhooks/caddy-webhooks/verify"
	"github.com/caddy-webhooks/caddy-webhooks/verify/providers"
)

var bodies = []string{`{"a":"é"}`, "", "\xff\x00\r\n", `payload=%7B%7D&x=1`}

func compile(t *testing.T, name, secret string) *verify.Verifier {
	t.Helper()
	r, ok := providers.Get(name)
	if !ok {
		t.Fatalf("no provider %s", name)
	}
	v, err := r.Compile(verify.Options{Secrets: []verify.Secret{verify.NewSecret(secret)}})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func request(body string) *verify.Request {
	return &verify.Request{Method: http.MethodPost, Header: http.Header{}, Query: url.Values{}, Body: []byte(body)}
}

// both holds our signature before the judge and the judge's before us.
func both(t *testing.T, v *verify.Verifier, body string, judge func(h http.Header) error, sign func(h http.Header)) {
	t.Helper()
	ours := request(body)
	if err := v.Sign(ours, time.Now(), "msg_1"); err != nil {
		t.Fatal(err)
	}
	if err := judge(ours.Header); err != nil {
		t.Errorf("the judge refuses our signature of %q: %v", body, err)
	}
	if sign == nil {
		return
	}
	theirs := request(body)
	sign(theirs.Header)
	if _, err := v.Verify(theirs, time.Now()); err != nil {
		t.Errorf("we refuse the judge's signature of %q: %v", body, err)
	}
	theirs.Body = append(theirs.Body, '!')
	if _, err := v.Verify(theirs, time.Now()); err == nil {
		t.Errorf("we accept the judge's signature of %q for another body", body)
	}
}

func TestStripe(t *testing.T) {
	t.Parallel()
	v := compile(t, "stripe", "whsec_test")
	for _, body := range bodies {
		both(t, v, body,
			func(h http.Header) error {
				return webhook.ValidatePayload([]byte(body), h.Get("Stripe-Signature"), "whsec_test")
			},
			func(h http.Header) {
				signed := webhook.GenerateTestSignedPayload(&webhook.UnsignedPayload{Payload: []byte(body), Secret: "whsec_test"})
				h.Set("Stripe-Signature", signed.Header)
			})
	}
}

func TestStandardWebhooksAndSvix(t *testing.T) {
	t.Parallel()
	const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	v := compile(t, "standard-webhooks", secret)
	ours, err := standard.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := svix.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	for _, body := range bodies {
		stamp := func(h http.Header, prefix string, sign func(id string, at time.Time, b []byte) (string, error)) {
			now := time.Now()
			signature, err := sign("msg_2", now, []byte(body))
			if err != nil {
				t.Fatal(err)
			}
			h.Set(prefix+"Id", "msg_2")
			h.Set(prefix+"Timestamp", strconv.FormatInt(now.Unix(), 10))
			h.Set(prefix+"Signature", signature)
		}
		both(t, v, body, func(h http.Header) error { return ours.Verify([]byte(body), h) },
			func(h http.Header) { stamp(h, "Webhook-", ours.Sign) })
		both(t, v, body, func(h http.Header) error { return theirs.Verify([]byte(body), h) },
			func(h http.Header) { stamp(h, "Svix-", theirs.Sign) })
	}
}

func TestGitHub(t *testing.T) {
	t.Parallel()
	v := compile(t, "github", "secret")
	for _, body := range bodies {
		both(t, v, body, func(h http.Header) error {
			return github.ValidateSignature(h.Get("X-Hub-Signature-256"), []byte(body), []byte("secret"))
		}, nil)
	}
}

func TestSlack(t *testing.T) {
	t.Parallel()
	v := compile(t, "slack", "secret")
	for _, body := range bodies {
		both(t, v, body, func(h http.Header) error {
			judge, err := slack.NewSecretsVerifier(h, "secret")
			if err != nil {
				return err
			}
			if _, err := io.WriteString(&judge, body); err != nil {
				return err
			}
			return judge.Ensure()
		}, nil)
	}
}

func TestPaddle(t *testing.T) {
	t.Parallel()
	v := compile(t, "paddle", "pdl_ntfset_secret")
	judge := paddle.NewWebhookVerifier("pdl_ntfset_secret")
	for _, body := range bodies {
		both(t, v, body, func(h http.Header) error {
			r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader([]byte(body)))
			r.Header = h.Clone()
			ok, err := judge.Verify(r)
			if err == nil && !ok {
				err = io.ErrUnexpectedEOF
			}
			return err
		}, nil)
	}
}

func TestDiscord(t *testing.T) {
	t.Parallel()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	r, _ := providers.Get("discord")
	configured, err := r.PublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	v := compile(t, "discord", configured)
	for _, body := range bodies {
		ours := request(body)
		if err := v.SignKey(ours, private, time.Now(), ""); err != nil {
			t.Fatal(err)
		}
		q := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader([]byte(body)))
		q.Header = ours.Header.Clone()
		if !discordgo.VerifyInteraction(q, public) {
			t.Errorf("the judge refuses our signature of %q", body)
		}
		if _, err := v.Verify(ours, time.Now()); err != nil {
			t.Errorf("we refuse what the judge accepts: %v", err)
		}
	}
}
