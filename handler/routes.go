package handler

import (
	"encoding/json"
	"fmt"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// asItCame keeps reverse_proxy from asking the backend for a compressed answer
// in the provider's name: its transport adds an Accept-Encoding of its own
// unless it is told not to. A `compression` that the operator wrote stands.
func asItCame(routes caddyhttp.RouteList) error {
	for i := range routes {
		for j, raw := range routes[i].HandlersRaw {
			var v any
			if err := json.Unmarshal(raw, &v); err != nil {
				return fmt.Errorf("reading a route: %w", err)
			}
			uncompress(v)
			plain, err := json.Marshal(v)
			if err != nil {
				return fmt.Errorf("writing a route: %w", err)
			}
			routes[i].HandlersRaw[j] = plain
		}
	}
	return nil
}

// uncompress looks for proxies at any depth: routes hold routes.
func uncompress(v any) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			uncompress(e)
		}
	case map[string]any:
		if v["handler"] == "reverse_proxy" {
			plainTransport(v)
		}
		for _, e := range v {
			uncompress(e)
		}
	}
}

func plainTransport(proxy map[string]any) {
	t, ok := proxy["transport"].(map[string]any)
	if !ok {
		t = map[string]any{"protocol": "http"}
		proxy["transport"] = t
	}
	if _, said := t["compression"]; !said && t["protocol"] == "http" {
		t["compression"] = false
	}
}
