package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-webhooks/caddy-webhooks/internal/testkit"
)

// smallDisk mounts a file system of 48 MiB.
func smallDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", dir).CombinedOutput()
	if err != nil {
		if os.Getenv("CI") != "" && os.Getuid() == 0 {
			t.Fatalf("mounting a small file system: %v %s", err, out)
		}
		t.Skipf("a small file system cannot be mounted (root may): %s", out)
	}
	t.Cleanup(func() { _ = exec.Command("umount", "-l", dir).Run() })
	return dir
}

func onDisk(app *testkit.App, dir string) string {
	return strings.Replace("{\n\twebhooks {\n\t\tstore local DIR/store {\n\t\t\tmin_free 8MiB\n\t\t}\n\t}\n}\n"+simple(app), "DIR", dir, 1)
}

// fill sends events until one is refused, and tells how many were accepted.
func fill(t *testing.T, g *testkit.Gateway, prefix string, most int) (accepted int) {
	t.Helper()
	body := []byte(strings.Repeat("x", 200<<10))
	for i := range most {
		status, h, err := testkit.Post("http://"+g.Addr+"/hook", testkit.Secret, fmt.Sprint(prefix, i), body)
		switch {
		case err != nil:
			t.Fatalf("event %d: %v", i, err)
		case status == 503 && h.Get("Retry-After") != "":
			return accepted
		case status != 200:
			t.Fatalf("event %d: %d", i, status)
		}
		accepted++
	}
	return accepted
}

func TestADiskFilledByOurOwnIntakeRefusesAndRecovers(t *testing.T) {
	t.Parallel()
	dir := smallDisk(t)
	app := testkit.NewApp(t)
	app.Answer(unavailableApp)
	g := testkit.New(t).Start(onDisk(app, dir))
	accepted := fill(t, g, "own", 1000)
	if accepted == 0 || accepted == 1000 {
		t.Fatalf("%d events were accepted on a disk of 48 MiB", accepted)
	}
	t.Logf("%d events of 200 KiB were accepted before the first 503", accepted)
	app.Answer(nil)
	testkit.Eventually(t, "all that was accepted is delivered", func() bool { return len(app.Times()) >= accepted && g.Count("pending") == 0 })
	testkit.Eventually(t, "intake comes back by itself", func() bool { return fill(t, g, "after", 1) == 1 })
}

func TestADiskFilledBySomebodyElseIsSurvived(t *testing.T) {
	t.Parallel()
	dir := smallDisk(t)
	app := testkit.NewApp(t)
	app.Answer(unavailableApp)
	g := testkit.New(t).Start(onDisk(app, dir))
	if n := fill(t, g, "before", 20); n != 20 {
		t.Fatalf("%d of 20 were accepted on an empty disk", n)
	}
	ballast := filepath.Join(dir, "ballast")
	for _, size := range []string{"1M", "1k"} { // to the last byte
		_ = exec.Command("dd", "if=/dev/zero", "of="+ballast, "oflag=append", "conv=notrunc", "bs="+size).Run() // it ends when the disk is full
	}
	tries := 0
	testkit.Eventually(t, "intake is refused", func() bool { tries++; return fill(t, g, fmt.Sprint("full", tries, "-"), 1) == 0 })
	app.Answer(nil)
	testkit.Eventually(t, "deliveries go on all the same", func() bool { return len(app.Times()) >= 20 && g.Count("pending") == 0 })
	for _, how := range []string{"stopped", "killed", "stopped"} {
		if how == "killed" {
			g.Kill()
		} else {
			g.Stop()
		}
		g.Start(onDisk(app, dir))
		if n := g.Count("delivered"); n < 20 {
			t.Errorf("%s and started on the full disk, %d of 20 events are known", how, n)
		}
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "intake comes back by itself", func() bool { return fill(t, g, "again", 1) == 1 })
	testkit.Eventually(t, "everything is delivered", func() bool { return g.Count("pending") == 0 })
	g.Kill()
	g.Start(onDisk(app, dir))
	testkit.Eventually(t, "nothing is pending after a restart", func() bool { return g.Count("pending") == 0 })
	for _, word := range []string{"SIGBUS", "fatal error", "panic:"} {
		if strings.Contains(g.Log(), word) {
			t.Errorf("the process has died of the full disk: its log has %q", word)
		}
	}
}
