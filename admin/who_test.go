package admin

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestWhoHasOrderedSomethingIsNoted(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]struct{ name, remote string }{
		"dashboard amy":                        {"dashboard amy", ""}, // in this process
		"dashboard amy, admin api 127.0.0.1:5": {"dashboard amy", "127.0.0.1:5"},
		"admin api 127.0.0.1:5":                {"", "127.0.0.1:5"},
		"admin api ":                           {"\n", ""},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", nil)
		r.RemoteAddr = c.remote
		r.Header.Set(WhoHeader, c.name)
		if got := who(r); got != want {
			t.Errorf("%q from %q: %q, want %q", c.name, c.remote, got, want)
		}
	}
}
