package verify_test

import (
	"bytes"
	"net/http"
	"net/url"
	"runtime/debug"
	"testing"

	"github.com/caddy-webhooks/caddy-webhooks/verify"
	"github.com/caddy-webhooks/caddy-webhooks/verify/providers"
	"github.com/caddy-webhooks/caddy-webhooks/verify/verifytest"
)

// A parser that calls itself for each level needs a stack as large as a
// stranger likes, and Go ends the process when it is full: 25 MiB of `[` are
// within what GitHub's cap lets in.
func TestNestedBodiesNeedNoStack(t *testing.T) {
	debug.SetMaxStack(16 << 20) // else the process is only nearly ended
	bodies := [][]byte{bytes.Repeat([]byte("["), 1<<20), bytes.Repeat([]byte(`{"a":`), 1<<18)}
	for _, r := range providers.All() {
		o := verify.Options{Params: verifytest.Params(r), PerRequest: true}
		v, err := r.Compile(o)
		if err != nil {
			continue // it takes public keys
		}
		for _, body := range bodies {
			q := &verify.Request{Method: http.MethodPost, Header: http.Header{}, Query: url.Values{}, URL: "https://x.example/", Body: body}
			for _, name := range v.Proof() {
				q.Header.Set(name, "sha256=00")
			}
			v.Greet(q, false)
			v.Offered(q)
			_, err := v.Verify(q, noon, verify.NewSecret(verifytest.Secret(r)))
			v.Greet(q, true)
			if err != nil {
				v.Explain(verify.Refusal{Request: q, Err: err, Now: noon})
			}
		}
	}
}
