package local_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/store"
	"github.com/caddy-webhooks/caddy-webhooks/store/local"
)

// small options make a store that opens in milliseconds.
func small(t testing.TB, dir string) local.Options {
	t.Helper()
	return local.Options{
		Dir: dir, FirstSegment: 1 << 20, MaxSegment: 1 << 20, Limits: store.Limits{MinFree: 1},
		Logger: slog.New(slog.NewTextHandler(testWriter{t}, nil)),
	}
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(b []byte) (int, error) {
	w.t.Helper()
	w.t.Log(string(bytes.TrimSpace(b)))
	return len(b), nil
}

func open(t testing.TB, o local.Options) *local.Store {
	t.Helper()
	s, err := local.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	return s
}

func admission(id string, body string) store.Admission {
	e := &event.Event{
		Source: "shop", Provider: "github", ProviderID: id, Type: "push", Received: time.Now(), Method: "POST",
		URI: "/github", OriginalURI: "/github", Proto: "HTTP/1.1", Host: "example.com",
		Header: http.Header{"X-Multi": {"a", "b"}}, Body: []byte(body),
	}
	var key [32]byte
	copy(key[:], id)
	return store.Admission{Event: e, Claim: &store.Claim{Key: key, Digest: uint64(len(body)), Window: time.Hour}, Owed: []store.Owed{{Destination: "default"}}}
}

var shop = event.Destination{Source: "shop", Name: "default"}

func mustAccept(t testing.TB, s *store.Store, id string) store.Receipt {
	t.Helper()
	r, err := (*s).Accept(t.Context(), admission(id, "body of "+id))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func leaseAll(t testing.TB, s store.Store) []store.Lease {
	t.Helper()
	now := time.Now()
	leases, _, err := s.Lease(t.Context(), shop, store.LeaseRequest{Now: now, Until: now.Add(time.Hour), Max: 1 << 20, MaxBytes: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	return leases
}

func settle(t testing.TB, s store.Store, l store.Lease, state event.State) {
	t.Helper()
	err := s.Settle(l, store.Settlement{
		Attempt: event.Attempt{Destination: l.Destination.Name, Number: l.Attempt, At: time.Now(), Status: 200},
		State:   state, Next: time.Now(),
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestAnEventSurvivesEveryKindOfReopening(t *testing.T) {
	t.Parallel()
	for name, between := range map[string]func(dir string) error{
		"closed and opened": func(string) error { return nil },
		"index deleted":     func(dir string) error { return os.RemoveAll(filepath.Join(dir, "index")) },
		"checkpoint deleted": func(dir string) error {
			return os.Remove(filepath.Join(dir, "checkpoint.json"))
		},
		"checkpoint damaged": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "checkpoint.json"), []byte("{"), 0o600)
		},
		"index and checkpoint deleted": func(dir string) error {
			return errors.Join(os.RemoveAll(filepath.Join(dir, "index")), os.Remove(filepath.Join(dir, "checkpoint.json")))
		},
		"index damaged": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "index", "MANIFEST"), []byte("nonsense"), 0o600)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			var s store.Store = open(t, small(t, dir))
			first := mustAccept(t, &s, "one")
			done := mustAccept(t, &s, "two")
			for _, l := range leaseAll(t, s) {
				if l.Event.ID == done.ID {
					settle(t, s, l, event.Delivered)
				}
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if err := between(dir); err != nil {
				t.Fatal(err)
			}
			s = open(t, small(t, dir))
			if r := mustAccept(t, &s, "one"); r.Result != store.Duplicate || r.ID != first.ID {
				t.Errorf("repeat of one: %v %v, want duplicate of %v", r.Result, r.ID, first.ID)
			}
			if r := mustAccept(t, &s, "two"); r.Result != store.Duplicate || r.ID != done.ID {
				t.Errorf("repeat of two: %v %v, want duplicate of %v", r.Result, r.ID, done.ID)
			}
			leases := leaseAll(t, s)
			if len(leases) != 1 || leases[0].Event.ID != first.ID || string(leases[0].Event.Body) != "body of one" {
				t.Fatalf("after reopening %d deliveries are due, want only %v: %+v", len(leases), first.ID, leases)
			}
			rec, err := s.Get(t.Context(), done.ID)
			if err != nil || rec.Deliveries[0].State != event.Delivered || len(rec.Attempts) != 1 {
				t.Errorf("two: %+v, %v; want delivered with one attempt", rec, err)
			}
		})
	}
}

func TestAHundredConcurrentRepeatsAreOneEvent(t *testing.T) {
	t.Parallel()
	s := open(t, small(t, t.TempDir()))
	var wg sync.WaitGroup
	receipts := make([]store.Receipt, 100)
	errs := make([]error, 100)
	for i := range receipts {
		wg.Go(func() { receipts[i], errs[i] = s.Accept(context.Background(), admission("same", "body")) })
	}
	wg.Wait()
	accepted := 0
	for i, r := range receipts {
		if errs[i] != nil {
			t.Fatal(errs[i])
		}
		if r.Result == store.Accepted {
			accepted++
		}
		if r.ID != receipts[0].ID || r.ID.IsZero() {
			t.Errorf("receipt %d names %v, another %v", i, r.ID, receipts[0].ID)
		}
	}
	if accepted != 1 {
		t.Errorf("%d of 100 were accepted, want 1", accepted)
	}
	if n := len(leaseAll(t, s)); n != 1 {
		t.Errorf("%d deliveries are due, want 1", n)
	}
}

func TestASecondProcessIsToldWhoHasTheDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	open(t, small(t, dir))
	_, err := local.Open(small(t, dir))
	if !errors.Is(err, local.ErrLocked) || !bytes.Contains([]byte(err.Error()), fmt.Append(nil, os.Getpid())) {
		t.Errorf("second opening: %v; want ErrLocked with PID %d", err, os.Getpid())
	}
}

func TestAnOlderCopyOfTheIndexIsRecognised(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var s store.Store = open(t, small(t, dir))
	mustAccept(t, &s, "one")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	older := t.TempDir()
	if err := os.CopyFS(filepath.Join(older, "index"), os.DirFS(filepath.Join(dir, "index"))); err != nil {
		t.Fatal(err)
	}
	s = open(t, small(t, dir))
	second := mustAccept(t, &s, "two")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	index := filepath.Join(dir, "index")
	if err := errors.Join(os.RemoveAll(index), os.CopyFS(index, os.DirFS(filepath.Join(older, "index")))); err != nil {
		t.Fatal(err)
	}
	s = open(t, small(t, dir))
	if r := mustAccept(t, &s, "two"); r.Result != store.Duplicate || r.ID != second.ID {
		t.Errorf("repeat of two: %v of %v, want a duplicate of %v", r.Result, r.ID, second.ID)
	}
}

func TestAfterARestartOfTheMachineTheIndexIsRebuilt(t *testing.T) {
	t.Parallel()
	o := small(t, t.TempDir())
	boot := "first"
	o.BootID = func() string { return boot }
	var log bytes.Buffer
	o.Logger = slog.New(slog.NewTextHandler(&log, nil))
	var s store.Store = open(t, o)
	first := mustAccept(t, &s, "one")
	// The checkpoint of a running store is not clean; a copy of the directory is
	// what a power cut leaves.
	var cut string
	var err error
	for range 20 { // a segment that is just being made may vanish under the copy
		cut = filepath.Join(t.TempDir(), "store")
		if err = os.CopyFS(cut, os.DirFS(o.Dir)); err == nil {
			break
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	o.Dir, boot = cut, "second"
	s = open(t, o)
	if r := mustAccept(t, &s, "one"); r.Result != store.Duplicate || r.ID != first.ID {
		t.Errorf("repeat: %v of %v, want a duplicate of %v", r.Result, r.ID, first.ID)
	}
	if !bytes.Contains(log.Bytes(), []byte("index_rebuilt=true")) {
		t.Errorf("the index was not rebuilt:\n%s", log.String())
	}
}
