package e2e

import (
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-webhooks/caddy-webhooks/internal/testkit"
)

// dump is an application in PHP that writes down what it gets. Where it is told
// to, it hangs at the first attempt.
const dump = `<?php
if (str_contains($_SERVER['REQUEST_URI'], 'hang') && $_SERVER['HTTP_WEBHOOK_ATTEMPT'] === '1') {
    touch(__DIR__ . '/' . $_SERVER['HTTP_X_GITHUB_DELIVERY'] . '.began');
    sleep(120);
}
$file = __DIR__ . '/' . $_SERVER['HTTP_X_GITHUB_DELIVERY'];
file_put_contents($file . '.part', json_encode(['server' => $_SERVER, 'body' => base64_encode(file_get_contents('php://input'))]));
rename($file . '.part', $file . '.json');
http_response_code(204);
`

const phpSite = `{
	webhooks {
		store memory
	}
}
https://hooks.example:PORT {
	tls DIR/hooks.example.pem DIR/hooks.example.key
	root * /nowhere
	webhooks /script {
		name script
		from github {env.HOOK_SECRET}
		to {
			route {
				root * DIR
				rewrite /dump.php?{query}
				php_fastcgi unix/DIR/fpm.sock
			}
		}
	}
	webhooks /front/* {
		name front
		from github {env.HOOK_SECRET}
		to {
			route {
				root * DIR
				php_fastcgi unix/DIR/fpm.sock
			}
		}
	}
	webhooks /hang {
		name hang
		from github {env.HOOK_SECRET}
		to {
			timeout 1s
			route {
				root * DIR
				rewrite /dump.php
				php_fastcgi unix/DIR/fpm.sock
			}
		}
	}
	webhooks /stuck/hang {
		name stuck
		from github {env.HOOK_SECRET}
		to {
			timeout 5m
			route {
				root * DIR
				rewrite /dump.php
				php_fastcgi unix/DIR/fpm.sock
			}
		}
	}
	php_fastcgi unix/DIR/fpm.sock
}
`

// dumped is what PHP was given.
type dumped struct {
	Server map[string]any
	Body   string
}

func TestAPHPApplicationSeesTheProvidersRequest(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"dump.php", "index.php"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(dump), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	fpm(t, dir)
	certificate(t, dir, "hooks.example")
	g := testkit.New(t)
	g.Start(strings.NewReplacer("PORT", g.Addr[strings.LastIndex(g.Addr, ":")+1:], "DIR", dir).Replace(phpSite))
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	body := bytes.Repeat(every, 100) // more than what Caddy buffers for FastCGI unasked
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, ServerName: "hooks.example"}}}
	t.Cleanup(client.CloseIdleConnections)
	post := func(t *testing.T, target, id string) {
		t.Helper()
		req, err := testkit.Signed("https://"+g.Addr+target, testkit.Secret, id, body)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = "hooks.example"
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != 200 || resp.Header.Get("Webhook-Status") != "accepted" {
			t.Fatalf("%s: %d %v", id, resp.StatusCode, resp.Header)
		}
	}
	for id, c := range map[string]struct{ target, script, attempt string }{
		"script": {"/script?a=%2F&b=c%20d", "/dump.php", "1"},
		"front":  {"/front/orders/1?a=%2F&b=c%20d", "/index.php", "1"},
		"hang":   {"/hang?a=%2F&b=c%20d", "/dump.php", "2"},
	} {
		t.Run(id, func(t *testing.T) {
			post(t, c.target, id)
			testkit.Eventually(t, "it counts as delivered", func() bool {
				state, _ := only(g, id)
				return state == "delivered"
			})
			text, err := os.ReadFile(filepath.Join(dir, id+".json"))
			if err != nil {
				t.Fatal(err)
			}
			var got dumped
			if err := json.Unmarshal(text, &got); err != nil {
				t.Fatal(err)
			}
			if got.Body != base64.StdEncoding.EncodeToString(body) {
				t.Error("php://input is not what was sent")
			}
			for name, want := range map[string]string{
				"REQUEST_METHOD": "POST", "REQUEST_URI": c.target, "QUERY_STRING": "a=%2F&b=c%20d", "SCRIPT_NAME": c.script,
				"SCRIPT_FILENAME": dir + c.script, "DOCUMENT_ROOT": dir, "HTTPS": "on", "REQUEST_SCHEME": "https",
				"SERVER_NAME": "hooks.example", "HTTP_HOST": "hooks.example", "REMOTE_ADDR": "127.0.0.1",
				"CONTENT_TYPE": "application/json", "CONTENT_LENGTH": "25600", "HTTP_X_GITHUB_EVENT": "push",
				"HTTP_X_FORWARDED_PROTO": "https", "HTTP_X_FORWARDED_FOR": "127.0.0.1", "HTTP_WEBHOOK_ATTEMPT": c.attempt,
			} {
				if got.Server[name] != want {
					t.Errorf("%s is %v, want %q", name, got.Server[name], want)
				}
			}
		})
	}
	if _, attempts := only(g, "hang"); len(attempts) != 2 || !strings.Contains(attempts[0].Error, "timeout") {
		t.Errorf("the script that hung: %+v", attempts)
	}
	if strings.Contains(g.Log(), "goes on after the end of its attempt") {
		t.Error("PHP was waited for longer than the timeout of its destination")
	}
	post(t, "/stuck/hang", "stuck")
	testkit.Eventually(t, "the script hangs", func() bool {
		_, err := os.Stat(filepath.Join(dir, "stuck.began"))
		return err == nil
	})
	g.Stop() // it does not wait for PHP
}
