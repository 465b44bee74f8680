package forward_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/forward"
)

// raising is a proxy that sets these headers.
func raising(addr string, headers ...string) string {
	var set []string
	for i := 0; i < len(headers); i += 2 {
		set = append(set, fmt.Sprintf("%q:[%q]", headers[i], headers[i+1]))
	}
	return fmt.Sprintf(`{"handler":"reverse_proxy","upstreams":[{"dial":%q}],"transport":{"protocol":"http","compression":false},
		"headers":{"request":{"set":{%s}}}}`, addr, strings.Join(set, ","))
}

func talking(body string) *event.Event {
	e := sample()
	e.Source, e.Provider, e.ProviderID, e.Type = "shop", "stripe", "evt_1", "invoice.paid"
	e.Body = []byte(body)
	return e
}

func TestEveryHandlerOfADestinationKnowsTheEvent(t *testing.T) {
	t.Parallel()
	w := newWitness()
	e := talking(`{"data":{"id":7}}`)
	c := chain(t, `{"handler":"rewrite","uri":"/{webhooks.source}/{webhooks.type}?id={webhooks.json.data.id}"},
		{"handler":"headers","request":{"set":{"X-Event":["{webhooks.event} {webhooks.received}"]}}},
		{"handler":"vars","who":"{webhooks.provider}"},`+
		raising(backend(t, w.ServeHTTP), "X-Attempt", "{webhooks.attempt} to {webhooks.destination} from {http.vars.who}", "X-None", "<{webhooks.json.none}>"),
		forward.Options{Destination: "ledger"})
	if out := c.Forward(t.Context(), try(e, 3, false)); out.Verdict != event.Done {
		t.Fatalf("%+v", out)
	}
	got := w.only(t).request
	if got.RequestURI != "/shop/invoice.paid?id=7" {
		t.Errorf("rewritten to %s", got.RequestURI)
	}
	for name, want := range map[string]string{
		"X-Event": e.ID.String() + " " + got.Header.Get(forward.HeaderReceived), "X-Attempt": "3 to ledger from stripe", "X-None": "<>",
	} {
		if v := got.Header.Get(name); v != want {
			t.Errorf("%s is %q, want %q", name, v, want)
		}
	}
}

func TestARouteChoosesByTheEvent(t *testing.T) {
	t.Parallel()
	c := chain(t, `{"handler":"subroute","routes":[
		{"match":[{"expression":"{webhooks.type}.startsWith('invoice.') && double({webhooks.json.amount}) > 99.5 && {webhooks.attempt} >= 2"}],
			"handle":[{"handler":"static_response","status_code":201}]},
		{"handle":[{"handler":"static_response","status_code":202,"body":"{webhooks.json.amount}"}]}]}`)
	for _, test := range []struct {
		body    string
		attempt int
		want    int
	}{{`{"amount":100}`, 2, 201}, {`{"amount":100}`, 1, 202}, {`{"amount":99}`, 2, 202}} {
		out := c.Forward(t.Context(), try(talking(test.body), test.attempt, false))
		if out.Status != test.want {
			t.Errorf("%s, attempt %d: %d %s, want %d", test.body, test.attempt, out.Status, out.Error, test.want)
		}
		if out.Status == 202 && !strings.Contains(test.body, string(out.Answer)) {
			t.Errorf("answered %q", out.Answer)
		}
	}
}

// With a line break in it the value would fail each attempt in the transport, or,
// behind a careless one, be a header of its own.
func TestAValueSplitsNoHeaderAndIsNotExpanded(t *testing.T) {
	t.Setenv("WEBHOOKS_TEST", "leaked")
	w := newWitness()
	c := chain(t, `{"handler":"headers","request":{"add":{"X-A":["{webhooks.json.a}"]}}},
		{"handler":"vars","who":"{webhooks.json.b}"},
		{"handler":"rewrite","uri":"/x?b={webhooks.json.b}"},`+
		raising(backend(t, w.ServeHTTP), "X-B", "{webhooks.json.b}", "X-C", "{http.vars.who}", "X-D", "{webhooks.json.a}", "X-E", "{http.request.uri.query}"))
	e := talking(`{"a":"1\r\nEvil: yes\r\n\r\nGET / HTTP/1.1\u0000","b":"{env.WEBHOOKS_TEST} {webhooks.source}"}`)
	if out := c.Forward(t.Context(), try(e, 1, false)); out.Verdict != event.Done {
		t.Fatalf("%+v", out)
	}
	got := w.only(t).request
	for name, want := range map[string]string{
		"X-A": "1  Evil: yes    GET / HTTP/1.1", "X-D": "1  Evil: yes    GET / HTTP/1.1", "Evil": "",
		"X-B": "{env.WEBHOOKS_TEST} {webhooks.source}", "X-C": "{env.WEBHOOKS_TEST} {webhooks.source}",
	} {
		if v := got.Header.Get(name); v != want {
			t.Errorf("%s is %q, want %q", name, v, want)
		}
	}
	if all := fmt.Sprint(got.Header, got.RequestURI); strings.Contains(all, "leaked") {
		t.Errorf("a stranger's placeholder was filled: %s", all)
	}
}

func TestADeeplyNestedBodyIsDeliveredAllTheSame(t *testing.T) {
	t.Parallel()
	e := talking(strings.Repeat(`{"a":`, 1<<20))
	c := chain(t, `{"handler":"static_response","status_code":200,"body":"<{webhooks.json.a.@pretty}>"}`)
	if out := c.Forward(t.Context(), try(e, 1, false)); out.Status != http.StatusOK || string(out.Answer) != "<>" {
		t.Errorf("%d %s %q", out.Status, out.Error, out.Answer)
	}
}
