package journal

import (
	"bytes"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"testing"
	"time"
)

func testHeader() *header {
	h := &header{
		May: 1 << 40, Segment: 7, Created: time.Unix(1, 2).UTC(), Sequence: 3, LSN: 4,
		Time: time.Unix(5, 6).UTC(), Allocated: 1 << 20, Begun: segmentData,
		Ends: []end{{6, 9000}, {2, 8192}},
	}
	copy(h.Journal[:], "the journal's id")
	copy(h.Salt[:], "thirty-two bytes of salt, always")
	return h
}

// The format is for life: what this release writes, every later one must read.
func TestTheFormatIsWhatItWas(t *testing.T) {
	t.Parallel()
	b := testHeader().encode()
	const wantHeader = 0xdac402df
	if sum := crc32.ChecksumIEEE(b); sum != wantHeader {
		t.Errorf("the segment header has changed: %#x, want %#x", sum, uint32(wantHeader))
	}
	s := newSeal(7, testHeader().Salt)
	b = append(make([]byte, frameSize+recordSize), "payload"...)
	s.putRecord(b, frameSize, 8192+frameSize)
	s.putFrame(b, &frame{Records: 1, Sequence: 3, Offset: 8192, Durable: 8192, Time: time.Unix(5, 6), LSN: 4})
	const wantFrame = "7468697274792d7410dc98667937a9860f00000001000000" +
		"030000000000000007000000000000000020000000000000002000000000000006f2052a01000000" +
		"040000000000000000000000000000000000000000000000000000000000000007000000563c3dac" +
		"7061796c6f6164"
	if got := hex.EncodeToString(b); got != wantFrame {
		t.Errorf("a frame has changed:\n%s, want\n%s", got, wantFrame)
	}
}

func TestAHeaderOfALaterReleaseIsRefusedAndWhatMayBeIgnoredIsNot(t *testing.T) {
	t.Parallel()
	h := testHeader()
	got, err := decodeHeader(h.encode())
	if err != nil || got.Segment != 7 || len(got.Ends) != 2 || got.May != h.May {
		t.Fatalf("%+v, %v", got, err)
	}
	h.Must = 1
	if _, err := decodeHeader(h.encode()); !errors.Is(err, ErrFormat) {
		t.Fatalf("a feature that must be understood: %v", err)
	}
	b := testHeader().encode()
	b[8]++
	if _, err := decodeHeader(b); errors.Is(err, ErrFormat) || err == nil {
		t.Fatalf("a flipped version is damage, not a later release: %v", err)
	}
	later := headerSum(b)
	b[12], b[13], b[14], b[15] = byte(later), byte(later>>8), byte(later>>16), byte(later>>24)
	if _, err := decodeHeader(b); !errors.Is(err, ErrFormat) {
		t.Fatalf("a later version: %v", err)
	}
}

// A frame is taken only where its salt, its segment and its offset fit.
func TestAFrameOfAnotherPlaceOrSaltIsNoFrame(t *testing.T) {
	t.Parallel()
	salt := testHeader().Salt
	s := newSeal(7, salt)
	b := make([]byte, frameSize+20)
	s.putFrame(b, &frame{Sequence: 1, Offset: 9000, Durable: 8192, Time: time.Unix(5, 6), LSN: 1})
	if _, err := s.frame(b, 9000); err != nil {
		t.Fatal(err)
	}
	if _, err := s.frame(b, 9001); err == nil {
		t.Error("taken at another offset")
	}
	if _, err := newSeal(8, salt).frame(b, 9000); err == nil {
		t.Error("taken in another segment")
	}
	salt[saltSize-1]++ // not in the tag: the seed alone differs
	if _, err := newSeal(7, salt).frame(b, 9000); err == nil {
		t.Error("taken with another salt")
	}
}

// Whatever lies on the disk, a scan ends, stays inside, and takes nothing that
// the segment's salt has not signed.
func FuzzScan(f *testing.F) {
	s := newSeal(7, testHeader().Salt)
	whole := func(offset int64, sequence uint64, payload string) []byte {
		b := append(make([]byte, frameSize+recordSize), payload...)
		s.putRecord(b, frameSize, offset+frameSize)
		s.putFrame(b, &frame{Records: 1, Sequence: sequence, Offset: offset, Durable: segmentData, Time: time.Unix(5, 6), LSN: sequence})
		return b
	}
	first := whole(segmentData, 1, "payload")
	second := whole(segmentData+int64(len(first)), 2, "again")
	f.Add(append(bytes.Clone(first), second...), 3, byte(1))
	f.Add(append(bytes.Clone(first), second...), 17, byte(0x80))
	f.Add(append(bytes.Clone(first), second...), frameSize+1, byte(4))
	f.Add(bytes.Repeat(s.tag[:], 50), 0, byte(0))
	f.Fuzz(func(t *testing.T, data []byte, at int, flip byte) {
		if len(data) > 0 && at >= 0 {
			data = bytes.Clone(data)
			data[at%len(data)] ^= flip
		}
		file := bytes.NewReader(append(make([]byte, segmentData), data...))
		limit := int64(segmentData + len(data))
		last, sequence := int64(segmentData), uint64(0)
		err := scan(file, s, segmentData, limit, 0, func(v found) error {
			if v.at < last || v.body == nil && v.gap <= 0 {
				t.Fatalf("went from %d to %+v", last, v)
			}
			if last = v.at + v.gap; v.body != nil {
				if v.frame.Sequence <= sequence {
					t.Fatalf("sequence %d after %d", v.frame.Sequence, sequence)
				}
				last, sequence = v.frame.end(), v.frame.Sequence
				_, _ = s.records(&v.frame, v.body, func(_ uint64, p Position, payload []byte) error {
					if !v.whole && string(payload) != "payload" && string(payload) != "again" {
						t.Fatalf("took %q from a damaged batch", payload)
					}
					return nil
				})
			}
			if last > limit {
				t.Fatalf("went to %d, behind %d", last, limit)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}
