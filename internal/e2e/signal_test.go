package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/caddy-webhooks/caddy-webhooks/internal/testkit"
)

// A gateway that is stopped takes connections and answers nothing. Whoever waits
// for it must be able to go, and a probe must come to an end.
func TestCommandsEndByASignalWhileTheGatewayHangs(t *testing.T) {
	t.Parallel()
	app := testkit.NewApp(t)
	g := testkit.New(t).Start(one("shop", "default", app.Addr(), ""))
	post(t, g, "e", 1)
	file := filepath.Join(t.TempDir(), "in.jsonl")
	if err := os.WriteFile(file, []byte(runs(t, g, "export")), 0o600); err != nil {
		t.Fatal(err)
	}
	live := begins(t, g, "tail", "--since", "-1h")
	testkit.Eventually(t, "tail is connected", func() bool { return strings.Contains(live.said(), " shop ") })
	if err := syscall.Kill(g.PID(), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(g.PID(), syscall.SIGCONT) })
	for name, r := range map[string]*running{
		"tail that is connected": live,
		"tail":                   begins(t, g, "tail", "--since", "-1h"),
		"listen":                 begins(t, g, "listen", "shop", app.Addr()),
		"export":                 begins(t, g, "export"),
		"import":                 begins(t, g, "import", file),
		"sources":                begins(t, g, "sources"),
	} {
		for _, s := range []syscall.Signal{syscall.SIGTERM} {
			testkit.Eventually(t, name+" has begun", func() bool { return waitsAt(r.cmd.Process.Pid, g.Admin) })
			if err := r.cmd.Process.Signal(s); err != nil {
				t.Fatal(err)
			}
		}
		testkit.Eventually(t, name+" has ended", func() bool { return ended(r.cmd.Process.Pid) })
	}
	out, err := g.Run("webhooks", "health", "--timeout", "100ms", "--address", g.Admin)
	if err == nil || !strings.Contains(out, "does not answer: nothing came for 100ms") {
		t.Errorf("health: %v %s", err, out)
	}
}

// ended tells whether a process is gone, or is only waited for.
func ended(pid int) bool {
	text, err := os.ReadFile(filepath.Join("/proc", itoa(pid), "stat"))
	return err != nil || strings.Contains(string(text), ") Z ")
}
