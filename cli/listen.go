package cli

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/caddy-webhooks/caddy-webhooks/archive"
	"github.com/caddy-webhooks/caddy-webhooks/store"
)

func listenCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "listen <source> <address>",
		Short: "Forwards a live source to an application on this machine",
		Long: `Sends each event of a source, as it is accepted, to an application on this machine
too: with its own method, path, headers, Host and bytes, so that a signature
verifies there as well. X-Forwarded-Host and X-Forwarded-Proto say which address
the provider has called, where it has signed that.
What the application answers is printed, and changes nothing at the gateway:
the event is delivered to its destinations whatever happens here. With --json,
each event that was forwarded is a line of JSON.

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
	cmd.Flags().String("host", "", "Host to send in place of the webhook's own, for an application that takes no other")
	cmd.RunE = run(func(c *client, cmd *cobra.Command, args []string) error {
		q, err := streamQuery(cmd)
		if err != nil {
			return err
		}
		if q.Has("source") {
			return errors.New("the source is the first argument")
		}
		q.Set("source", args[0])
		timeout, err := cmd.Flags().GetDuration("timeout")
		if err != nil {
			return fmt.Errorf("reading --timeout: %w", err)
		}
		to, err := localURL(args[1])
		if err != nil {
			return err
		}
		if names := c.missing(args[0]); names != "" {
			return errors.New(names)
		}
		l := newListener(c, to, timeout)
		l.host = cmd.Flags().Lookup("host").Value.String()
		s := &stream{c: c, q: q, handle: l.forward}
		return s.until(cmd.Context())
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
	host   string // in place of the events'
	client *http.Client
}

func newListener(c *client, to *url.URL, timeout time.Duration) *listener {
	return &listener{c: c, to: to, client: &http.Client{
		Timeout:       timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// unheard is the wait before an application is tried again that nobody can reach.
const unheard = time.Second

// forwarded is what became of one event, as --json prints it.
type forwarded struct {
	At      time.Time `json:"at"`
	Event   string    `json:"event"`
	ID      string    `json:"id"`
	Type    string    `json:"type"`
	Status  int       `json:"status,omitempty"`
	Seconds float64   `json:"seconds,omitempty"`
	Error   string    `json:"error,omitempty"`
}

// forward sends one event, again and again while nothing listens.
func (l *listener) forward(ctx context.Context, data []byte) error {
	var e eventView
	if err := json.Unmarshal(data, &e); err != nil {
		return fmt.Errorf("reading an event: %w", err)
	}
	f := forwarded{At: time.Now(), Event: e.Event, ID: e.ID, Type: e.Type}
	record, err := l.whole(ctx, e.Event)
	if err != nil {
		return err
	}
	if record.Event == nil {
		f.Error = "its body was removed by retention"
		return l.print(f)
	}
	for said := false; ; said = true {
		began := time.Now()
		status, err := l.send(ctx, record)
		f.Status, f.Seconds = status, time.Since(began).Seconds()
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err == nil:
			return l.print(f)
		case !errors.Is(err, syscall.ECONNREFUSED):
			f.Error = err.Error()
			return l.print(f)
		case !said:
			_, _ = fmt.Fprintf(l.c.note, "nothing listens at %s; event %s is tried again\n", l.to.Host, printable(e.Event)) // beside the output
		}
		if !sleep(ctx, unheard) {
			return context.Cause(ctx)
		}
	}
}

func (l *listener) print(f forwarded) error {
	if l.c.json {
		text, err := json.Marshal(f)
		if err != nil {
			return fmt.Errorf("writing what was forwarded: %w", err)
		}
		return l.c.printf("%s\n", text)
	}
	line := fmt.Sprintf("%s  %s  %s", f.At.Format(time.TimeOnly), printable(f.Event), cutMiddle(printable(f.Type), 18))
	if f.Error != "" {
		return l.c.printf("%s  %s\n", line, printable(f.Error))
	}
	return l.c.printf("%s  %d  %s\n", line, f.Status, time.Duration(f.Seconds*float64(time.Second)).Round(time.Millisecond))
}

// whole gets an event as it came, with every byte of its headers and its Host: as
// the export has it. It is tried again while the gateway is away.
func (l *listener) whole(ctx context.Context, id string) (record store.Record, err error) {
	again := backoff{note: l.c.note, first: l.c.retry}
	for again.tried = true; ; {
		record, err = l.export(ctx, id)
		if err == nil || ctx.Err() != nil {
			return record, err
		}
		if err = again.wait(ctx, err, false); err != nil {
			return record, err
		}
	}
}

// export gets one event's line; a record without an event if there is none any more.
func (l *listener) export(ctx context.Context, id string) (record store.Record, err error) {
	q := url.Values{"id": {id}}
	resp, err := l.c.api.do(ctx, ask{method: http.MethodGet, uri: "/webhooks/export?" + q.Encode(), kind: linesType, silence: answerWithin})
	if err != nil {
		return record, final(err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was read
	lines := bufio.NewReader(resp.Body)
	for {
		line, err := readLine(lines)
		switch {
		case errors.Is(err, io.EOF) && len(line) == 0:
			return record, nil
		case err != nil:
			return record, fmt.Errorf("reading event %s: %w", id, err)
		}
		one, err := archive.Read(bytes.TrimSpace(line))
		if err != nil {
			return record, &refusedError{fmt.Errorf("reading event %s: %w", id, err)}
		}
		if one.ID.String() == id { // an ID of a provider's may be the same
			record = one
		}
	}
}

// ownHeaders belong to one connection, and do not travel on.
var ownHeaders = []string{"Connection", "Proxy-Connection", "Keep-Alive", "Te", "Trailer", "Upgrade", "Transfer-Encoding", "Content-Length", "Host"}

func (l *listener) send(ctx context.Context, record store.Record) (status int, err error) {
	e := record.Event
	req, err := http.NewRequestWithContext(ctx, e.Method, l.to.String(), bytes.NewReader(e.Body))
	if err != nil {
		return 0, fmt.Errorf("making the request: %w", err)
	}
	req.URL, req.Host = l.target(e.URI), cmp.Or(l.host, e.Host, req.Host)
	for name, values := range e.Header {
		if name = http.CanonicalHeaderKey(name); !slices.Contains(ownHeaders, name) {
			req.Header[name] = values
		}
	}
	if _, named := req.Header["User-Agent"]; !named {
		req.Header["User-Agent"] = nil // else Go's own is sent
	}
	if !e.TrustedProxy || req.Header.Get("X-Forwarded-Host") == "" {
		req.Header.Set("X-Forwarded-Host", e.Host)
	}
	if !e.TrustedProxy || req.Header.Get("X-Forwarded-Proto") == "" {
		req.Header.Set("X-Forwarded-Proto", scheme(e.TLS))
	}
	req.Header.Set("Webhook-Event-Id", e.ID.String())
	resp, err := l.client.Do(req)
	if err != nil {
		return 0, err //nolint:wrapcheck // it says what it was about
	}
	return resp.StatusCode, resp.Body.Close()
}

func scheme(tls bool) string {
	if tls {
		return "https"
	}
	return "http"
}

// target is where an event goes: always to the application here. A request line
// may be a whole URL ("POST http://example.com/x HTTP/1.1"); only its path and its
// query count, byte for byte.
func (l *listener) target(uri string) *url.URL {
	target := *l.to
	path, query, queried := strings.Cut(uri, "?")
	if _, rest, absolute := strings.Cut(path, "://"); absolute && !strings.HasPrefix(path, "/") {
		_, path, _ = strings.Cut(rest, "/")
		path = "/" + path
	}
	if target.RawQuery == "" {
		target.RawQuery, target.ForceQuery = query, queried
	}
	switch {
	case target.Path != "" || !strings.HasPrefix(path, "/"):
	case !strings.HasPrefix(path, "//"):
		target.Opaque = path
	default: // which in Opaque would be a host
		target.Path, target.RawPath = path, path
		if plain, err := url.PathUnescape(path); err == nil {
			target.Path = plain
		}
	}
	return &target
}
