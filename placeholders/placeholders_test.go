package placeholders_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/placeholders"
)

var names = []string{"source", "provider", "id", "type", "received", "event", "attempt", "destination"}

func of(body string, header ...string) *placeholders.Values {
	e := &event.Event{
		ID: event.NewID(time.Unix(1_795_000_000, 0), 1, 2, 3), Source: "shop", Provider: "stripe", ProviderID: "evt_1", Type: "invoice.paid",
		Received: time.Date(2026, 11, 18, 13, 46, 40, 5e8, time.FixedZone("", 3600)), Header: http.Header{}, Body: []byte(body),
	}
	for i := 0; i < len(header); i += 2 {
		e.Header.Set(header[i], header[i+1])
	}
	return &placeholders.Values{Event: e}
}

func text(t *testing.T, v *placeholders.Values, name string) string {
	t.Helper()
	value, known := v.Get("webhooks." + name)
	if !known {
		t.Errorf("{webhooks.%s} is not known", name)
	}
	return caddy.ToString(value)
}

func TestAnEventHasItsValuesWhenItComesAndMoreLater(t *testing.T) {
	t.Parallel()
	early := map[string]string{
		"source": "shop", "provider": "stripe", "id": "evt_1", "type": "invoice.paid", "received": "2026-11-18T12:46:40.5Z",
	}
	v := of("")
	for _, name := range names {
		if got := text(t, v, name); got != early[name] {
			t.Errorf("at acceptance %s is %q, want %q", name, got, early[name])
		}
	}
	v.ID, v.Destination, v.Attempt = v.Event.ID, "ledger", 3
	for name, want := range map[string]string{"event": v.Event.ID.String(), "destination": "ledger", "attempt": "3"} {
		if got := text(t, v, name); got != want {
			t.Errorf("in an attempt %s is %q, want %q", name, got, want)
		}
	}
	if attempt, _ := v.Get("webhooks.attempt"); attempt != 3 {
		t.Errorf("the attempt is %T, which no expression can compare with a number", attempt)
	}
	nobody := &placeholders.Values{Event: &event.Event{Source: "shop"}}
	for _, name := range append(names[1:], "json.a") {
		if got := text(t, nobody, name); got != "" {
			t.Errorf("before anything is known %s is %q", name, got)
		}
	}
}

func TestEveryKnownNameHasAValueAndNoOther(t *testing.T) {
	t.Parallel()
	v := of(`{"a":1}`)
	for name, atOnce := range map[string]bool{
		"source": true, "provider": true, "id": true, "type": true, "received": true, "json.a": true, "json.b": true,
		"event": false, "attempt": false, "destination": false,
	} {
		known, now := placeholders.Known("webhooks." + name)
		if _, got := v.Get("webhooks." + name); !known || now != atOnce || !got {
			t.Errorf("%s: known %v, at once %v, given %v", name, known, now, got)
		}
	}
	for _, name := range []string{"webhooks.jsn.a", "webhooks.json", "webhooks.", "webhooks", "source", "http.request.body", "webhooks.Source"} {
		known, now := placeholders.Known(name)
		if value, got := v.Get(name); known || now || got || value != nil {
			t.Errorf("%s: known %v, %v, given %v", name, known, now, value)
		}
	}
}

func TestAScalarIsGivenAsItsTextAndTheRestAsJSON(t *testing.T) {
	t.Parallel()
	const body = `{"s":"a \"b\" \u00e9","n":12345678901234567890,"f":1.50,"t":true,"z":null,"o":{"k": [1, 2]},"l":[{"i":"x"},{"i":"y"}],
		"dot.ted":"d","sub":"{\"in\":\"side\"}","e":""}`
	v := of(body)
	for path, want := range map[string]string{
		"s": `a "b" é`, "n": "12345678901234567890", "f": "1.50", "t": "true", "z": "", "o": `{"k": [1, 2]}`, "o.k.1": "2",
		"l.#": "2", "l.1.i": "y", "l.#.i": `["x","y"]`, `l.#(i=="y").i`: "y", `dot\.ted`: "d", "sub.@fromstr.in": "side",
		"e": "", "none": "", "s.none": "", "l.7": "",
	} {
		if got := text(t, v, "json."+path); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
	if err := v.Err(); err != nil {
		t.Error(err)
	}
}

func TestJSONIsFoundWhereverProvidersPutIt(t *testing.T) {
	t.Parallel()
	const form = "application/x-www-form-urlencoded"
	for name, c := range map[string]struct{ body, kind, want string }{
		"a body":                {`{"a":"x"}`, "application/json", "x"},
		"whatever it is called": {`{"a":"x"}`, "text/plain", "x"},
		"after a mark":          {"\xef\xbb\xbf \n{\"a\":\"x\"}", "", "x"},
		"a form":                {"payload=%7B%22a%22%3A%22x%22%7D", form, "x"},
		"a form without":        {"a=x", form, ""},
		"no JSON":               {"a: x", "", ""},
		"nothing":               {"", "", ""},
		"a scalar":              {`"a"`, "", ""},
	} {
		v := of(c.body, "Content-Type", c.kind)
		if got := text(t, v, "json.a"); got != c.want || v.Err() != nil {
			t.Errorf("%s: %q %v, want %q", name, got, v.Err(), c.want)
		}
	}
}

func TestWhatCannotBeReadSaysSoOncePerLook(t *testing.T) {
	t.Parallel()
	const levels = 5 << 20
	for name, body := range map[string]string{
		"deep": strings.Repeat(`{"a":`, levels) + "1" + strings.Repeat("}", levels), "cut": `{"a":1`, "two": `{"a":1}{"a":2}`,
		"too deep by little": strings.Repeat(`[`, 10001) + strings.Repeat("]", 10001),
	} {
		v := of(body)
		if text(t, v, "type"); v.Err() != nil {
			t.Errorf("%s: an error though nobody looked", name)
		}
		if got := text(t, v, "json.a"); got != "" || !errors.Is(v.Err(), placeholders.ErrJSON) {
			t.Errorf("%s: %d bytes, and no error", name, len(got))
		}
		if v.Err() != nil {
			t.Errorf("%s: the error of one look is another's too", name)
		}
	}
	if v := of(strings.Repeat(`{"a":`, 9999) + "1" + strings.Repeat("}", 9999)); text(t, v, "json.a.a") == "" {
		t.Error("what is not too deep is not read")
	}
}

func TestAValueIsOneLineAndIsNeverExpanded(t *testing.T) {
	v := of(`{"a":"x\r\nEvil: 1\u0000\u007f\té","b":"{env.WEBHOOKS_TEST}{webhooks.json.a}\\{"}`)
	t.Setenv("WEBHOOKS_TEST", "leaked")
	v.Event.Type, v.Event.ProviderID = "t\r\nEvil: 1", "i\ni"
	for name, want := range map[string]string{
		"json.a": "x  Evil: 1  \té", "type": "t  Evil: 1", "id": "i i", "json.@this": text(t, v, "json.@this"),
	} {
		if got := text(t, v, name); got != want || strings.ContainsAny(got, "\r\n\x00") {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	repl := caddy.NewReplacer()
	repl.Map(v.Get)
	if got := repl.ReplaceAll("<{webhooks.json.b}>", ""); got != `<{env.WEBHOOKS_TEST}{webhooks.json.a}\{>` {
		t.Errorf("a stranger's placeholder was filled: %s", got)
	}
}

func FuzzValues(f *testing.F) {
	f.Add(`{"a":{"b":[1]}}`, "a.b.#")
	f.Add("payload=%7B%22a%22%3A1%7D", "a")
	f.Add(`{"a":"\r\n{env.HOME}"}`, "@this")
	f.Fuzz(func(t *testing.T, body, path string) {
		v := of(body, "Content-Type", "application/x-www-form-urlencoded")
		value, known := v.Get("webhooks.json." + path)
		if s, ok := value.(string); !known || !ok || strings.ContainsAny(s, "\r\n\x00") {
			t.Fatalf("%q %v", value, known)
		}
	})
}
