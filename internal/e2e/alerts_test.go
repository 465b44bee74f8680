package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/caddy-webhooks/caddy-webhooks/internal/testkit"
)

// built tells that there is something to remove.
var built atomic.Bool

// buildAlerting builds a gateway with a handler of Caddy's events, once.
var buildAlerting = sync.OnceValues(func() (string, error) {
	built.Store(true)
	dir, err := os.MkdirTemp("", "webhooks-alerting")
	if err != nil {
		return "", err
	}
	binary := filepath.Join(dir, "caddy")
	if out, err := exec.Command("go", "build", "-o", binary, "./testdata/alerting").CombinedOutput(); err != nil {
		return "", fmt.Errorf("building: %w\n%s", err, out)
	}
	return binary, nil
})

// alerting is a gateway whose binary has a handler of Caddy's events, in a
// directory with the example's scripts.
func alerting(t *testing.T, env ...string) *testkit.Gateway {
	t.Helper()
	g := testkit.New(t, env...)
	var err error
	if g.Program, err = buildAlerting(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"alert.sh", "backlog.sh", "webhook.sh"} {
		script, err := os.ReadFile(filepath.Join("..", "..", "examples", "alerts", name))
		if err == nil {
			err = os.WriteFile(filepath.Join(g.Dir, name), script, 0o700)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return g
}

func TestExampleAlertsTellsOfWhatGoesWrongAndRightAgain(t *testing.T) {
	t.Parallel()
	app := testkit.NewApp(t)
	app.Answer(unavailableApp)
	config := example(t, "alerts", "localhost:3000", app.Addr()+" {\n\t\t\tretry {\n\t\t\t\tbackoff 20ms 50ms\n\t\t\t}\n\t\t}", "80% 1h", "80% 1s\n\t\tmax_backlog 28B")
	g := alerting(t, "GITHUB_SECRET="+testkit.Secret).Start(config)
	url := "http://" + g.Addr + "/github"
	told := func(want string) {
		t.Helper()
		testkit.Eventually(t, "it is told: "+want, func() bool {
			text, _ := os.ReadFile(filepath.Join(g.Dir, "alerts.log"))
			return strings.Contains(string(text), want)
		})
	}
	if status, _, err := testkit.Post(url, "another secret", "forged", []byte(`{}`)); err != nil || status != http.StatusUnauthorized {
		t.Fatalf("forged: %d %v", status, err)
	}
	told("refused github: 1 times: ")
	for _, id := range []string{"a", "b", "c", "d", "e", "f"} {
		if status, _, err := testkit.Post(url, testkit.Secret, id, []byte(`{}`)); err != nil || status != http.StatusOK {
			t.Fatalf("%s: %d %v", id, status, err)
		}
	}
	told("down github/default: ")
	told("backlog github/default: 6 events wait, the oldest for ")
	told("backlog github: 12 bytes wait, 85 % of the 14 that may; ")
	if err := g.Reload(strings.Replace(config, "# Somebody", "# Whoever", 1)); err != nil {
		t.Fatal(err)
	}
	app.Answer(nil)
	told("up github/default: down for ")
	app.Answer(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGone) })
	if _, _, err := testkit.Post(url, testkit.Secret, "gone", []byte(`{}`)); err != nil {
		t.Fatal(err)
	}
	told("dead github/default: ")
}

// chat takes {"text": "…"}, as chats do, and refuses all else.
type chat struct {
	*httptest.Server
	mu   sync.Mutex
	said []string
}

func newChat(t *testing.T) *chat {
	t.Helper()
	c := new(chat)
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var message struct{ Text string }
		decoder := json.NewDecoder(r.Body)
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&message); err != nil || message.Text == "" || r.Header.Get("Content-Type") != "application/json" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.said = append(c.said, message.Text)
	}))
	t.Cleanup(c.Close)
	return c
}

func (c *chat) has(text string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.ContainsFunc(c.said, func(one string) bool { return strings.Contains(one, text) })
}

func TestAlertsArePostedToAChatByTheExamplesScript(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"curl", "jq"} {
		if _, err := exec.LookPath(tool); err != nil {
			testkit.Lacks(t, tool)
		}
	}
	app, where := testkit.NewApp(t), newChat(t)
	config := example(t, "alerts", "localhost:3000", app.Addr(), "./alert.sh", "./webhook.sh")
	g := alerting(t, "GITHUB_SECRET="+testkit.Secret, "ALERT_URL="+where.URL)
	g.Start(config)
	app.Answer(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGone) })
	if status, _, err := testkit.Post("http://"+g.Addr+"/github", "another secret", "forged", []byte(`{}`)); err != nil || status != http.StatusUnauthorized {
		t.Fatalf("forged: %d %v", status, err)
	}
	if status, _, err := testkit.Post("http://"+g.Addr+"/github", testkit.Secret, "gone", []byte(`{}`)); err != nil || status != http.StatusOK {
		t.Fatalf("%d %v", status, err)
	}
	testkit.Eventually(t, "the chat is told", func() bool {
		return where.has("webhooks: refused github: 1 times: ") && where.has("webhooks: dead github/default: ") && where.has("410")
	})
}

// What an application says of itself stands in alerts: it must stay text.
func TestTheScriptsTakeWhatTheyAreToldForText(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("jq"); err != nil {
		testkit.Lacks(t, "jq")
	}
	where, dir := newChat(t), t.TempDir()
	const evil = "\"}$(touch ran)`touch ran`; touch ran\n'%s\\"
	for _, name := range []string{"alert.sh", "webhook.sh"} {
		script, err := filepath.Abs(filepath.Join("..", "..", "examples", "alerts", name))
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), script, "down", "--shop/orders", evil)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "ALERT_URL="+where.URL)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", name, err, out)
		}
	}
	if want := "webhooks: down --shop/orders: " + evil; !where.has(want) {
		t.Errorf("the chat got %q, want %q", where.said, want)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "alerts.log")); err != nil || string(text) != "down --shop/orders: "+evil+"\n" {
		t.Errorf("alert.sh wrote %q, %v", text, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "ran")); err == nil {
		t.Error("a script has run what it was told")
	}
}

func TestABacklogIsToldInWords(t *testing.T) {
	t.Parallel()
	script, err := filepath.Abs(filepath.Join("..", "..", "examples", "alerts", "backlog.sh"))
	if err != nil {
		t.Fatal(err)
	}
	for want, args := range map[string][]string{
		"backlog all sources 9 bytes wait, 90 % of the 10 that may; beyond that webhooks are answered 503\n": {"bytes", "", "", "9", "10", "90", "", ""},
		"backlog shop/$(id) 3 events wait, the oldest for 4000 s\n":                                          {"age", "shop", "$(id)", "", "", "", "3", "4000"},
	} {
		out, err := exec.CommandContext(t.Context(), script, append([]string{"echo"}, args...)...).CombinedOutput()
		if err != nil || string(out) != want {
			t.Errorf("%q: %q, %v", args, out, err)
		}
	}
}
