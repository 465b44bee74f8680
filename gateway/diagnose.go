package gateway

import (
	"sync"
	"time"
)

// Looking for the reason of a refusal costs up to some milliseconds, and any
// stranger can cause one. So there is a limit for each source, for all of them
// together, and for those that run at once.
const (
	sourceDiagnoses  = 5  // a second
	gatewayDiagnoses = 10 // a second
	diagnosesAtOnce  = 2
	// diagnosesBurst is for how many seconds what is not used is saved.
	diagnosesBurst = 2
)

// bucket gives out tokens at a rate.
type bucket struct {
	mu     sync.Mutex
	rate   float64
	tokens float64
	filled time.Time
}

// take takes a token, if there is one. A clock set back fills nothing and costs
// nothing.
func (b *bucket) take(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	most := b.rate * diagnosesBurst
	switch {
	case b.filled.IsZero():
		b.tokens = most
	case now.After(b.filled):
		b.tokens = min(most, b.tokens+now.Sub(b.filled).Seconds()*b.rate)
	}
	b.filled = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

// looks bounds the diagnoses of all sources together.
type looks struct {
	bucket bucket
	places chan struct{}
}

func newLooks() looks {
	return looks{bucket: bucket{rate: gatewayDiagnoses}, places: make(chan struct{}, diagnosesAtOnce)}
}

// Diagnose tells whether the reason of a refused request may be looked for. It
// is then counted by done, which must be called; else [Counts.Rejected] counts
// it.
func (s *Source) Diagnose(now time.Time) (done func(reason string), ok bool) {
	l := &s.gateway.looks
	select {
	case l.places <- struct{}{}:
	default:
		return nil, false
	}
	if !s.diagnoses.take(now) || !l.bucket.take(now) {
		<-l.places
		return nil, false
	}
	s.diagnose()
	return func(reason string) {
		s.diagnosed(reason)
		<-l.places
	}, true
}

// diagnosed counts a request that was refused, whose reason has been looked for.
func (c *Counts) diagnosed(reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.diagnosing--
	if c.rejected == nil {
		c.rejected = map[string]uint64{}
	}
	c.rejected[reason]++
}

func (c *Counts) diagnose() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.diagnosing++
}

// refused counts all requests that were refused, those too whose reason is not
// known yet.
func (c *Counts) refused() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.diagnosing
	for _, one := range c.rejected {
		n += one
	}
	return n
}
