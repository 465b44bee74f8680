package local_test

import (
	"context"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/store"
	"github.com/caddy-webhooks/caddy-webhooks/store/local"
)

// clocks are a wall clock that can be set and one that cannot.
type clocks struct{ wall, mono atomic.Int64 }

func newClocks() *clocks {
	c := new(clocks)
	c.wall.Store(time.Date(2027, 3, 27, 23, 0, 0, 0, time.UTC).UnixNano())
	return c
}

func (c *clocks) Now() time.Time      { return time.Unix(0, c.wall.Load()) }
func (c *clocks) Mono() time.Duration { return time.Duration(c.mono.Load()) }

// pass lets time pass; set only sets the wall clock.
func (c *clocks) pass(d time.Duration) { c.wall.Add(int64(d)); c.mono.Add(int64(d)) }
func (c *clocks) set(by time.Duration) { c.wall.Add(int64(by)) }

// dueIn waits until the store says that the next delivery is due in d.
func (c *clocks) dueIn(t *testing.T, s store.Store, d time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		page, err := s.Query(t.Context(), store.Filter{State: event.Pending})
		if err != nil || len(page.Rows) != 1 {
			t.Fatalf("%v, %v: want one pending event", page.Rows, err)
		}
		in := page.Rows[0].Deliveries[0].Next.Sub(c.Now())
		if in == d {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("it is due in %v, want %v", in, d)
		}
	}
}

// takes leases the one delivery that must be due now.
func (c *clocks) takes(t *testing.T, s store.Store, due bool) {
	t.Helper()
	leases, _, err := s.Lease(t.Context(), shop, store.LeaseRequest{Now: c.Now(), Until: c.Now().Add(time.Hour), Max: 10, MaxBytes: 1 << 20})
	if err != nil || (len(leases) == 1) != due {
		t.Fatalf("%d deliveries are due (%v), want one: %v", len(leases), err, due)
	}
}

// waiting makes a store with an event that is due in five minutes.
func (c *clocks) waiting(t *testing.T, o local.Options) store.Store {
	t.Helper()
	var s store.Store = open(t, o)
	a := admission("one", "body")
	a.Event.Received, a.Owed[0].Lease = c.Now(), true
	receipt, err := s.Accept(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	err = s.Settle(receipt.Leases[0], store.Settlement{
		Attempt: event.Attempt{Destination: "default", Number: 1, At: c.Now(), Status: 500},
		State:   event.Pending, Next: c.Now().Add(5 * time.Minute),
	})
	if err != nil {
		t.Fatal(err)
	}
	c.dueIn(t, s, 5*time.Minute)
	return s
}

func TestWhatWaitsKeepsItsWaitWhenTheClockIsSet(t *testing.T) {
	t.Parallel()
	for name, by := range map[string]time.Duration{
		"a day back": -24 * time.Hour, "a year ahead": 365 * 24 * time.Hour, "the machine slept eight hours": 8 * time.Hour,
		"an hour back, as by a wrong zone": -time.Hour, "half an hour ahead": 30 * time.Minute,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClocks()
			o := small(t, fastDir(t))
			o.Now, o.Mono = c.Now, c.Mono
			s := c.waiting(t, o)
			c.pass(time.Minute)
			c.set(by)
			c.dueIn(t, s, 4*time.Minute)
			c.takes(t, s, false)
			c.pass(4 * time.Minute)
			c.takes(t, s, true)
		})
	}
}

func TestWhatWaitsKeepsItsWaitWhenTheClockIsSetBackOverARestart(t *testing.T) {
	t.Parallel()
	for name, between := range map[string]func(dir string) error{
		"restarted":     func(string) error { return nil },
		"index deleted": func(dir string) error { return os.RemoveAll(filepath.Join(dir, "index")) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClocks()
			o := small(t, fastDir(t))
			o.Now, o.Mono = c.Now, c.Mono
			s := c.waiting(t, o)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if err := between(o.Dir); err != nil {
				t.Fatal(err)
			}
			c.set(-12 * time.Hour)
			s = open(t, o)
			c.dueIn(t, s, 5*time.Minute)
			c.takes(t, s, false)
			c.pass(5 * time.Minute)
			c.takes(t, s, true)
		})
	}
}

func TestSmallStepsOfTheClockAreLeftAlone(t *testing.T) {
	t.Parallel()
	c := newClocks()
	o := small(t, fastDir(t))
	o.Now, o.Mono = c.Now, c.Mono
	s := c.waiting(t, o)
	c.set(-30 * time.Second)
	c.pass(5 * time.Minute)
	c.takes(t, s, false)
	c.pass(30 * time.Second)
	c.takes(t, s, true)
}
