package cli

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
)

// What the API answers, as far as it is shown.
type (
	sourceView struct {
		Name, Provider                 string
		Accepted, Duplicates, Rejected uint64
		DuplicateDiffers               uint64 `json:"duplicate_differs"`
		Destinations                   []destinationView
	}
	destinationView struct {
		Name, State                                   string
		Pending, Delivered, Dead, Discarded, Filtered int64
		Retrying                                      int64
		OldestPending                                 *time.Time `json:"oldest_pending"`
		Rate                                          float64
		LastError                                     string     `json:"last_error"`
		DownSince                                     *time.Time `json:"down_since"`
		NextProbe                                     *time.Time `json:"next_probe"`
		Why                                           string
	}
	eventView struct {
		Event, Source, Provider, ID, Type string
		Received                          time.Time
		Size                              int
		Gone                              bool
		Deliveries                        []deliveryView
		Method, URI                       string
		Headers                           map[string][]string
		Body                              string
	}
	deliveryView struct {
		Destination, State string
		Source             string // the destination's, where the event was moved to another one
		Attempts           json.RawMessage
		Next               *time.Time
		InFlight           bool `json:"in_flight"`
		Discarding, Replay bool
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

// filters are the flags of `events`, which are the API's parameters.
var filters = map[string]string{
	"source": "Only of this source", "destination": "Only to this destination",
	"state": "pending, delivered, dead, discarded or filtered", "type": "Only of this type",
	"id": "The provider's ID, or the event's", "since": "RFC 3339, or before now such as -2h",
	"until": "RFC 3339, or before now such as -2h", "q": "Text in ID or type, or a JSON path and a value: data.object.customer=cus_1", "limit": "Most events per page", "cursor": "Go on from a page's end",
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
				// An empty value is passed on too, and the API refuses it: an unset
				// variable of a script must not show everything.
				if f := cmd.Flags().Lookup(name); f.Changed {
					q.Set(name, f.Value.String())
				}
			}
			all, err := cmd.Flags().GetBool("all")
			if err != nil {
				return fmt.Errorf("reading --all: %w", err)
			}
			if q.Has("source") {
				c.warn(q.Get("source"))
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

// pageView is one page of events, as it is shown.
type pageView struct {
	Events []eventView
	Next   string
}

func (c *client) events(q url.Values, all bool) error {
	if c.json && all {
		return c.allEvents(q)
	}
	t := table{out: c.out, width: c.width, flex: 3, columns: []column{
		{"EVENT", 36, 36}, {"AGE", 4, 4}, {"SOURCE", 6, 12}, {"TYPE", 8, 8}, {"STATE", 9, 16},
	}}
	for {
		var page pageView
		printed, err := c.call(http.MethodGet, "/webhooks/events", q, &page)
		if err != nil || printed {
			return err
		}
		if len(page.Events) > 0 {
			if err := t.print(c.rows(page.Events)); err != nil {
				return err
			}
		}
		if page.Next == "" || t.widths != nil && !all {
			return c.end(page.Next, t.widths != nil)
		}
		// A page can be empty and not the last: the search had its time.
		q.Set("cursor", page.Next)
	}
}

// end says what comes after the last page that was printed.
func (c *client) end(next string, found bool) error {
	switch {
	case next != "":
		return c.printf("more: --cursor %s, or --all\n", next)
	case !found:
		return c.printf("no events\n")
	}
	return nil
}

// allEvents prints all pages as one JSON value.
func (c *client) allEvents(q url.Values) error {
	separator := `{"events":[`
	c.json = false // the pages are read, not printed
	for {
		var page struct {
			Events []json.RawMessage
			Next   string
		}
		if _, err := c.call(http.MethodGet, "/webhooks/events", q, &page); err != nil {
			return err
		}
		for _, e := range page.Events {
			if err := c.printf("%s%s", separator, e); err != nil {
				return err
			}
			separator = ",\n"
		}
		if page.Next != "" {
			q.Set("cursor", page.Next)
			continue
		}
		if separator != ",\n" { // nothing was printed
			return c.printf("%s],\"next\":\"\"}\n", separator)
		}
		return c.printf("],\"next\":\"\"}\n")
	}
}

func (c *client) rows(list []eventView) [][]string {
	rows := make([][]string, 0, len(list))
	for _, e := range list {
		rows = append(rows, []string{e.Event, c.ago(&e.Received), e.Source, e.Type, states(e)})
	}
	return rows
}

// urgent are the states in the order in which they matter to an operator.
var urgent = []string{"pending", "dead", "discarded", "filtered", "delivered"}

// states sums an event's deliveries up: one word if they agree. Else how many are
// pending and dead; and where none is, the state that matters most, and how many
// others there are.
func states(e eventView) string {
	seen := map[string]int{}
	for _, d := range e.Deliveries {
		seen[d.State]++
	}
	order := slices.SortedFunc(maps.Keys(seen), func(a, b string) int {
		return cmp.Or(slices.Index(urgent, a)-slices.Index(urgent, b), cmp.Compare(a, b))
	})
	if len(order) < 2 {
		return strings.Join(order, "")
	}
	text := fmt.Sprintf("%d %s", seen[order[0]], order[0])
	if order[0] == "pending" && order[1] == "dead" {
		return fmt.Sprintf("%s %d dead", text, seen["dead"])
	}
	return fmt.Sprintf("%s +%d", text, len(e.Deliveries)-seen[order[0]])
}

func showCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "show <event>",
		Short:   "Shows one event: its attempts, headers and body",
		Example: "  caddy webhooks show 01a208c1-2273-78b6-b2b3-3f9bb56ab108",
		Args:    cobra.ExactArgs(1),
		RunE: run(func(c *client, _ *cobra.Command, args []string) error {
			e, err := c.one(args[0])
			if e == nil || err != nil {
				return err
			}
			return c.show(*e)
		}),
	}
}

// one gets one event; nil with --json, when it has been printed.
func (c *client) one(id string) (*eventView, error) {
	var e eventView
	printed, err := c.call(http.MethodGet, "/webhooks/events/"+url.PathEscape(id), nil, &e)
	if printed || err != nil {
		return nil, err
	}
	return &e, nil
}

func (c *client) show(e eventView) error {
	var b strings.Builder
	for _, line := range [][2]string{
		{"event", e.Event},
		{"source", fmt.Sprintf("%s (%s)", e.Source, e.Provider)},
		{"id", e.ID},
		{"type", e.Type},
		{"received", fmt.Sprintf("%s (%s ago)", e.Received.Format(time.RFC3339), c.ago(&e.Received))},
		{"request", e.Method + " " + e.URI},
		{"size", several(int64(e.Size), "byte")},
	} {
		if text := strings.TrimSpace(line[1]); text != "" {
			fmt.Fprintf(&b, "%-9s %s\n", line[0], printable(text))
		}
	}
	for _, d := range e.Deliveries {
		if err := c.delivery(&b, d); err != nil {
			return err
		}
	}
	b.WriteByte('\n')
	for _, name := range slices.Sorted(maps.Keys(e.Headers)) {
		for _, v := range e.Headers[name] {
			fmt.Fprintf(&b, "%s: %s\n", printable(name), cut(printable(v), 500))
		}
	}
	if len(e.Headers) > 0 {
		b.WriteByte('\n')
	}
	if e.Gone {
		b.WriteString("the body was removed by retention")
	} else {
		b.WriteString(body(e.Body))
	}
	return c.printf("%s\n", b.String())
}

// delivery prints the way of an event to one destination, attempt by attempt.
func (c *client) delivery(b *strings.Builder, d deliveryView) error {
	to := d.Destination
	if d.Source != "" {
		to = d.Source + "/" + to
	}
	fmt.Fprintf(b, "\nto %s: %s", printable(to), printable(d.State))
	switch {
	case d.Discarding:
		b.WriteString(", in flight, discarded after that")
	case d.InFlight:
		b.WriteString(", in flight")
	case d.Next != nil:
		fmt.Fprintf(b, ", next attempt %s", c.in(*d.Next))
	}
	if d.Replay {
		b.WriteString(", replayed")
	}
	b.WriteByte('\n')
	var attempts []attemptView
	if err := json.Unmarshal(d.Attempts, &attempts); err != nil {
		return fmt.Errorf("reading the attempts: %w", err)
	}
	if len(attempts) == 0 {
		b.WriteString("  no attempt has ended yet\n")
	}
	for _, a := range attempts {
		fmt.Fprintf(b, "  %d  %s  %s", a.Number, a.At.Format(time.RFC3339), time.Duration(a.Duration*float64(time.Second)).Round(time.Millisecond))
		if a.Status != 0 {
			fmt.Fprintf(b, "  %d", a.Status)
		}
		if a.Error != "" {
			fmt.Fprintf(b, "  %s", printable(a.Error))
		}
		b.WriteByte('\n')
		if a.Answer != "" {
			fmt.Fprintf(b, "     answer: %s\n", cut(printable(strings.Join(strings.Fields(a.Answer), " ")), 200))
		}
	}
	return nil
}

// body makes a stored body readable.
func body(encoded string) string {
	raw, err := base64.StdEncoding.DecodeString(encoded)
	switch {
	case err != nil:
		return "the body cannot be read: " + err.Error()
	case len(raw) == 0:
		return "the body is empty"
	case !utf8.Valid(raw):
		n := int64(len(raw))
		return fmt.Sprintf("%s that %s no text; --json has %s in base64", several(n, "byte"), verb(n, "is", "are"), verb(n, "it", "them"))
	}
	var pretty bytes.Buffer
	if json.Indent(&pretty, raw, "", "  ") == nil {
		raw = pretty.Bytes()
	}
	return paragraphs(string(raw))
}

func (c *client) done(event, outcome string, changed, deferred []string) error {
	if len(changed) > 0 {
		if err := c.printf("%s %s: %s\n", event, outcome, strings.Join(changed, ", ")); err != nil {
			return err
		}
	}
	if len(deferred) > 0 {
		return c.printf("%s is being sent just now; no other attempt follows: %s\n", event, strings.Join(deferred, ", "))
	}
	if len(changed) == 0 {
		return c.printf("%s: nothing to do\n", event)
	}
	return nil
}

func (c *client) printf(format string, args ...any) error {
	if _, err := fmt.Fprintf(c.out, format, args...); err != nil {
		return fmt.Errorf("printing: %w", err)
	}
	return nil
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
