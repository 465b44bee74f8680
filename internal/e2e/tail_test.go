package e2e

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/caddy-webhooks/caddy-webhooks/internal/testkit"
)

// running is a command that goes on until it is interrupted.
type running struct {
	cmd *exec.Cmd
	mu  sync.Mutex
	out bytes.Buffer
}

// begins starts `caddy webhooks` with these arguments.
func begins(t *testing.T, g *testkit.Gateway, args ...string) *running {
	t.Helper()
	r := &running{cmd: g.Command(append([]string{"webhooks", args[0], "--address", g.Admin}, args[1:]...)...)}
	in, err := r.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	errs, err := r.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var read sync.WaitGroup
	for _, from := range []io.Reader{in, errs} {
		read.Go(func() {
			for lines := bufio.NewScanner(from); lines.Scan(); {
				r.mu.Lock()
				r.out.WriteString(lines.Text() + "\n")
				r.mu.Unlock()
			}
		})
	}
	t.Cleanup(func() {
		_ = r.cmd.Process.Kill()
		read.Wait()
		_ = r.cmd.Wait()
	})
	return r
}

func (r *running) said() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.out.String()
}

func TestWhoFollowsMissesNothingWhileTheGatewayIsKilled(t *testing.T) {
	t.Parallel()
	app, local := testkit.NewApp(t), testkit.NewApp(t)
	config := one("shop", "default", app.Addr(), "")
	g := testkit.New(t).Start(config)
	post(t, g, "before", 2)
	tail := begins(t, g, "tail", "--since", "-1h")
	begins(t, g, "listen", "shop", local.Addr(), "--since", "-1h")
	has := func(n int) {
		t.Helper()
		testkit.Eventually(t, "both have them", func() bool {
			return strings.Count(tail.said(), " shop ") == n && len(local.Got()) == n
		})
	}
	has(2)
	post(t, g, "live", 5)
	has(7)
	again(g, config)
	post(t, g, "after", 5)
	has(12)
	testkit.Eventually(t, "it is said that the connection was lost", func() bool {
		return strings.Contains(tail.said(), "the connection has ended") && strings.Contains(tail.said(), "connected again")
	})
	for id, n := range local.Times() {
		if n != 1 {
			t.Errorf("%s came %d times", id, n)
		}
	}
	for _, got := range local.Got() {
		if got.Header.Get("X-Hub-Signature-256") == "" || strings.Contains(got.Header.Get("X-Hub-Signature-256"), "masked") || got.Header.Get("Webhook-Event-Id") == "" {
			t.Errorf("the application here gets the headers %v", got.Header)
		}
	}
	if err := tail.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "it says how to go on", func() bool { return strings.Contains(tail.said(), "go on from here with --cursor ") })
	_, cursor, _ := strings.Cut(tail.said(), "go on from here with --cursor ")
	post(t, g, "later", 1)
	rest := begins(t, g, "tail", "--cursor", strings.TrimSpace(cursor), "--json", "--body")
	testkit.Eventually(t, "the next one goes on", func() bool { return strings.Contains(rest.said(), `"id":"later0"`) })
	if out := rest.said(); strings.Count(out, `"event":`) != 1 || strings.Contains(out, testkit.Secret) {
		t.Errorf("the next one prints\n%s", out)
	}
	if out, err := g.Run("webhooks", "tail", "--type", "", "--address", g.Admin); err == nil || !strings.Contains(out, "parameter type is empty") {
		t.Errorf("%v %s", err, out)
	}
}
