package deliver

import (
	"slices"
	"time"
)

const (
	// roundSize is the least number of attempts by which the pace is judged.
	roundSize = 8
	// freeLimit is up to where the limit grows although nothing has used it: a
	// quiet destination should be able to take a handful of events at once.
	freeLimit = 4
	// slack is added to the floor: below it no backend suffers, and a latency of
	// some hundred microseconds says more of this machine than of the backend.
	slack = 500 * time.Microsecond
	// growBelow and shrinkAbove bound how many attempts may wait in the backend's
	// own queue, as far as latency tells.
	growBelow   = 1.0
	shrinkAbove = 3.0
	// measureEvery is how often, at most, the floor is measured anew while latency
	// holds the limit down; measuring takes roundSize attempts, one at a time, so
	// for a slow backend it is as rare as measureShare times such a measurement.
	measureEvery = 30 * time.Second
	measureShare = 20
)

// pace says how many attempts may run at once: one more after each round of good
// answers that came about as fast as they come when nothing else runs, one less
// when they take clearly longer, half after failures. What latency adds to its
// floor is time in the backend's queue; by Little's law that is
// limit·(1-floor/latency) attempts (TCP Vegas reckons so). It begins with
// freeLimit, and with one after the destination was down.
//
// It has neither clock nor lock of its own.
type pace struct {
	ceiling int
	limit   float64
	// epoch counts the halvings. What began before the last one does not count.
	epoch uint64

	// floor is the mean latency of attempts that ran alone, once it is known. While
	// it is measured, attempts go one at a time.
	floor     time.Duration
	known     bool
	measuring bool
	alone     round
	measured  time.Time

	round round
	full  bool // the limit was used in this round
	// failed has the different events that failed in this round.
	failed []uint64
}

type round struct {
	n   int
	sum time.Duration
}

func (r *round) add(d time.Duration) { r.n++; r.sum += d }

func (r *round) mean() time.Duration { return r.sum / time.Duration(max(r.n, 1)) }

func newPace(ceiling int) pace { return pace{ceiling: ceiling, limit: freeLimit} }

// slots is how many attempts may run at once.
func (p *pace) slots() int {
	if p.measuring {
		return 1
	}
	return max(min(int(p.limit), p.ceiling), 1)
}

// restart begins anew with one.
func (p *pace) restart() {
	*p = pace{ceiling: p.ceiling, limit: 1, measuring: true, epoch: p.epoch + 1}
}

// took takes an attempt into account that was answered. running is how many ran
// when it began, itself included; alone tells that no other did until it ended.
func (p *pace) took(d time.Duration, epoch uint64, running int, alone bool, now time.Time) {
	if epoch != p.epoch {
		return
	}
	if alone {
		p.alone.add(d)
		if p.alone.n >= roundSize || !p.known && p.alone.n >= roundSize/2 {
			p.floor, p.known, p.measured, p.alone = p.alone.mean(), true, now, round{}
			p.measuring = false
		}
	}
	p.full = p.full || running >= p.slots()
	p.round.add(d)
	if p.round.n >= max(roundSize/2, int(p.limit)) {
		p.judge(now)
	}
}

// judge ends a round.
func (p *pace) judge(now time.Time) {
	mean, full := p.round.mean(), p.full
	p.round, p.full, p.failed = round{}, false, nil
	if !p.known {
		p.measuring = full
		return
	}
	queue := p.limit * (1 - float64(p.floor+slack)/float64(max(mean, p.floor+slack)))
	switch {
	case queue > shrinkAbove:
		p.limit = max(p.limit-1, 1)
	case queue < growBelow && (full || p.limit < freeLimit):
		p.limit = min(p.limit+1, float64(p.ceiling))
	}
	if queue >= growBelow && full && now.Sub(p.measured) >= max(measureEvery, measureShare*roundSize*p.floor) {
		p.known, p.measuring, p.alone = false, true, round{} // what was fast may have become slow for good
	}
}

// fails takes a failure into account: the second different event that fails in a
// round halves the limit. One event alone may be to blame itself.
func (p *pace) fails(seq, epoch uint64) {
	if epoch != p.epoch || slices.Contains(p.failed, seq) {
		return
	}
	if p.failed = append(p.failed, seq); len(p.failed) >= 2 {
		p.halve(epoch)
	}
}

// halve is what a backend that says itself that it is too much gets.
func (p *pace) halve(epoch uint64) {
	if epoch != p.epoch {
		return
	}
	p.limit = max(p.limit/2, 1)
	p.epoch++
	p.round, p.full, p.failed = round{}, false, nil
}

// resize sets another ceiling.
func (p *pace) resize(ceiling int) {
	p.ceiling = ceiling
	p.limit = min(p.limit, float64(ceiling))
}
