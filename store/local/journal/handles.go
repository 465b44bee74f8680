package journal

import (
	"errors"
	"slices"
	"sync"
)

// maxHandles is how many sealed segments are kept open for reading.
const maxHandles = 128

// handles bounds the open files: a long outage leaves thousands of segments.
type handles struct {
	mu   sync.Mutex
	open []*segment // those opened for reading, oldest first
}

// use calls fn with the segment's open file.
func (h *handles) use(j *Journal, s *segment, fn func(File) error) error {
	opened := false
	err := s.use(j.o.FS, j.o.Dir, &opened, fn)
	if opened {
		err = errors.Join(err, h.add(s))
	}
	return err
}

// add counts an open segment, and closes the one opened longest ago if there
// are too many.
func (h *handles) add(s *segment) error {
	h.mu.Lock()
	if !slices.Contains(h.open, s) {
		h.open = append(h.open, s)
	}
	var old *segment
	if len(h.open) > maxHandles {
		old = h.open[0]
		h.open = append(h.open[:0], h.open[1:]...)
	}
	h.mu.Unlock()
	if old != nil {
		return old.close()
	}
	return nil
}

// close closes the file of a segment that was removed.
func (h *handles) close(s *segment) error {
	h.mu.Lock()
	for i := range h.open {
		if h.open[i] == s {
			h.open = append(h.open[:i], h.open[i+1:]...)
			break
		}
	}
	h.mu.Unlock()
	return s.close()
}
