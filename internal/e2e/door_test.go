package e2e

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/internal/testkit"
)

// site has everything around the webhooks that could answer, rewrite or let a
// request through before it is proven.
func site(app *testkit.App) string {
	return fmt.Sprintf(`{
	webhooks {
		store local {env.DIR}/store
	}
}
{$ADDR} {
	redir /hook /elsewhere
	uri replace /hook /other
	basic_auth /hook* {
		user $2a$14$Zkx19XLiW6VYouLHR5NmfOFU0z2GTNmpkT/5qqR7hx4IjWJPDhjvG
	}
	handle /hook {
		reverse_proxy %[1]s
	}
	handle_path /hook* {
		reverse_proxy %[1]s
	}
	route /hook {
		reverse_proxy %[1]s
	}
	respond /hook "answered by respond" 200
	reverse_proxy %[1]s
	webhooks /hook {
		from github {env.HOOK_SECRET}
		max_body 1KiB
		to %[1]s {
			retry {
				backoff 50ms 500ms
			}
		}
	}
	handle_errors {
		respond "sorry" 200
	}
}`, app.Addr())
}

func TestNothingInTheSiteStandsBeforeTheProof(t *testing.T) {
	t.Parallel()
	app := testkit.NewApp(t)
	g := testkit.New(t).Start(site(app))
	url := "http://" + g.Addr + "/hook"
	for name, c := range map[string]struct {
		secret, path string
		status       int
		word         string
	}{
		"forged":                {"wrong", "", 401, "rejected"},
		"forged with a slash":   {"wrong", "/", 401, "rejected"},
		"forged with a query":   {"wrong", "?a=b", 401, "rejected"},
		"proven":                {testkit.Secret, "", 200, "accepted"},
		"proven with a slash":   {testkit.Secret, "/", 200, "accepted"},
		"proven with a query":   {testkit.Secret, "?a=%zz&b=%2F;c", 200, "accepted"},
		"forged in other case":  {"wrong", "/../HOOK", 401, ""},
		"forged, two slashes":   {"wrong", "/../" + "/hook", 401, ""},
		"forged, escaped slash": {"wrong", "%2F", 401, ""},
	} {
		status, h, err := testkit.Post(url+c.path, c.secret, name, []byte(`{"n":1}`))
		// Without a word: what the matcher misses goes to the site's own basic_auth, which says 401 too.
		if err != nil || status != c.status || c.word != "" && h.Get("Webhook-Status") != c.word {
			t.Errorf("%s: %d %s %v, want %d", name, status, h.Get("Webhook-Status"), err, c.status)
		}
	}
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusMethodNotAllowed || resp.Header.Get("Allow") != "POST" {
		t.Errorf("GET: %d, Allow %q", resp.StatusCode, resp.Header.Get("Allow"))
	}
	testkit.Eventually(t, "the proven ones arrive", func() bool { return len(app.Got()) >= 3 })
	for _, got := range app.Got() {
		if strings.HasPrefix(got.ID(), "forged") {
			t.Errorf("the application got %s %s, which was forged", got.Method, got.URI)
		}
	}
}

func TestA503IsNotMadeAFriendlyPage(t *testing.T) {
	t.Parallel()
	app := testkit.NewApp(t)
	g := testkit.New(t)
	config := strings.Replace(site(app), "webhooks {\n\t\tstore", "webhooks {\n\t\tmax_backlog 1KiB\n\t\tstore", 1)
	app.Answer(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) })
	g.Start(config)
	refused := false
	for i := range 20 {
		status, h, err := testkit.Post("http://"+g.Addr+"/hook", testkit.Secret, fmt.Sprint(i), bytes.Repeat([]byte("x"), 100))
		switch {
		case err != nil:
			t.Fatal(err)
		case status == 503:
			refused = true
			if h.Get("Webhook-Status") != "unavailable" || h.Get("Retry-After") == "" {
				t.Errorf("503 with %v", h)
			}
		case status != 200 || h.Get("Webhook-Status") != "accepted":
			t.Errorf("event %d: %d %v", i, status, h)
		}
	}
	if !refused {
		t.Fatal("the backlog was never full")
	}
	app.Answer(nil)
	testkit.Eventually(t, "the backlog drains", func() bool { return g.Count("pending") == 0 })
	status, h, err := testkit.Post("http://"+g.Addr+"/hook", testkit.Secret, "19", bytes.Repeat([]byte("x"), 100))
	if err != nil || status != 200 || h.Get("Webhook-Status") != "accepted" {
		t.Errorf("the refused event, sent again: %d %s %v, want accepted", status, h.Get("Webhook-Status"), err)
	}
}

// raw sends bytes over a connection of its own, and reads one answer.
func raw(t *testing.T, addr, request string, hangUp bool) (*http.Response, error) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	if half, ok := c.(*net.TCPConn); ok && hangUp {
		_ = half.CloseWrite()
	}
	return http.ReadResponse(bufio.NewReader(c), nil)
}

func signature(body string) string {
	mac := hmac.New(sha256.New, []byte(testkit.Secret))
	_, _ = io.WriteString(mac, body)
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

func TestBodiesAndHeadersAreTakenAsTheyComeOrRefusedCleanly(t *testing.T) {
	t.Parallel()
	app := testkit.NewApp(t)
	g := testkit.New(t)
	_, port, _ := strings.Cut(g.Addr, ":")
	g.Start(strings.Replace(site(app), "{$ADDR} {", "http://hooks.example:"+port+" {", 1))
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write([]byte(`{"packed":true}`))
	_ = z.Close()
	full := strings.Repeat("f", 1024)
	head := func(id, body, more string) string {
		return "POST /hook?b=%zz&%2f HTTP/1.1\r\nHost: hooks.example\r\nX-GitHub-Delivery: " + id +
			"\r\nX-Hub-Signature-256: " + signature(body) + "\r\n" + more
	}
	plain := func(id, body, more string) string {
		return head(id, body, more+fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body))
	}
	chunked := func(id, body string) string {
		return head(id, body, fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(body), body))
	}
	for _, c := range []struct {
		id, request, body string
		status            int
		hangUp            bool
	}{
		{"limit", plain("limit", full, ""), full, 200, false},
		{"over", plain("over", full+"x", ""), "", 413, false},
		{"chunked-limit", chunked("chunked-limit", full), full, 200, false},
		{"chunked-over", chunked("chunked-over", full+"x"), "", 413, false},
		{"empty", plain("empty", "", ""), "", 200, false},
		{"gzip", plain("gzip", packed.String(), "Content-Encoding: gzip\r\nAccept-Encoding: br\r\n"), packed.String(), 200, false},
		{"binary", plain("binary", "\xff\x00\xfe{", ""), "\xff\x00\xfe{", 200, false},
		{"headers", plain("headers", "{}", "X-Multi: b\r\nX-Multi: a\r\nWebhook-Attempt: 99\r\nWebhook-Original-X: y\r\nX-Forwarded-For: 203.0.113.9\r\n"), "{}", 200, false},
		{"broken", head("broken", "whole", "Content-Length: 5\r\n\r\nwho"), "", 408, true},
		{"unsigned", "POST /hook HTTP/1.1\r\nHost: hooks.example\r\nContent-Length: 500000\r\n\r\n", "", 401, false},
	} {
		t.Log(c.id, time.Now().Format("05.000"))
		resp, err := raw(t, g.Addr, c.request, c.hangUp)
		if err != nil || resp.StatusCode != c.status {
			t.Errorf("%s: %v %v, want %d", c.id, resp, err, c.status)
			continue
		}
		if c.status != 200 {
			continue
		}
		testkit.Eventually(t, c.id+" arrives", func() bool { return app.Times()[c.id] > 0 })
		for _, got := range app.Got() {
			if got.ID() == c.id {
				check(t, c.id, got, c.body)
			}
		}
	}
	for _, id := range []string{"over", "chunked-over", "broken", "unsigned"} {
		if app.Times()[id] > 0 {
			t.Errorf("%s reached the application", id)
		}
	}
}

func check(t *testing.T, id string, got testkit.Got, body string) {
	t.Helper()
	if string(got.Body) != body || got.URI != "/hook?b=%zz&%2f" || got.Host != "hooks.example" || got.Method != "POST" {
		t.Errorf("%s arrived as %s %s of %s with %d bytes", id, got.Method, got.URI, got.Host, len(got.Body))
	}
	if got.Header.Get("Webhook-Attempt") != "1" || got.Header.Get("Webhook-Event-Id") == "" || got.Header.Get("Webhook-Received") == "" {
		t.Errorf("%s: our headers are %v", id, got.Header)
	}
	switch id {
	case "gzip":
		if got.Header.Get("Content-Encoding") != "gzip" || got.Header.Get("Accept-Encoding") != "br" {
			t.Errorf("gzip: %v", got.Header)
		}
	case "headers":
		if v := strings.Join(got.Header["X-Multi"], ","); v != "b,a" || got.Header.Get("Webhook-Original-X") != "" {
			t.Errorf("headers: %v", got.Header)
		}
		if xff := got.Header.Get("X-Forwarded-For"); xff != "127.0.0.1" {
			t.Errorf("an untrusted sender's X-Forwarded-For travels on: %q", xff)
		}
	default:
		if v, ok := got.Header["Accept-Encoding"]; ok {
			t.Errorf("%s: an Accept-Encoding %v was added", id, v)
		}
	}
}

func TestAConfigurationThatWouldLeaveTheDoorOpenDoesNotLoad(t *testing.T) {
	t.Parallel()
	g := testkit.New(t, "EMPTY=")
	for name, c := range map[string]struct {
		block, says string
		line        int
	}{
		"unset secret":        {"from github {env.NO_SUCH_VARIABLE}\nto localhost:1", "NO_SUCH_VARIABLE", 3},
		"empty secret":        {"from github {env.EMPTY}\nto localhost:1", "empty", 3},
		"unset second secret": {"to localhost:1\nfrom github {\ntolerance 1m\nsecret {env.HOOK_SECRET} {env.UNSET}\n}", "UNSET", 6},
		"no secret":           {"from github\nto localhost:1", "needs a secret", 3},
		"missing file":        {"from github {file./no/such/file}\nto localhost:1", "/no/such/file", 3},
		"strange placeholder": {"from github {strange.thing}\nto localhost:1", "strange.thing", 3},
		"unknown provider":    {"from gihub {env.HOOK_SECRET}\nto localhost:1", "did you mean github", 3},
		"unknown subdirective": {
			"from github {env.HOOK_SECRET}\nto localhost:1 {\norder_bye {http.request.host}\n}", "order_bye", 5,
		},
		"unknown option":   {"from github {env.HOOK_SECRET} {\nfrobnicate yes\n}\nto localhost:1", "frobnicate", 4},
		"bad option":       {"from hmac {env.HOOK_SECRET} {\nheader X-A\ntimestamp body x\n}\nto localhost:1", "timestamp stands in", 5},
		"no destination":   {"from github {env.HOOK_SECRET}", "to", 2},
		"bad name":         {"name Shop\nfrom github {env.HOOK_SECRET}\nto localhost:1", "a-z", 3},
		"window too short": {"from stripe {env.HOOK_SECRET}\ndedup 5m\nto localhost:1", "twice the tolerance", 4},
		"body too large":   {"from stripe {env.HOOK_SECRET}\nto localhost:1\nmax_body 1GiB", "at most", 5},
		"clash": {
			"from github {env.HOOK_SECRET}\nto localhost:1\n}\nwebhooks /other {\nfrom github {env.HOOK_SECRET}\nto localhost:2", "same name", 2,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := writeCaddyfile(t, "http://127.0.0.1:1 {\nwebhooks /hook {\n"+c.block+"\n}\n}\n")
			out, err := g.Run("validate", "--config", path, "--adapter", "caddyfile")
			out = last(out)
			if err == nil || !strings.Contains(out, c.says) || !strings.Contains(out, fmt.Sprintf("%s:%d", path, c.line)) {
				t.Errorf("validate: %v, want an error with %q and line %d:\n%s", err, c.says, c.line, out)
			}
		})
	}
}

func TestARefusalNamesTheSourceWhoseSecretWasUsed(t *testing.T) {
	t.Parallel()
	app := testkit.NewApp(t)
	g := testkit.New(t, "SHOP_SECRET=of-shop", "OTHER_SECRET=of-other").Start(`{$ADDR} {
	webhooks /hook {
		from github {env.HOOK_SECRET}
		to ` + app.Addr() + `
	}
	webhooks /shop {
		name shop
		from github {env.SHOP_SECRET}
		to ` + app.Addr() + `
	}
	webhooks /open {
		from none
		to ` + app.Addr() + `
	}
}`)
	status, _, err := testkit.Post("http://"+g.Addr+"/hook", "of-shop", "x", []byte("{}"))
	if err != nil || status != http.StatusUnauthorized {
		t.Fatalf("another source's secret: %d %v, want 401", status, err)
	}
	testkit.Eventually(t, "the log names the source", func() bool { return strings.Contains(g.Log(), "this is the secret of source shop") })
}

func last(out string) string {
	lines := strings.Split(strings.TrimSpace(out), "\n")
	return lines[len(lines)-1]
}
