// Package packaged tests what a release consists of: the image, the service,
// the package and the manifests. It is a module of its own, so that nobody else
// downloads the parsers of Kubernetes and Docker.
package packaged

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// root is the repository, seen from here.
const root = "../.."

// stopping is what an exit takes beyond grace_period: running deliveries get 4
// seconds, and the store is closed.
const stopping = 4*time.Second + 5*time.Second

// binary is the gateway, with the versions of the repository's own go.mod.
var binary string

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "webhooks-packaged")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if binary = os.Getenv("WEBHOOKS_BINARY"); binary != "" {
		return m.Run() // built from these sources, for a run over all modules
	}
	binary = filepath.Join(dir, "caddy-webhooks")
	out, err := exec.Command("go", "build", "-C", root, "-o", binary, "./cmd/caddy").CombinedOutput()
	if err != nil {
		panic(string(out))
	}
	return m.Run()
}

// read gives a file of the repository.
func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// write gives the path of a new file in a directory of the test's own.
func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// caddy runs the gateway's binary to its end. Nothing of the machine's own
// environment reaches it.
func caddy(t *testing.T, env []string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary, args...)
	cmd.Env = append([]string{"HOME=" + t.TempDir(), "XDG_DATA_HOME=" + t.TempDir()}, env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// validate adapts and provisions a Caddyfile as the gateway does.
func validate(t *testing.T, caddyfile string, env ...string) error {
	t.Helper()
	out, err := caddy(t, env, "validate", "--config", write(t, "Caddyfile", caddyfile))
	if err != nil {
		t.Log(out)
	}
	return err
}

// config is the part of Caddy's configuration that the tests look at.
type config struct {
	Apps struct {
		HTTP struct {
			GracePeriod time.Duration `json:"grace_period"`
		}
		Webhooks struct {
			Store struct{ Path string }
		}
	}
}

// adapt gives the configuration that a Caddyfile makes.
func adapt(t *testing.T, caddyfile string) config {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary, "adapt", "--config", write(t, "Caddyfile", caddyfile))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	if strings.Contains(stderr.String(), "not formatted") {
		t.Error("caddy fmt would write it in another way")
	}
	var c config
	if err := json.Unmarshal(out, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// below says whether a path lies in a directory, or is it.
func below(path, dir string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && filepath.IsLocal(rel)
}

// has tells whether a tool is on this machine. In CI all of them must be.
func has(t *testing.T, tool string) bool {
	t.Helper()
	_, err := exec.LookPath(tool)
	if err != nil && os.Getenv("CI") != "" {
		t.Fatalf("%s is not installed; in CI it must be", tool)
	}
	return err == nil
}
