package cli

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// asker asks a question and gives the line that was typed.
type asker func(question string) (string, error)

// askerOf is nil where nobody is to be asked: with --yes, and without a terminal on
// both sides, so that no script ever waits for an answer.
func askerOf(cmd *cobra.Command) asker {
	if f := cmd.Flags().Lookup("yes"); f == nil || f.Value.String() == "true" {
		return nil
	}
	in, ok := cmd.InOrStdin().(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) || columnsOf(cmd.ErrOrStderr()) == 0 {
		return nil
	}
	return func(question string) (string, error) {
		if _, err := fmt.Fprint(cmd.ErrOrStderr(), question); err != nil {
			return "", fmt.Errorf("asking: %w", err)
		}
		return answerFrom(cmd, in)
	}
}

// answerFrom reads a line from the terminal, if no signal comes before.
func answerFrom(cmd *cobra.Command, in *os.File) (string, error) {
	line := make(chan string, 1)
	go func() {
		text, _ := bufio.NewReader(in).ReadString('\n') // its end says no
		line <- text
	}()
	select {
	case text := <-line:
		return text, nil
	case <-cmd.Context().Done():
		return "", errInterrupted
	}
}

// sure counts what would be discarded and asks.
func (c *client) sure(body map[string]any, ask asker) (bool, error) {
	counts := *c
	counts.json = false
	body["dry_run"] = true
	defer delete(body, "dry_run")
	var v begunView
	if _, err := counts.post("/webhooks/discard", body, &v); err != nil {
		return false, err
	}
	if v.Matched == 0 {
		return false, c.printf("nothing matches\n")
	}
	answer, err := ask(fmt.Sprintf("discard %s? [y/N] ", deliveries(v.Matched)))
	if err != nil {
		return false, err
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return true, nil
	}
	_, err = fmt.Fprintln(c.note, "nothing was discarded")
	if err != nil {
		return false, fmt.Errorf("printing: %w", err)
	}
	return false, nil
}
