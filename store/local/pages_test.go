package local

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/store"
	"github.com/caddy-webhooks/caddy-webhooks/store/local/journal"
)

func TestPagesThatAreTouchedAgainAndAgainAreWrittenLast(t *testing.T) {
	t.Parallel()
	pages, lsn := newPages(nil), uint64(0)
	touch := func(blocks ...uint64) {
		for _, b := range blocks {
			p := pages.held[b]
			if p == nil {
				p = &page{block: b}
				pages.held[b] = p
				pages.keep(p)
			}
			lsn++
			pages.touch(p, lsn)
		}
	}
	check := func(what string, most int, want ...uint64) {
		t.Helper()
		if got := pages.resting(most); !slices.Equal(got, want) {
			t.Errorf("%s: %v are at rest, want %v", what, got, want)
		}
	}
	touch(1, 2, 3)
	check("just touched", 10)
	touch(2)
	check("one is touched again", 10, 1, 3)
	for _, b := range []uint64{1, 3} {
		pages.written(pages.held[b])
	}
	touch(2)
	touch(4, 5, 6, 7)
	touch(2, 2)
	check("too many are busy", 4, 4, 5, 6)
	check("nothing is touched", 4, 2, 4, 5, 6, 7)
}

func TestPagesTooBigForOneTransactionAreWrittenOneByOne(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	const events = flushChunk * pageRows
	kind := strings.Repeat("a", 1<<10)
	for i := range events {
		_, err := r.Accept(t.Context(), store.Admission{
			Event: &event.Event{
				Source: "shop", ProviderID: strconv.Itoa(i), Type: kind, Received: r.now(),
				Method: http.MethodPost, URI: "/", Header: http.Header{},
			},
			Owed: []store.Owed{{Destination: "default"}},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.flush(); err != nil {
		t.Fatal(err)
	}
	if left := len(r.pages.dirty); left != 0 {
		t.Errorf("%d pages were not written", left)
	}
	r.reopen()
	if waiting := r.Stats().Destinations[0].Count[event.Pending]; waiting != events {
		t.Errorf("after reopening %d wait, want %d", waiting, events)
	}
}

func TestAPageOfManyDestinationsThatAllFailStaysBelowTheValueLog(t *testing.T) {
	t.Parallel()
	most := int(indexOptions("").ValueThreshold)
	random := rand.New(rand.NewPCG(1, 2))
	for _, destinations := range []int{1, 16, 40, 100} {
		p := &page{block: 1}
		for i := range p.rows {
			r := &row{
				id: event.NewID(time.Unix(int64(i), 0), uint64(i), 1, 2), received: time.Unix(1e9+int64(i), 5), source: "shop", provider: "github",
				providerID: fmt.Sprint("event-", random.Uint64()), typ: "push", size: 1000, pos: journal.Position{Segment: 20, Offset: random.Int64N(64 << 20), Size: 1500},
			}
			r.deliveries = make([]delivery, destinations)
			for k := range r.deliveries {
				d := &r.deliveries[k]
				d.dest, d.State, d.Attempts, d.Next, d.Spent = uint64(k), event.Pending, 60, time.Unix(1e9, random.Int64()), time.Hour
				for range 60 {
					r.addAttempt(d, journal.Position{Segment: 20 + uint64(random.IntN(9)), Offset: random.Int64N(64 << 20), Size: 250 + uint32(random.IntN(200))})
				}
				if n := len(d.attempts); n < 2 || n > keptFirst+keptLast {
					t.Fatalf("with %d destinations %d attempts are known", destinations, n)
				}
			}
			p.rows[i] = r
		}
		v, err := p.encode()
		if err != nil || len(v) >= most {
			t.Errorf("a page of %d destinations has %d bytes, %v; values of %d go into the value log", destinations, len(v), err, most)
		}
		again, err := decodePage(1, v)
		if err != nil {
			t.Fatal(err)
		}
		if twice, err := again.encode(); err != nil || !bytes.Equal(twice, v) {
			t.Errorf("a page of %d destinations is read differently: %v", destinations, err)
		}
	}
	for _, v := range [][]byte{{pageDeflated}, {pageDeflated, 1, 2, 3}, {}} {
		if _, err := decodePage(1, v); err == nil {
			t.Errorf("%v is read as a page", v)
		}
	}
}
