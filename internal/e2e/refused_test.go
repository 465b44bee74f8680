package e2e

import (
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-webhooks/caddy-webhooks/internal/testkit"
)

func TestRefusedRequestsAreShownWithTheirReasonAndNoSecret(t *testing.T) {
	t.Parallel()
	g := testkit.New(t).Start(one("shop", "default", testkit.NewApp(t).Addr(), ""))
	if out := runs(t, g, "refused"); out != "nothing was refused since Caddy was started\n" {
		t.Errorf("at first it says %q", out)
	}
	post(t, g, "good", 1)
	if status, _, err := testkit.Post("http://"+g.Addr+"/hook?key=hidden", "another secret", "bad", []byte(`{"hidden":1}`)); err != nil || status != http.StatusUnauthorized {
		t.Fatalf("%d %v", status, err)
	}
	testkit.Eventually(t, "the reason is found", func() bool { return strings.Contains(runs(t, g, "refused"), "does not match") })
	out := runs(t, g, "refused", "--source", "shop")
	if strings.Contains(out, "hidden") || !strings.Contains(out, "401 shop  POST /hook  from 127.0.0.1\n") || !strings.Contains(out, "mismatch 1") {
		t.Errorf("it shows\n%s", out)
	}
	if out, err := g.Run("webhooks", "refused", "--limit", "0", "--address", g.Admin); err == nil || !strings.Contains(out, "1 to 200") {
		t.Errorf("%v %s", err, out)
	}
	testkit.Eventually(t, "the history has it", func() bool {
		_, body := testkit.Fetch(t, "http://"+g.Admin+"/webhooks/history?source=shop")
		return strings.Contains(body, `"rejected":[null,`) && (strings.Contains(body, ",1]") || strings.Contains(body, ",1,"))
	})
}
