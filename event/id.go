package event

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// ID is an event's own ID, a UUIDv7 (RFC 9562 §5.7).
type ID [16]byte

// ErrID is returned when a string is not an event ID.
var ErrID = errors.New("not an event ID")

// NewID makes the ID of the event with the given sequence number. The lower
// eight bytes carry the number, scrambled with salt, so that a store finds an
// event by its ID without keeping an index of IDs (RFC 9562 §6.2 leaves these
// bits to the implementation). random fills the twelve bits behind the time.
func NewID(at time.Time, seq, salt uint64, random uint16) ID {
	var id ID
	ms := uint64(at.UnixMilli())
	binary.BigEndian.PutUint64(id[:8], ms<<16|0x7000|uint64(random&0x0fff))
	binary.BigEndian.PutUint64(id[8:], 1<<63|(scramble(seq)^salt)&idMask)
	return id
}

// Seq gives back the sequence number that [NewID] put into the ID, given the same salt.
func (id ID) Seq(salt uint64) uint64 {
	return unscramble((binary.BigEndian.Uint64(id[8:]) ^ salt) & idMask)
}

// Time is when the ID was made, to the millisecond.
func (id ID) Time() time.Time {
	return time.UnixMilli(int64(binary.BigEndian.Uint64(id[:8]) >> 16))
}

// String gives the usual form, 36 characters.
func (id ID) String() string { return uuid.UUID(id).String() }

// IsZero tells whether the ID is unset.
func (id ID) IsZero() bool { return id == ID{} }

// ParseID reads what [ID.String] wrote.
func ParseID(s string) (ID, error) {
	u, err := uuid.Parse(s)
	if err != nil || len(s) != 36 || u.Version() != 7 {
		return ID{}, fmt.Errorf("%q: %w", s, ErrID)
	}
	return ID(u), nil
}

// idMask leaves the two bits of the variant alone.
const idMask = 1<<62 - 1

// scrambleFactor is odd, so multiplication modulo 2^62 can be undone; it
// spreads consecutive numbers over all bits, so IDs do not look like a counter.
const scrambleFactor = 0x1e3779b97f4a7c15

func scramble(seq uint64) uint64 { return seq * scrambleFactor & idMask }

func unscramble(v uint64) uint64 { return v * scrambleInverse & idMask }

// scrambleInverse is the inverse of scrambleFactor modulo 2^64 (and so modulo
// 2^62), found by Newton's iteration, which doubles the correct bits each time.
var scrambleInverse = func() uint64 {
	var f, x uint64 = scrambleFactor, scrambleFactor
	for range 6 {
		x *= 2 - f*x
	}
	return x
}()
