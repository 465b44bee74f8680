package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// sites of one Caddy process: what the gateway is compared with.
func sites(hooked, plain *backend) []site {
	return []site{
		{"respond", "\trespond 200"},
		{"reverse_proxy", "\treverse_proxy " + plain.addr},
		{"webhooks", webhooks(hooked, "")},
	}
}

func webhooks(b *backend, more string) string {
	return fmt.Sprintf("\twebhooks {\n\t\tfrom github {env.BENCH_SECRET}\n\t\tto %s {\n%s\n\t\t}\n\t}", b.addr, more)
}

func global(dir string) string {
	return fmt.Sprintf("\twebhooks {\n\t\tstore local %s\n\t\tmax_backlog 100GiB\n\t}", filepath.Join(dir, "store"))
}

// world is a gateway with its backends: hooked gets the webhooks, and plain
// what the proxy passes on.
type world struct {
	*child
	hooked, plain *backend
	dir           string
}

func newWorld(p plan, name string) (*world, error) {
	dir := filepath.Join(p.dir, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making a directory: %w", err)
	}
	w := &world{dir: dir}
	var err error
	if w.hooked, err = newBackend(); err != nil {
		return nil, err
	}
	if w.plain, err = newBackend(); err != nil {
		return nil, err
	}
	if w.child, err = start(dir, global(dir), sites(w.hooked, w.plain)...); err != nil {
		return nil, err
	}
	return w, nil
}

func (w *world) close() error {
	err := w.end()
	_ = w.hooked.srv.Close()
	_ = w.plain.srv.Close()
	return err
}

// rounds is how often what is compared takes turns, so that a busy minute of
// the machine falls on all of it.
const rounds = 5

// accepts measures intake. The application behind it hangs meanwhile, so that
// it is intake alone; a second figure has it deliver at the same time.
func accepts(p plan) error {
	w, err := newWorld(p, "accepts")
	if err != nil {
		return err
	}
	say("\nDurable accepts per second (p50/p99), beside plain Caddy in the same process")
	say("%6s %-28s %10s %9s %9s %10s %10s", "conns", "", "per s", "p50", "p99", "/respond", "/proxy")
	for _, conns := range p.conns {
		if err := acceptRows(p, w, conns); err != nil {
			return err
		}
	}
	return w.close()
}

func acceptRows(p plan, w *world, conns int) error {
	release := w.hooked.hang()
	names := []string{"respond", "reverse_proxy", "webhooks"}
	loads, err := w.inTurn(names, conns, p.span)
	if err == nil && p.profile != "" && conns == 64 {
		err = profiled(p, w, conns)
	}
	release()
	if err != nil {
		return err
	}
	if err := w.drained(); err != nil {
		return err
	}
	both, err := hammer(w.addrs["webhooks"], conns, p.span, 0)
	if err != nil {
		return fmt.Errorf("webhooks: %w", err)
	}
	for i, name := range append(names, "webhooks, delivering too") {
		l := append(loads, both)[i]
		say("%6d %-28s %10.0f %9s %9s %10.2f %10.2f", conns, name, l.rate, short(l.p50), short(l.p99), l.rate/loads[0].rate, l.rate/loads[1].rate)
	}
	return w.drained()
}

// inTurn hammers the named sites, each for span in all.
func (w *world) inTurn(names []string, conns int, span time.Duration) ([]load, error) {
	return w.inTurnWith(good, names, conns, span)
}

func (w *world) inTurnWith(k kind, names []string, conns int, span time.Duration) ([]load, error) {
	loads := make([]load, len(names))
	for range rounds {
		for i, name := range names {
			l, err := hammerWith(k, w.addrs[name], conns, span/rounds, 0)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			loads[i] = loads[i].and(l)
		}
	}
	return loads, nil
}

// profiled hammers once more, and takes a CPU profile of the gateway meanwhile.
func profiled(p plan, w *world, conns int) error {
	f, err := os.Create(p.profile)
	if err != nil {
		return fmt.Errorf("writing the profile: %w", err)
	}
	defer func() { _ = f.Close() }()
	failed := make(chan error, 1)
	go func() {
		resp, err := http.Get(fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", w.admin, max(1, int(p.span.Seconds())-1)))
		if err == nil {
			_, err = io.Copy(f, resp.Body)
			_ = resp.Body.Close()
		}
		failed <- err
	}()
	_, err = hammer(w.addrs["webhooks"], conns, p.span, 0)
	return errors.Join(err, <-failed)
}

// drained waits until nothing is pending.
func (w *world) drained() error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(10 * time.Minute); time.Now().Before(end); <-tick.C {
		n, err := w.pending()
		if err != nil {
			return err
		}
		if n == 0 {
			return nil
		}
	}
	return fmt.Errorf("the backlog did not drain in ten minutes")
}

// deliveries measures how fast events reach the backend.
func deliveries(p plan) error {
	w, err := newWorld(p, "deliveries")
	if err != nil {
		return err
	}
	proxy, err := hammer(w.addrs["reverse_proxy"], 16, p.span, 0)
	if err != nil {
		return fmt.Errorf("reverse_proxy: %w", err)
	}
	straight, err := w.live(p)
	if err != nil {
		return err
	}
	if err := w.fill(p.waiting); err != nil {
		return err
	}
	backlog, err := w.drain()
	if err != nil {
		return err
	}
	say("\nDeliveries per second, 16 at once")
	say("%-42s %10s %10s", "", "per s", "/proxy")
	say("%-42s %10.0f %10.2f", "reverse_proxy, 16 connections", proxy.rate, 1.0)
	say("%-42s %10.0f %10.2f", "webhooks, accepting and delivering", straight, straight/proxy.rate)
	say("%-42s %10.0f %10.2f", fmt.Sprintf("webhooks, draining %d", p.waiting), backlog, backlog/proxy.rate)
	return w.close()
}

// live is the rate at which events that come over 16 connections are both
// accepted and delivered.
func (w *world) live(p plan) (float64, error) {
	before, began := w.hooked.got.Load(), time.Now()
	if _, err := hammer(w.addrs["webhooks"], 16, p.span, 0); err != nil {
		return 0, fmt.Errorf("webhooks: %w", err)
	}
	if err := w.drained(); err != nil {
		return 0, err
	}
	return float64(w.hooked.got.Load()-before) / time.Since(began).Seconds(), nil
}

// fill lets n events wait while the backend hangs.
func (w *world) fill(n int) error {
	release := w.hooked.hang()
	defer release()
	if _, err := hammer(w.addrs["webhooks"], 64, time.Hour, int64(n)); err != nil {
		return fmt.Errorf("filling the backlog: %w", err)
	}
	return nil
}

// drain is the rate at which the backlog then reaches the backend.
func (w *world) drain() (float64, error) {
	before, began := w.hooked.got.Load(), time.Now()
	if err := w.drained(); err != nil {
		return 0, err
	}
	return float64(w.hooked.got.Load()-before) / time.Since(began).Seconds(), nil
}

// memory measures what the gateway weighs beside plain Caddy, and how fast it
// starts with a backlog.
func memory(p plan) error {
	dir := filepath.Join(p.dir, "plain")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making a directory: %w", err)
	}
	plain, err := start(dir, "", site{"respond", "\trespond 200"})
	if err != nil {
		return err
	}
	say("\nMemory in MiB (own / resident), and start-up")
	weigh := func(name string, c *child) {
		anon, all := c.rss()
		say("%-44s %8.0f / %.0f", name, anon, all)
	}
	weigh("plain Caddy, idle", plain)
	if _, err := hammer(plain.addrs["respond"], 64, p.span, 0); err != nil {
		return fmt.Errorf("respond: %w", err)
	}
	weigh("plain Caddy, after 64 connections", plain)
	if err := plain.end(); err != nil {
		return err
	}
	return gatewayMemory(p, plain, weigh)
}

func gatewayMemory(p plan, plain *child, weigh func(string, *child)) error {
	w, err := newWorld(p, "memory")
	if err != nil {
		return err
	}
	weigh("webhooks, idle", w.child)
	release := w.hooked.hang()
	if _, err := hammer(w.addrs["webhooks"], 64, p.span, 0); err != nil {
		return fmt.Errorf("webhooks: %w", err)
	}
	weigh("webhooks, under 64 connections", w.child)
	release()
	if err := w.drained(); err != nil {
		return err
	}
	release = w.hooked.hang()
	if _, err := hammer(w.addrs["webhooks"], 64, time.Hour, int64(p.waiting)); err != nil {
		return fmt.Errorf("webhooks: %w", err)
	}
	weigh(fmt.Sprintf("webhooks, %d waiting", p.waiting), w.child)
	err = w.end()
	release()
	if err != nil {
		return err
	}
	release = w.hooked.hang()
	defer release()
	again, err := start(w.dir, global(w.dir), sites(w.hooked, w.plain)...)
	if err != nil {
		return err
	}
	weigh(fmt.Sprintf("webhooks, started with %d waiting", p.waiting), again)
	say("%-44s %8s (plain Caddy: %s)", "start-up with them", short(again.began), short(plain.began))
	return again.end()
}

// manyClaims measures intake again with many claims in the index.
func manyClaims(p plan) error {
	dir := filepath.Join(p.dir, "claims")
	if err := claim(filepath.Join(dir, "store"), p.claims); err != nil {
		return err
	}
	w, err := newWorld(p, "claims")
	if err != nil {
		return err
	}
	conns := p.conns[len(p.conns)/2]
	release := w.hooked.hang()
	loads, err := w.inTurn([]string{"respond", "webhooks"}, conns, p.span)
	release()
	if err != nil {
		return err
	}
	respond, hooks := loads[0], loads[1]
	say("\nWith %d claims in the index, %d connections", p.claims, conns)
	say("%-28s %10.0f per s, p50 %s, p99 %s", "respond", respond.rate, short(respond.p50), short(respond.p99))
	say("%-28s %10.0f per s, p50 %s, p99 %s, %.2f of respond", "webhooks", hooks.rate, short(hooks.p50), short(hooks.p99), hooks.rate/respond.rate)
	return w.close()
}

func short(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return fmt.Sprintf("%dµs", d.Microseconds())
	case d < time.Second:
		return fmt.Sprintf("%.1fms", float64(d.Microseconds())/1000)
	default:
		return fmt.Sprintf("%.1fs", d.Seconds())
	}
}
