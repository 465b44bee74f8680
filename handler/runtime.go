package handler

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/gateway"
	"github.com/caddy-webhooks/caddy-webhooks/verify"
	"github.com/caddy-webhooks/caddy-webhooks/verify/keys"
)

// publisher gets what providers publish, and addresses that they ask to be got.
type publisher interface {
	verify.Keys
	Visit(address string, now time.Time) error
}

// published is one for the process: what it holds outlives a reload.
var published = sync.OnceValue(func() publisher { return keys.New(keys.Options{}) })

// runtime is what a provisioned handler works with: one snapshot of the
// configuration, so nothing is looked up twice during a request.
type runtime struct {
	log      *slog.Logger
	now      func() time.Time
	source   *gateway.Source
	record   *verify.Record
	verifier atomic.Pointer[verify.Verifier]
	secrets  *secrets
	// published gets the keys that providers publish.
	published publisher
	options   map[string][]string
	ids       []verify.Pick
	typ       *verify.Pick
	success   verify.Answer
	maxBody   int64
	window    time.Duration
	// choosers has one for each destination; nil if all take everything.
	choosers []*chooser
	// looksAtBody tells that one of them uses {http.request.body}.
	looksAtBody bool
	// nobody is what is known of an event before it is proven.
	nobody *event.Event
	// within is how long a provider waits for the backend's answer; 0: it does not.
	within time.Duration
	// alarm rings once after a time; nil means a timer.
	alarm   func(time.Duration) (rings <-chan time.Time, stop func())
	say     limiters // refused requests, by reason
	sayDiff limiter  // duplicates that differ
	sayOwn  limiters // answers that are not the backend's, by reason
	former  *former
	looking sync.WaitGroup // diagnoses under way

	// Clock tells the time at which events come; default: time.Now. It is no part
	// of the configuration: with it, a test can have an event delivered hours later.
	Clock func() time.Time `json:"-"`
}
