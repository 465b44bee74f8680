package admin

import (
	"context"
	"fmt"
	"net/http"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/gateway"
	"github.com/caddy-webhooks/caddy-webhooks/store"
)

// carryOut carries out a command on one event. Deliveries at another source's
// destinations are named with it. A replay leaves alone what is at a destination
// that is not configured any more: the event would wait there for ever.
func carryOut(ctx context.Context, g Gateway, c store.Command) (store.Done, error) {
	record, err := g.Store().Get(ctx, c.Event)
	if err != nil {
		return store.Done{}, failed(err)
	}
	sources := g.Sources()
	list, orphans, foreign := meant(record.Row, c, sources)
	switch {
	case c.Action == store.Replay && len(orphans) > 0 && len(list) == 0:
		return store.Done{}, fail(http.StatusConflict, fmt.Errorf("%s is not configured any more, so nothing would be sent; "+
			"send the event elsewhere (a replay by its id, with to), hand it over with a move, or configure the destination again; %s",
			orphans[0], gateway.ThereAre(sources)))
	case c.Action != store.Replay:
		list = append(list, orphans...)
	}
	if !foreign && (c.Action != store.Replay || len(orphans) == 0) {
		done, err := g.Store().Command(ctx, c)
		if err != nil {
			return done, failed(err)
		}
		return done, nil
	}
	return oneByOne(ctx, g.Store(), c, record.Source, list)
}

// meant lists where an event's deliveries are that a command is about: those at
// destinations that are configured, and orphans. foreign tells that some are at
// another source's.
func meant(row store.Row, c store.Command, sources []gateway.SourceStatus) (list, orphans []event.Destination, foreign bool) {
	for _, d := range row.Deliveries {
		at := d.At(row.Source)
		_, status, err := gateway.Find(sources, at.Source, at.Name)
		switch {
		case !c.Means(at):
			continue
		case err != nil || status.State == gateway.Orphaned:
			orphans = append(orphans, at)
		case c.Action == store.Replay && c.Destination == "" && d.State == event.Filtered: // it is replayed only by its name
			continue
		default:
			list = append(list, at)
		}
		foreign = foreign || at.Source != row.Source
	}
	return list, orphans, foreign
}

// oneByOne carries out a command on several deliveries. It fails only if nothing
// changed.
func oneByOne(ctx context.Context, s store.Store, c store.Command, source string, list []event.Destination) (all store.Done, err error) {
	var refused error
	for _, at := range list {
		c.Destination = at.String()
		done, err := s.Command(ctx, c)
		if err != nil && refused == nil {
			refused = err
		}
		name := at.Name
		if at.Source != source {
			name = at.String()
		}
		if len(done.Changed) > 0 {
			all.Changed = append(all.Changed, name)
		}
		if len(done.Deferred) > 0 {
			all.Deferred = append(all.Deferred, name)
		}
	}
	if refused != nil && len(all.Changed)+len(all.Deferred) == 0 {
		return all, failed(refused)
	}
	return all, nil
}
