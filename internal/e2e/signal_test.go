package e2e

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/caddy-webhooks/caddy-webhooks/internal/testkit"
)

// mute takes connections and answers nothing, as a process that is stopped.
func mute(t *testing.T) (address string, taken <-chan net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	connections := make(chan net.Conn, 10)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			connections <- c
		}
	}()
	return l.Addr().String(), connections
}

// Whoever waits for a gateway that hangs must be able to go.
func TestCommandsEndByASignalWhileNothingAnswers(t *testing.T) {
	t.Parallel()
	g := testkit.New(t)
	file := filepath.Join(t.TempDir(), "in.jsonl")
	if err := os.WriteFile(file, []byte("{}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	follows := map[string]bool{"tail": true, "listen shop 3000": true} // which has no end of its own
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		for _, line := range []string{"tail", "listen shop 3000", "export", "import " + file, "sources", "jobs x"} {
			address, taken := mute(t)
			cmd := g.Command(append(append([]string{"webhooks"}, strings.Fields(line)...), "--address", address)...)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = cmd.Process.Kill() })
			c := <-taken
			if err := cmd.Process.Signal(s); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); (err == nil) != follows[line] {
				t.Errorf("%s, on %v: %v", line, s, err)
			}
			_ = c.Close()
		}
	}
}

func TestAGatewayThatIsStoppedIsNoticed(t *testing.T) {
	t.Parallel()
	app := testkit.NewApp(t)
	g := testkit.New(t).Start(one("shop", "default", app.Addr(), ""))
	post(t, g, "e", 1)
	live := begins(t, g, "tail", "--since", "-1h")
	testkit.Eventually(t, "tail is connected", func() bool { return strings.Contains(live.said(), " shop ") })
	if err := syscall.Kill(g.PID(), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(g.PID(), syscall.SIGCONT) })
	out, err := g.Run("webhooks", "health", "--timeout", "100ms", "--address", g.Admin)
	if err == nil || !strings.Contains(out, "does not answer: nothing came for 100ms") {
		t.Errorf("health: %v %s", err, out)
	}
	if err := live.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "tail has ended", func() bool { return strings.Contains(live.said(), "go on from here with --cursor ") })
}
