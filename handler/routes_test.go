package handler

import (
	"encoding/json"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

func TestAProxyIsBoundByTheTimeoutOfItsDestination(t *testing.T) {
	t.Parallel()
	const plain = `"transport":{"compression":false,"protocol":"http"}`
	for name, c := range map[string]struct {
		written, want string
		cut           []string
	}{
		"nothing said": {
			`{"handler":"reverse_proxy"}`,
			`{"handler":"reverse_proxy",` + plain + `}`, nil,
		},
		"compression": {
			`{"handler":"reverse_proxy","transport":{"protocol":"http","compression":true}}`,
			`{"handler":"reverse_proxy","transport":{"protocol":"http","compression":true}}`, nil,
		},
		"FastCGI": {
			`{"handler":"reverse_proxy","transport":{"protocol":"fastcgi","read_timeout":"10s","write_timeout":120000000000}}`,
			`{"handler":"reverse_proxy","transport":{"protocol":"fastcgi","read_timeout":"10s","write_timeout":60000000000}}`, nil,
		},
		"FastCGI without limits, deep": {
			`{"handler":"subroute","routes":[{"handle":[{"handler":"reverse_proxy","transport":{"protocol":"fastcgi"}}]}]}`,
			`{"handler":"subroute","routes":[{"handle":[{"handler":"reverse_proxy","transport":{"protocol":"fastcgi","read_timeout":60000000000,"write_timeout":60000000000}}]}]}`, nil,
		},
		"FastCGI, nonsense": {
			`{"handler":"reverse_proxy","transport":{"protocol":"fastcgi","read_timeout":"soon","write_timeout":[]}}`,
			`{"handler":"reverse_proxy","transport":{"protocol":"fastcgi","read_timeout":"soon","write_timeout":[]}}`, nil,
		},
		"tries in time": {
			`{"handler":"reverse_proxy",` + plain + `,"load_balancing":{"try_duration":"60s","try_interval":250000000,"retries":9}}`,
			`{"handler":"reverse_proxy",` + plain + `,"load_balancing":{"try_duration":"60s","try_interval":250000000,"retries":9}}`, nil,
		},
		"tries for longer": {
			`{"handler":"reverse_proxy",` + plain + `,"load_balancing":{"try_duration":"1h","try_interval":7200000000000}}`,
			`{"handler":"reverse_proxy",` + plain + `,"load_balancing":{"try_duration":60000000000,"try_interval":60000000000}}`,
			[]string{"lb_try_duration", "lb_try_interval"},
		},
		"slow tries by number": {
			`{"handler":"reverse_proxy",` + plain + `,"load_balancing":{"retries":1000,"try_interval":"1s"}}`,
			`{"handler":"reverse_proxy",` + plain + `,"load_balancing":{"retries":1000,"try_interval":"1s","try_duration":60000000000}}`, nil,
		},
		"no proxy": {
			`{"handler":"static_response","load_balancing":{"try_duration":"1h"}}`,
			`{"handler":"static_response","load_balancing":{"try_duration":"1h"}}`, nil,
		},
	} {
		routes := caddyhttp.RouteList{{HandlersRaw: []json.RawMessage{[]byte(c.written)}}}
		cut, err := fit(routes, time.Minute)
		if err != nil || !slices.Equal(cut, c.cut) {
			t.Errorf("%s: cut %v, error %v; want %v", name, cut, err, c.cut)
		}
		var got, want any
		if json.Unmarshal(routes[0].HandlersRaw[0], &got) != nil || json.Unmarshal([]byte(c.want), &want) != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: it became %s, want %s", name, routes[0].HandlersRaw[0], c.want)
		}
	}
}
