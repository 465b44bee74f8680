package local

import (
	"container/heap"
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/store"
	"github.com/caddy-webhooks/caddy-webhooks/store/local/journal"
)

// destination is one `to` of one source. Its number is given by a record of
// the journal at first sight and never reused.
type destination struct {
	event.Destination
	number uint64
	paused bool
	due    dueHeap
	// turns has the pending deliveries that go one at a time for each key. Of
	// these the first alone stands in due.
	turns    store.Turns
	counts   [len(stateSlots)]int64
	inFlight int64
	// pending counts the pending deliveries in each block that has any; oldest
	// finds the lowest of these blocks.
	pending map[uint64]int64
	oldest  blockHeap
}

func newDestination(number uint64, name event.Destination) *destination {
	return &destination{Destination: name, number: number, pending: map[uint64]int64{}}
}

// waits notes that pending deliveries came to a block or left it.
func (d *destination) waits(block uint64, n int64) {
	before := d.pending[block]
	if before == 0 && n > 0 {
		heap.Push(&d.oldest, block)
	}
	if before+n == 0 {
		delete(d.pending, block)
		return
	}
	d.pending[block] = before + n
}

// oldestBlock gives the lowest block with a pending delivery.
func (d *destination) oldestBlock() (uint64, bool) {
	for len(d.oldest) > 0 {
		if d.pending[d.oldest[0]] > 0 {
			return d.oldest[0], true
		}
		heap.Pop(&d.oldest)
	}
	return 0, false
}

// blockHeap finds the lowest block; blocks that emptied meanwhile are dropped
// when they come up.
type blockHeap []uint64

// Len is container/heap's, as are the four methods below.
func (h blockHeap) Len() int           { return len(h) }
func (h blockHeap) Less(i, j int) bool { return h[i] < h[j] }
func (h blockHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push appends.
func (h *blockHeap) Push(x any) {
	if b, ok := x.(uint64); ok {
		*h = append(*h, b)
	}
}

// Pop removes the last element.
func (h *blockHeap) Pop() any {
	*h = (*h)[:len(*h)-1]
	return nil
}

// dest gives the destination with that number. A number that no record
// introduced can only come from a damaged journal; its deliveries are kept
// under a name that says so.
func (s *Store) dest(number uint64) *destination {
	d := s.dests[number]
	if d == nil {
		d = s.introduce(number, event.Destination{Source: "unknown", Name: fmt.Sprint(number)})
	}
	return d
}

func (s *Store) introduce(number uint64, name event.Destination) *destination {
	d := newDestination(number, name)
	s.dests[number] = d
	s.byName[name] = d
	s.nextDest = max(s.nextDest, number+1)
	return d
}

// destination finds a destination by name and gives it a number, durably, when
// it is seen for the first time.
func (s *Store) destination(ctx context.Context, name event.Destination) (*destination, error) {
	s.mu.Lock()
	d := s.byName[name]
	s.mu.Unlock()
	if d != nil {
		return d, nil
	}
	s.naming.Lock()
	defer s.naming.Unlock()
	s.mu.Lock()
	d, number := s.byName[name], s.nextDest
	s.mu.Unlock()
	if d != nil {
		return d, nil
	}
	return write(ctx, s, order[*destination]{
		encode: func(w *writer, _ journal.Stamp) {
			w.byte(kindDestination)
			w.uint(number)
			w.string(name.Source)
			w.string(name.Name)
		},
		apply: func(st journal.Stamp) (*destination, error) {
			s.reached(st)
			return s.introduce(number, name), nil
		},
	})
}

func (s *Store) foldDestinationBytes(_ journal.Stamp, r *reader) error {
	number, name := r.uint(), event.Destination{Source: r.string(), Name: r.string()}
	if r.bad {
		return errWire
	}
	if s.dests[number] == nil {
		s.introduce(number, name)
	}
	return nil
}

func (s *Store) foldPauseBytes(_ journal.Stamp, r *reader) error {
	number := r.uint()
	_, _ = r.time(), r.string() // when and who: for people who read the journal
	if r.bad {
		return errWire
	}
	s.dest(number).paused = r.kind == kindPause
	return nil
}

// Stats tells where everything stands.
func (s *Store) Stats() store.Stats {
	accepting := s.accepting()
	free := s.space.free()
	size := s.sizes()
	s.mu.Lock()
	defer s.mu.Unlock()
	v := store.Stats{
		BacklogBytes: s.backlogTotal, SourceBytes: maps.Clone(s.backlog), FreeBytes: free, SizeBytes: size, Accepting: accepting, Stuck: s.stuck(),
	}
	for _, d := range s.dests {
		ds := store.DestinationStats{
			Destination: d.Destination, Count: map[event.State]int64{}, InFlight: d.inFlight,
			Retrying: d.counts[slotRetrying], Paused: d.paused, OldestPending: s.oldestPending(d),
		}
		for _, st := range event.States() {
			ds.Count[st] = d.counts[st]
		}
		v.Destinations = append(v.Destinations, ds)
	}
	return v
}

// oldestPending reads at most one page.
func (s *Store) oldestPending(d *destination) time.Time {
	block, ok := d.oldestBlock()
	if !ok {
		return time.Time{}
	}
	p, err := s.pages.get(block)
	if err != nil || p == nil {
		return time.Time{}
	}
	for _, r := range p.rows {
		if r == nil {
			continue
		}
		if v := r.delivery(d.number); v != nil && v.State == event.Pending {
			return r.received
		}
	}
	return time.Time{}
}
