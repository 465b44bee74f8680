package jobs

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/store"
	"github.com/caddy-webhooks/caddy-webhooks/store/memory"
)

var shop = event.Destination{Source: "shop", Name: "default"}

// desk is a runner over a store, in virtual time.
type desk struct {
	*testing.T
	s store.Store
	r *Runner
}

// inTime runs f with a desk whose store holds n events that were delivered.
func inTime(t *testing.T, n int, f func(d *desk)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		d := &desk{T: t, s: memory.New(memory.Options{})}
		for i := range n {
			d.accept(i)
		}
		d.deliver(event.Delivered)
		time.Sleep(time.Minute)
		d.open()
		f(d)
		d.r.Stop()
		if err := d.s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// open begins anew with what the store has, as after a restart.
func (d *desk) open() {
	if d.r != nil {
		d.r.Stop()
	}
	d.r = New(Options{Store: d.s, Room: func() int64 { return 1 << 30 }})
	d.r.Start()
}

func (d *desk) accept(i int) {
	d.Helper()
	_, err := d.s.Accept(d.Context(), store.Admission{
		Event: &event.Event{Source: "shop", ProviderID: fmt.Sprint(i), Type: []string{"even", "odd"}[i%2], Received: time.Now(), Body: []byte("{}")},
		Owed:  []store.Owed{{Destination: "default"}},
	})
	if err != nil {
		d.Fatal(err)
	}
}

func (d *desk) due() []store.Lease {
	d.Helper()
	now := time.Now()
	leases, _, err := d.s.Lease(d.Context(), shop, store.LeaseRequest{Now: now, Until: now.Add(time.Hour), Max: 1 << 20, MaxBytes: 1 << 30})
	if err != nil {
		d.Fatal(err)
	}
	return leases
}

// deliver settles all that is due, and tells how many that were.
func (d *desk) deliver(state event.State) int {
	d.Helper()
	leases := d.due()
	for _, l := range leases {
		err := d.s.Settle(l, store.Settlement{Attempt: event.Attempt{Destination: "default", Number: l.Attempt, At: time.Now(), Status: 200}, State: state})
		if err != nil {
			d.Fatal(err)
		}
	}
	return len(leases)
}

func (d *desk) begin(o Order) Job {
	d.Helper()
	if o.Filters == nil {
		o.Filters = url.Values{"source": {"shop"}}
	}
	job, err := d.r.Begin(d.Context(), o)
	if err != nil {
		d.Fatal(err)
	}
	return job
}

func (d *desk) job(id string) Job {
	d.Helper()
	job, err := d.r.Job(id)
	if err != nil {
		d.Fatal(err)
	}
	return job
}

func TestAJobSendsOnlyAsManyAsAreBorne(t *testing.T) {
	t.Parallel()
	const n = 2500
	inTime(t, n, func(d *desk) {
		job := d.begin(Order{Action: store.Replay})
		if job.Matched != n {
			t.Errorf("%d match, want %d", job.Matched, n)
		}
		sent := 0
		for round := range 3 {
			time.Sleep(time.Minute)
			if job = d.job(job.ID); round < 2 && (job.State != Running || !strings.Contains(job.Waiting, "shop/default")) {
				t.Errorf("round %d: %+v, want it to wait", round, job)
			}
			k := d.deliver(event.Delivered)
			if k > window {
				t.Errorf("round %d: %d wait, more than %d", round, k, window)
			}
			sent += k
		}
		time.Sleep(time.Minute)
		if job = d.job(job.ID); job.State != Done || job.Changed != n || sent != n || job.Waiting != "" || job.Ended == nil {
			t.Errorf("%d were sent; %+v", sent, job)
		}
	})
}

func TestARateIsKept(t *testing.T) {
	t.Parallel()
	inTime(t, 300, func(d *desk) {
		job := d.begin(Order{Action: store.Replay, Rate: 10})
		for second := range 10 {
			time.Sleep(time.Second)
			if n := d.job(job.ID).Changed; n < int64(second*10) || n > int64(second*10+21) {
				t.Errorf("after %d s %d were sent at 10 a second", second+1, n)
			}
		}
		time.Sleep(time.Minute)
		if job = d.job(job.ID); job.State != Done || job.Changed != 300 {
			t.Errorf("%+v", job)
		}
	})
}

// What the job has sent again is spared after a crash, though the job's note is
// older than that.
func TestAfterACrashNothingIsSentTwice(t *testing.T) {
	t.Parallel()
	const n = 500
	inTime(t, n, func(d *desk) {
		job := d.begin(Order{Action: store.Replay, Rate: 100, Filters: url.Values{"since": {"-1h"}}})
		note := d.s.Kept()[notePrefix+job.ID]
		sent := map[string]int{}
		for crash := range 20 {
			time.Sleep(350 * time.Millisecond)
			for _, l := range d.due() {
				sent[l.Event.ProviderID]++
				state := []event.State{event.Delivered, event.Dead}[crash%2]
				if err := d.s.Settle(l, store.Settlement{Attempt: event.Attempt{Number: 1, At: time.Now()}, State: state}); err != nil {
					t.Fatal(err)
				}
			}
			d.r.Stop()
			if d.job(job.ID).State != Running {
				break
			}
			if err := d.s.Keep(d.Context(), notePrefix+job.ID, note); err != nil { // as if none had been written since
				t.Fatal(err)
			}
			d.open()
		}
		time.Sleep(time.Minute)
		for _, l := range d.due() {
			sent[l.Event.ProviderID]++
		}
		for id, times := range sent {
			if times != 1 {
				t.Errorf("event %s was sent %d times", id, times)
			}
		}
		if len(sent) != n {
			t.Errorf("%d were sent, want all %d", len(sent), n)
		}
	})
}

func TestWhatComesAfterAJobBeganIsNotItsBusiness(t *testing.T) {
	t.Parallel()
	inTime(t, 10, func(d *desk) {
		job := d.begin(Order{Action: store.Discard, Rate: 5, Filters: url.Values{"state": {"pending"}}})
		if job.Matched != 0 {
			t.Errorf("%+v", job)
		}
		d.accept(10)
		job = d.begin(Order{Action: store.Discard, Rate: 1, Filters: url.Values{"state": {"pending"}}})
		d.accept(11)
		time.Sleep(time.Minute)
		if job = d.job(job.ID); job.Changed != 1 || job.State != Done {
			t.Errorf("%+v, want the one that was there", job)
		}
		if n := d.deliver(event.Delivered); n != 1 {
			t.Errorf("%d wait, want the one that came later", n)
		}
	})
}

func TestACancelledJobStaysCancelled(t *testing.T) {
	t.Parallel()
	inTime(t, 100, func(d *desk) {
		job := d.begin(Order{Action: store.Replay, Rate: 1})
		time.Sleep(10 * time.Second)
		left, err := d.r.Cancel(d.Context(), job.ID, "me")
		if err != nil || left.State != Cancelled || left.Error != "cancelled by me" || left.Changed > 12 {
			t.Errorf("%+v, %v", left, err)
		}
		d.open()
		time.Sleep(time.Hour)
		if now := d.job(job.ID); now.State != Cancelled || now.Changed != left.Changed {
			t.Errorf("after a restart %+v", now)
		}
		if _, err := d.r.Cancel(d.Context(), job.ID, "me"); !errors.Is(err, ErrEnded) {
			t.Errorf("cancelling again: %v", err)
		}
	})
}

func TestJobsAreBoundedAndForgotten(t *testing.T) {
	t.Parallel()
	inTime(t, 20, func(d *desk) {
		var running []string
		for range MaxRunning {
			running = append(running, d.begin(Order{Action: store.Replay, Rate: 0.001}).ID)
		}
		if _, err := d.r.Begin(d.Context(), Order{Action: store.Replay, Filters: url.Values{"source": {"shop"}}}); !errors.Is(err, ErrTooMany) {
			t.Errorf("one too many: %v", err)
		}
		for _, id := range running {
			if _, err := d.r.Cancel(d.Context(), id, "me"); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 * maxKnown {
			d.begin(Order{Action: store.Discard})
			time.Sleep(time.Second)
		}
		if n := len(d.r.Jobs()); n != maxKnown {
			t.Errorf("%d jobs are known, want %d", n, maxKnown)
		}
		newest := d.r.Jobs()[0]
		time.Sleep(keptFor + time.Hour)
		last := d.begin(Order{Action: store.Discard})
		if list := d.r.Jobs(); len(list) != 1 || list[0].ID != last.ID || list[0].ID == newest.ID {
			t.Errorf("after a week %d are known", len(list))
		}
		d.open()
		if n := len(d.r.Jobs()); n != 1 {
			t.Errorf("after a restart %d are known", n)
		}
	})
}

// What is no passing trouble of the store ends a job.
func TestAJobThatCannotGoOnEndsWithTheReason(t *testing.T) {
	t.Parallel()
	inTime(t, 10, func(d *desk) {
		f := d.flaky()
		f.command = errors.New("the journal is of a later version")
		job := d.begin(Order{Action: store.Replay})
		time.Sleep(time.Second)
		if job = d.job(job.ID); job.State != Failed || !strings.Contains(job.Error, "a later version") {
			t.Errorf("%+v", job)
		}
	})
}

func TestAJobWaitsForAStoreThatFailsForAWhile(t *testing.T) {
	t.Parallel()
	for _, passing := range []error{store.ErrUnavailable, store.ErrFull} {
		inTime(t, 100, func(d *desk) {
			f := d.flaky()
			job := d.begin(Order{Action: store.Replay, Rate: 1})
			time.Sleep(5 * time.Second)
			f.set(&f.command, passing)
			f.set(&f.keep, passing)
			f.set(&f.query, passing)
			time.Sleep(time.Hour)
			v := d.job(job.ID)
			if v.State != Running || !strings.Contains(v.Waiting, "the store is failing: ") || !strings.Contains(v.Waiting, passing.Error()) {
				t.Errorf("while it fails: %+v", v)
			}
			f.set(&f.command, nil)
			f.set(&f.keep, nil)
			f.set(&f.query, nil)
			time.Sleep(time.Hour)
			if v = d.job(job.ID); v.State != Done || v.Changed != 100 || v.Waiting != "" {
				t.Errorf("when it works again: %+v", v)
			}
		})
	}
}

func TestACancelThatCannotBeNotedIsNotSaidToBeDone(t *testing.T) {
	t.Parallel()
	inTime(t, 100, func(d *desk) {
		f := d.flaky()
		job := d.begin(Order{Action: store.Replay, Rate: 1})
		time.Sleep(5 * time.Second)
		f.set(&f.keep, store.ErrUnavailable)
		for range 2 {
			if _, err := d.r.Cancel(d.Context(), job.ID, "me"); !errors.Is(err, store.ErrUnavailable) {
				t.Errorf("while it cannot be noted: %v", err)
			}
		}
		left := d.job(job.ID)
		time.Sleep(time.Hour)
		v := d.job(job.ID)
		if v.State != Running || v.Changed != left.Changed || !strings.Contains(v.Waiting, "it is cancelled, and that cannot be noted") {
			t.Errorf("it goes on, or says that it is cancelled: %+v", v)
		}
		f.set(&f.keep, nil)
		time.Sleep(time.Minute)
		if v = d.job(job.ID); v.State != Cancelled || v.Error != "cancelled by me" || v.Waiting != "" {
			t.Errorf("when it can be noted: %+v", v)
		}
		d.open()
		time.Sleep(time.Hour)
		if v = d.job(job.ID); v.State != Cancelled || v.Changed != left.Changed {
			t.Errorf("after a restart: %+v", v)
		}
	})
}

// To look at jobs does not wait for a disk that hangs.
func TestJobsAreShownWhileANoteHangs(t *testing.T) {
	t.Parallel()
	inTime(t, 10, func(d *desk) {
		f := d.flaky()
		first := d.begin(Order{Action: store.Replay, Rate: 0.001})
		f.hang = make(chan struct{})
		begun := make(chan error, 2)
		for range 2 {
			go func() {
				_, err := d.r.Begin(d.Context(), Order{Action: store.Replay, Filters: url.Values{"source": {"shop"}}})
				begun <- err
			}()
		}
		synctest.Wait()
		if list := d.r.Jobs(); len(list) != 1 || d.job(first.ID).State != Running {
			t.Errorf("%+v", list)
		}
		impatient, stop := context.WithTimeout(d.Context(), time.Minute)
		defer stop()
		if _, err := d.r.Begin(impatient, Order{Action: store.Replay, Filters: url.Values{"source": {"shop"}}}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("one that does not wait longer: %v", err)
		}
		close(f.hang)
		for range 2 {
			if err := <-begun; err != nil {
				t.Error(err)
			}
		}
	})
}

// flaky is a store that fails while it is told to.
type flaky struct {
	store.Store

	mu                   sync.Mutex
	command, keep, query error
	hang                 chan struct{}
}

// flaky opens the desk over a store that can be told to fail.
func (d *desk) flaky() *flaky {
	d.r.Stop()
	f := &flaky{Store: d.s}
	d.s = f
	d.open()
	return f
}

func (f *flaky) set(which *error, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	*which = err
}

func (f *flaky) get(which *error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return *which
}

func (f *flaky) Command(ctx context.Context, c store.Command) (store.Done, error) {
	if err := f.get(&f.command); err != nil {
		return store.Done{}, err
	}
	return f.Store.Command(ctx, c) //nolint:wrapcheck // it is in place of it
}

func (f *flaky) Query(ctx context.Context, v store.Filter) (store.Page, error) {
	if err := f.get(&f.query); err != nil {
		return store.Page{}, err
	}
	return f.Store.Query(ctx, v) //nolint:wrapcheck // it is in place of it
}

func (f *flaky) Keep(ctx context.Context, name string, v []byte) error {
	if f.hang != nil {
		<-f.hang
	}
	if err := f.get(&f.keep); err != nil {
		return err
	}
	return f.Store.Keep(ctx, name, v) //nolint:wrapcheck // it is in place of it
}
