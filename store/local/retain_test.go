package local

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/store"
)

// room is a store with a clock that only moves when told, and segments so
// small that a few events fill one.
type room struct {
	*Store
	t testing.TB
	o Options
	// at is the clock, which the store's own goroutines read too.
	at atomic.Int64
}

func (r *room) now() time.Time { return time.Unix(0, r.at.Load()).UTC() }

func (r *room) later(d time.Duration) { r.at.Add(int64(d)) }

func newRoom(t testing.TB) *room {
	t.Helper()
	r := &room{t: t}
	r.at.Store(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).UnixNano())
	r.o = Options{
		Dir: t.TempDir(), FirstSegment: 256 << 10, MaxSegment: 256 << 10,
		Limits: store.Limits{MinFree: 1, RetentionSize: 1 << 40, Retention: 24 * time.Hour}, Now: r.now,
	}
	r.reopen()
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func (r *room) reopen() {
	r.t.Helper()
	if r.Store != nil {
		if err := r.Close(); err != nil {
			r.t.Fatal(err)
		}
	}
	s, err := Open(r.o)
	if err != nil {
		r.t.Fatal(err)
	}
	r.Store = s
}

// rebuild reopens without the index.
func (r *room) rebuild() {
	r.t.Helper()
	if err := r.Close(); err != nil {
		r.t.Fatal(err)
	}
	if err := (&Store{o: Options{Dir: r.o.Dir}}).dropIndex(); err != nil {
		r.t.Fatal(err)
	}
	r.reopen()
}

func (r *room) accept(id string, window time.Duration) store.Receipt {
	r.t.Helper()
	var key [32]byte
	copy(key[:], id)
	receipt, err := r.Accept(r.t.Context(), store.Admission{
		Event: &event.Event{
			Source: "shop", ProviderID: id, Received: r.now(), Method: http.MethodPost, URI: "/",
			Header: http.Header{}, Body: []byte(strings.Repeat(id+" ", 4096/len(id))),
		},
		Claim: &store.Claim{Key: key, Window: window},
		Owed:  []store.Owed{{Destination: "default"}},
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return receipt
}

var toShop = event.Destination{Source: "shop", Name: "default"}

func (r *room) settleAll(state func(id string) event.State) {
	r.t.Helper()
	leases, _, err := r.Lease(r.t.Context(), toShop, store.LeaseRequest{Now: r.now(), Until: r.now().Add(time.Hour), Max: 1 << 20, MaxBytes: 1 << 30})
	if err != nil {
		r.t.Fatal(err)
	}
	for _, l := range leases {
		err := r.Settle(l, store.Settlement{
			Attempt: event.Attempt{Destination: "default", Number: l.Attempt, At: r.now(), Status: 500, Error: "attempt of " + l.Event.ProviderID},
			State:   state(l.Event.ProviderID), Next: r.now().Add(time.Hour),
		})
		if err != nil {
			r.t.Fatal(err)
		}
	}
	r.roll()
	r.rest()
}

// roll seals the active segment; whatever rode along is durable then.
func (r *room) roll() {
	r.t.Helper()
	if err := r.journal.Roll(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
}

// rest waits until what rides along has been applied: an event in flight keeps
// its segment.
func (r *room) rest() {
	r.t.Helper()
	busy := func() (n int64) {
		for _, d := range r.Stats().Destinations {
			n += d.InFlight
		}
		return n
	}
	for deadline := time.Now().Add(time.Minute); busy() > 0; runtime.Gosched() {
		if time.Now().After(deadline) {
			r.t.Fatalf("%d deliveries are still in flight", busy())
		}
	}
}

func (r *room) segments() int { return len(r.journal.Segments()) }

func (r *room) retainNow() {
	r.t.Helper()
	r.roll()
	if err := r.retain(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
}

func TestRetentionKeepsWhatIsUnsettledAndForgetsTheRest(t *testing.T) {
	t.Parallel()
	for name, reopen := range map[string]func(*room){"running": func(*room) {}, "reopened": (*room).reopen, "rebuilt": (*room).rebuild} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRoom(t)
			receipts := map[string]store.Receipt{}
			for i := range 200 {
				id := fmt.Sprintf("event-%03d", i)
				receipts[id] = r.accept(id, time.Hour)
			}
			fate := func(id string) event.State {
				switch {
				case strings.HasSuffix(id, "7"):
					return event.Dead
				case strings.HasSuffix(id, "8"):
					return event.Pending
				}
				return event.Delivered
			}
			r.settleAll(fate)
			before := r.segments()
			r.later(48 * time.Hour)
			r.retainNow()
			if after := r.segments(); after >= before {
				t.Errorf("%d segments before, %d after: nothing was given back", before, after)
			}
			reopen(r)
			for id, receipt := range receipts {
				rec, err := r.Get(t.Context(), receipt.ID)
				if fate(id) == event.Delivered {
					if err == nil {
						t.Errorf("%s was delivered two days ago and is still there", id)
					}
					continue
				}
				if err != nil {
					t.Errorf("%s is %v and gone: %v", id, fate(id), err)
					continue
				}
				if rec.Deliveries[0].State != fate(id) || !strings.HasPrefix(string(rec.Event.Body), id+" ") {
					t.Errorf("%s: state %v, body %.20q", id, rec.Deliveries[0].State, rec.Event.Body)
				}
				if len(rec.Attempts) != 1 || rec.Attempts[0].Error != "attempt of "+id {
					t.Errorf("%s: attempts %+v; its history did not move with it", id, rec.Attempts)
				}
			}
			// What still waits is delivered, once.
			leases, _, err := r.Lease(t.Context(), toShop, store.LeaseRequest{Now: r.now(), Until: r.now().Add(time.Hour), Max: 1000, MaxBytes: 1 << 30})
			if err != nil || len(leases) != 20 {
				t.Errorf("%d deliveries are due, %v; want 20", len(leases), err)
			}
		})
	}
}

func TestAClaimOutlivesTheBodyOfItsEvent(t *testing.T) {
	t.Parallel()
	for name, reopen := range map[string]func(*room){"running": func(*room) {}, "reopened": (*room).reopen, "rebuilt": (*room).rebuild} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRoom(t)
			first := r.accept("long-lived", 30*24*time.Hour)
			r.settleAll(func(string) event.State { return event.Delivered })
			for round := range 3 { // the state is copied from segment to segment
				r.later(48 * time.Hour)
				r.retainNow()
				reopen(r)
				if again := r.accept("long-lived", time.Hour); again.Result != store.Duplicate || again.ID != first.ID {
					t.Fatalf("round %d: repeat was %v of %v, want a duplicate of %v", round, again.Result, again.ID, first.ID)
				}
			}
			rec, err := r.Get(t.Context(), first.ID)
			if err != nil || !rec.Gone || rec.Event != nil {
				t.Errorf("the event: gone %v, %v; want its row without its body", rec.Gone, err)
			}
			_, err = r.Command(t.Context(), store.Command{Action: store.Replay, Event: first.ID})
			if err == nil || !strings.Contains(err.Error(), store.ErrGone.Error()) {
				t.Errorf("replay without a body: %v, want ErrGone", err)
			}
			r.later(60 * 24 * time.Hour)
			r.clock.holdUntil = 0
			if again := r.accept("long-lived", time.Hour); again.Result != store.Accepted {
				t.Errorf("after its window: %v, want accepted", again.Result)
			}
		})
	}
}

func TestUnderPressureForSpaceDeliveredEventsGoFirst(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	for i := range 200 {
		r.accept(fmt.Sprintf("event-%03d", i), time.Minute)
	}
	r.settleAll(func(id string) event.State {
		if id == "event-003" {
			return event.Dead
		}
		return event.Delivered
	})
	before := r.size() // the housekeeper may be faster than the test
	r.o.RetentionSize = 1
	r.SetLimits(r.o.Limits)
	r.later(time.Hour)
	r.retainNow()
	if after := r.size(); after >= before {
		t.Errorf("%d bytes before, %d after", before, after)
	}
	page, err := r.Query(t.Context(), store.Filter{State: event.Dead})
	if err != nil || len(page.Rows) != 1 || page.Rows[0].ProviderID != "event-003" {
		t.Errorf("dead events: %+v, %v", page.Rows, err)
	}
}

func TestAnEventInFlightKeepsItsSegment(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	r.accept("held", time.Minute)
	leases, _, err := r.Lease(t.Context(), toShop, store.LeaseRequest{Now: r.now(), Until: r.now().Add(9000 * time.Hour), Max: 1, MaxBytes: 1 << 20})
	if err != nil || len(leases) != 1 {
		t.Fatalf("%d leases, %v", len(leases), err)
	}
	r.later(48 * time.Hour)
	r.retainNow()
	if _, err := r.journal.Read(r.rowOf(leases[0].Event.Seq).pos); err != nil {
		t.Errorf("the content of an event in flight: %v", err)
	}
	if err := r.Settle(leases[0], store.Settlement{State: event.Delivered, Attempt: event.Attempt{Number: 1, At: r.now()}}); err != nil {
		t.Fatal(err)
	}
}

func (r *room) rowOf(seq uint64) *row {
	r.mu.Lock()
	defer r.mu.Unlock()
	v, _, err := r.pages.row(seq)
	if err != nil || v == nil {
		r.t.Fatalf("row %d: %v, %v", seq, v, err)
	}
	return v
}

func TestAfterAJumpOfTheClockNothingExpiresForAnHour(t *testing.T) {
	t.Parallel()
	var mono atomic.Int64
	r := &room{t: t}
	r.at.Store(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).UnixNano())
	r.o = Options{
		Dir: t.TempDir(), FirstSegment: 256 << 10, MaxSegment: 256 << 10, Limits: store.Limits{MinFree: 1},
		Now: r.now, Mono: func() time.Duration { return time.Duration(mono.Load()) },
	}
	r.reopen()
	t.Cleanup(func() { _ = r.Close() })
	r.accept("one", time.Hour)
	r.settleAll(func(string) event.State { return event.Delivered })

	r.later(10 * time.Hour)
	mono.Add(int64(time.Minute)) // the clock was set, time did not pass
	if got := r.accept("one", time.Hour); got.Result != store.Duplicate {
		t.Fatalf("right after the jump: %v, want duplicate", got.Result)
	}
	r.later(2 * time.Hour)
	mono.Add(int64(2 * time.Hour))
	if got := r.accept("one", time.Hour); got.Result != store.Accepted {
		t.Errorf("two hours after the jump: %v, want accepted", got.Result)
	}
}

func TestJournalTimeDoesNotRunBackwards(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	r.accept("one", time.Hour)
	r.settleAll(func(string) event.State { return event.Delivered })
	r.later(-10 * 24 * time.Hour)
	r.reopen()
	if got := r.accept("one", time.Hour); got.Result != store.Duplicate {
		t.Errorf("with the clock set back: %v, want duplicate", got.Result)
	}
	second := r.accept("two", time.Hour)
	first, err := r.Query(context.Background(), store.Filter{})
	if err != nil || len(first.Rows) != 2 || first.Rows[0].ID != second.ID {
		t.Fatalf("newest first: %+v, %v", first.Rows, err)
	}
	if first.Rows[0].ID.Time().Before(first.Rows[1].ID.Time()) {
		t.Errorf("the later event's ID has the earlier time: %v < %v", first.Rows[0].ID.Time(), first.Rows[1].ID.Time())
	}
}

func TestADamagedPageIsRebuilt(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	first := r.accept("one", time.Hour)
	if _, err := r.flush(); err != nil {
		t.Fatal(err)
	}
	txn := r.index.db.NewTransaction(true)
	if err := txn.Set(blockKey(summaryPrefix, 0), []byte{0xff}); err != nil {
		t.Fatal(err)
	}
	if err := txn.Commit(); err != nil {
		t.Fatal(err)
	}
	r.reopen()
	if rec, err := r.Get(t.Context(), first.ID); err != nil || rec.ProviderID != "one" {
		t.Errorf("after the rebuild: %+v, %v", rec, err)
	}
	if matches, _ := filepath.Glob(filepath.Join(r.o.Dir, "index", "*")); len(matches) == 0 {
		t.Error("there is no index")
	}
}

func TestAReplayedEventIsNotNewAgain(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	receipt := r.accept("one", time.Hour)
	lease := func() store.Lease {
		leases, _, err := r.Lease(t.Context(), toShop, store.LeaseRequest{Now: r.now(), Until: r.now().Add(time.Hour), Max: 1, MaxBytes: 1 << 20})
		if err != nil || len(leases) != 1 {
			t.Fatalf("%d leases, %v", len(leases), err)
		}
		return leases[0]
	}
	first := lease()
	if err := r.Settle(first, store.Settlement{State: event.Delivered, Attempt: event.Attempt{Number: 1, At: r.now()}}); err != nil {
		t.Fatal(err)
	}
	r.roll()
	if _, err := r.Command(t.Context(), store.Command{Action: store.Replay, Event: receipt.ID}); err != nil {
		t.Fatal(err)
	}
	if again := lease(); !first.Fresh || again.Fresh || !again.Replay {
		t.Errorf("fresh at first %v, at the replay %v (replay %v)", first.Fresh, again.Fresh, again.Replay)
	}
}

// Segments are removed, checkpoints moved and pages written by several goroutines:
// none may put an older page over a newer one, or the checkpoint back.
func TestTheIndexIsWrittenByOneAtATime(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	ctx, stop := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	for range 4 {
		writers.Go(func() {
			for ctx.Err() == nil {
				r.later(checkpointEvery)
				if err := errors.Join(r.catchUp(), r.checkpointNow()); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	want := map[string]event.State{}
	for round := range 10 {
		for i := range 20 {
			r.accept(fmt.Sprintf("event-%02d-%02d", round, i), time.Hour)
		}
		r.settleAll(func(id string) event.State {
			want[id] = map[bool]event.State{true: event.Delivered, false: event.Dead}[len(want)%3 == 0]
			return want[id]
		})
	}
	stop()
	writers.Wait()
	r.reopen()
	page, err := r.Query(t.Context(), store.Filter{Limit: 1000})
	if err != nil || len(page.Rows) != len(want) {
		t.Fatalf("%d of %d events are there: %v", len(page.Rows), len(want), err)
	}
	for _, row := range page.Rows {
		if got := row.Deliveries[0].State; got != want[row.ProviderID] {
			t.Errorf("%s is %v, want %v", row.ProviderID, got, want[row.ProviderID])
		}
	}
}
