// Package testkit starts the real binary, with a real application behind it,
// and sends it signed webhooks, for tests that kill, reload and break things.
// Everything listens on loopback, on ports of its own, and ends with its test.
package testkit

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Secret is the GitHub secret that [Post] signs with; the environment of every
// [Gateway] has it as HOOK_SECRET.
const Secret = "It's a Secret to Everybody"

// patience bounds every wait for something that must happen.
const patience = 30 * time.Second

// prebuilt is the variable with the path of a binary that was built from these
// sources, for a run over all packages: each would build it anew.
const prebuilt = "WEBHOOKS_BINARY"

var build = sync.OnceValues(func() (string, error) {
	if path := os.Getenv(prebuilt); path != "" {
		return path, watched(root())
	}
	dir, err := os.MkdirTemp("", "webhooks-testkit")
	if err != nil {
		return "", err
	}
	binary := filepath.Join(dir, "caddy")
	cmd := exec.Command("go", "build", "-o", binary, "./cmd/caddy")
	cmd.Dir = root() // tests of other modules use it too
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("building the binary: %w\n%s", err, out)
	}
	return binary, watched(cmd.Dir)
})

// watched looks at every directory of the sources. `go test` keeps a result for as
// long as what the test has looked at stays as it was; that somebody else compiles
// these files, it cannot know.
func watched(dir string) error {
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() && (entry.Name() == ".git" || entry.Name() == "node_modules") {
			return fs.SkipDir
		}
		return err
	})
}

// root is where the module lies.
func root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..")
}

// Binary builds the program once per test process, and gives its path.
func Binary(t testing.TB) string {
	t.Helper()
	path, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// Cleanup removes what [Binary] built; call it at the end of TestMain.
func Cleanup() {
	if path, err := build(); err == nil && os.Getenv(prebuilt) == "" {
		_ = os.RemoveAll(filepath.Dir(path))
	}
}

// Lacks ends a test that cannot be made for want of something. In CI that is a
// failure: what is skipped there is never tested.
func Lacks(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf("%s is not installed; in CI it must be", what)
	}
	t.Skipf("%s is not installed", what)
}

// Gateway is a running Caddy.
type Gateway struct {
	t testing.TB
	// Dir holds its Caddyfile and its data.
	Dir string
	// Addr is the address for the site: write {$ADDR} into the Caddyfile.
	Addr string
	// Admin is the address of the admin endpoint.
	Admin string
	// Program runs in place of the binary that [Binary] builds; may be empty.
	Program string
	env     []string

	mu  sync.Mutex
	cmd *exec.Cmd
	log bytes.Buffer
}

// New prepares a gateway; Start starts it. In the Caddyfile, {$ADDR} is its
// address, {$ADMIN} its admin endpoint's, {$DIR} its directory, {env.HOOK_SECRET} the secret of [Post].
func New(t testing.TB, env ...string) *Gateway {
	t.Helper()
	g := &Gateway{t: t, Dir: t.TempDir(), Addr: FreeAddr(t), Admin: FreeAddr(t)}
	g.env = append(os.Environ(), "XDG_DATA_HOME="+g.Dir, "XDG_CONFIG_HOME="+g.Dir, "HOME="+g.Dir,
		"ADDR=http://"+g.Addr, "ADMIN="+g.Admin, "DIR="+g.Dir, "HOOK_SECRET="+Secret)
	g.env = append(g.env, env...)
	t.Cleanup(func() {
		g.Kill()
		if t.Failed() {
			t.Logf("log of the gateway:\n%s", tail(g.Log(), 6000))
		}
	})
	return g
}

func (g *Gateway) program() string {
	g.t.Helper()
	if g.Program != "" {
		return g.Program
	}
	return Binary(g.t)
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }

// FreeAddr gives a loopback address that nobody listens on just now.
func FreeAddr(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// Log is what the gateway has written so far.
func (g *Gateway) Log() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.log.String()
}

// Write takes the gateway's log.
func (g *Gateway) Write(b []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.log.Write(b)
}

// config writes the Caddyfile, with our admin address in its global options.
func (g *Gateway) config(caddyfile string) string {
	g.t.Helper()
	global := fmt.Sprintf("\tadmin %s\n\tpersist_config off\n\tauto_https off\n\tdefault_bind 127.0.0.1\n", g.Admin)
	text := strings.TrimSpace(caddyfile)
	if rest, ok := strings.CutPrefix(text, "{\n"); ok {
		text = "{\n" + global + rest
	} else {
		text = "{\n" + global + "}\n" + text
	}
	path := filepath.Join(g.Dir, "Caddyfile")
	if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
		g.t.Fatal(err)
	}
	return path
}

// Start starts Caddy and waits until it serves.
func (g *Gateway) Start(caddyfile string) *Gateway {
	g.t.Helper()
	path := g.config(caddyfile)
	cmd := exec.Command(g.program(), "run", "--config", path, "--adapter", "caddyfile")
	cmd.Env, cmd.Stdout, cmd.Stderr, cmd.Dir = g.env, g, g, g.Dir
	if err := cmd.Start(); err != nil {
		g.t.Fatal(err)
	}
	g.mu.Lock()
	g.cmd = cmd
	g.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	Eventually(g.t, "the gateway serves", func() bool {
		select {
		case <-ended:
			g.t.Fatalf("the gateway ended:\n%s", tail(g.Log(), 4000))
		default:
		}
		return g.serves() && (!strings.Contains(caddyfile, "webhooks") || g.open())
	})
	return g
}

func (g *Gateway) serves() bool {
	for _, addr := range []string{g.Admin, g.Addr} {
		c, err := net.DialTimeout("tcp", addr, time.Second)
		if err != nil {
			return false
		}
		_ = c.Close()
	}
	return true
}

// open tells whether the store is open: Caddy may serve a moment before.
func (g *Gateway) open() bool {
	resp, err := http.Get("http://" + g.Admin + "/webhooks/sources") //nolint:noctx // bounded by the test
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// Run runs the binary with arguments in the gateway's environment, and gives
// what it printed.
func (g *Gateway) Run(args ...string) (string, error) {
	g.t.Helper()
	out, err := g.Command(args...).CombinedOutput()
	return string(out), err
}

// Command is the binary with arguments in the gateway's environment, not started.
func (g *Gateway) Command(args ...string) *exec.Cmd {
	g.t.Helper()
	cmd := exec.Command(g.program(), args...)
	cmd.Env, cmd.Dir = g.env, g.Dir
	return cmd
}

// Reload gives the running Caddy another Caddyfile; the error is Caddy's.
func (g *Gateway) Reload(caddyfile string) error {
	g.t.Helper()
	out, err := g.Run("reload", "--config", g.config(caddyfile), "--adapter", "caddyfile", "--address", g.Admin, "--force")
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	// The old configuration's server closes its idle connections. A request that
	// goes out on one at that moment ends with EOF, and a POST is not sent again.
	client.CloseIdleConnections()
	return nil
}

// PID is the running process's; 0 if there is none.
func (g *Gateway) PID() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.cmd == nil {
		return 0
	}
	return g.cmd.Process.Pid
}

// Kill is kill -9. The gateway can be started again.
func (g *Gateway) Kill() { g.end(syscall.SIGKILL) }

// Stop is SIGTERM, and waits for the end.
func (g *Gateway) Stop() { g.end(syscall.SIGTERM) }

func (g *Gateway) end(s syscall.Signal) {
	g.mu.Lock()
	cmd := g.cmd
	g.cmd = nil
	g.mu.Unlock()
	if cmd == nil {
		return
	}
	_ = cmd.Process.Signal(s)
	Eventually(g.t, "the gateway ends", func() bool { return syscall.Kill(cmd.Process.Pid, 0) != nil })
}

// Get reads JSON from the admin API.
func (g *Gateway) Get(path string, v any) {
	g.t.Helper()
	resp, err := http.Get("http://" + g.Admin + path) //nolint:noctx // bounded by the test
	if err != nil {
		g.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode == http.StatusOK {
		err = json.Unmarshal(text, v)
	}
	if err != nil || resp.StatusCode != http.StatusOK {
		g.t.Fatalf("%s: %d %v %s", path, resp.StatusCode, err, text)
	}
}

// Count gives the number of deliveries in a state, over all destinations.
func (g *Gateway) Count(state string) int {
	g.t.Helper()
	var v struct {
		Sources []struct{ Destinations []map[string]any }
	}
	g.Get("/webhooks/sources", &v)
	n := 0
	for _, s := range v.Sources {
		for _, d := range s.Destinations {
			if f, ok := d[state].(float64); ok {
				n += int(f)
			}
		}
	}
	return n
}

// Eventually waits until something is so, and fails if it never is.
func Eventually(t testing.TB, what string, so func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !so() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("it did not happen within %v: %s", patience, what)
		}
	}
}

// Fetch gets what is at an address.
func Fetch(t testing.TB, url string) (status int, body string) {
	t.Helper()
	resp, err := http.Get(url) //nolint:noctx // bounded by the test, and its own server
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was read
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}
