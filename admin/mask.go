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
	// named is what stands before a value in an address or in a text with addresses.
	named = regexp.MustCompile(`[^\s?&;,#"'<>=]+=`)
	// userinfo is what stands before a host. A password may have an @ of its own.
	userinfo = regexp.MustCompile(`://[^/?#\s]*@`)
)

// endOfValue are the bytes at which a secret in a text ends. A quotation mark or a
// bracket is none of them: secrets may have such, and the text behind it is less
// than a secret's tail.
const endOfValue = " \t\r\n\f\v&#"

// maskText hides the values of parameters that carry secrets, in a text with
// addresses. A parameter whose name cannot be read is hidden too.
func maskText(text string, proof []string) string {
	text = userinfo.ReplaceAllLiteralString(text, "://"+masked+"@")
	var b strings.Builder
	for {
		at := named.FindStringIndex(text)
		if at == nil {
			return b.String() + text
		}
		b.WriteString(text[:at[1]])
		name := text[at[0] : at[1]-1]
		if text = text[at[1]:]; !veiled(name, proof) {
			continue // its value may have names of its own
		}
		b.WriteString(masked)
		end := strings.IndexAny(text, endOfValue)
		if end < 0 {
			return b.String()
		}
		if strings.HasSuffix(text[:end], quoted) {
			end -= len(quoted)
		}
		text = text[end:]
	}
}

// quoted ends the address in an error of Go's HTTP client: Get "http://a/": refused.
const quoted = `":`

// veiled tells whether the value behind a name, as an address has it, is hidden.
func veiled(name string, proof []string) bool {
	plain, err := url.QueryUnescape(name)
	return err != nil || secret(plain, proof)
}

// maskURI hides the same in an event's own address, where nothing but an ampersand
// ends a parameter: a secret may have commas, semicolons and quotation marks.
func maskURI(uri string, proof []string) string {
	path, query, found := strings.Cut(uri, "?")
	path = maskText(path, proof)
	if !found {
		return path
	}
	parameters := strings.Split(query, "&")
	for i, p := range parameters {
		name, _, valued := strings.Cut(p, "=")
		if valued && veiled(name, proof) {
			parameters[i] = name + "=" + masked
		} else {
			parameters[i] = maskText(p, proof)
		}
	}
	return path + "?" + strings.Join(parameters, "&")
}
