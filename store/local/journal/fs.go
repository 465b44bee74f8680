package journal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// FS is what the journal asks of a file system: the seam at which tests cut
// the power. Names are paths.
type FS interface {
	// Create makes a file for reading and writing; it must not exist.
	Create(name string) (File, error)
	// Open opens an existing file for reading and writing.
	Open(name string) (File, error)
	Rename(from, to string) error
	Remove(name string) error
	// MkdirAll makes a directory and what is missing above it.
	MkdirAll(dir string) error
	// ReadDir lists the names in a directory, sorted.
	ReadDir(dir string) ([]string, error)
	// SyncDir makes what was created, renamed and removed in dir durable.
	SyncDir(dir string) error
	// Free is the space that is left to us in bytes.
	Free(dir string) (int64, error)
}

// File is an open file of an [FS].
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// Sync makes the data durable, and as much of the rest as is needed to
	// read it again.
	Sync() error
	// Allocate takes the space up to size where the file system can promise
	// it, and otherwise does nothing. The size of the file follows.
	Allocate(size int64) error
	Truncate(size int64) error
	Size() (int64, error)
}

// OS is the real file system.
var OS FS = osFS{}

type osFS struct{}

func (osFS) Create(name string) (File, error) {
	return open(name, os.O_RDWR|os.O_CREATE|os.O_EXCL)
}

func (osFS) Open(name string) (File, error) { return open(name, os.O_RDWR) }

func open(name string, flag int) (File, error) {
	f, err := os.OpenFile(name, flag, 0o600)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (osFS) Rename(from, to string) error { return os.Rename(from, to) }
func (osFS) Remove(name string) error     { return os.Remove(name) }

// MkdirAll also syncs the directory that dir lies in: a journal whose
// directory is gone after a power cut is as lost as any.
func (osFS) MkdirAll(dir string) error {
	if info, err := os.Stat(dir); err == nil && info.IsDir() {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return OS.SyncDir(filepath.Dir(dir))
}

func (osFS) ReadDir(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, nil
}

func (osFS) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(syncDir(d), d.Close())
}

func (osFS) Free(dir string) (int64, error) { return free(dir) }

type osFile struct{ *os.File }

func (f osFile) Sync() error { return datasync(f.File) }

func (f osFile) Allocate(size int64) error {
	if err := allocate(f.File, size); err != nil {
		return fmt.Errorf("allocating %d bytes for %s: %w", size, f.Name(), err)
	}
	return nil
}

func (f osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// noSpace reports whether err says that the disk, or what we may use of it, is
// full.
func noSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

func missing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
