package gateway

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/store"
	"github.com/caddy-webhooks/caddy-webhooks/store/memory"
)

// heirless is a gateway over an empty store, whose configuration has these sources.
func heirless(t *testing.T, sources ...string) (*Gateway, *live) {
	t.Helper()
	s := memory.New(memory.Options{})
	t.Cleanup(func() { _ = s.Close() })
	g := newGateway("test")
	l := &live{store: s, heirs: &atomic.Pointer[heirs]{}}
	l.heirs.Store(&heirs{})
	g.live.Store(l)
	reconfigured(g, sources...)
	return g, l
}

func reconfigured(g *Gateway, sources ...string) {
	var list []string
	for _, s := range sources {
		list = append(list, s+"/default")
	}
	a := configured(list...)
	a.log = slog.New(slog.DiscardHandler)
	for _, s := range a.sources {
		s.app, s.gateway = a, g
	}
	g.generations = []*App{a}
}

func (g *Gateway) inherited(source string) string {
	names := g.present().source(source).Inherited()
	slices.Sort(names)
	return strings.Join(names, " ")
}

func moved(t *testing.T, g *Gateway, from, to string) error {
	t.Helper()
	return g.inherit(t.Context(), from, event.Destination{Source: to, Name: "default"})
}

func TestAMoveFromASourceThatIsGoneHandsItsClaimsOver(t *testing.T) {
	t.Parallel()
	g, l := heirless(t, "a", "b")
	want := func(when, source, names string) {
		t.Helper()
		if got := g.inherited(source); got != names {
			t.Errorf("%s %s has the claims of %q, want %q", when, source, got, names)
		}
	}
	move := func(from, to string) {
		t.Helper()
		if err := moved(t, g, from, to); err != nil {
			t.Fatalf("from %s to %s: %v", from, to, err)
		}
	}
	move("a", "b")
	want("while both are configured", "b", "")
	reconfigured(g, "b")
	want("without a move", "b", "")
	move("", "b")
	move("b", "b")
	want("moves of everything, and to itself", "b", "")
	move("a", "b")
	move("a", "b")
	move("z", "b")
	want("moved", "b", "a z")
	reconfigured(g, "c")
	move("b", "c")
	want("renamed again", "c", "a b z")
	if names := (*g.heirs(l.store))["c"]; len(names) != 3 {
		t.Errorf("after a restart it has the claims of %v, want three", names)
	}
	if n := len(l.store.Kept()); n != 1 {
		t.Errorf("%d notes are kept, want one: %v", n, l.store.Kept())
	}
	reconfigured(g, "c", "a")
	want("a is back,", "c", "b z")
	reconfigured(g, "b")
	move("c", "b")
	want("and back again, which is no circle:", "b", "a c z")
}

func TestTheClaimsOfOnly16SourcesAreTakenOver(t *testing.T) {
	t.Parallel()
	g, _ := heirless(t, "heir")
	for i := range maxInherited {
		if err := moved(t, g, fmt.Sprint("s", i), "heir"); err != nil {
			t.Fatal(err)
		}
	}
	err := moved(t, g, "more", "heir")
	if !errors.Is(err, store.ErrConflict) || !strings.Contains(err.Error(), "heir") {
		t.Errorf("one more: %v, want a conflict that names the source", err)
	}
	if n := len(g.present().source("heir").Inherited()); n != maxInherited {
		t.Errorf("it has the claims of %d, want %d", n, maxInherited)
	}
}

func TestANoteThatCannotBeReadIsSaidAndPassedOver(t *testing.T) {
	t.Parallel()
	g, l := heirless(t, "a", "b")
	for name, v := range map[string]string{"heir/a": "{", "heir/b": `["old"]`, "job/heir/c": `["old"]`} {
		if err := l.store.Keep(t.Context(), name, []byte(v)); err != nil {
			t.Fatal(err)
		}
	}
	got := *g.heirs(l.store)
	if len(got) != 1 || !slices.Equal(got["b"], []string{"old"}) {
		t.Errorf("heirs are %v", got)
	}
}
