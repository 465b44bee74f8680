// Package local is the default store: one directory, used by one process.
//
// It is a journal and an index. The journal (store/local/journal) is the only
// truth: every change is a record in it, and an event is accepted when its
// record is synced. The index is a Badger for small keys only: the claims and
// the state of every event, in pages. It is written behind the journal and can
// be deleted, damaged or replaced by an older copy: it is caught up or rebuilt
// from the journal when the store opens.
//
// Open gives a [Store], which implements the contract of package store.
package local

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/dedup"
	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/pulse"
	"github.com/caddy-webhooks/caddy-webhooks/store"
	"github.com/caddy-webhooks/caddy-webhooks/store/local/journal"
)

// Options say where and how much. Only Dir is required.
type Options struct {
	// Dir is the store's directory; it is created with mode 0700.
	Dir string
	// Limits may be changed later with SetLimits. Defaults: a Retention of 168h, a
	// RetentionSize of a quarter of the file system, a MaxBacklog of 10 GiB, and a
	// MinFree of 1 GiB or 5 % of the file system, the smaller of the two, but at
	// least two segments.
	store.Limits
	// Logger gets what an operator should know. Default: none.
	Logger *slog.Logger
	// Now is the wall clock. Default: time.Now.
	Now func() time.Time
	// Mono is a clock that no one can set; it tells jumps of Now from time that
	// has passed. Default: the process's monotonic clock, or with an own Now, that.
	Mono func() time.Duration
	// Rand is where salts and IDs come from. Default: crypto/rand.
	Rand io.Reader
	// FS is where the journal lives. Default: the operating system's.
	FS journal.FS
	// FirstSegment and MaxSegment are the sizes of the journal's segments in
	// bytes. Default: 4 MiB, growing to 64 MiB.
	FirstSegment, MaxSegment int64
	// ObserveSync is told of every sync: the records and bytes that it made
	// durable, and how long it took.
	ObserveSync func(records, bytes int, took time.Duration)
	// BootID names the machine's current boot. Default: the kernel's.
	BootID func() string

	// total is the size of the file system.
	total int64
}

// Defaults of [Options].
const (
	DefaultRetention  = 7 * 24 * time.Hour
	DefaultMaxBacklog = 10 << 30
	DefaultMaxSegment = 64 << 20
)

// Store is a store in a directory. Its methods are safe for concurrent use.
type Store struct {
	o       Options
	limits  atomic.Pointer[store.Limits]
	lock    *dirLock
	journal *journal.Journal
	index   *index
	claims  *dedup.Claims
	space   space // what the file system has left
	clock   guard
	// indexing and keeping are the pulses of the store's own goroutines.
	indexing, keeping pulse.Pulse
	// retaining is held by whoever removes segments. damaged has those that were
	// found damaged: they stay.
	retaining sync.Mutex
	damaged   map[uint64]bool

	// ctx ends with Close; wg counts the store's own goroutines.
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	// flushNow tells the index writer that much is waiting.
	flushNow chan struct{}
	// houseNow tells the housekeeper that there is work.
	houseNow chan struct{}

	mu     sync.Mutex
	closed bool
	// recovering is true while the journal is replayed at start.
	recovering bool
	wake       func(event.Destination)

	// identity of this store, from the head record
	salt     uint64
	claimKey [32]byte

	nextSeq     atomic.Uint64 // the committer and replay alone change it
	journalTime time.Time
	mark        journal.Mark
	// latest is the newest event that can be read; arrived, if somebody waits for
	// the next one, is closed when it comes.
	latest  uint64
	arrived chan struct{}

	pages *pages
	names map[string]string // interned
	// recent has the claims that the index may not have yet, unwritten their order.
	recent    map[dedup.ClaimKey]dedup.Claim
	unwritten []claimRecord
	ongoing   map[dedup.ClaimKey]*claiming
	leases    map[leaseKey]*lease
	token     uint64
	// afterwards lists whom the record just applied makes it necessary to wake.
	afterwards []event.Destination
	// toLose lists deliveries whose discard waits for nobody any more; the
	// housekeeper records that.
	toLose []leaseKey
	// held counts the commands under way on an event: it is not leased meanwhile.
	held map[uint64]int
	// frozen has the events that are just being copied forward.
	frozen map[uint64]chan struct{}
	// importing has the events of which an import is under way, until it has ended.
	importing map[event.ID]chan struct{}

	dests  map[uint64]*destination
	byName map[event.Destination]*destination
	// learned are the secrets that providers handed over, by source.
	learned map[string]string
	// notes are what Keep keeps.
	notes    map[string][]byte
	nextDest uint64
	naming   sync.Mutex // one new destination at a time

	backlog      map[string]int64
	backlogTotal int64
	// admitted counts the bytes of bodies on their way into the journal.
	admitted map[string]int64
}

// interface guard
var _ store.Store = (*Store)(nil)

// Open recovers the store in o.Dir, or makes a new one. It returns
// [ErrLocked] if another process uses the directory.
func Open(o Options) (*Store, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("creating the store's directory: %w", err)
	}
	o, err = o.withSpace()
	if err != nil {
		return nil, err
	}
	lock, err := lockDir(o.Dir)
	if err != nil {
		return nil, err
	}
	if why := hazard(o.Dir); why != "" {
		o.Logger.Warn("the store's directory lies on a file system that is not made for it", "directory", o.Dir, "because", why)
	}
	s := newStore(o, lock)
	if err := s.recover(); err != nil {
		return nil, errors.Join(fmt.Errorf("opening the store in %s: %w", o.Dir, err), s.release())
	}
	s.wg.Go(s.writeIndex)
	s.wg.Go(s.keepHouse)
	return s, nil
}

func newStore(o Options, lock *dirLock) *Store {
	s := &Store{o: o, lock: lock, flushNow: make(chan struct{}, 1), houseNow: make(chan struct{}, 1), wake: func(event.Destination) {}, damaged: map[uint64]bool{}}
	s.SetLimits(o.Limits)
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.clock = newGuard(o.Now, o.Mono)
	s.space = space{limits: &s.limits, look: func() (int64, error) { return o.FS.Free(o.Dir) }}
	return s
}

func (o Options) withDefaults() (Options, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Mono == nil {
		o.Mono = monoOf(o.Now)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	if o.BootID == nil {
		o.BootID = bootID
	}
	if o.FS == nil {
		o.FS = journal.OS
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return o, fmt.Errorf("the store's directory: %w", err)
	}
	o.Dir = dir
	return o, nil
}

// SetLimits changes the limits at once; a zero one gets its default.
func (s *Store) SetLimits(l store.Limits) {
	if l.Retention == 0 {
		l.Retention = DefaultRetention
	}
	if l.MaxBacklog == 0 {
		l.MaxBacklog = DefaultMaxBacklog
	}
	if l.MinFree == 0 {
		l.MinFree = max(min(1<<30, s.o.total/20), 2*s.o.MaxSegment)
	}
	if l.RetentionSize == 0 {
		l.RetentionSize = s.o.total / 4
	}
	s.limits.Store(&l)
}

// Close finishes what was begun, writes the index and releases the directory.
// Calls after it return [store.ErrClosed].
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	err := s.journal.Close()
	s.wg.Wait()
	return errors.Join(err, s.release())
}

// release closes what is open, in the order in which that is safe. The index
// is written last, when the journal can no longer grow.
func (s *Store) release() error {
	var err error
	if s.index != nil {
		err = s.closeIndex()
	}
	return errors.Join(err, s.lock.unlock())
}

// How long one round of each goroutine may take before it counts as hanging. The
// housekeeper copies segments, which takes as long as the disk needs.
const (
	commitHangs = 30 * time.Second
	indexHangs  = 2 * time.Minute
	houseHangs  = 30 * time.Minute
)

// stuck names the goroutines that hang.
func (s *Store) stuck() (names []string) {
	for _, v := range []struct {
		name       string
		busy, most time.Duration
	}{
		{"the journal's writer", s.journal.Busy(), commitHangs},
		{"the index's writer", s.indexing.Busy(), indexHangs},
		{"the store's housekeeper", s.keeping.Busy(), houseHangs},
	} {
		if v.busy > v.most {
			names = append(names, v.name)
		}
	}
	return names
}

// Wake registers the function that is told of new work.
func (s *Store) Wake(wake func(event.Destination)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wake = wake
}

// intern keeps one copy of the strings that thousands of rows share.
func (s *Store) intern(v string) string {
	if c, ok := s.names[v]; ok {
		return c
	}
	if len(s.names) > 4096 {
		clear(s.names)
	}
	s.names[v] = v
	return v
}

// unavailable turns the journal's errors into the contract's.
func unavailable(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, journal.ErrClosed):
		return fmt.Errorf("%w: %w", store.ErrClosed, err)
	case errors.Is(err, journal.ErrFull):
		return fmt.Errorf("%w: %w", store.ErrFull, err)
	case errors.Is(err, journal.ErrTooLarge):
		return fmt.Errorf("%w: %w", store.ErrTooLarge, err)
	default:
		return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
}
