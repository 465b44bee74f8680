package deliver

import "time"

// bucket holds a destination to a rate: a token for each attempt, at most as many
// as come in one second.
//
// It has neither clock nor lock of its own. A zero one has no limit.
type bucket struct {
	rate   float64 // tokens per second; 0: no limit
	tokens float64
	at     time.Time
}

func (b *bucket) burst() float64 { return max(b.rate, 1) }

// set changes the rate. What is left is scaled with it, so that a reload refills
// nothing. A bucket that is new begins with one token: nobody knows what was sent
// before the process started.
func (b *bucket) set(rate float64, now time.Time) {
	switch {
	case rate == b.rate:
		return
	case b.rate == 0:
		b.tokens = 1
	case rate > 0:
		b.fill(now)
		b.tokens = min(b.tokens*rate/b.rate, max(rate, 1))
	}
	b.rate, b.at = rate, now
}

func (b *bucket) fill(now time.Time) {
	if passed := now.Sub(b.at); passed > 0 {
		b.tokens = min(b.tokens+passed.Seconds()*b.rate, b.burst())
	}
	b.at = now
}

// enough is a token but for what is lost in reckoning.
const enough = 1 - 1e-9

// wait is how long it takes until there is a token; 0 if there is one.
func (b *bucket) wait(now time.Time) time.Duration {
	if b.rate == 0 {
		return 0
	}
	b.fill(now)
	if b.tokens >= enough {
		return 0
	}
	return time.Duration((1-b.tokens)/b.rate*float64(time.Second)) + 1
}

// take takes a token; without a rate there are none to count.
func (b *bucket) take() {
	if b.rate > 0 {
		b.tokens--
	}
}

// give takes back that a token was taken.
func (b *bucket) give() { b.tokens = min(b.tokens+1, b.burst()) }
