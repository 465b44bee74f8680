package gateway

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

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
