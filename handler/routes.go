package handler

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// fit prepares the proxies of a destination, at any depth, for deliveries. What
// an operator wrote stands, but for what would go on after an attempt's end; it
// returns the options of which that is so.
func fit(routes caddyhttp.RouteList, timeout time.Duration) (cut []string, err error) {
	f := fitting{timeout: timeout}
	for _, route := range routes {
		handlers := route.HandlersRaw
		for j, raw := range handlers {
			var v any
			if err := json.Unmarshal(raw, &v); err != nil {
				return nil, fmt.Errorf("reading a route: %w", err)
			}
			f.any(v)
			plain, err := json.Marshal(v)
			if err != nil {
				return nil, fmt.Errorf("writing a route: %w", err)
			}
			handlers[j] = plain
		}
	}
	return f.cut, nil
}

type fitting struct {
	timeout time.Duration
	cut     []string
}

// any looks for proxies: routes hold routes.
func (f *fitting) any(v any) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			f.any(e)
		}
	case map[string]any:
		if v["handler"] == "reverse_proxy" {
			f.transport(v)
			f.tries(v)
		}
		for _, e := range v {
			f.any(e)
		}
	}
}

// transport keeps HTTP from asking the backend for a compressed answer in the
// provider's name: it adds an Accept-Encoding of its own unless it is told not
// to. FastCGI waits for an answer without a look at the attempt's end.
func (f *fitting) transport(proxy map[string]any) {
	t, ok := proxy["transport"].(map[string]any)
	if !ok {
		t = map[string]any{"protocol": "http"}
		proxy["transport"] = t
	}
	switch t["protocol"] {
	case "http":
		if _, said := t["compression"]; !said {
			t["compression"] = false
		}
	case "fastcgi":
		for _, option := range []string{"read_timeout", "write_timeout"} {
			if d, ok := duration(t[option]); ok && (d <= 0 || d > f.timeout) {
				t[option] = f.timeout
			}
		}
	}
}

// tries bounds how long the proxy looks for an upstream: it does so without a
// look at the attempt's end.
func (f *fitting) tries(proxy map[string]any) {
	lb, ok := proxy["load_balancing"].(map[string]any)
	if !ok {
		return
	}
	_, retries := lb["retries"]
	if retries && lb["try_interval"] != nil && lb["try_duration"] == nil {
		lb["try_duration"] = f.timeout
	}
	for _, option := range []string{"try_duration", "try_interval"} {
		if d, ok := duration(lb[option]); ok && d > f.timeout {
			lb[option] = f.timeout
			f.cut = append(f.cut, "lb_"+option)
		}
	}
}

// duration reads one as caddy.Duration does; of what is none Caddy complains.
func duration(v any) (time.Duration, bool) {
	switch v := v.(type) {
	case nil:
		return 0, true
	case float64:
		return time.Duration(v), true
	case string:
		d, err := caddy.ParseDuration(v)
		return d, err == nil
	}
	return 0, false
}
