package handler

import (
	"sync"
	"time"
)

// limiter lets one log line through per period, and counts what it held back.
type limiter struct {
	mu   sync.Mutex
	last time.Time
	held int
}

// allow tells whether to speak now, and how many were held back since the last.
func (l *limiter) allow(now time.Time, every time.Duration) (held int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.last.IsZero() && now.Sub(l.last).Abs() < every {
		l.held++
		return 0, false
	}
	held, l.held, l.last = l.held, 0, now
	return held, true
}

// limiters are one limiter for each of a closed set of words.
type limiters struct {
	mu sync.Mutex
	by map[string]*limiter
}

func (l *limiters) allow(word string, now time.Time, every time.Duration) (held int, ok bool) {
	l.mu.Lock()
	one := l.by[word]
	if one == nil {
		if l.by == nil {
			l.by = map[string]*limiter{}
		}
		one = new(limiter)
		l.by[word] = one
	}
	l.mu.Unlock()
	return one.allow(now, every)
}
