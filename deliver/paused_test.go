package deliver_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/deliver"
	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/store"
)

func TestNothingIsSentAndNothingDiesDuringAPause(t *testing.T) {
	t.Parallel()
	p := deliver.Policy{For: 10 * time.Second, Backoff: deliver.Schedule{First: 4 * time.Second, Max: 4 * time.Second}}
	inWorld(t, p, func(w *world) {
		w.backend.answer = func(context.Context, call) event.Outcome { return status(500) }
		r := w.accept("a")
		synctest.Wait()
		if n := len(w.backend.calls()); n != 1 {
			t.Fatalf("%d attempts before the pause, want 1", n)
		}
		command := func(a store.Action) {
			if _, err := w.store.Command(t.Context(), store.Command{Action: a, Target: shop}); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		command(store.Pause)
		time.Sleep(1000 * time.Hour)
		synctest.Wait()
		if n := len(w.backend.calls()); n != 1 {
			t.Fatalf("%d attempts during the pause", n-1)
		}
		command(store.Resume)
		if d, n := w.state(r), len(w.backend.calls()); n != 2 || d.State != event.Pending {
			t.Fatalf("after a pause of weeks: %d attempts, %v; want the second to have failed, and another to follow", n, d.State)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if d := w.state(r); d.State != event.Dead {
			t.Errorf("its own time is over, and it is %v", d.State)
		}
	})
}
