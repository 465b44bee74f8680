package cli

import (
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"
)

func refusedCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "refused",
		Short: "Shows the last requests that were refused, and why",
		Long: `Lists the requests that were refused or answered 503, the newest first, and how
many there were for each reason since Caddy was started. "more before" counts
those of the same reason that are not listed.

They are kept in memory: at most 50 of each source, and one a second of each
reason.`,
		Example: `  caddy webhooks refused
  caddy webhooks refused --source stripe --limit 200
  caddy webhooks refused --json`,
		Args: cobra.NoArgs,
	}
	cmd.Flags().String("source", "", "Those of this source")
	cmd.Flags().String("limit", "", "How many, 1 to 200 (default 50)")
	cmd.RunE = run(func(c *client, cmd *cobra.Command, _ []string) error {
		q := url.Values{}
		for _, name := range []string{"source", "limit"} {
			if f := cmd.Flags().Lookup(name); f.Changed {
				q.Set(name, f.Value.String())
			}
		}
		return c.refused(q)
	})
	return cmd
}

type refusedView struct {
	Refusals []struct {
		At                                        time.Time
		Source, Reason, Why, Remote, Method, Path string
		Status, More                              int
	}
	Counts []struct {
		Source, Reason string
		Unavailable    bool
		Count          int64
	}
}

func (c *client) refused(q url.Values) error {
	var v refusedView
	if printed, err := c.call(http.MethodGet, "/webhooks/refusals", q, &v); err != nil || printed {
		return err
	}
	if len(v.Counts) == 0 {
		return c.printf("nothing was refused since Caddy was started\n")
	}
	counts := table{out: c.out, flex: -1, columns: []column{{"SOURCE", 6, 40}, {"STATUS", 6, 6}, {"REASON", 6, 20}, {"COUNT", 5, 12}}}
	var rows [][]string
	for _, one := range v.Counts {
		status := "4xx"
		if one.Unavailable {
			status = "503"
		}
		rows = append(rows, []string{one.Source, status, one.Reason, count(one.Count)})
	}
	if err := counts.print(rows); err != nil || len(v.Refusals) == 0 {
		return err
	}
	if err := c.printf("\n"); err != nil {
		return err
	}
	for _, one := range v.Refusals {
		more := ""
		if one.More > 0 {
			more = "  and " + count(int64(one.More)) + " more before"
		}
		if err := c.printf("%-4s %d %s  %s %s  from %s%s\n     %s\n", c.ago(&one.At), one.Status, printable(one.Source), printable(one.Method),
			cut(printable(one.Path), 30), printable(one.Remote), more, printable(one.Why)); err != nil {
			return err
		}
	}
	return nil
}
