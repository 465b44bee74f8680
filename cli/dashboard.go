package cli

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/caddy-webhooks/caddy-webhooks/admin/ui"
)

func dashboardCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dashboard",
		Short: "Serves the dashboard on this machine, until Ctrl-C",
		Long: `Prints an address to open in a browser. It works once: the browser that opens it
first is let in, for as long as the command runs. The pages are served on
loopback only, and ask the admin endpoint as the other commands do.

To serve them on a site of Caddy's, behind its authentication, use the directive
webhooks_dashboard.`,
		Example: `  caddy webhooks dashboard
  caddy webhooks dashboard --listen 127.0.0.1:8081 --read-only
  ssh -L 8081:localhost:8081 gateway.example.com caddy webhooks dashboard --listen localhost:8081`,
		Args: cobra.NoArgs,
	}
	cmd.Flags().String("listen", "127.0.0.1:0", "Loopback address and port to serve on; port 0: any that is free")
	cmd.Flags().Bool("read-only", false, "Hide and refuse everything that changes something")
	cmd.RunE = run(func(c *client, cmd *cobra.Command, _ []string) error {
		readOnly, err := cmd.Flags().GetBool("read-only")
		if err != nil {
			return fmt.Errorf("reading --read-only: %w", err)
		}
		l, err := loopback(cmd.Context(), cmd.Flags().Lookup("listen").Value.String())
		if err != nil {
			return err
		}
		return c.dashboard(cmd.Context(), l, readOnly)
	})
	return cmd
}

// dashboardEnd is how long pages that are being served may take at the end.
const dashboardEnd = 3 * time.Second

func (c *client) dashboard(parent context.Context, l net.Listener, readOnly bool) error {
	ctx, stop := signal.NotifyContext(parent, os.Interrupt, syscall.SIGTERM)
	defer stop()
	defer l.Close() //nolint:errcheck // the server closes it too
	c.json = false  // it serves pages
	if _, err := c.call(http.MethodGet, "/webhooks/sources", nil, nil); err != nil {
		return err
	}
	pages := ui.New(ui.Options{
		API: adminTransport{c.api}, Whole: true, User: func(*http.Request) string { return strings.TrimPrefix(whoAmI(), "cli ") }, ReadOnly: readOnly,
	})
	d := newDoor(l.Addr().String(), pages)
	server := &http.Server{Handler: d, ReadHeaderTimeout: 10 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	if err := c.printf("open http://%s/?key=%s\nCtrl-C ends it\n", l.Addr(), d.key); err != nil {
		return err
	}
	select {
	case err := <-ended:
		return fmt.Errorf("serving the dashboard: %w", err)
	case <-ctx.Done():
	}
	pages.Close()
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), dashboardEnd)
	defer cancel()
	_ = server.Shutdown(end) // what is still under way is cut off
	return server.Close()
}

// loopback listens, if that is on this machine alone.
func loopback(ctx context.Context, addr string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("--listen %s: %w", addr, err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("--listen %s: must be loopback, such as 127.0.0.1:8081; to reach it from elsewhere, use ssh -L, "+
			"or the directive webhooks_dashboard behind an authentication", addr)
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listening: %w", err)
	}
	return l, nil
}

// door lets one browser in: the first that brings the key. Everybody on the
// machine can reach the port, and every page in the browser can try to.
type door struct {
	hosts []string
	pages http.Handler
	// cookie is the session's name. Cookies do not know ports, so it has the port in
	// it: one dashboard would lock the other out.
	cookie string

	mu  sync.Mutex
	key string // empty once it was used
	// session is what the browser brings from then on.
	session string
}

func newDoor(addr string, pages http.Handler) *door {
	_, port, _ := net.SplitHostPort(addr) // it is a listener's
	d := &door{pages: pages, cookie: "webhooks_dashboard_" + port, key: rand.Text(), session: rand.Text()}
	for _, host := range []string{"localhost", "127.0.0.1", "::1"} {
		d.hosts = append(d.hosts, net.JoinHostPort(host, port))
		if port == "80" { // which browsers leave out
			d.hosts = append(d.hosts, strings.TrimSuffix(net.JoinHostPort(host, port), ":80"))
		}
	}
	d.hosts = append(d.hosts, addr)
	return d
}

// ServeHTTP checks the host, so that no name of a stranger's that resolves to
// this machine gets in, and then the key or the session.
func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case !slices.Contains(d.hosts, strings.ToLower(r.Host)):
		http.Error(w, "this dashboard is served under localhost only", http.StatusMisdirectedRequest)
	case d.knows(r):
		d.pages.ServeHTTP(w, r)
	case r.Method == http.MethodGet && r.URL.Path == "/" && d.opens(r.URL.Query().Get("key")):
		http.SetCookie(w, &http.Cookie{Name: d.cookie, Value: d.session, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode}) //nolint:gosec // loopback has no TLS
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Referrer-Policy", "no-referrer")
		// A redirect would still count as coming from where the link was clicked, and
		// the strict cookie would be left out.
		_, _ = io.WriteString(w, `<!doctype html><meta charset="utf-8"><title>Webhooks</title><meta http-equiv="refresh" content="0;url=./"><p><a href="./">Go on</a></p>`)
	default:
		http.Error(w, "open the address that `caddy webhooks dashboard` has printed; it works once, so run the command again for another browser", http.StatusForbidden)
	}
}

func (d *door) knows(r *http.Request) bool {
	c, err := r.Cookie(d.cookie)
	return err == nil && subtle.ConstantTimeCompare([]byte(c.Value), []byte(d.session)) == 1
}

// opens tells whether the key is the right one, once.
func (d *door) opens(key string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.key == "" || subtle.ConstantTimeCompare([]byte(key), []byte(d.key)) != 1 {
		return false
	}
	d.key = ""
	return true
}
