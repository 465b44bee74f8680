package gateway

import (
	"context"
	"fmt"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/deliver"
	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/store"
)

// hurry asks for room to attempt a new event at once: nothing holds it, and
// nothing goes before it. After true, call offerNow or cancelNow.
func (l *live) hurry(d event.Destination, size int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.dispatcher.Stats() {
		if s.Destination != d {
			continue
		}
		if s.Fresh > 0 || s.Running+l.hurried[d] >= s.Limit || !l.dispatcher.Reserve(d, size) {
			return false
		}
		if l.hurried == nil {
			l.hurried = map[event.Destination]int{}
		}
		l.hurried[d]++
		return true
	}
	return false
}

// offerNow has the attempt made; done is told what it came to.
func (l *live) offerNow(g *Gateway, lease store.Lease, done func(event.Outcome)) {
	g.replies.await(lease.Event.ID, done)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hurried[lease.Destination]--
	l.dispatcher.Offer(lease)
}

// cancelNow gives the room back.
func (l *live) cancelNow(d event.Destination, size int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hurried[d]--
	l.dispatcher.Cancel(d, size)
}

// await notes who waits for an event's next attempt.
func (rs *replies) await(id event.ID, done func(event.Outcome)) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if rs.done == nil {
		rs.done = map[event.ID]func(event.Outcome){}
	}
	rs.done[id] = done
}

// awaited gives who waits for an event's attempt, once; nil if nobody does.
func (rs *replies) awaited(id event.ID) func(event.Outcome) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	done := rs.done[id]
	delete(rs.done, id)
	return done
}

// answering is a forwarder that tells who waits what an attempt came to.
type answering struct {
	deliver.Forwarder
	replies *replies
}

// Forward makes the attempt, and keeps its answer if somebody waits for it.
func (a answering) Forward(ctx context.Context, t event.Try) event.Outcome {
	done := a.replies.awaited(t.Event.ID)
	if done == nil {
		return a.Forwarder.Forward(ctx, t)
	}
	t.Keep = ReplyLimit
	out := a.Forwarder.Forward(ctx, t)
	done(out)
	out.Reply = nil
	return out
}

// Held says in words what keeps new events of the source from being attempted at
// once; empty if nothing does any more.
func (s *Source) Held() string {
	l := s.gateway.live.Load()
	if l == nil {
		return "the store is closed"
	}
	for _, d := range l.store.Stats().Destinations {
		if d.Paused && d.Destination == s.names[0] {
			return "an operator has paused the destination"
		}
	}
	for _, d := range l.dispatcher.Stats() {
		switch {
		case d.Destination != s.names[0]:
		case time.Now().Before(d.HeldUntil):
			return "the application asked to be left alone until " + d.HeldUntil.UTC().Format(time.RFC3339)
		case d.Running >= d.Limit:
			return fmt.Sprintf("attempts are under way (%d), and no more may be just now", d.Running)
		case d.Fresh > 0:
			return fmt.Sprintf("events wait that came before it (%d)", d.Fresh)
		}
	}
	return ""
}
