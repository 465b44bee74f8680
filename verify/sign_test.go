package verify_test

import (
	"net/http"
	"testing"

	"github.com/tidwall/gjson"

	"github.com/caddy-webhooks/caddy-webhooks/verify"
	"github.com/caddy-webhooks/caddy-webhooks/verify/providers"
	"github.com/caddy-webhooks/caddy-webhooks/verify/verifytest"
)

// Four schemes of Amazon SNS have their signature in one place.
func TestAProofIsSpoiltOnceHoweverManySchemesReadIt(t *testing.T) {
	t.Parallel()
	r, _ := providers.Get("aws-sns")
	v, err := r.Compile(verify.Options{Params: verifytest.Params(r)})
	if err != nil {
		t.Fatal(err)
	}
	q := &verify.Request{Header: http.Header{}, Body: []byte(`{"Signature":"0"}`)}
	other := map[string]string{"0": "1", "1": "0"}
	if err := v.Spoil(q, func(s string) string { return other[s] }); err != nil || gjson.GetBytes(q.Body, "Signature").Str != "1" {
		t.Errorf("got %s, %v", q.Body, err)
	}
}
