package e2e

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/internal/testkit"
	"github.com/caddy-webhooks/caddy-webhooks/verify"
	"github.com/caddy-webhooks/caddy-webhooks/verify/providers"
)

const hookSecret = "b537207f20cbfa02357cf448134da559"

// offer hands a secret over, as Asana does when a webhook is made.
func offer(t *testing.T, url, secret string) *http.Response {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, url, strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Hook-Secret", secret)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp
}

// fromAsana posts an event that is signed with a secret.
func fromAsana(t *testing.T, url, secret string) int {
	t.Helper()
	record, _ := providers.Get("asana")
	v, err := record.Compile(verify.Options{Secrets: []verify.Secret{verify.NewSecret(secret)}})
	if err != nil {
		t.Fatal(err)
	}
	q := &verify.Request{Method: http.MethodPost, URL: url, Header: http.Header{}, Body: []byte(`{"events":[]}`)}
	if err := v.Sign(q, time.Now(), "1"); err != nil {
		t.Fatal(err)
	}
	req := httptest.NewRequest(http.MethodPost, url, strings.NewReader(string(q.Body)))
	req.Header, req.RequestURI = q.Header, ""
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

func TestASecretIsLearnedOnceWhenAnOperatorSaysSoAndOutlivesTheProcess(t *testing.T) {
	t.Parallel()
	app := testkit.NewApp(t)
	config := `{
	webhooks {
		store local {env.DIR}/store
	}
}
{$ADDR} {
	webhooks /asana {
		from asana {
			secret learn
		}
		to ` + app.Addr() + `
	}
}`
	g := testkit.New(t).Start(config)
	url := "http://" + g.Addr + "/asana"

	if got := offer(t, url, hookSecret).StatusCode; got != http.StatusUnauthorized {
		t.Errorf("a secret that nobody waits for: %d", got)
	}
	if got := fromAsana(t, url, hookSecret); got != http.StatusServiceUnavailable {
		t.Errorf("an event before anything was learned: %d, want to be asked again", got)
	}
	learn := func(want string, args ...string) {
		t.Helper()
		out, err := g.Run(append([]string{"webhooks", "learn", "asana", "--address", g.Admin}, args...)...)
		if err != nil || !strings.Contains(out, want) {
			t.Errorf("learn %v: %q, %v, want %q", args, out, err, want)
		}
		if strings.Contains(out, hookSecret) {
			t.Error("the secret is told")
		}
	}
	learn("knows no secret", "--status")
	learn("takes a secret for 15m0s")
	answer := offer(t, url, hookSecret)
	if answer.StatusCode != http.StatusOK || answer.Header.Get("X-Hook-Secret") != hookSecret {
		t.Errorf("the handshake: %d, %v", answer.StatusCode, answer.Header)
	}
	if got := offer(t, url, hookSecret).StatusCode; got != http.StatusOK {
		t.Errorf("the same handshake again: %d", got)
	}
	if got := offer(t, url, strings.Repeat("e", 32)).StatusCode; got != http.StatusUnauthorized {
		t.Errorf("another secret: %d", got)
	}
	learn("knows its secret", "--status")
	if out, err := g.Run("webhooks", "learn", "asana", "--address", g.Admin); err == nil || !strings.Contains(out, "forget it first") {
		t.Errorf("opening it again: %q, %v", out, err)
	}
	g.Kill()
	g.Start(config)
	if got := fromAsana(t, url, hookSecret); got != http.StatusOK {
		t.Errorf("an event after a restart: %d", got)
	}
	if got := fromAsana(t, url, strings.Repeat("e", 32)); got != http.StatusUnauthorized {
		t.Errorf("a forged event: %d", got)
	}
	learn("has forgotten", "--forget")
	if got := fromAsana(t, url, hookSecret); got != http.StatusServiceUnavailable {
		t.Errorf("an event after forgetting: %d", got)
	}
	if strings.Contains(g.Log(), hookSecret) {
		t.Error("the secret stands in the log")
	}
}
