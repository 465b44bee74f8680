package e2e

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-webhooks/caddy-webhooks/internal/testkit"
)

// alerting is a gateway whose binary has a handler of Caddy's events, in a
// directory with the example's script.
func alerting(t *testing.T, env ...string) *testkit.Gateway {
	t.Helper()
	g := testkit.New(t, env...)
	g.Program = filepath.Join(t.TempDir(), "caddy")
	if out, err := exec.Command("go", "build", "-o", g.Program, "./testdata/alerting").CombinedOutput(); err != nil {
		t.Fatalf("building: %v\n%s", err, out)
	}
	script, err := os.ReadFile(filepath.Join("..", "..", "examples", "alerts", "alert.sh"))
	if err == nil {
		err = os.WriteFile(filepath.Join(g.Dir, "alert.sh"), script, 0o700)
	}
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestExampleAlertsTellsOfWhatGoesWrongAndRightAgain(t *testing.T) {
	t.Parallel()
	app := testkit.NewApp(t)
	app.Answer(unavailableApp)
	config := example(t, "alerts", "localhost:3000", app.Addr()+" {\n\t\t\tretry {\n\t\t\t\tbackoff 20ms 50ms\n\t\t\t}\n\t\t}", "80% 1h", "80% 1s")
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
	told("backlog github/default: age")
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
