package verify_test

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/caddy-webhooks/caddy-webhooks/verify"
)

// continued is a hash that goes on where another ended: who knows the hash of a
// secret and a body knows that of both with bytes behind, though not the secret.
func continued(t *testing.T, h hash.Hash, magic string, sum []byte, length int, more string) (padding, forged string) {
	t.Helper()
	pad := []byte{0x80}
	for (length+len(pad))%64 != 56 {
		pad = append(pad, 0)
	}
	pad = binary.BigEndian.AppendUint64(pad, uint64(length)*8)
	state := append([]byte(magic), sum...)
	state = append(state, make([]byte, 64)...)
	state = binary.BigEndian.AppendUint64(state, uint64(length+len(pad)))
	if err := h.(encoding.BinaryUnmarshaler).UnmarshalBinary(state); err != nil {
		t.Fatal(err)
	}
	h.Write([]byte(more))
	return string(pad), hex.EncodeToString(h.Sum(nil))
}

func TestAPlainHashCannotBeContinued(t *testing.T) {
	t.Parallel()
	const secret, body, more = "It's a Secret", `{"id":1}`, `,{"id":2}`
	for name, c := range map[string]struct {
		new   func() hash.Hash
		magic string
	}{"sha1": {sha1.New, "sha\x01"}, "sha256": {sha256.New, "sha\x03"}} {
		h := c.new()
		h.Write([]byte(secret + body))
		padding, forged := continued(t, c.new(), c.magic, h.Sum(nil), len(secret+body), more)
		h.Write([]byte(padding + more))
		if forged != hex.EncodeToString(h.Sum(nil)) {
			t.Fatalf("%s: the attack itself does not work", name)
		}
		v := made(t, verify.Scheme{Kind: "digest", Hash: name, Header: []string{"X-Sig"}, Content: "{secret}{body}"}, secret)
		r := ask(body + padding + more)
		r.Header.Set("X-Sig", forged)
		if _, err := v.Verify(r, noon); !errors.Is(err, verify.ErrRejected) {
			t.Errorf("%s: %v, want a refusal", name, err)
		}
	}
}

// What is signed in one piece is taken apart otherwise than it was put together.
func TestBytesDoNotMoveBetweenWhatIsSignedSideBySide(t *testing.T) {
	t.Parallel()
	secret := "sesame"
	for name, c := range map[string]struct {
		scheme verify.Scheme
		body   string
		move   func(*verify.Request)
	}{
		"a digit from the body to the time": {
			verify.Scheme{Kind: "hmac", Header: []string{"X-Sig"}, Content: "{ts}{body}", TimeHeader: []string{"X-Time"}},
			"7{}",
			func(r *verify.Request) { r.Header.Set("X-Time", r.Header.Get("X-Time")+"7"); r.Body = r.Body[1:] },
		},
		"a digit from the time to the body": {
			verify.Scheme{Kind: "hmac", Header: []string{"X-Sig"}, Content: "{ts}{body}", TimeHeader: []string{"X-Time"}},
			"{}",
			func(r *verify.Request) {
				ts := r.Header.Get("X-Time")
				r.Header.Set("X-Time", ts[:9])
				r.Body = []byte(ts[9:] + string(r.Body))
			},
		},
		"a digit from the time to the body before it": {
			verify.Scheme{Kind: "hmac", Header: []string{"X-Sig"}, Content: "{body}{ts}", TimeHeader: []string{"X-Time"}, TimeUnit: "ms"},
			"{}",
			func(r *verify.Request) {
				ts := r.Header.Get("X-Time")
				r.Header.Set("X-Time", ts[1:])
				r.Body = append(r.Body, ts[0])
			},
		},
		"a digit from the ID to the time": {
			verify.Scheme{Kind: "hmac", Header: []string{"X-Sig"}, Content: "{id}{ts}", TimeHeader: []string{"X-Time"}, IDHeader: []string{"X-Id"}},
			"{}",
			func(r *verify.Request) {
				r.Header.Set("X-Id", "id")
				r.Header.Set("X-Time", "1"+r.Header.Get("X-Time"))
			},
		},
		"the body to the address": {
			verify.Scheme{Kind: "hmac", Header: []string{"X-Sig"}, Content: "{url}{body}"},
			"{}",
			func(r *verify.Request) { r.URL, r.Body = r.URL+"{}", nil },
		},
		"a part of the body to the address": {
			verify.Scheme{Kind: "digest", Header: []string{"X-Sig"}, Content: "{secret}{url}{body}"},
			`{"a":[1]}`,
			func(r *verify.Request) { r.URL, r.Body = r.URL+`{"a":`, []byte("[1]}") },
		},
	} {
		v := made(t, c.scheme, secret)
		r := ask(c.body)
		if err := v.Sign(r, noon, "id1"); err != nil {
			t.Fatal(err)
		}
		if _, err := v.Verify(r, noon); err != nil {
			t.Errorf("%s, before: %v", name, err)
		}
		c.move(r)
		if _, err := v.Verify(r, noon); !errors.Is(err, verify.ErrRejected) {
			t.Errorf("%s: %v, want a refusal", name, err)
		}
	}
}

// HubSpot's two versions hash the same secret, and the header that tells them
// apart is not signed.
func TestASignatureOfOneVersionIsNoneOfTheOther(t *testing.T) {
	t.Parallel()
	v := verifier(t, "hubspot-legacy", verify.Options{}, "sesame")
	r := ask(`{"id":1}`)
	if err := v.Sign(r, noon, ""); err != nil {
		t.Fatal(err)
	}
	if r.Header.Get("X-HubSpot-Signature-Version") != "v2" {
		t.Fatalf("signed as %v", r.Header)
	}
	r.Header.Set("X-HubSpot-Signature-Version", "v1")
	r.Body = []byte(r.Method + r.URL + string(r.Body))
	if _, err := v.Verify(r, noon); !errors.Is(err, verify.ErrRejected) {
		t.Errorf("got %v, want a refusal", err)
	}
}

// Of a form that cannot be read nothing would be signed: who has seen a request
// without a body could send any such form with its signature.
func TestAFormThatCannotBeReadIsNotTakenForAnEmptyOne(t *testing.T) {
	t.Parallel()
	v := verifier(t, "twilio", verify.Options{}, "sesame")
	for _, body := range []string{"a=%zz", "a=1;b=2", "%", "Body=pay+me&x=%"} {
		r := ask("")
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if err := v.Sign(r, noon, ""); err != nil {
			t.Fatal(err)
		}
		if _, err := v.Verify(r, noon); err != nil {
			t.Fatalf("without a body: %v", err)
		}
		r.Body = []byte(body)
		if _, err := v.Verify(r, noon); !errors.Is(err, verify.ErrRejected) {
			t.Errorf("%q: %v, want a refusal", body, err)
		}
	}
}

func TestAnEventInJSONIsNoHandshakeOfAForm(t *testing.T) {
	t.Parallel()
	v := verifier(t, "woocommerce", verify.Options{}, "sesame")
	for body, want := range map[string]bool{
		"webhook_id=12": true, `{"id":1,"note":"a&webhook_id=1"}`: false, `["x&webhook_id=1&y"]`: false,
	} {
		for _, kind := range []string{"", "application/json", "application/x-www-form-urlencoded"} {
			r := ask(body)
			r.Header.Set("Content-Type", kind)
			if _, name, ok := v.Greet(r, false); ok != (want && kind != "application/json") {
				t.Errorf("%s as %q: handshake %q", body, kind, name)
			}
		}
	}
}

func TestOnlyOneReadingOfSignedJSONCounts(t *testing.T) {
	t.Parallel()
	v := made(t, verify.Scheme{Kind: "hmac", Header: []string{"X-Sig"}, Content: "{json:a}.{json:b.c}"}, "s")
	for body, good := range map[string]bool{
		`{"a":"x","b":{"c":"y"}}`: true,
		` {"a":"x","b":{"c":"y"},"list":[{"a":1},{"a":2},[],{},"a","a"],"c":"a"} `:                  true,
		`{"a":"x","b":{"c":"y"},"d":{"a":{"a":{"a":1}}},"e":{"a":null}}`:                            true,
		`{"a":"x","b":{"c":"y"},"a":"z"}`:                                                           false,
		`{"a":"x","b":{"c":"y","c":"z"}}`:                                                           false,
		`{"a":"x","b":{"c":"y"},"\u0061":"z"}`:                                                      false,
		`{"a":"x","b":{"c":"y"},"d":[{"e":1,"e":1}]}`:                                               false,
		`{"a":"x","b":{"c":"y"}}{"a":"z"}`:                                                          false,
		`{"a":"x","b":{"c":"y"}} x`:                                                                 false,
		`{"a":"x","b":{"c":"y"}`:                                                                    false,
		`{"a":"x","b":{"c":"y"},}`:                                                                  false,
		`{"a":"x","b":{"c":"y"},"d":` + strings.Repeat("[", 2000) + strings.Repeat("]", 2000) + `}`: false,
	} {
		r := ask(body)
		mac := made(t, verify.Scheme{Kind: "hmac", Header: []string{"X-Sig"}, Content: "x.y"}, "s")
		if err := mac.Sign(r, noon, ""); err != nil {
			t.Fatal(err)
		}
		if _, err := v.Verify(r, noon); (err == nil) != good || err != nil && !errors.Is(err, verify.ErrFormat) {
			t.Errorf("%.80s: %v, accepted should be %v", body, err, good)
		}
	}
}

func TestAMillionBracketsAreRefusedAndNotFollowed(t *testing.T) {
	t.Parallel()
	v := made(t, verify.Scheme{Kind: "token", JSON: "a"}, "s")
	for _, open := range []string{"[", `{"b":`} {
		r := ask(`{"a":"s","d":` + strings.Repeat(open, 1_000_000))
		if _, err := v.Verify(r, noon); !errors.Is(err, verify.ErrFormat) {
			t.Errorf("%s: %v", open, err)
		}
	}
}

func TestASignedFieldIsThereOnceForEveryReader(t *testing.T) {
	t.Parallel()
	v := made(t, verify.Scheme{Kind: "hmac", Form: "my_sig", Content: "{form:my_load}"}, "s")
	for extra, good := range map[string]bool{
		"": true, "&other=1": true, "&my_loads=1": true, "&my-load=1": true,
		"&my_load=x": false, "&my.load=x": false, "&my+load=x": false, "&my_load%5B%5D=x": false, "&my.load%5Ba%5D=x": false,
		"&+my_load=x": false, "&my_load%00x=x": false, "&my_sig=x": false, "&my.sig=x": false, "&my_load=x;": false,
	} {
		r := ask("my_load=pay")
		if err := v.Sign(r, noon, ""); err != nil {
			t.Fatal(err)
		}
		r.Body = append(r.Body, extra...)
		if _, err := v.Verify(r, noon); (err == nil) != good {
			t.Errorf("%s: %v, accepted should be %v", extra, err, good)
		}
	}
}

func TestASignedHeaderOrParameterIsThereOnce(t *testing.T) {
	t.Parallel()
	v := made(t, verify.Scheme{Kind: "hmac", Header: []string{"X-Sig"}, Content: "{header:X-Tenant}{query:a}{body}"}, "s")
	for name, again := range map[string]func(*verify.Request){
		"header":    func(r *verify.Request) { r.Header.Add("X-Tenant", "other") },
		"parameter": func(r *verify.Request) { r.Query.Add("a", "other") },
	} {
		r := ask("b")
		r.Header = http.Header{"X-Tenant": {"one"}}
		r.Query = url.Values{"a": {"1"}}
		if err := v.Sign(r, noon, ""); err != nil {
			t.Fatal(err)
		}
		if _, err := v.Verify(r, noon); err != nil {
			t.Errorf("%s once: %v", name, err)
		}
		again(r)
		if _, err := v.Verify(r, noon); !errors.Is(err, verify.ErrFormat) {
			t.Errorf("%s twice: %v", name, err)
		}
	}
}

func TestEveryItemOfAListIsOneThatIsSigned(t *testing.T) {
	t.Parallel()
	v := made(t, verify.Scheme{Kind: "hmac", Each: "items.#.item", JSON: "sig", Content: "{json:id}"}, "s")
	r := ask(`{"items":[{"item":{"id":1}}]}`)
	if err := v.Sign(r, noon, ""); err != nil {
		t.Fatal(err)
	}
	good := string(r.Body)
	for _, other := range []string{`{"Item":{"id":2}}`, `{}`, `2`, `null`, `[]`} {
		r.Body = []byte(strings.TrimSuffix(good, "]}") + "," + other + "]}")
		if _, err := v.Verify(r, noon); !errors.Is(err, verify.ErrRejected) {
			t.Errorf("%s: %v, want a refusal", other, err)
		}
	}
}

func TestWhatIsSignedByNobodyIsNoSignature(t *testing.T) {
	t.Parallel()
	v := made(t, verify.Scheme{Kind: "hmac", Header: []string{"X-Sig"}, Encoding: "base64"}, "s")
	r := ask("b")
	for _, key := range []string{"", "\x00", "no-secret-provided"} {
		h := sha256.New()
		h.Write([]byte(key + "b"))
		r.Header.Set("X-Sig", base64.StdEncoding.EncodeToString(h.Sum(nil)))
		if _, err := v.Verify(r, noon); !errors.Is(err, verify.ErrMismatch) {
			t.Errorf("hashed with %q: %v", key, err)
		}
	}
}

func TestADefaultPortIsTheSameAddressOnlyWhereTheRecordSaysSo(t *testing.T) {
	t.Parallel()
	for _, variants := range []bool{true, false} {
		v := made(t, verify.Scheme{Kind: "hmac", Header: []string{"X-Sig"}, Content: "{url}", URLVariants: variants}, "s")
		r := ask("b")
		r.URL = "https://example.com/in"
		if err := v.Sign(r, noon, ""); err != nil {
			t.Fatal(err)
		}
		r.URL = "https://example.com:443/in"
		if _, err := v.Verify(r, noon); (err == nil) != variants {
			t.Errorf("variants %v: %v", variants, err)
		}
	}
}

// What is signed and not there is called missing, so that the operator looks for
// what dropped it, and not for another secret.
func TestWhatIsSignedAndNotThereIsCalledMissing(t *testing.T) {
	t.Parallel()
	v := made(t, verify.Scheme{
		Kind: "hmac", Header: []string{"X-Sig"}, Content: "{id}.{ts}.{header:X-Tenant}.{body}", TimeHeader: []string{"X-Time"}, IDHeader: []string{"X-Id"},
	}, "s")
	for _, name := range []string{"X-Sig", "X-Id", "X-Time", "X-Tenant"} {
		r := ask("b")
		if err := v.Sign(r, noon, "id"); err != nil {
			t.Fatal(err)
		}
		if _, err := v.Verify(r, noon); err != nil {
			t.Fatal(err)
		}
		r.Header.Del(name)
		if _, err := v.Verify(r, noon); !errors.Is(err, verify.ErrMissing) {
			t.Errorf("without %s: %v", name, err)
		}
	}
}

// A list that names what is signed must name itself and the time, or whoever has
// seen a request could send it again with another time.
func TestAListOfSignedHeadersNamesItselfAndTheTime(t *testing.T) {
	t.Parallel()
	for list, good := range map[string]bool{
		"x-list,x-time": true, "X-Time, x-list, x-other": true, "x-list": false, "x-time": false, "x-list,x-timer": false, "": false,
	} {
		v := made(t, verify.Scheme{Kind: "hmac", Header: []string{"X-Sig"}, Content: "{signed:X-List}|{body}", TimeHeader: []string{"X-Time"}}, "s")
		r := ask("b")
		r.Header.Set("X-Time", "1795000000")
		r.Header.Set("X-List", list)
		r.Header.Set("X-Other", "o")
		signed := map[string]string{
			"x-list,x-time": "x-list:x-list,x-time;x-time:1795000000|b", "X-Time, x-list, x-other": "x-list:X-Time, x-list, x-other;x-other:o;x-time:1795000000|b",
			"x-list": "x-list:x-list|b", "x-time": "x-time:1795000000|b", "x-list,x-timer": "x-list:x-list,x-timer;x-timer:|b", "": ":|b",
		}[list]
		if err := made(t, verify.Scheme{Kind: "hmac", Header: []string{"X-Sig"}, Content: signed}, "s").Sign(r, noon, ""); err != nil {
			t.Fatal(err)
		}
		if _, err := v.Verify(r, noon); (err == nil) != good || err != nil && !errors.Is(err, verify.ErrFormat) {
			t.Errorf("%q: %v, accepted should be %v", list, err, good)
		}
	}
}

func TestBoundsHoldForWhatIsSignedToo(t *testing.T) {
	t.Parallel()
	items := made(t, verify.Scheme{Kind: "token", Each: "value", JSON: "state"}, "s")
	for n, good := range map[int]bool{1: true, 1000: true, 1001: false} {
		r := ask(`{"value":[` + strings.TrimSuffix(strings.Repeat(`{"state":"s"},`, n), ",") + `]}`)
		if _, err := items.Verify(r, noon); (err == nil) != good {
			t.Errorf("%d items: %v", n, err)
		}
	}
	v := made(t, verify.Scheme{Kind: "jwt", Header: []string{"X-Token"}, Algorithms: []string{"HS256"}}, sharedKey)
	for size, good := range map[int]bool{10: true, 11 << 10: true, 13 << 10: false, 1 << 20: false} {
		r := ask("b")
		r.Header.Set("X-Token", token(t, "HS256", []byte(sharedKey), map[string]any{"exp": noon.Unix(), "pad": strings.Repeat("a", size)}))
		if _, err := v.Verify(r, noon); (err == nil) != good || err != nil && !errors.Is(err, verify.ErrFormat) {
			t.Errorf("a token with %d bytes: %v", size, err)
		}
	}
	sent := made(t, verify.Scheme{Kind: "token", Header: []string{"X-Token"}, Prefix: "Bearer "}, "s")
	r := ask("b")
	r.Header.Set("X-Token", "Bearer ")
	if _, err := sent.Verify(r, noon); !errors.Is(err, verify.ErrMissing) {
		t.Errorf("the prefix alone: %v", err)
	}
}
