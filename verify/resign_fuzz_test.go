package verify_test

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/verify"
)

// FuzzRenew gives any headers to verifiers of each form: what is made anew proves
// the request now, and nothing panics.
func FuzzRenew(f *testing.F) {
	f.Add("Stripe-Signature", "t=1,v1=00,v1=ff", "", "{}", int64(3600))
	f.Add("X-Slack-Signature", "v0=00", "X-Slack-Request-Timestamp", "{}", int64(3600))
	f.Add("Webhook-Signature", "v1,AA== v1a,AA==", "Svix-Signature", "{}", int64(3600))
	f.Add("Box-Signature-Secondary", "AA==", "Box-Delivery-Timestamp", "{}", int64(3600))
	f.Add("Authorization", "JWT eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjF9.AA", "", "{}", int64(-1))
	f.Add("Authorization", "JWT eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjB9.", "", "0", int64(42))
	f.Add("X-Front-Signature", "AA==", "X-Front-Request-Timestamp", "{}", int64(1<<62))
	f.Fuzz(func(t *testing.T, name, value, other, body string, after int64) {
		for _, provider := range []string{"stripe", "slack", "standard-webhooks", "box", "jira-connect", "persona", "recurly", "front", "cloudinary", "contentful"} {
			secret := "a shared secret of more than thirty-two bytes"
			if provider == "standard-webhooks" {
				secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
			}
			v := sourceOf(t, provider, 0, secret)
			q := ask(body)
			if err := v.Sign(q, noon, "msg_1"); err != nil {
				t.Fatal(err)
			}
			for _, n := range []string{name, other} {
				if n != "" {
					q.Header[http.CanonicalHeaderKey(n)] = []string{value}
				}
			}
			now := noon.Add(time.Duration(after % int64(200*365*24*time.Hour)))
			changed, err := v.Renew(q, verify.Renewal{Now: now, Received: noon, Always: after%2 == 0})
			if err != nil && !errors.Is(err, verify.ErrCannotRenew) {
				t.Fatalf("%s: %v", provider, err)
			}
			if len(changed) == 0 {
				continue
			}
			_, err = v.Verify(with(q, changed), now)
			if provider == "jira-connect" && errors.Is(err, verify.ErrMismatch) {
				continue // claims that the provider never makes stay as they are: such a token proved nothing before
			}
			if err != nil && !errors.Is(err, verify.ErrFormat) && !errors.Is(err, verify.ErrMissing) {
				t.Fatalf("%s: %v\n%v\n%v", provider, err, q.Header, changed)
			}
		}
	})
}
