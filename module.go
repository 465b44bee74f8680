// Package webhooks adds a webhook gateway to Caddy. Importing it registers the
// app `webhooks`, the handler `http.handlers.webhooks` and their Caddyfile forms;
// it has nothing to call.
//
// The way of one webhook: package handler takes the request in. It has package
// verify prove the sender, package dedup name the event, and the store (package
// store is the contract, store/local the default) write the event together with
// the claim on its name, synced, before the provider gets its 2xx. From then on
// the event is the gateway's: package deliver decides when an attempt is due,
// package forward makes it through Caddy's own handlers, and what came of it
// goes back into the store. Package gateway holds the two halves together, over
// reloads.
package webhooks

import (
	// The rooms register themselves.
	_ "github.com/caddy-webhooks/caddy-webhooks/admin"
	_ "github.com/caddy-webhooks/caddy-webhooks/admin/ui"
	_ "github.com/caddy-webhooks/caddy-webhooks/caddyfile"
	_ "github.com/caddy-webhooks/caddy-webhooks/cli"
	_ "github.com/caddy-webhooks/caddy-webhooks/gateway"
	_ "github.com/caddy-webhooks/caddy-webhooks/handler"
)
