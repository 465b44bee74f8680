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
	// noteWithin is how long a note of a job's end may take until it counts as failed,
	// and a runner that stops waits for it.
	noteWithin = 5 * time.Second
	// firstDelay and lastDelay are the least and the longest wait until something is
	// tried again at which the store failed.
	firstDelay = time.Second
	lastDelay  = 30 * time.Second
)

// run works on a job until it has ended, or the process does.
func (r *Runner) run(ctx context.Context, j *running, work func(context.Context) error) {
	err := work(ctx)
	var cancelled errCancelled
	switch {
	case err == nil:
		r.end(j, Done, nil)
	case errors.As(context.Cause(ctx), &cancelled):
		r.end(j, Cancelled, cancelled)
	case r.ctx.Err() != nil || errors.Is(err, store.ErrClosed):
		r.leave(j)
	default:
		r.end(j, Failed, err)
	}
}

// leave notes where a job goes on at the next start. It can be done without: then
// it goes on from what was noted last.
func (r *Runner) leave(j *running) {
	r.mu.Lock()
	job := j.safe
	r.mu.Unlock()
	if err := r.noteSoon(&job); err != nil && !errors.Is(err, store.ErrClosed) {
		r.o.Logger.Warn("where a job goes on could not be noted; it goes on from what was noted last", "job", j.ID, "error", err)
	}
}

// end notes a job's end, and only then has it ended: what is said to be cancelled
// must not go on after a restart. A note that fails is tried again, for as long as
// the process lives.
func (r *Runner) end(j *running, state State, why error) {
	now := r.o.Now().UTC()
	r.mu.Lock()
	job := j.Job
	r.mu.Unlock()
	job.State, job.Ended, job.Waiting = state, &now, ""
	if why != nil {
		job.Error = cut(why.Error())
	}
	for delay := firstDelay; ; delay = min(2*delay, lastDelay) {
		err := r.noteSoon(&job)
		if err == nil {
			break
		}
		if r.ctx.Err() != nil || errors.Is(err, store.ErrClosed) {
			return
		}
		if r.unnoted(j, state, err) {
			r.o.Logger.Error("the end of a job could not be noted; it is tried again", "job", j.ID, "state", string(state), "error", err)
		}
		if sleep(r.ctx, delay) != nil {
			return
		}
	}
	r.mu.Lock()
	j.Job = job
	r.mu.Unlock()
	r.o.Logger.Info("job ended", append(attributes(&job), "state", string(state), "error", job.Error)...)
}

// noteSoon notes a job, though the runner stops.
func (r *Runner) noteSoon(job *Job) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.ctx), noteWithin)
	defer cancel()
	job.Waiting = "" // it is nothing to go on with
	return r.note(ctx, job)
}

// unnoted keeps why a job's end could not be noted, for whoever waits for it. It
// tells whether that is the first time.
func (r *Runner) unnoted(j *running, state State, err error) (first bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if first = j.noteErr == nil; first {
		close(j.failing)
	}
	j.noteErr = err
	j.Waiting = cut(fmt.Sprintf("it is %s, and that cannot be noted: %v", state, err))
	return first
}

// patiently does something until the store does not fail at it, and says meanwhile
// why the job waits: a disk that is full or away for a while ends no job.
func (r *Runner) patiently(ctx context.Context, j *running, f func() error) error {
	for delay := firstDelay; ; delay = min(2*delay, lastDelay) {
		err := f()
		if !errors.Is(err, store.ErrUnavailable) && !errors.Is(err, store.ErrFull) {
			return err
		}
		r.waits(j, cut(fmt.Sprintf("the store is failing: %v", err)))
		if err := sleep(ctx, delay); err != nil {
			return err
		}
		r.waits(j, "")
	}
}

func (r *Runner) waits(j *running, why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	j.Waiting = why
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
		page, err := r.query(ctx, j, f)
		if err != nil {
			return err
		}
		for some := range slices.Chunk(page.Rows, abreast) {
			if err := r.handle(ctx, j, p, some, pace); err != nil {
				return err
			}
			if r.o.Now().Sub(noted).Abs() >= noteEvery {
				if err := r.patiently(ctx, j, func() error { return r.progress(ctx, j) }); err != nil {
					return err
				}
				noted = r.o.Now()
			}
		}
		if page.Next == 0 {
			return nil
		}
		r.reached(j, page.Next)
	}
}

func (r *Runner) query(ctx context.Context, j *running, f store.Filter) (page store.Page, err error) {
	err = r.patiently(ctx, j, func() (err error) {
		page, err = r.o.Store.Query(ctx, f)
		return err //nolint:wrapcheck // below
	})
	if err != nil {
		return page, fmt.Errorf("looking for what matches: %w", err)
	}
	return page, nil
}

// progress notes how far a job is: its place and its counts, which belong together.
func (r *Runner) progress(ctx context.Context, j *running) error {
	r.mu.Lock()
	job := j.safe
	r.mu.Unlock()
	job.Waiting = "" // it is nothing to go on with
	return r.note(ctx, &job)
}

// handle acts on some events.
func (r *Runner) handle(ctx context.Context, j *running, p plan, rows []store.Row, pace *pace) error {
	all := r.sorted(j, p, rows)
	for len(all) > 0 {
		n := r.pass(j, all)
		if n == 0 {
			var err error
			if n, err = r.some(ctx, j, p, all, pace); err != nil {
				return err
			}
		}
		if all = all[n:]; len(all) > 0 {
			r.reached(j, all[0].seq-1)
		}
	}
	r.reached(j, rows[len(rows)-1].Seq)
	return nil
}

// sorted lists the parcels of some events. To one that went on after a restart,
// what was settled since it began may be its own work.
func (r *Runner) sorted(j *running, p plan, rows []store.Row) (all []parcel) {
	for _, row := range rows {
		for _, v := range p.parcels(row) {
			c := v.command
			c.Before = j.Began
			v.spared = j.resumed && !v.orphaned && store.Spared(c, &v.before)
			all = append(all, v)
		}
	}
	return all
}

// pass counts the first of the parcels that are left alone, and tells how many
// they are.
func (r *Runner) pass(j *running, all []parcel) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, v := range all {
		switch {
		case v.orphaned:
			j.Skipped++
			j.Orphaned++
		case v.spared:
			j.Spared++
		default:
			return n
		}
		n++
	}
	return n
}

// some acts on the first of the parcels, as many as there is room and time for,
// and tells how many they are.
func (r *Runner) some(ctx context.Context, j *running, p plan, all []parcel, pace *pace) (int, error) {
	if end := slices.IndexFunc(all, func(p parcel) bool { return !p.acts() }); end >= 0 {
		all = all[:end]
	}
	if ctx.Err() != nil {
		return 0, context.Cause(ctx)
	}
	n, err := r.room(ctx, j, p, all)
	if err != nil {
		return 0, err
	}
	if n, err = pace.take(ctx, r.o.Now, min(n, abreast)); err != nil {
		return 0, err
	}
	return n, r.act(ctx, j, all[:n])
}

// reached notes for itself that everything up to an event is done.
func (r *Runner) reached(j *running, seq uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	j.After = seq
	j.safe = j.Job
}

// room waits until there is room for the first of the parcels, and tells for how
// many there is.
func (r *Runner) room(ctx context.Context, j *running, p plan, all []parcel) (int, error) {
	for {
		n, why := r.fit(p, all)
		r.waits(j, why)
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
	var done store.Done
	writing, end := lingering(ctx)
	defer end()
	err := r.patiently(ctx, j, func() (err error) {
		done, err = r.o.Store.Command(writing, c)
		return err //nolint:wrapcheck // below
	})
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

// lingering gives a context that ends a while after ctx: what is being written is
// counted where the job stops, and a disk that hangs does not hold it.
func lingering(ctx context.Context) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		_ = sleep(longer, noteWithin)
		cancel()
	})
	return longer, func() {
		stop()
		cancel()
	}
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
