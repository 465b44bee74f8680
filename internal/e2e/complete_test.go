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

// bashCompletion is the package that Caddy's script for bash needs.
const bashCompletion = "/usr/share/bash-completion/bash_completion"

// tab presses Tab in bash behind a command line, and gives what bash makes of it.
const tab = `
source ` + bashCompletion + `
PATH=$(dirname "$1"):$PATH
source <("$1" completion bash)
COMP_LINE=$2 COMP_POINT=${#2} COMP_TYPE=9
IFS=' ' read -ra COMP_WORDS <<< "$2"
[[ $2 == *' ' ]] && COMP_WORDS+=("")
COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 ))
__start_caddy "${COMP_WORDS[0]}" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}" 2>/dev/null
printf '%s\n' "${COMPREPLY[@]}"
`

func TestBashOffersWhatTheGatewayHas(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat(bashCompletion); err != nil {
		testkit.Lacks(t, "the package bash-completion")
	}
	app := testkit.NewApp(t)
	g := testkit.New(t).Start(one("shop", "orders", app.Addr(), ""))
	marker := filepath.Join(t.TempDir(), "marker")
	for id, kind := range map[string]string{"good": "star", "evil": "$(touch " + marker + ")"} {
		req, err := testkit.Signed("http://"+g.Addr+"/hook", testkit.Secret, id, []byte(`{}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Github-Event", kind)
		resp, err := http.DefaultClient.Do(req)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %v %v", id, resp, err)
		}
		_ = resp.Body.Close()
	}
	pressed := func(line string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "bash", "-c", tab, "bash", testkit.Binary(t), "caddy webhooks --address "+g.Admin+" "+line)
		cmd.Env = append(os.Environ(), "HOME="+g.Dir)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", line, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	for _, c := range []struct{ line, want string }{
		{"pau", "pause"},
		{"pause sh", "shop/orders"},
		{"events --source ", "shop"},
		{"events --type ", "star"},
		{"events --state dea", "dead"},
		{"send strip", "stripe"},
	} {
		if got := pressed(c.line); got != c.want {
			t.Errorf("%q: %q, want %q", c.line, got, c.want)
		}
	}
	if shown := strings.Fields(pressed("show ")); len(shown) != 2 || len(shown[0]) != 36 {
		t.Errorf("events are offered: %q", shown)
	}
	if _, err := os.Stat(marker); err == nil {
		t.Error("bash has run a type")
	}
}
