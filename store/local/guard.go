package local

import (
	"sync"
	"time"
)

const (
	// jump is the largest step of the wall clock that passes as drift.
	jump = time.Minute
	// holdFor is how long nothing expires after a larger one.
	holdFor = time.Hour
	// restartJump is the largest step over a restart, where no monotonic clock
	// can tell time that passed from a clock that was set.
	restartJump = 24 * time.Hour
)

// guard notices when the wall clock jumps. Expiry is the one thing that a
// wrong clock can break for good: claims that are forgotten too early let
// duplicates through. So after a jump nothing expires for an hour.
type guard struct {
	now  func() time.Time
	mono func() time.Duration

	mu        *sync.Mutex
	wall      time.Time
	elapsed   time.Duration
	holdUntil time.Duration // on the monotonic clock
	// jumped is by how much the wall clock has jumped since taken was called.
	jumped time.Duration
}

func newGuard(now func() time.Time, mono func() time.Duration) guard {
	return guard{now: now, mono: mono, mu: new(sync.Mutex), wall: now().Round(0), elapsed: mono()}
}

// check compares the clocks, and notes by how much the wall clock has jumped.
func (g *guard) check() {
	g.mu.Lock()
	defer g.mu.Unlock()
	wall, elapsed := g.now().Round(0), g.mono()
	by := wall.Sub(g.wall) - (elapsed - g.elapsed)
	g.wall, g.elapsed = wall, elapsed
	if by.Abs() > jump {
		g.holdUntil = elapsed + holdFor
		g.jumped += by
	}
}

// taken gives the jumps since it was last called, for whoever makes them good.
func (g *guard) taken() time.Duration {
	g.check()
	g.mu.Lock()
	defer g.mu.Unlock()
	by := g.jumped
	g.jumped = 0
	return by
}

// restarted compares the wall clock with the journal's last time.
func (g *guard) restarted(last time.Time) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	if last.IsZero() {
		return 0
	}
	by := g.wall.Sub(last)
	if by.Abs() <= restartJump {
		return 0
	}
	g.holdUntil = g.mono() + holdFor
	return by
}

// holds tells whether nothing may expire now.
func (g *guard) holds() bool {
	g.check()
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.mono() < g.holdUntil
}

// monoOf gives a clock that cannot be set. A test that brings its own wall
// clock moves both.
func monoOf(now func() time.Time) func() time.Duration {
	if now == nil {
		start := time.Now()
		return func() time.Duration { return time.Since(start) }
	}
	start := now()
	return func() time.Duration { return now().Sub(start) }
}
