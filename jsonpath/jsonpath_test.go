package jsonpath_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/caddy-webhooks/caddy-webhooks/jsonpath"
)

func TestAPathLeadsToAValue(t *testing.T) {
	t.Parallel()
	const text = `{"a":{"b":[{"c":1},{"c":2}],"u@x":"at","in":"{\"d\":{\"e\":\"deep\"}}","twice":"\"{\\\"f\\\":7}\""}}`
	for path, want := range map[string]string{
		"a.b.1.c": "2", "a.b.#.c": "[1,2]", "a.b.#": "2", "a.u@x": "at", "a.none": "", "": "",
		"a.in.@fromstr.d.e": "deep", "a.in|@fromstr|d.e": "deep", "a.in.@fromstr": `{"d":{"e":"deep"}}`,
		"a.twice.@fromstr.@fromstr.f": "7", "a.none.@fromstr.x": "", "a.b.@fromstr.0.c": "1", "a.@keys.0": "b",
	} {
		if got := jsonpath.Get([]byte(text), path).String(); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
	if got := jsonpath.Get([]byte(`"{\"a\":1}"`), "@fromstr.a").String(); got != "1" {
		t.Errorf("JSON in the string that is the whole text: %q", got)
	}
}

// A stack that overflows cannot be recovered from: the process is gone.
func TestFiveMillionBracketsTakeNothingAlong(t *testing.T) {
	t.Parallel()
	const levels = 5 << 20
	deep := strings.Repeat("[", levels) + strings.Repeat("]", levels)
	for name, text := range map[string]string{
		"arrays": deep, "open arrays": deep[:levels], "objects": strings.Repeat(`{"a":`, levels),
		"arrays in a string": `{"a":"` + deep + `"}`,
	} {
		for _, path := range []string{"a.b", "0.0.0", "#.a", "a.#(b==1)#", "a.@fromstr.b", "@valid", "@pretty", "@ugly", "@flatten:{\"deep\":true}", "@dig:b", "a.@fromstr.@dig:b"} {
			got := jsonpath.Get([]byte(text), path).String()
			if got != "" && name != "arrays in a string" && path[0] == '@' { // that is valid, and not nested
				t.Errorf("%s in %s: %d bytes", path, name, len(got))
			}
		}
	}
}

func TestAFormGivesItsPayload(t *testing.T) {
	t.Parallel()
	const form = "application/x-www-form-urlencoded"
	encoded := url.Values{"payload": {`{"a":"b c"}`}}.Encode()
	for _, c := range []struct{ kind, body, want string }{
		{form, encoded, `{"a":"b c"}`},
		{strings.ToUpper(form) + "; charset=utf-8", "x=1&" + encoded, `{"a":"b c"}`},
		{form, encoded + "&payload={}", encoded + "&payload={}"},
		{form, "text=1", "text=1"},
		{form, "payload=%zz", "payload=%zz"},
		{"application/json", encoded, encoded},
		{"", `{"payload":1}`, `{"payload":1}`},
	} {
		h := http.Header{"Content-Type": {c.kind}}
		if got := string(jsonpath.Text(h, []byte(c.body))); got != c.want {
			t.Errorf("%s of %s: %q, want %q", c.body, c.kind, got, c.want)
		}
	}
}

func FuzzGet(f *testing.F) {
	f.Add(`{"a":[1,{"b":"{\"c\":2}"}]}`, "a.1.b.@fromstr.c")
	f.Add(`[[[[`, "@flatten")
	f.Add(`{"a":1}`, "@fromstr@fromstr|.")
	f.Add("\xef\xbb\xbf{", "..#.a")
	f.Fuzz(func(_ *testing.T, text, path string) {
		_ = jsonpath.Get([]byte(text), path).String()
	})
}
