package cli

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2"
)

// adminTransport carries the dashboard's requests to the admin endpoint. Caddy's
// own AdminAPIRequest makes connections anew for each request, and leaves each
// open: a dashboard that is looked at for a day would use up all there are.
type adminTransport struct {
	address, origin, host string
	connections           *http.Transport
}

func newAdminTransport(address string) (*adminTransport, error) {
	parsed, err := caddy.ParseNetworkAddress(address)
	if err != nil {
		return nil, fmt.Errorf("reading the address of the admin endpoint: %w", err)
	}
	if parsed.PortRangeSize() > 1 {
		return nil, fmt.Errorf("the admin endpoint has one address, not %s", address)
	}
	t := &adminTransport{address: address, host: parsed.JoinHostPort(0)}
	t.origin = "http://" + t.host
	if parsed.IsUnixNetwork() || parsed.IsFdNetwork() {
		t.origin, t.host = "", "127.0.0.1"                // a name that the endpoint accepts
		parsed.Host, _, _ = strings.Cut(parsed.Host, "|") // the mode that the socket is made with
	}
	t.connections = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, parsed.Network, parsed.JoinHostPort(0))
	}}
	return t, nil
}

// RoundTrip makes the request; an answer that is no success is one all the same.
func (t *adminTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	sent := r.Clone(r.Context())
	sent.URL.Scheme, sent.URL.Host, sent.Host = "http", t.host, t.host
	if t.origin != "" {
		sent.Header.Set("Origin", t.origin)
	}
	resp, err := t.connections.RoundTrip(sent)
	if err != nil {
		return nil, fmt.Errorf("no Caddy answers at %s; is it running? (%w)", t.address, err)
	}
	if resp.StatusCode == http.StatusNotFound && resp.Header.Get("Content-Type") != "application/json" {
		_ = resp.Body.Close() // nothing in it is needed
		return nil, fmt.Errorf("the Caddy at %s was built without the webhook gateway", t.address)
	}
	return resp, nil
}
