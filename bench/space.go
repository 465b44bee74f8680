package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// space measures what delivered events take on disk, and what is kept free beside
// them, for whoever has to choose a disk.
func space(p plan) error {
	w, err := newWorld(p, "space")
	if err != nil {
		return err
	}
	if _, err := hammer(w.addrs["webhooks"], 16, time.Hour, int64(p.waiting)); err != nil {
		return fmt.Errorf("webhooks: %w", err)
	}
	if err := w.drained(); err != nil {
		return err
	}
	if err := w.close(); err != nil {
		return err
	}
	dir := filepath.Join(w.dir, "store")
	journal, err := written(filepath.Join(dir, "journal"), ".segment")
	if err != nil {
		return err
	}
	spare, err := sizes(filepath.Join(dir, "journal"), ".spare")
	if err != nil {
		return err
	}
	index, err := sizes(filepath.Join(dir, "index"), "")
	if err != nil {
		return err
	}
	n := int64(p.waiting)
	say("\nBytes on disk for each of %d delivered events with bodies of %d bytes", n, len(payload))
	say("  journal %d (%d beside the body), index %d", journal/n, journal/n-int64(len(payload)), index/n)
	say("  kept ready beside it: %d MiB", spare>>20)
	with, err := w.restarted(p)
	if err != nil {
		return err
	}
	if err := errors.Join(os.RemoveAll(filepath.Join(dir, "index")), os.Remove(filepath.Join(dir, "checkpoint.json"))); err != nil {
		return fmt.Errorf("removing the index: %w", err)
	}
	without, err := w.restarted(p)
	if err != nil {
		return err
	}
	say("  start-up %s, and %s where the index is rebuilt from the journal", short(with), short(without))
	return nil
}

// restarted starts the gateway over the same store, and ends it.
func (w *world) restarted(p plan) (took time.Duration, err error) {
	again, err := newWorld(p, filepath.Base(w.dir))
	if err != nil {
		return 0, err
	}
	return again.began, again.close()
}

// sizes sums up the files below a directory whose names end so.
func sizes(dir, ending string) (sum int64, err error) {
	return summed(dir, ending, func(_ string, info fs.FileInfo) (int64, error) { return info.Size(), nil })
}

// written is as sizes, without the zeros at the ends of files.
func written(dir, ending string) (sum int64, err error) {
	return summed(dir, ending, func(path string, _ fs.FileInfo) (int64, error) {
		text, err := os.ReadFile(path)
		return int64(len(bytes.TrimRight(text, "\x00"))), err
	})
}

func summed(dir, ending string, size func(path string, info fs.FileInfo) (int64, error)) (sum int64, err error) {
	err = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || ending != "" && filepath.Ext(path) != ending {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		n, err := size(path, info)
		sum += n
		return err
	})
	if err == nil && sum == 0 && ending != ".spare" {
		err = errors.New("nothing was written")
	}
	if err != nil {
		return 0, fmt.Errorf("measuring %s: %w", dir, err)
	}
	return sum, nil
}
