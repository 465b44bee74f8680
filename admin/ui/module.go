package ui

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

func init() { caddy.RegisterModule(new(Dashboard)) }

// Dashboard is the handler that serves the pages on a site, behind the site's own
// authentication.
type Dashboard struct {
	// User is a placeholder with the name of the signed-in user. Default:
	// {http.auth.user.id}. Where it is empty the pages are refused with 403.
	User string `json:"user,omitempty"`
	// AllowAnonymous lets everybody in who comes past the site's own conditions.
	AllowAnonymous bool `json:"allow_anonymous,omitempty"`
	// ReadOnly refuses everything that changes something.
	ReadOnly bool `json:"read_only,omitempty"`

	pages *Pages
}

// interface guards
var (
	_ caddy.Provisioner           = (*Dashboard)(nil)
	_ caddy.Validator             = (*Dashboard)(nil)
	_ caddy.CleanerUpper          = (*Dashboard)(nil)
	_ caddyhttp.MiddlewareHandler = (*Dashboard)(nil)
)

// CaddyModule names the module.
func (*Dashboard) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.webhooks_dashboard", New: func() caddy.Module { return new(Dashboard) }}
}

// DefaultUser is where Caddy's own authentication leaves the user's name.
const DefaultUser = "{http.auth.user.id}"

// Provision finds the admin API. Streams end when the server begins to shut down:
// it would wait for them otherwise.
func (d *Dashboard) Provision(ctx caddy.Context) error {
	api, err := Inside()
	if err != nil {
		return err
	}
	if d.User == "" {
		d.User = DefaultUser
	}
	d.pages = New(Options{API: api, User: d.user, ReadOnly: d.ReadOnly})
	if server, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server); ok {
		server.RegisterOnShutdown(d.pages.Close)
	}
	if d.AllowAnonymous {
		ctx.Logger().Warn("the dashboard asks nobody for a name: whoever reaches it sees what webhooks say, and may replay and discard them " +
			"unless it is read_only")
	}
	return nil
}

// Validate refuses what contradicts itself.
func (d *Dashboard) Validate() error {
	if d.AllowAnonymous && d.User != DefaultUser {
		return fmt.Errorf("user %s and allow_anonymous: %w", d.User, errBoth)
	}
	return nil
}

var errBoth = errors.New("leave one of them out: either there is a user, or everybody may come in")

// Cleanup ends the streams.
func (d *Dashboard) Cleanup() error {
	if d.pages != nil {
		d.pages.Close()
	}
	return nil
}

// user is the name of whoever makes the request.
func (d *Dashboard) user(r *http.Request) string {
	name := ""
	if repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok {
		name = repl.ReplaceAll(d.User, "")
	}
	if name == "" && d.AllowAnonymous {
		return "anonymous"
	}
	return name
}

// ServeHTTP serves the pages.
func (d *Dashboard) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	d.pages.ServeHTTP(w, r)
	return nil
}
