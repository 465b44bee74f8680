package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

const aboutJobs = `
What is done to many events is a job of the gateway's: it goes through what
matches from the oldest to the newest event that there was when it began, stays
within what the destinations bear, and goes on after a restart. The command shows
how far it is, and ends with it. Ctrl-C ends the command, and the job goes on:
"caddy webhooks jobs" shows it, and cancels it.

The filters are those of "caddy webhooks events". At least one is needed.`

func replayCommand() *cobra.Command {
	return manyCommand(&cobra.Command{
		Use:   "replay <event> | [filters]",
		Short: "Sends events again, with a fresh retry budget",
		Long: `Sends one event again, or all that match the filters: dead, delivered, discarded
or pending ones. A filtered event, which its destination did not want, is sent
only with --state filtered, or if event and --destination are named.

With --to, events go to another destination; what became of them where they were
meant to go stays as it is.
` + aboutJobs,
		Example: `  caddy webhooks replay 01a208c1-2273-78b6-b2b3-3f9bb56ab108
  caddy webhooks replay <event> --destination orders
  caddy webhooks replay --source shop --state dead --since -2h --dry-run
  caddy webhooks replay --source shop --since -1d --until -2h --rate 10
  caddy webhooks replay --source shop --type invoice.paid --to audit/default`,
	}, "due again")
}

func discardCommand() *cobra.Command {
	return manyCommand(&cobra.Command{
		Use:   "discard <event> | [filters]",
		Short: "Gives events up",
		Long: `Gives one event up, or all waiting and dead ones that match the filters. They are
kept for as long as delivered ones are, and can be replayed until then.
` + aboutJobs,
		Example: `  caddy webhooks discard 01a208c1-2273-78b6-b2b3-3f9bb56ab108
  caddy webhooks discard <event> --destination orders
  caddy webhooks discard --source shop --state dead --until -7d --dry-run`,
	}, "discarded")
}

func moveCommand() *cobra.Command {
	return manyCommand(&cobra.Command{
		Use:   "move --to <source>/<destination> [filters]",
		Short: "Hands waiting and dead events to another destination",
		Long: `Events that wait for a destination, or are dead there, are given up there and wait
at another one, with a fresh retry budget. That is what becomes of the events of
a destination that was renamed or removed ("orphaned" in "caddy webhooks
sources"). What is being sent just now, and what the other destination is owed
already, stays where it is. --to without a source is a destination of --source.

Where --source is not configured any more, the source of the other destination
takes over its claims too: what the provider repeats to the new name of what the
old one has had is a duplicate. Otherwise a repeat is recognised only at the
source that accepted the event.
` + aboutJobs,
		Example: `  caddy webhooks move --source shop --destination old --to shop/new --dry-run
  caddy webhooks move --source shop --destination old --to new
  caddy webhooks move --source renamed --to shop/default
  caddy webhooks move --source shop --state dead --since -2h --to shop/fallback`,
		Args: cobra.NoArgs,
	}, "moved")
}

// manyCommand readies a command on many events, and where it takes an event, on
// that one.
func manyCommand(cmd *cobra.Command, outcome string) *cobra.Command {
	verb, _, _ := strings.Cut(cmd.Use, " ")
	for _, name := range manyFilters() {
		cmd.Flags().String(name, "", filters[name])
	}
	if verb != "discard" {
		cmd.Flags().String("to", "", "The other destination, as <source>/<destination>")
	}
	cmd.Flags().Float64("rate", 0, "At most so many deliveries a second")
	cmd.Flags().Bool("dry-run", false, "Only count")
	cmd.Flags().Bool("detach", false, "Do not wait for the end")
	if cmd.Args == nil {
		cmd.Args = cobra.MaximumNArgs(1)
	}
	cmd.RunE = run(func(c *client, cmd *cobra.Command, args []string) error {
		if len(args) == 1 {
			return c.commandOne(cmd, verb, args[0], outcome)
		}
		return c.commandMany(cmd, verb, outcome)
	})
	return cmd
}

// manyFilters are the filters of events but for those of pages.
func manyFilters() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(filters)), func(name string) bool { return name == "limit" || name == "cursor" })
}

// commandOne acts on one event.
func (c *client) commandOne(cmd *cobra.Command, verb, event, outcome string) error {
	for _, name := range append(manyFilters(), "to", "rate", "dry-run", "detach") {
		if f := cmd.Flags().Lookup(name); f != nil && f.Changed && name != "destination" {
			return fmt.Errorf("--%s is for many events; leave the event out, or write --id %s", name, event)
		}
	}
	q := url.Values{}
	if f := cmd.Flags().Lookup("destination"); f.Changed { // empty too: it must not come to mean all
		q.Set("destination", f.Value.String())
	}
	var v struct{ Changed, Deferred []string }
	printed, err := c.call(http.MethodPost, "/webhooks/events/"+url.PathEscape(event)+"/"+verb, q, &v)
	if err != nil || printed {
		return err
	}
	return c.done(event, "is "+outcome, v.Changed, v.Deferred)
}

// begunView is what the API answers to an order.
type begunView struct {
	Job, To string
	Matched int64
	DryRun  bool `json:"dry_run"`
}

// jobView is a job as the API shows it.
type jobView struct {
	Job, Action, To, Who, State, Waiting, Error string
	Filters                                     map[string]string
	Matched, Changed, Deferred                  int64
	Skipped, Sending                            int64
	Began                                       time.Time
	Ended                                       *time.Time
}

// commandMany gives an order, and waits for its end.
func (c *client) commandMany(cmd *cobra.Command, verb, outcome string) error {
	body, err := manyBody(cmd, verb)
	if err != nil {
		return err
	}
	detach, err := cmd.Flags().GetBool("detach")
	if err != nil {
		return fmt.Errorf("reading --detach: %w", err)
	}
	asks := *c
	asks.json = c.json && (detach || body["dry_run"] == true)
	var v begunView
	printed, err := asks.post("/webhooks/"+verb, body, &v)
	switch {
	case err != nil || printed:
		return err
	case v.DryRun && v.Matched == 0:
		return c.printf("nothing matches\n")
	case v.DryRun:
		return c.printf("%d would be %s%s\n", v.Matched, outcome, toward(v.To))
	case detach:
		return c.printf("job %s begins: %d match\n", v.Job, v.Matched)
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt)
	defer stop()
	return c.follow(ctx, v.Job, outcome)
}

// toward names the destination, if there is another one.
func toward(to string) string {
	if to == "" {
		return ""
	}
	return " to " + printable(to)
}

func manyBody(cmd *cobra.Command, verb string) (map[string]any, error) {
	body := map[string]any{}
	for _, name := range append(manyFilters(), "to") {
		if f := cmd.Flags().Lookup(name); f != nil && f.Changed { // empty too: the API refuses it
			body[name] = f.Value.String()
		}
	}
	if _, ok := body["to"]; verb == "move" && !ok {
		return nil, errors.New("where to? write --to <source>/<destination>; `caddy webhooks sources` lists them")
	}
	dry, err := cmd.Flags().GetBool("dry-run")
	if err != nil {
		return nil, fmt.Errorf("reading --dry-run: %w", err)
	}
	if dry {
		body["dry_run"] = true
	}
	if f := cmd.Flags().Lookup("rate"); f.Changed {
		if body["rate"], err = cmd.Flags().GetFloat64("rate"); err != nil {
			return nil, fmt.Errorf("reading --rate: %w", err)
		}
	}
	return body, nil
}

// The waits between two looks at a job.
const (
	firstLook = 20 * time.Millisecond
	lastLook  = time.Second
)

// follow shows how far a job is until it has ended.
func (c *client) follow(ctx context.Context, id, outcome string) error {
	bar := newBar(c.out)
	for wait := firstLook; ; wait = min(wait*3/2, lastLook) {
		v, err := c.job(id)
		if err != nil {
			bar.clear()
			return err
		}
		if v.State != "running" {
			bar.clear()
			return c.jobEnded(v, outcome)
		}
		if !c.json {
			bar.show(v.Changed+v.Deferred+v.Skipped, v.Matched, v.Waiting)
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			bar.clear()
			return fmt.Errorf("job %s goes on: %d of %d done; `caddy webhooks jobs %s` shows it, and with --cancel ends it",
				v.Job, v.Changed+v.Deferred, v.Matched, v.Job)
		}
	}
}

// job asks for one job, whatever is to be printed.
func (c *client) job(id string) (v jobView, err error) {
	asks := *c
	asks.json = false
	_, err = asks.call(http.MethodGet, "/webhooks/jobs/"+url.PathEscape(id), nil, &v)
	return v, err
}

func (c *client) jobEnded(v jobView, outcome string) error {
	if c.json {
		_, err := c.call(http.MethodGet, "/webhooks/jobs/"+url.PathEscape(v.Job), nil, nil)
		if err == nil && v.State != "done" {
			err = fmt.Errorf("the job is %s", v.State)
		}
		return err
	}
	var b strings.Builder
	switch {
	case v.Matched == 0 && v.State == "done":
		b.WriteString("nothing matches\n")
	default:
		fmt.Fprintf(&b, "%d of %d %s%s\n", v.Changed, v.Matched, outcome, toward(v.To))
	}
	if v.Deferred > 0 {
		fmt.Fprintf(&b, "%d are being sent just now; no other attempt follows\n", v.Deferred)
	}
	if v.Sending > 0 {
		fmt.Fprintf(&b, "%d are being sent just now, and stay; repeat the command for what is left of them\n", v.Sending)
	}
	if n := v.Skipped - v.Sending; n > 0 {
		fmt.Fprintf(&b, "%d stay as they are: they changed meanwhile, or are owed there already\n", n)
	}
	if err := c.printf("%s", b.String()); err != nil {
		return err
	}
	if v.State != "done" {
		return fmt.Errorf("job %s is %s: %s", v.Job, v.State, printable(v.Error))
	}
	return nil
}

func jobsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "jobs [<job>]",
		Short: "Shows replays, discards and moves of many events, and cancels them",
		Long: `Lists the jobs that run, and those that have ended in the last week. With a job,
shows it and waits for its end, or with --cancel ends it: what it has done stays
done.`,
		Example: "  caddy webhooks jobs\n  caddy webhooks jobs 5n3kq2t7xw4vbc6z --cancel",
		Args:    cobra.MaximumNArgs(1),
	}
	cmd.Flags().Bool("cancel", false, "End the job")
	cmd.RunE = run(func(c *client, cmd *cobra.Command, args []string) error {
		cancel, err := cmd.Flags().GetBool("cancel")
		switch {
		case err != nil:
			return fmt.Errorf("reading --cancel: %w", err)
		case len(args) == 0 && cancel:
			return errors.New("which job? `caddy webhooks jobs` lists them")
		case len(args) == 0:
			return c.jobs()
		case cancel:
			return c.cancelJob(args[0])
		}
		ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt)
		defer stop()
		v, err := c.job(args[0])
		if err != nil {
			return err
		}
		return c.follow(ctx, v.Job, outcomes[v.Action])
	})
	return cmd
}

// outcomes has the words for what a job did.
var outcomes = map[string]string{"replay": "due again", "discard": "discarded", "move": "moved"}

func (c *client) cancelJob(id string) error {
	var v jobView
	printed, err := c.call(http.MethodDelete, "/webhooks/jobs/"+url.PathEscape(id), nil, &v)
	if err != nil || printed {
		return err
	}
	return c.printf("job %s is cancelled: %d of %d were %s\n", v.Job, v.Changed+v.Deferred, v.Matched, outcomes[v.Action])
}

func (c *client) jobs() error {
	var v struct{ Jobs []jobView }
	if printed, err := c.call(http.MethodGet, "/webhooks/jobs", nil, &v); err != nil || printed {
		return err
	}
	if len(v.Jobs) == 0 {
		return c.printf("no jobs\n")
	}
	t := table{out: c.out, flex: 5, columns: []column{
		{"JOB", 16, 16}, {"AGE", 4, 4}, {"ACTION", 7, 7}, {"STATE", 7, 9}, {"DONE", 4, 15}, {"FILTERS", 8, 8},
	}}
	var rows [][]string
	for _, j := range v.Jobs {
		var words []string
		for _, name := range slices.Sorted(maps.Keys(j.Filters)) {
			words = append(words, name+"="+j.Filters[name])
		}
		rows = append(rows, []string{
			j.Job, c.ago(&j.Began), j.Action, j.State, count(j.Changed+j.Deferred) + "/" + count(j.Matched), strings.Join(words, " "),
		})
	}
	return t.print(rows)
}

// bar is a progress bar on a terminal, and nothing elsewhere.
type bar struct {
	out   io.Writer
	on    bool
	shown bool
}

func newBar(out io.Writer) *bar {
	b := &bar{out: out}
	if f, ok := out.(*os.File); ok {
		info, err := f.Stat()
		b.on = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	return b
}

// show draws the bar; what it waits for, if anything, stands behind it.
func (b *bar) show(done, all int64, waiting string) {
	if !b.on {
		return
	}
	b.shown = true
	_, _ = io.WriteString(b.out, "\r\x1b[K"+drawn(done, all, waiting)) // a bar that cannot be drawn is none
}

// count shows how many there were so far, where nobody knows of how many.
func (b *bar) count(n int64) {
	if b.on {
		b.shown = true
		_, _ = io.WriteString(b.out, "\r\x1b[K"+count(n)+" events") // as above
	}
}

// drawn is the bar in at most 79 characters.
func drawn(done, all int64, waiting string) string {
	const width = 30
	full := width
	if all > 0 {
		full = int(min(done, all) * width / all)
	}
	text := fmt.Sprintf("[%s%s] %s/%s", strings.Repeat("#", full), strings.Repeat(".", width-full), count(done), count(all))
	if waiting != "" {
		text += "  " + printable(waiting)
	}
	return cut(text, 79)
}

// clear takes the bar away.
func (b *bar) clear() {
	if b.shown {
		_, _ = io.WriteString(b.out, "\r\x1b[K")
	}
}
