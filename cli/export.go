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
	"os"
	"os/signal"
	"syscall"
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
)

func exportCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "export [filters]",
		Short: "Writes events as lines of JSON, whole",
		Long: `Writes every event that matches, the oldest first, as a line of JSON: with all its
headers, its body, its attempts and its states. An import elsewhere gives the
same event, byte for byte. It has the secrets that the headers have: keep it as
you keep those.

A connection that ends is made again, and the export goes on where it was.`,
		Example: `  caddy webhooks export > events.jsonl
  caddy webhooks export --source shop --since -1d --output shop.jsonl
  caddy webhooks export --state dead | jq .type`,
		Args: cobra.NoArgs,
	}
	for _, name := range append(manyFilters(), "cursor") {
		cmd.Flags().String(name, "", filters[name])
	}
	cmd.Flags().Lookup("cursor").Usage = "Go on behind an event, by the cursor in its line"
	cmd.Flags().StringP("output", "o", "", "Write to this file, which only its owner may read; it must not exist yet")
	cmd.RunE = run(func(c *client, cmd *cobra.Command, _ []string) error {
		x := &exporting{c: c, q: url.Values{}, out: c.out, note: cmd.ErrOrStderr()}
		for _, name := range append(manyFilters(), "cursor") {
			if f := cmd.Flags().Lookup(name); f.Changed {
				x.q.Set(name, f.Value.String())
			}
		}
		if name := cmd.Flags().Lookup("output").Value.String(); name != "" {
			f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
			if err != nil {
				return fmt.Errorf("making the file: %w", err)
			}
			x.out, x.bar = f, newBar(cmd.ErrOrStderr())
			return errors.Join(x.run(cmd.Context()), f.Sync(), f.Close())
		}
		return x.run(cmd.Context())
	})
	return cmd
}

// exporting is one export on its way.
type exporting struct {
	c    *client
	q    url.Values
	out  io.Writer
	note io.Writer
	bar  *bar // nil if the events go to the terminal
	n    int64
}

// run goes on over as many connections as it needs.
func (x *exporting) run(parent context.Context) error {
	ctx, stop := signal.NotifyContext(parent, os.Interrupt, syscall.SIGTERM)
	defer stop()
	again := backoff{note: x.note}
	for {
		before := x.n
		err := x.once(ctx)
		if x.bar != nil {
			x.bar.clear()
		}
		if ctx.Err() != nil {
			return fmt.Errorf("interrupted after %s events; go on with --cursor %s", count(x.n), x.q.Get("cursor"))
		}
		if err == nil {
			if x.bar != nil {
				_, _ = fmt.Fprintf(x.note, "%s events\n", count(x.n)) // words beside the output
			}
			return nil
		}
		if x.n == before && x.n == 0 {
			return err
		}
		if err := again.wait(ctx, err, x.n > before); err != nil {
			return fmt.Errorf("%w; %s events were written; go on with --cursor %s", err, count(x.n), x.q.Get("cursor"))
		}
	}
}

// errWriting is returned when the output takes no more, which no repeat mends.
var errWriting = errors.New("writing what is exported")

// once writes what comes over one connection. The cursor follows each line.
func (x *exporting) once(ctx context.Context) error {
	resp, err := caddycmd.AdminAPIRequest(x.c.address, http.MethodGet, "/webhooks/export?"+x.q.Encode(), http.Header{"Webhooks-Who": {whoAmI()}}, nil)
	if err != nil {
		return final(explain(x.c.address, err))
	}
	defer resp.Body.Close() //nolint:errcheck // it was read
	defer context.AfterFunc(ctx, func() { _ = resp.Body.Close() })()
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
			return &refusedError{fmt.Errorf("this is no exported event: %s", cut(printable(string(line)), 60))}
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

// backoff is the wait between connections.
type backoff struct {
	note  io.Writer
	delay time.Duration
	since time.Time
}

// patience is how long one tries without getting on.
const patience = 5 * time.Minute

// wait waits before the next connection; it gives up with why when asking again
// does not help, or has not helped for long.
func (b *backoff) wait(ctx context.Context, why error, gotOn bool) error {
	if refused, ok := errors.AsType[*refusedError](why); ok {
		return refused.error
	}
	if gotOn || b.since.IsZero() {
		b.delay, b.since = reconnectAfter, time.Now()
		_, _ = fmt.Fprintf(b.note, "%v; it is tried again\n", why) // words beside the output
	}
	if time.Since(b.since) > patience || !sleep(ctx, b.delay) {
		return why
	}
	b.delay = min(2*b.delay, reconnectMost)
	return nil
}
