package providerdocs

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"github.com/caddy-webhooks/caddy-webhooks/internal/testkit"
	"github.com/caddy-webhooks/caddy-webhooks/verify"
	"github.com/caddy-webhooks/caddy-webhooks/verify/providers"
	"github.com/caddy-webhooks/caddy-webhooks/verify/verifytest"
	"github.com/caddy-webhooks/caddy-webhooks/verify/words"
)

// tried is one page that is done as it says.
type tried struct {
	*verify.Record
	page string
	// key is the private one that `send` signs with, where there is a pair.
	key string
}

// prepare sets the environment that the page's example and its line need.
func prepare(t *testing.T, r *verify.Record) tried {
	t.Helper()
	s, err := verifytest.New(r)
	if err != nil {
		t.Fatal(err)
	}
	p := tried{Record: r, page: written(t, Dir+"/"+r.Name+".md")}
	value := verifytest.Secret(r)
	if s.Private != nil {
		der, err := x509.MarshalPKCS8PrivateKey(s.Private)
		if err != nil {
			t.Fatal(err)
		}
		p.key = base64.StdEncoding.EncodeToString(der)
		if value, err = r.PublicKey(s.Private.Public()); err != nil {
			t.Fatal(err)
		}
	}
	for _, v := range words.Variables(r) {
		if v.Option == "" {
			t.Setenv(v.Name, value)
		} else {
			t.Setenv(v.Name, verifytest.Params(r)[v.Option][0])
		}
	}
	t.Setenv(p.ownSecret(), value)
	return p
}

var alreadyHad = regexp.MustCompile("is written as `from \\S+ \\{env\\.([A-Z0-9_]+)\\}`")

// ownSecret is the variable that is written behind `from` where the example has
// no secret: of a key that is published, and of a secret that is handed over.
func (p tried) ownSecret() string {
	if found := alreadyHad.FindStringSubmatch(p.page); found != nil {
		return found[1]
	}
	return "KEY_OF_" + strings.ToUpper(strings.ReplaceAll(p.Name, "-", "_"))
}

// site is the example's block. What would be asked of a provider's server, or be
// handed over by it, is configured, as the page says that it can be.
func (p tried) site(app string) string {
	block := example.FindStringSubmatch(p.page)[1]
	block = strings.TrimSuffix(strings.TrimPrefix(block, "hooks.example.com {\n"), "}\n")
	block = strings.Replace(block, "localhost:3000", app, 1)
	behind := "from " + p.Name + " {env." + p.ownSecret() + "}"
	switch {
	case p.Learn != nil:
		return strings.Replace(block, "from "+p.Name+" {\n\t\t\tsecret learn\n\t\t}", behind, 1)
	case p.Schemes[0].Kind != "none" && !strings.Contains(block, "from "+p.Name+" {env."):
		return strings.Replace(block, "from "+p.Name, behind, 1)
	}
	return block
}

var (
	lineToTry = regexp.MustCompile("(?ms)^```sh\ncaddy webhooks (.*?)\n```$")
	prints    = regexp.MustCompile("It prints `([^`]+)`\\.")
)

// shellWords splits a line, and only then fills in the variables, which stand in
// quotes.
func shellWords(line string) []string {
	list := strings.Fields(strings.ReplaceAll(line, "\\\n", " "))
	for i, word := range list {
		list[i] = os.ExpandEnv(strings.ReplaceAll(word, `"`, ""))
	}
	return list
}

// run runs the page's line, against the gateway at site.
func (p tried) run(t *testing.T, site string, more ...string) (string, error) {
	t.Helper()
	found := lineToTry.FindStringSubmatch(p.page)
	if found == nil {
		t.Fatalf("%s has no line to try", p.Name)
	}
	args := shellWords(strings.Replace(found[1], "https://hooks.example.com", "http://"+site, 1))
	if p.key != "" {
		args = append(args, "--key", p.key)
	}
	cmd := &cobra.Command{Use: "webhooks", SilenceErrors: true}
	caddycmd.Commands()["webhooks"].CobraFunc(cmd)
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(new(bytes.Buffer))
	cmd.SetArgs(append(args, more...))
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

// start runs a Caddyfile until the test ends.
func start(t *testing.T, config string) {
	t.Helper()
	adapted, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(config), nil)
	if err != nil {
		t.Fatal(err)
	}
	var c caddy.Config
	if err := json.Unmarshal(adapted, &c); err != nil {
		t.Fatal(err)
	}
	if err := caddy.Run(&c); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	})
}

const global = "{\n\tadmin off\n\tpersist_config off\n\tauto_https off\n\tlog {\n\t\toutput discard\n\t}\n\twebhooks {\n\t\tstore memory\n\t}\n}\n"

// The examples of all pages run in one Caddy, and each gets what the line of its
// page sends. It is not parallel: all of it takes secrets from the environment.
func TestTheExampleOfEveryPageAcceptsWhatItsLineSends(t *testing.T) {
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	site, app := testkit.FreeAddr(t), testkit.FreeAddr(t)
	var config strings.Builder
	fmt.Fprintf(&config, "%shttp://%s {\n", global, site)
	var pages []tried
	for _, r := range providers.All() {
		p := prepare(t, r)
		pages = append(pages, p)
		config.WriteString(p.site(app))
	}
	start(t, config.String()+"}\n")
	for _, p := range pages {
		t.Run(p.Name, func(t *testing.T) {
			want := "200 accepted"
			if p.Name != "none" {
				want = prints.FindStringSubmatch(p.page)[1]
			}
			if out, err := p.run(t, site); err != nil || !strings.HasPrefix(out, want+" ") {
				t.Errorf("it prints %q, not %q: %v", out, want, err)
			}
			if p.Name == "none" {
				return
			}
			if out, err := p.run(t, site, "--bad"); err != nil || !strings.HasPrefix(out, "401 rejected") {
				t.Errorf("with --bad it prints %q: %v", out, err)
			}
		})
	}
}

// Where the secret itself is sent, the page says how it stays out of the access
// log; without that it stands there.
func TestWhatThePagesSayOfLogsKeepsTheSecretOut(t *testing.T) {
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	tried := 0
	for _, r := range providers.All() {
		p := prepare(t, r)
		kind := p.Schemes[0].Kind // the one that has a secret here
		if kind != "token" && kind != "basic" {
			continue
		}
		t.Run(r.Name, func(t *testing.T) {
			filter := ""
			if blocks := example.FindAllStringSubmatch(p.page, -1); len(blocks) > 1 {
				filter = strings.TrimSuffix(strings.TrimPrefix(blocks[1][1], "hooks.example.com {\n"), "}\n")
				tried++
			}
			for _, filtered := range []bool{false, true} {
				site, file := testkit.FreeAddr(t), filepath.Join(t.TempDir(), "access.log")
				log := "\tlog {\n\t}\n"
				if filtered && filter != "" {
					log = filter
				}
				log = strings.Replace(log, "log {\n", "log {\noutput file "+file+"\n", 1)
				t.Run(fmt.Sprint(filtered), func(t *testing.T) {
					start(t, global+"http://"+site+" {\n"+log+p.site(testkit.FreeAddr(t))+"}\n")
					if out, err := p.run(t, site); err != nil {
						t.Fatalf("%s, %v", out, err)
					}
				})
				text, err := os.ReadFile(file)
				if err != nil || !strings.Contains(string(text), `"uri":"/`+p.Name) {
					t.Fatalf("%v, logged:\n%s", err, text)
				}
				seen := strings.Contains(string(text), "Secret")
				if want := filter != "" && !filtered; seen != want {
					t.Errorf("filtered %v: the secret is in the log: %v, want %v:\n%s", filtered, seen, want, text)
				}
			}
		})
	}
	if tried < 3 {
		t.Errorf("only %d pages have a filter", tried)
	}
}
