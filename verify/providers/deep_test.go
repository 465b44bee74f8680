package providers_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/verify"
	"github.com/caddy-webhooks/caddy-webhooks/verify/providers"
)

// Whoever knows the address can send such a body, and a stack that overflows
// takes the process along.
func TestAPathWithModifiersSurvivesAnyDepth(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("[", 5<<20) + strings.Repeat("]", 5<<20)
	for name, c := range map[string]struct {
		kind   string
		params map[string][]string
	}{
		"a token":             {"token", map[string][]string{"json": {"@pretty"}}},
		"a token in a string": {"token", map[string][]string{"json": {"a.@fromstr.@pretty"}}},
		"what is signed":      {"hmac", map[string][]string{"header": {"X"}, "content": {"{json:@pretty}"}}},
		"a timestamp":         {"hmac", map[string][]string{"header": {"X"}, "timestamp": {"json", "@pretty"}, "content": {"{ts}{body}"}}},
	} {
		r, ok := providers.Get(c.kind)
		if !ok {
			t.Fatalf("no scheme %s", c.kind)
		}
		v, err := r.Compile(verify.Options{Secrets: []verify.Secret{verify.NewSecret("s")}, Params: c.params})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, body := range []string{deep, `{"a":"` + deep + `"}`} {
			q := &verify.Request{Method: http.MethodPost, Header: http.Header{"X": {strings.Repeat("a", 64)}}, Body: []byte(body)}
			if _, err := v.Verify(q, time.Now()); err == nil {
				t.Errorf("%s: verified", name)
			}
		}
	}
}
