package gateway

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/store"
	"github.com/caddy-webhooks/caddy-webhooks/store/local"
	"github.com/caddy-webhooks/caddy-webhooks/store/local/journal/faultfs"
)

func TestIntakeThatStandsStillHasAReason(t *testing.T) {
	t.Parallel()
	for reason, err := range map[string]error{
		DiskNearlyFull: fmt.Errorf("accepting: %w", store.ErrFull),
		BacklogFull:    store.ErrBacklog,
		StoreFailing:   fmt.Errorf("%w: input/output error", store.ErrUnavailable),
	} {
		v, bad := intake(store.Stats{Accepting: err})
		if !bad || v.Reason != reason || !strings.Contains(v.Words, "503") || !slices.Contains(HealthReasons(), reason) {
			t.Errorf("%v: %+v", err, v)
		}
	}
	if v, bad := intake(store.Stats{}); bad {
		t.Errorf("with all well: %+v", v)
	}
}

// This is not parallel: the pool is the process's.
func TestADiskThatFailsMakesTheGatewayUnhealthy(t *testing.T) {
	disk := faultfs.New(1).Boot()
	a := &App{Store: &Store{Kind: kindLocal, Path: filepath.Join(t.TempDir(), "store"), MinFree: 1}}
	a.Tune = func(o *local.Options) { o.FS = disk }
	ctx := provision(t, a)
	b := backend{make(chan string, 8)}
	s := register(t, a, b.routes(t, ctx), "github")
	if err := a.Start(); err != nil {
		t.Fatal(err)
	}
	defer end(t, a)
	deliverOne(t, s, b)
	g, _ := Running()
	if list := g.Troubles(time.Hour, time.Now()); list != nil {
		t.Errorf("with all well: %+v", list)
	}
	disk.Hook(func(op faultfs.Op, _ string) *faultfs.Fault {
		if op == faultfs.Sync || op == faultfs.Create {
			return &faultfs.Fault{Err: errors.New("input/output error")}
		}
		return nil
	})
	if _, err := s.Accept(t.Context(), webhook("github"), nil, nil); !errors.Is(err, store.ErrUnavailable) {
		t.Fatalf("accepted on a disk that fails: %v", err)
	}
	list := g.Troubles(0, time.Now())
	if len(list) != 1 || list[0].Reason != StoreFailing || !strings.Contains(list[0].Words, "input/output error") {
		t.Errorf("on a disk that fails: %+v", list)
	}
	disk.Hook(nil)
}

// crowd fills a source up to a body of 400 bytes; a second such one has no room.
func crowd(t *testing.T, a *App, share int64) (*Gateway, *Source) {
	t.Helper()
	ctx := provision(t, a)
	hang := chain(t, ctx, handlerFunc(func(_ http.ResponseWriter, r *http.Request) error {
		<-r.Context().Done()
		return r.Context().Err()
	}))
	s, err := a.Register(SourceConfig{Name: "shop", Share: share, Destinations: []Destination{{Name: "default", Routes: hang}}})
	if err != nil {
		t.Fatal(err)
	}
	register(t, a, hang, "other")
	if err := a.Start(); err != nil {
		t.Fatal(err)
	}
	g, _ := Running()
	if list := g.Troubles(0, time.Now()); list != nil {
		t.Errorf("with nothing waiting: %+v", list)
	}
	if _, err := s.Accept(t.Context(), heavy(400), nil, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Accept(t.Context(), heavy(400), nil, nil); !errors.Is(err, store.ErrBacklog) {
		t.Fatalf("the second is taken: %v", err)
	}
	return g, s
}

func heavy(size int) *event.Event {
	e := webhook("shop")
	e.Body = bytes.Repeat([]byte("x"), size)
	return e
}

// These are not parallel: the pool is the process's.
func TestASourceAtItsShareOfTheBacklogMakesTheGatewayUnhealthy(t *testing.T) {
	for name, share := range map[string]int64{"half of all": 0, "its own": 500} {
		t.Run(name, func(t *testing.T) {
			a := &App{Store: &Store{Kind: kindMemory}, MaxBacklog: 1000}
			g, s := crowd(t, a, share)
			defer end(t, a)
			list := g.Troubles(0, time.Now())
			if len(list) != 1 || list[0].Reason != BacklogFull || list[0].Source != "shop" || !strings.Contains(list[0].Words, "500 bytes; 400 wait") {
				t.Errorf("at its share: %+v", list)
			}
			if _, err := s.Accept(t.Context(), heavy(50), nil, nil); err != nil {
				t.Fatal(err)
			}
			if list := g.Troubles(0, time.Now()); list != nil {
				t.Errorf("with a body that had room: %+v", list)
			}
		})
	}
}

func TestABacklogIsFullAlsoShortOfItsLimit(t *testing.T) {
	a := &App{Store: &Store{Kind: kindMemory}, MaxBacklog: 700}
	g, _ := crowd(t, a, 5000)
	defer end(t, a)
	list := g.Troubles(0, time.Now())
	if len(list) != 1 || list[0].Reason != BacklogFull || list[0].Source != "" || !strings.Contains(list[0].Words, "400 bytes wait") {
		t.Errorf("%+v", list)
	}
}

func TestWordsOfATroubleAreOneLine(t *testing.T) {
	t.Parallel()
	several := errors.Join(store.ErrUnavailable, errors.New("input/output error"))
	for _, err := range []error{several, errors.Join(store.ErrFull, several)} {
		if v, _ := intake(store.Stats{Accepting: err}); strings.Contains(v.Words, "\n") || !strings.Contains(v.Words, "store is failing; input/output error") {
			t.Errorf("%q", v.Words)
		}
	}
}
