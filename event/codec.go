package event

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"
)

// ErrCodec is returned when stored bytes are not what this package wrote.
var ErrCodec = errors.New("malformed stored event")

// codecVersion is the first byte of a stored event. Fields are only ever added
// at the end: an older reader ignores what it does not know.
const codecVersion = 1

const (
	flagTLS = 1 << iota
	flagTrustedProxy
)

// AppendBinary appends the stored form of the event. ID and Seq are not part
// of it: the store stamps them when it puts its record together.
func (e *Event) AppendBinary(b []byte) []byte {
	b = append(b, codecVersion)
	var flags byte
	if e.TLS {
		flags |= flagTLS
	}
	if e.TrustedProxy {
		flags |= flagTrustedProxy
	}
	b = append(b, flags)
	b = binary.AppendVarint(b, e.Received.UnixNano())
	for _, s := range e.strings() {
		b = appendString(b, *s)
	}
	b = appendHeader(b, e.Header)
	b = appendString(b, e.Body)
	b = binary.AppendUvarint(b, uint64(len(e.Proof)))
	for _, name := range e.Proof {
		b = appendString(b, name)
	}
	return b
}

// BinarySize is an upper bound of what [Event.AppendBinary] appends.
func (e *Event) BinarySize() int {
	n := 16 + binary.MaxVarintLen64*3 + len(e.Body)
	for _, name := range e.Proof {
		n += len(name) + binary.MaxVarintLen32
	}
	for _, s := range e.strings() {
		n += len(*s) + binary.MaxVarintLen32
	}
	for k, vs := range e.Header {
		n += len(k) + 2*binary.MaxVarintLen32
		for _, v := range vs {
			n += len(v) + binary.MaxVarintLen32
		}
	}
	return n
}

// Decode reads what [Event.AppendBinary] wrote. The body and the strings are
// copies: b may be reused.
func Decode(b []byte) (*Event, error) {
	r := reader{b: b}
	if v := r.byte(); v != codecVersion {
		return nil, fmt.Errorf("version %d: %w", v, ErrCodec)
	}
	var e Event
	flags := r.byte()
	e.TLS, e.TrustedProxy = flags&flagTLS != 0, flags&flagTrustedProxy != 0
	e.Received = time.Unix(0, r.varint())
	for _, s := range e.strings() {
		*s = string(r.bytes())
	}
	e.Header = r.header()
	e.Body = slices.Clone(r.bytes())
	e.Proof = r.list()
	if r.bad {
		return nil, ErrCodec
	}
	return &e, nil
}

// strings lists the string fields in the order in which they are stored.
func (e *Event) strings() []*string {
	return []*string{
		&e.Source, &e.Provider, &e.ProviderID, &e.Type, &e.Secret, &e.Method, &e.URI,
		&e.OriginalURI, &e.Proto, &e.Host, &e.RemoteAddr, &e.ClientIP,
	}
}

// AppendBinary appends the stored form of the attempt.
func (a *Attempt) AppendBinary(b []byte) []byte {
	b = append(b, codecVersion)
	b = appendString(b, a.Destination)
	b = binary.AppendVarint(b, int64(a.Number))
	b = binary.AppendVarint(b, a.At.UnixNano())
	b = binary.AppendVarint(b, int64(a.Duration))
	b = binary.AppendVarint(b, int64(a.Status))
	b = appendString(b, a.Error)
	b = appendHeader(b, a.Header)
	return appendString(b, a.Answer)
}

// DecodeAttempt reads what [Attempt.AppendBinary] wrote.
func DecodeAttempt(b []byte) (Attempt, error) {
	r := reader{b: b}
	if v := r.byte(); v != codecVersion {
		return Attempt{}, fmt.Errorf("attempt version %d: %w", v, ErrCodec)
	}
	var a Attempt
	a.Destination = string(r.bytes())
	a.Number = int(r.varint())
	a.At = time.Unix(0, r.varint())
	a.Duration = time.Duration(r.varint())
	a.Status = int(r.varint())
	a.Error = string(r.bytes())
	a.Header = r.header()
	a.Answer = slices.Clone(r.bytes())
	if r.bad {
		return Attempt{}, fmt.Errorf("attempt: %w", ErrCodec)
	}
	return a, nil
}

func appendString[S ~string | ~[]byte](b []byte, s S) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// appendHeader writes names in sorted order, so that equal events have equal
// bytes; the values of one name keep their order.
func appendHeader(b []byte, h http.Header) []byte {
	b = binary.AppendUvarint(b, uint64(len(h)))
	for _, name := range slices.Sorted(maps.Keys(h)) {
		b = appendString(b, name)
		b = binary.AppendUvarint(b, uint64(len(h[name])))
		for _, v := range h[name] {
			b = appendString(b, v)
		}
	}
	return b
}

// reader takes values off the front; the first one that does not fit sets bad
// and empties it, so callers check once at the end.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) fail() { r.b, r.bad = nil, true }

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.fail()
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) bytes() []byte {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.fail()
		return nil
	}
	s := r.b[:n]
	r.b = r.b[n:]
	return s
}

func (r *reader) list() []string {
	n := r.uvarint()
	if n == 0 || n > uint64(len(r.b)) {
		if n > 0 {
			r.fail()
		}
		return nil
	}
	list := make([]string, n)
	for i := range list {
		list[i] = string(r.bytes())
	}
	return list
}

func (r *reader) header() http.Header {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.fail()
		return nil
	}
	h := make(http.Header, n)
	for range n {
		name := string(r.bytes())
		count := r.uvarint()
		if r.bad || count > uint64(len(r.b)) {
			r.fail()
			return nil
		}
		values := make([]string, 0, count)
		for range count {
			values = append(values, string(r.bytes()))
		}
		h[name] = values
	}
	return h
}
