// Package faultfs is a disk in memory that fails like a real one: writes that
// are cut short, syncs that fail and then lie, a full disk, a killed process,
// a power cut that keeps some sectors and loses others.
//
//	disk := faultfs.New(1)
//	fs := disk.Boot()  // what a process sees
//	disk.Cut()         // the power fails: fs is dead
//	fs = disk.Boot()   // what is there after that
package faultfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"syscall"

	"github.com/caddy-webhooks/caddy-webhooks/store/local/journal"
)

// Sector is what a disk writes whole or not at all.
const Sector = 512

// ErrDead is returned to a process that was killed.
var ErrDead = errors.New("the process is dead")

// Op is a kind of call.
type Op string

// The calls that can fail.
const (
	Create   Op = "create"
	Open     Op = "open"
	Rename   Op = "rename"
	Remove   Op = "remove"
	ReadDir  Op = "readdir"
	SyncDir  Op = "syncdir"
	Read     Op = "read"
	Write    Op = "write"
	Sync     Op = "sync"
	Allocate Op = "allocate"
	Truncate Op = "truncate"
)

// Fault is what happens instead of a call. A failed sync keeps some sectors
// and forgets that the others are not on disk: the next one succeeds.
type Fault struct {
	Err   error
	Short int // of a write: so many bytes are written before it fails
}

// Disk is what survives a process.
type Disk struct {
	mu       sync.Mutex
	random   *rand.Rand
	live     map[string]*node // as processes see it
	synced   map[string]*node // as it is after a power cut
	pending  []func(names map[string]*node)
	process  *Process
	capacity int64
	foreign  int64
}

// node is a file. Sectors in dirty differ from what is on disk, and the kernel
// knows; others may differ too, after a sync that failed.
type node struct {
	live, disk []byte
	dirty      map[int]struct{}
}

// New returns an empty disk; what is random about its faults follows from seed.
func New(seed uint64) *Disk {
	return &Disk{
		random: rand.New(rand.NewPCG(seed, 1)),
		live:   make(map[string]*node), synced: make(map[string]*node),
	}
}

// Boot returns the file system as a new process sees it; the one before is
// dead.
func (d *Disk) Boot() *Process {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.kill()
	d.process = &Process{disk: d, countdown: -1}
	return d.process
}

// Kill ends the process, and keeps what it has written.
func (d *Disk) Kill() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.kill()
}

func (d *Disk) kill() {
	if d.process != nil {
		d.process.dead = true
	}
}

// Cut ends the process by a power cut: of what was not synced, nothing is left.
func (d *Disk) Cut() { d.cut(func() bool { return false }) }

// CutSome ends the process by a power cut that leaves some sectors of what was
// not synced, and some of the last changes to the directory.
func (d *Disk) CutSome() { d.cut(func() bool { return d.random.IntN(2) == 0 }) }

func (d *Disk) cut(keep func() bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.kill()
	for _, change := range d.pending {
		if !keep() {
			break // a file system's own journal keeps the order
		}
		change(d.synced)
	}
	d.pending = nil
	d.live = make(map[string]*node)
	for _, name := range sortedNames(d.synced) {
		n := d.synced[name]
		n.flush(keep)
		n.live = slices.Clone(n.disk)
		d.live[name] = n
	}
}

// flush brings those sectors to the disk that keep says, and calls all clean.
func (n *node) flush(keep func() bool) {
	all := true
	for _, i := range sortedKeys(n.dirty) {
		if !keep() {
			all = false
			continue
		}
		from, to := i*Sector, min((i+1)*Sector, len(n.live))
		if to > len(n.disk) {
			n.disk = append(n.disk, make([]byte, to-len(n.disk))...)
		}
		copy(n.disk[from:to], n.live[from:to])
	}
	if all && len(n.live) != len(n.disk) && keep() { // the size, too
		n.disk = append(n.disk, make([]byte, max(0, len(n.live)-len(n.disk)))...)[:len(n.live)]
	}
	n.dirty = nil
}

func (n *node) write(p []byte, at int) {
	if end := at + len(p); end > len(n.live) {
		n.live = append(n.live, make([]byte, end-len(n.live))...)
	}
	copy(n.live[at:], p)
	n.touch(at, at+len(p))
}

func (n *node) touch(from, to int) {
	if n.dirty == nil {
		n.dirty = make(map[int]struct{})
	}
	for i := from / Sector; i*Sector < to; i++ {
		n.dirty[i] = struct{}{}
	}
}

// Limit makes the disk so large; others use foreign bytes of it. Zero: no limit.
func (d *Disk) Limit(capacity, foreign int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.capacity, d.foreign = capacity, foreign
}

// free is the space left. The mutex is held.
func (d *Disk) free() int64 {
	if d.capacity == 0 {
		return 1 << 40
	}
	left := d.capacity - d.foreign
	for _, n := range d.live {
		left -= int64(len(n.live))
	}
	return left
}

// Names lists the files.
func (d *Disk) Names() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return sortedNames(d.live)
}

// Bytes returns what a file holds.
func (d *Disk) Bytes(name string) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	if n := d.live[name]; n != nil {
		return slices.Clone(n.live)
	}
	return nil
}

// Rot changes what a file holds, on disk and in memory.
func (d *Disk) Rot(name string, at int64, change func(b []byte)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if n := d.live[name]; n != nil {
		change(n.live[at:])
		if int(at) < len(n.disk) {
			copy(n.disk[at:], n.live[at:])
		}
	}
}

func sortedNames(m map[string]*node) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func sortedKeys(m map[int]struct{}) []int {
	keys := make([]int, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// Process is the disk as one process sees it: a [journal.FS].
type Process struct {
	disk *Disk

	// Guarded by the disk's mutex.
	dead      bool
	countdown int
	calls     int
	hook      func(op Op, name string) *Fault
}

var _ journal.FS = (*Process)(nil)

// Hook asks fn before each call; nil: the call is made. fn must not use the
// disk.
func (p *Process) Hook(fn func(op Op, name string) *Fault) {
	p.disk.mu.Lock()
	defer p.disk.mu.Unlock()
	p.hook = fn
}

// FailNth makes the n-th call of op from now on fail, the first being 1.
func (p *Process) FailNth(op Op, n int, f Fault) {
	p.Hook(func(called Op, _ string) *Fault {
		if called != op {
			return nil
		}
		if n--; n == 0 {
			return &f
		}
		return nil
	})
}

// DieAfter kills the process in the middle of the n-th call from now on.
func (p *Process) DieAfter(n int) {
	p.disk.mu.Lock()
	defer p.disk.mu.Unlock()
	p.countdown = n
}

// Dead reports whether the process was killed.
func (p *Process) Dead() bool {
	p.disk.mu.Lock()
	defer p.disk.mu.Unlock()
	return p.dead
}

// Calls is how many calls were made.
func (p *Process) Calls() int {
	p.disk.mu.Lock()
	defer p.disk.mu.Unlock()
	return p.calls
}

// call decides what becomes of a call. The mutex is held.
func (p *Process) call(op Op, name string) *Fault {
	if p.dead {
		return &Fault{Err: ErrDead}
	}
	p.calls++
	if p.countdown > 0 {
		if p.countdown--; p.countdown == 0 {
			p.dead = true
			return &Fault{Err: ErrDead, Short: p.disk.random.IntN(1 << 14)}
		}
	}
	if p.hook != nil {
		return p.hook(op, name)
	}
	return nil
}

func (p *Process) lock(op Op, name string) (*Disk, error) {
	p.disk.mu.Lock()
	if f := p.call(op, name); f != nil {
		return p.disk, fmt.Errorf("%s %s: %w", op, name, f.Err)
	}
	return p.disk, nil
}

// Create makes a file.
func (p *Process) Create(name string) (journal.File, error) {
	d, err := p.lock(Create, name)
	defer d.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if d.live[name] != nil {
		return nil, fmt.Errorf("create %s: %w", name, fs.ErrExist)
	}
	n := &node{}
	d.change(func(names map[string]*node) { names[name] = n })
	return &file{process: p, node: n, name: name}, nil
}

// change makes a change to the directory, durable at its next sync.
func (d *Disk) change(apply func(names map[string]*node)) {
	apply(d.live)
	d.pending = append(d.pending, apply)
}

// Open opens a file.
func (p *Process) Open(name string) (journal.File, error) {
	d, err := p.lock(Open, name)
	defer d.mu.Unlock()
	if err != nil {
		return nil, err
	}
	n := d.live[name]
	if n == nil {
		return nil, fmt.Errorf("open %s: %w", name, fs.ErrNotExist)
	}
	return &file{process: p, node: n, name: name}, nil
}

// Rename gives a file another name.
func (p *Process) Rename(from, to string) error {
	d, err := p.lock(Rename, from)
	defer d.mu.Unlock()
	if err != nil {
		return err
	}
	n := d.live[from]
	if n == nil {
		return fmt.Errorf("rename %s: %w", from, fs.ErrNotExist)
	}
	d.change(func(names map[string]*node) {
		delete(names, from)
		names[to] = n
	})
	return nil
}

// Remove takes a file's name away.
func (p *Process) Remove(name string) error {
	d, err := p.lock(Remove, name)
	defer d.mu.Unlock()
	if err != nil {
		return err
	}
	if d.live[name] == nil {
		return fmt.Errorf("remove %s: %w", name, fs.ErrNotExist)
	}
	d.change(func(names map[string]*node) { delete(names, name) })
	return nil
}

// MkdirAll has nothing to do.
func (p *Process) MkdirAll(string) error { return nil }

// ReadDir lists the names in a directory.
func (p *Process) ReadDir(dir string) ([]string, error) {
	d, err := p.lock(ReadDir, dir)
	defer d.mu.Unlock()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, name := range sortedNames(d.live) {
		if filepath.Dir(name) == filepath.Clean(dir) {
			names = append(names, filepath.Base(name))
		}
	}
	return names, nil
}

// SyncDir makes the changes of names durable.
func (p *Process) SyncDir(dir string) error {
	d, err := p.lock(SyncDir, dir)
	defer d.mu.Unlock()
	if err != nil {
		return err
	}
	for _, change := range d.pending {
		change(d.synced)
	}
	d.pending = nil
	return nil
}

// Free is the space left.
func (p *Process) Free(string) (int64, error) {
	p.disk.mu.Lock()
	defer p.disk.mu.Unlock()
	return p.disk.free(), nil
}

// file is an open file.
type file struct {
	process *Process
	node    *node
	name    string
	closed  bool
}

// lock takes the disk's mutex and decides about a call.
func (f *file) lock(op Op) (*Disk, *Fault) {
	d := f.process.disk
	d.mu.Lock()
	if f.closed {
		return d, &Fault{Err: fs.ErrClosed}
	}
	return d, f.process.call(op, f.name)
}

func (f *file) wrap(op Op, err error) error { return fmt.Errorf("%s %s: %w", op, f.name, err) }

func (f *file) ReadAt(b []byte, at int64) (int, error) {
	d, fault := f.lock(Read)
	defer d.mu.Unlock()
	if fault != nil {
		return 0, f.wrap(Read, fault.Err)
	}
	if at >= int64(len(f.node.live)) {
		return 0, io.EOF
	}
	n := copy(b, f.node.live[at:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (f *file) WriteAt(b []byte, at int64) (int, error) {
	d, fault := f.lock(Write)
	defer d.mu.Unlock()
	if fault != nil {
		n := min(fault.Short, len(b))
		if n > 0 && !f.closed {
			f.node.write(b[:n], int(at))
		}
		return n, f.wrap(Write, fault.Err)
	}
	if grows := at + int64(len(b)) - int64(len(f.node.live)); grows > 0 && grows > d.free() {
		return 0, f.wrap(Write, syscall.ENOSPC)
	}
	f.node.write(b, int(at))
	return len(b), nil
}

func (f *file) Sync() error {
	d, fault := f.lock(Sync)
	defer d.mu.Unlock()
	switch {
	case fault == nil:
		f.node.flush(func() bool { return true })
		return nil
	case !errors.Is(fault.Err, ErrDead) && !f.closed:
		f.node.flush(func() bool { return d.random.IntN(2) == 0 })
	}
	return f.wrap(Sync, fault.Err)
}

func (f *file) Allocate(size int64) error {
	d, fault := f.lock(Allocate)
	defer d.mu.Unlock()
	if fault != nil {
		return f.wrap(Allocate, fault.Err)
	}
	grows := size - int64(len(f.node.live))
	if grows <= 0 {
		return nil
	}
	if grows > d.free() {
		return f.wrap(Allocate, syscall.ENOSPC)
	}
	f.node.write(make([]byte, grows), len(f.node.live))
	return nil
}

func (f *file) Truncate(size int64) error {
	d, fault := f.lock(Truncate)
	defer d.mu.Unlock()
	if fault != nil {
		return f.wrap(Truncate, fault.Err)
	}
	if int(size) < len(f.node.live) {
		f.node.live = f.node.live[:size]
		for i := range f.node.dirty {
			if i*Sector >= int(size) {
				delete(f.node.dirty, i)
			}
		}
	}
	return nil
}

func (f *file) Size() (int64, error) {
	d := f.process.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	return int64(len(f.node.live)), nil
}

func (f *file) Close() error {
	d := f.process.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	if f.closed {
		return fmt.Errorf("close %s: %w", f.name, fs.ErrClosed)
	}
	f.closed = true
	return nil
}
