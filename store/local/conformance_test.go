package local_test

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/caddy-webhooks/caddy-webhooks/store"
	"github.com/caddy-webhooks/caddy-webhooks/store/local"
	"github.com/caddy-webhooks/caddy-webhooks/store/storetest"
)

// stores knows with which options each store was opened, so that it can be
// opened again.
type stores struct {
	mu      sync.Mutex
	options map[store.Store]local.Options
}

func (h *stores) open(t *testing.T, o local.Options) store.Store {
	t.Helper()
	s, err := local.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	h.mu.Lock()
	defer h.mu.Unlock()
	h.options[s] = o
	return s
}

// harness opens stores in directories of their own; between says what becomes
// of the files while the store is closed.
func harness(between func(dir string) error) storetest.Harness {
	h := &stores{options: map[store.Store]local.Options{}}
	return storetest.Harness{
		Open: func(t *testing.T, o storetest.Options) store.Store {
			t.Helper()
			return h.open(t, local.Options{
				Dir: fastDir(t), FirstSegment: 256 << 10, MaxSegment: 256 << 10, Now: o.Now,
				Limits: store.Limits{MinFree: 1, MaxBacklog: o.MaxBacklog},
			})
		},
		Reopen: func(t *testing.T, s store.Store) store.Store {
			t.Helper()
			h.mu.Lock()
			o := h.options[s]
			delete(h.options, s)
			h.mu.Unlock()
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if err := between(o.Dir); err != nil {
				t.Fatal(err)
			}
			return h.open(t, o)
		},
	}
}

// fastDir is in memory where the system has such a place: the suite opens
// stores a thousand times, and waiting for a real disk adds nothing to it. That
// syncs are not lied about is what the model tests.
func fastDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "conformance") //nolint:usetesting // t.TempDir is on a disk
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func nothing(string) error { return nil }

func deleteIndex(dir string) error {
	return errors.Join(os.RemoveAll(filepath.Join(dir, "index")), os.RemoveAll(filepath.Join(dir, "checkpoint.json")))
}

func TestConformance(t *testing.T) {
	t.Parallel()
	storetest.Run(t, harness(nothing))
}

// unwatched leaves a run of the suite to the time without the race detector: the
// same operations are watched once already, and so are reopenings.
func unwatched(t *testing.T) {
	t.Helper()
	if raced {
		t.Skip("it is run without the race detector")
	}
}

func TestConformanceReopenedBetweenOperations(t *testing.T) {
	t.Parallel()
	unwatched(t)
	h := harness(nothing)
	h.Always = true
	storetest.Run(t, h)
}

func TestConformanceWithTheIndexDeletedBetweenOperations(t *testing.T) {
	t.Parallel()
	unwatched(t)
	h := harness(deleteIndex)
	h.Always = true
	storetest.Run(t, h)
}
