package jobs

import (
	"context"
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/internal/testkit"
	"github.com/caddy-webhooks/caddy-webhooks/store"
	"github.com/caddy-webhooks/caddy-webhooks/store/local"
)

// What a replay makes wait stays within the bytes that are left to jobs; where
// nothing waits, one event goes however large it is.
func TestAReplayStaysWithinTheBacklog(t *testing.T) {
	t.Parallel()
	inTime(t, 0, func(d *desk) {
		other := event.Destination{Source: "shop", Name: "other"}
		d.accept(0) // waits, with two bytes
		r := New(Options{Store: d.s, Room: func() int64 { return 10 }})
		parcels := func(to event.Destination, size int64, grows bool) (all []parcel) {
			for range 5 {
				all = append(all, parcel{to: to, size: size, grows: grows})
			}
			return all
		}
		for _, c := range []struct {
			action store.Action
			all    []parcel
			want   int
			why    string
		}{
			{store.Replay, parcels(shop, 4, true), 2, "2 bytes wait for delivery"},
			{store.Replay, parcels(shop, 9, true), 0, "2 bytes wait for delivery"},
			{store.Replay, parcels(other, 9, true), 1, "2 bytes wait for delivery"},
			{store.Replay, parcels(shop, 9, false), 5, ""},
			{store.Discard, parcels(shop, 9, true), 5, ""},
		} {
			n, why := r.fit(plan{action: c.action}, c.all)
			if n != c.want || !strings.HasPrefix(why, c.why) {
				t.Errorf("%+v: %d %q, want %d", c.all[0], n, why, c.want)
			}
		}
	})
}

// slow is a store whose commands take a second.
type slow struct{ store.Store }

func (slow) Command(context.Context, store.Command) (store.Done, error) {
	time.Sleep(time.Second)
	return store.Done{}, nil
}

func TestWhatIsDeliveredInAnOrderIsCommandedOneByOne(t *testing.T) {
	t.Parallel()
	inTime(t, 0, func(d *desk) {
		r := New(Options{Store: slow{d.s}})
		for ordered, want := range map[bool]time.Duration{false: 2 * time.Second, true: (abreast + 1) * time.Second} {
			all := make([]parcel, abreast+1)
			all[3].ordered = ordered
			began := time.Now()
			if err := r.act(d.Context(), r.add(Job{ID: "a"}), all); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(began); took != want {
				t.Errorf("with an order %v: it takes %v, want %v", ordered, took, want)
			}
		}
	})
}

// noted is a job as the store has it.
func (d *desk) noted(id string) (job Job, note []byte) {
	d.Helper()
	note = d.s.Kept()[notePrefix+id]
	if err := json.Unmarshal(note, &job); err != nil {
		d.Fatal(err)
	}
	return job, note
}

func TestAJobNotesHowFarItIs(t *testing.T) {
	t.Parallel()
	inTime(t, 100, func(d *desk) {
		id := d.begin(Order{Action: store.Replay, Rate: 1}).ID
		for range 60 {
			time.Sleep(time.Second)
			job, note := d.noted(id)
			if now := d.job(id); now.Changed-job.Changed > abreast+1 || uint64(job.Changed) != job.After {
				t.Fatalf("noted is %s while it is at %d with %d", note, now.After, now.Changed)
			}
		}
		d.r.Stop()
		if job, _ := d.noted(id); job.Changed < 59 || uint64(job.Changed) != job.After {
			t.Errorf("at the end was noted %+v", job)
		}
	})
}

// What a job has done is counted once, over an orderly restart as it is, and over
// a crash together with what it finds done.
func TestTheCountsOutliveRestarts(t *testing.T) {
	t.Parallel()
	const n = 300
	for _, crashes := range []bool{false, true} {
		inTime(t, n, func(d *desk) {
			job := d.begin(Order{Action: store.Replay, Rate: 100, Filters: url.Values{"since": {"-1h"}}})
			for range 4 {
				time.Sleep(770 * time.Millisecond)
				d.deliver(event.Delivered)
				_, note := d.noted(job.ID)
				d.r.Stop()
				if crashes {
					if err := d.s.Keep(d.Context(), notePrefix+job.ID, note); err != nil {
						t.Fatal(err)
					}
				}
				d.open()
			}
			time.Sleep(time.Minute)
			job = d.job(job.ID)
			if job.State != Done || job.Changed+job.Spared != n || job.Skipped != 0 || (job.Spared > 0) != crashes {
				t.Errorf("with crashes %v: %+v", crashes, job)
			}
		})
	}
}

// The same over the store that people have.
func TestAJobOverTheLocalStore(t *testing.T) {
	t.Parallel()
	s, err := local.Open(local.Options{Dir: t.TempDir(), Limits: store.Limits{MinFree: 1}})
	if err != nil {
		t.Fatal(err)
	}
	d := &desk{T: t, s: s}
	const n = 300
	for i := range n {
		d.accept(i)
	}
	if got := d.deliver(event.Dead); got != n {
		t.Fatalf("%d were due", got)
	}
	d.open()
	testkit.Eventually(t, "all are dead", func() bool {
		matched, _, err := d.r.Count(t.Context(), Order{Action: store.Replay, Filters: url.Values{"state": {"dead"}}})
		return err == nil && matched == n
	})
	job := d.begin(Order{Action: store.Replay, Rate: 1000, Filters: url.Values{"source": {"shop"}, "state": {"dead"}}})
	for range 3 {
		testkit.Eventually(t, "it goes on", func() bool { return d.job(job.ID).Changed > 50 })
		d.open()
	}
	testkit.Eventually(t, "it is done", func() bool { return d.job(job.ID).State == Done })
	if job = d.job(job.ID); job.Changed != n || job.Skipped+job.Spared != 0 {
		t.Errorf("%+v", job)
	}
	if got := d.deliver(event.Delivered); got != n {
		t.Errorf("%d are due, want all %d", got, n)
	}
	d.r.Stop()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
