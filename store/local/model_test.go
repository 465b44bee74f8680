package local

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/store"
	"github.com/caddy-webhooks/caddy-webhooks/store/local/journal/faultfs"
)

// The model: random operations on a store whose disk fails, whose process is
// killed and whose power is cut, against a plain map of what was promised.

// promise is what the model knows of one provider ID.
type promise struct {
	event event.ID
	// maybe: Accept failed, and the process died before the failure was
	// recorded; the event may turn up, whole, or not.
	maybe bool
	// states holds what the delivery may be: more than one while an outcome is
	// not known to be durable.
	states []event.State
	lease  *store.Lease
}

type model struct {
	t    *testing.T
	rng  *rand.Rand
	disk *faultfs.Disk
	proc *faultfs.Process
	o    Options
	s    *Store
	boot int
	ids  map[string]*promise
	log  []string
	// counters, to see that a run did something
	accepted, refused, crashes, settled int
}

func TestNothingPromisedIsLostWhateverFails(t *testing.T) {
	t.Parallel()
	seeds, steps := 4, 700
	if testing.Short() {
		seeds = 2
	}
	for seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			m := newModel(t, uint64(seed))
			for range steps {
				m.step()
			}
			m.crash("reopen")
			if m.accepted < 50 || m.refused == 0 || m.crashes < 3 || m.settled < 50 {
				t.Errorf("the run was too tame: %d accepted, %d refused, %d crashes, %d settled", m.accepted, m.refused, m.crashes, m.settled)
			}
			_ = m.s.Close()
		})
	}
}

func newModel(t *testing.T, seed uint64) *model {
	t.Helper()
	m := &model{t: t, rng: rand.New(rand.NewPCG(seed, 7)), disk: faultfs.New(seed), ids: map[string]*promise{}}
	m.o = Options{
		Dir: t.TempDir(), FirstSegment: 64 << 10, MaxSegment: 64 << 10,
		Limits: store.Limits{MinFree: 1, Retention: 1000 * time.Hour, RetentionSize: 1 << 40}, BootID: func() string { return fmt.Sprint("boot ", m.boot) },
	}
	m.open()
	return m
}

func (m *model) open() {
	m.t.Helper()
	m.proc = m.disk.Boot()
	m.o.FS = m.proc
	s, err := Open(m.o)
	if err != nil {
		m.fail("opening: %v", err)
	}
	m.s = s
}

func (m *model) fail(format string, args ...any) {
	m.t.Helper()
	m.t.Fatalf(format+"\nlast steps: %s", append(args, strings.Join(m.log[max(0, len(m.log)-40):], ", "))...)
}

func (m *model) note(format string, args ...any) { m.log = append(m.log, fmt.Sprintf(format, args...)) }

func (m *model) step() {
	switch n := m.rng.IntN(100); {
	case n < 45:
		m.accept(fmt.Sprintf("id-%d", m.rng.IntN(400)))
	case n < 60:
		m.leaseSome()
	case n < 80:
		m.settleOne()
	case n < 84:
		m.command(store.Replay)
	case n < 87:
		m.command(store.Discard)
	case n < 91:
		m.breakSomething()
	case n < 92:
		m.tidy()
	case n < 93:
		m.index()
	case n < 94:
		m.crash("kill")
	case n < 95:
		m.crash("kill in the middle")
	case n < 96:
		m.crash("cut")
	case n < 97:
		m.crash("cut, some sectors kept")
	case n < 98:
		m.crash("reopen")
	case n < 99:
		m.crash("index deleted")
	default:
		m.check()
	}
}

func (m *model) accept(id string) {
	m.t.Helper()
	var key [32]byte
	copy(key[:], id)
	receipt, err := m.s.Accept(m.t.Context(), store.Admission{
		Event: &event.Event{
			Source: "shop", ProviderID: id, Received: time.Now(), Method: http.MethodPost, URI: "/",
			Header: http.Header{}, Body: []byte(strings.Repeat(id, 1+m.rng.IntN(200))),
		},
		Claim: &store.Claim{Key: key, Window: 1000 * time.Hour},
		Owed:  []store.Owed{{Destination: "default"}},
	})
	p := m.ids[id]
	m.note("accept %s: %v %v", id, receipt.Result, err != nil)
	switch {
	case err != nil:
		m.refused++
		if p == nil {
			m.ids[id] = &promise{maybe: true, states: []event.State{event.Pending}}
		}
		return
	case receipt.Result == store.Accepted:
		m.accepted++
		if p != nil && !p.maybe {
			m.fail("%s was accepted twice: %v and %v", id, p.event, receipt.ID)
		}
		m.ids[id] = &promise{event: receipt.ID, states: []event.State{event.Pending}}
		m.durable()
	case p == nil:
		m.fail("%s was never sent and is a %v", id, receipt.Result)
	default:
		if !p.maybe && p.event != receipt.ID {
			m.fail("%s is a %v of %v, want %v", id, receipt.Result, receipt.ID, p.event)
		}
		p.event, p.maybe = receipt.ID, false
		if receipt.Result == store.Revived {
			if !slices.Contains(p.states, event.Dead) {
				m.fail("%s was revived, but may only be %v", id, p.states)
			}
			p.states = []event.State{event.Pending}
			m.durable()
		}
	}
}

// durable: something was synced, and with it everything that rode along before.
func (m *model) durable() {
	for _, p := range m.ids {
		if len(p.states) > 1 {
			p.states = p.states[len(p.states)-1:]
		}
	}
}

func (m *model) leaseSome() {
	m.t.Helper()
	now := time.Now().Add(time.Hour)
	leases, _, err := m.s.Lease(m.t.Context(), toShop, store.LeaseRequest{Now: now, Until: now.Add(1000 * time.Hour), Max: 1 + m.rng.IntN(20), MaxBytes: 1 << 20})
	m.note("lease: %d", len(leases))
	if err != nil {
		m.fail("leasing: %v", err)
	}
	for _, l := range leases {
		p := m.ids[l.Event.ProviderID]
		switch {
		case p == nil || p.maybe && p.event != (event.ID{}):
			m.fail("%s is due and was never accepted", l.Event.ProviderID)
		case p.lease != nil:
			m.fail("%s is leased twice", l.Event.ProviderID)
		case !slices.Contains(p.states, event.Pending):
			m.fail("%s is due, but can only be %v", l.Event.ProviderID, p.states)
		case string(l.Event.Body) != strings.Repeat(l.Event.ProviderID, len(l.Event.Body)/len(l.Event.ProviderID)):
			m.fail("%s has the body %.40q", l.Event.ProviderID, l.Event.Body)
		}
		p.lease, p.event, p.maybe = &l, l.Event.ID, false
		if err := m.s.Begin(l); err != nil {
			m.fail("beginning: %v", err)
		}
	}
}

func (m *model) leased() []*promise {
	var list []*promise
	for _, p := range m.ids {
		if p.lease != nil {
			list = append(list, p)
		}
	}
	slices.SortFunc(list, func(a, b *promise) int { return int(a.lease.Token) - int(b.lease.Token) })
	return list
}

func (m *model) settleOne() {
	m.t.Helper()
	list := m.leased()
	if len(list) == 0 {
		return
	}
	p := list[m.rng.IntN(len(list))]
	l := *p.lease
	p.lease = nil
	if m.rng.IntN(6) == 0 {
		m.note("release %s", l.Event.ProviderID)
		if err := m.s.Release(l); err != nil {
			m.fail("releasing %s: %v", l.Event.ProviderID, err)
		}
		return
	}
	state := []event.State{event.Delivered, event.Delivered, event.Pending, event.Dead}[m.rng.IntN(4)]
	m.note("settle %s %v", l.Event.ProviderID, state)
	err := m.s.Settle(l, store.Settlement{
		Attempt: event.Attempt{Destination: "default", Number: l.Attempt, At: time.Now()},
		State:   state, Next: time.Now(),
	})
	if err != nil {
		m.fail("settling %s: %v", l.Event.ProviderID, err)
	}
	m.settled++
	if state != event.Pending {
		p.states = append(p.states, state)
	}
	if err := m.s.Settle(l, store.Settlement{State: event.Dead}); !errors.Is(err, store.ErrStale) {
		m.fail("settling %s a second time: %v, want ErrStale", l.Event.ProviderID, err)
	}
}

// command replays or discards an event whose state is certain.
func (m *model) command(a store.Action) {
	m.t.Helper()
	for id, p := range m.ids {
		if p.maybe || p.lease != nil || len(p.states) > 1 {
			continue
		}
		done, err := m.s.Command(m.t.Context(), store.Command{Action: a, Event: p.event, Who: "the model"})
		m.note("%v %s: %v %v", a, id, done.Changed, err)
		switch was := p.states[0]; {
		case errors.Is(err, store.ErrUnavailable), errors.Is(err, store.ErrFull):
			p.states = append([]event.State{was}, after(a, was), was) // may turn up after a crash
		case errors.Is(err, store.ErrConflict):
			if a != store.Discard || was != event.Delivered {
				m.fail("%v of %s, which is %v: %v", a, id, was, err)
			}
		case err != nil:
			m.fail("%v of %s, which is %v: %v", a, id, was, err)
		default:
			p.states = []event.State{after(a, was)}
			m.durable()
		}
		return
	}
}

func after(a store.Action, was event.State) event.State {
	switch {
	case a == store.Replay:
		return event.Pending
	case was == event.Delivered:
		return was
	}
	return event.Discarded
}

// breakSomething lets a coming write, sync or other call fail.
func (m *model) breakSomething() {
	ops := []faultfs.Op{faultfs.Write, faultfs.Sync, faultfs.Rename, faultfs.Create, faultfs.SyncDir, faultfs.Remove}
	op := ops[m.rng.IntN(len(ops))]
	m.note("break %v", op)
	m.proc.FailNth(op, 1+m.rng.IntN(3), faultfs.Fault{Err: errors.New("injected")})
}

// index writes the index as it is done every second, without moving its
// checkpoint: what was in the last batches is known to be on the disk, but no
// later batch says so.
func (m *model) index() {
	m.t.Helper()
	m.note("index")
	m.s.index.writing.Lock()
	defer m.s.index.writing.Unlock()
	for range 2 { // what was touched just now waits for the second round
		if err := m.s.relieve(); err != nil {
			m.fail("writing the index: %v", err)
		}
	}
}

// tidy removes segments as if their time were over.
func (m *model) tidy() {
	m.note("tidy")
	_ = m.s.journal.Roll(m.t.Context())
	if err := m.s.retain(m.t.Context()); err != nil {
		m.note("retain: %v", err)
	}
}

// crash ends the process in one way or another, and looks at what the next
// one finds.
func (m *model) crash(how string) {
	m.t.Helper()
	m.note("%s", how)
	m.crashes++
	switch how {
	case "kill in the middle":
		m.proc.DieAfter(1 + m.rng.IntN(6))
		for i := range 8 {
			m.accept(fmt.Sprintf("late-%d-%d", m.crashes, i))
		}
		m.disk.Kill()
	case "kill":
		m.disk.Kill()
	case "cut":
		m.disk.Cut()
		m.boot++
	case "cut, some sectors kept":
		m.disk.CutSome()
		m.boot++
	}
	if m.proc.Dead() {
		m.abandon()
	} else if err := m.s.Close(); err != nil {
		m.note("close: %v", err)
	}
	if how == "index deleted" {
		if err := errors.Join(os.RemoveAll(filepath.Join(m.o.Dir, indexDir)), os.RemoveAll(filepath.Join(m.o.Dir, checkpointFile))); err != nil {
			m.fail("%v", err)
		}
	}
	for _, p := range m.ids {
		p.lease = nil
	}
	m.open()
	m.check()
}

// abandon frees what a killed process would leave to the kernel; the index
// stays as it was at that moment.
func (m *model) abandon() {
	m.s.mu.Lock()
	m.s.closed = true
	m.s.mu.Unlock()
	m.s.cancel()
	_ = m.s.journal.Close()
	m.s.wg.Wait()
	if err := errors.Join(m.s.index.db.Close(), m.s.lock.unlock()); err != nil {
		m.fail("abandoning: %v", err)
	}
}

// check compares everything stored with everything promised.
func (m *model) check() {
	m.t.Helper()
	found := map[string]store.Row{}
	for f := (store.Filter{Limit: 1000}); ; {
		page, err := m.s.Query(m.t.Context(), f)
		if err != nil {
			m.fail("listing: %v", err)
		}
		for _, r := range page.Rows {
			if _, twice := found[r.ProviderID]; twice {
				m.fail("%s is stored twice", r.ProviderID)
			}
			found[r.ProviderID] = r
		}
		if f.Before = page.Next; page.Next == 0 {
			break
		}
	}
	for id, p := range m.ids {
		m.checkOne(id, p, found)
	}
	for id := range found {
		if m.ids[id] == nil {
			m.fail("%s is stored and was never sent", id)
		}
	}
	m.checkTotals(found)
}

func (m *model) checkOne(id string, p *promise, found map[string]store.Row) {
	m.t.Helper()
	row, ok := found[id]
	switch {
	case !ok && p.maybe:
		delete(m.ids, id)
	case !ok:
		m.fail("%s was answered 2xx and is lost", id)
	case p.maybe:
		m.ids[id] = &promise{event: row.ID, states: []event.State{event.Pending}}
	case row.ID != p.event:
		m.fail("%s is event %v, was %v", id, row.ID, p.event)
	default:
		state := row.Deliveries[0].State
		if !slices.Contains(p.states, state) {
			m.fail("%s is %v, can only be %v", id, state, p.states)
		}
		if v, err := m.s.Get(m.t.Context(), row.ID); err != nil || v.Event == nil || v.Event.ProviderID != id {
			m.fail("%s cannot be read: %v", id, err)
		}
		if p.lease == nil && m.quiet() {
			p.states = []event.State{state}
		}
	}
}

// quiet tells that nothing rides along: after opening.
func (m *model) quiet() bool { return len(m.leased()) == 0 && len(m.log) > 0 && m.justOpened() }

func (m *model) justOpened() bool {
	m.s.mu.Lock()
	defer m.s.mu.Unlock()
	return m.s.token == 0
}

// checkTotals holds the running totals against the rows.
func (m *model) checkTotals(found map[string]store.Row) {
	m.t.Helper()
	m.s.mu.Lock()
	defer m.s.mu.Unlock()
	counts, backlog := map[event.State]int64{}, int64(0)
	for _, r := range found {
		st := r.Deliveries[0].State
		counts[st]++
		if st.Unsettled() {
			backlog += int64(r.Size)
		}
	}
	if !m.justOpenedLocked() {
		return // outcomes may have been applied since the rows were read
	}
	for _, d := range m.s.dests {
		for _, st := range event.States() {
			if d.counts[st] != counts[st] {
				m.fail("the totals say %d %v, the rows %d", d.counts[st], st, counts[st])
			}
		}
	}
	if m.s.backlogTotal != backlog {
		m.fail("the backlog's total is %d bytes, the rows' %d", m.s.backlogTotal, backlog)
	}
}

func (m *model) justOpenedLocked() bool { return m.s.token == 0 }
