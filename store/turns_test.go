package store_test

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/caddy-webhooks/caddy-webhooks/store"
)

// TestTurnsGoByPlaceWhateverJoinsAndLeaves compares with plain sorted lists.
func TestTurnsGoByPlaceWhateverJoinsAndLeaves(t *testing.T) {
	t.Parallel()
	for seed := range uint64(50) {
		random := rand.New(rand.NewPCG(seed, 7))
		var turns store.Turns
		lines := map[uint64][]store.Turn{}
		busy := map[uint64]store.Turn{}
		for range 400 {
			key := random.Uint64N(3) + 1
			line := lines[key]
			switch n := random.IntN(10); {
			case n < 5:
				v := store.Turn{Place: random.Uint64N(60), Seq: random.Uint64N(4)}
				if slices.Contains(line, v) {
					continue
				}
				held, isBusy := busy[key]
				got := turns.Join(key, v, func(first store.Turn) bool { return isBusy && first == held })
				line = append(line, v)
				sortBehind(line, held, isBusy)
				if got != (line[0] == v) {
					t.Fatalf("seed %d: %v joined: its turn %v, the line is %v", seed, v, got, line)
				}
			case n < 7 && len(line) > 0: // its attempt begins
				busy[key] = line[0]
			case len(line) > 0:
				v := line[random.IntN(len(line))]
				if b, ok := busy[key]; ok && v == b {
					delete(busy, key)
				}
				was := line[0] == v
				line = slices.DeleteFunc(line, func(o store.Turn) bool { return o == v })
				next, ok := turns.Leave(key, v)
				if ok != (was && len(line) > 0) || ok && next != line[0] {
					t.Fatalf("seed %d: %v left: next %v %v, the line is %v", seed, v, next, ok, line)
				}
			}
			lines[key] = line
			if len(line) > 0 && (!turns.Is(key, line[0]) || turns.Waited(key) != (len(line) > 1)) {
				t.Fatalf("seed %d: it is not the turn of %v, or somebody is forgotten: %v", seed, line[0], line)
			}
		}
	}
}

// sortBehind orders a line by place; whoever is being delivered stays first.
func sortBehind(line []store.Turn, held store.Turn, busy bool) {
	slices.SortFunc(line, func(a, b store.Turn) int {
		switch {
		case busy && a == held:
			return -1
		case busy && b == held:
			return 1
		}
		return cmp.Or(cmp.Compare(a.Place, b.Place), cmp.Compare(a.Seq, b.Seq))
	})
}

func BenchmarkTurnsAMillionKeys(b *testing.B) {
	b.ReportAllocs()
	idle := func(store.Turn) bool { return false }
	for range b.N {
		var turns store.Turns
		for i := range uint64(1_000_000) {
			turns.Join(i, store.Turn{Place: i, Seq: i}, idle)
		}
	}
}
