package gateway

import (
	"bytes"
	"log/slog"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/history"
)

// These tests are not parallel: the pool is the process's.

// plotted adds up what a line of the last hour has.
func plotted(t *testing.T, name history.Name, line int) (sum float32) {
	t.Helper()
	g, ok := Running()
	if !ok {
		t.Fatal("no gateway is running")
	}
	p := g.History().Plot(history.Hour, time.Now(), func(n history.Name) bool { return n == name })
	for _, s := range p.Series {
		for _, v := range s.Counts[line] {
			if !math.IsNaN(float64(v)) {
				sum += v
			}
		}
	}
	return sum
}

func TestTheHistoryOutlivesTheProcess(t *testing.T) {
	config := &Store{Kind: kindLocal, Path: filepath.Join(t.TempDir(), "store"), MinFree: 1}
	b := backend{make(chan string, 8)}
	shop, dest := history.Name{Source: "github"}, history.Name{Source: "github", Destination: "default"}
	life := func(events int) {
		a := &App{Store: &Store{Kind: config.Kind, Path: config.Path, MinFree: 1}}
		ctx := provision(t, a)
		s := register(t, a, b.routes(t, ctx), "github")
		if err := a.Start(); err != nil {
			t.Fatal(err)
		}
		for range events {
			deliverOne(t, s, b)
			s.Accepted.Add(1) // as the handler does
		}
		s.Unavailable("backlog")
		end(t, a)
	}
	life(3)
	life(2)
	a := &App{Store: &Store{Kind: config.Kind, Path: config.Path, MinFree: 1}}
	ctx := provision(t, a)
	register(t, a, b.routes(t, ctx), "github")
	if err := a.Start(); err != nil {
		t.Fatal(err)
	}
	defer end(t, a)
	for name, got := range map[string]float32{"accepted": plotted(t, shop, 0), "delivered": plotted(t, dest, 0)} {
		if got != 5 {
			t.Errorf("over two restarts %v are %s, want 5", got, name)
		}
	}
	if got := plotted(t, shop, 3); got != 2 {
		t.Errorf("%v answered 503, want 2", got)
	}
	info, err := os.Stat(filepath.Join(config.Path, historyFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("its file is %v %v", info, err)
	}
}

func TestADamagedHistoryBeginsAnewAndHurtsNothing(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, historyFile)
	for name, bad := range map[string][]byte{"damaged": []byte("webhooks history\x01 and more"), "huge": nil} {
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if bad == nil {
			if err := os.Truncate(path, maxHistory+1); err != nil {
				t.Fatal(err)
			}
		}
		var log bytes.Buffer
		r := newRecorder(&App{Store: &Store{Kind: kindLocal, Path: dir}}, slog.New(slog.NewTextHandler(&log, nil)), time.Now())
		if !strings.Contains(log.String(), "begins anew") || !strings.Contains(log.String(), path) {
			t.Errorf("%s: the log has %q", name, log.String())
		}
		r.save(time.Now())
		if _, err := readHistory(path); err != nil {
			t.Errorf("%s: written anew: %v", name, err)
		}
	}
}

func TestAHistoryThatCannotBeWrittenIsSaidOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	var log bytes.Buffer
	r := newRecorder(&App{Store: &Store{Kind: kindLocal, Path: dir}}, slog.New(slog.NewTextHandler(&log, nil)), time.Now())
	for range 3 { // there is no such directory
		r.save(time.Now())
	}
	if n := strings.Count(log.String(), "cannot be written"); n != 1 {
		t.Errorf("it is said %d times: %s", n, log.String())
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	r.save(time.Now())
	if left, err := filepath.Glob(filepath.Join(dir, "*.new")); err != nil || len(left) != 0 || r.failing {
		t.Errorf("left is %v %v", left, err)
	}
}

func TestTheHistoryIsWrittenOnceAMinute(t *testing.T) {
	start := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	r := newRecorder(&App{Store: &Store{Kind: kindLocal, Path: t.TempDir()}}, slog.New(slog.DiscardHandler), start)
	nothing := func(time.Time) []history.Reading { return nil }
	written := func() bool {
		_, err := os.Stat(r.path)
		_ = os.Remove(r.path)
		return err == nil
	}
	for _, step := range []struct {
		at   time.Duration
		want bool
	}{{time.Second, false}, {59 * time.Second, false}, {61 * time.Second, true}, {90 * time.Second, false}, {-time.Hour, true}, {-time.Hour + time.Second, false}} {
		r.round(start.Add(step.at), nothing)
		if got := written(); got != step.want {
			t.Errorf("after %v it is written: %v, want %v", step.at, got, step.want)
		}
	}
}

func TestTheLastRefusalsOfEachSourceAreKeptWithinBounds(t *testing.T) {
	a := &App{Store: &Store{Kind: kindMemory}}
	ctx := provision(t, a)
	b := backend{make(chan string, 8)}
	s := register(t, a, b.routes(t, ctx), "github")
	if err := a.Start(); err != nil {
		t.Fatal(err)
	}
	defer end(t, a)
	for i := range 2 * refusalsKept {
		s.RefusedAs(Refusal{At: time.Unix(int64(i), 0), Status: http.StatusUnauthorized, Reason: "mismatch", Why: strings.Repeat("é", maxRefusal)})
		s.Rejected("mismatch")
	}
	s.Unavailable("backlog")
	g, _ := Running()
	list := g.Refusals("github")
	if len(list) != refusalsKept || list[0].At.Unix() != 2*refusalsKept-1 || len(list[0].Why) > maxRefusal+3 || list[0].Source != "github" {
		t.Errorf("%d are kept, the first is %+v", len(list), list[0])
	}
	if n := len(g.Refusals("")); n != refusalsKept || len(g.Refusals("other")) != 0 {
		t.Errorf("of all sources there are %d", n)
	}
	counts := g.RefusalCounts("github")
	if len(counts) != 2 || counts[0].Count != 2*refusalsKept || counts[0].Unavailable || !counts[1].Unavailable || len(g.RefusalCounts("other")) != 0 {
		t.Errorf("%+v", counts)
	}
}

func TestOnlyAnOutageHasAReason(t *testing.T) {
	t.Parallel()
	for state, want := range map[string]string{Up: "", Paused: "", Orphaned: "", Down: "EOF"} {
		if got := (DestinationStatus{State: state, LastError: "EOF"}).reason(); got != want {
			t.Errorf("%s because of %q, want %q", state, got, want)
		}
	}
}
