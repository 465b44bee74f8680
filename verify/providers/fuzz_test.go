package providers_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-webhooks/caddy-webhooks/verify"
	"github.com/caddy-webhooks/caddy-webhooks/verify/verifytest"
)

// FuzzVerify throws anything at every scheme of every provider: nothing panics,
// and nothing that was not signed is accepted.
func FuzzVerify(f *testing.F) {
	doors := allDoors(f)
	f.Add(uint16(0), "t=1,v1=00", "1795000000", "a=1", []byte("{}"))
	f.Add(uint16(3), "v1,AAAA v1a,BBBB", "x", "bodySHA256=00", []byte(`{"webhookTimestamp":1e400}`))
	f.Add(uint16(7), "eyJhbGciOiJub25lIn0.e30.", "x", "", []byte("bt_signature=configured%7C00&bt_payload=x"))
	f.Add(uint16(9), "no-secret-provided", "1795000000", "", []byte(`{"Type":"Notification","SignatureVersion":"2","Signature":"AA=="}`))
	f.Add(uint16(11), "Basic Og==", "2026-11-18T11:06:40Z", "code=", []byte(`{"notificationItems":[{"NotificationRequestItem":{}}]}`))
	f.Fuzz(func(t *testing.T, which uint16, signature, ts, query string, body []byte) {
		door := doors[int(which)%len(doors)]
		values, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		req := &verify.Request{
			Method: http.MethodPost, URL: "https://hooks.example.com/?" + query, Header: http.Header{}, Query: values, Body: body,
		}
		req.Header.Set("Content-Type", verify.ContentType(body))
		for _, s := range append(slices.Clone(door.Record.Schemes), door.Scheme) {
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
		_, err = door.Verifier.Verify(req, testNow)
		if err == nil && !knowsSecret(door, signature, query, body) {
			t.Fatalf("%s accepted %q", door.Name, signature)
		}
		if err != nil && !errors.Is(err, verify.ErrRejected) && !errors.Is(err, verify.ErrKeys) {
			t.Fatalf("%s: %v is no refusal", door.Name, err)
		}
	})
}

// knowsSecret tells whether the secret that a scheme sends has found its way into
// the corpus.
func knowsSecret(d *verifytest.Door, signature, query string, body []byte) bool {
	return plain(d.Scheme) && (strings.Contains(signature, d.Secret) || d.Scheme.Kind == "basic") || plain(d.Scheme) && strings.Contains(query+string(body), "Everybody")
}

// FuzzChange spoils requests that were signed: where all of a body is signed no
// other one is accepted, and what proves the sender is not replaced.
func FuzzChange(f *testing.F) {
	doors := allDoors(f)
	f.Add(uint16(0), uint8(0), uint16(3), []byte("x"))
	f.Add(uint16(40), uint8(1), uint16(0), []byte("sha256="))
	f.Add(uint16(80), uint8(2), uint16(9), []byte(",v1="))
	f.Add(uint16(120), uint8(0), uint16(1), []byte(`"a":1,"a":2,`))
	f.Fuzz(func(t *testing.T, which uint16, where uint8, at uint16, by []byte) {
		d := doors[int(which)%len(doors)]
		q := signedBy(t, d)
		text, body := d.Text(q), slices.Clone(q.Body)
		splice := func(s string) string {
			from := int(at) % (len(s) + 1)
			to := min(len(s), from+int(where>>2))
			return s[:from] + string(by) + s[to:]
		}
		switch where % 3 {
		case 0:
			q.Body = []byte(splice(string(q.Body)))
		case 1:
			if err := d.Rewrite(q, splice); err != nil {
				return
			}
		case 2:
			q.URL = splice(q.URL)
		}
		_, err := d.Verifier.Verify(q, testNow)
		if err != nil {
			if !errors.Is(err, verify.ErrRejected) && !errors.Is(err, verify.ErrKeys) {
				t.Fatalf("%s: %v is no refusal", d.Name, err)
			}
			return
		}
		if coversBody(d.Scheme) && !bytes.Equal(q.Body, body) {
			t.Fatalf("%s: %q is accepted in place of %q", d.Name, q.Body, body)
		}
		if now := d.Text(q); plain(d.Scheme) && d.Scheme.Kind == "token" && now != text && !strings.Contains(now, d.Secret) {
			t.Fatalf("%s: %q is accepted in place of %q", d.Name, now, text)
		}
	})
}

// FuzzHandshake asks anything of every provider: what comes back is plain text or
// valid JSON, and no header is broken.
func FuzzHandshake(f *testing.F) {
	doors := allDoors(f)
	f.Add(uint16(0), "POST", "challenge=x", "X-Okta-Verification-Challenge", "x", []byte(`{"challenge":"x"}`))
	f.Add(uint16(9), "GET", "crc_token=abc&hub.mode=subscribe&hub.challenge=1", "WebHook-Request-Origin", "eventgrid.azure.net", []byte(`webhook_id=1`))
	f.Fuzz(func(t *testing.T, which uint16, method, query, name, value string, body []byte) {
		d := doors[int(which)%len(doors)]
		values, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		for i := range d.Record.Handshakes {
			q := verifytest.Ask(&d.Record.Handshakes[i], d.Params)
			q.Header.Set(name, value)
			maps.Copy(q.Query, values)
			if len(body) > 0 {
				q.Body = body
			}
			if method != "" {
				q.Method = method
			}
			for _, signed := range []bool{true, false} {
				a, _, ok := d.Verifier.Greet(q, signed)
				if !ok {
					continue
				}
				if a.Type != "text/plain" && a.Type != "" && !json.Valid([]byte(a.Body)) && a.Body != "" || a.Type == "" && a.Body != "" {
					t.Fatalf("%s answers %q as %q", d.Name, a.Body, a.Type)
				}
				for k, v := range a.Header {
					if strings.ContainsAny(k+v, "\r\n\x00") {
						t.Fatalf("%s answers header %q: %q", d.Name, k, v)
					}
				}
			}
		}
	})
}
