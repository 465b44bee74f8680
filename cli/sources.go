package cli

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

func sourcesCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "sources",
		Short: "Shows every source and destination: state, what waits, since when",
		Long: `Shows each destination with its state, and below the table in words what keeps its
events. What is accepted, a duplicate or rejected is counted since the start of
Caddy; the other numbers are those of the store.`,
		Example: "  caddy webhooks sources\n  caddy webhooks sources --json",
		Args:    cobra.NoArgs,
		RunE: run(func(c *client, _ *cobra.Command, _ []string) error {
			var v struct{ Sources []sourceView }
			if printed, err := c.call(http.MethodGet, "/webhooks/sources", nil, &v); printed || err != nil {
				return err
			}
			return c.sources(v.Sources)
		}),
	}
}

func (c *client) sources(list []sourceView) error {
	if len(list) == 0 {
		return c.printf("no sources\n")
	}
	t := table{out: c.out, width: c.width, flex: -1, columns: []column{
		{"SOURCE", 6, 16}, {"TO", 2, 14}, {"STATE", 5, 8}, {"PENDING", 7, 7}, {"OLDEST", 6, 6}, {"DEAD", 4, 7}, {"DELIVERED", 9, 9}, {"RATE/S", 6, 6},
	}}
	var rows [][]string
	var notes strings.Builder
	for _, s := range list {
		notes.WriteString(s.counts())
		for _, d := range s.Destinations {
			rows = append(rows, []string{
				s.Name, d.Name, d.State, count(d.Pending), c.ago(d.OldestPending), count(d.Dead), count(d.Delivered), fmt.Sprintf("%.1f", d.Rate),
			})
			notes.WriteString(d.counts(s.Name) + c.trouble(s.Name+"/"+d.Name, d))
		}
	}
	if err := t.print(rows); err != nil {
		return err
	}
	return c.printf("\n%s", notes.String())
}

// counts says what a source has been sent.
func (s sourceView) counts() string {
	text := fmt.Sprintf("%s (%s), since the start: %d accepted, %s, %d rejected\n",
		printable(s.Name), printable(cmp.Or(s.Provider, "not configured")), s.Accepted, several(int64(s.Duplicates), "duplicate"), s.Rejected)
	if n := int64(s.DuplicateDiffers); n > 0 {
		text += fmt.Sprintf("%s: %s had another body than the first one of %s event ID; is `id` what tells its events apart?\n",
			printable(s.Name), several(n, "duplicate"), verb(n, "its", "their"))
	}
	return text
}

// counts says what the table has no column for.
func (d destinationView) counts(source string) string {
	name := printable(source + "/" + d.Name)
	text := ""
	if d.Filtered > 0 {
		text += fmt.Sprintf("%s: %s filtered: it did not want %s\n", name, events(d.Filtered), verb(d.Filtered, "it", "them"))
	}
	if d.Retrying > 0 {
		text += fmt.Sprintf("%s: %s of %s pending %s failed before\n", name, count(d.Retrying), count(d.Pending), verb(d.Retrying, "has", "have"))
	}
	return text
}

// trouble says in words what keeps a destination's events; empty if nothing does.
func (c *client) trouble(name string, d destinationView) string {
	name = printable(name)
	switch {
	case d.State == "down" && d.DownSince != nil:
		probe := ""
		if d.NextProbe != nil {
			probe = "; the next probe " + c.in(*d.NextProbe)
		}
		return fmt.Sprintf("%s: down for %s: %s%s\n", name, c.ago(d.DownSince), cut(printable(d.Why), 500), probe)
	case d.State == "paused":
		return fmt.Sprintf("%s: paused by an operator; `caddy webhooks resume %s` sends what waits\n", name, name)
	case d.State == "orphaned":
		return fmt.Sprintf("%s: not configured any more; `caddy webhooks move --help` says what can be done\n", name)
	case d.LastError != "":
		return fmt.Sprintf("%s: last attempt: %s\n", name, cut(printable(d.LastError), 500))
	}
	return ""
}

// missing says that there is no such source, and which there are; empty if there
// is one, or if the gateway does not say: whatever is asked for next says why.
func (c *client) missing(source string) string {
	asks := *c
	asks.json = false
	var v struct{ Sources []sourceView }
	if _, err := asks.call(http.MethodGet, "/webhooks/sources", nil, &v); err != nil {
		return ""
	}
	var names []string
	for _, s := range v.Sources {
		names = append(names, s.Name)
	}
	switch {
	case slices.Contains(names, source):
		return ""
	case len(names) == 0:
		return fmt.Sprintf("there is no source %q, and no other one", source)
	}
	return fmt.Sprintf("there is no source %q; there are: %s", source, strings.Join(names, ", "))
}

// warn says beside the output that there is no such source. It is no error: events
// of one that the configuration has no more are still there, and one may be
// configured while a command follows it.
func (c *client) warn(source string) {
	if words := c.missing(source); words != "" {
		_, _ = fmt.Fprintln(c.note, printable(words)) // words beside the output
	}
}
