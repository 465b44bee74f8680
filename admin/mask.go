package admin

import (
	"net/http"
	"net/url"
	"strings"
)

// masked stands for what must not be shown.
const masked = "[masked]"

// secretive are parts of names of headers and parameters that carry secrets.
var secretive = []string{
	"authorization", "cookie", "signature", "token", "secret", "password", "api-key", "apikey", "hmac", "passcode", "x-auth",
}

// secret tells whether a name is one of proof, which the event's own source
// used, or looks as if it carried a secret.
func secret(name string, proof []string) bool {
	name = strings.ToLower(name)
	for _, p := range proof {
		if strings.ToLower(p) == name {
			return true
		}
	}
	for _, part := range secretive {
		if strings.Contains(name, part) {
			return true
		}
	}
	return false
}

// mask copies headers without the values that prove or authorise anything.
func mask(h http.Header, proof []string) map[string][]string {
	shown := make(map[string][]string, len(h))
	for name, values := range h {
		if secret(name, proof) {
			values = []string{masked}
		}
		shown[name] = values
	}
	return shown
}

// maskURI hides the values of parameters that carry secrets. A query that
// cannot be read is hidden whole.
func maskURI(uri string, proof []string) string {
	path, query, found := strings.Cut(uri, "?")
	if !found {
		return uri
	}
	parts := strings.Split(query, "&")
	for i, part := range parts {
		name, _, _ := strings.Cut(part, "=")
		plain, err := url.QueryUnescape(name)
		if err != nil || secret(plain, proof) {
			parts[i] = name + "=" + masked
		}
	}
	return path + "?" + strings.Join(parts, "&")
}
