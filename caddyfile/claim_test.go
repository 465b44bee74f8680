package caddyfile_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// claims adapts a site and returns the name of the source whose matcher takes
// the request first, as Caddy's own matchers decide it.
func claims(t *testing.T, input, target string) string {
	t.Helper()
	adapted, err := adapt([]byte(input))
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		Apps struct {
			HTTP struct {
				Servers map[string]struct {
					Routes []struct {
						Match  []map[string]json.RawMessage `json:"match"`
						Handle []struct {
							Name string `json:"name"`
						} `json:"handle"`
					} `json:"routes"`
				} `json:"servers"`
			} `json:"http"`
		} `json:"apps"`
	}
	if err := json.Unmarshal(adapted, &config); err != nil {
		t.Fatal(err)
	}
	for _, route := range config.Apps.HTTP.Servers["srv0"].Routes {
		for _, set := range route.Match {
			if matches(t, set, target) {
				return route.Handle[0].Name
			}
		}
	}
	return ""
}

func matches(t *testing.T, set map[string]json.RawMessage, target string) bool {
	t.Helper()
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	defer cancel()
	req := httptest.NewRequest(http.MethodPost, target, http.NoBody)
	req = caddyhttp.PrepareRequest(req, caddy.NewReplacer(), httptest.NewRecorder(), &caddyhttp.Server{})
	for name, raw := range set {
		loaded, err := ctx.LoadModuleByID("http.matchers."+name, raw)
		if err != nil {
			t.Fatal(err)
		}
		ok, err := loaded.(caddyhttp.RequestMatcherWithError).MatchWithError(req)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return false
		}
	}
	return true
}

func source(name, matcher string) string {
	return "\twebhooks " + matcher + " {\n\t\tname " + name + "\n\t\tfrom github {env.S}\n\t\tto localhost:3000\n\t}\n"
}

func TestAnExactPathIsClaimedWithAndWithoutItsSlash(t *testing.T) {
	t.Parallel()
	alone := ":80 {\n" + source("hook", "/in/hook") + "}\n"
	below := ":80 {\n" + source("all", "/in/*") + source("hook", "/in/hook") + "}\n"
	above := ":80 {\n" + source("hook", "/in/hook") + source("all", "/in/*") + "}\n"
	for target, claimed := range map[string]bool{
		"/in/hook": true, "/in/hook/": true, "/IN/Hook": true, "//in//hook": true, "/in/hook//": true,
		"/in/./hook": true, "/in/x/../hook": true, "/in/hook?a=b": true, "/in%2Fhook": true, "/in/%68ook": true,
		"/in/hooks": false, "/in/hook/x": false, "/in/hook.php": false, "/in/hook/..": false, "/in": false, "/x/in/hook": false,
	} {
		want := map[bool]string{true: "hook"}[claimed]
		if got := claims(t, alone, target); got != want {
			t.Errorf("%s: claimed by %q, want %q", target, got, want)
		}
		if want == "" && strings.HasPrefix(target, "/in/hook") && !strings.HasSuffix(target, "..") {
			want = "all"
		}
		for _, site := range []string{below, above} {
			if got := claims(t, site, target); (want != "" || got == "hook") && got != want {
				t.Errorf("%s: claimed by %q, want %q, in\n%s", target, got, want, site)
			}
		}
	}
}

func TestAWildcardAndADirectoryClaimWhatCaddySays(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		matcher, target string
		want            string
	}{
		{"/in/*", "/in/a/b", "a"},
		{"/in/*", "/in", ""},
		{"/in/", "/in/", "a"},
		{"/in/", "/in", ""},
		{"*.php", "/x.php", ""},
	} {
		if strings.HasPrefix(c.matcher, "*.") {
			if _, err := adapt([]byte(":80 {\n" + source("a", c.matcher) + "}\n")); err == nil {
				t.Errorf("%s is taken for a matcher", c.matcher)
			}
			continue
		}
		if got := claims(t, ":80 {\n"+source("a", c.matcher)+"}\n", c.target); got != c.want {
			t.Errorf("%s on %s: claimed by %q, want %q", c.matcher, c.target, got, c.want)
		}
	}
}

// FuzzAdapt reads what stands in the directive's block. `import` is left out,
// since it reads files of whoever runs the fuzzer.
func FuzzAdapt(f *testing.F) {
	for _, seed := range []string{
		"from github a\nto b", "from github a {\nid body\n}\nto b {\nroute {\nrewrite /x\n}\n}",
		"from github a\nto b {\nreverse_proxy {\nhealth_uri /up\n}\n}", "to {\nroute {\nwebhooks\n}\n}", "to \"{\" {\nroute \"{\"\n}",
		"from a b\nto c {\nreverse_proxy { }\n}", "from a b\nto \"c\nd\" {\nreverse_proxy {\n}\n}", "from a\nto unix//a { \n}",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		if strings.Contains(body, "import") || strings.Contains(body, "{$") {
			t.Skip()
		}
		adapted, err := adapt([]byte(":80 {\n\twebhooks /x {\n" + body + "\n\t}\n}\n"))
		if err == nil && !json.Valid(adapted) {
			t.Errorf("no JSON of %q", body)
		}
	})
}
