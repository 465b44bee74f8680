package cli

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
)

func tailCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "tail [filters]",
		Short: "Follows what is accepted, live",
		Long: `Prints each event as it is accepted, until Ctrl-C. A connection that ends, as when
Caddy restarts, is made again, and what came meanwhile is printed then.`,
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
		s := &stream{c: c, q: q, note: cmd.ErrOrStderr(), handle: c.tailed}
		return s.until(cmd)
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
func (s *stream) until(cmd *cobra.Command) error {
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if s.last = s.q.Get("cursor"); s.last != "" {
		s.q.Del("cursor")
	}
	err := s.follow(ctx)
	if s.last != "" && s.last != "0" {
		_, _ = fmt.Fprintf(s.note, "go on from here with --cursor %s\n", s.last)
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
	return c.printf("%s\n", tailLine(e))
}

// tailLine is an event in one line of a terminal. Nearly all are pending when they
// come, so the state is told of the others only.
func tailLine(e eventView) string {
	line := fmt.Sprintf("%s %s %s", e.Received.Local().Format(time.TimeOnly), e.Event, cut(printable(e.Source), 12))
	state := ""
	if s := states(e); s != "" && s != "pending" {
		state = " " + cut(printable(s), 12)
	}
	room := width - utf8.RuneCountInString(line+state) - 1
	return strings.TrimRight(line+" "+cut(printable(e.Type), room), " ") + state
}

func listenCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "listen <source> <address>",
		Short: "Forwards a live source to an application on this machine",
		Long: `Sends each event of a source, as it is accepted, to an application on this machine
too: with its own headers and bytes, so that a signature verifies there as well.
What the application answers is printed, and changes nothing at the gateway:
the event is delivered to its destinations whatever happens here.

The address is a port, host:port, or a URL. Without a path, the path of the
webhook is used. While nothing listens there, the event waits and is tried again.

The admin endpoint must be reachable from here, for example over
ssh -L 2019:localhost:2019. It shows headers that carry secrets to whoever may
reach it.`,
		Example: `  caddy webhooks listen stripe 3000
  caddy webhooks listen shop http://localhost:3000/webhooks --type 'invoice.paid'
  caddy webhooks listen shop 3000 --since -1h`,
		Args: cobra.ExactArgs(2),
	}
	streamFlags(cmd)
	_ = cmd.Flags().MarkHidden("source") // it is an argument
	cmd.Flags().Duration("timeout", 30*time.Second, "How long the application may take for its answer")
	cmd.RunE = run(func(c *client, cmd *cobra.Command, args []string) error {
		q, err := streamQuery(cmd)
		if err != nil {
			return err
		}
		if q.Has("source") {
			return errors.New("the source is the first argument")
		}
		q.Set("source", args[0])
		q.Set("body", "1")
		q.Set("secrets", "1")
		timeout, err := cmd.Flags().GetDuration("timeout")
		if err != nil {
			return fmt.Errorf("reading --timeout: %w", err)
		}
		to, err := localURL(args[1])
		if err != nil {
			return err
		}
		l := &listener{c: c, to: to, client: &http.Client{
			Timeout:       timeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}}
		s := &stream{c: c, q: q, note: cmd.ErrOrStderr(), handle: l.forward}
		return s.until(cmd)
	})
	return cmd
}

// localURL reads a port, host:port, or a URL.
func localURL(v string) (*url.URL, error) {
	if !strings.Contains(v, "://") {
		if !strings.Contains(v, ":") {
			v = "localhost:" + v
		}
		if strings.HasPrefix(v, ":") {
			v = "localhost" + v
		}
		v = "http://" + v
	}
	u, err := url.Parse(v)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("%q is no address; write a port, host:port, or a URL", v)
	}
	return u, nil
}

// listener forwards events to an application on this machine.
type listener struct {
	c      *client
	to     *url.URL
	client *http.Client
}

// unheard is the wait before an application is tried again that nobody can reach.
const unheard = time.Second

// forward sends one event, again and again while nothing listens.
func (l *listener) forward(ctx context.Context, data []byte) error {
	var e eventView
	if err := json.Unmarshal(data, &e); err != nil {
		return fmt.Errorf("reading an event: %w", err)
	}
	line := fmt.Sprintf("%s  %s  %s", time.Now().Format(time.TimeOnly), e.Event, cut(printable(e.Type), 18))
	if e.Gone {
		return l.c.printf("%s  its body was removed by retention\n", line)
	}
	for said := false; ; said = true {
		began := time.Now()
		status, err := l.send(ctx, e)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err == nil:
			return l.c.printf("%s  %d  %s\n", line, status, time.Since(began).Round(time.Millisecond))
		case !errors.Is(err, syscall.ECONNREFUSED):
			return l.c.printf("%s  %s\n", line, printable(err.Error()))
		case !said:
			if err := l.c.printf("%s  nothing listens at %s; it is tried again\n", line, l.to.Host); err != nil {
				return err
			}
		}
		if !sleep(ctx, unheard) {
			return context.Cause(ctx)
		}
	}
}

func (l *listener) send(ctx context.Context, e eventView) (status int, err error) {
	body, err := base64.StdEncoding.DecodeString(e.Body)
	if err != nil {
		return 0, fmt.Errorf("reading the body: %w", err)
	}
	target := *l.to
	path, query, _ := strings.Cut(e.URI, "?")
	if target.Path == "" {
		target.Opaque = "//" + target.Host + path // byte for byte
	}
	if target.RawQuery == "" {
		target.RawQuery = query
	}
	req, err := http.NewRequestWithContext(ctx, e.Method, target.String(), bytes.NewReader(body))
	if err != nil {
		return 0, fmt.Errorf("making the request: %w", err)
	}
	for name, values := range e.Headers {
		if !slices.Contains([]string{"Connection", "Transfer-Encoding", "Content-Length", "Host"}, name) {
			req.Header[name] = values
		}
	}
	req.Header.Set("Webhook-Event-Id", e.Event)
	resp, err := l.client.Do(req)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}
