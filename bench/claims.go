package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/store"
	"github.com/caddy-webhooks/caddy-webhooks/store/local"
)

// claim puts n claims into a store, with events that nobody wants.
func claim(dir string, n int) error {
	s, err := local.Open(local.Options{Dir: dir})
	if err != nil {
		return fmt.Errorf("opening the store: %w", err)
	}
	err = many(uint64(n), func(k uint64) error {
		_, err := s.Accept(context.Background(), unwanted(k))
		return err //nolint:wrapcheck // it names the event
	})
	return errors.Join(err, s.Close())
}

// many calls put with each number from 1 to n, from enough goroutines to fill the
// store's batches.
func many(n uint64, put func(k uint64) error) error {
	var next atomic.Uint64
	errs := make([]error, 128)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() {
			for k := next.Add(1); k <= n && errs[i] == nil; k = next.Add(1) {
				errs[i] = put(k)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func unwanted(k uint64) store.Admission {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], k)
	return store.Admission{
		Event: &event.Event{
			Source: "github", Provider: "github", ProviderID: fmt.Sprint(k), Type: "push",
			Received: time.Now(), Method: http.MethodPost, URI: "/hook", Header: http.Header{}, Body: []byte("{}"),
		},
		Claim: &store.Claim{Key: sha256.Sum256(b[:]), Window: 7 * 24 * time.Hour},
		Owed:  []store.Owed{{Destination: "default", Filtered: true}},
	}
}
