package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-webhooks/caddy-webhooks/internal/testkit"
)

func writeCaddyfile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "Caddyfile")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestValidateBesideARunningGatewayOpensAndCreatesNothing(t *testing.T) {
	t.Parallel()
	app := testkit.NewApp(t)
	g := testkit.New(t).Start(site(app))
	path := writeCaddyfile(t, site(app))
	if out, err := g.Run("validate", "--config", path, "--adapter", "caddyfile"); err != nil {
		t.Errorf("beside the running one: %v\n%s", err, out)
	}
	fresh := t.TempDir()
	other := testkit.New(t)
	path = writeCaddyfile(t, strings.ReplaceAll(site(app), "{env.DIR}", fresh))
	if out, err := other.Run("validate", "--config", path, "--adapter", "caddyfile"); err != nil {
		t.Errorf("alone: %v\n%s", err, out)
	}
	if entries, err := os.ReadDir(fresh); err != nil || len(entries) > 0 {
		t.Errorf("validate made %v, %v", entries, err)
	}
}

func TestASecretInAFileIsReadAgainWhenItChanges(t *testing.T) {
	t.Parallel()
	app := testkit.NewApp(t)
	secret := filepath.Join(t.TempDir(), "secret")
	write := func(v string) {
		if err := os.WriteFile(secret, []byte(v), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("first\n")
	g := testkit.New(t).Start("{$ADDR} {\n\twebhooks /hook {\n\t\tfrom github {file." + secret + "}\n\t\tto " + app.Addr() + "\n\t}\n}")
	url := "http://" + g.Addr + "/hook"
	post := func(secret string) int {
		status, _, err := testkit.Post(url, secret, "x", []byte("{}"))
		if err != nil {
			t.Fatal(err)
		}
		return status
	}
	if status := post("first"); status != 200 {
		t.Fatalf("with the first secret: %d", status)
	}
	write("second\n")
	testkit.Eventually(t, "the second secret is taken", func() bool { return post("second") == 200 })
	if status := post("first"); status != 401 {
		t.Errorf("with the old secret: %d, want 401", status)
	}
	write("")
	if status := post("wrong"); status != 401 {
		t.Errorf("with a wrong secret: %d, want 401", status)
	}
	if status := post("second"); status != 200 {
		t.Errorf("after the file was emptied: %d, want the old secret to stand", status)
	}
	write("third, which nobody has used yet\n")
	testkit.Eventually(t, "the old secret ends with the file's change", func() bool { return post("second") == 401 })
}

func TestASecretOfTheRequestSeparatesTenants(t *testing.T) {
	t.Parallel()
	app := testkit.NewApp(t)
	g := testkit.New(t).Start("{$ADDR} {\n\twebhooks /hook {\n\t\tfrom github {http.request.uri.query.tenant}\n\t\tto " + app.Addr() + "\n\t}\n}")
	for i, c := range []struct {
		tenant, secret string
		status         int
		word           string
	}{
		{"one", "one", 200, "accepted"},
		{"one", "one", 200, "duplicate"},
		{"two", "two", 200, "accepted"}, // the same ID, of another tenant
		{"", "", 401, "rejected"},
		{"two", "one", 401, "rejected"},
	} {
		status, h, err := testkit.Post("http://"+g.Addr+"/hook?tenant="+c.tenant, c.secret, "same-id", []byte("{}"))
		if err != nil || status != c.status || h.Get("Webhook-Status") != c.word {
			t.Errorf("request %d: %d %s %v, want %d %s", i+1, status, h.Get("Webhook-Status"), err, c.status, c.word)
		}
	}
}

func TestTheSameSourceInTwoSitesIsOneSource(t *testing.T) {
	t.Parallel()
	block := "\twebhooks /hook {\n\t\tfrom github {env.HOOK_SECRET}\n\t\tto localhost:1\n\t}\n}\n"
	g := testkit.New(t)
	path := writeCaddyfile(t, "http://127.0.0.1:1, http://127.0.0.1:2 {\n"+block+"http://127.0.0.1:3 {\n"+block)
	if out, err := g.Run("validate", "--config", path, "--adapter", "caddyfile"); err != nil {
		t.Errorf("one source in three sites: %v\n%s", err, out)
	}
}
