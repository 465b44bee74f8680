package providerdocs

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/caddy-webhooks/caddy-webhooks"
	"github.com/caddy-webhooks/caddy-webhooks/handler"
	"github.com/caddy-webhooks/caddy-webhooks/verify"
	"github.com/caddy-webhooks/caddy-webhooks/verify/providers"
	"github.com/caddy-webhooks/caddy-webhooks/verify/verifytest"
	"github.com/caddy-webhooks/caddy-webhooks/verify/words"
)

const root = "../.."

func written(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(path)))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var example = regexp.MustCompile("(?ms)^```caddyfile\n(.*?)^```$")

// secret is what an operator would configure for a provider.
func secret(t *testing.T, r *verify.Record) string {
	t.Helper()
	s, err := verifytest.New(r)
	if err != nil {
		t.Fatal(err)
	}
	if s.Private == nil {
		return verifytest.Secret(r)
	}
	public, err := r.PublicKey(s.Private.Public())
	if err != nil {
		t.Fatal(err)
	}
	return public
}

// load has the real Caddy build what a configuration says, without running it.
func load(t *testing.T, dir, sites string) error {
	t.Helper()
	global := "{\n\tadmin off\n\tpersist_config off\n\tauto_https off\n\tstorage file_system " + dir + "\n\tlog {\n\t\toutput discard\n\t}\n}\n"
	adapted, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(global+sites), nil)
	if err != nil {
		return err
	}
	var config caddy.Config
	if err := json.Unmarshal(adapted, &config); err != nil {
		t.Fatal(err)
	}
	return caddy.Validate(&config)
}

// It is not parallel: the examples take their secrets from the environment.
func TestTheExampleOfEveryPageLoads(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("XDG_DATA_HOME", dir)
	for _, r := range providers.All() {
		t.Run(r.Name, func(t *testing.T) {
			blocks := example.FindAllStringSubmatch(written(t, Dir+"/"+r.Name+".md"), -1)
			if len(blocks) == 0 {
				t.Fatal("no example")
			}
			variables := words.Variables(r)
			for _, v := range variables {
				value := secret(t, r)
				if v.Option != "" {
					value = verifytest.Params(r)[v.Option][0]
				}
				t.Setenv(v.Name, value)
			}
			if err := load(t, dir, blocks[0][1]); err != nil {
				t.Fatal(err)
			}
			for _, more := range blocks[1:] {
				if err := load(t, dir, more[1]); err != nil {
					t.Errorf("%v, in\n%s", err, more[1])
				}
			}
			for _, v := range variables {
				was := os.Getenv(v.Name)
				t.Setenv(v.Name, "")
				if err := load(t, dir, blocks[0][1]); err == nil || !strings.Contains(err.Error(), v.Name) {
					t.Errorf("without %s: %v", v.Name, err)
				}
				t.Setenv(v.Name, was)
			}
		})
	}
}

func TestTheTableHasEveryProviderOnceAndTheirNumber(t *testing.T) {
	t.Parallel()
	pages, err := Pages(root)
	if err != nil {
		t.Fatal(err)
	}
	index := pages[Dir+"/README.md"]
	for _, r := range providers.All() {
		if strings.Count(index, "\n| ["+r.Name+"]("+r.Name+".md) | ") != 1 {
			t.Errorf("%s does not stand in the table once", r.Name)
		}
	}
	if !strings.Contains(index, "\n"+strconv.Itoa(presets())+" providers are known") {
		t.Errorf("the table does not say %d", presets())
	}
	if !strings.Contains(index, "| Standard Webhooks (also `svix`, `clerk`, ") {
		t.Error("the other names are missing")
	}
	for line := range strings.SplitSeq(index, "\n") {
		if columns := strings.Count(strings.ReplaceAll(line, `\|`, ""), "|"); strings.HasPrefix(line, "|") && !slices.Contains([]int{8, 4, 3}, columns) {
			t.Errorf("%d columns: %s", columns-1, line)
		}
	}
}

func TestTheREADMESaysHowManyProvidersThereAre(t *testing.T) {
	t.Parallel()
	dir := elsewhere(t, map[string]string{"README.md": "# X\n\nMore than 3 providers are known.\n"})
	pages, err := Pages(dir)
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`^# X\n\nMore than (\d+) providers are known.\n$`).FindStringSubmatch(pages["README.md"])
	if found == nil {
		t.Fatalf("it says %q", pages["README.md"])
	}
	if said, err := strconv.Atoi(found[1]); err != nil || said >= presets() || said+10 < presets() || said%10 != 0 {
		t.Errorf("it says %s, and there are %d", found[1], presets())
	}
	if !counted.MatchString(written(t, "README.md")) {
		t.Error("the real one does not say how many providers there are")
	}
}

func TestThePagesNameTheDefaultOfTheHandler(t *testing.T) {
	t.Parallel()
	if page := written(t, Dir+"/stripe.md"); !strings.Contains(page, words.Size(handler.DefaultMaxBody)+" is accepted") {
		t.Errorf("the largest body is %s, and the page says otherwise", words.Size(handler.DefaultMaxBody))
	}
}

// elsewhere copies what the pages are made of, so that it can be changed.
func elsewhere(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestJudgesAndThoseLeftOutAreTold(t *testing.T) {
	t.Parallel()
	dir := elsewhere(t, map[string]string{
		"verify/providers/testdata/judged.yaml": `
- {provider: stripe, judge: npm stripe, signs: true, verifies: true}
- {provider: stripe, judge: Go stripe/stripe-go, verifies: true}
- {provider: slack, judge: npm @slack/bolt, signs: true}
`,
		"verify/providers/testdata/left-out.yaml":        "- {name: zzz, why: It signs <nothing> | at all.}\n- {name: aaa, why: Its scheme is not known.}\n",
		"verify/providers/testdata/vectors/zoom.yaml":    "- {origin: the question, unsigned: true}\n- {origin: \"computed with node's crypto from the documentation's description\"}\n",
		"verify/providers/testdata/vectors/github.yaml":  "- {origin: \"GitHub's documentation, validating webhook deliveries\"}\n",
		"verify/providers/testdata/vectors/twitch.yaml":  "- {origin: a question computed with node's crypto from the documentation's description}\n- {origin: computed with npm twitch 1.0.0}\n",
		"verify/providers/testdata/vectors/dropbox.yaml": "- {origin: the question, unsigned: true}\n",
		"internal/judges/go.mod":                         "module x\n\nrequire (\n\tgithub.com/stripe/stripe-go/v82 v82.5.1\n)\n",
		"internal/judges/npm/package-lock.json":          `{"packages":{"":{},"node_modules/stripe":{"version":"23.1.0"},"node_modules/@slack/bolt":{"version":"5.1.0"},"node_modules/a/node_modules/stripe":{"version":"1.0.0"}}}`,
	})
	pages, err := Pages(dir)
	if err != nil {
		t.Fatal(err)
	}
	for file, lines := range map[string][]string{
		"README.md": {
			"| npm stripe 23.1.0 (both ways); Go stripe/stripe-go v82.5.1 (verifies) |\n", "| npm @slack/bolt 5.1.0 (signs) |\n",
			fmt.Sprintf("Of %d, 3 were judged by an SDK or other code that signs or verifies, 1 more by a request that the provider publishes, "+
				"1 more by a request made from its documentation or from the code of others, and %d by nobody else.", presets(), presets()-5),
			"| request made from the documentation; computed with npm twitch 1.0.0 |\n", "| request made from the documentation |\n", "| published: GitHub's documentation, validating webhook deliveries |\n",
			"| aaa | Its scheme is not known. |\n| zzz | It signs &lt;nothing> \\| at all. |\n",
		},
		"stripe.md": {
			"- npm stripe 23.1.0 accepts what we sign, and we accept what it signs.\n- Go stripe/stripe-go v82.5.1 accepts what we sign.\n",
		},
		"slack.md":   {"- We accept what npm @slack/bolt 5.1.0 signs.\n"},
		"zoom.md":    {"- A request that we accept: computed with node's crypto from the documentation's description.\n"},
		"dropbox.md": {"No judge from outside is recorded."},
	} {
		for _, line := range lines {
			if !strings.Contains(pages[Dir+"/"+file], line) {
				t.Errorf("%s: no %q in\n%s", file, line, pages[Dir+"/"+file])
			}
		}
	}
}

func TestWriteMakesTheDirectoryCurrentAndStaleSaysWhatIsNot(t *testing.T) {
	t.Parallel()
	dir := elsewhere(t, map[string]string{Dir + "/gone.md": "a page of no provider"})
	if stale, err := Stale(dir); err != nil || !slices.Contains(stale, Dir+"/gone.md") || !slices.Contains(stale, Dir+"/stripe.md") {
		t.Errorf("%v, %v", stale, err)
	}
	if err := Write(dir); err != nil {
		t.Fatal(err)
	}
	if stale, err := Stale(dir); err != nil || len(stale) > 0 {
		t.Errorf("%v, %v", stale, err)
	}
	if err := os.WriteFile(filepath.Join(dir, filepath.FromSlash(Dir), "stripe.md"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if stale, err := Stale(dir); err != nil || !slices.Equal(stale, []string{Dir + "/stripe.md"}) {
		t.Errorf("%v, %v", stale, err)
	}
}

func TestADamagedFileIsNamed(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"verify/providers/testdata/judged.yaml", "verify/providers/testdata/left-out.yaml", "verify/providers/testdata/vectors/zoom.yaml",
		"internal/judges/npm/package-lock.json",
	} {
		if _, err := Pages(elsewhere(t, map[string]string{name: "{"})); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestOriginsAreShortenedByWhatTheySay(t *testing.T) {
	t.Parallel()
	for origin, want := range map[string]string{
		"computed with npm braintree 3.40.0":                                   "computed with npm braintree 3.40.0",
		"computed with npm @contentful/node-apps-toolkit 3.16.1, /hook":        "computed with npm @contentful/node-apps-toolkit 3.16.1",
		"computed with Python’s hmac from the documentation’s description, v2": "request made from the documentation",
		"written by hand from the documentation's description":                 "request made from the documentation",
		"the documentation's description":                                      "request made from the documentation",
		"computed with node's crypto from the code of third parties":           "request made from the code of others",
		"computed with node's crypto":                                          "request made by other code",
		"accepted by npm @polar-sh/sdk 0.49.0":                                 "accepted by npm @polar-sh/sdk 0.49.0",
		"the example of Twilio’s documentation":                                "published: the example of Twilio’s documentation",
	} {
		if got := kindOf(origin); got != want {
			t.Errorf("%s: %s, want %s", origin, got, want)
		}
	}
}
