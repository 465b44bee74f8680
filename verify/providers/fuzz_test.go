package providers_test

import (
	"net/http"
	"net/url"
	"slices"
	"testing"

	"github.com/caddy-webhooks/caddy-webhooks/verify"
	"github.com/caddy-webhooks/caddy-webhooks/verify/providers"
)

// FuzzVerify throws anything at every provider: nothing panics, and nothing that
// was not signed is accepted.
func FuzzVerify(f *testing.F) {
	var doors []fixture
	for _, r := range providers.All() {
		if r.Name != "none" {
			doors = append(doors, compile(f, r))
		}
	}
	f.Add(uint8(0), "t=1,v1=00", "1795000000", "a=1", []byte("{}"))
	f.Add(uint8(3), "v1,AAAA v1a,BBBB", "x", "bodySHA256=00", []byte(`{"webhookTimestamp":1e400}`))
	f.Add(uint8(7), "eyJhbGciOiJub25lIn0.e30.", "x", "", []byte("bt_signature=configured%7C00&bt_payload=x"))
	f.Fuzz(func(t *testing.T, which uint8, signature, ts, query string, body []byte) {
		door := doors[int(which)%len(doors)]
		r := door.Verifier.Record()
		values, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		req := &verify.Request{
			Method: http.MethodPost, URL: "https://hooks.example.com/?" + query, Header: http.Header{}, Query: values, Body: body,
		}
		for _, s := range r.Schemes {
			for _, h := range slices.Concat(s.TimeHeader, s.IDHeader) {
				req.Header.Set(h, ts)
			}
			for _, h := range s.Header {
				req.Header.Set(h, signature)
			}
			for name, value := range s.Require {
				req.Header.Set(name, value)
			}
		}
		for _, h := range []string{"X-Signature", "X-Token", "Authorization"} {
			req.Header.Set(h, signature)
		}
		plain := slices.ContainsFunc(r.Schemes, func(s verify.Scheme) bool { return s.Kind == "token" || s.Kind == "basic" })
		if _, err := door.Verifier.Verify(req, testNow); err == nil && !plain {
			t.Fatalf("%s accepted %q", r.Name, signature)
		}
		door.Verifier.Greet(req, true)
		door.Verifier.Greet(req, false)
	})
}
