package journal_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/store/local/journal"
	"github.com/caddy-webhooks/caddy-webhooks/store/local/journal/faultfs"
)

func TestARoundThatHangsIsMeasured(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j, _, _ := open(t, small(faultfs.New(1).Boot()), journal.Mark{})
		if busy := j.Busy(); busy != 0 {
			t.Errorf("at rest it is busy for %v", busy)
		}
		gate := make(chan struct{})
		first := entry("first", nil)
		first.Done = func(journal.Stamp, error) { <-gate }
		if err := j.Append(t.Context(), first); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if busy := j.Busy(); busy != time.Minute {
			t.Errorf("in a round that hangs it is busy for %v, want a minute", busy)
		}
		close(gate)
		synctest.Wait()
		if busy := j.Busy(); busy != 0 {
			t.Errorf("afterwards it is busy for %v", busy)
		}
		closeJournal(t, j)
	})
}
