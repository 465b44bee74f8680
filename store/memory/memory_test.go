package memory_test

import (
	"fmt"
	"testing"

	"github.com/caddy-webhooks/caddy-webhooks/store"
	"github.com/caddy-webhooks/caddy-webhooks/store/memory"
	"github.com/caddy-webhooks/caddy-webhooks/store/storetest"
)

var harness = storetest.Harness{Open: func(t *testing.T, o storetest.Options) store.Store {
	t.Helper()
	s := memory.New(memory.Options{Now: o.Now, MaxBacklog: o.MaxBacklog})
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	return s
}}

func TestMemoryKeepsTheContract(t *testing.T) {
	t.Parallel()
	storetest.Run(t, harness)
}

func TestMemoryAnswersAsTheModelDoes(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			storetest.Model(t, harness, seed, 1000)
		})
	}
}
