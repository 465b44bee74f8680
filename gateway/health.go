package gateway

import (
	"sync"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// proxies are what a chain's events can end at, as far as it is known.
type proxies struct {
	list  []*reverseproxy.Handler
	named map[string]bool // routes that are invoked
	// other tells that the chain has another way out: routes for errors.
	other bool
}

// add looks for proxies at any depth: routes hold routes.
func (p *proxies) add(routes caddyhttp.RouteList) {
	for _, route := range routes {
		for _, h := range route.Handlers {
			switch h := h.(type) {
			case *reverseproxy.Handler:
				p.list = append(p.list, h)
			case *caddyhttp.Subroute:
				p.add(h.Routes)
				p.other = p.other || h.Errors != nil
			case *caddyhttp.Invoke:
				p.named[h.Name] = true
			}
		}
	}
}

// addNamed follows the routes that are invoked, and those that they invoke.
func (p *proxies) addNamed(server *caddyhttp.Server) {
	for followed := map[string]bool{}; len(followed) < len(p.named); {
		for name := range p.named {
			if followed[name] {
				continue
			}
			followed[name] = true
			if route, ok := server.NamedRoutes[name]; ok {
				p.add(caddyhttp.RouteList{*route})
			}
		}
	}
}

// checked tells whether active health checks say all there is to say of the
// chain. Caddy checks no dynamic upstreams.
func (p *proxies) checked() bool {
	for _, h := range p.list {
		c := h.HealthChecks
		if c == nil || c.Active == nil || !c.Active.IsEnabled() || h.DynamicUpstreams != nil || len(h.Upstreams) == 0 {
			return false
		}
	}
	return len(p.list) > 0 && !p.other
}

// healthy is false when no upstream would be tried.
func (p *proxies) healthy() bool {
	for _, h := range p.list {
		for _, u := range h.Upstreams {
			if u.Healthy() {
				return true
			}
		}
	}
	return false
}

// healthOf gives what tells whether a destination may be tried: false when every
// proxy of its chain has active health checks, and all their upstreams are known
// to be unhealthy. It is nil where nothing checks them.
func healthOf(routes caddyhttp.RouteList, server *caddyhttp.Server) func() bool {
	p := &proxies{named: map[string]bool{}}
	p.add(routes)
	if len(p.named) == 0 || server == nil {
		if !p.checked() {
			return nil
		}
		return p.healthy
	}
	// Caddy provisions named routes after those of the site.
	checked := sync.OnceValue(func() bool {
		p.addNamed(server)
		return p.checked()
	})
	return func() bool { return !checked() || p.healthy() }
}
