package caddyfile

import (
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-webhooks/caddy-webhooks/admin/ui"
	"github.com/caddy-webhooks/caddy-webhooks/internal/dispense"
)

func init() {
	httpcaddyfile.RegisterHandlerDirective("webhooks_dashboard", parseDashboard)
	// Behind everything that asks who somebody is.
	httpcaddyfile.RegisterDirectiveOrder("webhooks_dashboard", httpcaddyfile.Before, "invoke")
}

// parseDashboard reads the directive of a site:
//
//	webhooks_dashboard [<matcher>] {
//		user <placeholder>
//		allow_anonymous
//		read_only
//	}
func parseDashboard(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	h.Next()
	if args := h.RemainingArgs(); len(args) > 0 {
		return nil, h.Errf("surplus argument %q; write: webhooks_dashboard [<matcher>] { … }", args[0])
	}
	d := new(ui.Dashboard)
	err := dispense.Block(h.Dispenser, "webhooks_dashboard", dispense.Fields{
		"user": dispense.Args("<placeholder>", 1, 1, func(args []string) error {
			d.User = args[0]
			return ui.CheckUser(d.User)
		}),
		"allow_anonymous": dispense.Flag(&d.AllowAnonymous),
		"read_only":       dispense.Flag(&d.ReadOnly),
	})
	return d, err
}
