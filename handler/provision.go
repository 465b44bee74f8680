package handler

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/gateway"
	"github.com/caddy-webhooks/caddy-webhooks/verify"
	"github.com/caddy-webhooks/caddy-webhooks/verify/providers"
)

func init() { caddy.RegisterModule(new(Handler)) }

// Defaults of [Handler].
const (
	DefaultDedupWindow = caddy.Duration(7 * 24 * time.Hour)
	DefaultMaxBody     = 5 << 20
	DefaultDestination = "default"
)

// headerRoom is what is kept for an event's headers beside its body.
const headerRoom = 1 << 20

// CaddyModule names the module.
func (*Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.webhooks", New: func() caddy.Module { return new(Handler) }}
}

// Provision builds what serves requests, and registers the source. It opens
// nothing.
func (h *Handler) Provision(ctx caddy.Context) error {
	h.setDefaults()
	h.log = ctx.Slogger().With("source", h.Name)
	h.now = time.Now
	if h.Clock != nil {
		h.now = h.Clock
	}
	h.published = published()
	if err := h.provision(ctx); err != nil {
		return fmt.Errorf("source %s: %w%s", h.Name, err, h.place(err))
	}
	return nil
}

func (h *Handler) provision(ctx caddy.Context) error {
	config, err := h.identity()
	if err != nil {
		return err
	}
	if err := h.check(); err != nil {
		return err
	}
	if err := h.provisionVerifier(); err != nil {
		return err
	}
	h.provisionAnswers()
	if err := h.provisionWants(ctx); err != nil {
		return err
	}
	h.nobody = &event.Event{Source: h.Name, Provider: h.record.Name}
	return h.register(ctx, config)
}

// identity is what makes two sources of one name the same: everything but
// where it was written.
func (h *Handler) identity() ([]byte, error) {
	bare := Handler{
		Name: h.Name, From: h.From, DedupWindow: h.DedupWindow, DedupOff: h.DedupOff,
		Respond: h.Respond, RespondBackend: h.RespondBackend, MaxBody: h.MaxBody, MaxBacklog: h.MaxBacklog, To: h.To,
	}
	return json.Marshal(&bare) //nolint:wrapcheck // a struct of plain values
}

func (h *Handler) setDefaults() {
	if h.Name == "" {
		h.Name = h.From.Provider
	}
	if h.DedupWindow == 0 {
		h.DedupWindow = DefaultDedupWindow
	}
	if len(h.To) == 1 && h.To[0].Name == "" {
		h.To[0].Name = DefaultDestination
	}
	h.window = time.Duration(h.DedupWindow)
	h.setRespondDefaults()
}

var nameForm = regexp.MustCompile(`^[a-z0-9_-]{1,64}$`)

// check refuses what can be refused without looking further.
func (h *Handler) check() error {
	record, ok := providers.Get(h.From.Provider)
	if !ok {
		return unknownProvider(h.From.Provider)
	}
	h.record = record
	switch {
	case !nameForm.MatchString(h.Name):
		return fmt.Errorf("the name %q must be 1 to 64 of a-z, 0-9, _ and -", h.Name)
	case len(h.To) == 0:
		return errors.New("there is nowhere to deliver to: write `to <upstream>`")
	case h.Respond != nil && h.Respond.Status/100 != 2:
		return fmt.Errorf("respond %d: an accepted event is answered with a 2xx status", h.Respond.Status)
	case h.MaxBody < 0 || h.MaxBacklog < 0 || h.DedupWindow < 0 || h.From.Tolerance < 0:
		return errors.New("sizes and durations must not be negative")
	}
	if err := h.checkRespondBackend(); err != nil {
		return misplaced{"respond_backend", err}
	}
	return h.checkDestinations()
}

func (h *Handler) checkDestinations() error {
	seen := map[string]bool{}
	for _, to := range h.To {
		switch {
		case !nameForm.MatchString(to.Name):
			return fmt.Errorf("the name %q of a destination must be 1 to 64 of a-z, 0-9, _ and -; with several destinations each needs one", to.Name)
		case seen[to.Name]:
			return fmt.Errorf("two destinations are named %s", to.Name)
		case len(to.Routes) == 0:
			return fmt.Errorf("destination %s has neither an upstream nor a route", to.Name)
		}
		if _, err := gateway.ParseRate(to.Rate); err != nil {
			return fmt.Errorf("destination %s: rate %w", to.Name, err)
		}
		seen[to.Name] = true
	}
	return nil
}

func unknownProvider(name string) error {
	if near := providers.Suggest(name); near != "" {
		return fmt.Errorf("unknown provider %q; did you mean %s?", name, near)
	}
	return fmt.Errorf("unknown provider %q; for a sender without a preset use hmac, token, basic, ed25519, ecdsa, rsa or jwt", name)
}

// provisionVerifier resolves the secrets and sets verification up.
func (h *Handler) provisionVerifier() error {
	if err := h.checkLearn(); err != nil {
		return err
	}
	var err error
	if h.secrets, err = newSecrets(h.From.Secrets); err != nil {
		return misplaced{"secret", err}
	}
	if h.secrets.literal {
		h.log.Warn("a secret stands in the configuration itself, where /config/ shows it; use {env.NAME} or {file./path}")
	}
	if h.options, err = resolveOptions(h.From.Options); err != nil {
		return err
	}
	v, err := h.compile(h.secrets.fixed)
	if err != nil {
		return err
	}
	h.verifier.Store(v)
	for i, s := range h.secrets.fixed {
		if s.Padded() {
			h.log.Warn("a secret begins or ends with white space", "secret", i+1)
		}
	}
	for _, o := range h.record.Options {
		if o.Secret && literal(h.From.Options[o.Name]) {
			h.log.Warn("a secret stands in the configuration itself, where /config/ shows it; use {env.NAME} or {file./path}", "option", o.Name)
		}
	}
	if h.record.Schemes[0].Kind == "none" {
		h.log.Warn("nothing is verified: whoever knows the address can send events")
	}
	return h.checkWindow()
}

func (h *Handler) compile(fixed []verify.Secret) (*verify.Verifier, error) {
	o := verify.Options{
		Secrets: fixed, PerRequest: len(h.secrets.perRequest) > 0 || h.From.Learn,
		Tolerance: time.Duration(h.From.Tolerance), Methods: h.From.Methods, Params: h.options, Keys: h.published,
	}
	if h.From.ToleranceOff {
		o.Tolerance = -1
	}
	return h.record.Compile(o)
}

// checkWindow insists that a replayed request cannot outlive its claim.
func (h *Handler) checkWindow() error {
	for _, s := range h.record.Schemes {
		tolerance := s.Tolerance
		if h.From.Tolerance > 0 {
			tolerance = time.Duration(h.From.Tolerance)
		}
		if !h.DedupOff && !h.From.ToleranceOff && tolerance > 0 && h.window < 2*tolerance {
			return misplaced{"dedup", fmt.Errorf("dedup %s is shorter than twice the tolerance %s: a replayed request could outlive its claim", h.window, tolerance)}
		}
	}
	return nil
}

// provisionAnswers settles what names an event and what is answered.
func (h *Handler) provisionAnswers() {
	h.ids, h.typ = h.record.ID, h.record.Type
	if len(h.From.ID) > 0 {
		h.ids = nil
		for _, p := range h.From.ID {
			h.ids = append(h.ids, verify.Pick{In: p.In, Names: p.Names})
		}
	}
	if h.From.Type != nil {
		h.typ = &verify.Pick{In: h.From.Type.In, Names: h.From.Type.Names}
	}
	if h.DedupOff {
		h.window = 0
	}
	h.maxBody = h.MaxBody
	if h.maxBody == 0 {
		h.maxBody = h.record.MaxBody
	}
	if h.maxBody == 0 {
		h.maxBody = DefaultMaxBody
	}
	h.success = verify.Answer{Status: http.StatusOK}
	if h.record.Success != nil {
		h.success = h.verifier.Load().Success()
	}
	if h.Respond != nil {
		h.success = verify.Answer{Status: h.Respond.Status, Body: h.Respond.Body, Type: contentType(h.Respond.Body)}
	}
}

// register hands the source to the app.
func (h *Handler) register(ctx caddy.Context, config []byte) error {
	module, err := ctx.App("webhooks")
	if err != nil {
		return fmt.Errorf("loading the app webhooks: %w", err)
	}
	app, ok := module.(*gateway.App)
	if !ok {
		return fmt.Errorf("the app webhooks is a %T", module)
	}
	if most := app.LargestRecord(); most > 0 && h.maxBody+headerRoom > most {
		return misplaced{"max_body", fmt.Errorf("max_body is %d bytes; this store takes at most %d", h.maxBody, most-headerRoom)}
	}
	c := gateway.SourceConfig{
		Name: h.Name, Provider: h.From.Provider, JSON: config, Place: h.Places["webhooks"], Share: h.MaxBacklog, Owner: h,
		Learns: h.From.Learn, Claim: h.claimOf, Words: h.words(),
	}
	server, _ := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	for _, to := range h.To {
		h.warnPHP(to)
		if err := h.fit(to); err != nil {
			return fmt.Errorf("destination %s: %w", to.Name, err)
		}
		if err := to.Routes.Provision(ctx); err != nil {
			return fmt.Errorf("destination %s: %w", to.Name, err)
		}
		d := to.destination(server)
		if d.Sign, err = h.signing(to); err != nil {
			return fmt.Errorf("destination %s: %w", to.Name, err)
		}
		c.Destinations = append(c.Destinations, d)
	}
	if h.source, err = app.Register(c); err != nil {
		return err //nolint:wrapcheck // it names the source
	}
	h.remember()
	return nil
}

func (t *To) destination(server *caddyhttp.Server) gateway.Destination {
	rate, _ := gateway.ParseRate(t.Rate) // checked by checkDestinations
	d := gateway.Destination{
		Name: t.Name, Routes: t.Routes, Server: server, Concurrency: t.Concurrency, Rate: rate, Timeout: time.Duration(t.Timeout),
		AcceptCut: t.AcceptCutAnswer,
	}
	if r := t.Retry; r != nil {
		d.For, d.Attempts, d.Never = time.Duration(r.For), r.Attempts, r.Never
		d.BackoffFirst, d.BackoffMax = time.Duration(r.BackoffFirst), time.Duration(r.BackoffMax)
	}
	return d
}

// fit prepares the destination's proxies.
func (h *Handler) fit(to *To) error {
	timeout := cmp.Or(time.Duration(to.Timeout), gateway.DefaultTimeout)
	cut, err := fit(to.Routes, timeout)
	for _, option := range cut {
		h.log.Warn("an option of this destination's proxy is longer than its timeout, which ends each attempt",
			"destination", to.Name, "option", option, "timeout", timeout.String(), "hint", "retries are the gateway's: leave "+option+" out")
	}
	return err
}

// warnPHP notices a FastCGI destination without a root: the site's own is not
// there when an event is delivered.
func (h *Handler) warnPHP(to *To) {
	text, err := json.Marshal(to.Routes)
	if err == nil && strings.Contains(string(text), `"protocol":"fastcgi"`) && !strings.Contains(string(text), `"root":`) {
		h.log.Warn("this destination uses FastCGI and has no root: write `root` inside its `route`; the site's does not hold there",
			"destination", to.Name)
	}
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddy.CleanerUpper          = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
)
