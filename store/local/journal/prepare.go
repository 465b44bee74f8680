package journal

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"
)

const (
	// zeroStep is written and synced at a time: a sync of a whole segment
	// would stand in the way of the committer's.
	zeroStep = 1 << 20

	firstPause = 100 * time.Millisecond
	// longestPause is how long an operator waits after making room, when the
	// journal could not see it.
	longestPause = 5 * time.Second
)

// spare is a file of zeros that waits to become a segment.
type spare struct {
	name string
	file File
	size int64
}

// spares are the segments made in advance: the reserve and one more. Guarded
// by the journal's mutex.
type spares struct {
	ready   []spare
	err     error         // why the last one could not be made
	changed chan struct{} // closed and replaced when one of them changes
	serial  uint64        // of the newest
}

// stuck reports whether no further spare can be had for now.
func (s *spares) stuck() bool { return s.err != nil }

func (s *spares) announce() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// prepare makes spares until the journal has stopped.
func (j *Journal) prepare(stop <-chan struct{}) {
	pause := firstPause
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-stop:
			return
		case <-j.kick:
		case <-timer.C:
		}
		for j.missingSpares() {
			err := j.addSpare(stop)
			if err != nil {
				timer.Reset(pause)
				pause = min(2*pause, longestPause)
				break
			}
			pause = firstPause
		}
	}
}

func (j *Journal) missingSpares() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.spares.ready) < j.o.Reserve+1
}

// addSpare makes one spare, of the size the next segment should have.
func (j *Journal) addSpare(stop <-chan struct{}) error {
	j.mu.Lock()
	size := min(2*j.active.header.Allocated, j.o.MaxSegment)
	j.mu.Unlock()
	s, err := j.makeSpare(size, stop)
	j.mu.Lock()
	defer j.mu.Unlock()
	if err == nil {
		j.spares.ready = append(j.spares.ready, s)
		if len(j.spares.ready) > j.o.Reserve {
			j.full = false
		}
	} else if j.spares.err == nil && !errors.Is(err, ErrClosed) {
		j.o.Logger.Error("cannot prepare a journal segment", "error", err)
	}
	j.spares.err = err
	j.spares.announce()
	return err
}

// makeSpare allocates a file and writes zeros: a file that was only allocated
// still has to change its extents with each sync, which halves the rate.
func (j *Journal) makeSpare(size int64, stop <-chan struct{}) (spare, error) {
	j.mu.Lock()
	j.spares.serial++
	name := filepath.Join(j.o.Dir, fmt.Sprintf("%016x", j.spares.serial))
	j.mu.Unlock()
	f, err := j.o.FS.Create(name + makingSuffix)
	if err != nil {
		return spare{}, fmt.Errorf("creating a segment: %w", err)
	}
	err = zero(f, size, stop)
	if err == nil {
		err = j.o.FS.Rename(name+makingSuffix, name+spareSuffix)
	}
	if err == nil {
		return spare{name: name + spareSuffix, file: f, size: size}, nil
	}
	// What could not be made must not keep the space.
	err = errors.Join(err, f.Close())
	if removed := j.o.FS.Remove(name + makingSuffix); removed != nil && !missing(removed) {
		err = errors.Join(err, removed)
	}
	return spare{}, fmt.Errorf("preparing a segment of %d bytes: %w", size, err)
}

// zero writes size zeros to f, and syncs them.
func zero(f File, size int64, stop <-chan struct{}) error {
	if err := f.Allocate(size); err != nil {
		return err
	}
	zeros := make([]byte, min(zeroStep, size))
	for at := int64(0); at < size; {
		select {
		case <-stop:
			return ErrClosed
		default:
		}
		n := min(int64(len(zeros)), size-at)
		if _, err := f.WriteAt(zeros[:n], at); err != nil {
			return err
		}
		if err := f.Sync(); err != nil {
			return err
		}
		at += n
	}
	return nil
}

// takeSpare returns a file for the next segment. The reserve is touched only
// when nothing else can be had, and only for those who may.
func (j *Journal) takeSpare(reserved bool) (spare, error) {
	for {
		j.mu.Lock()
		s := &j.spares
		if n := len(s.ready); n > j.o.Reserve || n > 0 && reserved && s.stuck() {
			first := s.ready[0]
			s.ready = append(s.ready[:0], s.ready[1:]...)
			j.mu.Unlock()
			signal(j.kick)
			return first, nil
		}
		if s.err != nil {
			j.full = true
			err := s.err
			j.mu.Unlock()
			return spare{}, err
		}
		changed := s.changed
		j.mu.Unlock()
		signal(j.kick)
		<-changed
	}
}

// putBack returns a spare that was of no use.
func (j *Journal) putBack(s spare) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.spares.ready = append(j.spares.ready, s)
}

// firstSpare returns the file for the segment that recovery begins, before
// anything runs in the background.
func (j *Journal) firstSpare(size int64) (spare, error) {
	s := &j.spares
	var failed error
	if len(s.ready) <= j.o.Reserve {
		made, err := j.makeSpare(size, nil)
		if err == nil {
			return made, nil
		}
		failed = err
	}
	if len(s.ready) == 0 {
		return spare{}, failed
	}
	if failed != nil {
		j.o.Logger.Warn("recovery uses the journal's reserve", "error", failed)
	}
	first := s.ready[0]
	s.ready = s.ready[1:]
	return first, nil
}

// adoptSpares takes over what an earlier process has prepared, and removes
// what it had not finished.
func (j *Journal) adoptSpares(names []string) error {
	for _, name := range names {
		path := filepath.Join(j.o.Dir, name)
		if strings.HasSuffix(name, makingSuffix) {
			if err := j.o.FS.Remove(path); err != nil {
				return fmt.Errorf("removing an unfinished segment: %w", err)
			}
			continue
		}
		digits, ok := strings.CutSuffix(name, spareSuffix)
		if !ok {
			continue
		}
		var serial uint64
		if _, err := fmt.Sscanf(digits, "%x", &serial); err != nil {
			continue
		}
		if err := j.adoptSpare(path, serial); err != nil {
			return fmt.Errorf("adopting a prepared segment: %w", err)
		}
	}
	return nil
}

// adoptSpare takes over one file. After a power cut it may be shorter than it
// was, and after a failed rotation it may not be zero: such a one goes.
func (j *Journal) adoptSpare(path string, serial uint64) error {
	f, err := j.o.FS.Open(path)
	if err != nil {
		return err
	}
	size, err := f.Size()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	j.spares.serial = max(j.spares.serial, serial)
	w := &window{file: f, limit: size}
	used, err := w.content(0)
	if err != nil || used > 0 || size < minSegment || len(j.spares.ready) > j.o.Reserve {
		return errors.Join(f.Close(), j.o.FS.Remove(path))
	}
	j.spares.ready = append(j.spares.ready, spare{name: path, file: f, size: size})
	return nil
}
