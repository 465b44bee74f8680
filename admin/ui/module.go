package ui

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

func init() { caddy.RegisterModule(new(Dashboard)) }

// Dashboard is the handler that serves the pages on a site, behind the site's own
// authentication.
type Dashboard struct {
	// User is a placeholder with the name of the signed-in user, one of those that
	// each request has its own value of: {http.…}. Default: {http.auth.user.id}. Where
	// it is empty the pages are refused with 403.
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
	if err := CheckUser(d.User); err != nil {
		return fmt.Errorf("user: %w", err)
	}
	if d.AllowAnonymous && d.User != DefaultUser {
		return fmt.Errorf("user %s and allow_anonymous: %w", d.User, errBoth)
	}
	return nil
}

// ofARequest are placeholders that each request has its own value of.
var ofARequest = regexp.MustCompile(`^\{http\.[^{}\s]+\}$`)

// CheckUser refuses what would be a name for everybody: only a placeholder alone is
// empty where nobody is signed in.
func CheckUser(placeholder string) error {
	if !ofARequest.MatchString(placeholder) {
		return fmt.Errorf("%q: %w", placeholder, errUser)
	}
	return nil
}

var errUser = errors.New("it must be one placeholder and nothing else, which is empty where nobody is signed in: " +
	"{http.auth.user.id}, {http.request.header.Remote-User} or another {http.…}; anything else would let everybody in")

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
	d.pages.serve(w, r, placeOf(r))
	return nil
}

// placeOf finds the page. Where handle_path or uri have taken the beginning of the
// path away, the pages begin there: what is left is whole.
func placeOf(r *http.Request) place {
	seen, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request)
	if !ok || seen.URL == nil || seen.URL.Path == r.URL.Path {
		return locate(r.URL.Path, false)
	}
	if strings.Trim(r.URL.Path, "/") == "" && !strings.HasSuffix(seen.URL.Path, "/") {
		return slashless(seen.URL.Path)
	}
	return locate(r.URL.Path, strings.HasSuffix(seen.URL.Path, r.URL.Path))
}
