package deliver_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/deliver"
	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/store"
	"github.com/caddy-webhooks/caddy-webhooks/store/memory"
)

var shop = event.Destination{Source: "shop", Name: "default"}

// backend is a Forwarder that does what a test says, and notes what it gets.
type backend struct {
	mu       sync.Mutex
	got      []call
	answer   func(ctx context.Context, c call) event.Outcome
	running  int
	mostOnce int
}

type call struct {
	id      string
	attempt int
	replay  bool
	at      time.Time
}

func (b *backend) Forward(ctx context.Context, t event.Try) event.Outcome {
	c := call{t.Event.ProviderID, t.Number, t.Replay, time.Now()}
	b.mu.Lock()
	b.got = append(b.got, c)
	b.running++
	b.mostOnce = max(b.mostOnce, b.running)
	answer := b.answer
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		b.running--
		b.mu.Unlock()
	}()
	out := ok()
	if answer != nil {
		out = answer(ctx, c)
	}
	out.Number, out.At, out.Duration = t.Number, c.at, time.Since(c.at)
	return out
}

func (b *backend) calls() []call {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]call(nil), b.got...)
}

func ok() event.Outcome {
	return event.Outcome{Verdict: event.Done, Attempt: event.Attempt{Status: 200}}
}

func status(n int) event.Outcome {
	return event.Outcome{Attempt: event.Attempt{Status: n, Error: fmt.Sprint("backend answered ", n)}}
}

// world is a dispatcher over a real store, in virtual time.
type world struct {
	*testing.T
	store   store.Store
	d       *deliver.Dispatcher
	backend *backend
}

func inWorld(t *testing.T, p deliver.Policy, f func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t, store: memory.New(memory.Options{}), backend: new(backend)}
		w.d = deliver.New(deliver.Options{Queue: w.store, Float: func() float64 { return 0.5 }})
		w.configure(p)
		w.d.Start()
		f(w)
		w.d.Stop(t.Context())
		if err := w.store.Close(); err != nil {
			t.Error(err)
		}
	})
}

func (w *world) configure(p deliver.Policy) {
	w.d.Configure(map[event.Destination]deliver.Target{shop: {Policy: p, Forwarder: w.backend}})
}

// accept stores an event and hands it over as the gateway does.
func (w *world) accept(id string) store.Receipt {
	w.Helper()
	lease := w.d.Reserve(shop, 2)
	r, err := w.store.Accept(w.Context(), store.Admission{
		Event: &event.Event{Source: "shop", ProviderID: id, Received: time.Now(), Header: http.Header{}, Body: []byte("{}")},
		Owed:  []store.Owed{{Destination: "default", Lease: lease}},
	})
	if err != nil {
		w.Fatal(err)
	}
	if lease && len(r.Leases) == 0 {
		w.d.Cancel(shop, 2)
	}
	for _, l := range r.Leases {
		w.d.Offer(l)
	}
	return r
}

func (w *world) state(r store.Receipt) event.Delivery {
	w.Helper()
	rec, err := w.store.Get(w.Context(), r.ID)
	if err != nil {
		w.Fatal(err)
	}
	return rec.Deliveries[0]
}

func TestANewEventGoesOutAtOnce(t *testing.T) {
	t.Parallel()
	inWorld(t, deliver.Policy{}, func(w *world) {
		began := time.Now()
		r := w.accept("one")
		synctest.Wait()
		if got := w.backend.calls(); len(got) != 1 || got[0].at.Sub(began) != 0 || got[0].attempt != 1 {
			t.Errorf("%+v, want one attempt at once", got)
		}
		if s := w.state(r).State; s != event.Delivered {
			t.Errorf("state %v", s)
		}
	})
}

func TestARetryComesAfterItsWaitAndCountsOn(t *testing.T) {
	t.Parallel()
	inWorld(t, deliver.Policy{Backoff: deliver.Schedule{First: 8 * time.Second, Max: time.Hour}}, func(w *world) {
		w.backend.answer = func(_ context.Context, c call) event.Outcome {
			if c.attempt < 4 {
				return status(500)
			}
			return ok()
		}
		began := time.Now()
		r := w.accept("one")
		time.Sleep(time.Hour)
		synctest.Wait()
		var waits []time.Duration
		for i, c := range w.backend.calls() {
			if c.attempt != i+1 {
				t.Errorf("attempt %d has the number %d", i+1, c.attempt)
			}
			waits = append(waits, c.at.Sub(began).Round(time.Second))
		}
		// Half of 8, 16 and 32 seconds, one behind the other.
		if want := "[0s 4s 12s 28s]"; fmt.Sprint(waits) != want {
			t.Errorf("attempts at %v, want %v", waits, want)
		}
		if s := w.state(r).State; s != event.Delivered {
			t.Errorf("state %v", s)
		}
	})
}

func TestAStatusInNeverIsDeadAtOnceAndSoIsASpentBudget(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		policy   deliver.Policy
		attempts int
		says     string
	}{
		"never":    {deliver.Policy{Never: []int{500}}, 1, "given up: `retry never` has 500"},
		"attempts": {deliver.Policy{Attempts: 3}, 3, "given up: `retry attempts` is 3"},
		"for":      {deliver.Policy{For: 10 * time.Second, Backoff: deliver.Schedule{First: 8 * time.Second, Max: 8 * time.Second}}, 4, "given up: `retry for` is 10s"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, c.policy, func(w *world) {
				w.backend.answer = func(context.Context, call) event.Outcome { return status(500) }
				r := w.accept("one")
				time.Sleep(24 * time.Hour)
				synctest.Wait()
				if n := len(w.backend.calls()); n != c.attempts {
					t.Errorf("%d attempts, want %d", n, c.attempts)
				}
				if s := w.state(r).State; s != event.Dead {
					t.Errorf("state %v, want dead", s)
				}
				v, err := w.store.Get(t.Context(), r.ID)
				if err != nil || len(v.Attempts) != c.attempts {
					t.Fatalf("%d attempts are known, %v", len(v.Attempts), err)
				}
				for i, a := range v.Attempts {
					if last := i == len(v.Attempts)-1; strings.HasSuffix(a.Error, c.says) != last {
						t.Errorf("attempt %d says %q; only the last says %q", i+1, a.Error, c.says)
					}
				}
			})
		})
	}
}

func TestWhatIsCountedIsWhatAnAttemptHasLedTo(t *testing.T) {
	t.Parallel()
	inWorld(t, deliver.Policy{}, func(w *world) {
		var mu sync.Mutex
		var seen []string
		w.d.Stop(w.Context())
		w.d = deliver.New(deliver.Options{Queue: w.store, Observe: deliver.Observer{
			Attempt: func(_ event.Destination, v event.Verdict, _ time.Duration) {
				mu.Lock()
				defer mu.Unlock()
				seen = append(seen, v.String())
			},
		}})
		w.d.Configure(map[event.Destination]deliver.Target{shop: {Forwarder: w.backend, Policy: deliver.Policy{Attempts: 2, Never: []int{410}}}})
		w.d.Start()
		w.backend.answer = func(_ context.Context, c call) event.Outcome {
			switch c.id {
			case "gone":
				return status(410)
			case "good":
				return ok()
			}
			return status(500)
		}
		for _, id := range []string{"gone", "good", "bad"} { // one after the other
			w.accept(id)
			time.Sleep(time.Hour)
			synctest.Wait()
		}
		mu.Lock()
		defer mu.Unlock()
		if got := strings.Join(seen, " "); got != "dead delivered retry dead" {
			t.Errorf("the outcomes are %q", got)
		}
	})
}

func TestRetryAfterHoldsTheEventInFullAndTheOthersForAWhile(t *testing.T) {
	t.Parallel()
	inWorld(t, deliver.Policy{}, func(w *world) {
		began := time.Now()
		w.backend.answer = func(_ context.Context, c call) event.Outcome {
			if c.id == "one" && c.attempt == 1 {
				out := status(503)
				out.RetryAfter = time.Hour
				return out
			}
			return ok()
		}
		w.accept("one")
		synctest.Wait()
		w.accept("two")
		time.Sleep(9 * time.Minute)
		synctest.Wait()
		if n := len(w.backend.calls()); n != 1 {
			t.Errorf("%d attempts while the backend asked to be left alone, want 1", n)
		}
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		at := map[string]time.Duration{}
		for _, c := range w.backend.calls() {
			at[c.id] = c.at.Sub(began)
		}
		if at["two"] < 10*time.Minute || at["two"] > 11*time.Minute || at["one"] < time.Hour || at["one"] > time.Hour+time.Minute {
			t.Errorf("attempts at %v, want two after 10 minutes and one after an hour", at)
		}
	})
}

func TestNeverMoreAttemptsAtOnceThanConcurrencyAndEverythingArrives(t *testing.T) {
	t.Parallel()
	inWorld(t, deliver.Policy{Concurrency: 3}, func(w *world) {
		w.backend.answer = func(ctx context.Context, _ call) event.Outcome {
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
			}
			return ok()
		}
		for i := range 1000 {
			w.accept(fmt.Sprint(i))
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		seen := map[string]int{}
		for _, c := range w.backend.calls() {
			seen[c.id]++
		}
		if len(seen) != 1000 || w.backend.mostOnce != 3 {
			t.Errorf("%d of 1000 arrived, at most %d at once, want 3", len(seen), w.backend.mostOnce)
		}
		for id, n := range seen {
			if n > 1 {
				t.Errorf("%s was sent %d times", id, n)
			}
		}
	})
}

func TestTheBacklogAndNewEventsTakeTurns(t *testing.T) {
	t.Parallel()
	inWorld(t, deliver.Policy{Concurrency: 1}, func(w *world) {
		w.configure(deliver.Policy{Concurrency: 1})
		gate := make(chan struct{})
		w.backend.answer = func(context.Context, call) event.Outcome { <-gate; return ok() }
		for i := range 300 { // more than what waits in memory
			w.accept(fmt.Sprint("first-", i))
		}
		synctest.Wait()
		close(gate)
		time.Sleep(time.Minute)
		synctest.Wait()
		var late int // the place at which the first event of the backlog came
		for i, c := range w.backend.calls() {
			var n int
			if _, err := fmt.Sscanf(c.id, "first-%d", &n); err == nil && n >= 257 {
				late = i
				break
			}
		}
		if late == 0 || late > 10 {
			t.Errorf("the first event of the backlog came as number %d; it must not wait for all new ones", late)
		}
	})
}

func TestStopWaitsThenCutsOffAndGivesBack(t *testing.T) {
	t.Parallel()
	inWorld(t, deliver.Policy{Timeout: time.Hour}, func(w *world) {
		w.backend.answer = func(ctx context.Context, _ call) event.Outcome {
			<-ctx.Done()
			if errors.Is(ctx.Err(), context.Canceled) {
				return event.Outcome{Verdict: event.Aborted}
			}
			return status(0)
		}
		r := w.accept("one")
		synctest.Wait()
		began := time.Now()
		ctx, cancel := context.WithTimeout(w.Context(), 4*time.Second)
		defer cancel()
		w.d.Stop(ctx)
		if took := time.Since(began); took != 4*time.Second {
			t.Errorf("stopping took %v, want the 4s it was given", took)
		}
		if d := w.state(r); d.State != event.Pending || d.InFlight || d.Attempts != 0 {
			t.Errorf("after the stop: %+v, want pending, uncounted", d)
		}
	})
}

func TestAnOrphanedDestinationKeepsItsEventsAndGetsNone(t *testing.T) {
	t.Parallel()
	inWorld(t, deliver.Policy{}, func(w *world) {
		w.d.Configure(nil)
		r := w.accept("one")
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := len(w.backend.calls()); n != 0 {
			t.Errorf("%d attempts to a destination that is not configured", n)
		}
		if s := w.state(r).State; s != event.Pending {
			t.Errorf("state %v", s)
		}
		w.configure(deliver.Policy{})
		time.Sleep(time.Minute)
		synctest.Wait()
		if s := w.state(r).State; s != event.Delivered {
			t.Errorf("after it came back: %v", s)
		}
	})
}

func TestAPanicInAnAttemptIsAFailedAttempt(t *testing.T) {
	t.Parallel()
	inWorld(t, deliver.Policy{}, func(w *world) {
		w.backend.answer = func(_ context.Context, c call) event.Outcome {
			if c.attempt == 1 {
				panic("oops")
			}
			return ok()
		}
		r := w.accept("one")
		time.Sleep(time.Minute)
		synctest.Wait()
		if s := w.state(r).State; s != event.Delivered {
			t.Errorf("state %v, want delivered at the second attempt", s)
		}
	})
}

func TestAReplayGoesTheSameWayAndSaysSo(t *testing.T) {
	t.Parallel()
	inWorld(t, deliver.Policy{}, func(w *world) {
		r := w.accept("one")
		synctest.Wait()
		if _, err := w.store.Command(w.Context(), store.Command{Action: store.Replay, Event: r.ID}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		got := w.backend.calls()
		if len(got) != 2 || got[0].replay || !got[1].replay || got[1].attempt != 1 {
			t.Errorf("%+v, want an attempt and a replay with number 1", got)
		}
	})
}

// flaky is a queue that fails for a while.
type flaky struct {
	store.Store
	mu    sync.Mutex
	fails int
	asked int
}

func (f *flaky) Lease(ctx context.Context, d event.Destination, r store.LeaseRequest) ([]store.Lease, time.Time, error) {
	f.mu.Lock()
	f.asked++
	failing := f.asked <= f.fails
	f.mu.Unlock()
	if failing {
		return nil, time.Time{}, store.ErrUnavailable
	}
	return f.Store.Lease(ctx, d, r)
}

func TestAFailingStoreIsAskedAgainAndNotHammered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := &flaky{Store: memory.New(memory.Options{}), fails: 20}
		b := new(backend)
		d := deliver.New(deliver.Options{Queue: q})
		if _, err := q.Accept(t.Context(), store.Admission{
			Event: &event.Event{Source: "shop", Received: time.Now(), Header: http.Header{}}, Owed: []store.Owed{{Destination: "default"}},
		}); err != nil {
			t.Fatal(err)
		}
		d.Configure(map[event.Destination]deliver.Target{shop: {Forwarder: b}})
		d.Start()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		q.mu.Lock()
		if q.asked > 15 {
			t.Errorf("a failing store was asked %d times in 10s", q.asked)
		}
		q.mu.Unlock()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if len(b.calls()) != 1 {
			t.Errorf("%d attempts after the store works again, want 1", len(b.calls()))
		}
		d.Stop(t.Context())
	})
}

func TestTheScheduleGrowsToItsBoundAndStaysThere(t *testing.T) {
	t.Parallel()
	s := deliver.Schedule{First: time.Second, Max: 10 * time.Minute}
	for attempt, want := range map[int]time.Duration{
		0: time.Second, 1: time.Second, 2: 2 * time.Second, 10: 512 * time.Second, 11: 10 * time.Minute, 1_000_000: 10 * time.Minute,
	} {
		if got := s.Wait(attempt, 1); got != want {
			t.Errorf("attempt %d waits at most %v, want %v", attempt, got, want)
		}
	}
	if got := s.Wait(5, 0); got != 0 {
		t.Errorf("the least wait is %v, want 0", got)
	}
}
