package caddyfile

import (
	"encoding/json"
	"reflect"

	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
)

// emitApp has the adapter write the app `webhooks` though no global option asks
// for it, so that whoever reads the JSON sees all that will run.
//
// Caddy's adapter writes the apps that it finds among the global options, and
// lends a directive these options to read only. This writes to them. Should a
// later Caddy keep them elsewhere, nothing is written; the handler then loads
// the app by itself, with the same defaults.
func emitApp(h httpcaddyfile.Helper) {
	if h.Option("webhooks") != nil {
		return
	}
	field := reflect.ValueOf(&h).Elem().FieldByName("options")
	if !field.IsValid() || field.Type() != reflect.TypeFor[map[string]any]() || field.IsNil() {
		return
	}
	options := *(*map[string]any)(field.Addr().UnsafePointer())
	options["webhooks"] = httpcaddyfile.App{Name: "webhooks", Value: json.RawMessage("{}")}
}
