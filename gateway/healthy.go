package gateway

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/store"
)

// The reasons for which a gateway is not healthy: a closed set.
const (
	// StoreFailing: the journal cannot be written, so that every webhook is
	// answered 503.
	StoreFailing = "store_failing"
	// DiskNearlyFull: less is free than min_free, so that every webhook is answered 503.
	DiskNearlyFull = "disk_nearly_full"
	// BacklogFull: max_backlog is reached, so that every webhook is answered 503; or
	// a source has come to its share of it, and its webhooks are.
	BacklogFull = "backlog_full"
	// WorkerDead: a part of the gateway that must go on has been hanging for long.
	WorkerDead = "worker_dead"
	// OldestPending: an event has been waiting for longer than was asked for.
	OldestPending = "oldest_pending"
)

// HealthReasons lists the closed set.
func HealthReasons() []string {
	return []string{StoreFailing, DiskNearlyFull, BacklogFull, WorkerDead, OldestPending}
}

// Trouble is one reason for which the gateway is not healthy.
type Trouble struct {
	Reason string
	// Source and Destination name where, if it is about one.
	Source, Destination string
	// Words say what happened and what to do.
	Words string
}

// Troubles lists what is wrong just now; nil if all is well. oldest is how long an
// event may have been waiting; 0: for ever.
func (g *Gateway) Troubles(oldest time.Duration, now time.Time) []Trouble {
	l := g.live.Load()
	if l == nil {
		return []Trouble{{Reason: StoreFailing, Words: "the store is closed"}}
	}
	stats := l.store.Stats()
	var list []Trouble
	if t, bad := intake(stats); bad {
		list = append(list, t)
	}
	list = append(list, crowded(g.present(), stats)...)
	for _, name := range append(slices.Clone(stats.Stuck), l.dispatcher.Stuck()...) {
		list = append(list, Trouble{
			Reason: WorkerDead,
			Words:  name + " has been hanging for long; look at the disk and at the log, and restart Caddy: nothing that was accepted is lost by it",
		})
	}
	if oldest <= 0 {
		return list
	}
	for _, s := range g.status(l, g.present(), stats) {
		for _, d := range s.Destinations {
			if age := now.Sub(d.OldestPending); !d.OldestPending.IsZero() && age > oldest {
				list = append(list, overdue(s.Name, d, age))
			}
		}
	}
	return list
}

// crowded tells which sources are refused for want of room in the backlog, though
// the store takes events. A backlog seldom comes to its limit to the byte, so what
// counts is whether the body that was refused last would fit by now.
func crowded(app *App, stats store.Stats) []Trouble {
	var list []Trouble
	whole := errors.Is(stats.Accepting, store.ErrBacklog) // it is told already
	for _, s := range app.sorted() {
		name, wanted := s.config.Name, max(1, s.refusedSize.Load())
		switch used := stats.SourceBytes[name]; {
		case used+wanted > s.share():
			list = append(list, Trouble{Reason: BacklogFull, Source: name, Words: fmt.Sprintf(
				"webhooks of this source are answered 503 until less of it waits than its share of max_backlog, which is %d bytes; %d wait: `caddy webhooks sources` shows where",
				s.share(), used)})
		case !whole && stats.BacklogBytes+wanted > app.MaxBacklog:
			whole = true
			list = append(list, backlogFull(stats))
		}
	}
	return list
}

func backlogFull(stats store.Stats) Trouble {
	return Trouble{Reason: BacklogFull, Words: fmt.Sprintf(
		"webhooks are answered 503 until less waits than max_backlog; %d bytes wait: `caddy webhooks sources` shows where", stats.BacklogBytes)}
}

// line is an error as one line: several that are joined have a line each.
func line(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

// intake tells why nothing is accepted just now.
func intake(stats store.Stats) (Trouble, bool) {
	err := stats.Accepting
	switch {
	case err == nil:
		return Trouble{}, false
	case errors.Is(err, store.ErrFull):
		return Trouble{Reason: DiskNearlyFull, Words: fmt.Sprintf(
			"webhooks are answered 503 until more of the disk is free than min_free; %d bytes are: %s", stats.FreeBytes, line(err))}, true
	case errors.Is(err, store.ErrBacklog):
		return backlogFull(stats), true
	}
	return Trouble{Reason: StoreFailing, Words: "webhooks are answered 503 until the journal can be written again: " + line(err)}, true
}

func overdue(source string, d DestinationStatus, age time.Duration) Trouble {
	return Trouble{
		Reason: OldestPending, Source: source, Destination: d.Name,
		Words: fmt.Sprintf("an event has been waiting for %s; the destination is %s%s",
			age.Round(time.Second), d.State, after(cmp.Or(d.Why, d.LastError))),
	}
}

func after(why string) string {
	if why == "" {
		return ""
	}
	return ": " + why
}
