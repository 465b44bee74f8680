package main

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"hash"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/verify"
	"github.com/caddy-webhooks/caddy-webhooks/verify/providers"
	"github.com/caddy-webhooks/caddy-webhooks/verify/verifytest"
)

// refusals measures a flood of bad signatures beside a Caddy that refuses
// everything unseen. The gateway logs as it does by default.
func refusals(p plan) error {
	dir := filepath.Join(p.dir, "refusals")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making a directory: %w", err)
	}
	b, err := newBackend()
	if err != nil {
		return err
	}
	defer func() { _ = b.srv.Close() }()
	const names = "respond 401"
	c, err := start(dir, global(dir)+"\n\tlog webhooks {\n\t\tinclude http.handlers.webhooks\n\t\toutput file "+filepath.Join(dir, "log")+"\n\t}",
		site{names, "\trespond 401"}, site{"webhooks", webhooks(b, "")})
	if err != nil {
		return err
	}
	w := &world{child: c, dir: dir}
	say("\nRefusals per second under a flood of bad signatures")
	say("%6s %-28s %10s %9s %9s %10s", "conns", "", "per s", "p50", "p99", "/respond")
	for _, conns := range p.conns {
		loads, err := w.inTurnWith(bad, []string{names, "webhooks"}, conns, p.span)
		if err != nil {
			return err
		}
		for i, name := range []string{names, "webhooks"} {
			l := loads[i]
			say("%6d %-28s %10.0f %9s %9s %10.2f", conns, name, l.rate, short(l.p50), short(l.p99), l.rate/loads[0].rate)
		}
	}
	return c.end()
}

// measured are providers of every scheme, each with the primitive that its
// verification cannot do without; nil where that is no hash.
var measured = []struct {
	provider  string
	primitive func() hash.Hash
}{
	{"github", func() hash.Hash { return hmac.New(sha256.New, []byte(secret)) }},
	{"stripe", func() hash.Hash { return hmac.New(sha256.New, []byte(secret)) }},
	{"shopify", func() hash.Hash { return hmac.New(sha256.New, []byte(secret)) }},
	{"standard-webhooks", func() hash.Hash { return hmac.New(sha256.New, []byte(secret)) }},
	{"intercom", func() hash.Hash { return hmac.New(sha1.New, []byte(secret)) }},
	{"terraform-cloud", func() hash.Hash { return hmac.New(sha512.New, []byte(secret)) }},
	{"contentful", func() hash.Hash { return hmac.New(sha256.New, []byte(secret)) }},
	{"discord", nil},
	{"sendgrid", nil},
	{"paypal", nil},
	{"livekit", nil},
	{"google-pubsub", nil},
	{"telegram", nil},
	{"postmark", nil},
}

// schemes measures what verification costs.
func schemes(plan) error {
	say("\nVerification of one request: ns, allocations, and for HMAC the ratio to the bare primitive")
	say("%-20s %-8s %10s %7s %7s %12s %7s %7s", "", "", "1 KiB", "allocs", "/hmac", "100 KiB", "allocs", "/hmac")
	for _, m := range measured {
		line := ""
		kind := ""
		for _, size := range []int{1 << 10, 100 << 10} {
			v, err := newVerifying(m.provider, size)
			if err != nil {
				return err
			}
			kind = v.sender.Record.Schemes[0].Kind
			ns, allocs := v.cost()
			ratio := "-"
			if m.primitive != nil {
				ratio = fmt.Sprintf("%.2f", ns/bare(m.primitive(), v.request.Body))
			}
			line = fmt.Sprintf("%s %10.0f %7d %7s  ", line, ns, allocs, ratio)
		}
		say("%-20s %-8s%s", m.provider, kind, line)
	}
	return nil
}

// verifying is a request that is verified again and again.
type verifying struct {
	sender  *verifytest.Sender
	request *verify.Request
}

func newVerifying(provider string, size int) (verifying, error) {
	record, ok := providers.Get(provider)
	if !ok {
		return verifying{}, fmt.Errorf("there is no provider %s", provider)
	}
	s, err := verifytest.New(record)
	if err != nil {
		return verifying{}, fmt.Errorf("setting up: %w", err)
	}
	body := fmt.Appendf(nil, `{"id":"evt_1","padding":"%0*d"}`, size-32, 0)
	r, err := s.Sign(body, "evt_1", time.Now())
	if err != nil {
		return verifying{}, fmt.Errorf("signing: %w", err)
	}
	return verifying{s, r}, nil
}

// cost is the best of several measurements: others of the machine only add to it.
func (v verifying) cost() (ns float64, allocs int) {
	now := time.Now()
	one := func() {
		if _, err := v.sender.Verifier.Verify(v.request, now); err != nil {
			panic(err) // it was signed a moment ago
		}
	}
	return best(one), allocations(one)
}

// allocations counts those of one call.
func allocations(f func()) int {
	const times = 1000
	f() // what is kept for later is there
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range times {
		f()
	}
	runtime.ReadMemStats(&after)
	return int((after.Mallocs - before.Mallocs) / times)
}

func bare(h hash.Hash, body []byte) float64 {
	var room [64]byte
	return best(func() {
		h.Reset()
		_, _ = h.Write(body)
		h.Sum(room[:0])
	})
}

// best gives the nanoseconds of one call, in the best of twenty bursts.
func best(f func()) float64 {
	least := math.Inf(1)
	for range 20 {
		n, began := 0, time.Now()
		for ; n%20 != 0 || time.Since(began) < 10*time.Millisecond; n++ {
			f()
		}
		least = min(least, float64(time.Since(began).Nanoseconds())/float64(n))
	}
	return least
}
