package keys

import "time"

// budget is a bucket of fetches from one host.
type budget struct {
	left float64
	at   time.Time
}

// spend takes one fetch from a host's budget, and from that of all hosts: some
// records let strangers choose among many.
func (f *Fetcher) spend(host string, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	one := f.budgets[host]
	if one == nil {
		if len(f.budgets) >= maxKept {
			clear(f.budgets)
		}
		one = &budget{left: burst, at: now}
		f.budgets[host] = one
	}
	if f.all.at.IsZero() {
		f.all = budget{left: burstAll, at: now}
	}
	one.fill(now, burst, refill)
	f.all.fill(now, burstAll, refillAll)
	if one.left < 1 || f.all.left < 1 {
		return false
	}
	one.left--
	f.all.left--
	return true
}

// fill adds what time has brought. A clock that went back brings nothing.
func (b *budget) fill(now time.Time, most float64, each time.Duration) {
	if gone := now.Sub(b.at); gone > 0 {
		b.left = min(most, b.left+float64(gone)/float64(each))
	}
	b.at = now
}
