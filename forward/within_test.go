package forward_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/forward"
)

func TestWhatAHandlerAnswersAfterItsTimeIsDropped(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		late    time.Duration // after the attempt's end
		cancel  bool
		verdict event.Verdict
		status  int
		says    string
	}{
		"it notices a little late":   {100 * time.Millisecond, false, event.Done, 200, ""},
		"it goes on":                 {time.Hour, false, event.Again, 0, "timeout"},
		"it goes on, and we cancel":  {time.Hour, true, event.Aborted, 0, "cancelled"},
		"late, and we had cancelled": {100 * time.Millisecond, true, event.Done, 200, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			handlers := chain(t, actor, forward.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				if c.cancel {
					time.AfterFunc(30*time.Second, cancel)
				}
				stubborn := does(ctx, func(w http.ResponseWriter, r *http.Request) error {
					<-r.Context().Done()
					time.Sleep(c.late)
					_, err := w.Write([]byte("late"))
					return err
				})
				out := handlers.Forward(stubborn, try(sample(), 1, false))
				defer time.Sleep(c.late) // until the handler has ended too
				if out.Verdict != c.verdict || out.Status != c.status || !strings.Contains(out.Error, c.says) {
					t.Errorf("%+v", out)
				}
				if out.Duration > time.Minute+2*time.Second {
					t.Errorf("it held its worker for %v", out.Duration)
				}
				if loud := strings.Contains(log.String(), "goes on"); loud != (c.late > time.Minute) {
					t.Errorf("logged: %s", log.String())
				}
			})
		})
	}
}
