package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/store"
	"github.com/caddy-webhooks/caddy-webhooks/store/local/journal"
)

// What happens beside the removal of a segment.

// delivered fills a room with n delivered events whose time is over, the first
// segment sealed.
func delivered(t *testing.T, n int) (*room, []store.Receipt) {
	t.Helper()
	r := newRoom(t)
	r.retaining.Lock() // the housekeeper must not be faster
	var all []store.Receipt
	for i := range n {
		all = append(all, r.accept(fmt.Sprintf("event-%03d", i), time.Minute))
	}
	r.settleAll(func(string) event.State { return event.Delivered })
	r.later(48 * time.Hour)
	r.mu.Lock()
	r.clock.holdUntil = 0
	r.mu.Unlock()
	r.roll()
	return r, all
}

func TestAnEventThatIsReplayedWhileItsSegmentIsRemovedIsKept(t *testing.T) {
	t.Parallel()
	r, all := delivered(t, 60)
	seg := r.journal.Segments()[0]
	c := clearing{s: r.Store, seg: seg, keep: r.limits.Load().Retention, states: map[uint64]bool{}}
	if err := r.journal.Scan(seg.ID, func(st journal.Stamp, payload []byte) error { return c.record(t.Context(), st, payload) }); err != nil {
		t.Fatal(err)
	}
	if err := c.wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	replay := func(i int) error {
		_, err := r.Command(t.Context(), store.Command{Action: store.Replay, Event: all[i].ID})
		return err
	}
	if err := replay(3); err != nil {
		t.Fatal(err)
	}
	if err := c.forget(); !errors.Is(err, errBusy) {
		t.Fatalf("with an event of it replayed, forgetting the segment's is %v, want %v", err, errBusy)
	}
	if err := replay(4); err != nil {
		t.Errorf("another event of the segment: %v", err)
	}
	r.retaining.Unlock()
	r.retainNow()
	if err := replay(5); !errors.Is(err, store.ErrUnknown) && !errors.Is(err, store.ErrGone) {
		t.Errorf("what was removed can be replayed: %v", err)
	}
	for _, how := range []string{"then", "without the index"} {
		if how != "then" {
			r.rebuild()
		}
		leases, _, err := r.Lease(t.Context(), toShop, store.LeaseRequest{Now: r.now(), Until: r.now().Add(time.Hour), Max: 10, MaxBytes: 1 << 30})
		if err != nil || len(leases) != 2 {
			t.Errorf("%s %d are due, %v; want the two that were replayed", how, len(leases), err)
		}
		for _, l := range leases {
			if err := r.Release(l); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestASearchFindsContentThatIsCopiedForwardMeanwhile(t *testing.T) {
	t.Parallel()
	r, all := delivered(t, 60)
	seq := all[3].Seq
	if _, err := r.Command(t.Context(), store.Command{Action: store.Replay, Event: all[3].ID}); err != nil {
		t.Fatal(err)
	}
	before := r.rowOf(seq)
	was := candidate{row: store.Row{ID: before.id, Seq: seq, Size: int(before.size)}, pos: before.pos}
	r.retaining.Unlock()
	r.retainNow()
	if at := r.rowOf(seq).pos; at == was.pos {
		t.Fatal("the event was not copied forward")
	}
	q := r.newSearch(store.Filter{Content: func(e *event.Event) bool { return e.ProviderID == "event-003" }})
	if found, err := q.content(was); err != nil || !found {
		t.Errorf("at its old place it is found: %v, %v; want it found at the new one", found, err)
	}
}

func TestWhatWasRemovedStaysRemovedWhenTheIndexIsRebuilt(t *testing.T) {
	t.Parallel()
	r, _ := delivered(t, 60)
	r.retaining.Unlock()
	r.retainNow()
	for _, how := range []string{"then", "without the index"} {
		if how != "then" {
			r.rebuild()
		}
		page, err := r.Query(t.Context(), store.Filter{Limit: 1000})
		if err != nil || len(page.Rows) != 0 {
			t.Errorf("%s %d events are listed, %v; want none", how, len(page.Rows), err)
		}
	}
}

func TestAnEventWhoseSegmentIsGoneIsReadWithoutItsBody(t *testing.T) {
	t.Parallel()
	r, all := delivered(t, 60)
	defer r.retaining.Unlock()
	if err := r.journal.Remove(r.rowOf(all[3].Seq).pos.Segment); err != nil {
		t.Fatal(err)
	}
	if v, err := r.Get(t.Context(), all[3].ID); err != nil || !v.Gone || v.Event != nil {
		t.Errorf("it is read as %+v, %v; want it without its body", v, err)
	}
}

func TestACommandThatIsUnderWayKeepsTheSegment(t *testing.T) {
	t.Parallel()
	r, all := delivered(t, 60)
	defer r.retaining.Unlock()
	c := clearing{s: r.Store, seg: r.journal.Segments()[0], keep: time.Hour, gone: []uint64{all[3].Seq}}
	if err := r.hold(t.Context(), all[3].Seq); err != nil {
		t.Fatal(err)
	}
	if err := c.forget(); !errors.Is(err, errBusy) {
		t.Errorf("with a command under way: %v, want %v", err, errBusy)
	}
	_ = r.applied(func() error { r.unhold(all[3].Seq); return nil })
	if err := c.forget(); err != nil {
		t.Error(err)
	}
	// A command that has found its event before, and comes to write only now.
	_, refused, err := r.perform(t.Context(), &action{kind: kindReplay, seq: all[3].Seq, at: r.now(), targets: []target{{dest: 1}}})
	if err != nil || !errors.Is(refused, store.ErrUnknown) {
		t.Errorf("a replay of what was forgotten meanwhile: %v %v, want %v", refused, err, store.ErrUnknown)
	}
}

// rot changes one byte in the middle of a record.
func (r *room) rot(at journal.Position) {
	r.t.Helper()
	names, err := filepath.Glob(filepath.Join(r.o.Dir, "journal", fmt.Sprintf("%016x*", at.Segment)))
	if err != nil || len(names) != 1 {
		r.t.Fatalf("segment %d is %v, %v", at.Segment, names, err)
	}
	f, err := os.OpenFile(names[0], os.O_RDWR, 0)
	if err != nil {
		r.t.Fatal(err)
	}
	b := make([]byte, 1)
	middle := at.Offset + int64(at.Size)/2
	_, err = f.ReadAt(b, middle)
	if err == nil {
		b[0] ^= 0xff
		_, err = f.WriteAt(b, middle)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		r.t.Fatal(err)
	}
}

func TestOneDamagedEventKeepsNothingElseFromAnybody(t *testing.T) {
	t.Parallel()
	r, all := delivered(t, 200)
	bad := all[30]
	r.rot(r.rowOf(bad.Seq).pos)
	v, err := r.Get(t.Context(), bad.ID)
	if err != nil || !v.Damaged || v.Event != nil || len(v.Attempts) != 1 || v.ProviderID != "event-030" {
		t.Errorf("it is read as %+v, %v; want its row, its attempt and the word damaged", v, err)
	}
	page, err := r.Query(t.Context(), store.Filter{ID: bad.ID.String()})
	if err != nil || len(page.Rows) != 1 {
		t.Errorf("by its ID is found %+v, %v", page.Rows, err)
	}
	page, err = r.Query(t.Context(), store.Filter{Content: func(e *event.Event) bool { return e.ProviderID == "event-100" }, OldestFirst: true})
	if err != nil || len(page.Rows) != 1 {
		t.Errorf("a search through contents finds %+v, %v", page.Rows, err)
	}
	r.rot(r.rowOf(all[40].Seq).deliveries[0].attempts[0])
	if v, err := r.Get(t.Context(), all[40].ID); err != nil || v.Damaged || v.Event == nil || len(v.Attempts) != 0 {
		t.Errorf("an event with a damaged attempt is read as %+v, %v; want it without", v, err)
	}
	r.retaining.Unlock()
	for range 2 {
		if err := r.retain(t.Context()); err != nil {
			t.Error(err)
		}
	}
	r.retaining.Lock()
	defer r.retaining.Unlock()
	if len(r.damaged) != 2 {
		t.Errorf("damaged are the segments %v, want two", r.damaged)
	}
	for _, seg := range r.journal.Segments() {
		if old := seg.Last.Add(24 * time.Hour).Before(r.now()); seg.Sealed && old && !r.damaged[seg.ID] {
			t.Errorf("segment %d is whole and old, and was not removed", seg.ID)
		}
	}
	if v, err := r.Get(t.Context(), bad.ID); err != nil || !v.Damaged {
		t.Errorf("after retention: %+v, %v", v, err)
	}
}

func TestAnEventThatIsJustCopiedForwardIsNotRead(t *testing.T) {
	t.Parallel()
	r, all := delivered(t, 60)
	defer r.retaining.Unlock()
	c := clearing{s: r.Store, seg: r.journal.Segments()[0], keep: 1000 * time.Hour}
	if _, err := c.freeze(all[3].Seq); err != nil {
		t.Fatal(err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if v, err := r.Get(ended, all[3].ID); !errors.Is(err, context.Canceled) {
		t.Errorf("while its attempts follow it, it is read as %+v, %v; want to wait", v, err)
	}
	c.thaw()
	if v, err := r.Get(t.Context(), all[3].ID); err != nil || len(v.Attempts) != 1 {
		t.Errorf("then it is read as %+v, %v", v, err)
	}
}
