package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func tailCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "tail [filters]",
		Short: "Follows what is accepted, live",
		Long: `Prints each event as it is accepted, until Ctrl-C. A connection that ends, as when
Caddy restarts, or over which nothing has come for 45 seconds, is made again, and
what came meanwhile is printed then. If the gateway has another store by then, as
the one in memory is after a restart, that is followed from its beginning.`,
		Example: `  caddy webhooks tail
  caddy webhooks tail --source shop --type invoice.paid
  caddy webhooks tail --since -10m --json --body`,
		Args: cobra.NoArgs,
	}
	streamFlags(cmd)
	cmd.Flags().Bool("body", false, "With --json: headers and body too")
	cmd.RunE = run(func(c *client, cmd *cobra.Command, _ []string) error {
		q, err := streamQuery(cmd)
		if err != nil {
			return err
		}
		if body, err := cmd.Flags().GetBool("body"); err != nil || body {
			q.Set("body", "1")
		}
		if q.Has("source") {
			c.warn(q.Get("source"))
		}
		s := &stream{c: c, q: q, handle: c.tailed}
		return s.until(cmd.Context())
	})
	return cmd
}

// streamFilters are the filters that a stream can have.
func streamFilters() []string {
	return slices.DeleteFunc(manyFilters(), func(name string) bool { return name == "until" })
}

func streamFlags(cmd *cobra.Command) {
	for _, name := range append(streamFilters(), "cursor") {
		cmd.Flags().String(name, "", filters[name])
	}
	cmd.Flags().Lookup("since").Usage = "Begin with what came since then: RFC 3339, or before now such as -2h"
	cmd.Flags().Lookup("cursor").Usage = "Go on behind an event, from where another command ended"
}

func streamQuery(cmd *cobra.Command) (url.Values, error) {
	q := url.Values{}
	for _, name := range append(streamFilters(), "cursor") {
		if f := cmd.Flags().Lookup(name); f.Changed {
			q.Set(name, f.Value.String())
		}
	}
	if q.Has("since") && q.Has("cursor") {
		return nil, errors.New("--since and --cursor are two ways to say where to begin; leave one of them out")
	}
	return q, nil
}

// until follows until Ctrl-C, and says then how to go on.
func (s *stream) until(ctx context.Context) error {
	if s.last = s.q.Get("cursor"); s.last != "" {
		s.q.Del("cursor")
	}
	err := s.follow(ctx)
	if s.last != "" && s.last != beginning && s.connected {
		s.tell("go on from here with --cursor %s", s.last)
	}
	if refused, ok := errors.AsType[*refusedError](err); ok {
		return refused.error
	}
	return err
}

// tailed prints one event.
func (c *client) tailed(_ context.Context, data []byte) error {
	if c.json {
		return c.printf("%s\n", data)
	}
	var e eventView
	if err := json.Unmarshal(data, &e); err != nil {
		return fmt.Errorf("reading an event: %w", err)
	}
	return c.printf("%s\n", c.tailLine(e))
}

// tailLine is an event in one line of a terminal. Nearly all are pending when they
// come, so the state is told of the others only.
func (c *client) tailLine(e eventView) string {
	line := fmt.Sprintf("%s %s %s", e.Received.Local().Format(time.TimeOnly), printable(e.Event), c.fit(e.Source, 12))
	state := ""
	if s := states(e); s != "" && s != "pending" {
		state = " " + c.fit(s, 12)
	}
	kind := printable(e.Type)
	if c.width > 0 {
		kind = cutMiddle(kind, max(c.width-columns(line+state)-1, 1))
	}
	return strings.TrimRight(line+" "+kind, " ") + state
}
