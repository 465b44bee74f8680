package admin

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// masked stands for what must not be shown.
const masked = "[masked]"

// secretive are parts of names of headers and parameters that carry secrets;
// secretiveWords count only as a whole word of a name, between hyphens.
var (
	secretive = []string{
		"authorization", "cookie", "signature", "token", "secret", "password", "passwd", "passcode", "credential",
		"api-key", "apikey", "access-key", "accesskey", "authkey", "hmac", "bearer", "session", "jwt", "x-auth",
	}
	secretiveWords = []string{"key", "sig", "sign", "auth", "pwd", "pass", "otp"}
	// harmless names would be masked for a word in them, and people search by them.
	harmless = []string{"idempotency-key", "x-idempotency-key"}
)

// secret tells whether a name is one of proof, which the event's own source
// used, or looks as if it carried a secret.
func secret(name string, proof []string) bool {
	if slices.ContainsFunc(proof, func(p string) bool { return strings.EqualFold(p, name) }) {
		return true
	}
	name = strings.ToLower(strings.ReplaceAll(name, "_", "-"))
	if slices.Contains(harmless, name) {
		return false
	}
	if slices.ContainsFunc(secretive, func(part string) bool { return strings.Contains(name, part) }) {
		return true
	}
	words := strings.FieldsFunc(name, func(r rune) bool { return strings.ContainsRune("-.[]:/", r) })
	return slices.ContainsFunc(words, func(word string) bool { return slices.Contains(secretiveWords, word) })
}

// mask copies headers without the values that prove or authorise anything. A
// value may also be an address with a secret in its query, as in Referer.
func mask(h http.Header, proof []string) map[string][]string {
	shown := make(map[string][]string, len(h))
	for name, values := range h {
		if secret(name, proof) {
			shown[name] = []string{masked}
			continue
		}
		shown[name] = make([]string, 0, len(values))
		for _, v := range values {
			shown[name] = append(shown[name], maskText(v, proof))
		}
	}
	return shown
}

var (
	// pair is name=value as in queries; a value ends where an address would.
	pair = regexp.MustCompile(`([^\s?&;,#"'<>=]+)=([^\s&;,#"'<>]*)`)
	// userinfo is what stands before a host.
	userinfo = regexp.MustCompile(`://[^/?#\s@]*@`)
)

// maskText hides the values of parameters that carry secrets, in an address or
// in a text with addresses. A parameter whose name cannot be read is hidden too.
func maskText(text string, proof []string) string {
	text = userinfo.ReplaceAllLiteralString(text, "://"+masked+"@")
	return pair.ReplaceAllStringFunc(text, func(found string) string {
		name, _, _ := strings.Cut(found, "=")
		if plain, err := url.QueryUnescape(name); err == nil && !secret(plain, proof) {
			return found
		}
		return name + "=" + masked
	})
}
