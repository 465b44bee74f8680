package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"time"
)

// The format, for life. All numbers are little-endian.
//
// A segment begins with its header, twice, each copy on a page of its own: one
// flipped bit must not cost a segment. Frames follow, one per batch, without
// gaps; a frame is a fixed header and its records. What lies behind the last
// frame is zero.
//
// Encryption, when it comes, sets a must-understand bit, names its key in the
// header, derives the segment's key from that and the salt, takes the nonce
// from the offset (no offset of a segment is ever written twice with other
// content that counts) and finds room for its tag in the frame's header and
// behind each record. Checksums cover what is stored, so that recovery needs
// no key.
const (
	formatVersion = 1

	headerSize  = 4096           // one copy of the segment's header
	segmentData = 2 * headerSize // where the first frame lies

	frameSize  = 96 // the fixed part of a frame
	recordSize = 8  // length and checksum before each payload

	saltSize = 32
	tagSize  = 8 // the first bytes of the salt begin each frame

	endsOffset = 160
	maxEnds    = (headerSize - endsOffset) / 16

	// understood are the must-understand features this release knows: none.
	understood uint64 = 0
)

// magic begins a segment. The line break shows a file mangled by text tools.
var magic = [8]byte{'c', 'w', 'j', 'r', 'n', 'l', '\r', '\n'}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var (
	errFrame  = errors.New("no valid frame")
	errHeader = errors.New("no valid segment header")
)

// end says where a segment ends, whatever lies behind.
type end struct {
	Segment uint64
	Offset  int64
}

// header is what the first page of a segment says.
type header struct {
	Must, May uint64 // feature bits: must understand, may ignore
	Journal   [16]byte
	Segment   uint64
	Created   time.Time
	Salt      [saltSize]byte
	KeyID     [16]byte // of the encryption key; zero: none
	Sequence  uint64   // of the first batch
	LSN       uint64   // of the first record
	Time      time.Time
	Allocated int64
	Begun     int64 // up to here it was synced before it got its name
	Ends      []end // the segment before, and those older ones that hold void frames
}

func (h *header) encode() []byte {
	b := make([]byte, headerSize)
	le := binary.LittleEndian
	copy(b, magic[:])
	le.PutUint32(b[8:], formatVersion)
	le.PutUint64(b[16:], h.Must)
	le.PutUint64(b[24:], h.May)
	copy(b[32:], h.Journal[:])
	le.PutUint64(b[48:], h.Segment)
	putInt64(b[56:], h.Created.UnixNano())
	copy(b[64:], h.Salt[:])
	copy(b[96:], h.KeyID[:])
	le.PutUint64(b[112:], h.Sequence)
	le.PutUint64(b[120:], h.LSN)
	putInt64(b[128:], h.Time.UnixNano())
	putInt64(b[136:], h.Allocated)
	putInt64(b[144:], h.Begun)
	n := min(len(h.Ends), maxEnds)
	le.PutUint32(b[152:], length(n))
	for i, e := range h.Ends[:n] {
		le.PutUint64(b[endsOffset+16*i:], e.Segment)
		putInt64(b[endsOffset+16*i+8:], e.Offset)
	}
	le.PutUint32(b[12:], headerSum(b))
	return b
}

// headerSum is the checksum of a segment header, its own four bytes left out.
func headerSum(b []byte) uint32 {
	sum := crc32.Update(0, castagnoli, b[:12])
	return crc32.Update(sum, castagnoli, b[16:headerSize])
}

// decodeHeader reads one copy of a segment's header. A header of a later
// release is ErrFormat, a damaged one errHeader.
func decodeHeader(b []byte) (*header, error) {
	le := binary.LittleEndian
	if len(b) < headerSize || [8]byte(b[:8]) != magic || le.Uint32(b[12:]) != headerSum(b) {
		return nil, errHeader
	}
	if v := le.Uint32(b[8:]); v != formatVersion {
		return nil, fmt.Errorf("%w: version %d", ErrFormat, v)
	}
	h := &header{
		Must:      le.Uint64(b[16:]),
		May:       le.Uint64(b[24:]),
		Journal:   [16]byte(b[32:48]),
		Segment:   le.Uint64(b[48:]),
		Created:   unixNano(getInt64(b[56:])),
		Salt:      [saltSize]byte(b[64:96]),
		KeyID:     [16]byte(b[96:112]),
		Sequence:  le.Uint64(b[112:]),
		LSN:       le.Uint64(b[120:]),
		Time:      unixNano(getInt64(b[128:])),
		Allocated: getInt64(b[136:]),
	}
	if unknown := h.Must &^ understood; unknown != 0 {
		return nil, fmt.Errorf("%w: features %#x", ErrFormat, unknown)
	}
	h.Begun = getInt64(b[144:])
	n := le.Uint32(b[152:])
	if n > maxEnds {
		return nil, errHeader
	}
	for i := range int(n) {
		h.Ends = append(h.Ends, end{
			Segment: le.Uint64(b[endsOffset+16*i:]),
			Offset:  getInt64(b[endsOffset+16*i+8:]),
		})
	}
	return h, nil
}

func unixNano(n int64) time.Time { return time.Unix(0, n).UTC() }

func putInt64(b []byte, n int64) {
	binary.LittleEndian.PutUint64(b, uint64(n))
}

func getInt64(b []byte) int64 {
	return int64(binary.LittleEndian.Uint64(b))
}

// length is that of a body or payload: below maxEntry and MaxBatch, far from 32
// bits.
func length(n int) uint32 {
	return uint32(n)
}

// seal is what the salt of a segment means for its frames: the bytes each
// begins with, and the seed of every checksum. Both are secret: who sends a
// body cannot put a frame into it that recovery would take.
type seal struct {
	segment uint64
	tag     [tagSize]byte
	seed    uint32
}

func newSeal(segment uint64, salt [saltSize]byte) seal {
	return seal{
		segment: segment,
		tag:     [tagSize]byte(salt[:tagSize]),
		seed:    crc32.Checksum(salt[tagSize:], castagnoli),
	}
}

// frame is the fixed part of a batch.
type frame struct {
	Sum      uint32 // of this fixed part, the body's checksum included
	BodySum  uint32
	Length   uint32 // of the body
	Records  uint32
	Sequence uint64
	Offset   int64
	Durable  int64 // up to here the segment was synced when the frame was written
	Time     time.Time
	LSN      uint64 // of the first record
}

func (f *frame) end() int64 { return f.Offset + frameSize + int64(f.Length) }

// lastLSN is that of the last record, or of the last one before an empty batch.
func (f *frame) lastLSN() uint64 { return f.LSN + uint64(f.Records) - 1 }

func (f *frame) mark(journal [16]byte, segment uint64) Mark {
	return Mark{
		Journal: journal, Segment: segment, Offset: f.Offset,
		Sequence: f.Sequence, LSN: f.lastLSN(), CRC: f.Sum,
	}
}

// putFrame fills the fixed part at the beginning of b; the body, complete,
// follows it. It sets the frame's checksums.
func (s seal) putFrame(b []byte, f *frame) {
	le := binary.LittleEndian
	f.Length = length(len(b) - frameSize)
	f.BodySum = crc32.Update(s.seed, castagnoli, b[frameSize:])
	clear(b[:frameSize])
	copy(b, s.tag[:])
	le.PutUint32(b[12:], f.BodySum)
	le.PutUint32(b[16:], f.Length)
	le.PutUint32(b[20:], f.Records)
	le.PutUint64(b[24:], f.Sequence)
	le.PutUint64(b[32:], s.segment)
	putInt64(b[40:], f.Offset)
	putInt64(b[48:], f.Durable)
	putInt64(b[56:], f.Time.UnixNano())
	le.PutUint64(b[64:], f.LSN)
	f.Sum = crc32.Update(s.seed, castagnoli, b[12:frameSize])
	le.PutUint32(b[8:], f.Sum)
}

// frame reads the fixed part that lies at offset. Everything in it has been
// checked but the body.
func (s seal) frame(b []byte, offset int64) (frame, error) {
	le := binary.LittleEndian
	if len(b) < frameSize || [tagSize]byte(b[:tagSize]) != s.tag {
		return frame{}, errFrame
	}
	f := frame{
		Sum:      le.Uint32(b[8:]),
		BodySum:  le.Uint32(b[12:]),
		Length:   le.Uint32(b[16:]),
		Records:  le.Uint32(b[20:]),
		Sequence: le.Uint64(b[24:]),
		Offset:   getInt64(b[40:]),
		Durable:  getInt64(b[48:]),
		Time:     unixNano(getInt64(b[56:])),
		LSN:      le.Uint64(b[64:]),
	}
	switch {
	case f.Sum != crc32.Update(s.seed, castagnoli, b[12:frameSize]),
		le.Uint64(b[32:]) != s.segment,
		f.Offset != offset,
		f.Durable < segmentData || f.Durable > offset,
		uint64(f.Records)*recordSize > uint64(f.Length),
		f.LSN == 0,
		f.LSN > math.MaxUint64-uint64(f.Records):
		return frame{}, errFrame
	}
	return f, nil
}

// whole reports whether body is what the frame was written with.
func (s seal) whole(f *frame, body []byte) bool {
	return len(body) == int(f.Length) && crc32.Update(s.seed, castagnoli, body) == f.BodySum
}

// putRecord fills the eight bytes before a payload that ends b and begins
// behind them at start; the record lies at offset in the segment.
func (s seal) putRecord(b []byte, start int, offset int64) {
	payload := b[start+recordSize:]
	binary.LittleEndian.PutUint32(b[start:], length(len(payload)))
	binary.LittleEndian.PutUint32(b[start+4:], s.recordSum(payload, offset))
}

// recordSum covers the record's place and length as well: a record is never
// taken for another.
func (s seal) recordSum(payload []byte, offset int64) uint32 {
	sum := s.seed
	var place [12]byte
	putInt64(place[:], offset)
	binary.LittleEndian.PutUint32(place[8:], length(len(payload)))
	for _, c := range place { // by hand: the slice would escape
		sum = ^sum
		sum = castagnoli[byte(sum&0xff)^c] ^ sum>>8
		sum = ^sum
	}
	return crc32.Update(sum, castagnoli, payload)
}

// record takes the record at the beginning of b, which lies at offset.
func (s seal) record(b []byte, offset int64) (payload []byte, err error) {
	if len(b) < recordSize {
		return nil, errFrame
	}
	n := binary.LittleEndian.Uint32(b)
	if int64(n) > int64(len(b)-recordSize) {
		return nil, errFrame
	}
	payload = b[recordSize : recordSize+int(n) : recordSize+int(n)]
	if binary.LittleEndian.Uint32(b[4:]) != s.recordSum(payload, offset) {
		return nil, errFrame
	}
	return payload, nil
}
