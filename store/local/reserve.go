package local

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Badger cannot be opened on a full disk: it writes through mapped files, among
// others what a process that died had not yet written, and a page that the disk
// cannot back ends the process. So a file is kept that can be given up for it.

const (
	reserveFile = "index.reserve"
	reserveSize = 16 << 20
	// openRoom is what Badger may need to open.
	openRoom = 12 << 20
)

// reserveBytes is how large the reserve is here: a small disk has a smaller one.
func (s *Store) reserveBytes() int64 { return min(reserveSize, s.limits.Load().MinFree/4) }

// roomToOpen tells whether Badger can be opened on the disk; if need be it gives
// the reserve up for it.
func (s *Store) roomToOpen() bool {
	room := func() bool {
		s.space.refresh()
		free := s.space.free()
		return free < 0 || free >= openRoom
	}
	return room() || os.Remove(filepath.Join(s.o.Dir, reserveFile)) == nil && room()
}

// keepReserve makes the reserve where there is room and none yet.
func (s *Store) keepReserve() error {
	path, size := filepath.Join(s.o.Dir, reserveFile), s.reserveBytes()
	if size == 0 || s.space.free() < s.limits.Load().MinFree+2*size {
		return nil
	}
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("making the index's reserve: %w", err)
	}
	zeros := make([]byte, 1<<20)
	for left := size; left > 0 && err == nil; left -= int64(len(zeros)) {
		_, err = f.Write(zeros[:min(left, int64(len(zeros)))]) // written, so that it has its blocks
	}
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("making the index's reserve: %w", err), os.Remove(path+".new"))
	}
	return nil
}
