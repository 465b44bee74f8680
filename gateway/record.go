package gateway

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/history"
)

const (
	// recordEvery is how often everything is looked at, saveEvery how often the
	// history is written to its file.
	recordEvery = 5 * time.Second
	saveEvery   = time.Minute
	// historyFile lies in the store's directory.
	historyFile = "history"
	// maxHistory is more than the largest history takes, in bytes.
	maxHistory = 64 << 20
)

// recorder keeps the history of what the gateway does. What it writes is for
// people to look at: it may be lost, and no failure of it hurts anything else.
type recorder struct {
	history *history.History
	path    string // empty: in memory alone
	log     *slog.Logger
	failing bool
	saved   time.Time

	every      time.Duration
	quit, done chan struct{} // nil while it rests
}

// newRecorder goes on with what an earlier process has written.
func newRecorder(a *App, log *slog.Logger, now time.Time) *recorder {
	r := &recorder{history: history.New(), log: log, every: recordEvery, saved: now}
	if a.Store.Kind != kindLocal {
		return r
	}
	r.path = filepath.Join(a.Store.Path, historyFile)
	read, err := readHistory(r.path)
	switch {
	case err == nil:
		r.history = read
	case !errors.Is(err, fs.ErrNotExist):
		log.Warn("the history for the plots cannot be read; it begins anew, nothing else is lost", "error", err)
	}
	return r
}

func readHistory(path string) (*history.History, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("reading the history: %w", err)
	}
	if info.Size() > maxHistory {
		return nil, fmt.Errorf("%s has %d bytes: %w", path, info.Size(), history.ErrForm)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the history: %w", err)
	}
	read, err := history.Decode(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return read, nil
}

// start records what readings gives, until stop.
func (r *recorder) start(readings func(now time.Time) []history.Reading) {
	quit, done := make(chan struct{}), make(chan struct{})
	r.quit, r.done = quit, done
	go func() {
		defer close(done)
		tick := time.NewTicker(r.every)
		defer tick.Stop()
		for {
			select {
			case now := <-tick.C:
				r.round(now, readings)
			case <-quit:
				r.history.Observe(time.Now(), readings(time.Now()))
				r.save(time.Now())
				return
			}
		}
	}()
}

// stop records for the last time, and waits until that is written.
func (r *recorder) stop() {
	if r.quit == nil {
		return
	}
	close(r.quit)
	<-r.done
	r.quit = nil
}

func (r *recorder) round(now time.Time, readings func(now time.Time) []history.Reading) {
	r.history.Observe(now, readings(now))
	if passed := now.Sub(r.saved); passed >= saveEvery || passed < 0 {
		r.save(now)
	}
}

// save writes the file, so that there is always a whole one. It says once that it
// cannot.
func (r *recorder) save(now time.Time) {
	r.saved = now
	if r.path == "" {
		return
	}
	err := replace(r.path, r.history.Encode())
	if err != nil && !r.failing {
		r.log.Warn("the history for the plots cannot be written; plots will have a gap after a restart, nothing else is lost", "error", err)
	}
	r.failing = err != nil
}

// replace puts a new file in an old one's place.
func replace(path string, b []byte) error {
	next := path + ".new"
	f, err := os.OpenFile(next, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("writing the history: %w", err)
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(next, path)
	}
	if err != nil {
		_ = os.Remove(next)
		return fmt.Errorf("writing the history: %w", err)
	}
	return nil
}

// readings tells how everything is doing just now.
func (g *Gateway) readings(now time.Time) []history.Reading {
	l := g.live.Load()
	app := g.configured.Load() // not present: whoever stops the recorder holds its lock
	if l == nil || app == nil {
		return nil
	}
	var all []history.Reading
	for _, s := range g.status(l, app, l.store.Stats()) {
		_, unavailable := g.countsOf(s.Name).reasons()
		var failed uint64
		for _, n := range unavailable {
			failed += n
		}
		all = append(all, history.Reading{
			Name: history.Name{Source: s.Name}, Counts: []uint64{s.Accepted, s.Duplicates, s.Rejected, failed},
		})
		for _, d := range s.Destinations {
			all = append(all, g.readingOf(s.Name, d, now))
		}
	}
	return all
}

func (g *Gateway) readingOf(source string, d DestinationStatus, now time.Time) history.Reading {
	m := g.meterOf(event.Destination{Source: source, Name: d.Name})
	age := 0.0
	if !d.OldestPending.IsZero() {
		age = max(0, now.Sub(d.OldestPending).Seconds())
	}
	return history.Reading{
		Name:   history.Name{Source: source, Destination: d.Name},
		Counts: []uint64{m.delivered.Load(), m.failed.Load(), m.dead.Load()},
		Gauges: []float64{float64(d.Count[event.Pending]), age},
		State:  d.State, Why: d.reason(),
	}
}

// History gives what the plots show; nil if the store is closed.
func (g *Gateway) History() *history.History {
	if l := g.live.Load(); l != nil {
		return l.recorder.history
	}
	return nil
}
