package deliver_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/deliver"
	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/store/memory"
)

func TestAnApplicationThatAlwaysCutsItsAnswersShortIsNamedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		w := &world{T: t, store: memory.New(memory.Options{}), backend: new(backend)}
		w.d = deliver.New(deliver.Options{
			Queue: w.store, Float: func() float64 { return 0.5 }, Logger: slog.New(slog.NewTextHandler(&log, nil)),
		})
		w.configure(deliver.Policy{})
		w.backend.answer = func(_ context.Context, c call) event.Outcome {
			out := status(200)
			out.Truncated = true
			if c.id == "one" && c.attempt == 3 {
				return ok()
			}
			return out
		}
		w.d.Start()
		w.accept("one")
		time.Sleep(time.Minute)
		synctest.Wait()
		if strings.Contains(log.String(), "accept_cut_answer") {
			t.Errorf("after two cut answers:\n%s", log.String())
		}
		w.accept("two")
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := strings.Count(log.String(), "accept_cut_answer"); n != 1 {
			t.Errorf("it is said %d times, want once:\n%s", n, log.String())
		}
		w.d.Stop(t.Context())
	})
}
