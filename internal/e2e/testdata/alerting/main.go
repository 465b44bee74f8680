// Command alerting is the gateway with a handler of Caddy's events in it, called
// `exec` as the plugin of that name that operators build in: it runs a command.
package main

import (
	"context"
	"fmt"
	"os/exec"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/caddy-webhooks/caddy-webhooks"
)

func init() { caddy.RegisterModule(new(handler)) }

type handler struct {
	Command string   `json:"command"`
	Args    []string `json:"args"`
}

// CaddyModule names the module.
func (*handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "events.handlers.exec", New: func() caddy.Module { return new(handler) }}
}

// UnmarshalCaddyfile reads: exec <command> [<args...>].
func (h *handler) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	words := d.RemainingArgs()
	if len(words) == 0 {
		return d.ArgErr()
	}
	h.Command, h.Args = words[0], words[1:]
	return nil
}

// Handle runs the command.
func (h *handler) Handle(ctx context.Context, _ caddy.Event) error {
	repl, ok := ctx.Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	if !ok {
		return fmt.Errorf("no placeholders in %T", ctx)
	}
	args := make([]string, len(h.Args))
	for i, a := range h.Args {
		args[i] = repl.ReplaceAll(a, "")
	}
	out, err := exec.CommandContext(ctx, repl.ReplaceAll(h.Command, ""), args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

func main() { caddycmd.Main() }
