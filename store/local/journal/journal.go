// Package journal is the store's only truth: an append-only log in segment
// files, with one committer that gathers what waits, writes once, syncs once
// and then answers everybody.
//
// It knows nothing of events. A record is what [Entry].Encode appends; the
// journal gives it a number, the journal's time and a place. [Open] replays
// what is there and begins a fresh segment, [Journal.Append] hands in a record,
// and its Done tells when it is on disk.
//
// # Caveats
//
// A record whose Done got an error other than [ErrSkipped] may all the same be
// found at the next [Open], if the process ended before a new segment had
// recorded where the failed one ends. It is durable then: recovery has copied
// and synced it.
//
// Encode and Done run on the committer's goroutine: they must not block, and
// must not append entries that ride, which may wait for the committer.
package journal

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/pulse"
)

var (
	// ErrUnavailable is returned when a write or sync has failed and no new
	// segment is there yet. It wraps the cause.
	ErrUnavailable = errors.New("journal unavailable")
	// ErrFull is returned when no space is left but the reserve.
	ErrFull = errors.New("journal full")
	// ErrTooLarge is returned for an entry of more than half a segment.
	ErrTooLarge = errors.New("entry too large for a segment")
	// ErrClosed is returned after Close.
	ErrClosed = errors.New("journal closed")
	// ErrSkipped is what Done gets when Encode appended nothing.
	ErrSkipped = errors.New("entry skipped")
	// ErrMark is returned by Open when the journal has no such batch.
	ErrMark = errors.New("no such batch in this journal")
	// ErrGone is returned by Read when the segment was removed.
	ErrGone = errors.New("segment was removed")
	// ErrDamaged is returned when bytes are not what was written.
	ErrDamaged = errors.New("journal damaged")
	// ErrFormat is returned by Open for what a later release has written.
	ErrFormat = errors.New("the journal was written by a later release; use that one, or restore a backup")
	// ErrActive is returned by Remove and Scan for the segment being written.
	ErrActive = errors.New("segment is being written")
)

// What an [Options] field is when it is zero.
const (
	DefaultFirstSegment = 4 << 20
	DefaultMaxSegment   = 64 << 20
	DefaultMaxBatch     = 8 << 20
	DefaultReserve      = 2
	DefaultRideDelay    = 50 * time.Millisecond
)

const (
	// maxRiders and maxRiderBytes bound what may wait for a sync it does not
	// ask for.
	maxRiders     = 8192
	maxRiderBytes = 16 << 20

	// maxEntry bounds even a reserved entry: lengths are 32 bits wide.
	maxEntry = 1 << 30
)

// Position names a record: the place of it in its segment, and the size of its
// payload. Zero: none.
type Position struct {
	Segment uint64
	Offset  int64
	Size    uint32
}

// Mark names a batch.
type Mark struct {
	Journal  [16]byte
	Segment  uint64
	Offset   int64 // of the batch
	Sequence uint64
	LSN      uint64 // of its last record
	CRC      uint32
}

// Stamp is what the committer knows when it puts a batch together.
type Stamp struct {
	// LSN is the number of the record: 1, 2, 3…, never given to two records
	// that became durable. What failed or was lost leaves a hole.
	LSN uint64
	// Time is the journal's: it never runs backwards, and is the same for a
	// whole batch.
	Time time.Time
	// Pos is the record's place. During Encode only its Segment is known.
	Pos Position
	// Was is the place that the record had before a recovery, this one or one
	// before, took it from behind the last mark into a fresh segment; zero for every
	// other. Whoever has noted that place must note Pos in its stead: the old one
	// cannot be read any more.
	Was Position
	// Mark is the record's batch. Not known during Encode.
	Mark Mark
}

// Entry is one record on its way.
type Entry struct {
	// Size is an upper bound of what Encode appends.
	Size int
	// Encode appends the payload to dst, when the batch is put together, and
	// for an entry that rides again if that batch failed. Appending nothing
	// drops the entry.
	Encode func(dst []byte, s Stamp) []byte
	// Done is called once: after the sync, in the journal's order, or with
	// what went wrong.
	Done func(s Stamp, err error)
	// Ride says that the entry needs no sync of its own: it is written at
	// once, and synced at most RideDelay later or with whatever syncs first.
	// The journal appends it again after a failed batch.
	Ride bool
	// Reserved entries may use the segments that are kept for them when the
	// disk is full.
	Reserved bool
}

// Options says where the journal lies and how it grows. Zero: the default.
type Options struct {
	FS  FS
	Dir string
	// FirstSegment is the size of the first segment; each is twice the one
	// before, up to MaxSegment.
	FirstSegment, MaxSegment int64
	// Reserve is how many preallocated segments are kept for Reserved entries.
	// Negative: none.
	Reserve int
	// MaxBatch bounds a batch in bytes, unless one entry is larger.
	MaxBatch  int
	RideDelay time.Duration
	Now       func() time.Time
	Rand      io.Reader
	Logger    *slog.Logger
	// Head appends the application's snapshot to dst: the first record of
	// every new segment, behind what recovery copied into it. Every record
	// before it is done.
	Head func(dst []byte, s Stamp) []byte
	// Observe is told about each sync.
	Observe func(batchRecords int, batchBytes int, sync time.Duration)
}

func (o *Options) setDefaults() {
	if o.FS == nil {
		o.FS = OS
	}
	o.MaxSegment = max(cmp.Or(o.MaxSegment, DefaultMaxSegment), minSegment)
	o.FirstSegment = min(max(cmp.Or(o.FirstSegment, DefaultFirstSegment), minSegment), o.MaxSegment)
	o.Reserve = max(cmp.Or(o.Reserve, DefaultReserve), 0)
	o.MaxBatch = cmp.Or(o.MaxBatch, DefaultMaxBatch)
	o.RideDelay = cmp.Or(o.RideDelay, DefaultRideDelay)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

// minSegment holds the headers and a little more.
const minSegment = 4 * segmentData

// Journal is an open journal. Its methods may be called from any goroutine.
type Journal struct {
	o     Options
	id    [16]byte
	pulse pulse.Pulse // the committer's

	stop    chan struct{} // closed by Close
	stopped sync.WaitGroup
	work    chan struct{} // something waits for the committer
	kick    chan struct{} // space may have come back

	mu         sync.Mutex
	closed     bool
	queue      []Entry
	rolls      []chan error
	riders     int
	riderBytes int
	waiting    int           // for room to ride
	room       chan struct{} // closed and replaced when riders are done
	failed     error         // no segment to write into: the cause
	full       bool          // a segment was needed that only the reserve has
	durable    Mark
	segments   map[uint64]*segment
	active     *segment
	spares     spares

	open handles
}

// Append hands in an entry. It does not wait for the commit: Done tells. An
// error means that the entry was not taken, and neither Encode nor Done is
// called. An entry that rides waits while too many ride already.
func (j *Journal) Append(ctx context.Context, e Entry) error {
	if e.Size < 0 || e.Size > maxEntry || !e.Reserved && int64(e.Size) > j.maxAccept() {
		return fmt.Errorf("%w: %d bytes", ErrTooLarge, e.Size)
	}
	j.mu.Lock()
	if err := j.admit(ctx, &e); err != nil {
		j.mu.Unlock()
		return err
	}
	j.queue = append(j.queue, e)
	first := len(j.queue) == 1
	j.mu.Unlock()
	if first {
		signal(j.work)
	}
	return nil
}

// admit returns when an entry may join the queue. The mutex is held, and given
// back while it waits for room to ride.
func (j *Journal) admit(ctx context.Context, e *Entry) error {
	for {
		if err := j.refusal(e); err != nil || !e.Ride {
			return err
		}
		if j.riders == 0 || j.riders < maxRiders && j.riderBytes+e.Size <= maxRiderBytes {
			j.riders++
			j.riderBytes += e.Size
			return nil
		}
		if err := j.awaitRoom(ctx); err != nil {
			return err
		}
	}
}

// maxAccept is what fits into half of a full-grown segment.
func (j *Journal) maxAccept() int64 {
	return j.o.MaxSegment/2 - segmentData - frameSize - recordSize
}

// refusal says why e cannot be taken. The mutex is held.
func (j *Journal) refusal(e *Entry) error {
	switch {
	case j.closed:
		return ErrClosed
	case j.failed != nil && !e.Ride:
		return unavailable(j.failed)
	}
	if short := j.shortage(); short != nil && bound(e, short) {
		return short
	}
	return nil
}

// bound reports whether an entry must wait for a complete reserve. What rides
// is bound by a full disk only: any other failure passes, or poisons.
func bound(e *Entry, shortage error) bool {
	return !e.Reserved && (!e.Ride || errors.Is(shortage, ErrFull))
}

// shortage says why entries without a right to the reserve are refused: the
// reserve is not complete and cannot be completed. The mutex is held.
func (j *Journal) shortage() error {
	if j.spares.err == nil || !j.full && len(j.spares.ready) >= j.o.Reserve {
		return nil
	}
	return unavailable(j.spares.err)
}

// unavailable words what a caller gets who must try again later.
func unavailable(cause error) error {
	if noSpace(cause) {
		return fmt.Errorf("%w: %w", ErrFull, cause)
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, cause)
}

// awaitRoom gives the mutex back until riders are done, and takes it again.
func (j *Journal) awaitRoom(ctx context.Context) error {
	room := j.room
	j.waiting++
	j.mu.Unlock()
	defer j.mu.Lock()
	select {
	case <-room:
	case <-j.stop:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// signal wakes the reader of c, who looks for itself what there is to do.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Durable is the batch synced last.
func (j *Journal) Durable() Mark {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.durable
}

// ID names this journal, for life.
func (j *Journal) ID() [16]byte { return j.id }

// Segments tells about each segment, in order.
func (j *Journal) Segments() []Segment {
	j.mu.Lock()
	defer j.mu.Unlock()
	all := make([]Segment, 0, len(j.segments))
	for _, s := range j.segments {
		if !s.gone {
			all = append(all, s.info)
		}
	}
	slices.SortFunc(all, func(a, b Segment) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

// segment returns a segment, and a copy of what is known of it.
func (j *Journal) segment(id uint64) (*segment, Segment, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	s, ok := j.segments[id]
	switch {
	case j.closed:
		return nil, Segment{}, ErrClosed
	case !ok || s.gone:
		return nil, Segment{}, fmt.Errorf("%w: %d", ErrGone, id)
	}
	return s, s.info, nil
}

// Read returns the payload of a record, checked. ErrGone: its segment was
// removed. ErrDamaged: there is no such record, or its bytes have changed.
func (j *Journal) Read(p Position) ([]byte, error) {
	s, info, err := j.segment(p.Segment)
	if err != nil {
		return nil, err
	}
	stop := p.Offset + recordSize + int64(p.Size)
	if s.header == nil || p.Offset < segmentData+frameSize || p.Offset > math.MaxInt64/2 || stop > info.Used {
		return nil, fmt.Errorf("%w: no record at %d in segment %d", ErrDamaged, p.Offset, p.Segment)
	}
	b := make([]byte, recordSize+int(p.Size))
	err = j.open.use(j, s, func(f File) error {
		_, err := f.ReadAt(b, p.Offset)
		return err
	})
	switch {
	case missing(err):
		return nil, fmt.Errorf("%w: %d", ErrGone, p.Segment)
	case err != nil:
		return nil, fmt.Errorf("reading %d bytes at %d in segment %d: %w", len(b), p.Offset, p.Segment, err)
	}
	payload, err := s.seal.record(b, p.Offset)
	if err != nil || len(payload) != int(p.Size) {
		return nil, fmt.Errorf("%w: record at %d in segment %d", ErrDamaged, p.Offset, p.Segment)
	}
	return payload, nil
}

// Scan calls fn with each record of a sealed segment, in order; payload is
// valid during the call. Damage is passed over, and told by ErrDamaged in the
// end.
func (j *Journal) Scan(id uint64, fn func(s Stamp, payload []byte) error) error {
	s, info, err := j.segment(id)
	switch {
	case err != nil:
		return err
	case !info.Sealed:
		return fmt.Errorf("%w: %d", ErrActive, id)
	case s.header == nil:
		return fmt.Errorf("%w: header of segment %d", ErrDamaged, id)
	}
	var lost int64
	err = j.open.use(j, s, func(f File) error {
		r := replay{journal: j.id, seal: s.seal, fn: fn, damage: func(_, n int64) { lost += n }}
		return scan(f, s.seal, segmentData, info.Used, s.header.Sequence-1, r.visit)
	})
	switch {
	case missing(err):
		return fmt.Errorf("%w: %d", ErrGone, id)
	case err != nil:
		return fmt.Errorf("scanning segment %d: %w", id, err)
	case lost > 0:
		return fmt.Errorf("%w: %d bytes of segment %d", ErrDamaged, lost, id)
	}
	return nil
}

// Roll seals the active segment and begins the next.
func (j *Journal) Roll(ctx context.Context) error {
	done := make(chan error, 1)
	j.mu.Lock()
	if j.closed {
		j.mu.Unlock()
		return ErrClosed
	}
	j.rolls = append(j.rolls, done)
	j.mu.Unlock()
	signal(j.work)
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Remove unlinks a sealed segment and syncs the directory. After an error it
// may be called again.
func (j *Journal) Remove(id uint64) error {
	j.mu.Lock()
	s, ok := j.segments[id]
	switch {
	case !ok:
		j.mu.Unlock()
		return fmt.Errorf("%w: %d", ErrGone, id)
	case !s.info.Sealed:
		j.mu.Unlock()
		return fmt.Errorf("%w: %d", ErrActive, id)
	}
	j.mu.Unlock()
	if err := j.o.FS.Remove(segmentName(j.o.Dir, id)); err != nil && !missing(err) {
		return fmt.Errorf("removing segment %d: %w", id, err)
	}
	j.mu.Lock()
	s.gone = true
	j.mu.Unlock()
	if err := j.o.FS.SyncDir(j.o.Dir); err != nil {
		return fmt.Errorf("removing segment %d: %w", id, err)
	}
	j.mu.Lock()
	delete(j.segments, id)
	j.mu.Unlock()
	signal(j.kick)
	if err := j.open.close(s); err != nil {
		return fmt.Errorf("closing removed segment %d: %w", id, err)
	}
	return nil
}

// Busy tells for how long the present write and sync have been going on; 0 if
// there is none.
func (j *Journal) Busy() time.Duration { return j.pulse.Busy() }

// Close writes what waits, syncs it, and waits for the goroutines. What could
// not be written is done with ErrClosed.
func (j *Journal) Close() error {
	j.mu.Lock()
	if j.closed {
		j.mu.Unlock()
		j.stopped.Wait()
		return nil
	}
	j.closed = true
	j.mu.Unlock()
	close(j.stop)
	j.stopped.Wait()
	return j.closeFiles()
}

func (j *Journal) closeFiles() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	var failed error
	for _, s := range j.segments {
		failed = errors.Join(failed, s.close())
	}
	for _, s := range j.spares.ready {
		failed = errors.Join(failed, s.file.Close())
	}
	j.spares.ready = nil
	if failed != nil {
		return fmt.Errorf("closing the journal: %w", failed)
	}
	return nil
}
