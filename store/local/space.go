package local

import (
	"fmt"
	"sync/atomic"

	"github.com/caddy-webhooks/caddy-webhooks/store"
)

// space watches the file system. Below the low-water mark new events are
// refused and the index is not written; outcomes still are, from the journal's
// reserve.
type space struct {
	// look tells the free bytes of the file system.
	look   func() (int64, error)
	limits *atomic.Pointer[store.Limits]
	last   atomic.Int64 // free bytes at the last look
}

// refresh looks anew.
func (s *space) refresh() {
	free, err := s.look()
	if err != nil {
		free = -1 // unknown: writing will tell
	}
	s.last.Store(free)
}

func (s *space) free() int64 { return s.last.Load() }

// low tells whether the low-water mark is reached.
func (s *space) low() bool { return s.err() != nil }

// tight tells that the disk is as good as full. Badger writes through mapped
// files without room of their own: a page of them that the disk cannot back ends
// the process, whatever else it serves. So nothing of the index is written then,
// not even when it is opened or closed; and since a segment can only be removed
// when the index's checkpoint is past it, none is.
func (s *space) tight() bool {
	free := s.last.Load()
	return free >= 0 && free < min(indexRoom, s.limits.Load().MinFree/2)
}

// indexRoom is what Badger may need before it is asked again, in bytes: its log,
// and tables that it writes anew in the background.
const indexRoom = 32 << 20

// err is nil, or why new events are refused.
func (s *space) err() error {
	free, least := s.last.Load(), s.limits.Load().MinFree
	if free < 0 || free >= least {
		return nil
	}
	return fmt.Errorf("%w: %d bytes are free, %d must stay free", store.ErrFull, free, least)
}

// withSpace fills in what depends on the size of the file system.
func (o Options) withSpace() (Options, error) {
	total, err := fileSystemSize(o.Dir)
	if err != nil {
		return o, fmt.Errorf("looking at the file system of %s: %w", o.Dir, err)
	}
	if o.MaxSegment == 0 {
		// A small file system gets smaller segments, so that there are several.
		o.MaxSegment = min(DefaultMaxSegment, max(total/32, 1<<20))
	}
	if o.FirstSegment == 0 {
		o.FirstSegment = min(4<<20, o.MaxSegment)
	}
	o.total = total
	return o, nil
}
