package store

import (
	"cmp"
	"slices"
)

// Turns says whose turn it is where deliveries of one key go one at a time: the
// first in each key's line, by place. A million keys with one delivery each take
// some forty bytes for each, and a delivery further back takes sixteen.
//
// Every implementation of a store uses it for what stands in [Owed.Order]. It is
// not safe for concurrent use. The zero value is ready.
type Turns struct {
	first map[uint64]Turn
	rest  map[uint64][]Turn // in order; only for keys with more than one
}

// Turn is one delivery's place in the line of its key. An event's place is its
// sequence number; one that comes again, revived or replayed, gets a new one at
// the end.
type Turn struct {
	Place, Seq uint64
}

func (t Turn) compare(o Turn) int {
	return cmp.Or(cmp.Compare(t.Place, o.Place), cmp.Compare(t.Seq, o.Seq))
}

// Join puts a delivery into the line of its key, unless it is there already, and
// tells whether it is its turn. busy is asked whether the one whose turn it is
// now is being delivered: then nobody goes before it.
func (l *Turns) Join(key uint64, t Turn, busy func(Turn) bool) bool {
	if l.first == nil {
		l.first, l.rest = map[uint64]Turn{}, map[uint64][]Turn{}
	}
	first, taken := l.first[key]
	switch {
	case !taken, first == t:
		l.first[key] = t
		return true
	case t.compare(first) < 0 && !busy(first):
		l.first[key] = t
		t = first
		l.insert(key, t)
		return true
	}
	l.insert(key, t)
	return false
}

func (l *Turns) insert(key uint64, t Turn) {
	rest := l.rest[key]
	at, there := slices.BinarySearchFunc(rest, t, Turn.compare)
	if !there {
		l.rest[key] = slices.Insert(rest, at, t)
	}
}

// Leave takes a delivery out of the line. If it was its turn, it gives the one
// whose turn it is now.
func (l *Turns) Leave(key uint64, t Turn) (next Turn, ok bool) {
	rest := l.rest[key]
	if l.first[key] != t {
		if at, there := slices.BinarySearchFunc(rest, t, Turn.compare); there {
			l.keep(key, slices.Delete(rest, at, at+1))
		}
		return Turn{}, false
	}
	if len(rest) == 0 {
		delete(l.first, key)
		return Turn{}, false
	}
	l.first[key] = rest[0]
	l.keep(key, rest[1:])
	return l.first[key], true
}

func (l *Turns) keep(key uint64, rest []Turn) {
	if len(rest) == 0 {
		delete(l.rest, key)
		return
	}
	l.rest[key] = rest
}

// Is tells whether it is this delivery's turn.
func (l *Turns) Is(key uint64, t Turn) bool { return l.first[key] == t }

// Waited tells whether somebody stands behind the one whose turn it is.
func (l *Turns) Waited(key uint64) bool { return len(l.rest[key]) > 0 }
