package handler

import (
	"testing"
	"time"
)

func TestTheLimiterSpeaksOncePerPeriodAndCountsTheRest(t *testing.T) {
	t.Parallel()
	start := time.Unix(1_700_000_000, 0)
	steps := []struct {
		name string
		at   time.Duration
		held int
		ok   bool
	}{
		{"the first speaks", 0, 0, true},
		{"the next is held", time.Millisecond, 0, false},
		{"to the end of the period", time.Minute - 1, 0, false},
		{"then one speaks for all", time.Minute, 2, true},
		{"and counts anew", 2 * time.Minute, 0, true},
		{"a clock set back holds nothing for ever", -time.Hour, 0, true},
	}
	var l limiter
	for _, s := range steps {
		if held, ok := l.allow(start.Add(s.at), time.Minute); held != s.held || ok != s.ok {
			t.Errorf("%s: got %d, %v; want %d, %v", s.name, held, ok, s.held, s.ok)
		}
	}
}
