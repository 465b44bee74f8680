package local

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/caddy-webhooks/caddy-webhooks/dedup"
	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/store/local/journal"
)

// recover brings the state back: the index as far as its checkpoint holds, and
// the journal behind it. An index that does not fit is thrown away and rebuilt;
// that is not an error, the journal has everything.
func (s *Store) recover() error {
	began := time.Now()
	s.recovering = true
	cp := s.loadCheckpoint()
	if !s.roomToOpen() {
		cp = checkpoint{} // without the old index there may be room for a new one
	}
	report, err := s.recoverFrom(cp)
	if err != nil && cp.Mark != (journal.Mark{}) && !errors.Is(err, errRefused) && !errors.Is(err, journal.ErrFormat) {
		s.o.Logger.Warn("index does not fit the journal and is rebuilt from it", "reason", err)
		cp = checkpoint{}
		report, err = s.recoverFrom(cp)
	}
	if err != nil {
		return err
	}
	s.recovering = false
	s.latest = s.nextSeq.Load() - 1
	if report.Time.After(s.journalTime) { // the index was up to date: nothing was replayed
		s.journalTime = report.Time
	}
	if err := s.queuePending(); err != nil {
		return err
	}
	if err := s.unstall(); err != nil {
		return err
	}
	s.space.refresh()
	if by := s.clock.restarted(s.journalTime); by != 0 {
		s.o.Logger.Warn("the clock differs much from when the store was last written; no claim expires for an hour", "by", by)
	}
	s.report(report, cp, time.Since(began))
	// From here on the index runs ahead of this checkpoint, so it is no longer clean.
	cp.Clean = false
	s.index.from = &cp
	if s.space.tight() { // nothing is written until there is room
		return nil
	}
	return s.checkpointNow()
}

// errRefused marks what rebuilding the index cannot cure.
var errRefused = errors.New("the journal cannot be read")

// recoverFrom replays the journal behind a checkpoint, or all of it.
func (s *Store) recoverFrom(cp checkpoint) (journal.Report, error) {
	if err := s.reset(); err != nil {
		return journal.Report{}, err
	}
	if cp.Mark == (journal.Mark{}) {
		if err := s.dropIndex(); err != nil {
			return journal.Report{}, err
		}
	}
	if err := s.openTables(); err != nil {
		return journal.Report{}, err
	}
	if err := s.loadIndex(cp); err != nil {
		return journal.Report{}, err
	}
	j, report, err := journal.Open(s.journalOptions(), cp.Mark, s.replay)
	if err != nil {
		return report, err
	}
	s.journal = j
	return report, nil
}

// reset forgets everything that was loaded.
func (s *Store) reset() error {
	if s.index != nil {
		if err := s.closeBadger(); err != nil {
			return fmt.Errorf("closing the index: %w", err)
		}
		s.index = nil
	}
	var seed [40]byte
	if _, err := io.ReadFull(s.o.Rand, seed[:]); err != nil {
		return fmt.Errorf("reading random bytes: %w", err)
	}
	s.salt, s.claimKey = binary.BigEndian.Uint64(seed[:]), [32]byte(seed[8:])
	s.nextSeq.Store(1)
	s.nextDest = 1
	s.mark, s.journalTime = journal.Mark{}, time.Time{}
	s.names = map[string]string{}
	s.recent, s.unwritten = map[dedup.ClaimKey]dedup.Claim{}, nil
	s.ongoing = map[dedup.ClaimKey]*claiming{}
	s.leases, s.held = map[leaseKey]*lease{}, map[uint64]int{}
	s.frozen = map[uint64]chan struct{}{}
	s.importing = map[event.ID]chan struct{}{}
	s.dests, s.byName = map[uint64]*destination{}, map[event.Destination]*destination{}
	s.backlog, s.backlogTotal = map[string]int64{}, 0
	s.admitted = map[string]int64{}
	s.learned, s.notes = nil, nil
	return nil
}

func (s *Store) dropIndex() error {
	err := errors.Join(os.RemoveAll(filepath.Join(s.o.Dir, indexDir)), os.RemoveAll(filepath.Join(s.o.Dir, checkpointFile)))
	if err != nil {
		return fmt.Errorf("removing the old index: %w", err)
	}
	return nil
}

// loadIndex takes over what the checkpoint vouches for.
func (s *Store) loadIndex(cp checkpoint) error {
	if cp.Mark == (journal.Mark{}) {
		return nil
	}
	if err := s.reaches(cp); err != nil {
		return err
	}
	s.mark = cp.Mark
	r := &reader{b: cp.Head}
	r.byte()
	if err := s.foldHead(journal.Stamp{}, r); err != nil {
		return fmt.Errorf("the checkpoint's head: %w", err)
	}
	err := s.index.db.View(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.IteratorOptions{PrefetchValues: true, PrefetchSize: 256, Prefix: []byte{summaryPrefix}})
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			item := it.Item()
			block := binary.BigEndian.Uint64(item.Key()[1:])
			if err := item.Value(func(v []byte) error { return s.loadSummary(block, v) }); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("loading the index: %w", err)
	}
	return nil
}

func (s *Store) loadSummary(block uint64, v []byte) error {
	sum, err := decodeSummary(v)
	if err != nil {
		return err
	}
	for number, counts := range sum.counts {
		d := s.dest(number)
		for st, n := range counts {
			d.counts[st] += n
		}
		if n := counts[event.Pending]; n > 0 {
			d.waits(block, n)
		}
	}
	for source, n := range sum.backlog {
		s.backlog[source] += n
		s.backlogTotal += n
	}
	return nil
}

// replay folds one record of the journal; the index is written as it goes, so
// that memory stays bounded.
func (s *Store) replay(st journal.Stamp, payload []byte) error {
	if err := s.fold(st, payload); err != nil {
		return err
	}
	if len(s.pages.dirty) < 2*flushPages && len(s.unwritten) < 2*flushPages*pageRows {
		return nil
	}
	_, err := s.flush()
	return err
}

// queuePending fills the destinations' queues from the pages that have
// something pending.
func (s *Store) queuePending() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	// In order of acceptance, so that lines of turns only grow at their ends.
	for _, block := range s.waitingBlocks() {
		if err := s.queueBlock(block); err != nil {
			return err
		}
	}
	s.afterwards = nil
	return nil
}

func (s *Store) queueBlock(block uint64) error {
	p, err := s.pages.get(block)
	if err != nil || p == nil {
		return err
	}
	for i, r := range p.rows {
		if r == nil {
			continue
		}
		for k := range r.deliveries {
			s.reschedule(leaseKey{block*pageRows + uint64(i), r.deliveries[k].dest})
		}
	}
	s.afterwards = s.afterwards[:0]
	return nil
}

// report tells the operator what was found.
func (s *Store) report(r journal.Report, cp checkpoint, took time.Duration) {
	var pending, dead int64
	for _, d := range s.dests {
		pending += d.counts[event.Pending]
		dead += d.counts[event.Dead]
	}
	s.o.Logger.Info("store is open", "dir", s.o.Dir, "pending", pending, "dead", dead,
		"segments", r.Segments, "replayed", r.Records, "index_rebuilt", cp.Mark == (journal.Mark{}) && r.Records > 0, "took", took)
	for _, d := range r.Damage {
		s.o.Logger.Error("journal is damaged; what is readable around it was kept",
			"segment", d.Segment, "offset", d.Offset, "bytes", d.Bytes)
	}
}

// head is the record with which every segment begins. The mutex is held.
func (s *Store) head() []byte {
	w := writer{}
	w.byte(kindHead)
	w.fixed64(s.salt)
	w.raw(s.claimKey[:])
	w.uint(s.nextSeq.Load())
	w.uint(uint64(len(s.dests)))
	for number, d := range s.dests {
		w.uint(number)
		w.string(d.Source)
		w.string(d.Name)
		w.bool(d.paused)
	}
	w.uint(uint64(len(s.learned)))
	for source, secret := range s.learned {
		w.string(source)
		w.string(secret)
	}
	w.uint(uint64(len(s.notes)))
	for name, value := range s.notes {
		w.string(name)
		w.string(string(value))
	}
	return w.b
}

func (s *Store) foldHead(_ journal.Stamp, r *reader) error {
	salt := r.fixed64()
	key := r.take(uint64(len(s.claimKey)))
	next := r.uint()
	n := r.count()
	if r.bad {
		return errWire
	}
	s.salt, s.claimKey = salt, [32]byte(key)
	s.goOnFrom(next)
	for range n {
		number, name, paused := r.uint(), event.Destination{Source: r.string(), Name: r.string()}, r.bool()
		if r.bad {
			return errWire
		}
		if s.dests[number] == nil {
			s.introduce(number, name)
		}
		s.dests[number].paused = paused
	}
	if err := s.foldLearned(r); err != nil {
		return err
	}
	return s.foldNotes(r)
}

func (s *Store) journalOptions() journal.Options {
	return journal.Options{
		FS: s.o.FS, Dir: filepath.Join(s.o.Dir, "journal"), FirstSegment: s.o.FirstSegment, MaxSegment: s.o.MaxSegment,
		Reserve: 2, Now: s.o.Now, Rand: s.o.Rand, Logger: s.o.Logger, Observe: s.observe,
		Head: func(dst []byte, _ journal.Stamp) []byte {
			s.mu.Lock()
			defer s.mu.Unlock()
			return append(dst, s.head()...)
		},
	}
}

// observe is told of every sync by the committer.
func (s *Store) observe(records, bytes int, took time.Duration) {
	s.space.refresh()
	if s.o.ObserveSync != nil {
		s.o.ObserveSync(records, bytes, took)
	}
}
