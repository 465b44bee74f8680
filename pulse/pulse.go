// Package pulse tells whether a goroutine that must go round and round still
// does, or hangs in one of its rounds: in a write to a disk that does not answer,
// in a lock that nobody frees.
package pulse

import (
	"sync/atomic"
	"time"
)

// Pulse is one goroutine's. The zero value is at rest. Its methods are safe for
// concurrent use; the goroutine alone calls Begin and End.
type Pulse struct{ since atomic.Pointer[time.Time] }

// Begin notes that a round begins.
func (p *Pulse) Begin() {
	now := time.Now()
	p.since.Store(&now)
}

// End notes that the round has ended.
func (p *Pulse) End() { p.since.Store(nil) }

// Busy tells for how long the present round has been going on; 0 at rest.
func (p *Pulse) Busy() time.Duration {
	if since := p.since.Load(); since != nil {
		return time.Since(*since)
	}
	return 0
}
