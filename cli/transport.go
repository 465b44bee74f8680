package cli

import (
	"fmt"
	"net/http"
	"strings"
)

// adminTransport carries the dashboard's requests to the admin endpoint, over the
// connections that the command has.
type adminTransport struct{ api *endpoint }

// RoundTrip makes the request; an answer that is no success is one all the same.
func (t adminTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	sent := r.Clone(r.Context())
	sent.URL.Scheme, sent.URL.Host = "http", strings.TrimPrefix(t.api.base, "http://")
	sent.Host = sent.URL.Host
	if t.api.origin != "" {
		sent.Header.Set("Origin", t.api.origin)
	}
	resp, err := t.api.http.Transport.RoundTrip(sent)
	if err != nil {
		return nil, fmt.Errorf("no Caddy answers at %s; is it running? (%w)", t.api.address, err)
	}
	if resp.StatusCode == http.StatusNotFound && resp.Header.Get("Content-Type") != jsonType {
		_ = resp.Body.Close() // nothing in it is needed
		return nil, fmt.Errorf("the Caddy at %s was built without the webhook gateway", t.api.address)
	}
	return resp, nil
}
