package gateway

import (
	"fmt"
	"slices"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/store"
)

// warnOrphans tells of events that wait for a destination which is configured
// no more, or are dead there, and how to move them. before is the configuration
// until now, or nil.
func warnOrphans(stats store.Stats, before, a *App) {
	for _, d := range stats.Destinations {
		pending, dead := d.Count[event.Pending], d.Count[event.Dead]
		if pending+dead == 0 || a.has(d.Destination) {
			continue
		}
		a.log.Warn("events wait for a destination that is not configured any more; they are kept, and not sent",
			"source", d.Source, "destination", d.Name, "pending", pending, "dead", dead,
			"hint", fmt.Sprintf("move them: caddy webhooks move --source %s --destination %s --to %s; or configure the destination again",
				d.Source, d.Name, heir(d.Destination, before, a)))
	}
}

// heir guesses which destination follows on one that is gone. One that is new
// with this configuration is likelier than one that was there before.
func heir(d event.Destination, before, a *App) string {
	var fresh, all []event.Destination
	for _, s := range a.list() {
		for _, to := range s.names {
			if to.Source != d.Source && (a.source(d.Source) != nil || to.Name != d.Name && len(s.names) > 1) {
				continue // its source is still there, or it is one of several of another source
			}
			all = append(all, to)
			if before != nil && !before.has(to) {
				fresh = append(fresh, to)
			}
		}
	}
	for _, list := range [][]event.Destination{fresh, all} {
		if len(list) == 1 {
			return list[0].String()
		}
	}
	if slices.ContainsFunc(all, func(to event.Destination) bool { return to.Source == d.Source }) {
		return d.Source + "/<destination>"
	}
	return "<source>/<destination>"
}
