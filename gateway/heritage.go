package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/store"
)

// A source that is renamed keeps neither its events nor its claims: both belong to
// the old name. Moving the events is an operator's order; the claims follow it, so
// that what the provider repeats to the new name is known there. They are not
// copied: the heir's requests are held against the old source's claims too.

// heirs has for each source the names of those whose claims it has taken over.
type heirs map[string][]string

// heirPrefix is how the store's notes about heirs begin; the heir's name follows.
const heirPrefix = "heir/"

// maxInherited is how many sources' claims one source can have: each is one look-up
// more for every event.
const maxInherited = 16

// heirs takes the heirs out of the store's notes.
func (g *Gateway) heirs(s store.Keeper) *heirs {
	all := heirs{}
	for name, v := range s.Kept() {
		heir, ok := strings.CutPrefix(name, heirPrefix)
		if !ok {
			continue
		}
		var from []string
		if err := json.Unmarshal(v, &from); err != nil {
			slog.New(g.relay).Error("whose claims a source has taken over cannot be read; what the provider repeats of them is new to it",
				"source", heir, "error", err)
			continue
		}
		all[heir] = from
	}
	return &all
}

// inherit has a move's destination's source take over the claims of one that is
// gone, durably, with those that this one had taken over itself. They count only
// while the old source is not configured; where it is now, nothing happens.
//
// Errors: the store's; ErrConflict where it would be the heir of too many.
func (g *Gateway) inherit(ctx context.Context, from string, to event.Destination) error {
	l, app, heir := g.live.Load(), g.present(), to.Source
	switch {
	case l == nil:
		return store.ErrClosed
	case from == "" || from == heir || app == nil || app.source(from) != nil:
		return nil
	}
	g.inheriting.Lock()
	defer g.inheriting.Unlock()
	all := maps.Clone(*l.heirs.Load())
	names := slices.Clone(all[heir])
	for _, name := range append([]string{from}, all[from]...) {
		if name != heir && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	switch {
	case len(names) == len(all[heir]):
		return nil
	case len(names) > maxInherited:
		return fmt.Errorf("%w: source %s has taken over the claims of %d others, and can have no more", store.ErrConflict, heir, maxInherited)
	}
	if err := keepHeir(ctx, l.store, heir, names); err != nil {
		return err
	}
	all[heir] = names
	l.heirs.Store(&all)
	g.dropHeir(ctx, l, from)
	app.log.Info("a source takes over the claims of one that is not configured any more; what the provider repeats is known",
		"source", heir, "from", names)
	return nil
}

func keepHeir(ctx context.Context, s store.Keeper, heir string, names []string) error {
	v, err := json.Marshal(names)
	if err == nil {
		err = s.Keep(ctx, heirPrefix+heir, v)
	}
	if err != nil {
		return fmt.Errorf("noting whose claims source %s has taken over: %w", heir, err)
	}
	return nil
}

// dropHeir forgets what a source had taken over that is gone itself: its heir has it.
func (g *Gateway) dropHeir(ctx context.Context, l *live, gone string) {
	all := maps.Clone(*l.heirs.Load())
	if len(all[gone]) == 0 {
		return
	}
	if err := l.store.Keep(ctx, heirPrefix+gone, nil); err != nil {
		return // it is in nobody's way
	}
	delete(all, gone)
	l.heirs.Store(&all)
}

// Inherited names the sources whose claims this one has taken over. One that is
// configured itself is none of them: its claims are its own again.
func (s *Source) Inherited() []string {
	l := s.gateway.live.Load()
	if l == nil {
		return nil
	}
	names := (*l.heirs.Load())[s.config.Name]
	if len(names) == 0 {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return s.app.source(name) != nil })
}
