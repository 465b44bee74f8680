package local

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"

	"github.com/caddy-webhooks/caddy-webhooks/dedup"
	"github.com/caddy-webhooks/caddy-webhooks/store/local/journal"
)

const (
	indexDir       = "index"
	checkpointFile = "checkpoint.json"

	// flushEvery is how often the index is written. A page that was touched
	// since the time before last is left for later, because it will be touched
	// again: retries would otherwise write all of a backlog's pages every second.
	flushEvery = time.Second
	// flushPages is how many changed pages may wait for that, and its 64-fold how
	// many claims: 1024 pages are 65,536 events and about 25 MiB.
	flushPages = 1024
	// flushChunk is how many pages are encoded while the mutex is held, and
	// written in one transaction.
	flushChunk = 8
	// checkpointEvery bounds what a start after a crash has to replay.
	checkpointEvery = 10 * time.Second
)

// indexForm counts the changes of what the index's values look like. Since the
// second form a page's summary has a zone; since the third it counts what is
// retried, and a large page is compressed.
const indexForm = 3

// index is the open Badger.
type index struct {
	db *badger.DB
	// writing is held by whoever writes the index and moves its checkpoint: of two
	// at once, the slower could put an older page over a newer one, or the
	// checkpoint back to where segments have been removed since.
	writing sync.Mutex
	// checkpointed is when the checkpoint was last moved, and to where.
	checkpointed time.Time
	at           journal.Mark
	// from is the checkpoint that was found at the start, until it is written
	// anew as one from which the index runs ahead.
	from *checkpoint
	// volatile tells that the index is in memory: there was no room for it. It has
	// no checkpoint.
	volatile bool
}

// checkpoint says up to where the index holds what the journal says. It lies
// outside Badger: Badger can lose its latest writes in a power cut and keep
// later ones.
type checkpoint struct {
	Mark journal.Mark `json:"mark"`
	// Form is the index's; one of another form is rebuilt.
	Form int `json:"form"`
	// Boot is the machine's boot in which it was written. After a crash of the
	// process alone, the kernel still has what Badger wrote; after a crash of the
	// machine the index is rebuilt.
	Boot string `json:"boot"`
	// Clean tells that the index was closed in order after this checkpoint.
	Clean bool `json:"clean"`
	// Head is the head record as of the mark.
	Head []byte `json:"head"`
}

// openIndex opens Badger, in memory where the disk has no room for it.
func (s *Store) openIndex() (db *badger.DB, volatile bool, err error) {
	o := indexOptions(filepath.Join(s.o.Dir, indexDir))
	if !s.roomToOpen() {
		s.o.Logger.Warn("the disk is full: the index is kept in memory until the next start, and is rebuilt now")
		o, volatile = o.WithInMemory(true).WithDir("").WithValueDir(""), true
	}
	if db, err = badger.Open(o); err != nil {
		return nil, false, fmt.Errorf("opening the index: %w", err)
	}
	return db, volatile, nil
}

// indexOptions keep Badger small: all values are far below the value log's
// threshold, so that the value log is never used and never needs collecting.
// Building a table takes a multiple of its size in memory, and eight such
// pieces of memory are kept for the next ones: so tables are small, and not
// compressed.
func indexOptions(dir string) badger.Options {
	return badger.DefaultOptions(dir).
		WithLogger(nil).
		WithMetricsEnabled(false).
		WithDetectConflicts(false).
		WithNumVersionsToKeep(1).
		WithMemTableSize(2 << 20).
		WithValueThreshold(256 << 10). // it must fit a transaction, which may fill 15 % of a memtable
		WithBaseTableSize(2 << 20).
		WithNumMemtables(2).
		WithNumLevelZeroTables(2).
		WithNumLevelZeroTablesStall(8).
		WithNumCompactors(2).
		WithBlockCacheSize(0).
		WithIndexCacheSize(16 << 20).
		WithValueLogFileSize(16 << 20).
		WithCompression(options.None).
		WithCompactL0OnClose(false)
}

// nudge tells the index writer when much is waiting. The mutex is held.
func (s *Store) nudge() {
	if len(s.pages.dirty) < flushPages && len(s.recent) < flushPages*pageRows {
		return
	}
	select {
	case s.flushNow <- struct{}{}:
	default:
	}
}

// writeIndex keeps the index close behind the journal until the store closes.
func (s *Store) writeIndex() {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	failing := false
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-tick.C:
		case <-s.flushNow:
		}
		s.indexing.Begin()
		err := s.catchUp()
		s.indexing.End()
		if err != nil && !failing {
			s.o.Logger.Error("index cannot be written; events are safe in the journal, duplicates are still found", "error", err)
		}
		failing = err != nil
	}
}

// catchUp writes what the index lacks. On a nearly full disk it writes nothing:
// Badger maps sparse files, and a page that cannot be backed kills the process.
func (s *Store) catchUp() error {
	s.space.refresh()
	if s.space.low() {
		return nil
	}
	s.index.writing.Lock()
	defer s.index.writing.Unlock()
	if err := s.leaveCheckpoint(); err != nil {
		return err
	}
	if s.o.Now().Sub(s.index.checkpointed).Abs() < checkpointEvery {
		return s.relieve()
	}
	cp, err := s.flush()
	if err != nil || cp.Mark == s.index.at {
		return err
	}
	return s.moveCheckpoint(cp)
}

// checkpointNow writes everything, and moves the checkpoint.
func (s *Store) checkpointNow() error {
	s.index.writing.Lock()
	defer s.index.writing.Unlock()
	if err := s.leaveCheckpoint(); err != nil {
		return err
	}
	cp, err := s.flush()
	if err != nil {
		return err
	}
	return s.moveCheckpoint(cp)
}

// leaveCheckpoint notes, before the first write, that the index runs ahead of the
// checkpoint that was found at the start.
func (s *Store) leaveCheckpoint() error {
	if s.index.from == nil {
		return nil
	}
	if err := s.moveCheckpoint(*s.index.from); err != nil {
		return err
	}
	s.index.from, s.index.checkpointed = nil, time.Time{}
	return nil
}

// relieve writes the claims, the pages that are at rest, and of the others as
// many as are too many.
func (s *Store) relieve() error {
	s.mu.Lock()
	claims := s.unwritten
	s.unwritten = nil
	blocks := s.pages.resting(flushPages)
	s.mu.Unlock()
	return s.flushThese(claims, blocks)
}

// flush writes the claims and pages that changed. What it returns is the
// checkpoint that then holds.
func (s *Store) flush() (checkpoint, error) {
	s.mu.Lock()
	cp := checkpoint{Mark: s.mark, Head: s.head()}
	claims := s.unwritten
	s.unwritten = nil
	blocks := make([]uint64, 0, len(s.pages.dirty))
	for b := range s.pages.dirty {
		blocks = append(blocks, b)
	}
	s.mu.Unlock()
	if err := s.flushThese(claims, blocks); err != nil {
		return cp, err
	}
	return cp, s.flushReach(cp.Mark)
}

func (s *Store) flushThese(claims []claimRecord, blocks []uint64) error {
	if err := s.flushClaims(claims); err != nil {
		s.mu.Lock()
		s.unwritten = append(claims, s.unwritten...)
		s.mu.Unlock()
		return err
	}
	for chunk := flushChunk; len(blocks) > 0; {
		n := min(chunk, len(blocks))
		err := s.flushPages(blocks[:n])
		switch {
		case errors.Is(err, badger.ErrTxnTooBig) && n > 1: // pages with long histories
			chunk = 1
			continue
		case err != nil:
			return err
		}
		blocks, chunk = blocks[n:], flushChunk
	}
	return nil
}

// reachKey holds the mark up to which the index is complete. An index that
// was deleted, or replaced by an older copy, is recognised by it.
var reachKey = []byte{'m'}

func (s *Store) flushReach(m journal.Mark) error {
	v, err := json.Marshal(m)
	if err == nil {
		err = s.index.db.Update(func(txn *badger.Txn) error { return txn.Set(reachKey, v) })
	}
	if err != nil {
		return fmt.Errorf("writing the index's reach: %w", err)
	}
	return nil
}

// reaches tells whether the index holds everything up to the checkpoint.
func (s *Store) reaches(cp checkpoint) error {
	var m journal.Mark
	err := s.index.db.View(func(txn *badger.Txn) error {
		item, err := txn.Get(reachKey)
		if err != nil {
			return err
		}
		return item.Value(func(v []byte) error { return json.Unmarshal(v, &m) })
	})
	if err != nil {
		return fmt.Errorf("reading the index's reach: %w", err)
	}
	if m.Journal != cp.Mark.Journal || m.LSN < cp.Mark.LSN {
		return fmt.Errorf("the index ends at record %d, its checkpoint at %d", m.LSN, cp.Mark.LSN)
	}
	return nil
}

func (s *Store) flushClaims(claims []claimRecord) error {
	batch := s.index.db.NewWriteBatch()
	defer batch.Cancel()
	for i := range claims {
		if err := s.claims.Put(batch, claims[i].key, claims[i].Claim); err != nil {
			return fmt.Errorf("writing claims: %w", err)
		}
	}
	if err := batch.Flush(); err != nil {
		return fmt.Errorf("writing claims: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range claims {
		if c := &claims[i]; s.recent[c.key] == c.Claim {
			delete(s.recent, c.key)
		}
	}
	return nil
}

// flushPages writes pages with their summaries, all or none.
func (s *Store) flushPages(blocks []uint64) error {
	txn := s.index.db.NewTransaction(true)
	defer txn.Discard()
	lsns := make([]uint64, len(blocks))
	s.mu.Lock()
	for i, b := range blocks {
		p := s.pages.dirty[b]
		if p == nil {
			continue
		}
		lsns[i] = p.version
		if err := putPage(txn, p); err != nil {
			s.mu.Unlock()
			return err
		}
	}
	s.mu.Unlock()
	if err := txn.Commit(); err != nil {
		return fmt.Errorf("writing pages: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, b := range blocks {
		if p := s.pages.dirty[b]; p != nil && p.version == lsns[i] {
			s.pages.written(p)
		}
	}
	return nil
}

func putPage(txn *badger.Txn, p *page) error {
	page, sum := blockKey(pagePrefix, p.block), blockKey(summaryPrefix, p.block)
	if p.empty() {
		return errors.Join(txn.Delete(page), txn.Delete(sum))
	}
	summary := summarize(p)
	v, err := p.encode()
	if err == nil {
		err = errors.Join(txn.Set(page, v), txn.Set(sum, summary.encode()))
	}
	if err != nil {
		return fmt.Errorf("writing page %d: %w", p.block, err)
	}
	return nil
}

// closeIndex writes everything and closes Badger; the checkpoint then holds
// over a restart of the machine too. On a disk that is full, or does not answer,
// it is left as after a kill: the journal has it all.
func (s *Store) closeIndex() error {
	s.space.refresh()
	switch {
	case s.space.tight() && !s.index.volatile:
		s.o.Logger.Warn("the disk is full: the index is not closed; the next start may take longer")
		return nil
	case s.recovering || s.space.err() != nil:
		return s.closeBadger()
	}
	s.index.writing.Lock()
	defer s.index.writing.Unlock()
	cp, err := s.flush()
	if err = errors.Join(err, s.closeBadger()); err != nil {
		return fmt.Errorf("closing the index: %w", err)
	}
	cp.Clean = true
	return s.moveCheckpoint(cp)
}

// badgerCloses is how long Badger may take to write its last table. On a disk that
// fails it would try for ever.
const badgerCloses = 20 * time.Second

// errNotClosed is returned when Badger has not closed in time.
var errNotClosed = errors.New("the index does not close, because the disk does not take it; the journal has it all")

func (s *Store) closeBadger() error {
	closed := make(chan error, 1)
	db := s.index.db
	go func() { closed <- db.Close() }()
	t := time.NewTimer(badgerCloses)
	defer t.Stop()
	select {
	case err := <-closed:
		return err //nolint:wrapcheck // the caller says what was closed
	case <-t.C:
		return errNotClosed
	}
}

// moveCheckpoint replaces the checkpoint file.
func (s *Store) moveCheckpoint(cp checkpoint) error {
	if s.index.volatile {
		return nil
	}
	cp.Boot, cp.Form = s.o.BootID(), indexForm
	b, err := json.Marshal(cp)
	if err != nil {
		return fmt.Errorf("writing the checkpoint: %w", err)
	}
	if err := replaceFile(filepath.Join(s.o.Dir, checkpointFile), b); err != nil {
		return fmt.Errorf("writing the checkpoint: %w", err)
	}
	s.index.checkpointed, s.index.at = s.o.Now(), cp.Mark
	return nil
}

// replaceFile writes a file so that either the old or the new content is there
// after a crash.
func replaceFile(path string, b []byte) error {
	tmp := path + ".new"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// loadCheckpoint reads the checkpoint; the zero one if there is none that holds.
func (s *Store) loadCheckpoint() checkpoint {
	b, err := os.ReadFile(filepath.Join(s.o.Dir, checkpointFile))
	if err != nil {
		return checkpoint{}
	}
	var cp checkpoint
	if err := json.Unmarshal(b, &cp); err != nil {
		return checkpoint{}
	}
	if cp.Form != indexForm {
		return checkpoint{}
	}
	boot := s.o.BootID()
	if !cp.Clean && (boot == "" || boot != cp.Boot) {
		return checkpoint{}
	}
	return cp
}

// bootID is the kernel's name for the current boot; empty where it has none.
func bootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return string(b)
}

// remember keeps a claim until it is in the index.
func (s *Store) remember(c *claimRecord) {
	if c == nil {
		return
	}
	s.recent[c.key] = c.Claim
	s.unwritten = append(s.unwritten, *c)
}

// openTables opens the index and readies the tables over it.
func (s *Store) openTables() error {
	db, volatile, err := s.openIndex()
	if err != nil {
		return err
	}
	s.index = &index{db: db, volatile: volatile}
	s.claims = dedup.NewClaims(db)
	s.pages = newPages(db)
	return nil
}
