package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/caddy-webhooks/caddy-webhooks/query"
)

func exportCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "export [filters]",
		Short: "Writes events as lines of JSON, whole",
		Long: `Writes every event that matches, the oldest first, as a line of JSON: with all its
headers, its body, its attempts and its states. An import elsewhere gives the
same event, byte for byte. It has the secrets that the headers have: keep it as
you keep those.

A connection that ends is made again, and the export goes on where it was. Where
it cannot, the error says with which --cursor it goes on; together with the same
--output, that appends to the file.`,
		Example: `  caddy webhooks export > events.jsonl
  caddy webhooks export --source shop --since -1d --output shop.jsonl
  caddy webhooks export --output shop.jsonl --cursor 2s
  caddy webhooks export --state dead | jq .type`,
		Args: cobra.NoArgs,
	}
	for _, name := range append(manyFilters(), "cursor") {
		cmd.Flags().String(name, "", filters[name])
	}
	cmd.Flags().Lookup("cursor").Usage = "Go on behind an event, by the cursor in its line"
	cmd.Flags().StringP("output", "o", "", "Write to this file, which only its owner may read; with --cursor, append to it if that is where it ends")
	cmd.RunE = run(func(c *client, cmd *cobra.Command, _ []string) error {
		x := &exporting{c: c, q: url.Values{}, out: c.out, began: time.Now()}
		for _, name := range append(manyFilters(), "cursor") {
			if f := cmd.Flags().Lookup(name); f.Changed {
				x.q.Set(name, f.Value.String())
			}
		}
		if x.q.Has("source") {
			c.warn(x.q.Get("source"))
		}
		name := cmd.Flags().Lookup("output").Value.String()
		if name == "" {
			return x.run(cmd.Context())
		}
		f, err := newOutput(name, x.q.Get("cursor"))
		if err != nil {
			return err
		}
		x.out, x.bar = f, newBar(cmd.ErrOrStderr())
		err = x.run(cmd.Context())
		return errors.Join(err, f.end(err == nil))
	})
	return cmd
}

// exporting is one export on its way.
type exporting struct {
	c     *client
	q     url.Values
	out   io.Writer
	bar   *bar // nil if the events go to the terminal
	n     int64
	began time.Time
}

// exportSilence is how long nothing may come: the gateway says nothing while it
// searches a large store for the few events that match.
const exportSilence = 5 * time.Minute

// run goes on over as many connections as it needs.
func (x *exporting) run(ctx context.Context) error {
	again := backoff{note: x.c.note, first: x.c.retry}
	for {
		before := x.n
		err := x.once(ctx)
		if x.bar != nil {
			x.bar.clear()
		}
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("interrupted after %s%s", events(x.n), x.onward())
		case err == nil:
			if x.bar != nil {
				_, _ = fmt.Fprintf(x.c.note, "%s\n", events(x.n)) // words beside the output
			}
			return nil
		}
		if err := again.wait(ctx, err, x.n > before); err != nil {
			return fmt.Errorf("%w; %s written%s", err, wereEvents(x.n), x.onward())
		}
		x.q = query.Fix(x.q, x.began) // what -1h meant when it began
	}
}

// onward tells how to go on; nothing if that is to begin again.
func (x *exporting) onward() string {
	if at := x.q.Get("cursor"); at != "" {
		return "; go on with --cursor " + at
	}
	return ""
}

// errWriting is returned when the output takes no more, which no repeat mends.
var errWriting = errors.New("writing what is exported")

// once writes what comes over one connection. The cursor follows each line.
func (x *exporting) once(ctx context.Context) error {
	resp, err := x.c.api.do(ctx, ask{method: http.MethodGet, uri: withQuery("/webhooks/export", x.q), kind: linesType, silence: exportSilence})
	if err != nil {
		return final(err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was read
	lines := bufio.NewReaderSize(resp.Body, 64<<10)
	for {
		line, err := lines.ReadBytes('\n')
		switch {
		case errors.Is(err, io.EOF) && len(line) == 0:
			return nil
		case err != nil:
			return fmt.Errorf("reading the events: %w", err)
		}
		var at struct{ Cursor string }
		if err := json.Unmarshal(line, &at); err != nil || at.Cursor == "" {
			return &refusedError{fmt.Errorf("this is no exported event: %s", cut(string(line), 60))}
		}
		if _, err := x.out.Write(line); err != nil {
			return &refusedError{fmt.Errorf("%w: %w", errWriting, err)}
		}
		x.q.Set("cursor", at.Cursor)
		if x.n++; x.bar != nil && x.n%256 == 0 {
			x.bar.count(x.n)
		}
	}
}
