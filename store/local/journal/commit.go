package journal

import (
	"fmt"
	"runtime"
	"slices"
	"time"
)

// keepBuffer is how much of the batch buffer is kept when little is written.
const keepBuffer = 1 << 20

// mostTurns is how often others get their turn before a batch is closed, and
// stillTurns how many of them in a row may bring nothing.
const mostTurns, stillTurns = 32, 4

// keepEntries is how long a list of entries may be to be used again.
const keepEntries = 1 << 14

var blank [frameSize]byte

// committer is the one goroutine that writes. Its fields are its own.
type committer struct {
	j *Journal
	w writer

	todo    []Entry   // in order
	next    int       // those before it are written, or done
	written []written // in order, not synced yet
	spent   []written // the room of the last group
	records int       // of those: not skipped
	bytes   int
	urgent  bool // one of them waits for a sync
	riding  bool // the timer for those that ride is set
	failed  error
	pause   time.Duration

	buf   []byte
	small int // batches in a row that did not need so large a buffer

	ride  *time.Timer
	again *time.Timer
}

type written struct {
	entry   Entry
	stamp   Stamp
	skipped bool
}

func (c *committer) run() {
	c.ride, c.again = stoppedTimer(), stoppedTimer()
	defer c.ride.Stop()
	defer c.again.Stop()
	for {
		var do func()
		select {
		case <-c.j.work:
		case <-c.ride.C:
			do = c.sync
		case <-c.again.C:
			do = c.reopen
		case <-c.j.stop:
			c.drain()
			c.finish()
			return
		}
		c.j.pulse.Begin() // and again in each round of drain
		if do != nil {
			do()
		}
		c.drain()
		c.j.pulse.End()
	}
}

func stoppedTimer() *time.Timer {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}

// drain writes until nothing waits.
func (c *committer) drain() {
	for {
		c.j.pulse.Begin()
		c.gather()
		rolls, more := c.take()
		if !more {
			return
		}
		c.commit()
		for _, done := range rolls {
			done <- c.roll()
		}
		if c.failed != nil {
			c.refuse()
			return
		}
	}
}

// gather lets whoever is about to append do so first, while there are any: one
// sync for many costs less than many syncs, and in a busy process the others
// are ready to run. In an idle one it returns at once; it never waits.
func (c *committer) gather() {
	for seen, still, turn := 0, 0, 0; turn < mostTurns && still < stillTurns; turn++ {
		c.j.mu.Lock()
		n := len(c.j.queue)
		c.j.mu.Unlock()
		if n == 0 {
			return
		}
		if still++; n > seen {
			seen, still = n, 0
		}
		runtime.Gosched()
	}
}

// take moves what waits to todo.
func (c *committer) take() (rolls []chan error, more bool) {
	j := c.j
	j.mu.Lock()
	defer j.mu.Unlock()
	rolls, j.rolls = j.rolls, nil
	if len(c.todo) == 0 {
		c.todo, j.queue = j.queue, c.todo
	} else {
		c.todo = append(c.todo, j.queue...)
		clear(j.queue)
		j.queue = j.queue[:0]
	}
	return rolls, len(c.todo) > 0 || len(rolls) > 0
}

// commit writes what is to do, in as many batches as it takes.
func (c *committer) commit() {
	for c.next < len(c.todo) && c.failed == nil {
		if !c.batch() {
			c.rotate(&c.todo[c.next])
		}
	}
	if c.next == len(c.todo) {
		c.rest(0)
	}
}

// rest makes what has not been written all there is to do, behind n entries
// that are first in todo.
func (c *committer) rest(n int) {
	c.todo = slices.Delete(c.todo, n, max(n, c.next))
	c.next = 0
	if len(c.todo) == 0 && cap(c.todo) > keepEntries {
		c.todo = nil
	}
}

// batch puts together as much as fits, writes it, and syncs it if somebody
// waits. It reports false if not even the first entry fits.
func (c *committer) batch() bool {
	c.j.mu.Lock()
	shortage := c.j.shortage()
	c.j.mu.Unlock()
	from, base := c.next, len(c.written)
	f := frame{LSN: c.w.lsn + 1, Time: c.w.now(c.j.o.Now())}
	b := append(c.buf[:0], blank[:frameSize]...)
	for c.next < len(c.todo) {
		e := &c.todo[c.next]
		if shortage != nil && bound(e, shortage) {
			c.drop(e, shortage)
			c.next++
			continue
		}
		size := len(b) + recordSize + e.Size
		if f.Records > 0 && size > c.j.o.MaxBatch || c.w.offset+int64(size) > c.w.segment.info.Size {
			break
		}
		b = c.encode(b, e, &f)
		c.next++
	}
	c.keep(b)
	some := c.next > from
	if f.Records > 0 {
		if err := c.write(b, f, base); err != nil {
			c.poison(fmt.Errorf("writing %d bytes to segment %d: %w", len(b), c.w.segment.info.ID, err))
			return true
		}
	}
	c.settle()
	return some
}

// settle syncs if somebody waits, and otherwise sees to it that it happens in
// time.
func (c *committer) settle() {
	if c.urgent || c.records == 0 {
		c.sync()
	} else if !c.riding {
		c.riding = true
		c.ride.Reset(c.j.o.RideDelay)
	}
}

// encode appends one record.
func (c *committer) encode(b []byte, e *Entry, f *frame) []byte {
	at := len(b)
	w := written{entry: *e, stamp: Stamp{
		LSN: f.LSN + uint64(f.Records), Time: f.Time,
		Pos: Position{Segment: c.w.segment.info.ID},
	}}
	b = e.Encode(append(b, blank[:recordSize]...), w.stamp)
	size := len(b) - at - recordSize
	switch {
	case size < 0 || size > e.Size:
		c.drop(e, fmt.Errorf("%w: %d bytes, announced as %d", ErrTooLarge, size, e.Size))
		return b[:at]
	case size == 0:
		w.skipped = true
		b = b[:at]
	default:
		offset := c.w.offset + int64(at)
		c.w.segment.seal.putRecord(b, at, offset)
		w.stamp.Pos.Offset, w.stamp.Pos.Size = offset, length(size)
		f.Records++
	}
	// A skipped entry may have been skipped for one that is not synced yet.
	c.urgent = c.urgent || !e.Ride
	c.written = append(c.written, w)
	return b
}

// write seals the batch and hands it to the file.
func (c *committer) write(b []byte, f frame, base int) error {
	c.w.seal(b, c.w.segment.seal, f, c.j.id)
	for i := range c.written[base:] {
		c.written[base+i].stamp.Mark = c.w.mark
	}
	c.records += int(f.Records)
	c.bytes += len(b)
	_, err := c.w.file.WriteAt(b, c.w.offset-int64(len(b)))
	return err
}

// keep holds on to the batch buffer, unless it is far larger than needed.
func (c *committer) keep(b []byte) {
	c.buf = b
	if cap(b) <= keepBuffer || len(b) > cap(b)/4 {
		c.small = 0
		return
	}
	if c.small++; c.small >= 16 {
		c.buf, c.small = nil, 0
	}
}

// sync makes durable what was written, and answers.
func (c *committer) sync() {
	c.ride.Stop()
	c.riding = false
	if c.records > 0 {
		start := time.Now()
		if err := c.w.file.Sync(); err != nil {
			c.poison(fmt.Errorf("syncing segment %d: %w", c.w.segment.info.ID, err))
			return
		}
		if c.j.o.Observe != nil {
			c.j.o.Observe(c.records, c.bytes, time.Since(start))
		}
		c.w.durable = c.w.offset
		c.publish()
	}
	done := c.written
	c.forget()
	for i := range done {
		d := &done[i]
		if d.skipped {
			d.entry.Done(d.stamp, ErrSkipped)
		} else {
			d.entry.Done(d.stamp, nil)
		}
	}
	c.release(done)
}

// publish tells readers what is durable now.
func (c *committer) publish() {
	j := c.j
	j.mu.Lock()
	defer j.mu.Unlock()
	j.durable = c.w.mark
	info := &c.w.segment.info
	info.Used, info.LastLSN, info.Last = c.w.durable, c.w.lsn, c.w.time
}

// forget begins a new group of written entries.
func (c *committer) forget() {
	c.written, c.records, c.bytes, c.urgent = c.spent, 0, 0, false
	c.spent = nil
}

// release drops what the entries of a finished group hold, and lets those in
// that wait to ride.
func (c *committer) release(done []written) {
	riders, size := 0, 0
	for i := range done {
		if done[i].entry.Ride {
			riders++
			size += done[i].entry.Size
		}
	}
	if cap(done) <= keepEntries {
		clear(done)
		c.spent = done[:0]
	}
	c.depart(riders, size)
}

func (c *committer) depart(riders, size int) {
	if riders == 0 {
		return
	}
	j := c.j
	j.mu.Lock()
	defer j.mu.Unlock()
	j.riders -= riders
	j.riderBytes -= size
	if j.waiting > 0 {
		j.waiting = 0
		close(j.room)
		j.room = make(chan struct{})
	}
}

// drop ends an entry that was not written.
func (c *committer) drop(e *Entry, err error) {
	e.Done(Stamp{}, err)
	if e.Ride {
		c.depart(1, e.Size)
	}
}

// poison gives a segment up after a failed write or sync. What of it is on
// disk nobody knows: a later sync that succeeds proves nothing, because the
// kernel may have dropped the pages. What was synced before still counts.
func (c *committer) poison(err error) {
	c.ride.Stop()
	c.riding = false
	c.fail(err)
	c.j.mu.Lock()
	c.w.segment.void = true
	c.j.mu.Unlock()
	c.j.o.Logger.Error("giving up a journal segment", "segment", c.w.segment.info.ID, "end", c.w.durable, "error", err)
	lost := c.written
	c.forget()
	c.rest(0)
	var riders []Entry
	for i := range lost {
		if e := lost[i].entry; e.Ride {
			riders = append(riders, e)
		} else {
			e.Done(lost[i].stamp, unavailable(err))
		}
	}
	c.todo = append(riders, c.todo...)
	c.pause = firstPause
	c.reopen()
}

// fail refuses intake from now on.
func (c *committer) fail(err error) {
	c.failed = err
	c.j.mu.Lock()
	c.j.failed = err
	c.j.mu.Unlock()
}

// reopen begins a new segment after a failure, or tries again later.
func (c *committer) reopen() {
	if c.failed == nil {
		return
	}
	from, err := c.j.takeSpare(true)
	if err == nil {
		err = c.begin(from, 0)
	}
	if err != nil {
		c.fail(err)
		c.again.Reset(c.pause)
		c.pause = min(2*c.pause, longestPause)
		return
	}
	c.j.o.Logger.Info("journal is writing again", "segment", c.w.segment.info.ID)
}

// begin makes from the active segment, with the application's head and room
// for so many bytes behind it.
func (c *committer) begin(from spare, room int64) error {
	if _, err := c.j.begin(&c.w, from, c.snapshot(c.w.next+1), room); err != nil {
		return err
	}
	c.failed = nil
	return nil
}

// snapshot is the record each segment begins with.
func (c *committer) snapshot(segment uint64) []carried {
	if c.j.o.Head == nil {
		return nil
	}
	s := Stamp{LSN: c.w.lsn + 1, Time: c.w.now(c.j.o.Now()), Pos: Position{Segment: segment}}
	payload := c.j.o.Head(nil, s)
	if len(payload) == 0 {
		return nil
	}
	return []carried{{lsn: s.LSN, time: s.Time, payloads: [][]byte{payload}}}
}

// rotate begins the next segment because e does not fit into this one.
func (c *committer) rotate(e *Entry) {
	c.sync()
	if c.next >= len(c.todo) || e != &c.todo[c.next] {
		return // the sync failed, and all has changed
	}
	room := int64(frameSize + recordSize + e.Size)
	from, err := c.j.takeSpare(e.Reserved)
	if err == nil && from.size < segmentData+room {
		err = c.widen(&from, room)
	}
	if err != nil {
		c.drop(e, unavailable(err))
		c.next++
		return
	}
	if err := c.begin(from, room); err != nil {
		c.stall(err)
	}
}

// widen makes a spare large enough for one large entry.
func (c *committer) widen(s *spare, room int64) error {
	size := segmentData + room
	if err := s.file.Allocate(size); err != nil {
		c.j.putBack(*s)
		return err
	}
	s.size = size
	return nil
}

// stall waits for better times: a segment could not be begun.
func (c *committer) stall(err error) {
	c.j.o.Logger.Error("cannot begin a journal segment", "error", err)
	c.fail(err)
	c.pause = firstPause
	c.again.Reset(c.pause)
}

// roll begins the next segment because somebody asked.
func (c *committer) roll() error {
	if c.failed == nil {
		c.sync()
	}
	if c.failed != nil {
		return unavailable(c.failed)
	}
	from, err := c.j.takeSpare(true)
	if err != nil {
		return unavailable(err)
	}
	if err := c.begin(from, 0); err != nil {
		c.stall(err)
		return unavailable(err)
	}
	return nil
}

// refuse answers all that wait while there is nothing to write into, and keeps
// what rides.
func (c *committer) refuse() {
	c.rest(0)
	riders := c.todo[:0]
	for i := range c.todo {
		e := c.todo[i]
		if e.Ride {
			riders = append(riders, e)
		} else {
			e.Done(Stamp{}, unavailable(c.failed))
		}
	}
	clear(c.todo[len(riders):])
	c.todo = riders
}

// finish ends the journal: it leaves a mark behind the last batch, so that the
// next Open need not copy it.
func (c *committer) finish() {
	if c.failed != nil {
		c.reopen()
		c.commit()
	}
	if c.failed == nil {
		c.sync()
	}
	if c.failed == nil {
		c.farewell()
	}
	for i := range c.todo {
		c.drop(&c.todo[i], ErrClosed)
	}
	c.todo = nil
}

// farewell writes an empty batch, which says how far the segment is synced.
func (c *committer) farewell() {
	w := &c.w
	if w.offset == w.segment.header.Begun || w.offset+frameSize > w.segment.info.Size {
		return
	}
	b := make([]byte, frameSize)
	f := w.seal(b, w.segment.seal, frame{LSN: w.lsn + 1, Time: w.now(c.j.o.Now())}, c.j.id)
	_, err := w.file.WriteAt(b, f.Offset)
	if err == nil {
		err = w.file.Sync()
	}
	if err != nil {
		c.j.o.Logger.Warn("cannot mark the end of the journal", "error", err)
	}
}

// head writes the application's head into the segment that recovery has begun.
func (c *committer) head() error {
	s := c.snapshot(c.w.segment.info.ID)
	if s == nil {
		return nil
	}
	b := make([]byte, frameSize+recordSize, frameSize+recordSize+len(s[0].payloads[0]))
	b = append(b, s[0].payloads[0]...)
	w := &c.w
	w.segment.seal.putRecord(b, frameSize, w.offset+frameSize)
	f := w.seal(b, w.segment.seal, frame{Records: 1, LSN: s[0].lsn, Time: s[0].time}, c.j.id)
	_, err := w.file.WriteAt(b, f.Offset)
	if err == nil {
		err = w.file.Sync()
	}
	if err != nil {
		return fmt.Errorf("writing the first record: %w", err)
	}
	w.durable = w.offset
	c.publish()
	return nil
}
