package words

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/caddy-webhooks/caddy-webhooks/verify"
)

// Variable is an environment variable of an example: Option names the option
// whose value it is, or is empty for the secret.
type Variable struct{ Name, Option string }

// Variables are those that the example needs.
func Variables(r *verify.Record) []Variable {
	var list []Variable
	if takesSecret(r) && r.Learn == nil {
		list = append(list, Variable{Name: secretVariable(r)})
	}
	for _, o := range shownOptions(r) {
		list = append(list, Variable{Name: variable(r.Name, o.Name), Option: o.Name})
	}
	return list
}

// takesSecret tells whether the operator has to configure one.
func takesSecret(r *verify.Record) bool {
	return slices.ContainsFunc(r.Schemes, func(s verify.Scheme) bool { return s.Kind != "none" && s.Keys == nil })
}

func secretVariable(r *verify.Record) string {
	switch s := &r.Schemes[0]; {
	case keyed(s):
		return variable(r.Name, "public_key")
	case s.Kind == "token":
		return strings.Replace(variable(r.Name, "token"), "TOKEN_TOKEN", "TOKEN", 1)
	case s.Kind == "basic":
		return strings.Replace(variable(r.Name, "basic_login"), "BASIC_BASIC", "BASIC", 1)
	}
	return variable(r.Name, "secret")
}

func variable(parts ...string) string {
	return strings.ToUpper(strings.NewReplacer("-", "_", ".", "_").Replace(strings.Join(parts, "_")))
}

// shownOptions are those without which it does not load, or a handshake is not
// answered.
func shownOptions(r *verify.Record) []verify.Option {
	var shown []verify.Option
	for _, o := range r.Options {
		asked := slices.ContainsFunc(r.Handshakes, func(h verify.Handshake) bool {
			return slices.Contains(mapValues(h.Secret), o.Name)
		})
		if o.Required || asked {
			shown = append(shown, o)
		}
	}
	return shown
}

func mapValues(m map[string]string) []string {
	var values []string
	for _, v := range m {
		values = append(values, v)
	}
	return values
}

// unplaced tells whether the operator has to say where the signature stands.
func unplaced(r *verify.Record) bool {
	s := &r.Schemes[0]
	return r.Generic && s.Kind != "basic" && s.Kind != "none" &&
		len(s.Header) == 0 && s.Query == "" && s.JSON == "" && s.Form == "" && !s.Whole
}

// Example is a whole configuration for this provider.
func Example(r *verify.Record) string {
	from := "from " + r.Name
	var inside []string
	switch {
	case r.Learn != nil:
		inside = append(inside, "secret learn")
	case takesSecret(r):
		from += " {env." + secretVariable(r) + "}"
	}
	if unplaced(r) {
		inside = append(inside, "header X-Signature")
	}
	for _, o := range shownOptions(r) {
		inside = append(inside, fmt.Sprintf("%s {env.%s}", o.Name, variable(r.Name, o.Name)))
	}
	if len(inside) > 0 {
		from += " {\n\t\t\t" + strings.Join(inside, "\n\t\t\t") + "\n\t\t}"
	}
	return "hooks.example.com {\n\twebhooks /" + r.Name + " {\n\t\t" + from + "\n\t\tto localhost:3000\n\t}\n}\n"
}

func configuration(r *verify.Record) []Block {
	var blocks []Block
	if len(r.Aliases) > 0 {
		blocks = append(blocks, text("Other names for it, all signed in the same way: %s.", list(codes(r.Aliases), "and")))
	}
	blocks = append(blocks, Block{Code: Example(r), Lang: "caddyfile"})
	if r.Learn != nil {
		blocks = append(blocks, text("%s hands its secret over; see Handshakes. A secret that you have already is written as `from %s {env.%s}`.", title(r), r.Name, secretVariable(r)))
	}
	if !takesSecret(r) && r.Schemes[0].Kind != "none" {
		blocks = append(blocks, text("No secret is needed: the provider publishes its key."))
	}
	if len(r.Methods) > 0 {
		blocks = append(blocks, text("Methods: %s.", strings.Join(codes(r.Methods), ", ")))
	}
	if signsAddress(r) {
		blocks = append(blocks, text("The address is verified. Where a proxy in front changes scheme, host or path, write the public one: `url https://hooks.example.com/%s`.", r.Name))
	}
	if items := optionItems(r); len(items) > 0 {
		blocks = append(blocks, text("Options in the block of `from`:"), Block{Items: items})
	}
	if filters := logFilters(r); len(filters) > 0 {
		blocks = append(blocks, text("%s with each request. Caddy's access log, if the site has one, would show it. This keeps it out:",
			map[bool]string{true: "The secret is sent", false: "A token, in place of a signature, is sent"}[plain(&r.Schemes[0])]),
			Block{Code: "hooks.example.com {\n\tlog {\n\t\tformat filter {\n\t\t\t" + strings.Join(filters, "\n\t\t\t") + "\n\t\t}\n\t}\n}\n", Lang: "caddyfile"})
	}
	return blocks
}

// logFilters keep a secret that is sent out of Caddy's access log, which by
// itself leaves out Authorization only.
func logFilters(r *verify.Record) []string {
	var filters []string
	for i := range r.Schemes {
		s := &r.Schemes[i]
		if !plain(s) {
			continue
		}
		names := s.Header
		if unplaced(r) {
			names = []string{"X-Signature"} // as in the example
		}
		for _, name := range names {
			if name = http.CanonicalHeaderKey(name); name != "Authorization" {
				filters = append(filters, "request>headers>"+name+" delete")
			}
		}
		if s.Query != "" {
			filters = append(filters, "request>uri query {\n\t\t\t\tdelete "+s.Query+"\n\t\t\t}")
		}
	}
	return filters
}

// signsAddress tells whether the address has to be the one that the sender used.
func signsAddress(r *verify.Record) bool {
	for i := range r.Schemes {
		texts := append(mapValues(r.Schemes[i].Claims), r.Schemes[i].Content)
		for _, text := range texts {
			if strings.Contains(text, "{url") || strings.Contains(text, "{uri") || strings.Contains(text, "{path}") || strings.Contains(text, "{qsh}") {
				return true
			}
		}
	}
	return false
}

func optionItems(r *verify.Record) []string {
	var items []string
	for _, o := range r.Options {
		said := code(o.Name)
		switch {
		case o.Required && o.Many:
			said += " (required, one or several)"
		case o.Required:
			said += " (required)"
		case o.Many:
			said += " (one or several)"
		}
		items = append(items, said+": "+sentence(o.About))
	}
	if r.Generic {
		for _, name := range verify.Params() {
			if p := params[name]; slices.Contains(p.kinds, r.Schemes[0].Kind) {
				items = append(items, code(strings.TrimSpace(name+" "+p.form))+": "+p.about)
			}
		}
	}
	return items
}

var (
	signing = []string{"hmac", "ed25519", "ecdsa", "rsa"}
	hashing = []string{"hmac", "ecdsa", "rsa"}
	placing = []string{"hmac", "ed25519", "ecdsa", "rsa", "jwt", "token"}
	tokened = []string{"jwt"}
)

// params are the options of the generic schemes, and the kinds that they shape.
var params = map[string]struct {
	form, about string
	kinds       []string
}{
	"header":      {"<name>...", "The header with the signature or token; of several the first that is present.", placing},
	"query":       {"<name>", "The parameter of the address with the signature or token, in place of a header.", placing},
	"json":        {"<path>", "Where the signature or token stands in the JSON body, in place of a header.", placing},
	"prefix":      {"<text>", "What stands before each signature or token, e.g. `sha256=`.", placing},
	"hash":        {"sha256|sha1|sha512", "Default: `sha256`.", hashing},
	"encoding":    {"hex|base64|base64url", "How the signature is written. Default: `hex`; of `ecdsa` and `rsa`, `base64`.", signing},
	"content":     {"<template>", "What is signed, e.g. `{ts}.{body}`. There are `{body}`, `{ts}`, `{id}`, `{url}`, `{method}`, `{path}`, `{header:Name}`, `{query:name}`, `{json:path}` and others. Default: `{body}`.", signing},
	"list":        {"<text>", "What separates several values in one header, e.g. a comma.", signing},
	"key":         {"<name>", "With `list`: the values are `name=value`, and this name has the signature.", signing},
	"timestamp":   {"header|json|key <name> [s|ms|rfc3339|http]", "Where the signed time stands: in a header, in the JSON body, or under a name of the list. The age is then checked: 5 minutes, or `tolerance`.", signing},
	"id_header":   {"<name>...", "The header of `{id}`.", signing},
	"secret_form": {"utf8|hex|base64|whsec|key", "How the secret's text becomes the key.", append([]string{"token"}, signing...)},
	"algorithms":  {"<algorithm>...", "Those that are accepted, e.g. `RS256`. Default: `HS256`.", tokened},
	"claims":      {"<name>=<value>...", "What the token must say.", tokened},
	"body_hash":   {"<claim> [hex|base64|base64url]", "The claim that holds the SHA-256 of the body.", tokened},
	"jwks":        {"<address>", "Where the public keys are fetched from, in place of a secret.", tokened},
}

// Try is the command line, after `caddy`, that sends a sample event to the example.
func Try(r *verify.Record) []string {
	args := []string{"webhooks", "send", r.Name, "https://hooks.example.com/" + r.Name}
	if _, pair := r.KeyKind(); takesSecret(r) && !pair {
		args = append(args, "--secret", `"$`+secretVariable(r)+`"`)
	}
	if unplaced(r) {
		args = append(args, "--option", "header=X-Signature")
	}
	for _, o := range shownOptions(r) {
		args = append(args, "--option", fmt.Sprintf(`%s="$%s"`, o.Name, variable(r.Name, o.Name)))
	}
	return args
}

func try(r *verify.Record) []Block {
	const lineBreak = " \\\n\t"
	line := "caddy " + strings.Join(Try(r), " ")
	if len(line) > 90 {
		line = strings.ReplaceAll(line, " --", lineBreak+"--")
	}
	blocks := []Block{{Code: line + "\n", Lang: "sh"}}
	switch _, pair := r.KeyKind(); {
	case pair && takesSecret(r):
		blocks = append(blocks, text("Only the provider has the private key, so this makes a throw-away pair and prints its public half for the configuration."))
	case pair:
		blocks = append(blocks, text("Only the provider has the private key, so this makes a throw-away pair and prints its public half. To accept it, write that behind `from %s`.", r.Name))
	}
	if r.Learn != nil {
		blocks = append(blocks, text("The secret is the one that the configuration has; one that was learned is shown to nobody."))
	}
	if r.Schemes[0].Kind != "none" {
		blocks = append(blocks, text("It prints `%d accepted`. With `--bad` the proof is spoiled, and it prints `401 rejected`.", success(r).Status))
	}
	return blocks
}
