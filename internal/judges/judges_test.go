// Package judges has the providers' official SDKs judge our signatures: what
// we sign they must accept, what they sign we must. It is a module of its own,
// so that nobody who uses the gateway downloads them.
package judges

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	paddle "github.com/PaddleHQ/paddle-go-sdk/v4"
	"github.com/PagerDuty/go-pagerduty/webhookv3"
	"github.com/buildkite/go-buildkite/v4"
	"github.com/bwmarrin/discordgo"
	"github.com/google/go-github/v66/github"
	"github.com/mailgun/mailgun-go/v4"
	"github.com/sendgrid/sendgrid-go/helpers/eventwebhook"
	"github.com/slack-go/slack"
	standard "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stripe/stripe-go/v82/webhook"
	svix "github.com/svix/svix-webhooks/go"
	"github.com/tidwall/gjson"
	"github.com/twilio/twilio-go/client"

	"github.com/caddy-webhooks/caddy-webhooks/verify"
)

// goJudge is an SDK for Go.
type goJudge struct {
	judge

	// verify is nil where the SDK does not; so is sign.
	verify func(secret string, r *verify.Request) error
	sign   func(secret string, r *verify.Request, now time.Time) error
}

var errRefused = errors.New("the SDK refuses it")

func refusedUnless(ok bool) error {
	if ok {
		return nil
	}
	return errRefused
}

// served is the request as a server of the SDK would have it.
func served(r *verify.Request) *http.Request {
	q := httptest.NewRequest(r.Method, r.URL, bytes.NewReader(r.Body))
	q.Header = r.Header.Clone()
	return q
}

// goJudges lists the judges, by provider.
var goJudges = []goJudge{
	{judge: judge{provider: "buildkite", sdk: "buildkite/go-buildkite"}, verify: func(secret string, r *verify.Request) error {
		_, err := buildkite.ValidatePayload(served(r), []byte(secret))
		return err
	}},
	{judge: judge{provider: "discord", sdk: "bwmarrin/discordgo"}, verify: func(secret string, r *verify.Request) error {
		public, err := hex.DecodeString(secret)
		if err != nil {
			return err
		}
		return refusedUnless(discordgo.VerifyInteraction(served(r), ed25519.PublicKey(public)))
	}},
	{judge: judge{provider: "github", sdk: "google/go-github"}, verify: func(secret string, r *verify.Request) error {
		return github.ValidateSignature(r.Header.Get("X-Hub-Signature-256"), r.Body, []byte(secret))
	}},
	{judge: judge{provider: "mailgun", sdk: "mailgun/mailgun-go"}, verify: func(secret string, r *verify.Request) error {
		mg := mailgun.NewMailgun("example.com", secret)
		mg.SetWebhookSigningKey(secret)
		s := gjson.GetBytes(r.Body, "signature")
		ok, err := mg.VerifyWebhookSignature(mailgun.Signature{
			TimeStamp: s.Get("timestamp").String(), Token: s.Get("token").String(), Signature: s.Get("signature").String(),
		})
		return errors.Join(err, refusedUnless(ok))
	}},
	{judge: judge{provider: "paddle", sdk: "PaddleHQ/paddle-go-sdk"}, verify: func(secret string, r *verify.Request) error {
		ok, err := paddle.NewWebhookVerifier(secret).Verify(served(r))
		return errors.Join(err, refusedUnless(ok))
	}},
	{judge: judge{provider: "pagerduty", sdk: "PagerDuty/go-pagerduty"}, verify: func(secret string, r *verify.Request) error {
		return webhookv3.VerifySignature(served(r), secret)
	}},
	{judge: judge{provider: "sendgrid", sdk: "sendgrid/sendgrid-go"}, verify: func(secret string, r *verify.Request) error {
		public, err := eventwebhook.ConvertPublicKeyBase64ToECDSA(secret)
		if err != nil {
			return err
		}
		ok, err := eventwebhook.VerifySignature(public, r.Body,
			r.Header.Get("X-Twilio-Email-Event-Webhook-Signature"), r.Header.Get("X-Twilio-Email-Event-Webhook-Timestamp"))
		return errors.Join(err, refusedUnless(ok))
	}},
	{judge: judge{provider: "slack", sdk: "slack-go/slack"}, verify: func(secret string, r *verify.Request) error {
		v, err := slack.NewSecretsVerifier(r.Header, secret)
		if err != nil {
			return err
		}
		if _, err := v.Write(r.Body); err != nil {
			return err
		}
		return v.Ensure()
	}},
	{
		judge: judge{provider: "standard-webhooks", sdk: "standard-webhooks/standard-webhooks"},
		verify: func(secret string, r *verify.Request) error {
			w, err := standard.NewWebhook(secret)
			if err != nil {
				return err
			}
			return w.Verify(r.Body, r.Header)
		},
		sign: func(secret string, r *verify.Request, now time.Time) error {
			w, err := standard.NewWebhook(secret)
			if err != nil {
				return err
			}
			signature, err := w.Sign("msg_2", now, r.Body)
			name(r, "Webhook-", now, signature)
			return err
		},
	},
	{
		judge: judge{provider: "stripe", sdk: "stripe/stripe-go"},
		verify: func(secret string, r *verify.Request) error {
			return webhook.ValidatePayload(r.Body, r.Header.Get("Stripe-Signature"), secret)
		},
		sign: func(secret string, r *verify.Request, now time.Time) error {
			signed := webhook.GenerateTestSignedPayload(&webhook.UnsignedPayload{Payload: r.Body, Secret: secret, Timestamp: now})
			r.Header.Set("Stripe-Signature", signed.Header)
			return nil
		},
	},
	{
		judge: judge{provider: "svix", sdk: "svix/svix-webhooks"},
		verify: func(secret string, r *verify.Request) error {
			w, err := svix.NewWebhook(secret)
			if err != nil {
				return err
			}
			return w.Verify(r.Body, r.Header)
		},
		sign: func(secret string, r *verify.Request, now time.Time) error {
			w, err := svix.NewWebhook(secret)
			if err != nil {
				return err
			}
			signature, err := w.Sign("msg_2", now, r.Body)
			name(r, "Svix-", now, signature)
			return err
		},
	},
	{judge: judge{provider: "twilio", sdk: "twilio/twilio-go"}, verify: func(secret string, r *verify.Request) error {
		form, err := url.ParseQuery(string(r.Body))
		if err != nil {
			return err
		}
		params := map[string]string{}
		for key := range form {
			params[key] = form.Get(key)
		}
		validator := client.NewRequestValidator(secret)
		return refusedUnless(validator.Validate(r.URL, params, r.Header.Get("X-Twilio-Signature")))
	}},
}

// name sets the headers of a Standard Webhooks signature.
func name(r *verify.Request, prefix string, now time.Time, signature string) {
	r.Header.Set(prefix+"Id", "msg_2")
	r.Header.Set(prefix+"Timestamp", strconv.FormatInt(now.Unix(), 10))
	r.Header.Set(prefix+"Signature", signature)
}

// bodies are what is signed besides the sample, where the SDK takes any bytes.
var bodies = []string{`{"a":"é"}`, "\xff\x00\r\n", `payload=%7B%7D&x=1`}

func TestTheOfficialSDKsForGoAcceptWhatWeSignAndWeWhatTheySign(t *testing.T) {
	t.Parallel()
	for _, j := range goJudges {
		t.Run(j.provider, func(t *testing.T) {
			t.Parallel()
			x := newTrial(t, j.judge)
			x.judgeInGo(j, x.signed())
			if j.sign != nil {
				x.signInGo(j, x.request())
			}
			if kind := x.verifier.Record().Schemes[0]; !x.covered() || strings.Contains(kind.Content, "{url}") {
				return
			}
			for _, body := range bodies {
				x.body = body
				r := x.request()
				r.Body = []byte(body)
				x.signAs(r)
				x.judgeInGo(j, r)
				if j.sign != nil {
					r := x.request()
					r.Body = []byte(body)
					x.signInGo(j, r)
				}
			}
		})
	}
}

func (x *trial) judgeInGo(j goJudge, ours *verify.Request) {
	if err := j.verify(x.secret, ours); err != nil {
		x.Errorf("the judge refuses our signature of %q %v: %v", ours.Body, ours.Header, err)
	}
	if !x.covered() {
		return
	}
	changed := *ours
	changed.Body = append(slices.Clone(ours.Body), "&b=2"...)
	if err := j.verify(x.secret, &changed); err == nil {
		x.Errorf("the judge accepts another body than %q", ours.Body)
	}
}

func (x *trial) signInGo(j goJudge, theirs *verify.Request) {
	if err := j.sign(x.secret, theirs, x.now); err != nil {
		x.Fatal(err)
	}
	if _, err := x.verifier.Verify(theirs, x.now); err != nil {
		x.Errorf("we refuse the judge's signature of %q: %v", theirs.Body, err)
	}
	theirs.Body = append(slices.Clone(theirs.Body), '!')
	if _, err := x.verifier.Verify(theirs, x.now); err == nil {
		x.Errorf("we accept the judge's signature of %q for another body", theirs.Body)
	}
}
