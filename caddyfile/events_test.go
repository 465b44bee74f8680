package caddyfile_test

import (
	"context"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	_ "github.com/caddyserver/caddy/v2/modules/caddyevents/eventsconfig"
)

func init() { caddy.RegisterModule(new(exec)) }

// exec stands for the handler of Caddy's events that examples/alerts uses: a
// plugin. The tests with the real binary run it; here it is only read.
type exec struct {
	Command []string `json:"command"`
}

// CaddyModule names the module.
func (*exec) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "events.handlers.exec", New: func() caddy.Module { return new(exec) }}
}

// UnmarshalCaddyfile reads: exec <command> [<args...>].
func (e *exec) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	e.Command = d.RemainingArgs()
	return nil
}

// Handle does nothing.
func (*exec) Handle(context.Context, caddy.Event) error { return nil }
