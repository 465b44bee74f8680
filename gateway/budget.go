package gateway

import (
	"context"
	"errors"
	"sync"
	"time"
)

// ErrInflight is returned when the bodies being read use up max_inflight and
// none was finished in time.
var ErrInflight = errors.New("too many bodies are being read")

// budgetWait is how long a request waits for its share of max_inflight.
const budgetWait = 5 * time.Second

// Budget bounds the bytes of bodies that are being read at once. Bytes are
// charged as they arrive, so that a sender who announces much and sends nothing
// holds nothing. Whoever waits is served in turn.
type Budget struct {
	mu    sync.Mutex
	limit int64
	used  int64
	queue []*claimant
}

// claimant is a request that waits for n bytes.
type claimant struct {
	n     int64
	ready chan struct{}
}

// resize sets the limit; what is charged already stays.
func (b *Budget) resize(limit int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.limit = limit
	b.serve()
}

// Take charges n bytes. It waits up to 5 s for them, then ErrInflight. A body
// larger than the whole budget is let in when it is alone.
func (b *Budget) Take(ctx context.Context, n int64) error {
	b.mu.Lock()
	if len(b.queue) == 0 && b.fits(n) {
		b.used += n
		b.mu.Unlock()
		return nil
	}
	c := &claimant{n: n, ready: make(chan struct{})}
	b.queue = append(b.queue, c)
	b.mu.Unlock()

	timer := time.NewTimer(budgetWait)
	defer timer.Stop()
	select {
	case <-c.ready:
		return nil
	case <-timer.C:
		return b.leave(c, ErrInflight)
	case <-ctx.Done():
		return b.leave(c, context.Cause(ctx))
	}
}

// leave takes a claimant out of the queue; if it was served at the last
// moment, it has its bytes.
func (b *Budget) leave(c *claimant, err error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, other := range b.queue {
		if other == c {
			b.queue = append(b.queue[:i], b.queue[i+1:]...)
			b.serve() // those behind it may want less
			return err
		}
	}
	return nil
}

// Give takes n charged bytes back.
func (b *Budget) Give(n int64) {
	if n == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= n
	b.serve()
}

func (b *Budget) fits(n int64) bool { return b.used+n <= b.limit || b.used == 0 }

func (b *Budget) serve() {
	for len(b.queue) > 0 && b.fits(b.queue[0].n) {
		b.used += b.queue[0].n
		close(b.queue[0].ready)
		b.queue = b.queue[1:]
	}
}
