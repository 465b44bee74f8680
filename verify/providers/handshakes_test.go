package providers_test

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"

	"github.com/caddy-webhooks/caddy-webhooks/verify"
	"github.com/caddy-webhooks/caddy-webhooks/verify/verifytest"
)

// everyHandshake calls f for the handshakes of each record, with the record's
// first door and the question as the provider puts it.
func everyHandshake(t *testing.T, f func(d *verifytest.Door, h *verify.Handshake, ask func() *verify.Request)) {
	t.Helper()
	seen := 0
	for _, d := range allDoors(t) {
		if !strings.HasSuffix(d.Name, "/0") {
			continue
		}
		for i := range d.Record.Handshakes {
			seen++
			h := &d.Record.Handshakes[i]
			f(d, h, func() *verify.Request { return verifytest.Ask(h, d.Params) })
		}
	}
	if seen < 20 {
		t.Errorf("only %d handshakes", seen)
	}
}

func TestAHandshakeIsKnownByAllOfItsMarksAndByNothingLess(t *testing.T) {
	t.Parallel()
	everyHandshake(t, func(d *verifytest.Door, h *verify.Handshake, ask func() *verify.Request) {
		greeted := func(q *verify.Request) bool {
			_, name, _ := d.Verifier.Greet(q, h.Signed)
			return name == h.Name
		}
		if !greeted(ask()) {
			t.Errorf("%s: %s is not recognised: %+v %s", d.Record.Name, h.Name, ask(), ask().Body)
			return
		}
		if _, _, ok := d.Verifier.Greet(ask(), !h.Signed); ok && len(d.Record.Handshakes) == 1 {
			t.Errorf("%s: %s is answered whether signed or not", d.Record.Name, h.Name)
		}
		for name, spoil := range without(h) {
			q := ask()
			spoil(q)
			if greeted(q) {
				t.Errorf("%s: %s is answered %s", d.Record.Name, h.Name, name)
			}
		}
	})
}

// without gives what takes one mark away, or makes it another.
func without(h *verify.Handshake) map[string]func(*verify.Request) {
	list := map[string]func(*verify.Request){"by another method": func(q *verify.Request) { q.Method = "PROPFIND" }}
	for name, mark := range h.Header {
		list["without header "+name] = func(q *verify.Request) { q.Header.Del(name) }
		list["with an empty header "+name] = func(q *verify.Request) { q.Header.Set(name, "") }
		if mark != "" {
			list["with another header "+name] = func(q *verify.Request) { q.Header.Set(name, "x"+q.Header.Get(name)) }
		}
	}
	for name, mark := range h.Query {
		list["without parameter "+name] = func(q *verify.Request) { q.Query.Del(name) }
		if mark != "" {
			list["with another parameter "+name] = func(q *verify.Request) { q.Query.Set(name, q.Query.Get(name)+"\x00") }
			list["with a longer parameter "+name] = func(q *verify.Request) { q.Query.Set(name, q.Query.Get(name)+"\n{}") }
		}
	}
	for name := range h.Secret {
		list["without the token "+name] = func(q *verify.Request) { q.Query.Del(name) }
		list["with another token "+name] = func(q *verify.Request) { q.Query.Set(name, q.Query.Get(name)+"x") }
		list["with a part of the token "+name] = func(q *verify.Request) { q.Query.Set(name, q.Query.Get(name)[1:]) }
	}
	for path, mark := range h.JSON {
		list["without "+path] = func(q *verify.Request) { q.Body, _ = sjson.DeleteBytes(q.Body, path) }
		if mark != "" {
			list["with another "+path] = func(q *verify.Request) {
				q.Body, _ = sjson.SetBytes(q.Body, path, "x"+gjson.GetBytes(q.Body, path).String())
			}
		}
	}
	for name, mark := range h.Form {
		list["without field "+name] = func(q *verify.Request) { q.Body = []byte(strings.Replace(string(q.Body), name+"=", "x"+name+"=", 1)) }
		if mark != "" {
			list["with another field "+name] = func(q *verify.Request) { q.Body = []byte(strings.Replace(string(q.Body), name+"=", name+"=x", 1)) }
		}
	}
	for _, path := range h.NoJSON {
		list["with "+path] = func(q *verify.Request) { q.Body, _ = sjson.SetBytes(q.Body, path, "there") }
	}
	return list
}

func TestAHandshakeThatIsSignedIsRefusedWithABadSignature(t *testing.T) {
	t.Parallel()
	seen := 0
	everyHandshake(t, func(d *verifytest.Door, h *verify.Handshake, ask func() *verify.Request) {
		if !h.Signed {
			return
		}
		seen++
		q := ask()
		if q.Method != http.MethodPost || d.Record.Name == "aws-sns" {
			return // the second scheme of it signs the question; its attacks are those of every door
		}
		if _, err := d.Sign(q, "evt_1", testNow); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Verifier.Verify(q, testNow); err != nil {
			t.Errorf("%s: %s, signed: %v", d.Record.Name, h.Name, err)
		}
		if _, name, _ := d.Verifier.Greet(q, true); name != h.Name {
			t.Errorf("%s: %s, signed, is taken for %q", d.Record.Name, h.Name, name)
		}
		if _, name, ok := d.Verifier.Greet(q, false); ok {
			t.Errorf("%s: %s is answered as %s before it is proven", d.Record.Name, h.Name, name)
		}
		if err := d.Rewrite(q, func(text string) string { return zeros(d, text) }); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Verifier.Verify(q, testNow); !errors.Is(err, verify.ErrRejected) {
			t.Errorf("%s: %s with a bad signature: %v", d.Record.Name, h.Name, err)
		}
		if _, err := d.Verifier.Verify(ask(), testNow); !errors.Is(err, verify.ErrRejected) {
			t.Errorf("%s: %s without a signature: %v", d.Record.Name, h.Name, err)
		}
	})
	if seen == 0 {
		t.Error("no handshake is signed")
	}
}

// What a stranger sends comes back only as what no browser runs.
func TestWhatAHandshakeEchoesIsTextOrEncoded(t *testing.T) {
	t.Parallel()
	const nasty = "<script>alert(1)</script>\"'\\\r\nSet-Cookie: a=b\x00\u2028"
	echoed := 0
	everyHandshake(t, func(d *verifytest.Door, h *verify.Handshake, ask func() *verify.Request) {
		q := ask()
		fill(q, h, nasty)
		a, name, ok := d.Verifier.Greet(q, h.Signed)
		if !ok || name != h.Name {
			return // its pattern allows nothing of the kind
		}
		for key, value := range a.Header {
			if strings.ContainsAny(key+value, "\r\n\x00") {
				t.Errorf("%s: %s answers header %q", d.Record.Name, h.Name, key+": "+value)
			}
		}
		if !strings.Contains(a.Body, "script") {
			return
		}
		echoed++
		switch a.Type {
		case "text/plain":
		case "application/json":
			if !json.Valid([]byte(a.Body)) || strings.ContainsAny(a.Body, "<>\r\n\x00") {
				t.Errorf("%s: %s answers %q", d.Record.Name, h.Name, a.Body)
			}
		default:
			t.Errorf("%s: %s answers %q as %q", d.Record.Name, h.Name, a.Body, a.Type)
		}
	})
	if echoed < 8 {
		t.Errorf("only %d handshakes echo; this tests little", echoed)
	}
}

// fill puts a text wherever a handshake takes any.
func fill(q *verify.Request, h *verify.Handshake, text string) {
	for name := range h.Header {
		if h.Header[name] == "" {
			q.Header.Set(name, text)
		}
	}
	for name := range h.Query {
		if h.Query[name] == "" {
			q.Query.Set(name, text)
		}
	}
	for path := range h.JSON {
		if h.JSON[path] == "" {
			q.Body, _ = sjson.SetBytes(q.Body, path, text)
		}
	}
}

// Nothing that is an event may be answered as a question: it would be lost.
func TestNoEventIsTakenForAHandshakeThatNobodySigns(t *testing.T) {
	t.Parallel()
	for _, d := range allDoors(t) {
		var words []string
		for i := range d.Record.Handshakes {
			h := &d.Record.Handshakes[i]
			for _, marks := range []map[string]string{h.Header, h.Query, h.JSON, h.Form} {
				for name, mark := range marks {
					words = append(words, name+"="+verifytest.Example(mark), `"`+name+`":"`+verifytest.Example(mark)+`"`)
				}
			}
		}
		q := signedBy(t, d)
		if _, name, ok := d.Verifier.Greet(q, false); ok {
			t.Errorf("%s: an event is taken for %s", d.Name, name)
		}
		if verify.ContentType(q.Body) != "application/json" || d.Scheme.Whole {
			continue
		}
		// A customer writes all of the marks into a field of an order.
		for _, glue := range []string{"&", ",", "&x=1&", "\n"} {
			for _, kind := range []string{"application/json", ""} {
				q = d.Request("evt_1", testNow)
				q.Body, _ = sjson.SetBytes(q.Body, "note", glue+strings.Join(words, glue)+glue)
				q.Header.Set("Content-Type", kind)
				if _, name, ok := d.Verifier.Greet(q, false); ok {
					t.Errorf("%s: an event with %s is taken for %s", d.Name, q.Body, name)
				}
			}
		}
	}
}

func TestAHandshakeWithATokenIsNotAnsweredWhereNoneIsConfigured(t *testing.T) {
	t.Parallel()
	seen := 0
	everyHandshake(t, func(d *verifytest.Door, h *verify.Handshake, ask func() *verify.Request) {
		for name, option := range h.Secret {
			seen++
			params := maps.Clone(d.Params)
			delete(params, option)
			v, err := d.Record.Compile(verify.Options{Secrets: []verify.Secret{verify.NewSecret(d.Secret)}, Params: params})
			if err != nil {
				continue // then it is required
			}
			for _, token := range []string{"", " ", d.Params[option][0]} {
				q := ask()
				q.Query = maps.Clone(q.Query)
				q.Query.Set(name, token)
				if _, _, ok := v.Greet(q, h.Signed); ok {
					t.Errorf("%s: %s is answered to token %q, and none is configured", d.Record.Name, h.Name, token)
				}
			}
		}
	})
	if seen == 0 {
		t.Error("no handshake has a token")
	}
}

// Whatever a stranger can have signed by asking is refused as an event, in every
// header and form that the record allows.
func TestWhatStrangersHaveSignedIsRefusedAsAnEvent(t *testing.T) {
	t.Parallel()
	seen := 0
	everyHandshake(t, func(d *verifytest.Door, h *verify.Handshake, ask func() *verify.Request) {
		if h.Signed || h.Answer.Mac == "" {
			return
		}
		seen++
		name := strings.TrimSuffix(strings.TrimPrefix(h.Answer.Mac, "{query:"), "}")
		for _, challenge := range []string{verifytest.Example(h.Query[name]), `{"id":1}`, "a=b", "[]", "<x/>"} {
			q := ask()
			q.Query = url.Values{name: {challenge}}
			a, _, ok := d.Verifier.Greet(q, false)
			if !ok {
				continue
			}
			e := d.Request("evt_1", testNow)
			e.Body = []byte(challenge)
			if d.Scheme.Form != "" {
				field := contentOf(d.Scheme)[0][1]
				e.Body = []byte(url.Values{field: {challenge}}.Encode())
			}
			if _, err := d.Sign(e, "evt_1", testNow); err != nil {
				t.Fatal(err)
			}
			signed := d.Text(e)
			if !strings.Contains(a.Body, signed[len(lead(d, signed)):]) {
				t.Errorf("%s: the answer %q does not sign as events are signed; is this test still right?", d.Record.Name, a.Body)
			}
			if _, err := d.Verifier.Verify(e, testNow); !errors.Is(err, verify.ErrMismatch) {
				t.Errorf("%s: %q, which anybody can have signed: %v, want a refusal", d.Record.Name, challenge, err)
			}
		}
	})
	if seen == 0 {
		t.Error("no handshake signs")
	}
}

func TestAnUnsignedHandshakeIsNoPostThatAnEventCouldBe(t *testing.T) {
	t.Parallel()
	everyHandshake(t, func(d *verifytest.Door, h *verify.Handshake, _ func() *verify.Request) {
		marked := len(h.JSON) + len(h.Form) + len(h.Query) + len(h.Header)
		if posted := h.Method == "" || slices.Contains(d.Verifier.Methods(), h.Method); posted && !h.Signed && marked == 0 {
			t.Errorf("%s: every event is taken for %s", d.Record.Name, h.Name)
		}
	})
}
