package journal

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// Damage is a stretch of a segment that is not what was written there, though
// it had been synced.
type Damage struct {
	Segment uint64
	Offset  int64
	Bytes   int64
}

// Report is what recovery found.
type Report struct {
	Journal  [16]byte
	Segments int
	Records  uint64    // replayed
	Copied   uint64    // of those: taken from behind the last mark into a fresh segment
	Torn     int64     // bytes behind the last mark that are no whole batch
	Void     int64     // bytes of batches that failed and do not count
	Time     time.Time // journal time of the last batch
	Damage   []Damage
}

// Open recovers the journal in o.Dir and begins a fresh segment. It calls fn
// with each record behind from, in order; payload is valid during the call.
// The zero Mark replays everything; a Mark that names no batch here is ErrMark,
// before fn is called. The directory must be locked by the caller.
func Open(o Options, from Mark, fn func(s Stamp, payload []byte) error) (*Journal, Report, error) {
	o.setDefaults()
	j := &Journal{
		o:        o,
		stop:     make(chan struct{}),
		work:     make(chan struct{}, 1),
		kick:     make(chan struct{}, 1),
		room:     make(chan struct{}),
		segments: make(map[uint64]*segment),
		spares:   spares{changed: make(chan struct{})},
	}
	r := &recovery{j: j, fn: fn, ends: make(map[uint64]int64), was: make(map[uint64]Position)}
	if err := r.run(from); err != nil {
		return nil, r.report, errors.Join(fmt.Errorf("opening the journal in %s: %w", o.Dir, err), j.closeFiles())
	}
	c := &committer{j: j, w: r.w}
	if err := c.head(); err != nil {
		return nil, r.report, errors.Join(fmt.Errorf("opening the journal in %s: %w", o.Dir, err), j.closeFiles())
	}
	r.report.Segments, r.report.Time = len(j.segments), r.w.time
	quit := make(chan struct{})
	j.stopped.Go(func() { j.prepare(quit) })
	j.stopped.Go(func() {
		defer close(quit)
		c.run()
	})
	return j, r.report, nil
}

// recovery is Open at work.
type recovery struct {
	j     *Journal
	fn    func(s Stamp, payload []byte) error
	ends  map[uint64]int64 // what headers say about the segments before them
	order []*segment
	w     writer
	tail  []carried
	// was has the records of which a copy counts now, and where they lay before.
	was    map[uint64]Position
	report Report
}

func (r *recovery) run(from Mark) error {
	if err := r.load(); err != nil {
		return err
	}
	start, err := r.find(from)
	if err != nil {
		return err
	}
	for i, s := range r.order {
		if err := r.segment(i, s, from, start); err != nil {
			return fmt.Errorf("segment %d: %w", s.info.ID, err)
		}
	}
	return r.finish()
}

// load reads the directory and every header.
func (r *recovery) load() error {
	j := r.j
	if err := j.o.FS.MkdirAll(j.o.Dir); err != nil {
		return err
	}
	names, err := j.o.FS.ReadDir(j.o.Dir)
	if err != nil {
		return err
	}
	if err := j.adoptSpares(names); err != nil {
		return err
	}
	for _, name := range names {
		if id, ok := segmentID(name); ok {
			if err := r.open(id); err != nil {
				return fmt.Errorf("segment %d: %w", id, err)
			}
		}
	}
	slices.SortFunc(r.order, func(a, b *segment) int { return cmp.Compare(a.info.ID, b.info.ID) })
	return r.identify()
}

// open takes one file in.
func (r *recovery) open(id uint64) error {
	s := &segment{info: Segment{ID: id, Sealed: true}}
	r.j.segments[id] = s
	r.order = append(r.order, s)
	r.w.next = max(r.w.next, id)
	return r.j.open.use(r.j, s, func(f File) error {
		size, err := f.Size()
		if err != nil {
			return err
		}
		s.info.Size, s.info.Used = size, size
		h, err := readHeader(f)
		if errors.Is(err, ErrFormat) {
			return err
		}
		if err == nil && h.Segment == id {
			s.header, s.seal = h, newSeal(id, h.Salt)
		}
		return nil
	})
}

// identify settles which journal this is, and what its headers say.
func (r *recovery) identify() error {
	for _, s := range slices.Backward(r.order) {
		if s.header != nil {
			r.j.id = s.header.Journal
			break
		}
	}
	if r.j.id == ([16]byte{}) {
		if _, err := io.ReadFull(r.j.o.Rand, r.j.id[:]); err != nil {
			return fmt.Errorf("drawing a name for the journal: %w", err)
		}
	}
	r.report.Journal = r.j.id
	for _, s := range r.order {
		if s.header != nil && s.header.Journal != r.j.id {
			s.header = nil
		}
		if s.header == nil {
			r.damage(s.info.ID, 0, s.info.Size)
			s.info.Used = 0
			continue
		}
		r.know(s.header)
	}
	for _, s := range r.order {
		if e, ok := r.ends[s.info.ID]; ok && s.header != nil {
			s.info.Used = min(e, s.info.Size)
		}
	}
	return nil
}

// know takes over what a header says about the time before it.
func (r *recovery) know(h *header) {
	for _, e := range h.Ends {
		r.ends[e.Segment] = e.Offset
	}
	r.w.sequence = max(r.w.sequence, h.Sequence-1)
	r.w.lsn = max(r.w.lsn, h.LSN-1)
	r.passed(h.Time)
}

func (r *recovery) passed(t time.Time) {
	if t.After(r.w.time) {
		r.w.time = t
	}
}

func (r *recovery) damage(segment uint64, offset, bytes int64) {
	r.report.Damage = append(r.report.Damage, Damage{segment, offset, bytes})
}

// find returns where the batch that from names ends.
func (r *recovery) find(from Mark) (frame, error) {
	if from == (Mark{}) {
		return frame{}, nil
	}
	s, ok := r.j.segments[from.Segment]
	if !ok || s.header == nil || from.Journal != r.j.id || from.Offset < segmentData {
		return frame{}, ErrMark
	}
	var at frame
	err := r.j.open.use(r.j, s, func(f File) error {
		w := &window{file: f, limit: s.info.Used}
		b, err := w.at(from.Offset, frameSize)
		if err != nil {
			return err
		}
		at, err = s.seal.frame(b, from.Offset)
		return err
	})
	if err != nil || at.end() > s.info.Used || at.mark(r.j.id, s.info.ID) != from {
		return frame{}, ErrMark
	}
	return at, nil
}

// segment replays what counts of one segment. Of the last, which was being
// written, what lies behind the last mark is kept for the fresh one.
func (r *recovery) segment(i int, s *segment, from Mark, start frame) error {
	if s.header == nil {
		return nil
	}
	at, sequence, last := int64(segmentData), s.header.Sequence-1, i == len(r.order)-1
	s.info.Created, s.info.FirstLSN = s.header.Created, s.header.LSN
	s.info.LastLSN, s.info.Last = s.header.LSN-1, s.header.Time
	if s.info.ID == from.Segment {
		at, sequence = start.end(), start.Sequence
		r.seen(s, &start, false)
	}
	p := r.visitor(s)
	if s.info.ID < from.Segment {
		if !last && r.infer(s, r.order[i+1]) {
			return nil
		}
		p.fn = func(Stamp, []byte) error { return nil }
		p.damage = func(int64, int64) {}
	}
	_, known := r.ends[s.info.ID]
	return r.j.open.use(r.j, s, func(f File) error {
		if err := r.void(f, s, known); err != nil {
			return err
		}
		if last && !known {
			return r.last(f, s, p, at, sequence)
		}
		p.mark = s.info.Used
		return scan(f, s.seal, at, s.info.Used, sequence, p.visit)
	})
}

// visitor replays what lies below the mark and keeps what lies behind it.
func (r *recovery) visitor(s *segment) *replay {
	return &replay{
		journal: r.j.id, seal: s.seal, fn: r.record,
		damage: func(at, n int64) { r.damage(s.info.ID, at, n) },
		torn:   func(n int64) { r.report.Torn += n; s.void = true },
		tail:   func(c carried) { r.tail = append(r.tail, c); s.void = true },
		seen:   func(f *frame, behind bool) { r.seen(s, f, behind) },
		left:   r.left,
	}
}

// last replays the segment that was being written when the process ended.
func (r *recovery) last(f File, s *segment, p *replay, at int64, sequence uint64) error {
	var err error
	if p.mark, err = r.mark(f, s, at, sequence); err != nil {
		return err
	}
	err = scan(f, s.seal, at, s.info.Used, sequence, p.visit)
	s.info.Used = max(p.mark, p.end)
	return err
}

// infer tells about a segment that need not be read from the one behind it.
func (r *recovery) infer(s, behind *segment) bool {
	_, known := r.ends[s.info.ID]
	if !known || behind.header == nil || behind.info.ID != s.info.ID+1 {
		return false
	}
	s.info.LastLSN, s.info.Last = behind.header.LSN-1, behind.header.Time
	s.void = s.info.Size > s.info.Used
	return true
}

// record hands one record to the application.
func (r *recovery) record(s Stamp, payload []byte) error {
	r.report.Records++
	s.Was = r.was[s.LSN]
	return r.fn(s, payload)
}

// left notes where a record lay that is read from its copy.
func (r *recovery) left(lsn uint64, at Position) { r.was[lsn] = at }

// seen takes the numbers of a batch, whole or not: they are not given again.
func (r *recovery) seen(s *segment, f *frame, behind bool) {
	r.w.sequence = max(r.w.sequence, f.Sequence)
	r.w.lsn = max(r.w.lsn, f.lastLSN())
	r.passed(f.Time)
	if !behind {
		s.info.LastLSN = max(s.info.LastLSN, f.lastLSN())
		s.info.Last = f.Time
	}
}

// void measures what lies behind a segment's end.
func (r *recovery) void(f File, s *segment, known bool) error {
	if !known || s.info.Used >= s.info.Size {
		return nil
	}
	w := &window{file: f, limit: s.info.Size}
	last, err := w.content(s.info.Used)
	if err != nil {
		return err
	}
	r.report.Void += last - s.info.Used
	s.void = last > s.info.Used
	return r.leftIn(w, s)
}

// leftIn notes what lies behind a segment's end: a recovery before this one may
// have taken it from there, and ended before anybody knew.
func (r *recovery) leftIn(w *window, s *segment) error {
	for at := s.info.Used; ; {
		b, err := w.at(at, frameSize)
		if errors.Is(err, errFrame) {
			return nil
		}
		if err != nil {
			return err
		}
		f, err := s.seal.frame(b, at)
		if err != nil {
			return nil //nolint:nilerr // here it ends
		}
		body, err := w.at(at+frameSize, int(f.Length))
		if err != nil && !errors.Is(err, errFrame) {
			return err
		}
		_, _ = s.seal.records(&f, body, func(lsn uint64, at Position, _ []byte) error {
			r.left(lsn, at)
			return nil
		})
		at = f.end()
	}
}

// mark returns up to where the last segment is known to have been synced: what
// it began with, the checkpoint the caller has, and what its frames say.
func (r *recovery) mark(f File, s *segment, at int64, sequence uint64) (int64, error) {
	mark := max(s.header.Begun, segmentData, at)
	err := scan(f, s.seal, at, s.info.Used, sequence, func(v found) error {
		if v.body != nil {
			mark = max(mark, v.frame.Durable)
		}
		return nil
	})
	return mark, err
}

// finish begins the fresh segment, with the tail, and replays that from there.
func (r *recovery) finish() error {
	size := r.j.o.FirstSegment
	if n := len(r.order); n > 0 && r.order[n-1].header != nil {
		last := r.order[n-1]
		size = min(max(last.header.Allocated, size), r.j.o.MaxSegment)
		r.w.segment = last
	}
	from, err := r.j.firstSpare(size)
	switch {
	case noSpace(err):
		return fmt.Errorf("%w: %w", ErrFull, err)
	case err != nil:
		return err
	}
	r.j.active = r.w.segment
	frames, err := r.j.begin(&r.w, from, r.tail, 0)
	if err != nil {
		return err
	}
	s := r.w.segment
	for i, c := range r.tail {
		offset := frames[i].Offset + frameSize
		for k, p := range c.payloads {
			stamp := Stamp{
				LSN: c.lsn + uint64(k), Time: c.time,
				Pos:  Position{Segment: s.info.ID, Offset: offset, Size: length(len(p))},
				Mark: frames[i].mark(r.j.id, s.info.ID),
			}
			r.report.Copied++
			if err := r.record(stamp, p); err != nil {
				return err
			}
			offset += recordSize + int64(len(p))
		}
	}
	return nil
}

// replay is one scan's visitor.
type replay struct {
	journal [16]byte
	seal    seal
	mark    int64 // what lies behind it was perhaps never synced; 0: nothing does
	end     int64 // behind the last frame below the mark
	fn      func(s Stamp, payload []byte) error
	damage  func(offset, bytes int64)
	torn    func(bytes int64)
	tail    func(carried)
	seen    func(f *frame, behind bool)
	left    func(lsn uint64, at Position)
}

func (r *replay) visit(v found) error {
	behind := r.mark > 0 && v.at >= r.mark
	if v.body == nil {
		if behind {
			r.torn(v.gap)
		} else {
			r.damage(v.at, v.gap)
		}
		return nil
	}
	if r.seen != nil {
		r.seen(&v.frame, behind)
	}
	switch {
	case !behind:
		r.end = v.frame.end()
		return r.deliver(v)
	case !v.whole:
		r.torn(frameSize + int64(len(v.body)))
	case v.frame.Records > 0:
		r.keep(v)
	}
	return nil
}

// deliver replays a batch from where it lies.
func (r *replay) deliver(v found) error {
	mark := v.frame.mark(r.journal, r.seal.segment)
	lost, err := r.seal.records(&v.frame, v.body, func(lsn uint64, pos Position, payload []byte) error {
		return r.fn(Stamp{LSN: lsn, Time: v.frame.Time, Pos: pos, Mark: mark}, payload)
	})
	if lost > 0 || err == nil && !v.whole {
		r.damage(v.at, frameSize+int64(v.frame.Length))
	}
	return err
}

// keep copies a batch for the fresh segment.
func (r *replay) keep(v found) {
	c := carried{lsn: v.frame.LSN, time: v.frame.Time}
	_, _ = r.seal.records(&v.frame, v.body, func(lsn uint64, at Position, payload []byte) error {
		c.payloads = append(c.payloads, slices.Clone(payload))
		r.left(lsn, at)
		return nil
	})
	r.tail(c)
}
