package gateway

import (
	"fmt"
	"strings"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/store"
)

// warnOrphans tells of events that wait for a destination which is configured
// no more, or are dead there, and how to move them. before is the configuration
// until now, or nil.
func warnOrphans(stats store.Stats, before, a *App) {
	for _, d := range stats.Destinations {
		pending, dead := d.Count[event.Pending], d.Count[event.Dead]
		switch {
		case a.has(d.Destination):
			continue
		case pending+dead == 0:
			tellRenamed(d.Destination, before, a)
			continue
		}
		a.log.Warn("events wait for a destination that is not configured any more; they are kept, and not sent",
			"source", d.Source, "destination", d.Name, "pending", pending, "dead", dead,
			"hint", fmt.Sprintf("move them: caddy webhooks move --source %s --destination %s --to %s; or configure the destination again",
				d.Source, d.Name, heir(d.Destination, before, a)))
	}
}

// tellRenamed tells of a source that was just renamed, as it seems, and owes
// nothing: its claims can follow.
func tellRenamed(gone event.Destination, before, a *App) {
	to := heir(gone, before, a)
	if before == nil || !before.has(gone) || a.source(gone.Source) != nil || strings.Contains(to, "<") {
		return
	}
	a.log.Info("a source is not configured any more, and another has come in its place; what the provider repeats of the old one is new to it",
		"source", gone.Source, "hint", fmt.Sprintf("if it was renamed, hand its claims over: caddy webhooks move --source %s --to %s", gone.Source, to))
}

// heir guesses which destination follows on one that is gone: one of its source,
// or of a source that came in its source's place. One that is new with this
// configuration is likelier than one that was there before.
func heir(d event.Destination, before, a *App) string {
	var fresh, all []event.Destination
	for _, s := range a.list() {
		for _, to := range s.names {
			if to.Source != d.Source && !replaces(s, to, d, before, a) {
				continue
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
	if a.source(d.Source) != nil {
		return d.Source + "/<destination>"
	}
	return "<source>/<destination>"
}

// replaces tells whether a destination of another source may stand for one whose
// source is gone: the source is new, of the same provider, and has this one
// destination, or one of the same name.
func replaces(s *Source, to, gone event.Destination, before, a *App) bool {
	if before == nil || a.source(gone.Source) != nil || before.source(to.Source) != nil {
		return false
	}
	was := before.source(gone.Source)
	return was != nil && was.config.Provider == s.config.Provider && (to.Name == gone.Name || len(s.names) == 1)
}
