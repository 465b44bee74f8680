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

// running is the gateway with the default Caddyfile, until the test ends.
type running struct {
	admin   string // its admin endpoint
	data    string // what it is told to store below
	config  string // the Caddyfile
	process *os.Process

	notices *net.UnixConn
	ended   chan struct{} // closed when the process has ended
}

// serve starts it as a service manager does.
func serve(t *testing.T) *running {
	t.Helper()
	r := &running{data: t.TempDir(), ended: make(chan struct{})}
	r.admin = "unix/" + filepath.Join(short(t), "admin")
	r.config = write(t, "Caddyfile", strings.Replace(read(t, "packaging/Caddyfile"), "{\n", "{\n\tadmin "+r.admin+"\n", 1))
	socket := &net.UnixAddr{Name: filepath.Join(short(t), "notify"), Net: "unixgram"}
	var err error
	if r.notices, err = net.ListenUnixgram("unixgram", socket); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), binary, "run", "--config", r.config)
	cmd.Env = []string{"HOME=" + t.TempDir(), "XDG_DATA_HOME=" + r.data, "XDG_CONFIG_HOME=" + r.data + "/config", "NOTIFY_SOCKET=" + socket.Name}
	var log bytes.Buffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r.process = cmd.Process
	go func() {
		defer close(r.ended)
		_ = cmd.Wait()
		// The last notice, so that nobody waits for one that does not come.
		if c, err := net.DialUnix("unixgram", nil, socket); err == nil {
			_, _ = c.Write([]byte(cmd.ProcessState.String()))
			_ = c.Close()
		}
	}()
	t.Cleanup(func() {
		r.kill()
		_ = r.notices.Close()
		if t.Failed() {
			t.Log(log.String())
		}
	})
	return r
}

func (r *running) kill() {
	_ = r.process.Kill()
	<-r.ended
}

// tells insists on the next notices to the service manager; the last one is
// how the process ended. Caddy announces its first configuration as a reload,
// too.
func (r *running) tells(t *testing.T, want ...string) {
	t.Helper()
	for _, w := range want {
		b := make([]byte, 1024)
		n, err := r.notices.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(b[:n]); got != w {
			t.Fatalf("the service manager is told %q, want %q", got, w)
		}
	}
}

func TestTheServiceManagerIsToldWhenTheStoreIsOpenAndWhenItStops(t *testing.T) {
	t.Parallel()
	r := serve(t)
	r.tells(t, "RELOADING=1", "READY=1")
	if _, err := os.Stat(filepath.Join(r.data, "caddy", "webhooks", "journal")); err != nil {
		t.Errorf("it is ready, and stores nothing below XDG_DATA_HOME: %v", err)
	}
	reload := exec.CommandContext(t.Context(), binary, "reload", "--address", r.admin, "--force", "--config", r.config)
	if out, err := reload.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	r.tells(t, "RELOADING=1", "READY=1")
	if err := r.process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	r.tells(t, "STOPPING=1", "exit status 0")
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
	r := serve(t)
	r.tells(t, "RELOADING=1", "READY=1")
	commands := probes(t)
	if len(commands) != 5 {
		t.Errorf("%d probes, want 5", len(commands))
	}
	ask := func(command []string) (string, error) {
		if filepath.Base(command[0]) != "caddy-webhooks" {
			return "", fmt.Errorf("the image has no %s", command[0])
		}
		return caddy(t, nil, append(slices.Clone(command[1:]), "--address", r.admin)...)
	}
	for where, command := range commands {
		if out, err := ask(command); err != nil || out != "ok\n" {
			t.Errorf("%s: %v %q", where, err, out)
		}
	}
	r.kill()
	for where, command := range commands {
		if out, err := ask(command); err == nil {
			t.Errorf("%s: nothing runs, and it says %q", where, out)
		}
	}
}
