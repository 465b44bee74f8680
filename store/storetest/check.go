package storetest

import (
	"cmp"
	"fmt"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/store"
)

// check wants the store's totals to be what its events add up to. It runs at
// the end of every case, unasked.
func (r *rig) check() {
	r.Helper()
	r.eventually(func() error {
		rows := r.all(store.Filter{Limit: 1000})
		for i := 1; i < len(rows); i++ {
			if rows[i].Seq >= rows[i-1].Seq {
				return fmt.Errorf("row %d has sequence %d after %d", i, rows[i].Seq, rows[i-1].Seq)
			}
		}
		if err := r.checkFilters(rows); err != nil {
			return err
		}
		return r.checkStats(r.s.Stats(), rows)
	})
}

// share is what the rows say about one destination.
type share struct {
	count    map[event.State]int64
	inFlight int64
	retrying int64
	oldest   time.Time
}

func shares(rows []store.Row) (by map[event.Destination]*share, backlog int64) {
	by = map[event.Destination]*share{}
	for _, row := range rows { // newest first: the oldest has the last word
		unsettled := false
		for _, d := range row.Deliveries {
			name := event.Destination{Source: cmp.Or(d.Source, row.Source), Name: d.Destination}
			if by[name] == nil {
				by[name] = &share{count: map[event.State]int64{}}
			}
			by[name].count[d.State]++
			unsettled = unsettled || d.State.Unsettled()
			if d.State == event.Pending {
				by[name].oldest = row.Received
			}
			if d.InFlight {
				by[name].inFlight++
			}
			if d.State == event.Pending && d.Attempts > 0 {
				by[name].retrying++
			}
		}
		if unsettled {
			backlog += int64(row.Size)
		}
	}
	return by, backlog
}

func (r *rig) checkStats(v store.Stats, rows []store.Row) error {
	by, backlog := shares(rows)
	var sum int64
	for _, n := range v.SourceBytes {
		sum += n
	}
	if sum != v.BacklogBytes {
		return fmt.Errorf("the sources' shares %v of the backlog add up to %d bytes, want %d", v.SourceBytes, sum, v.BacklogBytes)
	}
	if v.BacklogBytes != backlog {
		return fmt.Errorf("backlog is %d bytes, the events add up to %d", v.BacklogBytes, backlog)
	}
	for _, d := range v.Destinations {
		want := by[d.Destination]
		delete(by, d.Destination)
		if want == nil {
			want = &share{}
		}
		if err := want.check(d); err != nil {
			return fmt.Errorf("%v: %w", d.Destination, err)
		}
	}
	if len(by) != 0 {
		return fmt.Errorf("stats do not know the destinations %v", by)
	}
	return nil
}

// check compares a destination's totals with what its events add up to.
func (want *share) check(d store.DestinationStats) error {
	for _, state := range event.States() {
		if d.Count[state] != want.count[state] {
			return fmt.Errorf("%d are %v, the events add up to %d", d.Count[state], state, want.count[state])
		}
	}
	switch {
	case d.InFlight != want.inFlight || d.InFlight > d.Count[event.Pending]:
		return fmt.Errorf("%d in flight, the events add up to %d of %d pending", d.InFlight, want.inFlight, d.Count[event.Pending])
	case d.Retrying != want.retrying:
		return fmt.Errorf("%d are tried again, the events add up to %d", d.Retrying, want.retrying)
	case !d.OldestPending.Equal(want.oldest):
		return fmt.Errorf("oldest pending %v, want %v", d.OldestPending, want.oldest)
	}
	return nil
}

// checkFilters wants each state's query to find what the whole list has in it.
func (r *rig) checkFilters(rows []store.Row) error {
	for _, state := range event.States() {
		var want []event.ID
		for _, row := range rows {
			for _, d := range row.Deliveries {
				if d.State == state {
					want = append(want, row.ID)
					break
				}
			}
		}
		if got := ids(r.all(store.Filter{State: state, Limit: 7})); fmt.Sprint(got) != fmt.Sprint(want) {
			return fmt.Errorf("query for %v finds %v, want %v", state, got, want)
		}
	}
	return nil
}

func ids(rows []store.Row) []event.ID {
	var found []event.ID
	for _, row := range rows {
		found = append(found, row.ID)
	}
	return found
}
