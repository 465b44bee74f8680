package local

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// ErrLocked is returned by Open when another process uses the directory.
var ErrLocked = errors.New("the store's directory is used by another process")

// dirLock keeps other processes out of the directory. The kernel drops it when
// the process dies, so nothing is ever left behind to clean up.
type dirLock struct{ f *os.File }

func lockDir(dir string) (*dirLock, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking the store's directory: %w", err)
	}
	ours, err := tryLock(f)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("locking the store's directory: %w", err), f.Close())
	}
	if !ours {
		return nil, errors.Join(fmt.Errorf("%s: process %s: %w", dir, holderOf(f), ErrLocked), f.Close())
	}
	// The PID is for people; a full disk must not keep the store from opening.
	if err := f.Truncate(0); err == nil {
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	return &dirLock{f}, nil
}

func holderOf(f *os.File) string {
	b := make([]byte, 32)
	n, _ := f.ReadAt(b, 0)
	if pid := strings.TrimSpace(string(b[:n])); pid != "" {
		return pid
	}
	return "unknown"
}

func (l *dirLock) unlock() error {
	if err := l.f.Close(); err != nil {
		return fmt.Errorf("unlocking the store's directory: %w", err)
	}
	return nil
}
