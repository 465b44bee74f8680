package gateway

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/store"
)

// configured gives a configuration with these destinations, as source/name or
// source:provider/name.
func configured(list ...string) *App {
	a := &App{runtime: runtime{sources: map[string]*Source{}}}
	for _, one := range list {
		source, name, _ := strings.Cut(one, "/")
		source, provider, _ := strings.Cut(source, ":")
		s := a.sources[source]
		if s == nil {
			s = &Source{config: SourceConfig{Name: source, Provider: provider}}
			a.sources[source] = s
		}
		s.config.Destinations = append(s.config.Destinations, Destination{Name: name})
		s.names = append(s.names, event.Destination{Source: source, Name: name})
	}
	return a
}

func TestTheHeirOfADestinationThatIsGoneIsGuessedOnlyWhereThereIsOne(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name          string
		before, after []string
		want          string
	}{
		{"renamed, the only one", []string{"shop/old"}, []string{"shop/new"}, "shop/new"},
		{"renamed, one of several", []string{"shop/old", "shop/a", "shop/b"}, []string{"shop/new", "shop/a", "shop/b"}, "shop/new"},
		{"removed, one is left", []string{"shop/old", "shop/a"}, []string{"shop/a", "blog/default"}, "shop/a"},
		{"removed, several are left", []string{"shop/old", "shop/a", "shop/b"}, []string{"shop/a", "shop/b"}, "shop/<destination>"},
		{"two are new", []string{"shop/old"}, []string{"shop/a", "shop/b"}, "shop/<destination>"},
		{"another source's new one", []string{"shop/old", "shop/a", "shop/b"}, []string{"shop/a", "shop/b", "blog/old"}, "shop/<destination>"},
		{"source renamed", []string{"shop/old", "blog/default"}, []string{"store/old", "blog/default"}, "store/old"},
		{"source and destination renamed", []string{"shop/old", "blog/default"}, []string{"store/new", "blog/default"}, "store/new"},
		{"source with several renamed", []string{"shop/old", "shop/b"}, []string{"store/old", "store/b"}, "store/old"},
		{"source removed", []string{"shop/old", "blog/default", "news/default"}, []string{"blog/default", "news/default"}, "<source>/<destination>"},
		{"source removed, one is left", []string{"shop/old", "blog/default"}, []string{"blog/default"}, "<source>/<destination>"},
		{"source removed, one is left, after a restart", nil, []string{"blog/default"}, "<source>/<destination>"},
		{"another provider in its place", []string{"shop/old"}, []string{"blog:other/default"}, "<source>/<destination>"},
		{"after a restart", nil, []string{"shop/new"}, "shop/new"},
		{"after a restart, several", nil, []string{"shop/a", "shop/b"}, "shop/<destination>"},
	} {
		var before *App
		if c.before != nil {
			before = configured(c.before...)
		}
		if got := heir(event.Destination{Source: "shop", Name: "old"}, before, configured(c.after...)); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestOnlyWhatIsOwedAndNotConfiguredIsWarnedOf(t *testing.T) {
	t.Parallel()
	at := func(name string, pending, dead, delivered int64) store.DestinationStats {
		return store.DestinationStats{
			Destination: event.Destination{Source: "shop", Name: name},
			Count:       map[event.State]int64{event.Pending: pending, event.Dead: dead, event.Delivered: delivered},
		}
	}
	var log bytes.Buffer
	a := configured("shop/here")
	a.log = slog.New(slog.NewTextHandler(&log, nil))
	warnOrphans(store.Stats{Destinations: []store.DestinationStats{
		at("here", 5, 5, 5), at("settled", 0, 0, 9), at("waits", 3, 0, 0), at("dead", 0, 2, 0),
	}}, nil, a)
	for part, want := range map[string]int{
		"level=WARN": 2, "destination=waits pending=3 dead=0": 1, "destination=dead pending=0 dead=2": 1,
		"caddy webhooks move --source shop --destination waits --to shop/here;": 1,
	} {
		if n := strings.Count(log.String(), part); n != want {
			t.Errorf("%q stands %d times in the log, want %d:\n%s", part, n, want, log.String())
		}
	}
}
