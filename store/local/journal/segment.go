package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	segmentSuffix = ".segment"
	spareSuffix   = ".spare"
	makingSuffix  = ".making"
)

// Segment is what [Journal.Segments] tells about one file of the journal.
type Segment struct {
	ID       uint64
	Size     int64 // what it takes on disk
	Used     int64 // how far it counts
	FirstLSN uint64
	LastLSN  uint64 // below FirstLSN: no records
	Created  time.Time
	Last     time.Time // journal time of its last batch
	Sealed   bool      // nothing is appended any more
}

// segment is one file of the journal. What it says of itself is guarded by the
// journal's mutex, the open file by its own.
type segment struct {
	info   Segment
	header *header // nil: both copies are damaged
	seal   seal
	void   bool // frames that do not count lie behind Used
	gone   bool // unlinked, but the directory is not synced yet

	mu   sync.RWMutex
	file File // nil: not open
}

func segmentName(dir string, id uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%016x", id)+segmentSuffix)
}

// segmentID takes the number from a file's name.
func segmentID(name string) (uint64, bool) {
	digits, ok := strings.CutSuffix(name, segmentSuffix)
	if !ok || len(digits) != 16 {
		return 0, false
	}
	id, err := strconv.ParseUint(digits, 16, 64)
	return id, err == nil && id > 0
}

// use calls fn with the segment's open file, opening it if need be.
func (s *segment) use(fsys FS, dir string, opened *bool, fn func(File) error) error {
	s.mu.RLock()
	if s.file != nil {
		defer s.mu.RUnlock()
		return fn(s.file)
	}
	s.mu.RUnlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == nil {
		f, err := fsys.Open(segmentName(dir, s.info.ID))
		if err != nil {
			return err
		}
		s.file, *opened = f, true
	}
	return fn(s.file)
}

func (s *segment) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == nil {
		return nil
	}
	err := s.file.Close()
	s.file = nil
	return err
}

// readHeader takes whichever copy of the header is whole.
func readHeader(f File) (*header, error) {
	b := make([]byte, headerSize)
	var failed error
	for _, at := range []int64{0, headerSize} {
		if _, err := f.ReadAt(b, at); err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		h, err := decodeHeader(b)
		if err == nil || errors.Is(err, ErrFormat) {
			return h, err
		}
		failed = errors.Join(failed, err)
	}
	return nil, failed
}

// window reads a file front to back with few calls.
type window struct {
	file  io.ReaderAt
	limit int64
	start int64
	buf   []byte // what lies at start
}

const (
	windowSize  = 1 << 20
	salvageSize = 4096
)

// at returns the n bytes at offset, valid until the next call.
func (w *window) at(offset int64, n int) ([]byte, error) {
	if offset < 0 || n < 0 || offset+int64(n) > w.limit {
		return nil, errFrame
	}
	if offset < w.start || offset+int64(n) > w.start+int64(len(w.buf)) {
		want := int(min(int64(max(n, windowSize)), w.limit-offset))
		if cap(w.buf) < want {
			w.buf = make([]byte, want)
		}
		w.buf, w.start = w.buf[:want], offset
		if got, err := w.file.ReadAt(w.buf, offset); got < want {
			if errors.Is(err, fs.ErrClosed) {
				w.buf = w.buf[:0]
				return nil, err
			}
			w.salvage()
		}
	}
	return w.buf[offset-w.start:][:n], nil
}

// salvage reads the window page by page. What the disk does not give is left
// zero: no checksum fits it, and so it is reported and served around as any
// other damage, instead of hiding what lies around it.
func (w *window) salvage() {
	clear(w.buf)
	for i := 0; i < len(w.buf); i += salvageSize {
		page := w.buf[i:min(i+salvageSize, len(w.buf))]
		if n, _ := w.file.ReadAt(page, w.start+int64(i)); n < len(page) {
			clear(page[n:])
		}
	}
}

// find returns where the first of tag lies, at or behind offset; -1: nowhere.
func (w *window) find(tag []byte, offset int64) (int64, error) {
	for offset+int64(len(tag)) <= w.limit {
		n := int(min(windowSize, w.limit-offset))
		if left := w.start + int64(len(w.buf)) - offset; offset >= w.start && left >= int64(len(tag)) {
			n = int(left) // what is in memory is not read again for each candidate
		}
		b, err := w.at(offset, n)
		if err != nil {
			return -1, err
		}
		if i := bytes.Index(b, tag); i >= 0 {
			return offset + int64(i), nil
		}
		offset += int64(n - len(tag) + 1)
	}
	return -1, nil
}

// content returns where the last byte lies that is not zero, plus one.
func (w *window) content(from int64) (int64, error) {
	last := from
	for from < w.limit {
		n := int(min(windowSize, w.limit-from))
		b, err := w.at(from, n)
		if err != nil {
			return 0, err
		}
		if b = bytes.TrimRight(b, "\x00"); len(b) > 0 {
			last = from + int64(len(b))
		}
		from += int64(n)
	}
	return last, nil
}

// found is one step of a scan.
type found struct {
	frame frame
	body  []byte // nil: this is a gap of bytes that are no frame
	whole bool   // the body is as it was written
	gap   int64  // its length
	at    int64
}

// scan walks the frames of a file from a frame's beginning to limit. A gap is
// reported when something lies behind it, or when it is not all zero. Behind a
// gap only a frame counts whose salt, sequence and offset fit.
func scan(f io.ReaderAt, s seal, from, limit int64, sequence uint64, visit func(found) error) error {
	w := &window{file: f, limit: limit}
	for at := from; at < limit; {
		fr, ok, err := next(w, s, at, sequence)
		if err != nil {
			return err
		}
		if !ok {
			fr, err = resync(w, s, at, sequence, visit)
			if err != nil || fr.Offset == 0 {
				return err
			}
		}
		at, sequence = fr.Offset, fr.Sequence
		body, err := w.at(at+frameSize, int(fr.Length))
		if err != nil && !errors.Is(err, errFrame) {
			return err
		}
		if err := visit(found{frame: fr, body: body, whole: s.whole(&fr, body), at: at}); err != nil {
			return err
		}
		at = fr.end()
	}
	return nil
}

// next takes the frame that must lie at offset: the one after sequence.
func next(w *window, s seal, at int64, sequence uint64) (frame, bool, error) {
	b, err := w.at(at, frameSize)
	if err != nil {
		if errors.Is(err, errFrame) {
			err = nil
		}
		return frame{}, false, err
	}
	fr, err := s.frame(b, at)
	if err != nil || fr.end() > w.limit || fr.Sequence != sequence+1 {
		return frame{}, false, nil //nolint:nilerr // no frame is an answer, not a failure
	}
	return fr, true, nil
}

// resync looks for the next frame behind damage and reports the gap. Without
// one, the frame it returns is zero.
func resync(w *window, s seal, at int64, sequence uint64, visit func(found) error) (frame, error) {
	for search := at + 1; ; search++ {
		i, err := w.find(s.tag[:], search)
		if err != nil {
			return frame{}, err
		}
		if i < 0 {
			break
		}
		search = i
		b, err := w.at(i, frameSize)
		if err != nil {
			if errors.Is(err, errFrame) {
				break
			}
			return frame{}, err
		}
		fr, err := s.frame(b, i)
		// Every batch took at least its fixed part: so many fit into the gap.
		fits := err == nil && fr.end() <= w.limit && fr.Sequence > sequence &&
			fr.Sequence-sequence-1 <= uint64((i-at)/frameSize)
		if fits {
			return fr, visit(found{gap: i - at, at: at})
		}
	}
	last, err := w.content(at)
	if err != nil || last == at {
		return frame{}, err
	}
	return frame{}, visit(found{gap: last - at, at: at})
}

// records calls fn with each payload of a batch that can be read, and reports
// how many bytes could not.
func (s seal) records(f *frame, body []byte, fn func(lsn uint64, pos Position, payload []byte) error) (lost int64, err error) {
	offset, lsn := f.Offset+frameSize, f.LSN
	for range f.Records {
		payload, err := s.record(body, offset)
		if err != nil {
			n, ok := skip(body)
			if !ok {
				return lost + int64(len(body)), nil
			}
			lost += int64(n)
			body, offset, lsn = body[n:], offset+int64(n), lsn+1
			continue
		}
		pos := Position{Segment: s.segment, Offset: offset, Size: length(len(payload))}
		if err := fn(lsn, pos, payload); err != nil {
			return lost, err
		}
		n := recordSize + len(payload)
		body, offset, lsn = body[n:], offset+int64(n), lsn+1
	}
	return lost, nil
}

// skip returns how far a record reaches whose checksum is wrong: its length
// may still be right, and then the next one is readable.
func skip(body []byte) (int, bool) {
	if len(body) < recordSize {
		return 0, false
	}
	n := int64(binary.LittleEndian.Uint32(body))
	if n > int64(len(body)-recordSize) {
		return 0, false
	}
	return recordSize + int(n), true
}
