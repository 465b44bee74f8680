package e2e

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/internal/testkit"
	"github.com/caddy-webhooks/caddy-webhooks/verify"
	"github.com/caddy-webhooks/caddy-webhooks/verify/providers"
)

// example reads an example's Caddyfile for a test: on our address, and with
// the application at addr in place of each local port.
func example(t *testing.T, name string, replace ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "examples", name, "Caddyfile"))
	if err != nil {
		t.Fatal(err)
	}
	config := strings.Replace(string(text), "hooks.example.com", "{$ADDR}", 1)
	return strings.NewReplacer(replace...).Replace(config)
}

// send signs a payload as the provider would, and posts it.
func send(t *testing.T, target, provider, secret, id, body string, header ...string) (int, string) {
	t.Helper()
	r, ok := providers.Get(provider)
	if !ok {
		t.Fatalf("no provider %s", provider)
	}
	v, err := r.Compile(verify.Options{Secrets: []verify.Secret{verify.NewSecret(secret)}})
	if err != nil {
		t.Fatal(err)
	}
	q := &verify.Request{Method: http.MethodPost, URL: target, Header: http.Header{}, Query: url.Values{}, Body: []byte(body)}
	for i := 0; i < len(header); i += 2 {
		q.Header.Set(header[i], header[i+1])
	}
	if err := v.Sign(q, time.Now(), id); err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequest(http.MethodPost, target, bytes.NewReader(q.Body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = q.Header
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode, resp.Header.Get("Webhook-Status")
}

func TestExampleStripe(t *testing.T) {
	t.Parallel()
	app := testkit.NewApp(t)
	g := testkit.New(t, "STRIPE_SECRET=whsec_test").Start(example(t, "stripe", "localhost:3000", app.Addr()))
	for i, want := range []string{"accepted", "duplicate"} {
		status, word := send(t, "http://"+g.Addr+"/stripe", "stripe", "whsec_test", "", `{"id":"evt_1","type":"invoice.paid"}`)
		if status != 200 || word != want {
			t.Errorf("sending %d: %d %s, want %s", i+1, status, word, want)
		}
	}
	testkit.Eventually(t, "it arrives", func() bool { return len(app.Got()) == 1 })
}

func TestExampleGitHubTakesTheOldSecretToo(t *testing.T) {
	t.Parallel()
	app := testkit.NewApp(t)
	g := testkit.New(t, "GITHUB_SECRET=new", "GITHUB_SECRET_OLD=old").Start(example(t, "github", "localhost:3000", app.Addr()))
	for _, secret := range []string{"new", "old"} {
		if status, h, err := testkit.Post("http://"+g.Addr+"/github", secret, secret, []byte("{}")); err != nil || status != 200 {
			t.Errorf("secret %s: %d %v %v", secret, status, h, err)
		}
	}
	testkit.Eventually(t, "both arrive", func() bool { return len(app.Got()) == 2 })
}

// fpm starts PHP-FPM on a socket in dir.
func fpm(t *testing.T, dir string) {
	t.Helper()
	found, err := filepath.Glob("/usr/sbin/php-fpm*")
	if err != nil || len(found) == 0 {
		testkit.Lacks(t, "the package php-fpm")
	}
	config := fmt.Sprintf("[global]\nerror_log = %[1]s/fpm.log\ndaemonize = no\n[www]\nlisten = %[1]s/fpm.sock\npm = static\npm.max_children = 2\n", dir)
	if os.Getuid() == 0 {
		config += "user = root\ngroup = root\n"
	}
	path := filepath.Join(dir, "fpm.conf")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(found[0], "-F", "-R", "-n", "-y", path)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // its children end with it, as they would not after a kill
		_ = cmd.Wait()
	})
	testkit.Eventually(t, "PHP-FPM listens", func() bool {
		_, err := os.Stat(filepath.Join(dir, "fpm.sock"))
		return err == nil
	})
}

func TestExamplePHPSurvivesAnOutageOfPHP(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	script, err := os.ReadFile("../../examples/php/hook.php")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "hook.php"), script, 0o600); err != nil {
		t.Fatal(err)
	}
	const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	g := testkit.New(t, "WEBHOOK_SECRET="+secret, "PHP_ROOT="+dir, "PHP_FPM=unix/"+filepath.Join(dir, "fpm.sock"))
	g.Start(example(t, "php"))
	if status, word := send(t, "http://"+g.Addr+"/hooks/a", "standard-webhooks", secret, "msg_1", `{"type":"x"}`); status != 200 || word != "accepted" {
		t.Fatalf("while PHP is down: %d %s", status, word)
	}
	fpm(t, dir)
	testkit.Eventually(t, "the script has run", func() bool {
		b, err := os.ReadFile(filepath.Join(dir, "received.txt"))
		return err == nil && strings.HasSuffix(string(b), ` {"type":"x"}`+"\n")
	})
	testkit.Eventually(t, "it counts as delivered", func() bool { return g.Count("delivered") == 1 })
}
