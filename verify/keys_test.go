package verify_test

import (
	"crypto"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/verify"
	"github.com/caddy-webhooks/caddy-webhooks/verify/providers"
)

// unasked is a source of keys that must not be asked.
type unasked struct{ t *testing.T }

func (u unasked) Get(q verify.KeyQuery, _ time.Time) ([]crypto.PublicKey, error) {
	u.t.Errorf("%s was asked", q.URL)
	return nil, verify.ErrKeys
}

func TestNobodyIsAskedForAKeyOnBehalfOfWhatIsRefusedAnyway(t *testing.T) {
	t.Parallel()
	record, _ := providers.Get("aws-sns")
	v, err := record.Compile(verify.Options{Params: map[string][]string{"topic": {"t1", "t2"}}, Keys: unasked{t}})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	message := func(kind, topic, signature, certificate string, at time.Time) string {
		return `{"Type":"` + kind + `","MessageId":"1","Message":"m","TopicArn":"` + topic + `","Timestamp":"` + at.UTC().Format(time.RFC3339) +
			`","SignatureVersion":"2","Signature":"` + signature + `","SigningCertURL":"` + certificate + `"}`
	}
	const good = "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0a.pem"
	for name, body := range map[string]string{
		"another topic":        message("Notification", "t3", "AAAA", good, now),
		"no signature":         message("Notification", "t1", "", good, now),
		"no base64":            message("Notification", "t1", "%%%", good, now),
		"an old one":           message("Notification", "t1", "AAAA", good, now.Add(-2*time.Hour)),
		"of a time to come":    message("Notification", "t1", "AAAA", good, now.Add(time.Hour)),
		"of another kind":      message("Forged", "t1", "AAAA", good, now),
		"another's server":     message("Notification", "t1", "AAAA", strings.Replace(good, ".com/", ".com.evil.test/", 1), now),
		"a server with a user": message("Notification", "t1", "AAAA", strings.Replace(good, "https://", "https://sns.eu-west-1.amazonaws.com@evil.test/", 1), now),
		"without TLS":          message("Notification", "t1", "AAAA", strings.Replace(good, "https", "http", 1), now),
		"another path":         message("Notification", "t1", "AAAA", strings.Replace(good, "Simple", "bucket/Simple", 1), now),
		"with a query":         message("Notification", "t1", "AAAA", good+"?x=.pem", now),
		"no JSON":              "Type=Notification",
	} {
		r := &verify.Request{Method: http.MethodPost, Header: http.Header{}, Body: []byte(body)}
		if _, err := v.Verify(r, now); !errors.Is(err, verify.ErrRejected) {
			t.Errorf("%s: %v, want a refusal", name, err)
		}
	}
}

// down is a source of keys that cannot be reached.
type down struct{}

func (down) Get(verify.KeyQuery, time.Time) ([]crypto.PublicKey, error) { return nil, verify.ErrKeys }

func TestAKeyThatCannotBeHadIsNoRefusal(t *testing.T) {
	t.Parallel()
	record, _ := providers.Get("google-pubsub")
	params := map[string][]string{"audience": {"a"}, "email": {"e"}}
	for _, keys := range []verify.Keys{down{}, nil} {
		v, err := record.Compile(verify.Options{Params: params, Keys: keys})
		if err != nil {
			t.Fatal(err)
		}
		r := post("{}")
		r.Header.Set("Authorization", "Bearer eyJhbGciOiJSUzI1NiIsImtpZCI6ImsifQ.e30.AAAA")
		if _, err := v.Verify(r, time.Now()); !errors.Is(err, verify.ErrKeys) || errors.Is(err, verify.ErrRejected) {
			t.Errorf("with %T: %v", keys, err)
		}
	}
}
