package handler

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/gateway"
	"github.com/caddy-webhooks/caddy-webhooks/store"
)

func init() {
	caddy.RegisterModule(panics{})
	caddy.RegisterModule(reads{})
}

// panics is a matcher that does.
type panics struct{}

func (panics) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.matchers.test_panics", New: func() caddy.Module { return new(panics) }}
}

func (panics) MatchWithError(*http.Request) (bool, error) { panic("of its own") }

// reads is a matcher that reads the body away, and insists on what is in it.
type reads struct {
	Want string `json:"want"`
}

func (reads) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.matchers.test_reads", New: func() caddy.Module { return new(reads) }}
}

func (m reads) MatchWithError(r *http.Request) (bool, error) {
	body, err := io.ReadAll(r.Body)
	return string(body) == m.Want, err
}

// destinations is the configuration of a source with these `to`s: a name, and
// what stands in it besides its routes.
func destinations(to ...[2]string) string {
	list := make([]string, len(to))
	for i, one := range to {
		comma := map[bool]string{true: ",", false: ""}[one[1] != ""]
		list[i] = fmt.Sprintf(`{"name":%q,"routes":[{"handle":[{"handler":"static_response","status_code":200}]}]%s%s}`, one[0], comma, one[1])
	}
	return fmt.Sprintf(`{"from":{"provider":"github","secrets":[%q]},"to":[%s]}`, secret, strings.Join(list, ","))
}

// through gives a request as Caddy's server would hand it on.
func through(r *http.Request) (*http.Request, *caddy.Replacer) {
	repl := caddy.NewReplacer()
	return caddyhttp.PrepareRequest(r, repl, httptest.NewRecorder(), &caddyhttp.Server{}), repl
}

// events gives what is stored, the newest first.
func events(t *testing.T) []store.Row {
	t.Helper()
	g, ok := gateway.Running()
	if !ok {
		t.Fatal("no gateway runs")
	}
	page, err := g.Store().Query(t.Context(), store.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	return page.Rows
}

func TestADestinationGetsWhatPassesItsEventsAndItsMatch(t *testing.T) {
	deep := `"match":[{"expression":"{webhooks.json.a} == \"b\""}]`
	wants := []struct {
		what, to, body string
		wanted         bool
	}{
		{"no filter", ``, `{}`, true},
		{"the type", `"events":["push"]`, `{}`, true},
		{"another type", `"events":["pull_*","Push"]`, `{}`, false},
		{"one glob of several", `"events":["pull_*","pu*"]`, `{}`, true},
		{"a header", `"match":[{"header":{"X-Github-Event":["push"]}}]`, `{}`, true},
		{"another header", `"match":[{"header":{"X-Github-Event":["fork"]}}]`, `{}`, false},
		{"one set of several", `"match":[{"path":["/no"]},{"path":["/hook"]}]`, `{}`, true},
		{"one matcher of a set does not", `"match":[{"path":["/hook"],"method":["GET"]}]`, `{}`, false},
		{"a value of the body", deep, `{"a":"b"}`, true},
		{"another value of the body", deep, `{"a":"c"}`, false},
		{"a value that is not there", deep, `[]`, false},
		{"a value of a body that is no JSON", deep, `a=b`, false},
		{"both", `"events":["push"],` + deep, `{"a":"b"}`, true},
		{"only events", `"events":["push"],` + deep, `{"a":"c"}`, false},
		{"only match", `"events":["fork"],` + deep, `{"a":"b"}`, false},
		{"the source and the type", `"match":[{"expression":"{webhooks.source} + {webhooks.provider} + {webhooks.type} + {webhooks.id} == \"githubgithubpush\" + {http.request.header.X-GitHub-Delivery}"}]`, `{}`, true},
		{"the body as text", `"match":[{"expression":"{http.request.body} == \"[1, 2]\""}]`, `[1, 2]`, true},
		{"the body as base64", `"match":[{"expression":"{http.request.body_base64} == \"WzEsIDJd\""}]`, `[1, 2]`, true},
		{"the body, read away", `"match":[{"test_reads":{"want":"[1, 2]"}}]`, `[1, 2]`, true},
		{"another body, read away", `"match":[{"test_reads":{"want":"[1, 3]"}}]`, `[1, 2]`, false},
		{"an error delivers", `"match":[{"expression":"double({webhooks.json.n}) > 1.0"}]`, `{}`, true},
		{"an error does not outweigh events", `"events":["fork"],"match":[{"expression":"double({webhooks.json.n}) > 1.0"}]`, `{}`, false},
		{"an error does not outweigh another matcher", `"match":[{"expression":"double({webhooks.json.n}) > 1.0","path":["/no"],"method":["POST"]}]`, `{}`, false},
		{"nor a set that matches", `"match":[{"expression":"double({webhooks.json.n}) > 1.0"},{"path":["/hook"]}]`, `{}`, true},
		{"an error of one set delivers", `"match":[{"expression":"double({webhooks.json.n}) > 1.0"},{"path":["/no"]}]`, `{}`, true},
		{"a panic does not outweigh another matcher", `"match":[{"test_panics":{},"path":["/no"]}]`, `{}`, false},
		{"a matcher that reads does not starve another", `"match":[{"test_reads":{"want":"[1, 2]"},"expression":"{http.request.body}.contains('2')"}]`, `[1, 2]`, true},
		{"a panic delivers", `"match":[{"test_panics":{}}]`, `{}`, true},
		{"JSON that cannot be read delivers", deep, `{"a":"c"`, true},
		{"JSON that cannot be read and is not looked at", `"match":[{"path":["/no"]}]`, `{"a":"c"`, false},
	}
	to := make([][2]string, len(wants))
	for i, want := range wants {
		to[i] = [2]string{fmt.Sprint("d", i), want.to}
	}
	h, _ := servingConfig(t, nil, destinations(to...))
	for i, want := range wants {
		r, _ := through(signed(t, fmt.Sprint("id", i), want.body))
		// What came before may have copied the request, as `tracing` does.
		r = r.WithContext(context.WithValue(r.Context(), caddy.CtxKey("copied"), true))
		expect(t, want.what, serve(t, h, r), 200, "accepted")
		delivery := events(t)[0].Deliveries[i]
		if delivery.Destination != to[i][0] || (delivery.State != event.Filtered) != want.wanted {
			t.Errorf("%s: %s is %v, wanted %v", want.what, delivery.Destination, delivery.State, want.wanted)
		}
		full, err := mustGet(t, events(t)[0].ID)
		if err != nil || string(full.Event.Body) != want.body {
			t.Errorf("%s: stored %v %v, want %s", want.what, full.Event, err, want.body)
		}
	}
}

func mustGet(t *testing.T, id event.ID) (store.Record, error) {
	t.Helper()
	g, ok := gateway.Running()
	if !ok {
		t.Fatal("no gateway runs")
	}
	return g.Store().Get(t.Context(), id)
}

func TestAnEventThatNobodyWantsIsStoredAsFiltered(t *testing.T) {
	h, _ := servingConfig(t, nil, destinations([2]string{"a", `"events":["fork"]`}, [2]string{"b", `"match":[{"path":["/no"]}]`}))
	for _, word := range []string{"filtered", "duplicate"} {
		r, repl := through(signed(t, "x", `{"a":1}`))
		w := serve(t, h, r)
		expect(t, word, w, 200, word)
		if got, _ := repl.GetString("webhooks.event"); got != w.Header().Get("Webhook-Event-Id") {
			t.Errorf("%s: the event is %q", word, got)
		}
	}
	rows := events(t)
	if len(rows) != 1 || rows[0].Deliveries[0].State != event.Filtered || rows[0].Deliveries[1].State != event.Filtered {
		t.Errorf("stored: %+v", rows)
	}
	if h.source.Filtered.Load() != 1 || h.source.Duplicates.Load() != 1 {
		t.Errorf("counted: %d filtered, %d duplicates", h.source.Filtered.Load(), h.source.Duplicates.Load())
	}
}

func TestAnEventWithoutATypeIsDelivered(t *testing.T) {
	h, _ := servingConfig(t, nil, destinations([2]string{"a", `"events":["fork"]`}, [2]string{"b", `"events":["fork"],"match":[{"path":["/no"]}]`}))
	r := signed(t, "x", `{}`)
	r.Header.Del("X-GitHub-Event")
	r, _ = through(r)
	expect(t, "no type", serve(t, h, r), 200, "accepted")
	if d := events(t)[0].Deliveries; d[0].State == event.Filtered || d[1].State != event.Filtered {
		t.Errorf("without a type: %+v", d)
	}
}

func TestOnlyDoubtIsLogged(t *testing.T) {
	const fails = `{"expression":"double({webhooks.json.n}) > 1.0"}`
	h, _ := servingConfig(t, nil, destinations(
		[2]string{"doubts", `"match":[` + fails + `]`},
		[2]string{"decided", `"match":[` + fails + `,{"path":["/hook"]}]`},
		[2]string{"typed", `"events":["fork"]`},
		[2]string{"ordered", `"order_by":"{webhooks.json.n}"`},
	))
	var log bytes.Buffer
	h.log = slog.New(slog.NewTextHandler(&log, nil))
	r, _ := through(signed(t, "x", `{}`))
	expect(t, "doubtful", serve(t, h, r), 200, "accepted")
	if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "level=WARN") || !strings.Contains(got, "destination=doubts") {
		t.Errorf("logged: %s", got)
	}
	log.Reset()
	r = signed(t, "y", `{"n":1`)
	r.Header.Del("X-GitHub-Event")
	r, _ = through(r)
	h.now = func() time.Time { return time.Now().Add(time.Minute) }
	expect(t, "without type, and cut", serve(t, h, r), 200, "accepted")
	for _, want := range []string{"destination=doubts", "destination=typed", "destination=ordered"} {
		if strings.Count(log.String(), want) != 1 {
			t.Errorf("%s is not logged once: %s", want, log.String())
		}
	}
}

func TestTheOrderIsAHashOfWhatItIsBy(t *testing.T) {
	h, _ := servingConfig(t, nil, destinations(
		[2]string{"one", `"order_by":"{webhooks.json.customer}"`},
		[2]string{"two", `"order_by":"{webhooks.json.customer}/{http.request.header.X-Shop}","events":["fork"]`},
		[2]string{"body", `"order_by":"{http.request.body}"`},
		[2]string{"none", `"match":[{"path":["/no"]}]`},
	))
	order := func(body, shop string) (list [4]uint64) {
		r := signed(t, "x", body)
		r.Header.Set("X-Shop", shop)
		r, _ = through(r)
		in := h.arrive(r)
		in.checked.Body = []byte(body)
		in.values.Event = &event.Event{Type: "push", Header: r.Header, Body: in.checked.Body}
		for i, want := range h.wants(in, in.values.Event) {
			list[i] = want.Order
			if want.Filtered != (i == 1 || i == 3) {
				t.Errorf("%s is filtered for %d: %v", body, i, want.Filtered)
			}
		}
		return list
	}
	a, b := order(`{"customer":"a"}`, ""), order(`{"customer":"b"}`, "s")
	if a[0] == 0 || a[0] == b[0] || a[1] == a[0] || a[1] == 0 || a[2] == 0 || a[2] == b[2] || a[3] != 0 {
		t.Errorf("orders %x, %x", a, b)
	}
	if again := order(`{"customer":"a","more":1}`, ""); again[0] != a[0] || again[1] != a[1] || again[2] == a[2] {
		t.Errorf("the same customer: %x, %x", a, again)
	}
	if empty := order(`{"customer":""}`, ""); empty[0] != 0 || empty[1] != 0 {
		t.Errorf("of nothing: %x", empty)
	}
	if half := order(`{}`, "s"); half[0] != 0 || half[1] == 0 {
		t.Errorf("of half: %x", half)
	}
	if cut := order(`{"customer":"a"`, "s"); cut[0] != 0 || cut[1] != 0 || cut[2] == 0 {
		t.Errorf("of JSON that cannot be read: %x", cut)
	}
}

func TestPlaceholdersAreThereForTheLogAndShowNothingUnproven(t *testing.T) {
	h, _ := servingConfig(t, nil, destinations([2]string{"a", ``}))
	const all = "{webhooks.source}|{webhooks.provider}|{webhooks.id}|{webhooks.type}|{webhooks.json.a}|{webhooks.attempt}{webhooks.destination}"
	r, repl := through(signed(t, "x", `{"a":"b"}`))
	w := serve(t, h, r)
	if got := repl.ReplaceKnown(all, ""); got != "github|github|x|push|b|" {
		t.Errorf("accepted: %q", got)
	}
	if got := repl.ReplaceKnown("{webhooks.event}", ""); got != w.Header().Get("Webhook-Event-Id") || got == "" {
		t.Errorf("accepted: the event is %q", got)
	}
	forged := signed(t, "x", `{"a":"b"}`)
	forged.Header.Set("X-Hub-Signature-256", "sha256="+strings.Repeat("0", 64))
	r, repl = through(forged)
	expect(t, "forged", serve(t, h, r), 401, "rejected")
	if got := repl.ReplaceKnown(all+"{webhooks.event}{webhooks.received}", ""); got != "github|github||||" {
		t.Errorf("refused: %q", got)
	}
}

func TestWhatCannotChooseDoesNotLoad(t *testing.T) {
	ctx, err := caddy.ProvisionContext(&caddy.Config{
		Admin:   &caddy.AdminConfig{Disabled: true},
		AppsRaw: caddy.ModuleMap{"webhooks": json.RawMessage(`{"store":{"kind":"memory"}}`)},
	})
	if err != nil {
		t.Fatal(err)
	}
	module, err := ctx.App("webhooks")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = module.(*gateway.App).Cleanup() })
	for to, want := range map[string]string{
		`"events":["push",""]`:                                               "destination a: events: a glob is empty; write a type such as invoice.paid, or a part of it with a star: invoice.*, at Caddyfile:5",
		`"match":[{"expression":"{webhooks.jsn.a} == \"b\""}]`:               "destination a: match: there is no placeholder {webhooks.jsn.a}, at Caddyfile:6",
		`"match":[{"vars":{"{webhooks.attempt}":["1"]}}]`:                    "destination a: match: {webhooks.attempt} has no value yet when an event comes, at Caddyfile:6",
		`"match":[{"expression":"1 +"}]`:                                     "destination a: match: module name 'expression'",
		`"match":[{"pth":["/x"]}]`:                                           "destination a: match: module name 'pth'",
		`"order_by":"customer"`:                                              `destination a: order_by: "customer" is the same for all events: name what must stay in order by a placeholder such as {webhooks.json.<path>} or {http.request.header.<name>}, at Caddyfile:7`,
		`"order_by":"{} {"`:                                                  "is the same for all events",
		`"order_by":"{env.SHARD} {system.hostname}"`:                         "is the same for all events",
		`"order_by":"{webhooks.event}"`:                                      "{webhooks.event} has no value yet",
		`"order_by":"{webhooks.json.}"`:                                      "there is no placeholder {webhooks.json.}",
		`"order_by":"{http.request.header.X} {webhooks.customer}"`:           "there is no placeholder {webhooks.customer}",
		`"events":["a"]},{"name":"b","order_by":"x"`:                         "destination a: events: an event of hmac has no type that is known; say where it stands: from hmac { type header|query|json <name> }, at Caddyfile:5",
		`"routes":[{"handle":[]}]},{"name":"b","routes":[{}],"order_by":"x"`: "destination b: order_by",
	} {
		h := new(Handler)
		provider := map[bool]string{true: "hmac", false: "github"}[strings.Contains(want, "hmac")]
		text := fmt.Sprintf(`{"from":{"provider":%q,"secrets":["s"],"options":{}},
			"places":{"webhooks":"Caddyfile:2","a/events":"Caddyfile:5","a/match":"Caddyfile:6","a/order_by":"Caddyfile:7"},
			"to":[{"name":"a","routes":[{}],%s}]}`, provider, to)
		if provider == "hmac" {
			text = strings.Replace(text, `"options":{}`, `"options":{"header":["X-Sig"]}`, 1)
			text = strings.Replace(text, `"order_by":"x"`, `"order_by":"x","routes":[{}]`, 1)
		}
		if err := json.Unmarshal([]byte(text), h); err != nil {
			t.Fatalf("%s: %v", to, err)
		}
		if err := h.Provision(ctx); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", to, err, want)
		}
	}
}

func TestAStarIsAnythingAndEverythingElseIsItself(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern, text string
		want          bool
	}{
		{"*", "", true},
		{"*", "a.b/c", true},
		{"push", "push", true},
		{"push", "Push", false},
		{"push", "pushed", false},
		{"push", "a.push", false},
		{"invoice.*", "invoice.paid", true},
		{"invoice.*", "invoice.a.b", true},
		{"invoice.*", "invoice.", true},
		{"invoice.*", "invoice", false},
		{"*.paid", "invoice.paid", true},
		{"*.paid", "invoice.paid.late", false},
		{"a*b*c", "aXbYc", true},
		{"a*b*c", "abc", true},
		{"a*b*c", "acb", false},
		{"a*a", "a", false},
		{"ab*bc", "abc", false},
		{"*a*a*", "a", false},
		{"**", "x", true},
		{"*b*", "ababab", true},
		{"*ab", "abab", true},
		{"a.c", "abc", false},
		{"[ab]", "a", false},
		{"[ab]", "[ab]", true},
		{"?", "a", false},
		{`\*`, `\x`, true},
		{"", "", true},
		{"", "a", false},
	} {
		if got := glob(c.pattern, c.text); got != c.want {
			t.Errorf("%q on %q: %v", c.pattern, c.text, got)
		}
	}
}
