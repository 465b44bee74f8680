package local

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/store"
)

// crowd fills a page with rows of all kinds.
func crowd(r *rand.Rand, block uint64) *page {
	p := &page{block: block}
	for i := range p.rows {
		if r.IntN(8) == 0 {
			continue
		}
		v := &row{
			received: time.Unix(1_700_000_000+r.Int64N(1000), r.Int64N(1e9)),
			source:   fmt.Sprint("source ", r.IntN(4)), typ: fmt.Sprint("type ", r.IntN(9)),
			providerID: fmt.Sprintf("evt_%d", r.Uint64()),
		}
		for dest := range uint64(r.IntN(3)) {
			v.deliveries = append(v.deliveries, delivery{dest: dest, Delivery: event.Delivery{State: event.State(1 + r.IntN(int(event.Filtered)))}})
		}
		p.rows[i] = v
	}
	return p
}

func TestAZoneNeverRulesOutWhatItsPageHolds(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	dests := map[uint64]event.Destination{0: {Source: "source 0", Name: "a"}, 1: {Source: "source 1", Name: "b"}, 2: {Source: "source 1", Name: "a"}}
	for block := range uint64(200) {
		p := crowd(r, block)
		made := summarize(p)
		sum, err := decodeSummary(made.encode())
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range p.rows {
			if v == nil {
				continue
			}
			fits := []store.Filter{
				{Source: v.source},
				{Type: v.typ},
				{ID: v.providerID},
				{Since: v.received},
				{Until: v.received.Add(1)},
				{Source: v.source, Type: v.typ, ID: v.providerID, Since: v.received, Until: v.received.Add(1)},
			}
			for _, d := range v.deliveries {
				to := dests[d.dest]
				fits = append(fits, store.Filter{State: d.State}, store.Filter{Destination: to.Name},
					store.Filter{Source: to.Source, Destination: to.Name, State: d.State, Type: v.typ})
			}
			for _, f := range fits {
				if !sum.mayHold(f, wantedOf(dests, f)) {
					t.Fatalf("page %d is ruled out for %+v, which one of its rows fits", block, f)
				}
			}
		}
	}
}

func wantedOf(dests map[uint64]event.Destination, f store.Filter) map[uint64]bool {
	wanted := map[uint64]bool{}
	for number, d := range dests {
		if f.Delivery(d, f.State) {
			wanted[number] = true
		}
	}
	return wanted
}

func TestAZoneRulesOutNearlyEverythingElse(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 4))
	wrong, asked := 0, 0
	for block := range uint64(300) {
		sum := summarize(crowd(r, block))
		for _, f := range []store.Filter{
			{Source: "nobody"},
			{Type: "type"},
			{Since: time.Unix(1_700_001_001, 0)},
			{Until: time.Unix(1_700_000_000, 0)},
			{Destination: "nobody"},
			{Source: "nobody", State: event.Dead},
		} {
			if sum.mayHold(f, map[uint64]bool{}) {
				t.Errorf("page %d is not ruled out for %+v", block, f)
			}
		}
		for range 200 {
			asked++
			if sum.mayHold(store.Filter{ID: fmt.Sprintf("evt_%d", r.Uint64())}, nil) {
				wrong++
			}
		}
	}
	if wrong*500 > asked {
		t.Errorf("%d of %d unknown IDs are thought to be there", wrong, asked)
	}
}

func FuzzSummary(f *testing.F) {
	sum := summarize(crowd(rand.New(rand.NewPCG(5, 6)), 0))
	f.Add(sum.encode())
	f.Add([]byte{})
	f.Fuzz(func(_ *testing.T, v []byte) {
		if sum, err := decodeSummary(v); err == nil {
			sum.mayHold(store.Filter{ID: "a", Type: "b", Source: "c"}, map[uint64]bool{1: true})
		}
	})
}
