package cli

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/caddy-webhooks/caddy-webhooks/internal/testkit"
)

var (
	// span is what a page shows as code within a line.
	span = regexp.MustCompile("`(?:\\S+=\\S+ )*caddy(?:-webhooks)? webhooks ([^`\n]+)`")
	// typed is a line that is typed into a shell.
	typed = regexp.MustCompile(`(?m)^\s*(?:\$ )?(?:\S+=\S+ )*caddy(?:-webhooks)? webhooks ([^\n]+)$`)
	fence = regexp.MustCompile("(?ms)^```(\\w*)\n(.*?)^```$")
	// left is a placeholder for what the reader has to put there.
	left = regexp.MustCompile(`<([a-z]+)>`)
)

// commandsOf are the command lines in a page, without `caddy webhooks`.
func commandsOf(text string) (all []string) {
	for _, m := range span.FindAllStringSubmatch(text, -1) {
		all = append(all, m[1])
	}
	for _, block := range fence.FindAllStringSubmatch(text, -1) {
		if block[1] != "sh" && block[1] != "" {
			continue
		}
		for _, m := range typed.FindAllStringSubmatch(strings.ReplaceAll(block[2], "\\\n", " "), -1) {
			all = append(all, m[1])
		}
	}
	return all
}

// takes says why a command does not take these arguments; nil if it does. The
// name alone is a mention, and always right.
func takes(args []string) error {
	root := &cobra.Command{Use: "webhooks"}
	build(root)
	cmd, rest, err := root.Find(args)
	if err != nil || len(args) == 1 {
		return err //nolint:wrapcheck // printed
	}
	if err := cmd.ParseFlags(rest); err != nil {
		return err //nolint:wrapcheck // printed
	}
	return cmd.ValidateArgs(cmd.Flags().Args()) //nolint:wrapcheck // printed
}

func TestEveryCommandInTheDocsExistsWithItsFlags(t *testing.T) {
	t.Parallel()
	n := 0
	for _, file := range testkit.Pages(t) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range commandsOf(string(text)) {
			args, _, err := shellWords(left.ReplaceAllString(line, "$1"))
			if err != nil || len(args) == 0 {
				t.Errorf("%s: caddy webhooks %s: %v", file, line, err)
				continue
			}
			if args[0] == "…" {
				continue // any command
			}
			if len(args) == 2 && args[1] == "…" {
				args = args[:1] // the rest is left open
			}
			n++
			if err := takes(args); err != nil {
				t.Errorf("%s: caddy webhooks %s: %v", file, line, err)
			}
		}
	}
	if n < 250 {
		t.Errorf("only %d command lines were found", n)
	}
}

func TestTheCheckOfCommandsFindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	for _, line := range []string{"nosuch", "nosuch x", "events --nosuch x", "show a b", "replay a --rate fast", "pause a b"} {
		if takes(strings.Fields(line)) == nil {
			t.Errorf("%q passes", line)
		}
	}
}
