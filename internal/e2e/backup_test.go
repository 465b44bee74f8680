package e2e

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/caddy-webhooks/caddy-webhooks/internal/testkit"
)

// copied copies a store, or a part of it, as an operator would.
func copied(t *testing.T, from, to, part string) {
	t.Helper()
	target := filepath.Join(to, "store")
	if err := os.MkdirAll(target, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("cp", "-a", filepath.Join(from, "store")+"/"+part, target).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v\n%s", err, out)
	}
}

// restored wants every event delivered by a gateway over a copy, and a provider's
// repeat of each recognised there.
func restored(t *testing.T, g *testkit.Gateway, app *testkit.App, ids map[string]bool) {
	t.Helper()
	g.Start(one("shop", "default", app.Addr(), ""))
	runs(t, g, "resume", "shop")
	testkit.Eventually(t, "everything in the backup is delivered", func() bool {
		times := app.Times()
		for id := range ids {
			if times[id] == 0 {
				return false
			}
		}
		return true
	})
	for id := range ids {
		status, h, err := testkit.Post("http://"+g.Addr+"/hook", testkit.Secret, id, []byte(`{}`))
		if err != nil || status != 200 || h.Get("Webhook-Status") != "duplicate" {
			t.Fatalf("a repeat of %s: %d %q %v", id, status, h.Get("Webhook-Status"), err)
		}
	}
	for id, n := range app.Times() {
		if n != 1 {
			t.Errorf("%s was delivered %d times", id, n)
		}
	}
}

// A snapshot shows every file as of one moment, as the copy of a process does that
// stands still meanwhile.
func TestASnapshotUnderLoadHasEverythingThatWasAccepted(t *testing.T) {
	t.Parallel()
	old, app := testkit.New(t), testkit.NewApp(t)
	old.Start(one("shop", "default", testkit.FreeAddr(t), ""))
	runs(t, old, "pause", "shop") // so that no attempt comes between
	l := start("http://"+old.Addr+"/hook", "load", 8)
	testkit.Eventually(t, "events are accepted", func() bool { return l.count() > 300 })
	if err := syscall.Kill(old.PID(), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	l.mu.Lock()
	accepted := maps.Clone(l.accepted)
	l.mu.Unlock()
	young := testkit.New(t)
	copied(t, old.Dir, young.Dir, ".")
	if err := syscall.Kill(old.PID(), syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "the first gateway goes on", func() bool { return l.count() > len(accepted)+100 })
	l.end()
	old.Kill()
	restored(t, young, app, accepted)
}

func TestTheJournalAloneIsABackup(t *testing.T) {
	t.Parallel()
	old, app := testkit.New(t), testkit.NewApp(t)
	old.Start(one("shop", "default", testkit.FreeAddr(t), ""))
	runs(t, old, "pause", "shop") // so that no attempt comes between
	ids := map[string]bool{}
	for _, id := range post(t, old, "e", 20) {
		ids[id] = true
	}
	old.Stop()
	young := testkit.New(t)
	copied(t, old.Dir, young.Dir, "journal")
	restored(t, young, app, ids)
}
