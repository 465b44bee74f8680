package gateway

import (
	"context"
	"slices"
	"sync"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/store"
)

// ReplyLimit is the largest answer of a backend that is passed on, in bytes.
const ReplyLimit = 64 << 10

// maxReplies bounds the attempts for whose answers providers wait: each may hold
// ReplyLimit bytes.
const maxReplies = 1024

// Reply is the backend's answer to come: an attempt that is made while the
// provider waits.
type Reply struct {
	// settled is closed when it is known whether the attempt is made; id and made
	// are read only after that.
	settled chan struct{}
	id      event.ID
	made    bool
	// ended is closed when the attempt has ended; outcome is read only after that.
	ended   chan struct{}
	outcome event.Outcome
}

// Ended is closed when the attempt has ended and its outcome is settled.
func (r *Reply) Ended() <-chan struct{} { return r.ended }

// Outcome is what the attempt came to. Call it only after Ended.
func (r *Reply) Outcome() event.Outcome { return r.outcome }

// replies are the replies that are waited for, by claim: whoever sends the same
// again meanwhile waits for the same attempt. They are the gateway's, so that
// a reload does not part them.
type replies struct {
	mu sync.Mutex
	by map[[32]byte]*Reply
	// count is how many there are, those without a claim too.
	count int
}

// join gives the reply under way to what has this claim; else one to be made,
// or nil where there are too many already.
func (rs *replies) join(claim *store.Claim) (r *Reply, first bool) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if claim != nil {
		if r, ok := rs.by[claim.Key]; ok {
			return r, false
		}
	}
	if rs.count >= maxReplies {
		return nil, false
	}
	r = &Reply{settled: make(chan struct{}), ended: make(chan struct{})}
	rs.count++
	if claim != nil {
		if rs.by == nil {
			rs.by = map[[32]byte]*Reply{}
		}
		rs.by[claim.Key] = r
	}
	return r, true
}

// leave forgets a reply: who comes later finds none.
func (rs *replies) leave(claim *store.Claim) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.count--
	if claim != nil {
		delete(rs.by, claim.Key)
	}
}

// AcceptAndAsk stores the event as [Source.Accept] does, and has it attempted at
// once, ahead of what waits, if nothing holds it. The reply is that attempt's; of
// a repeat that comes while it is made, the same. It is nil where there is none:
// the event is held, or the repeat of one whose attempt has ended. The source has
// one destination.
func (s *Source) AcceptAndAsk(ctx context.Context, e *event.Event, claim *store.Claim, wants []Want) (store.Receipt, *Reply, error) {
	l := s.gateway.live.Load()
	if l == nil {
		return store.Receipt{}, nil, store.ErrClosed
	}
	want := slices.Concat(wants, []Want{{}})[0] // without wants everything is wanted
	reply, first := s.gateway.replies.join(claim)
	switch {
	case first && !want.Filtered && l.dispatcher.Hurry(s.names[0]):
		return s.ask(ctx, l, reply, store.Admission{
			Event: e, Claim: claim, Share: s.config.Share,
			Owed: []store.Owed{{Destination: s.names[0].Name, Lease: true, Order: want.Order}},
		})
	case first:
		s.gateway.replies.leave(claim)
		close(reply.settled)
	case reply != nil:
		<-reply.settled // nobody is answered before the first one is durable
	}
	receipt, err := s.Accept(ctx, e, claim, wants)
	if err != nil || !reply.is(receipt) {
		reply = nil
	}
	return receipt, reply, err
}

// is tells whether a receipt is of a repeat for which this attempt is made.
func (r *Reply) is(of store.Receipt) bool {
	return r != nil && r.made && of.Result == store.Duplicate && of.ID == r.id
}

// ask stores an event for whose attempt there is room, and has it made.
func (s *Source) ask(ctx context.Context, l *live, reply *Reply, a store.Admission) (store.Receipt, *Reply, error) {
	receipt, err := s.store(ctx, l, a)
	if len(receipt.Leases) == 0 { // a repeat, held by the store, or not stored
		l.dispatcher.CancelNow(s.names[0])
		s.gateway.replies.leave(a.Claim)
		close(reply.settled)
		return receipt, nil, err
	}
	reply.id, reply.made = receipt.ID, true
	close(reply.settled)
	l.dispatcher.OfferNow(receipt.Leases[0], ReplyLimit, func(o event.Outcome) {
		reply.outcome = o
		s.gateway.replies.leave(a.Claim)
		close(reply.ended)
	})
	return receipt, reply, nil
}
