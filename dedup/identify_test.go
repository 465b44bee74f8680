package dedup_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/caddy-webhooks/caddy-webhooks/dedup"
	"github.com/caddy-webhooks/caddy-webhooks/verify"
)

func message(body string, header ...string) dedup.Message {
	m := dedup.Message{Header: http.Header{}, Query: url.Values{"q": {"v"}}, Body: []byte(body)}
	for i := 0; i < len(header); i += 2 {
		m.Header.Add(header[i], header[i+1])
	}
	return m
}

func TestAnEventIsNamedByScalarsOnly(t *testing.T) {
	t.Parallel()
	json := func(names ...string) []verify.Pick { return []verify.Pick{{In: "json", Names: names}} }
	for name, c := range map[string]struct {
		picks []verify.Pick
		body  string
		want  string // "" means: no ID
	}{
		"a string":                  {json("id"), `{"id":"evt_1"}`, "evt_1"},
		"a large number":            {json("id"), `{"id":12345678901234567890}`, "12345678901234567890"},
		"absent":                    {json("id"), `{}`, ""},
		"empty":                     {json("id"), `{"id":""}`, ""},
		"null":                      {json("id"), `{"id":null}`, ""},
		"an object":                 {json("id"), `{"id":{"a":1}}`, ""},
		"an array":                  {json("id"), `{"id":["a"]}`, ""},
		"a batch":                   {json("e.#.id"), `{"e":[{"id":"a"},{"id":2}]}`, `["a",2]`},
		"a batch of nothing":        {json("e.#.id"), `{"e":[]}`, ""},
		"a batch with a null":       {json("e.#.id"), `{"e":[{"id":"a"},{"id":null}]}`, ""},
		"a batch of objects":        {json("e.#.id"), `{"e":[{"id":{}}]}`, ""},
		"a batch without names":     {json("e.#.id"), `{"e":[{},{}]}`, ""},
		"a long batch":              {json("e.#.id"), `{"e":[{"id":"` + strings.Repeat("x", 5000) + `"}]}`, "list 46d7f306182e5bdd7663386afe9955a4"},
		"true":                      {json("id"), `{"id":true}`, ""},
		"no JSON":                   {json("id"), `id=1`, ""},
		"longer than any ID":        {json("id"), `{"id":"` + strings.Repeat("x", 5000) + `"}`, ""},
		"the second alternative":    {json("id|event_id"), `{"event_id":"e"}`, "e"},
		"one part of two is absent": {json("id", "account"), `{"id":"a"}`, ""},
		"two parts":                 {json("id", "account"), `{"id":"a","account":"b"}`, "a b"},
		"an optional part":          {json("id", "account?"), `{"id":"a"}`, "a"},
		"nothing to name it by":     {nil, `{"id":"a"}`, ""},
		"the query":                 {[]verify.Pick{{In: "query", Names: []string{"q"}}}, ``, "v"},
		"only optional parts":       {json("id?"), `{}`, ""},
	} {
		id, ok := dedup.Identify([]string{"shop"}, c.picks, message(c.body))
		if ok != (c.want != "") || ok && id.ProviderID != c.want {
			t.Errorf("%s: %q %v, want %q", name, id.ProviderID, ok, c.want)
		}
	}
}

func TestTheJSONInAFormNamesAnEventToo(t *testing.T) {
	t.Parallel()
	pick := []verify.Pick{{In: "json", Names: []string{"id"}}}
	m := message("payload=%7B%22id%22%3A%22evt_1%22%7D", "Content-Type", "application/x-www-form-urlencoded")
	if id, ok := dedup.Identify(nil, pick, m); !ok || id.ProviderID != "evt_1" {
		t.Errorf("a form's payload: %q %v", id.ProviderID, ok)
	}
	m.Header.Set("Content-Type", "text/plain")
	if id, ok := dedup.Identify(nil, pick, m); ok {
		t.Errorf("a text that looks like a form: %q", id.ProviderID)
	}
}

func TestNamesWithModifiersAreSafeFromDeepBodies(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("[", 5<<20)
	for _, path := range []string{"@valid", "@pretty", "a.@fromstr.id", `@flatten:{"deep":true}`} {
		m := message(`{"a":"` + deep + `"}`)
		_, _ = dedup.Identify(nil, []verify.Pick{{In: "json", Names: []string{path}}}, m)
		m.Body = []byte(deep)
		if id, ok := dedup.Identify(nil, []verify.Pick{{In: "json", Names: []string{path}}}, m); ok {
			t.Errorf("%s: named %q", path, id.ProviderID)
		}
	}
}

func TestPartsAndScopesDoNotRunIntoEachOther(t *testing.T) {
	t.Parallel()
	pick := []verify.Pick{{In: "header", Names: []string{"A", "B?"}}}
	seen := map[[32]byte]string{}
	for _, c := range []struct{ scope, a, b string }{
		{"shop", "a", "bc"}, {"shop", "ab", "c"}, {"shop", "abc", ""}, {"sho", "pa", "bc"}, {"shop2", "a", "bc"},
	} {
		m := message("", "A", c.a, "B", c.b)
		id, ok := dedup.Identify([]string{c.scope}, pick, m)
		name := strings.Join([]string{c.scope, c.a, c.b}, "|")
		if other, same := seen[id.Key]; same || !ok {
			t.Errorf("%s has the key of %s", name, other)
		}
		seen[id.Key] = name
	}
}

func TestTheBodyNamesAnEventOnlyWhereThatIsSaid(t *testing.T) {
	t.Parallel()
	body := []verify.Pick{{In: "body"}}
	a, okA := dedup.Identify(nil, body, message("one"))
	b, okB := dedup.Identify(nil, body, message("two"))
	if !okA || !okB || a.Key == b.Key {
		t.Error("different bodies have one name, or none")
	}
	fallback := []verify.Pick{{In: "json", Names: []string{"id|@body"}}}
	if _, ok := dedup.Identify(nil, fallback, message("no id")); !ok {
		t.Error("the fallback to the body was not taken")
	}
	if dedup.Digest([]byte("one")) == dedup.Digest([]byte("two")) {
		t.Error("different bodies have one digest")
	}
}

func FuzzIdentify(f *testing.F) {
	f.Add("id|a.b", "hdr", []byte(`{"id":1}`))
	f.Add("@body", "", []byte("\xff"))
	f.Fuzz(func(t *testing.T, path, header string, body []byte) {
		m := dedup.Message{Header: http.Header{"A": {header}}, Query: url.Values{}, Body: body}
		picks := []verify.Pick{{In: "json", Names: []string{path}}, {In: "header", Names: []string{"A?"}}}
		id, ok := dedup.Identify([]string{"s"}, picks, m)
		again, okAgain := dedup.Identify([]string{"s"}, picks, m)
		if id != again || ok != okAgain {
			t.Fatal("the same event has two names")
		}
		if len(id.ProviderID) > 3*dedup.MaxDisplay {
			t.Fatalf("an ID of %d bytes is shown", len(id.ProviderID))
		}
	})
}
