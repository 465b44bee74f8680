package packaged

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-systemd/v22/unit"
)

const service = "packaging/systemd/caddy-webhooks.service"

// settings reads the unit file: section and name to values.
func settings(t *testing.T) map[string][]string {
	t.Helper()
	options, err := unit.DeserializeOptions(strings.NewReader(read(t, service)))
	if err != nil {
		t.Fatal(err)
	}
	s := make(map[string][]string)
	for _, o := range options {
		s[o.Name] = append(s[o.Name], o.Value)
	}
	return s
}

// environment finds a variable among those that the unit sets.
func environment(t *testing.T, name string) string {
	t.Helper()
	for _, e := range settings(t)["Environment"] {
		if value, found := strings.CutPrefix(e, name+"="); found {
			return value
		}
	}
	t.Fatalf("the unit does not set %s", name)
	return ""
}

func TestTheServiceKeepsEventsInItsStateDirectory(t *testing.T) {
	t.Parallel()
	state := filepath.Join("/var/lib", settings(t)["StateDirectory"][0])
	for _, name := range []string{"XDG_DATA_HOME", "XDG_CONFIG_HOME"} {
		if path := environment(t, name); !below(path, state) {
			t.Errorf("%s is %s, outside of %s", name, path, state)
		}
	}
	if path := adapt(t, read(t, "packaging/Caddyfile")).Apps.Webhooks.Store.Path; path != "" {
		t.Errorf("the Caddyfile stores in %s, whatever the unit says", path)
	}
}

func TestTheServiceMayDoNothingBesidesItsWork(t *testing.T) {
	t.Parallel()
	s := settings(t)
	for name, want := range map[string]string{
		"Type":                  "notify",
		"NoNewPrivileges":       "true",
		"ProtectSystem":         "strict",
		"ProtectHome":           "true",
		"AmbientCapabilities":   "CAP_NET_BIND_SERVICE",
		"CapabilityBoundingSet": "CAP_NET_BIND_SERVICE",
		"StateDirectoryMode":    "0700",
		"UMask":                 "0077",

		"RuntimeDirectoryMode":    "0750",
		"LogsDirectoryMode":       "0750",
		"PrivateTmp":              "true",
		"PrivateDevices":          "true",
		"ProtectProc":             "invisible",
		"ProtectClock":            "true",
		"ProtectControlGroups":    "true",
		"ProtectHostname":         "true",
		"ProtectKernelLogs":       "true",
		"ProtectKernelModules":    "true",
		"ProtectKernelTunables":   "true",
		"RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX",
		"RestrictNamespaces":      "true",
		"RestrictRealtime":        "true",
		"RestrictSUIDSGID":        "true",
		"LockPersonality":         "true",
		"MemoryDenyWriteExecute":  "true",
		"RemoveIPC":               "true",
		"SystemCallArchitectures": "native",
		"SystemCallErrorNumber":   "EPERM",
	} {
		if !slices.Equal(s[name], []string{want}) {
			t.Errorf("%s is %q, want %q", name, s[name], want)
		}
	}
	if want := []string{"@system-service", "~@privileged @resources", "@chown"}; !slices.Equal(s["SystemCallFilter"], want) {
		t.Errorf("SystemCallFilter is %q, want %q", s["SystemCallFilter"], want)
	}
	if s["ProcSubset"] != nil {
		t.Error("ProcSubset hides from the store whether the machine was restarted")
	}
	if strings.Contains(s["ExecStart"][0], "--environ") {
		t.Error("--environ logs the secrets")
	}
}

func TestTheServiceHasTimeToStop(t *testing.T) {
	t.Parallel()
	has, err := time.ParseDuration(settings(t)["TimeoutStopSec"][0])
	if err != nil {
		t.Fatal(err)
	}
	if needs := adapt(t, uncomment(t)).Apps.HTTP.GracePeriod + stopping; has < needs {
		t.Errorf("TimeoutStopSec is %v, an exit takes up to %v", has, needs)
	}
}

func TestTheServiceRunsAsTheUserThatIsMade(t *testing.T) {
	t.Parallel()
	user := settings(t)["User"][0]
	if !strings.Contains(read(t, "packaging/systemd/sysusers.conf"), "\nu "+user+" - ") {
		t.Errorf("sysusers.conf does not make %s", user)
	}
	for line := range strings.Lines(read(t, "packaging/systemd/tmpfiles.conf")) {
		if fields := strings.Fields(line); fields[0] != "#" && (len(fields) != 5 || fields[4] != user) {
			t.Errorf("tmpfiles.conf: %q is not for %s", line, user)
		}
	}
}

func TestSystemdTakesTheUnitAndFindsItHardened(t *testing.T) {
	t.Parallel()
	if !has(t, "systemd-analyze") {
		t.Skip("systemd-analyze is not here")
	}
	// The commands need not exist on this machine; those that it runs instead do.
	text := strings.ReplaceAll(read(t, service), "/usr/bin/caddy-webhooks ", binary+" ")
	path := write(t, filepath.Base(service), text)
	out, err := exec.CommandContext(t.Context(), "systemd-analyze", "verify", "--man=no", path).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("verify: %v\n%s", err, out)
	}
	// In tenths: 0 is a service that may do nothing, 100 one that may do all.
	security := exec.CommandContext(t.Context(), "systemd-analyze", "security", "--no-pager", "--offline=true", "--threshold=20", path)
	if out, err := security.CombinedOutput(); err != nil {
		t.Errorf("security: %v\n%s", err, out)
	}
}

func TestThePackageHasWhatTheUnitNames(t *testing.T) {
	t.Parallel()
	s := settings(t)
	script := read(t, "packaging/release.sh")
	command := strings.Fields(s["ExecStart"][0])
	for _, path := range []string{command[0], command[3], strings.TrimPrefix(s["EnvironmentFile"][0], "-")} {
		if !strings.Contains(script, `"$root`+path+`"`) {
			t.Errorf("release.sh does not install %s", path)
		}
	}
	for path := range strings.Lines(read(t, "packaging/debian/conffiles")) {
		if !strings.Contains(script, `"$root`+strings.TrimSpace(path)+`"`) {
			t.Errorf("release.sh does not install the conffile %s", path)
		}
	}
}

func TestTheShellScriptsPassShellcheck(t *testing.T) {
	t.Parallel()
	if !has(t, "shellcheck") {
		t.Skip("shellcheck is not here")
	}
	scripts := []string{"packaging/release.sh", "packaging/debian/postinst", "packaging/debian/prerm", "packaging/debian/postrm", ".ci/run", ".ci/release", "examples/alerts/alert.sh", "examples/alerts/backlog.sh", "examples/alerts/webhook.sh"}
	for _, script := range scripts {
		if info, err := os.Stat(filepath.Join(root, script)); err != nil || info.Mode().Perm()&0o111 == 0 {
			t.Errorf("%s cannot be run: %v", script, err)
			continue
		}
		cmd := exec.CommandContext(t.Context(), "shellcheck", "--severity=warning", script)
		cmd.Dir = root
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", script, err, out)
		}
	}
}
