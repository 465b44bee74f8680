package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
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

With filters it says how many there are, and asks, if there is a terminal to ask
at. --yes leaves the question out. A script without a terminal is never asked.
` + aboutJobs,
		Example: `  caddy webhooks discard 01a208c1-2273-78b6-b2b3-3f9bb56ab108
  caddy webhooks discard <event> --destination orders
  caddy webhooks discard --source shop --state dead --until -7d --dry-run
  caddy webhooks discard --source shop --state dead --until -7d --yes`,
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
	if verb == "discard" {
		cmd.Flags().BoolP("yes", "y", false, "Do not ask before many are discarded; without a terminal nothing is asked anyway")
	}
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
	Skipped, Sending, Orphaned, Spared          int64
	Began                                       time.Time
	Ended                                       *time.Time
}

// commandMany gives an order, and waits for its end.
func (c *client) commandMany(cmd *cobra.Command, action, outcome string) error {
	body, err := manyBody(cmd, action)
	if err != nil {
		return err
	}
	if yes, err := c.agreed(body, askerOf(cmd)); err != nil || !yes {
		return err
	}
	detach := cmd.Flags().Lookup("detach").Value.String() == "true"
	asks := *c
	asks.json = c.json && (detach || body["dry_run"] == true)
	var v begunView
	printed, err := asks.post("/webhooks/"+action, body, &v)
	if err != nil && answerOf(err) == nil && !nobodyListens(err) {
		return fmt.Errorf("%w; the order may have arrived: `caddy webhooks jobs` lists what has begun", err)
	}
	if err != nil || printed {
		return err
	}
	return c.begun(v, outcome, detach)
}

// agreed tells whether an order is meant, as far as somebody is to be asked.
func (c *client) agreed(body map[string]any, ask asker) (bool, error) {
	if source, ok := body["source"].(string); ok {
		c.warn(source)
	}
	if ask == nil || body["dry_run"] != nil {
		return true, nil
	}
	return c.sure(body, ask)
}

// begun tells of an order that was taken, and follows its job if that is wanted.
func (c *client) begun(v begunView, outcome string, detach bool) error {
	switch {
	case v.DryRun && v.Matched == 0:
		return c.printf("nothing matches\n")
	case v.DryRun:
		return c.printf("%d would be %s%s\n", v.Matched, outcome, toward(v.To))
	case detach:
		return c.printf("job %s begins: %d %s\n", v.Job, v.Matched, verb(v.Matched, "matches", "match"))
	}
	return c.follow(c.ctx, jobView{Job: v.Job, Matched: v.Matched}, outcome)
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

// follow shows how far a job is until it has ended. The job is the gateway's:
// whatever happens to the command, it is named.
func (c *client) follow(ctx context.Context, v jobView, outcome string) error {
	bar := newBar(c.out)
	again := backoff{note: c.note, first: c.retry, tried: true}
	for wait := firstLook; ; wait = min(wait*3/2, lastLook) {
		seen, err := c.job(v.Job)
		switch {
		case ctx.Err() != nil:
		case err != nil:
			bar.clear()
			if err := again.wait(ctx, final(err), false); err != nil {
				return fmt.Errorf("%w; %s", err, v.goesOn())
			}
			continue
		case seen.State != "running":
			bar.clear()
			return c.jobEnded(seen, outcome)
		default:
			v, again = seen, backoff{note: c.note, first: c.retry, tried: true}
			if !c.json {
				bar.show(v.Changed+v.Deferred+v.Skipped+v.Spared-v.Orphaned, v.Matched, v.Waiting)
			}
		}
		if !sleep(ctx, wait) {
			bar.clear()
			return errors.New(v.goesOn())
		}
	}
}

// goesOn tells how to look at a job that is not followed any more.
func (v jobView) goesOn() string {
	return fmt.Sprintf("job %s goes on at the gateway: %d of %d done when it was last seen; `caddy webhooks jobs %s` shows it, and with --cancel ends it",
		v.Job, v.Changed+v.Deferred, v.Matched, v.Job)
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
			err = fmt.Errorf("job %s is %s", v.Job, v.State)
		}
		return err
	}
	var b strings.Builder
	switch {
	case v.Matched == 0 && v.Orphaned == 0 && v.State == "done":
		b.WriteString("nothing matches\n")
	default:
		fmt.Fprintf(&b, "%d of %d %s%s\n", v.Changed, v.Matched, outcome, toward(v.To))
	}
	v.rest(&b)
	if err := c.printf("%s", b.String()); err != nil {
		return err
	}
	if v.State != "done" {
		return fmt.Errorf("job %s is %s: %s", v.Job, v.State, v.Error)
	}
	return nil
}

// rest says what became of those that the job has not acted on.
func (v jobView) rest(b *strings.Builder) {
	if n := v.Deferred; n > 0 {
		fmt.Fprintf(b, "%d %s being sent just now; no other attempt follows\n", n, verb(n, "is", "are"))
	}
	if n := v.Sending; n > 0 {
		fmt.Fprintf(b, "%d %s being sent just now, and %s; repeat the command for what is left\n", n, verb(n, "is", "are"), verb(n, "stays", "stay"))
	}
	if n := v.Orphaned; n > 0 {
		fmt.Fprintf(b, "%d %s: the destination is not configured any more; `caddy webhooks move --help` says what can be done\n",
			n, verb(n, "stays as it is", "stay as they are"))
	}
	if n := v.Spared; n > 0 {
		fmt.Fprintf(b, "%d %s settled since the job began, perhaps by itself before the gateway died\n", n, verb(n, "was", "were"))
	}
	if n := v.Skipped - v.Sending - v.Orphaned; n > 0 {
		fmt.Fprintf(b, "%d %s: changed meanwhile, or owed there already\n", n, verb(n, "stays as it is", "stay as they are"))
	}
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
		v, err := c.job(args[0])
		if err != nil {
			return err
		}
		if !c.json {
			_, _ = fmt.Fprintln(c.note, printable(v.words())) // words beside the output
		}
		return c.follow(c.ctx, v, outcomes[v.Action])
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
	t := table{out: c.out, width: c.width, flex: 5, columns: []column{
		{"JOB", 16, 16}, {"AGE", 4, 4}, {"ACTION", 7, 7}, {"STATE", 7, 9}, {"DONE", 4, 15}, {"FILTERS", 8, 8},
	}}
	var rows [][]string
	var notes strings.Builder
	for _, j := range v.Jobs {
		rows = append(rows, []string{
			j.Job, c.ago(&j.Began), j.Action, j.State, count(j.Changed+j.Deferred) + "/" + count(j.Matched), j.filters(),
		})
		fmt.Fprintf(&notes, "%s\n", printable(j.words()))
	}
	if err := t.print(rows); err != nil {
		return err
	}
	return c.printf("\n%s", notes.String())
}

// filters are what the job was begun with.
func (v jobView) filters() string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(v.Filters)) {
		list = append(list, name+"="+v.Filters[name])
	}
	return strings.Join(list, " ")
}

// words tell who has begun a job, where it leads, and why it has failed.
func (v jobView) words() string {
	text := fmt.Sprintf("%s: %s%s by %s", v.Job, v.Action, toward(v.To), cmp.Or(v.Who, "somebody"))
	if v.Error != "" {
		text += ": " + v.Error
	}
	return text
}
