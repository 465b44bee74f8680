package local

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/store"
	"github.com/caddy-webhooks/caddy-webhooks/store/local/journal"
	"github.com/caddy-webhooks/caddy-webhooks/store/local/journal/faultfs"
)

// What was synced last before a kill is taken into a fresh segment at the next
// start, since nothing on the disk says that it was synced. The index may know it
// already, at its old place.
func TestWhatTheIndexKnowsIsFoundWhereRecoveryHasTakenIt(t *testing.T) {
	t.Parallel()
	for _, interrupted := range []int{0, 1, 2} {
		t.Run(fmt.Sprint(interrupted, " starts were killed before the index was written"), func(t *testing.T) {
			t.Parallel()
			takenElsewhere(t, interrupted)
		})
	}
}

func takenElsewhere(t *testing.T, interrupted int) {
	t.Helper()
	disk := faultfs.New(1)
	r := &room{t: t}
	r.at.Store(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).UnixNano())
	r.o = Options{
		Dir: t.TempDir(), FirstSegment: 256 << 10, MaxSegment: 256 << 10, FS: disk.Boot(),
		Limits: store.Limits{MinFree: 1, RetentionSize: 1 << 40, Retention: 24 * time.Hour}, Now: r.now, BootID: func() string { return "same" },
	}
	r.reopen()
	killed := func() {
		t.Helper()
		r.mu.Lock()
		head := r.head()
		r.mu.Unlock()
		disk.Kill()
		(&model{t: t, s: r.Store}).abandon()
		for range interrupted {
			recoverAlone(t, r.o, disk, r.loadCheckpoint().Mark, head)
		}
		r.Store, r.o.FS = nil, disk.Boot()
		r.reopen()
	}
	indexed := func() { (&model{t: t, s: r.Store}).index() }

	first := r.accept("first", time.Hour)
	if err := r.checkpointNow(); err != nil {
		t.Fatal(err)
	}
	last := r.accept("last", time.Hour)
	indexed()
	killed()
	leases, _, err := r.Lease(t.Context(), toShop, store.LeaseRequest{Now: r.now(), Until: r.now().Add(time.Hour), Max: 9, MaxBytes: 1 << 20})
	if err != nil || len(leases) != 2 {
		t.Fatalf("after a kill %d events are due, %v; want both", len(leases), err)
	}
	for _, l := range leases {
		err := r.Settle(l, store.Settlement{State: event.Delivered, Attempt: event.Attempt{Destination: "default", Number: 1, At: r.now(), Status: 200}})
		if err != nil {
			t.Fatal(err)
		}
	}
	r.rest()
	indexed()
	killed()
	for _, id := range []event.ID{first.ID, last.ID} {
		v, err := r.Get(t.Context(), id)
		if err != nil || v.Event == nil || len(v.Attempts) != 1 || v.Deliveries[0].State != event.Delivered {
			t.Errorf("after another kill it is read as %+v, %v; want its body and its attempt", v, err)
		}
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

// recoverAlone starts as a store does, and is killed when the journal is open.
func recoverAlone(t *testing.T, o Options, disk *faultfs.Disk, from journal.Mark, head []byte) {
	t.Helper()
	j, _, err := journal.Open(journal.Options{
		FS: disk.Boot(), Dir: filepath.Join(o.Dir, "journal"), FirstSegment: o.FirstSegment, MaxSegment: o.MaxSegment, Reserve: 2, Now: o.Now,
		Head: func(dst []byte, _ journal.Stamp) []byte { return append(dst, head...) },
	}, from, func(journal.Stamp, []byte) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	disk.Kill()
	_ = j.Close()
}
