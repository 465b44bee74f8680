package e2e

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-webhooks/caddy-webhooks/internal/testkit"
)

// TestWithoutAGatewayEveryCommandSaysSo runs each command that needs the running
// Caddy where there is none: exit code 1 and clear words, nothing else.
func TestWithoutAGatewayEveryCommandSaysSo(t *testing.T) {
	t.Parallel()
	const event = "01a208c1-2273-78b6-b2b3-3f9bb56ab108"
	dir, nobody := t.TempDir(), testkit.FreeAddr(t)
	lines := filepath.Join(dir, "events.jsonl")
	if err := os.WriteFile(lines, []byte(`{"event":"`+event+`"}`+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range []string{
		"sources", "events", "events --all --json", "show " + event, "replay " + event, "replay --source shop", "discard " + event,
		"discard --source shop --dry-run", "move --source shop --to shop/new", "pause shop", "resume shop/orders", "jobs", "jobs j", "jobs j --cancel",
		"health", "tail", "listen shop 3000", "learn shop", "export", "export --output " + filepath.Join(dir, "out.jsonl"), "import " + lines,
		"refused", "dashboard",
	} {
		cmd := exec.CommandContext(t.Context(), testkit.Binary(t), append([]string{"webhooks", "--address", nobody}, strings.Fields(args)...)...)
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 1 {
			t.Errorf("%s: %v", args, err)
		}
		if want := "no Caddy answers at " + nobody + "; is it running? use --address"; strings.Count(string(out), want) != 1 {
			t.Errorf("%s says\n%s", args, out)
		}
		if strings.Contains(string(out), "Usage:") {
			t.Errorf("%s shows how it is used, and that was right:\n%s", args, out)
		}
	}
}
