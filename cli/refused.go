package cli

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
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
		if q.Has("source") {
			c.warn(q.Get("source"))
		}
		return c.refused(q)
	})
	return cmd
}

type (
	refusedView struct {
		Refusals []refusalView
		Counts   []struct {
			Source, Reason string
			Unavailable    bool
			Count          int64
		}
	}
	refusalView struct {
		At                                        time.Time
		Source, Reason, Why, Remote, Method, Path string
		Status, More                              int
	}
)

func (c *client) refused(q url.Values) error {
	var v refusedView
	if printed, err := c.call(http.MethodGet, "/webhooks/refusals", q, &v); err != nil || printed {
		return err
	}
	if len(v.Counts) == 0 {
		return c.printf("nothing was refused since Caddy was started\n")
	}
	counts := table{out: c.out, width: c.width, flex: -1, columns: []column{{"SOURCE", 6, 40}, {"STATUS", 6, 6}, {"REASON", 6, 20}, {"COUNT", 5, 7}}}
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
		if err := c.printf("%s", c.refusal(one)); err != nil {
			return err
		}
	}
	return nil
}

// refusal is one request, and below it why it was refused.
func (c *client) refusal(one refusalView) string {
	begin := fmt.Sprintf("%-4s %d %s", c.ago(&one.At), one.Status, c.fit(one.Source, 12))
	remote, _, err := net.SplitHostPort(one.Remote)
	if err != nil {
		remote = one.Remote
	}
	from := "from " + c.fit(remote, 39)
	request := c.fit(one.Method, 9) + " " + printable(one.Path)
	if c.width > 0 {
		request = cut(request, max(c.width-columns(begin+from)-4, 10))
	}
	line := begin + "  " + request + "  " + from
	why := printable(one.Why)
	if one.More > 0 {
		why += " (and " + count(int64(one.More)) + " more before)"
	}
	return strings.TrimRight(line+"\n"+wrapped(why, "     "), "\n") + "\n"
}

// fit makes a name printable, and short where a narrow terminal shows it.
func (c *client) fit(name string, most int) string {
	name = printable(name)
	if c.width == 0 {
		return name
	}
	return cutMiddle(name, most+max(c.width-pageWidth, 0)/4)
}
