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
}

// Runner carries jobs out. Its methods are safe for concurrent use.
type Runner struct {
	o      Options
	ctx    context.Context
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup

	mu   sync.Mutex
	jobs map[string]*running
}

// running is a job with its reins.
type running struct {
	Job
	cancel context.CancelCauseFunc
	// done is closed when nothing works on it any more.
	done chan struct{}
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
	r := &Runner{o: o, jobs: map[string]*running{}}
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
		p, err := job.plan()
		switch {
		case job.State != Running:
		case err != nil:
			r.ended(j, Failed, err)
		default:
			r.o.Logger.Info("job goes on", attributes(&job)...)
			r.launch(j, p)
			continue
		}
		close(j.done)
	}
}

// Stop ends the work. Running jobs go on when a runner starts again.
func (r *Runner) Stop() {
	r.cancel(errStopped)
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

// Count tells how many deliveries an order is about now. It looks at all of
// them, and takes as long as that does.
func (r *Runner) Count(ctx context.Context, o Order) (int64, error) {
	p, err := o.plan(r.o.Now())
	if err != nil {
		return 0, err
	}
	return r.count(ctx, p, 0)
}

func (r *Runner) count(ctx context.Context, p plan, upto uint64) (n int64, err error) {
	f := p.filter
	f.Limit, f.Before = query.MaxLimit, upto
	for {
		page, err := r.o.Store.Query(ctx, f)
		if err != nil {
			return 0, fmt.Errorf("counting what matches: %w", err)
		}
		for _, row := range page.Rows {
			n += int64(len(p.parcels(row)))
		}
		if f.Before = page.Next; page.Next == 0 {
			return n, nil
		}
	}
}

// Begin makes a job of an order. What it returns has been noted durably.
//
// Errors: ErrNoFilter, ErrTooLong, ErrTooMany, the store's, and others for a
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
	if job.Matched, err = r.count(ctx, p, job.Upto); err != nil {
		return Job{}, err
	}
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
	r.mu.Lock()
	defer r.mu.Unlock()
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
	j := r.add(job)
	r.launch(j, p)
	return job, nil
}

// makeRoom forgets jobs that have ended long ago, or if there are many the one
// that ended first.
func (r *Runner) makeRoom(ctx context.Context) error {
	var ended []*running
	for _, j := range r.jobs {
		if j.State != Running {
			ended = append(ended, j)
		}
	}
	if len(r.jobs)-len(ended) >= MaxRunning {
		return fmt.Errorf("%w: %d; wait for one of them, or cancel it", ErrTooMany, MaxRunning)
	}
	slices.SortFunc(ended, func(a, b *running) int { return a.Ended.Compare(*b.Ended) })
	for i, j := range ended {
		if len(r.jobs) < maxKnown && r.o.Now().Sub(*ended[i].Ended) < keptFor {
			break
		}
		if err := r.o.Store.Keep(ctx, notePrefix+j.ID, nil); err != nil {
			return fmt.Errorf("forgetting job %s: %w", j.ID, err)
		}
		delete(r.jobs, j.ID)
	}
	return nil
}

func (r *Runner) add(job Job) *running {
	j := &running{Job: job, done: make(chan struct{})}
	r.jobs[job.ID] = j
	return j
}

// launch sets a job going. The mutex is held.
func (r *Runner) launch(j *running, p plan) {
	ctx, cancel := context.WithCancelCause(r.ctx)
	j.cancel = cancel
	r.wg.Go(func() {
		defer close(j.done)
		defer cancel(nil)
		r.run(ctx, j, p)
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

// Cancel ends a job, and gives it as it was left. What it has done stays done.
//
// Errors: ErrUnknown, ErrEnded, or the context's if it ends before the job has.
func (r *Runner) Cancel(ctx context.Context, id, who string) (Job, error) {
	r.mu.Lock()
	j := r.jobs[id]
	if j == nil {
		r.mu.Unlock()
		return Job{}, fmt.Errorf("job %s: %w", id, ErrUnknown)
	}
	if j.State != Running {
		r.mu.Unlock()
		return j.Job, fmt.Errorf("job %s: %w: it is %s", id, ErrEnded, j.State)
	}
	j.cancel(errCancelled{who})
	r.mu.Unlock()
	select {
	case <-j.done:
		return r.Job(id)
	case <-ctx.Done():
		return Job{}, fmt.Errorf("job %s: %w", id, context.Cause(ctx))
	}
}

func attributes(j *Job) []any {
	return []any{
		"job", j.ID, "action", j.Action, "filters", j.Filters, "to", j.To, "who", j.Who, "matched", j.Matched,
		"changed", j.Changed, "skipped", j.Skipped,
	}
}
