package gateway

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestABodyWaitsForItsShareAndThenGivesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &Budget{limit: 10}
		if err := b.Take(t.Context(), 8); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if err := b.Take(t.Context(), 4); !errors.Is(err, ErrInflight) {
			t.Errorf("took 12 of 10 bytes: %v", err)
		}
		if waited := time.Since(began); waited != budgetWait {
			t.Errorf("waited %v, want %v", waited, budgetWait)
		}
		if err := b.Take(t.Context(), 2); err != nil {
			t.Errorf("the last 2 of 10 bytes, after one gave up: %v", err)
		}
	})
}

func TestAWaitingBodyGoesOnWhenAnotherIsDone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &Budget{limit: 10}
		if err := b.Take(t.Context(), 10); err != nil {
			t.Fatal(err)
		}
		got := make(chan error, 2)
		go func() { got <- b.Take(t.Context(), 6) }()
		synctest.Wait()
		go func() { got <- b.Take(t.Context(), 1) }() // small, but behind the other
		synctest.Wait()
		b.Give(5)
		synctest.Wait()
		if len(got) != 0 {
			t.Error("a small body overtook a large one that waited longer")
		}
		b.Give(5)
		synctest.Wait()
		if len(got) != 2 || <-got != nil || <-got != nil {
			t.Error("the waiting bodies did not get their share")
		}
	})
}

func TestABodyLargerThanTheBudgetPassesAlone(t *testing.T) {
	t.Parallel()
	b := &Budget{limit: 10}
	if err := b.Take(t.Context(), 100); err != nil {
		t.Fatalf("alone: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.Take(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("beside it: %v", err)
	}
	b.Give(100)
	if err := b.Take(t.Context(), 10); err != nil {
		t.Errorf("after it: %v", err)
	}
}
