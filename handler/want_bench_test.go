package handler

import (
	"strings"
	"testing"

	"github.com/caddy-webhooks/caddy-webhooks/event"
)

func BenchmarkWants(b *testing.B) {
	for name, to := range map[string]string{
		"no filter":    ``,
		"events":       `"events":["invoice.*","pu*"]`,
		"header":       `"match":[{"header":{"X-Github-Event":["push"]}}]`,
		"expression":   `"match":[{"expression":"{webhooks.json.data.object.status} == \"paid\""}]`,
		"order_by":     `"order_by":"{webhooks.json.data.object.customer}"`,
		"all of these": `"events":["pu*"],"match":[{"header":{"X-Github-Event":["push"]},"expression":"{webhooks.json.data.object.status} == \"paid\""}],"order_by":"{webhooks.json.data.object.customer}"`,
	} {
		b.Run(name, func(b *testing.B) {
			h, _ := servingConfig(b, nil, destinations([2]string{"a", to}))
			body := `{"pad":"` + strings.Repeat("x", 2000) + `","data":{"object":{"status":"paid","customer":"cus_1"}}}`
			plain := signed(b, "x", body)
			b.ReportAllocs()
			for b.Loop() {
				r, _ := through(plain) // placeholders remember what they have read
				in := h.arrive(r)
				in.checked.Body = []byte(body)
				in.values.Event = &event.Event{Type: "push", Header: r.Header, Body: in.checked.Body}
				if w := h.wants(in, in.values.Event); w != nil && w[0].Filtered {
					b.Fatal("filtered")
				}
			}
		})
	}
}
