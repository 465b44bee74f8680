package storetest

import (
	"fmt"
	"sync"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/store"
)

var claimCases = []testcase{
	{name: "a repeat inside the window is a duplicate of the first", run: repeatInside},
	{name: "a repeat after the window is new", run: repeatAfter},
	{name: "repeats do not make the window longer", run: windowStands},
	{name: "a claim outlives its window while its delivery is pending", run: claimOfPending},
	{name: "a claim outlives its window while its delivery is dead", run: claimOfDead},
	{name: "a hundred concurrent repeats are one event", run: concurrentRepeats},
	{name: "concurrent webhooks of different claims are all stored", run: concurrentOthers},
	{name: "a repeat with another body is noticed and dropped", run: differs},
	{name: "without a claim every webhook is stored", run: unclaimed},
	{name: "the claim's key decides, not the provider's ID", run: scoped},
	{name: "a claim that was taken over makes a repeat, and is not made anew", run: takenOver},
	{name: "a refused webhook leaves no claim behind", run: refusedLeavesNoClaim, backlog: 200},
}

func repeatInside(r *rig) {
	id := r.accept("a")
	r.clock.advance(window - time.Minute)
	r.expect(r.admission("a"), store.Duplicate, id)
	r.through(id, "default", event.Delivered)
	r.expect(r.admission("a"), store.Duplicate, id)
	r.nothing(dest("default"))
}

func repeatAfter(r *rig) {
	id := r.accept("a")
	r.through(id, "default", event.Delivered)
	r.clock.advance(window + time.Minute)
	if again := r.accept("a"); again == id {
		r.Fatalf("the second event has the first one's ID %v", id)
	}
	r.take(dest("default"), 1)
}

func windowStands(r *rig) {
	id := r.accept("a")
	r.through(id, "default", event.Delivered)
	for range 5 {
		r.clock.advance(window / 6)
		r.expect(r.admission("a"), store.Duplicate, id)
	}
	r.clock.advance(window/6 + time.Second)
	r.accept("a")
}

func claimOfPending(r *rig) {
	id := r.accept("a")
	r.clock.advance(5 * window)
	r.expect(r.admission("a"), store.Duplicate, id)
	r.through(id, "default", event.Delivered)
	second := r.accept("a")
	if second == id {
		r.Fatal("after delivery, with the window over, the claim still stands")
	}
	r.expect(r.admission("a"), store.Duplicate, second)
}

func claimOfDead(r *rig) {
	id := r.accept("a")
	r.through(id, "default", event.Dead)
	r.clock.advance(5 * window)
	r.expect(r.admission("a"), store.Revived, id)
	r.through(id, "default", event.Dead)
	r.command(store.Command{Action: store.Discard, Event: id})
	if second := r.accept("a"); second == id {
		r.Fatal("discarded, with the window over, the claim still stands")
	}
}

func concurrentRepeats(r *rig) {
	const n = 100
	s := r.store()
	var wg sync.WaitGroup
	receipts, errs := make([]store.Receipt, n), make([]error, n)
	for i := range n {
		a := r.admission("same")
		wg.Go(func() { receipts[i], errs[i] = s.Accept(r.Context(), a) })
	}
	wg.Wait()
	count := map[store.Result]int{}
	for i, receipt := range receipts {
		if errs[i] != nil || receipt.ID.IsZero() || receipt.ID != receipts[0].ID {
			r.Fatalf("%+v, %v; want the ID %v", receipt, errs[i], receipts[0].ID)
		}
		count[receipt.Result]++
	}
	if count[store.Accepted] != 1 || count[store.Duplicate] != n-1 {
		r.Errorf("%v, want one accepted and the rest duplicates", count)
	}
	r.take(dest("default"), 1)
}

func concurrentOthers(r *rig) {
	const n = 100
	s := r.store()
	var wg sync.WaitGroup
	receipts, errs := make([]store.Receipt, n), make([]error, n)
	for i := range n {
		a := r.admission(fmt.Sprint(i))
		wg.Go(func() { receipts[i], errs[i] = s.Accept(r.Context(), a) })
	}
	wg.Wait()
	seqs := map[uint64]event.ID{}
	for i, receipt := range receipts {
		if errs[i] != nil || receipt.Result != store.Accepted {
			r.Fatalf("%+v, %v", receipt, errs[i])
		}
		seqs[receipt.Seq] = receipt.ID
	}
	if len(seqs) != n {
		r.Fatalf("%d sequence numbers for %d events", len(seqs), n)
	}
	found := map[event.ID]bool{}
	for _, l := range r.take(dest("default"), n) {
		if seqs[l.Event.Seq] != l.Event.ID {
			r.Errorf("leased %v with sequence %d, which is %v", l.Event.ID, l.Event.Seq, seqs[l.Event.Seq])
		}
		found[l.Event.ID] = true
	}
	if len(found) != n {
		r.Errorf("%d events were leased, want %d", len(found), n)
	}
}

func differs(r *rig) {
	id := r.accept("a")
	if same := r.offer(r.admission("a")); same.Differs {
		r.Error("the same body is said to differ")
	}
	other := r.admission("a")
	other.Event.Body, other.Claim.Digest = []byte("another"), 99
	if got := r.offer(other); got.Result != store.Duplicate || !got.Differs || got.ID != id {
		r.Errorf("%+v, want a duplicate of %v that differs", got, id)
	}
	if l := r.one(dest("default"), id); string(l.Event.Body) != "body of a" {
		r.Errorf("the body is now %q", l.Event.Body)
	}
}

func unclaimed(r *rig) {
	seen := map[event.ID]bool{}
	for range 5 {
		a := r.admission("a")
		a.Claim = nil
		receipt := r.offer(a)
		if receipt.Result != store.Accepted || seen[receipt.ID] {
			r.Fatalf("%+v, want another event", receipt)
		}
		seen[receipt.ID] = true
	}
	r.take(dest("default"), 5)
}

func scoped(r *rig) {
	first := r.accept("a")
	other := r.admission("a")
	other.Claim = claim("tenant two: a")
	if got := r.offer(other); got.Result != store.Accepted || got.ID == first {
		r.Errorf("%+v, want another event than %v", got, first)
	}
	twin := r.admission("another provider ID")
	twin.Claim = claim("a")
	twin.Event.Source = "elsewhere"
	r.expect(twin, store.Duplicate, first)
}

func takenOver(r *rig) {
	first := r.accept("a")
	heir := func() store.Admission {
		a := r.admission("a", "heir")
		a.Event.Source, a.Claim = "boutique", claim("boutique: a")
		a.Claim.Digest = uint64(len("a"))
		a.Claim.Also = [][32]byte{claim("none").Key, claim("a").Key}
		return a
	}
	r.expect(heir(), store.Duplicate, first)
	r.through(first, "default", event.Dead)
	r.expect(heir(), store.Revived, first)
	r.through(first, "default", event.Delivered)
	r.expect(heir(), store.Duplicate, first)
	r.clock.advance(window + time.Minute)
	second := r.offer(heir())
	if second.Result != store.Accepted {
		r.Fatalf("with the window over: %+v, want a new event", second)
	}
	r.expect(heir(), store.Duplicate, second.ID)
	if own := r.accept("a"); own == second.ID { // the key of the old source was not claimed
		r.Errorf("an event of the old source has the ID of the new one's: %v", own)
	}
}

func refusedLeavesNoClaim(r *rig) {
	big := r.admission("a")
	big.Event.Body = make([]byte, 101)
	r.refused(big, store.ErrBacklog)
	if rows := r.all(store.Filter{}); len(rows) != 0 {
		r.Fatalf("what was refused is listed: %+v", rows)
	}
	r.nothing(dest("default"))
	id := r.accept("a")
	r.through(id, "default", event.Delivered)
}
