package local

import (
	"encoding/binary"
	"errors"
)

// errWire is returned when a record or a page is not what this package wrote.
// Checksums have passed by then, so it means a newer version or a bug.
var errWire = errors.New("malformed record")

// writer appends values; reader takes them off again. Both are shared by the
// journal's records and the index's pages.
type writer struct{ b []byte }

func (w *writer) byte(v byte)      { w.b = append(w.b, v) }
func (w *writer) uint(v uint64)    { w.b = binary.AppendUvarint(w.b, v) }
func (w *writer) int(v int64)      { w.b = binary.AppendVarint(w.b, v) }
func (w *writer) raw(v []byte)     { w.b = append(w.b, v...) }
func (w *writer) fixed64(v uint64) { w.b = binary.BigEndian.AppendUint64(w.b, v) }

func (w *writer) string(v string) {
	w.uint(uint64(len(v)))
	w.b = append(w.b, v...)
}

// reader takes values off the front; the first one that does not fit sets bad
// and empties it, so callers check err once at the end.
type reader struct {
	b    []byte
	kind byte // of the record that is read
	bad  bool
}

func (r *reader) err() error {
	if r.bad {
		return errWire
	}
	return nil
}

func (r *reader) fail() { r.b, r.bad = nil, true }

func (r *reader) take(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.fail()
		return nil
	}
	v := r.b[:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) byte() byte {
	if v := r.take(1); v != nil {
		return v[0]
	}
	return 0
}

func (r *reader) uint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) int() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) fixed64() uint64 {
	if v := r.take(8); v != nil {
		return binary.BigEndian.Uint64(v)
	}
	return 0
}

func (r *reader) bytes() []byte  { return r.take(r.uint()) }
func (r *reader) string() string { return string(r.bytes()) }

// count reads a number of items of which each takes at least one byte, so that
// a damaged count cannot ask for more memory than there is input.
func (r *reader) count() int {
	n := r.uint()
	if n > uint64(len(r.b)) {
		r.fail()
		return 0
	}
	return int(n)
}
