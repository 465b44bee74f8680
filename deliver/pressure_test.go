package deliver_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/deliver"
	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/store"
)

// legacy is an application that bears so many requests at once, lets a few more
// wait, and falls over for a while when there are more than that.
type legacy struct {
	workers, queue int
	takes, outage  time.Duration

	mu        sync.Mutex
	inside    int
	downUntil time.Time
	falls     int
	slots     chan struct{}
}

func (a *legacy) answer(ctx context.Context, _ call) event.Outcome {
	a.mu.Lock()
	if a.slots == nil {
		a.slots = make(chan struct{}, a.workers)
	}
	switch now := time.Now(); {
	case now.Before(a.downUntil):
		a.mu.Unlock()
		return status(502)
	case a.inside >= a.workers+a.queue:
		a.falls++
		a.downUntil = now.Add(a.outage)
		a.mu.Unlock()
		return status(502)
	}
	a.inside++
	a.mu.Unlock()
	defer func() {
		a.mu.Lock()
		a.inside--
		a.mu.Unlock()
	}()
	select {
	case a.slots <- struct{}{}:
		defer func() { <-a.slots }()
	case <-ctx.Done():
		return event.Outcome{Attempt: event.Attempt{Error: "timeout"}}
	}
	time.Sleep(a.takes) // in virtual time
	return ok()
}

// store accepts n events as they come while nothing can be delivered.
func (w *world) storeMany(n int, order func(i int) uint64) {
	w.Helper()
	for i := range n {
		_, err := w.store.Accept(w.Context(), store.Admission{
			Event: &event.Event{Source: "shop", ProviderID: fmt.Sprint(i), Received: time.Now(), Body: []byte("{}")},
			Owed:  []store.Owed{{Destination: "default", Order: order(i)}},
		})
		if err != nil {
			w.Fatal(err)
		}
	}
}

func unordered(int) uint64 { return 0 }

func (w *world) count(s event.State) int64 {
	for _, d := range w.store.Stats().Destinations {
		if d.Destination == shop {
			return d.Count[s]
		}
	}
	return 0
}

// until lets virtual time pass until f is true, and tells how long that took.
func (w *world) until(most time.Duration, what string, f func() bool) time.Duration {
	w.Helper()
	for began := time.Now(); ; time.Sleep(max(most/5000, 100*time.Millisecond)) {
		synctest.Wait()
		took := time.Since(began)
		if f() {
			return took
		}
		if took > most {
			w.Fatalf("after %v still not: %s; %+v", took, what, w.d.Stats())
		}
	}
}

func TestABackendThatComesBackIsNotPushedOverAgain(t *testing.T) {
	t.Parallel()
	for name, a := range map[string]*legacy{
		"one worker":       {workers: 1, queue: 4, takes: 20 * time.Millisecond},
		"five workers":     {workers: 5, queue: 4, takes: 100 * time.Millisecond},
		"a slow one":       {workers: 1, queue: 4, takes: 2 * time.Second},
		"a fast one":       {workers: 2, queue: 4, takes: time.Millisecond},
		"no queue to fill": {workers: 8, queue: 8, takes: 300 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, deliver.Policy{}, func(w *world) {
				events := int64(5_000)
				if a.takes > time.Second {
					events = 200
				}
				a.outage = 30 * time.Second
				a.downUntil = time.Now().Add(10 * time.Minute)
				w.backend.answer = a.answer
				w.storeMany(int(events), unordered)
				time.Sleep(10 * time.Minute)
				ideal := time.Duration(float64(events) / float64(a.workers) * float64(a.takes))
				took := w.until(10*ideal, "drained", func() bool { return w.count(event.Delivered) == events })
				a.mu.Lock()
				defer a.mu.Unlock()
				t.Logf("drained in %v, ideally %v; %d falls", took, ideal, a.falls)
				if a.falls > 0 {
					t.Errorf("it fell over %d times", a.falls)
				}
				if took > ideal*5/4+time.Minute {
					t.Errorf("drained in %v, want its best of %v, a fifth less, and a minute", took, ideal)
				}
			})
		})
	}
}

func TestNewEventsDoNotWaitForTheBacklog(t *testing.T) {
	t.Parallel()
	inWorld(t, deliver.Policy{}, func(w *world) {
		a := &legacy{workers: 1, queue: 4, takes: 20 * time.Millisecond, outage: time.Minute}
		w.backend.answer = a.answer
		w.storeMany(10_000, unordered)
		time.Sleep(10 * time.Second)
		worst := time.Duration(0)
		for i := range 500 {
			id := fmt.Sprint("new ", i)
			at := time.Now()
			w.accept(id)
			time.Sleep(100 * time.Millisecond)
			synctest.Wait()
			first := time.Time{}
			for _, c := range w.backend.calls() {
				if c.id == id {
					first = c.at
				}
			}
			if first.IsZero() {
				t.Fatalf("%s was not tried within 100 ms", id)
			}
			worst = max(worst, first.Sub(at))
		}
		t.Logf("the longest wait for a first attempt is %v", worst)
		if w.count(event.Pending) == 0 {
			t.Error("the backlog is empty: nothing was shown")
		}
	})
}

func TestABackendThatAnswersNothingButErrorsIsLeftAloneAndNothingDies(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]func(context.Context, call) event.Outcome{
		"500":           func(context.Context, call) event.Outcome { return status(500) },
		"no connection": func(context.Context, call) event.Outcome { return event.Outcome{Unreached: true} },
		"hangs for exactly the timeout": func(ctx context.Context, _ call) event.Outcome {
			<-ctx.Done()
			return event.Outcome{Attempt: event.Attempt{Error: "timeout"}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := deliver.Policy{For: time.Hour, Attempts: 10, Timeout: 10 * time.Second}
			inWorld(t, p, func(w *world) {
				w.backend.answer = answer
				w.storeMany(50, unordered)
				time.Sleep(10 * time.Hour)
				synctest.Wait()
				if s := w.d.Stats()[0]; !s.Down || w.count(event.Dead) != 0 {
					t.Errorf("down: %v, dead: %d; want down and none", s.Down, w.count(event.Dead))
				}
				calls := w.backend.calls()
				if most := int(10*time.Hour/(15*time.Second)) + 50; len(calls) > most {
					t.Errorf("it was tried %d times, want at most %d", len(calls), most)
				}
				w.probedApart(calls[len(calls)-100:], 30*time.Second+p.Timeout)
				w.backend.mu.Lock()
				w.backend.answer = nil
				w.backend.mu.Unlock()
				w.until(2*time.Minute, "all delivered", func() bool { return w.count(event.Delivered) == 50 })
			})
		})
	}
}

// probedApart checks that probes go one at a time, none too late, and each with
// another event.
func (w *world) probedApart(calls []call, most time.Duration) {
	w.Helper()
	for i, c := range calls[1:] {
		if before := calls[i]; c.at.Sub(before.at) > most || c.id == before.id {
			w.Fatalf("probe %s at %v follows on %s at %v", c.id, c.at, before.id, before.at)
		}
	}
}

func TestAnEventThatAloneFailsOpensNothing(t *testing.T) {
	t.Parallel()
	inWorld(t, deliver.Policy{For: 5 * time.Minute}, func(w *world) {
		w.backend.answer = func(_ context.Context, c call) event.Outcome {
			time.Sleep(10 * time.Millisecond)
			if strings.HasSuffix(c.id, "500") && !strings.HasPrefix(c.id, "good") { // one in a thousand
				return status(500)
			}
			return ok()
		}
		const events = 10_000
		w.storeMany(events, unordered)
		for i := 0; w.count(event.Dead) < 10; i++ { // others come and succeed beside them
			if i > 5*3_000 || w.d.Stats()[0].Down {
				t.Fatalf("%d are dead, down: %v", w.count(event.Dead), w.d.Stats()[0].Down)
			}
			w.accept(fmt.Sprint("good ", i))
			time.Sleep(100 * time.Millisecond)
		}
		if n := w.count(event.Delivered); n < events {
			t.Errorf("%d are delivered, want all the others", n)
		}
	})
}

func TestAPoisonousProbeHoldsNothingOpen(t *testing.T) {
	t.Parallel()
	inWorld(t, deliver.Policy{Backoff: deliver.Schedule{First: time.Hour, Max: 10 * time.Hour}}, func(w *world) {
		var down atomic.Bool
		down.Store(true)
		w.backend.answer = func(_ context.Context, c call) event.Outcome {
			if down.Load() || c.id == "0" {
				return status(500)
			}
			return ok()
		}
		w.storeMany(5, unordered) // all are tried, and then due in hours only
		w.until(time.Minute, "down", func() bool { return w.d.Stats()[0].Down })
		time.Sleep(10 * time.Minute)
		down.Store(false)
		w.until(time.Minute, "up again", func() bool { return !w.d.Stats()[0].Down })
	})
}

func TestProbesCountOnceAnotherEventHasSucceeded(t *testing.T) {
	t.Parallel()
	inWorld(t, deliver.Policy{Attempts: 8}, func(w *world) {
		var down atomic.Bool
		down.Store(true)
		w.backend.answer = func(_ context.Context, c call) event.Outcome {
			if down.Load() || c.id == "poison" {
				return status(500)
			}
			return ok()
		}
		poison := w.accept("poison")
		w.storeMany(4, unordered)
		w.until(time.Minute, "down", func() bool { return w.d.Stats()[0].Down })
		time.Sleep(time.Hour)
		if d := w.state(poison); d.State != event.Pending || d.Attempts < 10 || d.Attempts-d.Excused > 5 {
			t.Errorf("while it is down: %+v, want many attempts, nearly all excused", d)
		}
		down.Store(false)
		w.until(time.Hour, "dead", func() bool { return w.state(poison).State == event.Dead })
		if n := w.count(event.Delivered); n != 4 {
			t.Errorf("%d are delivered, want 4", n)
		}
	})
}

func TestAFlappingBackendGetsEverythingInTheEnd(t *testing.T) {
	t.Parallel()
	inWorld(t, deliver.Policy{For: time.Hour}, func(w *world) {
		began := time.Now()
		w.backend.answer = func(context.Context, call) event.Outcome {
			time.Sleep(20 * time.Millisecond)
			if time.Since(began) < 10*time.Minute && time.Since(began)/(5*time.Second)%2 == 1 {
				return status(503)
			}
			return ok()
		}
		for i := range 6000 { // ten a second
			w.accept(fmt.Sprint(i))
			time.Sleep(100 * time.Millisecond)
		}
		if n := w.count(event.Delivered); n < 2000 {
			t.Errorf("while it flapped %d were delivered, want at least a third", n)
		}
		w.until(15*time.Minute, "all delivered", func() bool { return w.count(event.Delivered) == 6000 })
	})
}

func TestTheRateHoldsOverBurstsReplaysAndReloads(t *testing.T) {
	t.Parallel()
	inWorld(t, deliver.Policy{Rate: 10}, func(w *world) {
		w.storeMany(600, unordered)
		for range 60 {
			time.Sleep(time.Second)
			w.configure(deliver.Policy{Rate: 10})
		}
		page, err := w.store.Query(w.Context(), store.Filter{State: event.Delivered, Limit: 100})
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range page.Rows {
			if _, err := w.store.Command(w.Context(), store.Command{Action: store.Replay, Event: row.ID}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		calls := w.backend.calls()
		if len(calls) != 700 {
			t.Errorf("%d attempts, want 700", len(calls))
		}
		for i := 11; i < len(calls); i++ { // of any twelve the first and the last are a second apart or more
			if gap := calls[i].at.Sub(calls[i-11].at); gap < time.Second-time.Millisecond {
				t.Fatalf("twelve attempts within %v", gap)
			}
		}
	})
}

func TestKeysKeepTheirOrderThroughFailures(t *testing.T) {
	t.Parallel()
	inWorld(t, deliver.Policy{Concurrency: 64}, func(w *world) {
		random := rand.New(rand.NewPCG(1, 2))
		const keys, events = 100, 3000
		var mu sync.Mutex
		last, running := map[int]int{}, map[int]bool{}
		w.backend.answer = func(_ context.Context, c call) event.Outcome {
			var i int
			_, _ = fmt.Sscan(c.id, &i)
			mu.Lock()
			if running[i%keys] {
				t.Errorf("two of key %d at once", i%keys)
			}
			running[i%keys] = true
			fail, takes := random.IntN(4) == 0, time.Duration(random.IntN(30))*time.Millisecond
			mu.Unlock()
			time.Sleep(takes)
			mu.Lock()
			defer mu.Unlock()
			running[i%keys] = false
			if fail {
				return status(400)
			}
			if before, any := last[i%keys]; any && before >= i {
				t.Errorf("of key %d came %d after %d", i%keys, i, before)
			}
			last[i%keys] = i
			return ok()
		}
		w.storeMany(events, func(i int) uint64 { return uint64(i%keys) + 1 })
		w.until(10*time.Hour, "all delivered", func() bool { return w.count(event.Delivered) == events })
		w.backend.mu.Lock()
		defer w.backend.mu.Unlock()
		if w.backend.mostOnce < 8 {
			t.Errorf("at most %d at once: keys wait for each other", w.backend.mostOnce)
		}
	})
}

func TestWhileHealthChecksFindNothingNothingIsSent(t *testing.T) {
	t.Parallel()
	inWorld(t, deliver.Policy{}, func(w *world) {
		var healthy atomic.Bool
		states := make(chan string, 8)
		w.d.Stop(w.Context())
		w.d = deliver.New(deliver.Options{Queue: w.store, Observe: deliver.Observer{
			State: func(_ event.Destination, from, to, _ string) { states <- from + " " + to },
		}})
		w.d.Configure(map[event.Destination]deliver.Target{shop: {Forwarder: w.backend, Healthy: healthy.Load}})
		w.d.Start()
		w.accept("one")
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := len(w.backend.calls()); n != 0 || !w.d.Stats()[0].Down || w.d.Hurry(shop) {
			t.Errorf("%d attempts while nothing is healthy: %+v", n, w.d.Stats()[0])
		}
		healthy.Store(true)
		w.until(2*time.Second, "delivered", func() bool { return w.count(event.Delivered) == 1 })
		if len(states) != 2 || <-states != "up down" || <-states != "down up" {
			t.Error("want that it went down and came up once")
		}
	})
}

func TestAPauseAlsoHoldsWhatWaitsInMemory(t *testing.T) {
	t.Parallel()
	inWorld(t, deliver.Policy{Concurrency: 1}, func(w *world) {
		w.backend.answer = func(context.Context, call) event.Outcome {
			time.Sleep(time.Second)
			return ok()
		}
		for i := range 20 {
			w.accept(fmt.Sprint(i))
		}
		time.Sleep(1500 * time.Millisecond)
		w.pause(store.Pause)
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := len(w.backend.calls()); n != 2 {
			t.Errorf("%d attempts, want two: the second was under way", n)
		}
		w.pause(store.Resume)
		w.until(time.Minute, "all delivered", func() bool { return w.count(event.Delivered) == 20 })
	})
}

func (w *world) pause(a store.Action) {
	w.Helper()
	if _, err := w.store.Command(w.Context(), store.Command{Action: a, Target: shop}); err != nil {
		w.Fatal(err)
	}
}

func TestWhoHurriesIsSentAtOnceOrNotAtAll(t *testing.T) {
	t.Parallel()
	inWorld(t, deliver.Policy{Concurrency: 1}, func(w *world) {
		w.backend.answer = func(_ context.Context, c call) event.Outcome {
			time.Sleep(time.Second)
			out := ok()
			out.Reply = []byte("reply to " + c.id)
			return out
		}
		if !w.d.Hurry(shop) || w.d.Hurry(shop) {
			t.Fatal("want one slot, and no second one")
		}
		r, err := w.store.Accept(w.Context(), store.Admission{
			Event: &event.Event{Source: "shop", ProviderID: "one", Received: time.Now(), Body: []byte("{}")},
			Owed:  []store.Owed{{Destination: "default", Lease: true}},
		})
		if err != nil {
			t.Fatal(err)
		}
		got := make(chan event.Outcome, 2)
		w.d.OfferNow(r.Leases[0], 100, func(out event.Outcome) {
			if w.state(r).State != event.Delivered {
				t.Error("told before it was settled")
			}
			got <- out
		})
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if len(got) != 1 || string((<-got).Reply) != "reply to one" {
			t.Error("want one reply")
		}
		if !w.d.Hurry(shop) {
			t.Fatal("the slot is not free again")
		}
		w.d.CancelNow(shop)
		w.accept("two")
		w.until(2*time.Second, "the other delivered", func() bool { return w.count(event.Delivered) == 2 })
	})
}

// counting counts how often a queue is asked.
type counting struct {
	store.Queue
	asked atomic.Int64
}

func (q *counting) Lease(ctx context.Context, d event.Destination, r store.LeaseRequest) ([]store.Lease, time.Time, error) {
	q.asked.Add(1)
	return q.Queue.Lease(ctx, d, r)
}

func TestTheQueueIsNotAskedInASpin(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer func(context.Context, call) event.Outcome
		after  store.Action
		rate   float64
	}{
		"down with nothing left":   {answer: func(context.Context, call) event.Outcome { return status(500) }, after: store.Discard},
		"down and paused":          {answer: func(context.Context, call) event.Outcome { return status(500) }, after: store.Pause},
		"a backlog and a slow one": {answer: func(context.Context, call) event.Outcome { time.Sleep(10 * time.Minute); return ok() }},
		"a low rate":               {answer: func(context.Context, call) event.Outcome { return ok() }, rate: 1. / 600},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, deliver.Policy{}, func(w *world) {
				w.d.Stop(w.Context())
				w.backend.answer = c.answer
				q := &counting{Queue: w.store}
				w.d = deliver.New(deliver.Options{Queue: q})
				w.d.Configure(map[event.Destination]deliver.Target{shop: {
					Policy: deliver.Policy{Timeout: time.Hour, Rate: c.rate, Concurrency: 2}, Forwarder: w.backend,
				}})
				w.storeMany(50, unordered)
				w.d.Start()
				time.Sleep(10 * time.Minute)
				w.all(c.after)
				before := q.asked.Load()
				time.Sleep(10 * time.Hour)
				if n := q.asked.Load() - before; n > 2*10*3600/30+200 {
					t.Errorf("in ten hours it was asked %d times", n)
				}
			})
		})
	}
}

// all does something to every event, or to the destination.
func (w *world) all(a store.Action) {
	w.Helper()
	if a == store.Pause {
		w.pause(a)
	}
	page, err := w.store.Query(w.Context(), store.Filter{Limit: 100})
	if err != nil {
		w.Fatal(err)
	}
	for _, row := range page.Rows {
		if a == store.Discard {
			if _, err := w.store.Command(w.Context(), store.Command{Action: a, Event: row.ID}); err != nil {
				w.Fatal(err)
			}
		}
	}
}

// slow is a queue that takes a second to answer.
type slow struct{ store.Queue }

func (q slow) Lease(ctx context.Context, d event.Destination, r store.LeaseRequest) ([]store.Lease, time.Time, error) {
	leases, next, err := q.Queue.Lease(ctx, d, r)
	time.Sleep(time.Second)
	return leases, next, err
}

func TestWhatComesDueWhileTheQueueAnswersDoesNotWaitForTheNextRound(t *testing.T) {
	t.Parallel()
	inWorld(t, deliver.Policy{}, func(w *world) {
		w.d.Stop(w.Context())
		var failed atomic.Bool
		w.backend.answer = func(context.Context, call) event.Outcome {
			if failed.CompareAndSwap(false, true) {
				return status(302)
			}
			return ok()
		}
		w.d = deliver.New(deliver.Options{Queue: slow{w.store}})
		backoff := deliver.Schedule{First: 900 * time.Millisecond, Max: 900 * time.Millisecond}
		w.d.Configure(map[event.Destination]deliver.Target{shop: {
			Policy: deliver.Policy{Backoff: backoff}, Forwarder: w.backend,
		}})
		w.storeMany(1, unordered)
		w.d.Start()
		w.until(10*time.Second, "the second attempt made", func() bool { return w.count(event.Delivered) == 1 })
	})
}
