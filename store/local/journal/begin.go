package journal

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// writer is where the committer writes: the active segment and the numbers
// that go on from one to the next. It belongs to the goroutine that commits.
type writer struct {
	segment  *segment
	file     File
	offset   int64 // where the next frame goes
	durable  int64 // up to here the segment is synced
	next     uint64
	sequence uint64 // of the last batch
	lsn      uint64 // of the last record
	time     time.Time
	mark     Mark // of the last batch written
}

// now is the journal's time: the clock's, unless that ran backwards.
func (w *writer) now(now time.Time) time.Time {
	now = now.Round(0).UTC()
	if now.Before(w.time) {
		return w.time
	}
	return now
}

// seal completes the frame in b, whose body is there, and takes its numbers.
func (w *writer) seal(b []byte, s seal, f frame, journal [16]byte) frame {
	w.sequence++
	f.Sequence = w.sequence
	f.Offset = w.offset
	f.Durable = w.durable
	s.putFrame(b, &f)
	w.offset = f.end()
	w.lsn = max(w.lsn, f.lastLSN())
	if f.Time.After(w.time) {
		w.time = f.Time
	}
	w.mark = f.mark(journal, s.segment)
	return f
}

// carried is a batch that goes into a new segment before it gets its name.
type carried struct {
	lsn      uint64
	time     time.Time
	payloads [][]byte
}

// begin turns a spare into the active segment: header and first batches are
// written and synced before the file gets its name, so that a segment is there
// whole or not at all. Whatever fails, the one before is sealed: its end has
// perhaps been told. Behind what it begins with there is room for so many bytes.
func (j *Journal) begin(w *writer, from spare, first []carried, room int64) ([]frame, error) {
	w.next++
	h := &header{
		Journal: j.id, Segment: w.next, Created: w.now(j.o.Now()),
		Sequence: w.sequence + 1, LSN: w.lsn + 1, Time: w.time,
		Ends: j.ends(w),
	}
	if len(first) > 0 {
		h.LSN = first[0].lsn
	}
	if _, err := io.ReadFull(j.o.Rand, h.Salt[:]); err != nil {
		return nil, errors.Join(fmt.Errorf("drawing a salt: %w", err), j.discard(from))
	}
	s := &segment{header: h, seal: newSeal(h.Segment, h.Salt), file: from.file}
	n := *w
	n.segment, n.file, n.offset, n.durable = s, from.file, segmentData, segmentData
	content, frames := n.layOut(s.seal, first, j.id)
	h.Allocated, h.Begun = max(from.size, n.offset+room), n.offset
	copy(content, h.encode())
	copy(content[headerSize:], content[:headerSize])
	err := j.name(from, h, content)
	if err != nil {
		// The name may be there after a power cut: the next header voids it.
		j.mu.Lock()
		j.segments[h.Segment] = &segment{info: Segment{ID: h.Segment, Used: segmentData}, void: true, gone: true}
		j.mu.Unlock()
		return nil, fmt.Errorf("beginning segment %d: %w", h.Segment, err)
	}
	n.durable = n.offset
	s.info = Segment{
		ID: h.Segment, Size: h.Allocated, Used: n.offset,
		FirstLSN: h.LSN, LastLSN: max(n.lsn, h.LSN-1), Created: h.Created, Last: n.time,
	}
	j.activate(w, &n)
	return frames, nil
}

// layOut puts headers' room and the first batches into one buffer.
func (w *writer) layOut(s seal, first []carried, journal [16]byte) ([]byte, []frame) {
	content := make([]byte, segmentData)
	frames := make([]frame, 0, len(first))
	for _, c := range first {
		start := len(content)
		content = append(content, make([]byte, frameSize)...)
		for _, p := range c.payloads {
			at := len(content)
			content = append(append(content, make([]byte, recordSize)...), p...)
			s.putRecord(content, at, w.offset+int64(at-start))
		}
		f := frame{Records: length(len(c.payloads)), LSN: c.lsn, Time: c.time}
		frames = append(frames, w.seal(content[start:], s, f, journal))
	}
	return content, frames
}

// name writes what a segment begins with, and gives the file its name.
func (j *Journal) name(from spare, h *header, content []byte) error {
	err := j.write(from, h, content)
	if err != nil {
		return errors.Join(err, j.discard(from))
	}
	name := segmentName(j.o.Dir, h.Segment)
	if err = j.o.FS.Rename(from.name, name); err != nil {
		return errors.Join(err, j.discard(from))
	}
	if err = j.o.FS.SyncDir(j.o.Dir); err != nil {
		return errors.Join(err, j.discard(spare{name: name, file: from.file}))
	}
	return nil
}

func (j *Journal) write(from spare, h *header, content []byte) error {
	if h.Allocated > from.size {
		if err := from.file.Allocate(h.Allocated); err != nil {
			return err
		}
	}
	if _, err := from.file.WriteAt(content, 0); err != nil {
		return err
	}
	return from.file.Sync()
}

// discard gives up a file that was to become a segment.
func (j *Journal) discard(s spare) error {
	err := s.file.Close()
	if removed := j.o.FS.Remove(s.name); removed != nil && !missing(removed) {
		err = errors.Join(err, removed)
	}
	signal(j.kick)
	return err
}

// ends lists where the segment before ends, and all those behind whose end lie
// frames that do not count. Each header carries the whole list: the one that
// told first may be removed before the one it is about.
func (j *Journal) ends(w *writer) []end {
	j.mu.Lock()
	defer j.mu.Unlock()
	var ends []end
	for id, s := range j.segments {
		if s.void || w.segment == s {
			ends = append(ends, end{Segment: id, Offset: s.info.Used})
		}
	}
	slices.SortFunc(ends, func(a, b end) int { return cmp.Compare(b.Segment, a.Segment) })
	if len(ends) > maxEnds {
		j.o.Logger.Error("more broken journal segments than a header can name: the oldest may repeat records", "segments", len(ends))
		ends = ends[:maxEnds]
	}
	return ends
}

// activate makes n the writer: the segment before it is sealed.
func (j *Journal) activate(w *writer, n *writer) {
	j.mu.Lock()
	old := j.active
	if old != nil {
		old.info.Sealed = true
	}
	j.active = n.segment
	j.segments[n.segment.info.ID] = n.segment
	if n.mark.Segment == n.segment.info.ID {
		j.durable = n.mark
	}
	j.failed = nil
	j.mu.Unlock()
	*w = *n
	if old != nil {
		j.retire(old)
	}
}

// retire gives back what a sealed segment did not use. A segment that was
// poisoned is not touched again.
func (j *Journal) retire(s *segment) {
	var failed error
	if !s.void {
		failed = j.open.use(j, s, func(f File) error { return f.Truncate(s.info.Used) })
	}
	if failed == nil && !s.void {
		j.mu.Lock()
		s.info.Size = s.info.Used
		j.mu.Unlock()
	}
	if err := errors.Join(failed, j.open.add(s)); err != nil {
		j.o.Logger.Warn("cannot shorten a sealed journal segment", "segment", s.info.ID, "error", err)
	}
}
