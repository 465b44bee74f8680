//go:build !linux

package journal

import (
	"os"
	"runtime"
)

// datasync is F_FULLFSYNC on Darwin: os.File.Sync knows.
func datasync(f *os.File) error { return f.Sync() }

// syncDir does nothing where a directory cannot be synced.
func syncDir(d *os.File) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	return d.Sync()
}

// allocate leaves it to the zeros that are written afterwards.
func allocate(*os.File, int64) error { return nil }
