package history

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// ErrForm is returned for bytes that are no history of this version, whole.
var ErrForm = errors.New("not a history")

// magic begins a file; its last byte is the form's number.
const magic = "webhooks history\x01"

var table = crc32.MakeTable(crc32.Castagnoli)

// Bounds of what is read.
const (
	maxName  = 256
	maxLines = 16
	// lastStep is beyond every step that a clock can have.
	lastStep = 1 << 40
)

// Encode gives the history as bytes. Points are numbered from the time of 1970,
// so that one who reads it later knows what is still within a span.
func (h *History) Encode() []byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	b := []byte(magic)
	for _, step := range h.latest {
		b = binary.AppendVarint(b, step)
	}
	b = binary.AppendUvarint(b, uint64(len(h.series)))
	for _, name := range slices.SortedFunc(maps.Keys(h.series), func(x, y Name) int {
		return strings.Compare(x.Source+"/"+x.Destination, y.Source+"/"+y.Destination)
	}) {
		b = h.series[name].append(b)
	}
	b = binary.AppendUvarint(b, uint64(len(h.changes)))
	for _, c := range h.changes {
		b = binary.AppendVarint(b, c.At.UnixNano())
		for _, v := range []string{c.Source, c.Destination, c.State, c.Why} {
			b = appendText(b, v)
		}
	}
	return seal(b)
}

// seal adds the checksum.
func seal(b []byte) []byte { return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, table)) }

func appendText(b []byte, v string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(v))), v...)
}

func (s *series) append(b []byte) []byte {
	b = appendText(appendText(appendText(b, s.name.Source), s.name.Destination), s.state)
	b = binary.AppendVarint(b, s.seen.UnixNano())
	b = binary.AppendUvarint(b, uint64(s.counts))
	b = binary.AppendUvarint(b, uint64(len(s.lines[0])))
	for _, lines := range s.lines {
		for _, line := range lines {
			for _, v := range line {
				b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
			}
		}
	}
	return b
}

// Decode reads what [History.Encode] gave.
func Decode(b []byte) (*History, error) {
	if len(b) < len(magic)+4 || string(b[:len(magic)]) != magic {
		return nil, fmt.Errorf("%w of this version", ErrForm)
	}
	end := len(b) - 4
	if crc32.Checksum(b[:end], table) != binary.BigEndian.Uint32(b[end:]) {
		return nil, fmt.Errorf("%w: its checksum is wrong", ErrForm)
	}
	r := &reader{b: b[len(magic):end]}
	h := New()
	for i := range h.latest {
		if h.latest[i] = r.int(); h.latest[i] < 0 || h.latest[i] > lastStep {
			r.fail()
		}
	}
	for range r.count(MaxSeries) {
		if s := r.series(); !r.bad {
			h.series[s.name] = s
		}
	}
	for range r.count(MaxChanges) {
		h.changes = append(h.changes, Change{At: time.Unix(0, r.int()), Name: Name{r.text(), r.text()}, State: r.text(), Why: r.text()})
	}
	if r.bad || len(r.b) > 0 {
		return nil, fmt.Errorf("%w: it is cut short, or too long", ErrForm)
	}
	return h, nil
}

// reader takes bytes apart. After the first fault it gives zeros, and is bad.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) fail() {
	r.bad, r.b = true, nil
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

func (r *reader) count(most uint64) uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || v > most {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) take(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.fail()
		return nil
	}
	v := r.b[:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) text() string { return string(r.take(r.count(maxName))) }

func (r *reader) series() *series {
	name := Name{r.text(), r.text()}
	state, seen := r.text(), time.Unix(0, r.int())
	counts, lines := r.count(maxLines), r.count(maxLines)
	size := uint64(0)
	for _, span := range spans {
		size += 4 * lines * uint64(span.Points)
	}
	if r.bad || counts > lines || size > uint64(len(r.b)) {
		r.fail()
		return nil
	}
	s := newSeries(name, int(counts), int(lines-counts))
	s.state, s.seen = state, seen
	for _, lines := range s.lines {
		for _, line := range lines {
			values := r.take(uint64(4 * len(line)))
			for i := range values[:len(values)/4*4] {
				if i%4 == 0 {
					line[i/4] = math.Float32frombits(binary.LittleEndian.Uint32(values[i:]))
				}
			}
		}
	}
	return s
}
