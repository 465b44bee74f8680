package packaged

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	core "k8s.io/api/core/v1"
)

// short gives a directory for sockets, whose paths may have 104 bytes.
func short(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "p") //nolint:usetesting // the test's name would be part of it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// notices listens as a service manager does, and gives what it is told.
func notices(t *testing.T) (path string, next func() string) {
	t.Helper()
	path = filepath.Join(short(t), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return path, func() string {
		b := make([]byte, 1024)
		n, err := l.Read(b)
		if err != nil {
			return err.Error()
		}
		return string(b[:n])
	}
}

// told insists on the next notices. Caddy announces its first configuration as
// a reload, too.
func told(t *testing.T, next func() string, want ...string) {
	t.Helper()
	for _, w := range want {
		if got := next(); got != w {
			t.Fatalf("the service manager is told %q, want %q", got, w)
		}
	}
}

// serve runs the gateway with the default Caddyfile until the test ends, and
// gives its admin endpoint and the directory that it was told to store below.
func serve(t *testing.T) (admin, data string, next func() string, cmd *exec.Cmd) {
	t.Helper()
	data = t.TempDir()
	admin = "unix/" + filepath.Join(short(t), "admin")
	text := strings.Replace(read(t, "packaging/Caddyfile"), "{\n", "{\n\tadmin "+admin+"\n", 1)
	socket, next := notices(t)
	cmd = exec.CommandContext(t.Context(), binary, "run", "--config", write(t, "Caddyfile", text))
	cmd.Env = []string{"HOME=" + t.TempDir(), "XDG_DATA_HOME=" + data, "XDG_CONFIG_HOME=" + data + "/config", "NOTIFY_SOCKET=" + socket}
	var log bytes.Buffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	})
	return admin, data, next, cmd
}

func TestTheServiceManagerIsToldWhenTheStoreIsOpenAndWhenItStops(t *testing.T) {
	t.Parallel()
	admin, data, next, cmd := serve(t)
	told(t, next, "RELOADING=1", "READY=1")
	if _, err := os.Stat(filepath.Join(data, "caddy", "webhooks", "journal")); err != nil {
		t.Errorf("it is ready, and stores nothing below XDG_DATA_HOME: %v", err)
	}
	reload := exec.CommandContext(t.Context(), binary, "reload", "--address", admin, "--force", "--config", cmd.Args[3])
	if out, err := reload.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	told(t, next, "RELOADING=1", "READY=1")
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	told(t, next, "STOPPING=1")
	if err := cmd.Wait(); err != nil {
		t.Errorf("SIGTERM ends it with %v", err)
	}
}

// probes lists the commands that ask the gateway how it is, by where they stand.
func probes(t *testing.T) map[string][]string {
	t.Helper()
	commands := make(map[string][]string)
	for _, c := range image[*instructions.HealthCheckCommand](t) {
		if c.Health.Test[0] != "CMD" {
			t.Errorf("HEALTHCHECK wants a shell, the image has none: %q", c.Health.Test)
		}
		commands["Dockerfile"] = c.Health.Test[1:]
	}
	for name, m := range manifests(t) {
		for kind, probe := range map[string]*core.Probe{"startup": m.gateway.StartupProbe, "liveness": m.gateway.LivenessProbe} {
			if probe == nil || probe.Exec == nil {
				t.Fatalf("%s: the %s probe runs no command", name, kind)
			}
			commands[name+" "+kind] = probe.Exec.Command
		}
	}
	return commands
}

func TestEveryProbeFindsTheGatewayHealthyAndThenGone(t *testing.T) {
	t.Parallel()
	admin, _, next, cmd := serve(t)
	told(t, next, "RELOADING=1", "READY=1")
	commands := probes(t)
	if len(commands) != 5 {
		t.Errorf("%d probes, want 5", len(commands))
	}
	ask := func(command []string) (string, error) {
		if filepath.Base(command[0]) != "caddy-webhooks" {
			return "", fmt.Errorf("the image has no %s", command[0])
		}
		return caddy(t, nil, append(slices.Clone(command[1:]), "--address", admin)...)
	}
	for where, command := range commands {
		if out, err := ask(command); err != nil || out != "ok\n" {
			t.Errorf("%s: %v %q", where, err, out)
		}
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	for where, command := range commands {
		if out, err := ask(command); err == nil {
			t.Errorf("%s: nothing runs, and it says %q", where, out)
		}
	}
}
