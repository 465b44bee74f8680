package jobs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/query"
	"github.com/caddy-webhooks/caddy-webhooks/store"
)

const (
	// window is how many deliveries may wait at a destination while a job sends it
	// more: who cancels a job does not find a million of them waiting already.
	window = 1000
	// abreast is how many commands are written at once, so that one sync of the
	// store serves them all.
	abreast = 32
	// lookAgain is how often a job that waits looks whether it may go on.
	lookAgain = 250 * time.Millisecond
	// noteEvery is how often a job notes how far it is.
	noteEvery = time.Second
)

// run works on a job until it has ended, or the process does.
func (r *Runner) run(ctx context.Context, j *running, p plan) {
	err := r.goThrough(ctx, j, p)
	var cancelled errCancelled
	r.mu.Lock()
	defer r.mu.Unlock()
	j.Waiting = ""
	switch {
	case err == nil:
		r.ended(j, Done, nil)
	case errors.As(context.Cause(ctx), &cancelled):
		r.ended(j, Cancelled, cancelled)
	case r.ctx.Err() != nil || errors.Is(err, store.ErrClosed):
		// It goes on at the next start, from what was noted last.
	default:
		r.ended(j, Failed, err)
	}
}

// ended notes a job's end. The mutex is held.
func (r *Runner) ended(j *running, state State, why error) {
	now := r.o.Now().UTC()
	j.State, j.Ended = state, &now
	if why != nil {
		j.Error = cut(why.Error())
	}
	if err := r.note(context.WithoutCancel(r.ctx), &j.Job); err != nil {
		r.o.Logger.Error("the end of a job could not be noted; it goes on at the next start", "job", j.ID, "error", err)
	}
	r.o.Logger.Info("job ended", append(attributes(&j.Job), "state", string(state), "error", j.Error)...)
}

// cut bounds what a note has to hold of an error.
func cut(text string) string { return text[:min(len(text), 300)] }

// goThrough takes page after page, from the oldest event on.
func (r *Runner) goThrough(ctx context.Context, j *running, p plan) error {
	f := p.filter
	f.OldestFirst, f.Before, f.Limit = true, j.Upto, query.MaxLimit/4
	pace := newPace(r.o.Now(), j.Rate)
	noted := r.o.Now()
	for {
		f.After = j.After
		page, err := r.o.Store.Query(ctx, f)
		if err != nil {
			return fmt.Errorf("looking for what matches: %w", err)
		}
		for some := range slices.Chunk(page.Rows, abreast) {
			if err := r.handle(ctx, j, p, some, pace); err != nil {
				return err
			}
			if r.o.Now().Sub(noted).Abs() >= noteEvery {
				if err := r.progress(ctx, j); err != nil {
					return err
				}
				noted = r.o.Now()
			}
		}
		if page.Next == 0 {
			return nil
		}
		r.mu.Lock()
		j.After = page.Next
		r.mu.Unlock()
	}
}

// progress notes how far a job is.
func (r *Runner) progress(ctx context.Context, j *running) error {
	r.mu.Lock()
	job := j.Job
	r.mu.Unlock()
	return r.note(ctx, &job)
}

// handle acts on some events.
func (r *Runner) handle(ctx context.Context, j *running, p plan, rows []store.Row, pace *pace) error {
	var all []parcel
	for _, row := range rows {
		all = append(all, p.parcels(row)...)
	}
	for len(all) > 0 {
		n, err := r.room(ctx, j, p, all)
		if err != nil {
			return err
		}
		if n, err = pace.take(ctx, r.o.Now, n); err != nil {
			return err
		}
		if err := r.act(ctx, j, all[:n]); err != nil {
			return err
		}
		all = all[n:]
	}
	r.mu.Lock()
	j.After = rows[len(rows)-1].Seq
	r.mu.Unlock()
	return nil
}

// room waits until there is room for the first of the parcels, and tells for how
// many there is.
func (r *Runner) room(ctx context.Context, j *running, p plan, all []parcel) (int, error) {
	for {
		n, why := r.fit(p, all)
		r.mu.Lock()
		j.Waiting = why
		r.mu.Unlock()
		if n > 0 {
			return n, nil
		}
		if err := sleep(ctx, lookAgain); err != nil {
			return 0, err
		}
	}
}

// fit tells how many of the parcels can be handed over now, and if none why not.
func (r *Runner) fit(p plan, all []parcel) (n int, why string) {
	if p.action != store.Replay { // the others make nothing more
		return len(all), ""
	}
	stats := r.o.Store.Stats()
	waits := map[event.Destination]int64{}
	for _, d := range stats.Destinations {
		waits[d.Destination] = d.Count[event.Pending]
	}
	bytes, most := stats.BacklogBytes, r.o.Room()
	for n, v := range all {
		if !v.grows {
			continue
		}
		if waits[v.to] >= window {
			return n, fmt.Sprintf("%d deliveries wait at %s; it goes on when they are fewer", waits[v.to], v.to)
		}
		if bytes += v.size; most > 0 && bytes > most && waits[v.to] > 0 {
			return n, fmt.Sprintf("%d bytes wait for delivery; it goes on when they are fewer than %d", stats.BacklogBytes, most)
		}
		waits[v.to]++
	}
	return len(all), ""
}

// act carries out some commands, about in their order: what is delivered in an
// order arrives in that order only one by one.
func (r *Runner) act(ctx context.Context, j *running, some []parcel) error {
	together := abreast
	if slices.ContainsFunc(some, func(p parcel) bool { return p.ordered }) {
		together = 1
	}
	for few := range slices.Chunk(some, together) {
		var wg sync.WaitGroup
		failed := make([]error, len(few))
		for i, p := range few {
			wg.Go(func() { failed[i] = r.one(ctx, j, p.command) })
		}
		wg.Wait()
		if err := errors.Join(failed...); err != nil {
			return err
		}
	}
	return nil
}

// one carries out one command. What a single event refuses does not stop the job.
func (r *Runner) one(ctx context.Context, j *running, c store.Command) error {
	c.Who, c.Before = fmt.Sprintf("%s, job %s", j.Who, j.ID), j.Began
	done, err := r.o.Store.Command(ctx, c)
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case err == nil:
		j.Changed += int64(len(done.Changed))
		j.Deferred += int64(len(done.Deferred))
	case errors.Is(err, store.ErrInFlight):
		j.Skipped++
		j.Sending++
	case errors.Is(err, store.ErrConflict), errors.Is(err, store.ErrUnknown), errors.Is(err, store.ErrGone):
		j.Skipped++
	default:
		return fmt.Errorf("event %s: %w", c.Event, err)
	}
	return nil
}

// pace spreads deliveries over time.
type pace struct {
	rate float64
	next time.Time
}

func newPace(now time.Time, rate float64) *pace { return &pace{rate: rate, next: now} }

// take waits until at least one may go, and tells how many of n may.
func (p *pace) take(ctx context.Context, clock func() time.Time, n int) (int, error) {
	if p.rate <= 0 {
		return n, nil
	}
	each := time.Duration(float64(time.Second) / p.rate)
	now := clock()
	if behind := now.Sub(p.next); behind > time.Second || behind < -time.Hour { // it stood still, or the clock was set
		p.next = now.Add(-min(each, time.Second))
	}
	if wait := p.next.Sub(now); wait > 0 {
		if err := sleep(ctx, wait); err != nil {
			return 0, err
		}
		now = clock()
	}
	may := min(n, max(1, int(now.Sub(p.next)/max(each, 1))))
	p.next = p.next.Add(time.Duration(may) * each)
	return may, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
