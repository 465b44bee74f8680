package cli

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
)

// What the API answers, as far as it is shown.
type (
	sourceView struct {
		Name, Provider                 string
		Accepted, Duplicates, Rejected uint64
		Destinations                   []destinationView
	}
	destinationView struct {
		Name, State                                   string
		Pending, Delivered, Dead, Discarded, Filtered int64
		OldestPending                                 *time.Time `json:"oldest_pending"`
		Rate                                          float64
		LastError                                     string `json:"last_error"`
	}
	eventView struct {
		Event, Source, Provider, ID, Type string
		Received                          time.Time
		Size                              int
		Deliveries                        []deliveryView
		Method, URI                       string
		Headers                           map[string][]string
		Body                              string
	}
	deliveryView struct {
		Destination, State string
		Attempts           json.RawMessage
		Next               *time.Time
	}
	attemptView struct {
		At       time.Time
		Number   int
		Status   int
		Error    string
		Duration float64
		Answer   string
	}
)

func sourcesCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "sources",
		Short:   "Shows every source and destination: state, what waits, since when",
		Example: "  caddy webhooks sources\n  caddy webhooks sources --json",
		Args:    cobra.NoArgs,
		RunE: run(func(c *client, _ *cobra.Command, _ []string) error {
			var v struct{ Sources []sourceView }
			if printed, err := c.call(http.MethodGet, "/webhooks/sources", nil, nil, &v); printed || err != nil {
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
	t := tabwriter.NewWriter(c.out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "SOURCE\tTO\tSTATE\tPENDING\tOLDEST\tDEAD\tDELIVERED\tRATE/S")
	var errs []string
	for _, s := range list {
		for _, d := range s.Destinations {
			fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%s\t%d\t%d\t%.1f\n",
				cut(s.Name, 20), cut(d.Name, 14), d.State, d.Pending, c.ago(d.OldestPending), d.Dead, d.Delivered, d.Rate)
			if d.LastError != "" {
				errs = append(errs, fmt.Sprintf("%s/%s: last attempt: %s", s.Name, d.Name, d.LastError))
			}
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, s := range list {
		if err := c.printf("%s (%s): %d accepted, %d duplicates, %d rejected\n", s.Name, s.Provider, s.Accepted, s.Duplicates, s.Rejected); err != nil {
			return err
		}
	}
	for _, e := range errs {
		if err := c.printf("%s\n", e); err != nil {
			return err
		}
	}
	return nil
}

// filters are the flags of `events`, which are the API's parameters.
var filters = map[string]string{
	"source": "Only of this source", "destination": "Only to this destination",
	"state": "pending, delivered, dead, discarded or filtered", "type": "Only of this type",
	"id": "The provider's ID, or the event's", "since": "RFC 3339, or before now such as -2h",
	"until": "RFC 3339, or before now such as -2h", "q": "Text in ID or type", "limit": "Most events per page", "cursor": "Go on from a page's end",
}

func eventsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "events",
		Short:   "Lists events, newest first",
		Example: "  caddy webhooks events --state dead\n  caddy webhooks events --source shop --since -2h --all",
		Args:    cobra.NoArgs,
		RunE: run(func(c *client, cmd *cobra.Command, _ []string) error {
			q := url.Values{}
			for name := range filters {
				if v, err := cmd.Flags().GetString(name); err == nil && v != "" {
					q.Set(name, v)
				}
			}
			all, err := cmd.Flags().GetBool("all")
			if err != nil {
				return err
			}
			return c.events(q, all)
		}),
	}
	for name, help := range filters {
		cmd.Flags().String(name, "", help)
	}
	cmd.Flags().Bool("all", false, "All pages")
	return cmd
}

func (c *client) events(q url.Values, all bool) error {
	for first := true; ; first = false {
		var page struct {
			Events []eventView
			Next   string
		}
		printed, err := c.call(http.MethodGet, "/webhooks/events", q, nil, &page)
		if err != nil || printed {
			return err
		}
		if err := c.eventTable(page.Events, first); err != nil {
			return err
		}
		switch {
		case page.Next == "":
			return nil
		case !all:
			return c.printf("more: --cursor %s, or --all\n", page.Next)
		}
		q.Set("cursor", page.Next)
	}
}

func (c *client) eventTable(list []eventView, first bool) error {
	if len(list) == 0 && first {
		return c.printf("no events\n")
	}
	t := tabwriter.NewWriter(c.out, 0, 4, 1, ' ', 0)
	if first {
		fmt.Fprintln(t, "EVENT\tAGE\tSOURCE\tTYPE\tSTATE")
	}
	for _, e := range list {
		age := e.Received
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", e.Event, c.ago(&age), cut(e.Source, 10), cut(e.Type, 12), cut(states(e), 12))
	}
	return t.Flush()
}

// states sums an event's deliveries up: one word if they agree.
func states(e eventView) string {
	seen := map[string]int{}
	for _, d := range e.Deliveries {
		seen[d.State]++
	}
	var words []string
	for _, s := range slices.Sorted(maps.Keys(seen)) {
		if len(seen) == 1 {
			return s
		}
		words = append(words, fmt.Sprintf("%d %s", seen[s], s))
	}
	return strings.Join(words, ", ")
}

func showCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "show <event>",
		Short:   "Shows one event: its attempts, headers and body",
		Example: "  caddy webhooks show 01a208c1-2273-78b6-b2b3-3f9bb56ab108",
		Args:    cobra.ExactArgs(1),
		RunE: run(func(c *client, _ *cobra.Command, args []string) error {
			var e eventView
			if printed, err := c.call(http.MethodGet, "/webhooks/events/"+url.PathEscape(args[0]), nil, nil, &e); printed || err != nil {
				return err
			}
			return c.show(e)
		}),
	}
}

func (c *client) show(e eventView) error {
	var b strings.Builder
	fmt.Fprintf(&b, "event     %s\nsource    %s (%s)\nid        %s\ntype      %s\nreceived  %s (%s ago)\nrequest   %s %s\n",
		e.Event, e.Source, e.Provider, e.ID, e.Type, e.Received.Format(time.RFC3339), c.ago(&e.Received), e.Method, e.URI)
	for _, d := range e.Deliveries {
		fmt.Fprintf(&b, "\nto %s: %s", d.Destination, d.State)
		if d.Next != nil {
			fmt.Fprintf(&b, ", next attempt %s", c.in(*d.Next))
		}
		b.WriteByte('\n')
		var attempts []attemptView
		if err := json.Unmarshal(d.Attempts, &attempts); err != nil {
			return fmt.Errorf("reading the attempts: %w", err)
		}
		for _, a := range attempts {
			fmt.Fprintf(&b, "  %d  %s  %s", a.Number, a.At.Format(time.RFC3339), time.Duration(a.Duration*float64(time.Second)).Round(time.Millisecond))
			if a.Status != 0 {
				fmt.Fprintf(&b, "  %d", a.Status)
			}
			fmt.Fprintf(&b, "  %s\n", a.Error)
			if a.Answer != "" {
				fmt.Fprintf(&b, "     answer: %s\n", printable(a.Answer, 200))
			}
		}
	}
	b.WriteByte('\n')
	for _, name := range slices.Sorted(maps.Keys(e.Headers)) {
		for _, v := range e.Headers[name] {
			fmt.Fprintf(&b, "%s: %s\n", name, printable(v, 500))
		}
	}
	b.WriteByte('\n')
	b.WriteString(body(e.Body))
	return c.printf("%s\n", b.String())
}

// body makes a stored body readable.
func body(encoded string) string {
	raw, err := base64.StdEncoding.DecodeString(encoded)
	switch {
	case err != nil:
		return "the body cannot be read: " + err.Error()
	case !utf8.Valid(raw):
		return fmt.Sprintf("%d bytes that are no text; --json has them in base64", len(raw))
	}
	var pretty bytes.Buffer
	if json.Indent(&pretty, raw, "", "  ") == nil {
		return pretty.String()
	}
	return printable(string(raw), len(raw))
}

// printable keeps a stranger's bytes from steering the terminal.
func printable(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return '�'
		}
		return r
	}, s)
	return cut(s, most)
}

func replayCommand() *cobra.Command {
	return commandOn("replay", "Sends an event again, with a fresh retry budget", "is due again")
}

func discardCommand() *cobra.Command {
	return commandOn("discard", "Gives an event up", "is discarded")
}

func commandOn(verb, short, outcome string) *cobra.Command {
	cmd := &cobra.Command{
		Use:     verb + " <event>",
		Short:   short,
		Example: fmt.Sprintf("  caddy webhooks %s 01a208c1-2273-78b6-b2b3-3f9bb56ab108\n  caddy webhooks %s <event> --destination orders", verb, verb),
		Args:    cobra.ExactArgs(1),
	}
	cmd.Flags().String("destination", "", "Only to this destination")
	cmd.RunE = run(func(c *client, cmd *cobra.Command, args []string) error {
		q := url.Values{}
		if d, err := cmd.Flags().GetString("destination"); err == nil && d != "" {
			q.Set("destination", d)
		}
		var v struct{ Changed, Deferred []string }
		printed, err := c.call(http.MethodPost, "/webhooks/events/"+url.PathEscape(args[0])+"/"+verb, q, nil, &v)
		if err != nil || printed {
			return err
		}
		return c.done(args[0], outcome, v.Changed, v.Deferred)
	})
	return cmd
}

func (c *client) done(event, outcome string, changed, deferred []string) error {
	switch {
	case len(changed) > 0:
		return c.printf("%s %s: %s\n", event, outcome, strings.Join(changed, ", "))
	case len(deferred) > 0:
		return c.printf("%s is being sent just now; no other attempt follows: %s\n", event, strings.Join(deferred, ", "))
	}
	return c.printf("%s: nothing to do\n", event)
}

func (c *client) printf(format string, args ...any) error {
	_, err := io.WriteString(c.out, fmt.Sprintf(format, args...))
	return err
}

// ago is a relative time in a few characters.
func (c *client) ago(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return short(c.now().Sub(*t))
}

func (c *client) in(t time.Time) string {
	d := t.Sub(c.now())
	if d <= 0 {
		return "now"
	}
	return "in " + short(d)
}

func short(d time.Duration) string {
	d = max(d, 0)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	default:
		return fmt.Sprintf("%dd", int(d.Hours()/24))
	}
}

// cut shortens by runes.
func cut(s string, most int) string {
	r := []rune(s)
	if len(r) <= most {
		return s
	}
	return string(r[:most-1]) + "…"
}
