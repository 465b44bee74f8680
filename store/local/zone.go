package local

import (
	"hash/fnv"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/store"
)

// zone says what a page's rows can be found by, in a quarter of a kilobyte. A
// search reads the zones, and of the pages only those whose zone does not rule
// out that they hold what is looked for. A zone may say yes wrongly, seldom, and
// never no.
type zone struct {
	// from and to are the first and the last time of receipt.
	from, to time.Time
	// sources and types are hashed.
	sources, types map[uint32]bool
	// ids is a Bloom filter of the providers' IDs.
	ids bloom
}

func newZone() zone { return zone{sources: map[uint32]bool{}, types: map[uint32]bool{}} }

func (z *zone) add(r *row) {
	if z.from.IsZero() || r.received.Before(z.from) {
		z.from = r.received
	}
	if r.received.After(z.to) {
		z.to = r.received
	}
	z.sources[hash32(r.source)] = true
	z.types[hash32(r.typ)] = true
	z.ids.add(r.providerID)
}

// mayHold tells whether one of the rows may fit what the filter says of the
// event itself.
func (z *zone) mayHold(f store.Filter) bool {
	switch {
	case !f.Since.IsZero() && z.to.Before(f.Since),
		!f.Until.IsZero() && !z.from.Before(f.Until),
		f.Type != "" && !z.types[hash32(f.Type)],
		f.ID != "" && !z.ids.mayHold(f.ID):
		return false
	}
	return true
}

// mayHold tells whether one of the page's rows may fit the filter. wanted has the
// destinations of which a delivery is looked for.
func (s *summary) mayHold(f store.Filter, wanted map[uint64]bool) bool {
	if !s.zone.mayHold(f) {
		return false
	}
	if f.Destination == "" && f.State == 0 && (f.Source == "" || s.zone.sources[hash32(f.Source)]) {
		return true
	}
	for dest, counts := range s.counts {
		if wanted[dest] && (f.State == 0 || counts[f.State] > 0) {
			return true
		}
	}
	return false
}

func (z *zone) append(w *writer) {
	w.time(z.from)
	w.time(z.to)
	for _, set := range []map[uint32]bool{z.sources, z.types} {
		w.uint(uint64(len(set)))
		for h := range set {
			w.uint(uint64(h))
		}
	}
	w.raw(z.ids[:])
}

func (r *reader) zone() zone {
	z := newZone()
	z.from, z.to = r.time(), r.time()
	for _, set := range []map[uint32]bool{z.sources, z.types} {
		for range r.count() {
			set[uint32(r.uint())] = true
		}
	}
	copy(z.ids[:], r.take(uint64(len(z.ids))))
	return z
}

// bloom has sixteen bits for each of a page's rows, of which each ID sets six: of
// a thousand full pages that do not have an ID, less than one seems to.
type bloom [pageRows * bloomBits / 8]byte

const (
	bloomBits   = 16
	bloomHashes = 6
)

func (b *bloom) add(id string) {
	for _, bit := range bloomOf(id) {
		b[bit/8] |= 1 << (bit % 8)
	}
}

func (b *bloom) mayHold(id string) bool {
	for _, bit := range bloomOf(id) {
		if b[bit/8]&(1<<(bit%8)) == 0 {
			return false
		}
	}
	return true
}

// bloomOf gives an ID's bits: from two halves of one hash, as Kirsch and
// Mitzenmacher have shown to do.
func bloomOf(id string) (bits [bloomHashes]uint32) {
	h := hash64(id)
	at, step := uint32(h), uint32(h>>32)|1
	for i := range bits {
		bits[i] = at % (pageRows * bloomBits)
		at += step
	}
	return bits
}

// hash64 must be the same after a restart. FNV-1a alone mixes its upper half
// badly for short texts; what follows it spreads them.
func hash64(s string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(s)) // it never fails
	v := h.Sum64()
	v = (v ^ v>>33) * 0xff51afd7ed558ccd
	return v ^ v>>33
}

func hash32(s string) uint32 { return uint32(hash64(s)) }
