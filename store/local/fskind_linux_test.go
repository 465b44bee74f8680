package local_test

import (
	"bytes"
	"log/slog"
	"os"
	"strings"
	"testing"
)

func TestAStoreInMemoryIsWarnedOf(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("/dev/shm", "store") //nolint:usetesting // it must lie in memory
	if err != nil {
		t.Skip("there is no file system in memory here")
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	for _, c := range []struct {
		dir    string
		warned bool
	}{{dir, true}, {t.TempDir(), false}} {
		var log bytes.Buffer
		o := small(t, c.dir)
		o.Logger = slog.New(slog.NewTextHandler(&log, nil))
		if err := open(t, o).Close(); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(log.String(), "a restart of the machine loses every event"); got != c.warned {
			t.Errorf("%s: warned is %v, want %v:\n%s", c.dir, got, c.warned, log.String())
		}
	}
}
