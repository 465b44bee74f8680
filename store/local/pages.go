package local

import (
	"bytes"
	"cmp"
	"compress/flate"
	"container/list"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/dgraph-io/badger/v4"

	"github.com/caddy-webhooks/caddy-webhooks/event"
)

// Rows are kept in pages of pageRows consecutive sequence numbers. One page is
// one value in Badger, so a thousand deliveries cost sixteen writes to the
// index and leave no tombstones. A page that is touched stays in memory until
// it has been written; clean ones stay as long as there is room.

const (
	pageRows = 64
	// cleanPages is how many clean pages are kept decoded, about 25 KiB each.
	cleanPages = 256

	pagePrefix    = 'p'
	summaryPrefix = 's'
)

// page is pageRows rows, and the LSN up to which the journal is folded into
// them: a record at or below it has been applied and is skipped at replay.
type page struct {
	block uint64
	lsn   uint64
	// version counts the changes since the page was read.
	version uint64
	rows    [pageRows]*row
	dirty   bool
	// touched is the round in which it was last changed.
	touched uint64
	// pins counts the leases that will soon need the page again.
	pins int
	// clean is the page's place in the list of clean pages, nil while dirty.
	clean *list.Element
}

func blockOf(seq uint64) uint64 { return seq / pageRows }

// pages is the table of pages. The store's mutex guards it.
type pages struct {
	db    *badger.DB
	held  map[uint64]*page
	dirty map[uint64]*page
	clean *list.List
	// round counts the looks for pages at rest.
	round uint64
}

func newPages(db *badger.DB) *pages {
	return &pages{db: db, held: map[uint64]*page{}, dirty: map[uint64]*page{}, clean: list.New()}
}

// get gives the block's page, nil if there is none. It reads the index when
// the page is not in memory.
func (t *pages) get(block uint64) (*page, error) {
	if p := t.held[block]; p != nil {
		if p.clean != nil {
			t.clean.MoveToFront(p.clean)
		}
		return p, nil
	}
	p, err := t.read(block)
	if err != nil || p == nil {
		return nil, err
	}
	t.held[block] = p
	t.keep(p)
	return p, nil
}

// make gives the block's page, a new one if there is none.
func (t *pages) make(block uint64) (*page, error) {
	p, err := t.get(block)
	if err != nil || p != nil {
		return p, err
	}
	p = &page{block: block}
	t.held[block] = p
	t.keep(p)
	return p, nil
}

// row gives the event's row and its page; nil if there is no such event.
func (t *pages) row(seq uint64) (*row, *page, error) {
	p, err := t.get(blockOf(seq))
	if err != nil || p == nil {
		return nil, nil, err
	}
	return p.rows[seq%pageRows], p, nil
}

// touch marks the page as changed up to lsn.
func (t *pages) touch(p *page, lsn uint64) {
	p.lsn = max(p.lsn, lsn)
	p.version++
	p.touched = t.round
	if p.dirty {
		return
	}
	p.dirty = true
	t.dirty[p.block] = p
	if p.clean != nil {
		t.clean.Remove(p.clean)
		p.clean = nil
	}
}

// resting begins a new round. It lists the changed pages that have not been
// touched in the round that ends, and, of the others, those touched longest ago
// until no more than half of most would stay.
func (t *pages) resting(most int) []uint64 {
	var still, busy []*page
	for _, p := range t.dirty {
		if p.touched < t.round {
			still = append(still, p)
		} else {
			busy = append(busy, p)
		}
	}
	if len(busy) > most {
		slices.SortFunc(busy, func(a, b *page) int { return cmp.Compare(a.lsn, b.lsn) })
		still = append(still, busy[:len(busy)-most/2]...)
	}
	t.round++
	blocks := make([]uint64, len(still))
	for i, p := range still {
		blocks[i] = p.block
	}
	slices.Sort(blocks)
	return blocks
}

// written marks the page as clean after it was written.
func (t *pages) written(p *page) {
	p.dirty = false
	delete(t.dirty, p.block)
	t.keep(p)
}

// keep puts a clean page in front of the list and drops the oldest.
func (t *pages) keep(p *page) {
	p.clean = t.clean.PushFront(p)
	for e := t.clean.Back(); t.clean.Len() > cleanPages && e != nil; {
		old, ok := e.Value.(*page)
		e = e.Prev()
		if ok && old != p && old.pins == 0 {
			t.clean.Remove(old.clean)
			delete(t.held, old.block)
		}
	}
}

// read gives the page as the index has it, without keeping it.
func (t *pages) read(block uint64) (*page, error) {
	var p *page
	err := t.db.View(func(txn *badger.Txn) error {
		item, err := txn.Get(blockKey(pagePrefix, block))
		if errors.Is(err, badger.ErrKeyNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		return item.Value(func(v []byte) error {
			p, err = decodePage(block, v)
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("reading page %d of the index: %w", block, err)
	}
	return p, nil
}

func blockKey(prefix byte, block uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{prefix}, block)
}

func (p *page) empty() bool {
	for _, r := range p.rows {
		if r != nil {
			return false
		}
	}
	return true
}

// encode gives the page as the index has it. A large one is compressed: what is
// beyond the value log's threshold would lie there for ever.
func (p *page) encode() ([]byte, error) {
	w := writer{b: make([]byte, 0, 8<<10)}
	w.byte(pagePlain)
	w.uint(p.lsn)
	for _, r := range p.rows {
		if r == nil {
			w.byte(0)
			continue
		}
		w.byte(1)
		r.append(&w)
	}
	if len(w.b) <= largePage {
		return w.b, nil
	}
	return deflate(w.b[1:])
}

// How a page is written.
const (
	pagePlain byte = iota
	pageDeflated
	// largePage is how large a page is left as it is, in bytes.
	largePage = 64 << 10
	// maxPage is more than any page takes.
	maxPage = 256 << 20
)

func deflate(v []byte) ([]byte, error) {
	b := bytes.NewBuffer(make([]byte, 0, len(v)/2))
	b.WriteByte(pageDeflated)
	w, err := flate.NewWriter(b, flate.BestSpeed)
	if err == nil {
		_, err = w.Write(v)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("compressing a page: %w", err)
	}
	return b.Bytes(), nil
}

func inflate(v []byte) ([]byte, error) {
	plain, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(v)), maxPage))
	if err != nil {
		return nil, fmt.Errorf("reading a page: %w", err)
	}
	return plain, nil
}

func decodePage(block uint64, v []byte) (*page, error) {
	r := reader{b: v}
	if r.byte() == pageDeflated {
		plain, err := inflate(r.b)
		if err != nil {
			return nil, err
		}
		r.b = plain
	}
	p := &page{block: block, lsn: r.uint()}
	for i := range p.rows {
		if r.byte() == 0 {
			continue
		}
		v := r.row()
		p.rows[i] = &v
	}
	return p, r.err()
}

// summary is what start-up and searches must know of a page without reading it.
type summary struct {
	counts  map[uint64]*[len(stateSlots)]int64
	backlog map[string]int64
	zone    zone
}

func newSummary() summary {
	return summary{counts: map[uint64]*[len(stateSlots)]int64{}, backlog: map[string]int64{}, zone: newZone()}
}

// slotRetrying counts the pending deliveries that have failed before, beside what
// is counted for each state.
const slotRetrying = event.Filtered + 1

// stateSlots has one element for each state, one for none, and slotRetrying.
var stateSlots [slotRetrying + 1]struct{}

func summarize(p *page) summary {
	s := newSummary()
	for _, r := range p.rows {
		if r != nil {
			s.add(r)
		}
	}
	return s
}

func (s *summary) add(r *row) {
	for i := range r.deliveries {
		d := &r.deliveries[i]
		c := s.counts[d.dest]
		if c == nil {
			c = new([len(stateSlots)]int64)
			s.counts[d.dest] = c
		}
		c[d.State]++
		if d.retrying() {
			c[slotRetrying]++
		}
	}
	if r.unsettled() {
		s.backlog[r.source] += int64(r.size)
	}
	s.zone.add(r)
}

func (s *summary) encode() []byte {
	var w writer
	w.uint(uint64(len(s.counts)))
	for dest, c := range s.counts {
		w.uint(dest)
		for _, n := range c[1:] {
			w.uint(uint64(n))
		}
	}
	w.uint(uint64(len(s.backlog)))
	for source, n := range s.backlog {
		w.string(source)
		w.uint(uint64(n))
	}
	s.zone.append(&w)
	return w.b
}

func decodeSummary(v []byte) (summary, error) {
	r := reader{b: v}
	s := newSummary()
	for range r.count() {
		dest := r.uint()
		c := new([len(stateSlots)]int64)
		for i := range c[1:] {
			c[i+1] = int64(r.uint())
		}
		s.counts[dest] = c
	}
	for range r.count() {
		source := r.string()
		s.backlog[source] = int64(r.uint())
	}
	s.zone = r.zone()
	return s, r.err()
}
