package jobs

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/query"
	"github.com/caddy-webhooks/caddy-webhooks/store"
)

const (
	// MaxRunning is how many jobs run at once.
	MaxRunning = 8
	// maxKnown is how many jobs are remembered, the running ones among them.
	maxKnown = 32
	// keptFor is how long a job that has ended is remembered.
	keptFor = 7 * 24 * time.Hour
	// maxFilters bounds the filters of one job, in bytes.
	maxFilters = 1024
	// notePrefix is how the store's notes about jobs begin.
	notePrefix = "job/"
)

// Options say what a runner works with.
type Options struct {
	Store store.Store
	// Logger is told when jobs begin and end. Default: none.
	Logger *slog.Logger
	// Now is the wall clock. Default: time.Now.
	Now func() time.Time
	// Room is how many bytes of bodies may wait in all before jobs that add to them
	// pause. 0: no bound.
	Room func() int64
	// Moving is told of every move before it begins: from which source, empty for
	// all, and where to. With an error it does not begin. Default: nobody.
	Moving func(ctx context.Context, from string, to event.Destination) error
	// Configured tells whether what waits at a destination is sent. A replay leaves
	// the others alone, where it would wait for ever. Default: it is.
	Configured func(event.Destination) bool
}

// Runner carries jobs out. Its methods are safe for concurrent use.
type Runner struct {
	o      Options
	ctx    context.Context
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup

	// beginning is held while a job begins, and is written to the disk.
	beginning chan struct{}

	// mu is never held while the store writes: to look at jobs must not hang when a
	// disk does.
	mu   sync.Mutex
	jobs map[string]*running
}

// running is a job with its reins.
type running struct {
	Job
	cancel context.CancelCauseFunc
	// safe is the job at its last whole step, where it can go on.
	safe Job
	// resumed tells that it was begun by an earlier runner.
	resumed bool
	// done is closed when nothing works on it any more.
	done chan struct{}
	// failing is closed when its end could not be noted, and noteErr says why.
	failing chan struct{}
	noteErr error
}

// errStopped ends jobs with the process: they go on at the next start.
var errStopped = errors.New("the gateway stops")

// New gives a runner; Start begins.
func New(o Options) *Runner {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Room == nil {
		o.Room = func() int64 { return 0 }
	}
	if o.Moving == nil {
		o.Moving = func(context.Context, string, event.Destination) error { return nil }
	}
	if o.Configured == nil {
		o.Configured = func(event.Destination) bool { return true }
	}
	r := &Runner{o: o, jobs: map[string]*running{}, beginning: make(chan struct{}, 1)}
	r.ctx, r.cancel = context.WithCancelCause(context.Background())
	return r
}

// Start goes on with the jobs that the store knows.
func (r *Runner) Start() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, v := range r.o.Store.Kept() {
		if !strings.HasPrefix(name, notePrefix) {
			continue
		}
		var job Job
		if err := json.Unmarshal(v, &job); err != nil || notePrefix+job.ID != name {
			r.o.Logger.Error("a job cannot be read and is not gone on with", "note", name, "error", err)
			continue
		}
		j := r.add(job)
		if job.State != Running {
			close(j.done)
			continue
		}
		j.resumed = true
		r.o.Logger.Info("job goes on", attributes(&job)...)
		p, err := job.plan()
		p.configured = r.o.Configured
		r.launch(j, p, err)
	}
}

// Stop ends the work. Running jobs go on when a runner starts again.
func (r *Runner) Stop() {
	r.mu.Lock() // so that none is launched meanwhile
	r.cancel(errStopped)
	r.mu.Unlock()
	r.wg.Wait()
}

// plan reads the order again that a job came from.
func (j *Job) plan() (plan, error) {
	o := Order{Filters: url.Values{}}
	for name, v := range j.Filters {
		o.Filters.Set(name, v)
	}
	for action := range pastOf {
		if action.String() == j.Action {
			o.Action = action
		}
	}
	if source, name, ok := strings.Cut(j.To, "/"); ok {
		o.To = event.Destination{Source: source, Name: name}
	}
	return o.plan(j.Began)
}

// Count tells how many deliveries an order is about now, and how many more a
// replay would leave alone as orphans. It looks at all of them, and takes as long
// as that does.
func (r *Runner) Count(ctx context.Context, o Order) (matched, orphaned int64, err error) {
	p, err := o.plan(r.o.Now())
	if err != nil {
		return 0, 0, err
	}
	return r.count(ctx, p, 0)
}

func (r *Runner) count(ctx context.Context, p plan, upto uint64) (matched, orphaned int64, err error) {
	p.configured = r.o.Configured
	f := p.filter
	f.Limit, f.Before = query.MaxLimit, upto
	for {
		page, err := r.o.Store.Query(ctx, f)
		if err != nil {
			return 0, 0, fmt.Errorf("counting what matches: %w", err)
		}
		for _, row := range page.Rows {
			for _, v := range p.parcels(row) {
				if v.orphaned {
					orphaned++
				} else {
					matched++
				}
			}
		}
		if f.Before = page.Next; page.Next != 0 {
			continue
		}
		if matched == 0 && orphaned > 0 {
			return 0, orphaned, ErrOrphans
		}
		return matched, orphaned, nil
	}
}

// Begin makes a job of an order. What it returns has been noted durably.
//
// Errors: ErrNoFilter, ErrTooLong, ErrTooMany, ErrOrphans, the store's, and others for a
// filter that is wrong.
func (r *Runner) Begin(ctx context.Context, o Order) (Job, error) {
	now := r.o.Now()
	p, err := o.plan(now)
	if err != nil {
		return Job{}, err
	}
	job := Job{
		ID: strings.ToLower(rand.Text()[:16]), Action: o.Action.String(), Filters: map[string]string{}, Rate: o.Rate, Who: o.Who,
		State: Running, Began: now.UTC(),
	}
	for name, v := range query.Fix(o.Filters, now) {
		job.Filters[name] = v[0]
	}
	if text, err := json.Marshal(job.Filters); err != nil || len(text) > maxFilters {
		return Job{}, fmt.Errorf("%w: %d bytes of JSON, at most %d", ErrTooLong, len(text), maxFilters)
	}
	if o.To != (event.Destination{}) {
		job.To = o.To.String()
	}
	if job.Upto, err = r.newest(ctx); err != nil {
		return Job{}, err
	}
	if job.Matched, _, err = r.count(ctx, p, job.Upto); err != nil {
		return Job{}, err
	}
	p.configured = r.o.Configured
	if o.Action == store.Move {
		if err := r.o.Moving(ctx, p.filter.Source, o.To); err != nil {
			return Job{}, fmt.Errorf("moving to %s: %w", o.To, err)
		}
	}
	return r.begin(ctx, job, p)
}

// newest gives the number behind the newest event's.
func (r *Runner) newest(ctx context.Context) (uint64, error) {
	page, err := r.o.Store.Query(ctx, store.Filter{Limit: 1})
	if err != nil {
		return 0, fmt.Errorf("looking for the newest event: %w", err)
	}
	if len(page.Rows) == 0 {
		return 1, nil
	}
	return page.Rows[0].Seq + 1, nil
}

func (r *Runner) begin(ctx context.Context, job Job, p plan) (Job, error) {
	select {
	case r.beginning <- struct{}{}:
		defer func() { <-r.beginning }()
	case <-ctx.Done():
		return Job{}, fmt.Errorf("beginning a job: %w", context.Cause(ctx))
	}
	if r.ctx.Err() != nil {
		return Job{}, store.ErrClosed
	}
	if err := r.makeRoom(ctx); err != nil {
		return Job{}, err
	}
	if err := r.note(ctx, &job); err != nil {
		return Job{}, err
	}
	r.o.Logger.Info("job began", attributes(&job)...)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.launch(r.add(job), p, nil)
	return job, nil
}

// makeRoom forgets jobs that have ended long ago, or if there are many the one
// that ended first.
func (r *Runner) makeRoom(ctx context.Context) error {
	surplus, err := r.surplus()
	if err != nil {
		return err
	}
	for _, id := range surplus {
		if err := r.o.Store.Keep(ctx, notePrefix+id, nil); err != nil {
			return fmt.Errorf("forgetting job %s: %w", id, err)
		}
		r.mu.Lock()
		delete(r.jobs, id)
		r.mu.Unlock()
	}
	return nil
}

// surplus lists the jobs to forget before another one begins.
func (r *Runner) surplus() (ids []string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var ended []*running
	for _, j := range r.jobs {
		if j.State != Running {
			ended = append(ended, j)
		}
	}
	if len(r.jobs)-len(ended) >= MaxRunning {
		return nil, fmt.Errorf("%w: %d; wait for one of them, or cancel it", ErrTooMany, MaxRunning)
	}
	slices.SortFunc(ended, func(a, b *running) int { return a.Ended.Compare(*b.Ended) })
	for _, j := range ended {
		if len(r.jobs)-len(ids) < maxKnown && r.o.Now().Sub(*j.Ended) < keptFor {
			break
		}
		ids = append(ids, j.ID)
	}
	return ids, nil
}

func (r *Runner) add(job Job) *running {
	j := &running{Job: job, safe: job, done: make(chan struct{}), failing: make(chan struct{})}
	r.jobs[job.ID] = j
	return j
}

// launch sets a job going, unless the runner has stopped: then it goes on at the
// next start. One whose order cannot be read fails. The mutex is held.
func (r *Runner) launch(j *running, p plan, unread error) {
	ctx, cancel := context.WithCancelCause(r.ctx)
	j.cancel = cancel
	if r.ctx.Err() != nil {
		close(j.done)
		return
	}
	r.wg.Go(func() {
		defer close(j.done)
		defer cancel(nil)
		r.run(ctx, j, func(ctx context.Context) error {
			if unread != nil {
				return unread
			}
			return r.goThrough(ctx, j, p)
		})
	})
}

// note writes a job down.
func (r *Runner) note(ctx context.Context, job *Job) error {
	v, err := json.Marshal(job)
	if err == nil {
		err = r.o.Store.Keep(ctx, notePrefix+job.ID, v)
	}
	if err != nil {
		return fmt.Errorf("noting job %s: %w", job.ID, err)
	}
	return nil
}

// Jobs lists the jobs that are known, the newest first.
func (r *Runner) Jobs() []Job {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []Job
	for j := range maps.Values(r.jobs) {
		list = append(list, j.Job)
	}
	slices.SortFunc(list, func(a, b Job) int {
		if c := b.Began.Compare(a.Began); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return list
}

// Job gives one job, or ErrUnknown.
func (r *Runner) Job(id string) (Job, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	j := r.jobs[id]
	if j == nil {
		return Job{}, fmt.Errorf("job %s: %w", id, ErrUnknown)
	}
	return j.Job, nil
}

// errCancelled ends one job for good.
type errCancelled struct{ who string }

// Error says who.
func (e errCancelled) Error() string { return "cancelled by " + e.who }

// Cancel ends a job, and gives it as it was left. What it has done stays done. If
// the end cannot be noted, it does nothing more all the same, and only a restart
// before the note works would have it go on.
//
// Errors: ErrUnknown, ErrEnded, the store's if it could not be noted, or the
// context's if it ends before the job has.
func (r *Runner) Cancel(ctx context.Context, id, who string) (Job, error) {
	r.mu.Lock()
	j := r.jobs[id]
	if j == nil {
		r.mu.Unlock()
		return Job{}, fmt.Errorf("job %s: %w", id, ErrUnknown)
	}
	if j.State != Running {
		defer r.mu.Unlock()
		return j.Job, fmt.Errorf("job %s: %w: it is %s", id, ErrEnded, j.State)
	}
	j.cancel(errCancelled{who})
	r.mu.Unlock()
	select {
	case <-j.done:
	case <-j.failing:
	case <-ctx.Done():
		return Job{}, fmt.Errorf("job %s: %w", id, context.Cause(ctx))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case j.State != Running:
		return j.Job, nil
	case j.noteErr != nil:
		return j.Job, fmt.Errorf("job %s has stopped, but that could not be noted, and is tried again: %w", id, j.noteErr)
	}
	return j.Job, fmt.Errorf("job %s: %w", id, store.ErrClosed) // the process ends
}

func attributes(j *Job) []any {
	return []any{
		"job", j.ID, "action", j.Action, "filters", j.Filters, "to", j.To, "who", j.Who, "matched", j.Matched,
		"changed", j.Changed, "skipped", j.Skipped, "spared", j.Spared,
	}
}
