package packaged

import (
	"os/exec"
	"strings"
	"testing"
)

// debianVersion asks release.sh's own function.
func debianVersion(t *testing.T, version string) string {
	t.Helper()
	_, body, found := strings.Cut(read(t, "packaging/release.sh"), "\ndebian_version() {\n")
	body, _, end := strings.Cut(body, "\n}\n")
	if !found || !end {
		t.Fatal("release.sh has no debian_version")
	}
	script := "set -euo pipefail\nversion=$1\ndebian_version() {\n" + body + "\n}\ndebian_version"
	out, err := exec.CommandContext(t.Context(), "bash", "-c", script, "bash", version).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

func TestAPackageIsNewerThanThoseBeforeIt(t *testing.T) {
	t.Parallel()
	// From the oldest to the newest.
	versions := []struct{ git, debian string }{
		{"abc1234", "0~abc1234"},
		{"v0.1.0-rc.1", "0.1.0~rc.1"},
		{"v0.1.0-rc.1-5-gabc1234", "0.1.0~rc.1+5.gabc1234"},
		{"v0.1.0-rc.2", "0.1.0~rc.2"},
		{"v0.1.0", "0.1.0"},
		{"v0.1.0-5-gabc1234", "0.1.0+5.gabc1234"},
		{"v0.1.0-5-gabc1234-dirty", "0.1.0+5.gabc1234.dirty"},
		{"v0.1.0-16-g0123456", "0.1.0+16.g0123456"},
		{"v0.1.0-dirty", "0.1.0+dirty"},
		{"v0.1.1", "0.1.1"},
	}
	for i, v := range versions {
		if got := debianVersion(t, v.git); got != v.debian {
			t.Errorf("%s becomes %s, want %s", v.git, got, v.debian)
		}
		if i == 0 || !has(t, "dpkg") {
			continue
		}
		before := versions[i-1].debian
		if err := exec.CommandContext(t.Context(), "dpkg", "--compare-versions", before, "lt", v.debian).Run(); err != nil {
			t.Errorf("to dpkg %s is not older than %s", before, v.debian)
		}
	}
}
