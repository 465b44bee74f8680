package local

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/store"
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
