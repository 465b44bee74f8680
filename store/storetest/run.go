package storetest

import (
	"slices"
	"testing"
)

// testcase is one promise.
type testcase struct {
	name string
	run  func(*rig)
	// backlog is the store's MaxBacklog; 0 for its default.
	backlog int64
	// reopens tells that the case makes no sense for a store that cannot be reopened.
	reopens bool
}

// Run holds the store to its contract. The cases are independent and run in parallel.
func Run(t *testing.T, h Harness) {
	t.Helper()
	for _, c := range slices.Concat(claimCases, queueCases, orderCases, stateCases, commandCases, readCases, importCases, lifeCases) {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if c.reopens && h.Reopen == nil {
				t.Skip("the store cannot be reopened")
			}
			r := newRig(t, h, Options{MaxBacklog: c.backlog})
			c.run(r)
			if t.Failed() || r.shut {
				return
			}
			r.store()
			r.check()
		})
	}
}
