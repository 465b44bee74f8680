package cli

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/cobra"
)

func moveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "move --to <source>/<destination> [filters]",
		Short: "Hands waiting and dead events to another destination",
		Long: `Events that wait for a destination, or are dead there, are given up there and wait
at another one, with a fresh retry budget. That is what becomes of the events of
a destination that was renamed or removed ("orphaned" in "caddy webhooks
sources"). What is being sent just now, and what the other destination is owed
already, stays where it is.

The filters are those of "caddy webhooks events"; without --state, pending and
dead ones are moved. --to without a source is a destination of --source.

A provider's repeat of a moved event is recognised at the source that accepted
it. Another source takes it for a new event.`,
		Example: `  caddy webhooks move --source shop --destination old --to shop/new --dry-run
  caddy webhooks move --source shop --destination old --to new
  caddy webhooks move --source shop --state dead --since -2h --to shop/fallback`,
		Args: cobra.NoArgs,
	}
	for _, name := range moveFilters() {
		cmd.Flags().String(name, "", filters[name])
	}
	cmd.Flags().Lookup("state").Usage = "pending or dead"
	cmd.Flags().String("to", "", "The destination, as <source>/<destination>")
	cmd.Flags().Bool("dry-run", false, "Only count")
	cmd.RunE = run(func(c *client, cmd *cobra.Command, _ []string) error {
		body, err := moveBody(cmd)
		if err != nil {
			return err
		}
		var v movedView
		printed, err := c.post("/webhooks/move", body, &v)
		if err != nil || printed {
			return err
		}
		return c.moved(v)
	})
	return cmd
}

// moveFilters are the filters of events but for those of pages.
func moveFilters() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(filters)), func(name string) bool { return name == "limit" || name == "cursor" })
}

func moveBody(cmd *cobra.Command) (map[string]any, error) {
	body := map[string]any{}
	for _, name := range append(moveFilters(), "to") {
		if f := cmd.Flags().Lookup(name); f.Changed { // empty too: the API refuses it
			body[name] = f.Value.String()
		}
	}
	if _, ok := body["to"]; !ok {
		return nil, errors.New("where to? write --to <source>/<destination>; `caddy webhooks sources` lists them")
	}
	dry, err := cmd.Flags().GetBool("dry-run")
	if err != nil {
		return nil, fmt.Errorf("reading --dry-run: %w", err)
	}
	if dry {
		body["dry_run"] = true
	}
	return body, nil
}

// movedView is what the API answers.
type movedView struct {
	Matched, Moved, Skipped, Sending int64
	To                               string
	DryRun                           bool `json:"dry_run"`
}

func (c *client) moved(v movedView) error {
	switch {
	case v.Matched == 0:
		return c.printf("nothing to move\n")
	case v.DryRun:
		return c.printf("%d would be moved to %s\n", v.Matched, printable(v.To))
	}
	if err := c.printf("%d of %d moved to %s\n", v.Moved, v.Matched, printable(v.To)); err != nil {
		return err
	}
	if v.Sending > 0 {
		if err := c.printf("%d are being sent just now; repeat the command to move what is left of them\n", v.Sending); err != nil {
			return err
		}
	}
	if n := v.Skipped - v.Sending; n > 0 {
		return c.printf("%d stay: %s is owed them already, or they were settled meanwhile\n", n, printable(v.To))
	}
	return nil
}
