package gateway

import (
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/internal/testkit"
	"github.com/caddy-webhooks/caddy-webhooks/store"
)

// waiting is an application that answers when it may.
type waiting struct{ began, release chan struct{} }

func newWaiting() waiting {
	return waiting{make(chan struct{}, 8), make(chan struct{})}
}

func (a waiting) handler() handlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		a.began <- struct{}{}
		select {
		case <-a.release:
		case <-r.Context().Done():
		}
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, "hi")
		return nil
	}
}

func claimOf(name string) *store.Claim {
	c := &store.Claim{Window: time.Hour}
	copy(c.Key[:], name)
	return c
}

// ask stores an event, and insists on what became of it.
func ask(t *testing.T, s *Source, claim *store.Claim, want store.Result) (store.Receipt, *Reply) {
	t.Helper()
	receipt, reply, err := s.AcceptAndAsk(t.Context(), webhook("github"), claim, nil)
	if err != nil || receipt.Result != want {
		t.Fatalf("%v, %v; want %v", receipt.Result, err, want)
	}
	return receipt, reply
}

// empty insists that nobody is waited for any more.
func (rs *replies) empty(t *testing.T) {
	t.Helper()
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if len(rs.by) != 0 || rs.count != 0 {
		t.Errorf("%d replies are left, %d with a claim", rs.count, len(rs.by))
	}
}

// The tests of this file are not parallel: the pool is the process's.

func TestARepeatAfterAReloadWaitsForTheSameAttempt(t *testing.T) {
	first, a := &App{Store: &Store{Kind: kindMemory}}, newWaiting()
	s := register(t, first, chain(t, provision(t, first), a.handler()), "github")
	if _, _, err := s.AcceptAndAsk(t.Context(), webhook("github"), nil, nil); err == nil {
		t.Fatal("accepted before the store was open")
	}
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	receipt, reply := ask(t, s, claimOf("a"), store.Accepted)
	<-a.began

	second := &App{Store: &Store{Kind: kindMemory}}
	again := register(t, second, chain(t, provision(t, second), a.handler()), "github")
	if err := second.Start(); err != nil {
		t.Fatal(err)
	}
	end(t, first)
	repeat, same := ask(t, again, claimOf("a"), store.Duplicate)
	if same != reply || repeat.ID != receipt.ID {
		t.Errorf("the repeat of %s is %s, and waits for another attempt", receipt.ID, repeat.ID)
	}
	close(a.release)
	<-same.Ended()
	if o := same.Outcome(); o.Verdict != event.Done || o.Status != http.StatusCreated || string(o.Reply) != "hi" || o.ReplyCut {
		t.Errorf("the outcome is %+v", o)
	}
	if _, late := ask(t, again, claimOf("a"), store.Duplicate); late != nil {
		t.Error("a late repeat waits for an attempt that is over")
	}
	again.gateway.replies.empty(t)
	end(t, second)
}

func TestAnExitEndsTheWaiting(t *testing.T) {
	app, a := &App{Store: &Store{Kind: kindMemory}}, newWaiting()
	s := register(t, app, chain(t, provision(t, app), a.handler()), "github")
	if err := app.Start(); err != nil {
		t.Fatal(err)
	}
	app.grace = time.Nanosecond
	_, reply := ask(t, s, nil, store.Accepted)
	<-a.began
	end(t, app)
	<-reply.Ended()
	if o := reply.Outcome(); o.Verdict != event.Aborted && o.Status != http.StatusCreated {
		t.Errorf("the outcome is %+v", o)
	}
	s.gateway.replies.empty(t)
}

func TestSoManyAnswersAreWaitedForAndNoMore(t *testing.T) {
	app, a := &App{Store: &Store{Kind: kindMemory}}, newWaiting()
	close(a.release)
	s := register(t, app, chain(t, provision(t, app), a.handler()), "github")
	if err := app.Start(); err != nil {
		t.Fatal(err)
	}
	defer end(t, app)
	rs := &s.gateway.replies
	rs.count = maxReplies
	if _, reply := ask(t, s, claimOf("a"), store.Accepted); reply != nil {
		t.Error("one more is waited for")
	}
	<-a.began // it is delivered all the same
	rs.mu.Lock()
	rs.count--
	rs.mu.Unlock()
	testkit.Eventually(t, "a slot is free", func() bool { return s.Held() == "" })
	_, reply := ask(t, s, claimOf("b"), store.Accepted)
	if reply == nil {
		t.Fatal("nobody is waited for though there is room")
	}
	<-reply.Ended()
	rs.count -= maxReplies - 1
	rs.empty(t)
}

func TestNoReplyIsLeftWhereNothingIsAsked(t *testing.T) {
	app, a := &App{Store: &Store{Kind: kindMemory}, MaxBacklog: 4}, newWaiting()
	s := register(t, app, chain(t, provision(t, app), a.handler()), "github")
	if err := app.Start(); err != nil {
		t.Fatal(err)
	}
	defer end(t, app)
	defer close(a.release)
	if _, reply, err := s.AcceptAndAsk(t.Context(), webhook("github"), claimOf("a"), []Want{{Filtered: true}}); err != nil || reply != nil {
		t.Errorf("an event that is not wanted: %v, %v", reply, err)
	}
	s.gateway.replies.empty(t)
	if _, reply := ask(t, s, claimOf("b"), store.Accepted); reply == nil {
		t.Error("nothing is asked")
	}
	if _, reply, err := s.AcceptAndAsk(t.Context(), webhook("github"), claimOf("c"), nil); err == nil || reply != nil {
		t.Errorf("over the limit: %v, %v", reply, err)
	}
	if n := len(s.gateway.replies.by); n != 1 {
		t.Errorf("%d replies are under way, want 1", n)
	}
}

func TestAnswersAreCountedByWhoGaveThem(t *testing.T) {
	app := &App{Store: &Store{Kind: kindMemory}}
	ctx := provision(t, app)
	s := register(t, app, chain(t, ctx, newWaiting().handler()), "github")
	if err := app.Start(); err != nil {
		t.Fatal(err)
	}
	defer end(t, app)
	s.Answered("")
	s.Answered("late")
	s.Answered("late")
	families, err := ctx.GetMetricsRegistry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == prefix+"answers_total" {
				labels := ""
				for _, l := range m.GetLabel() {
					labels += l.GetName() + "=" + l.GetValue() + " "
				}
				got[labels] = m.GetCounter().GetValue()
			}
		}
	}
	want := map[string]float64{"answer=backend reason= source=github ": 1, "answer=fallback reason=late source=github ": 2}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestWhatHoldsAnEventIsSaidInWords(t *testing.T) {
	app, a := &App{Store: &Store{Kind: kindMemory}}, newWaiting()
	ctx := provision(t, app)
	s, err := app.Register(SourceConfig{Name: "github", Destinations: []Destination{{Name: "default", Concurrency: 1, Routes: chain(t, ctx, a.handler())}}})
	if err != nil {
		t.Fatal(err)
	}
	says := func(want string) {
		t.Helper()
		if got := s.Held(); !strings.Contains(got, want) || (want == "") != (got == "") {
			t.Errorf("it says %q, want %q", got, want)
		}
	}
	says("closed")
	if err := app.Start(); err != nil {
		t.Fatal(err)
	}
	defer end(t, app)
	says("")
	_, reply := ask(t, s, nil, store.Accepted)
	<-a.began
	says("under way (1)")
	close(a.release)
	<-reply.Ended()
	c := store.Command{Action: store.Pause, Target: event.Destination{Source: "github", Name: "default"}}
	if _, err := s.gateway.Store().Command(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	says("an operator")
}
