// Package memory is a store that forgets everything when the process ends: for
// tests and for trials. It keeps the contract of package store in every other
// respect, but that it does not notice when the clock is set, and it is short enough to be read as that contract's plain meaning.
//
// It has no retention: events are kept for as long as the store is, settled
// ones too, so it grows with every webhook. Nothing of it is ever on a disk, so
// a 2xx given on its word is lost with the process.
package memory

import (
	"crypto/rand"
	"encoding/binary"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/store"
)

// DefaultMaxBacklog is [Options.MaxBacklog] where it is not set: 10 GiB.
const DefaultMaxBacklog = 10 << 30

// Options say what may differ; the zero value is a usable store.
type Options struct {
	// Now is the clock that windows are counted by. Default: time.Now.
	Now func() time.Time
	// Rand is where event IDs get their random bits. Default: crypto/rand.
	Rand io.Reader
	// MaxBacklog bounds the bytes of undelivered bodies; one source may use at
	// most half of it. Default: [DefaultMaxBacklog].
	MaxBacklog int64
}

// Store keeps events in maps. Its methods are safe for concurrent use.
type Store struct {
	now   func() time.Time
	rand  io.Reader
	limit int64

	mu     sync.Mutex
	closed bool
	wake   func(event.Destination)
	salt   uint64
	token  uint64
	// latest is the highest time seen: claims and IDs never see time run backwards.
	latest time.Time
	// records has every event at its sequence number minus one.
	records []*record
	claims  map[[32]byte]claim
	dests   map[event.Destination]*destination
	// places counts the places that ordered deliveries were given.
	places  uint64
	learned map[string]string
	// brought has the events that were imported: their IDs were made elsewhere.
	brought map[event.ID]*record
	notes   map[string][]byte
	// backlog counts each source's bodies that some delivery keeps alive.
	backlog      map[string]int64
	backlogTotal int64
	// arrived is closed when the next event comes or the store is closed; nil if nobody waits.
	arrived chan struct{}
	// due lists whom to wake once the mutex is free.
	due []event.Destination
}

// record is one event with everything that became of it.
type record struct {
	event      *event.Event
	deliveries []*delivery
	attempts   []event.Attempt
	// gone tells that it was imported without its content, and size what its body
	// had in bytes.
	gone bool
	size int
}

// unsettled tells whether some delivery keeps the body and the claim alive.
func (r *record) unsettled() bool {
	return slices.ContainsFunc(r.deliveries, func(d *delivery) bool { return d.State.Unsettled() })
}

// delivery is one record on its way to one destination.
type delivery struct {
	event.Delivery
	of *record
	to *destination
	// token and until are the lease's; token is 0 while nobody has it, until is
	// zero when the lease does not run out.
	token uint64
	until time.Time
	// order is the hash of what the destination orders by, and place this
	// delivery's place among those of the same; order 0 for none.
	order, place uint64
	// tried tells that an attempt was recorded since acceptance, which replays
	// do not undo.
	tried bool
}

// claim reserves a provider's ID for an event.
type claim struct {
	of      *record
	digest  uint64
	expires time.Time
}

// interface guard
var _ store.Store = (*Store)(nil)

// New makes an empty store.
func New(o Options) *Store {
	s := &Store{
		now: o.Now, rand: o.Rand, limit: o.MaxBacklog, wake: func(event.Destination) {},
		claims: map[[32]byte]claim{}, dests: map[event.Destination]*destination{}, backlog: map[string]int64{},
		notes: map[string][]byte{}, brought: map[event.ID]*record{},
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.rand == nil {
		s.rand = rand.Reader
	}
	if s.limit == 0 {
		s.limit = DefaultMaxBacklog
	}
	s.salt = s.random()
	return s
}

// SetLimits changes the backlog's limit; memory has no use for the others.
func (s *Store) SetLimits(l store.Limits) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.limit = l.MaxBacklog; s.limit == 0 {
		s.limit = DefaultMaxBacklog
	}
}

// random gives eight random bytes. A source that fails costs only
// unpredictability: the sequence number alone makes an ID unique.
func (s *Store) random() uint64 {
	var b [8]byte
	if _, err := io.ReadFull(s.rand, b[:]); err != nil {
		return 0
	}
	return binary.BigEndian.Uint64(b[:])
}

// clock is the time that claims live by. The mutex is held.
func (s *Store) clock() time.Time {
	if now := s.now(); now.After(s.latest) {
		s.latest = now
	}
	return s.latest
}

// Wake registers the function that is told when something may be due.
func (s *Store) Wake(wake func(event.Destination)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wake = wake
}

// Close forgets everything.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.tell()
	s.records, s.claims, s.dests, s.backlog, s.backlogTotal = nil, nil, nil, nil, 0
	return nil
}

// enter takes the mutex; the caller leaves by leave, also after an error.
func (s *Store) enter() error {
	s.mu.Lock()
	if s.closed {
		return store.ErrClosed
	}
	return nil
}

// leave frees the mutex and wakes whoever has something to do.
func (s *Store) leave() {
	due, wake := s.due, s.wake
	s.due = nil
	s.mu.Unlock()
	if wake == nil {
		return
	}
	slices.SortFunc(due, func(a, b event.Destination) int { return strings.Compare(a.String(), b.String()) })
	for _, d := range slices.Compact(due) {
		wake(d)
	}
}

// destination gives the destination of that name, known from now on.
func (s *Store) destination(name event.Destination) *destination {
	d := s.dests[name]
	if d == nil {
		d = &destination{name: name, leased: map[*delivery]struct{}{}, placed: map[uint64]*delivery{}, count: map[event.State]int64{}}
		s.dests[name] = d
	}
	return d
}

// find gives the record with that ID; nil if there is none.
func (s *Store) find(id event.ID) *record {
	if r := s.brought[id]; r != nil {
		return r
	}
	seq := id.Seq(s.salt)
	if seq == 0 || seq > uint64(len(s.records)) || s.records[seq-1].event.ID != id {
		return nil
	}
	return s.records[seq-1]
}

// change applies f to a record and keeps the totals right.
func (s *Store) change(r *record, f func()) {
	s.account(r, -1)
	f()
	s.account(r, 1)
}

// account adds a record to the running totals, or takes it out of them.
func (s *Store) account(r *record, sign int64) {
	for _, d := range r.deliveries {
		d.to.count[d.State] += sign
		if d.State == event.Pending && d.Attempts > 0 {
			d.to.retrying += sign
		}
	}
	if r.unsettled() {
		s.backlog[r.event.Source] += sign * int64(r.event.Size())
		s.backlogTotal += sign * int64(r.event.Size())
	}
}

// Stats tells where everything stands.
func (s *Store) Stats() store.Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := store.Stats{BacklogBytes: s.backlogTotal, SourceBytes: maps.Clone(s.backlog), FreeBytes: -1, SizeBytes: map[string]int64{}}
	switch {
	case s.closed:
		v.Accepting = store.ErrClosed
	case s.backlogTotal >= s.limit:
		v.Accepting = store.ErrBacklog
	}
	oldest := s.oldest()
	for _, d := range s.dests {
		v.Destinations = append(v.Destinations, store.DestinationStats{
			Destination: d.name, Count: maps.Clone(d.count), InFlight: int64(len(d.leased)), Retrying: d.retrying, Paused: d.paused,
			OldestPending: oldest[d],
		})
	}
	return v
}

// oldest finds when each destination's oldest pending event was received.
func (s *Store) oldest() map[*destination]time.Time {
	oldest := make(map[*destination]time.Time, len(s.dests))
	for _, r := range s.records {
		for _, d := range r.deliveries {
			if _, known := oldest[d.to]; d.State == event.Pending && !known {
				oldest[d.to] = r.event.Received
			}
		}
	}
	return oldest
}
