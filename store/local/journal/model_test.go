package journal_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/store/local/journal"
	"github.com/caddy-webhooks/caddy-webhooks/store/local/journal/faultfs"
)

// fate is what the model knows of one payload.
type fate int

const (
	waiting fate = iota // no answer: it may be there or not
	acked               // it must be there, once
	failed              // answered with an error; it may be there only if the
	// process ended before a new segment was written
	absent // it must not be there, ever
)

// entryFate is a payload's life in the model.
type entryFate struct {
	payload string
	fate    fate
	stamp   journal.Stamp
}

// model is the oracle: what every operation promised.
type model struct {
	t      *testing.T
	random *rand.Rand
	disk   *faultfs.Disk
	fs     *faultfs.Process
	j      *journal.Journal

	mu     sync.Mutex // the committer answers on a goroutine of its own
	all    map[string]*entryFate
	order  []string // of what was acknowledged or replayed
	marks  []journal.Mark
	failed []*entryFate // since the last acknowledgement
	now    time.Time
	last   time.Time
	serial int
	replay int
}

func (m *model) options() journal.Options {
	return journal.Options{
		FS: m.fs, Dir: "/j", FirstSegment: 32 << 10, MaxSegment: 64 << 10, MaxBatch: 8 << 10,
		Now: func() time.Time {
			m.mu.Lock()
			defer m.mu.Unlock()
			return m.now
		},
		Head: func(dst []byte, s journal.Stamp) []byte { return fmt.Appendf(dst, "head %d", s.LSN) },
	}
}

// payload is unique; some hold images of what the disk holds.
func (m *model) payload() string {
	m.serial++
	p := fmt.Sprintf("%d:", m.serial)
	switch m.random.IntN(4) {
	case 0:
		p += strings.Repeat("x", m.random.IntN(12000))
	case 1:
		if names := m.disk.Names(); len(names) > 0 {
			b := m.disk.Bytes(names[m.random.IntN(len(names))])
			b = b[:min(len(b), 8192+m.random.IntN(4000))]
			p += string(b[len(b)/2:])
		}
	}
	return p
}

// done takes an answer down.
func (m *model) done(e *entryFate, s journal.Stamp, err error) {
	dead := m.fs.Dead()
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case err == nil:
		if e.fate != waiting {
			m.t.Errorf("%.20q was answered twice", e.payload)
		}
		e.fate, e.stamp = acked, s
		m.order = append(m.order, e.payload)
		m.marks = append(m.marks, s.Mark)
		if s.Time.Before(m.last) {
			m.t.Errorf("time ran from %v back to %v", m.last, s.Time)
		}
		m.last = s.Time
		for _, f := range m.failed { // a segment was begun since
			f.fate = absent
		}
		m.failed = nil
	case dead, errors.Is(err, journal.ErrClosed):
		// nobody heard the answer, or nothing was promised
	default:
		e.fate = failed
		m.failed = append(m.failed, e)
	}
}

func (m *model) append(ride, reserved bool) {
	e := &entryFate{payload: m.payload()}
	m.mu.Lock()
	m.all[e.payload] = e
	m.mu.Unlock()
	err := m.j.Append(context.Background(), journal.Entry{
		Size:   len(e.payload) + m.random.IntN(3)*100,
		Encode: func(dst []byte, _ journal.Stamp) []byte { return append(dst, e.payload...) },
		Done:   func(s journal.Stamp, err error) { m.done(e, s, err) },
		Ride:   ride, Reserved: reserved,
	})
	if err != nil {
		m.mu.Lock()
		e.fate = absent
		m.mu.Unlock()
	}
}

// step is one random operation.
func (m *model) step() {
	m.mu.Lock()
	m.now = m.now.Add(time.Duration(m.random.IntN(2000)-500) * time.Millisecond)
	m.mu.Unlock()
	switch n := m.random.IntN(100); {
	case n < 40:
		for range 1 + m.random.IntN(8) {
			m.append(m.random.IntN(3) == 0, m.random.IntN(3) == 0)
		}
	case n < 50:
		m.append(true, true)
	case n < 60:
		synctest.Wait()
	case n < 66:
		time.Sleep(time.Duration(m.random.IntN(200)) * time.Millisecond)
	case n < 72:
		ops := []faultfs.Op{faultfs.Write, faultfs.Sync, faultfs.Rename, faultfs.SyncDir, faultfs.Create, faultfs.Allocate, faultfs.Truncate, faultfs.Remove}
		errs := []error{errDisk, syscall.ENOSPC}
		m.fs.FailNth(ops[m.random.IntN(len(ops))], 1+m.random.IntN(3), faultfs.Fault{Err: errs[m.random.IntN(2)], Short: m.random.IntN(4000)})
	case n < 75:
		m.disk.Limit([]int64{0, 1}[m.random.IntN(2)], 0)
	case n < 78:
		_ = m.j.Roll(context.Background())
	case n < 84:
		m.remove()
	case n < 92:
		m.read()
	default:
		m.restart()
	}
}

func (m *model) remove() {
	synctest.Wait()
	segments := m.j.Segments()
	s := segments[m.random.IntN(len(segments))]
	err := m.j.Remove(s.ID)
	if errors.Is(err, journal.ErrActive) {
		return
	}
	if !s.Sealed {
		m.t.Fatalf("the active segment was removed: %v", err)
	}
	for _, e := range m.all {
		if e.fate == acked && e.stamp.Pos.Segment == s.ID {
			e.fate = absent
			if err != nil {
				e.fate = waiting
			}
		}
	}
}

func (m *model) read() {
	synctest.Wait()
	for range 10 {
		if len(m.order) == 0 || m.fs.Dead() {
			return
		}
		e := m.all[m.order[m.random.IntN(len(m.order))]]
		got, err := m.j.Read(e.stamp.Pos)
		switch {
		case e.fate == acked && (err != nil || string(got) != e.payload):
			m.t.Fatalf("reading %.20q at %+v: %.20q, %v", e.payload, e.stamp.Pos, got, err)
		case e.fate == absent && !errors.Is(err, journal.ErrGone):
			m.t.Fatalf("reading removed %.20q: %v", e.payload, err)
		}
	}
}

// restart ends the process in one of four ways, and checks what is there.
func (m *model) restart() {
	switch m.random.IntN(5) {
	case 0:
		synctest.Wait()
		m.fs.Hook(nil)
		_ = m.j.Close()
		if m.random.IntN(2) == 0 {
			m.disk.Cut()
		}
	case 1:
		m.disk.Kill()
	case 2:
		m.disk.Cut()
	case 3:
		m.disk.CutSome()
	case 4:
		m.fs.DieAfter(1 + m.random.IntN(12))
		for range 5 {
			m.append(m.random.IntN(3) == 0, false)
		}
		time.Sleep(time.Second)
		m.disk.CutSome()
	}
	_ = m.j.Close()
	synctest.Wait()
	m.disk.Limit(0, 0)
	m.mu.Lock()
	m.failed = nil
	m.mu.Unlock()
	for m.random.IntN(3) == 0 { // recovery is interrupted
		m.fs = m.disk.Boot()
		m.fs.DieAfter(1 + m.random.IntN(80))
		j, _, err := journal.Open(m.options(), journal.Mark{}, func(journal.Stamp, []byte) error { return nil })
		if err == nil {
			synctest.Wait()
		}
		m.disk.CutSome()
		if err == nil {
			_ = j.Close()
		}
	}
	m.fs = m.disk.Boot()
	m.open()
}

func (m *model) open() {
	var from journal.Mark
	if len(m.marks) > 0 && m.random.IntN(3) == 0 {
		from = m.marks[m.random.IntN(len(m.marks))]
	}
	seen, err := m.replayFrom(from)
	if errors.Is(err, journal.ErrMark) {
		from = journal.Mark{}
		seen, err = m.replayFrom(from)
	}
	if err != nil {
		m.t.Fatalf("open: %v", err)
	}
	m.check(seen, from.LSN)
}

func (m *model) replayFrom(from journal.Mark) (seen []record, err error) {
	j, report, err := journal.Open(m.options(), from, func(s journal.Stamp, p []byte) error {
		seen = append(seen, record{s, string(p)})
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(report.Damage) != 0 {
		m.t.Fatalf("damage where there is none: %+v", report)
	}
	m.j = j
	return seen, nil
}

// check compares a replay with what was promised, and takes over what it
// decided.
func (m *model) check(seen []record, after uint64) {
	m.t.Helper()
	m.replay++
	there := make(map[string]bool)
	var last journal.Stamp
	for _, r := range seen {
		if r.stamp.LSN <= last.LSN || r.stamp.LSN <= after || r.stamp.Time.Before(last.Time) {
			m.t.Fatalf("replayed %+v after %+v", r.stamp, last)
		}
		last = r.stamp
		if r.payload == fmt.Sprintf("head %d", r.stamp.LSN) {
			continue
		}
		e := m.all[r.payload]
		switch {
		case e == nil:
			m.t.Fatalf("replayed what nobody appended: %.40q", r.payload)
		case e.fate == absent:
			m.t.Fatalf("replayed what must not be there: %.20q", r.payload)
		case e.fate == acked && (e.stamp.LSN != r.stamp.LSN || !e.stamp.Time.Equal(r.stamp.Time)):
			m.t.Fatalf("%.20q was %+v, is %+v", r.payload, e.stamp, r.stamp)
		case e.fate != acked:
			m.order = append(m.order, e.payload)
		}
		e.fate, e.stamp = acked, r.stamp
		there[r.payload] = true
	}
	m.last = maxTime(m.last, last.Time)
	for _, e := range m.all {
		if there[e.payload] || e.stamp.LSN != 0 && e.stamp.LSN <= after && (e.fate == acked || e.fate == waiting) {
			continue
		}
		if e.fate == acked {
			m.t.Fatalf("lost %.20q, %+v", e.payload, e.stamp)
		}
		if after == 0 || e.stamp.LSN == 0 {
			e.fate = absent
		}
	}
}

func maxTime(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func TestRandomOperationsKeepEveryPromise(t *testing.T) {
	t.Parallel()
	seeds, steps := uint64(200), 150
	if testing.Short() || raced {
		seeds = 20
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := &model{
					t: t, random: rand.New(rand.NewPCG(seed, 7)), disk: faultfs.New(seed),
					all: make(map[string]*entryFate), now: time.Unix(1e9, 0),
				}
				m.fs = m.disk.Boot()
				m.open()
				defer func() { _ = m.j.Close() }()
				for range steps {
					m.step()
				}
				m.restart()
				_ = m.j.Close()
				if m.replay < 5 || len(m.order) < 20 {
					t.Fatalf("a test of %d restarts and %d records tests nothing", m.replay, len(m.order))
				}
			})
		})
	}
}
