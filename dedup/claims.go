package dedup

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4"
)

// ClaimKey names a claim in the index: a keyed hash of [Identity]'s key, so
// that the index shows no provider IDs.
type ClaimKey [16]byte

// Claim is what the index knows of a claimed provider ID. Expiry is data, in
// journal time, and never left to Badger's own TTL: a clock that jumps must not
// open the door to duplicates.
type Claim struct {
	// Seq is the event that made the claim.
	Seq uint64
	// Expires is when the window has passed, in Unix milliseconds of journal time.
	Expires int64
	// Digest is the short digest of the event's body.
	Digest uint64
}

// claimPrefix is the first byte of a claim's key in Badger.
const claimPrefix = 'c'

const claimSize = 24

// Claims is the table of claims, in a Badger that is shared with the rest of
// the index. It is derived from the journal and can be rebuilt from it.
type Claims struct {
	db *badger.DB
}

// NewClaims gives the table that lives in db.
func NewClaims(db *badger.DB) *Claims { return &Claims{db: db} }

// Get looks a claim up.
func (c *Claims) Get(key ClaimKey) (claim Claim, found bool, err error) {
	var k [1 + len(key)]byte
	k[0] = claimPrefix
	copy(k[1:], key[:])
	err = c.db.View(func(txn *badger.Txn) error {
		item, err := txn.Get(k[:])
		if errors.Is(err, badger.ErrKeyNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		found = true
		return item.Value(func(v []byte) error {
			claim, err = decodeClaim(v)
			return err
		})
	})
	if err != nil {
		return Claim{}, false, fmt.Errorf("looking up a claim: %w", err)
	}
	return claim, found, nil
}

// Put adds the claim to a batch of writes.
func (c *Claims) Put(batch *badger.WriteBatch, key ClaimKey, claim Claim) error {
	k := make([]byte, 0, 1+len(key))
	k = append(append(k, claimPrefix), key[:]...)
	v := make([]byte, 0, claimSize)
	v = binary.BigEndian.AppendUint64(v, claim.Seq)
	v = binary.BigEndian.AppendUint64(v, uint64(claim.Expires))
	v = binary.BigEndian.AppendUint64(v, claim.Digest)
	return batch.Set(k, v)
}

// Sweep removes the claims that over says are over. It reads the whole table
// in order, and may be stopped through ctx at any point.
func (c *Claims) Sweep(ctx context.Context, over func(ClaimKey, Claim) bool) (removed int, err error) {
	var doomed [][]byte
	err = c.db.View(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.IteratorOptions{PrefetchValues: true, PrefetchSize: 256, Prefix: []byte{claimPrefix}})
		defer it.Close()
		for it.Rewind(); it.Valid() && ctx.Err() == nil && len(doomed) < sweepMost; it.Next() {
			item := it.Item()
			var claim Claim
			if err := item.Value(func(v []byte) (err error) { claim, err = decodeClaim(v); return err }); err != nil {
				return err
			}
			if over(ClaimKey(item.Key()[1:]), claim) {
				doomed = append(doomed, item.KeyCopy(nil))
			}
		}
		return ctx.Err()
	})
	if err != nil {
		return 0, fmt.Errorf("sweeping claims: %w", err)
	}
	batch := c.db.NewWriteBatch()
	defer batch.Cancel()
	for _, k := range doomed {
		if err := batch.Delete(k); err != nil {
			return 0, fmt.Errorf("sweeping claims: %w", err)
		}
	}
	if err := batch.Flush(); err != nil {
		return 0, fmt.Errorf("sweeping claims: %w", err)
	}
	return len(doomed), nil
}

// sweepMost bounds one sweep's memory: the rest waits for the next one.
const sweepMost = 1 << 18

func decodeClaim(v []byte) (Claim, error) {
	if len(v) != claimSize {
		return Claim{}, fmt.Errorf("a claim of %d bytes", len(v))
	}
	return Claim{
		Seq:     binary.BigEndian.Uint64(v),
		Expires: int64(binary.BigEndian.Uint64(v[8:])),
		Digest:  binary.BigEndian.Uint64(v[16:]),
	}, nil
}
