package gateway

import (
	"testing"
	"time"
)

func TestABucketGivesABurstAndThenItsRate(t *testing.T) {
	t.Parallel()
	start := time.Unix(1_700_000_000, 0)
	b := bucket{rate: 5}
	taken := func(at time.Duration) (n int) {
		for b.take(start.Add(at)) {
			n++
		}
		return n
	}
	for _, step := range []struct {
		name string
		at   time.Duration
		want int
	}{
		{"two seconds' worth at first", 0, 10},
		{"nothing more at once", 0, 0},
		{"its rate later", time.Second, 5},
		{"a part of it", 1200 * time.Millisecond, 1},
		{"no more than the burst, however late", time.Hour, 10},
		{"a clock set back fills nothing", 0, 0},
		{"and goes on from there", time.Second, 5},
	} {
		if got := taken(step.at); got != step.want {
			t.Errorf("%s: %d, want %d", step.name, got, step.want)
		}
	}
}

func TestDiagnosesAreFewAtOnceAndFewOverall(t *testing.T) {
	t.Parallel()
	g := newGateway("")
	source := func(name string) *Source { return &Source{Counts: g.countsOf(name), gateway: g} }
	a, b, c := source("a"), source("b"), source("c")
	now := time.Unix(1_700_000_000, 0)
	first, ok := a.Diagnose(now)
	second, also := b.Diagnose(now)
	if _, more := c.Diagnose(now); !ok || !also || more {
		t.Fatalf("at once: %v, %v, %v; want two of three", ok, also, more)
	}
	if n := a.refused(); n != 1 {
		t.Errorf("%d refused while the reason is looked for, want 1", n)
	}
	first("mismatch")
	second("mismatch")
	if n := a.refused(); n != 1 {
		t.Errorf("%d refused, want 1", n)
	}
	if rejected, _ := a.reasons(); rejected["mismatch"] != 1 {
		t.Errorf("counted %v", rejected)
	}
	spend := func(s *Source) (n int) {
		for {
			done, ok := s.Diagnose(now)
			if !ok {
				return n
			}
			done("mismatch")
			n++
		}
	}
	// One flooded source leaves something to the others, and all together have a limit.
	if x, y, z := spend(a), spend(b), spend(c); x != 9 || y != 9 || z != 0 {
		t.Errorf("one after the other: %d, %d, %d; want 9, 9, 0", x, y, z)
	}
}
