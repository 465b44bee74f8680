package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/store"
	"github.com/caddy-webhooks/caddy-webhooks/store/local"
)

// What the store is filled with to be looked at.
const (
	lookSources = 10
	lookTypes   = 20
	lookDays    = 30
	// looks is how often each page is asked for.
	looks = 200
	// leastPage is more than an empty answer has, in bytes.
	leastPage = 100
)

// past is the k-th of n events of the last month: 98 of 100 delivered, one dead, and
// the last pending at a destination that nobody has configured.
func past(k, n uint64, now time.Time) store.Import {
	received := now.Add(-time.Duration(n-k) * (lookDays * 24 * time.Hour / time.Duration(n))) // the product of all would not fit
	e := &event.Event{
		Source: fmt.Sprint("source", k%lookSources), Provider: "github", ProviderID: fmt.Sprint("id-", k), Type: fmt.Sprint("type", k%lookTypes),
		Received: received, Method: http.MethodPost, URI: "/hook", OriginalURI: "/hook", Host: "example.com",
		Header: http.Header{"Content-Type": {"application/json"}, "User-Agent": {"bench"}},
		Body:   fmt.Appendf(nil, `{"n":%d,"data":{"object":{"customer":"cus_%d"}},"padding":"%0400d"}`, k, k%1000, 0),
	}
	d := event.Delivery{Destination: "default", State: event.Delivered, Attempts: 1, DeliveredAt: received, SettledAt: now}
	switch k % 100 {
	case 0:
		d.State, d.DeliveredAt = event.Dead, time.Time{}
	case 1:
		d = event.Delivery{Destination: "default", State: event.Pending, Next: received}
	}
	return store.Import{Share: 1 << 40, Record: store.Record{Event: e, Row: store.Row{
		ID: event.NewID(received, k, 0x5eed, 1), Source: e.Source, Provider: e.Provider, ProviderID: e.ProviderID, Type: e.Type,
		Received: received, Size: len(e.Body), Deliveries: []event.Delivery{d},
	}}}
}

// fillPast puts n events into a store.
func fillPast(dir string, n uint64, now time.Time) error {
	s, err := local.Open(local.Options{Dir: dir, Limits: store.Limits{MaxBacklog: 1 << 40, Retention: 100 * 24 * time.Hour}})
	if err != nil {
		return fmt.Errorf("opening the store: %w", err)
	}
	err = many(n, func(k uint64) error {
		_, err := s.Import(context.Background(), past(k, n, now))
		return err //nolint:wrapcheck // it names the event
	})
	return errors.Join(err, s.Close())
}

// look measures what operators ask for over a month of events, and what accepting
// costs meanwhile.
func look(p plan) error {
	dir := filepath.Join(p.dir, "look")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making a directory: %w", err)
	}
	n, at := uint64(p.claims), time.Now()
	if err := fillPast(filepath.Join(dir, "store"), n, at); err != nil {
		return err
	}
	b, err := newBackend()
	if err != nil {
		return err
	}
	defer func() { _ = b.srv.Close() }()
	c, err := start(dir, global(dir), site{"webhooks", webhooks(b, "")}, site{"dashboard", "\twebhooks_dashboard {\n\t\tallow_anonymous\n\t}"})
	if err != nil {
		return err
	}
	say("\nLooking at %d events of %d days: start-up %s", n, lookDays, short(c.began))
	say("%-52s %9s %9s %9s %10s", "page", "p50", "p99", "most", "bytes")
	if err := pages(c, n, at); err != nil {
		return err
	}
	if err := exported(c); err != nil {
		return err
	}
	if err := meanwhile(p, c); err != nil {
		return err
	}
	return c.end()
}

// pages asks for each kind of page again and again, about other events each time.
func pages(c *child, n uint64, at time.Time) error {
	api, dashboard := "http://"+c.admin+"/webhooks/", "http://"+c.addrs["dashboard"]+"/"
	some := func() uint64 { return 1 + rand.Uint64N(n) }
	days := func() string { return fmt.Sprintf("-%dd", 1+some()%lookDays) }
	source := func() string { return fmt.Sprint("source", some()%lookSources) }
	events := func(pairs ...string) string {
		q := url.Values{}
		for i := 0; i < len(pairs); i += 2 {
			q.Set(pairs[i], pairs[i+1])
		}
		return api + "events?" + q.Encode()
	}
	for _, kind := range []struct {
		name   string
		target func() string
		times  int
	}{
		{"events, the newest 50", func() string { return events() }, looks},
		{"events, 1000 of them", func() string { return events("limit", "1000") }, looks},
		{"source, until a day", func() string { return events("source", source(), "until", days()) }, looks},
		{"source and destination, until a day", func() string { return events("source", source(), "destination", "default", "until", days()) }, looks},
		{"state dead, until a day", func() string { return events("state", "dead", "until", days()) }, looks},
		{"state pending", func() string { return events("state", "pending") }, looks},
		{"state discarded, of which there is none", func() string { return events("state", "discarded") }, looks},
		{"since and until, an hour of a day", func() string {
			until := at.Add(-time.Duration(some()%(lookDays*24)) * time.Hour)
			return events("since", until.Add(-time.Hour).Format(time.RFC3339), "until", until.Format(time.RFC3339))
		}, looks},
		{"type, until a day", func() string { return events("type", fmt.Sprint("type", some()%lookTypes), "until", days()) }, looks},
		{"type of which there is none", func() string { return events("type", "none") }, looks},
		{"the provider's ID", func() string { return events("id", fmt.Sprint("id-", some())) }, looks},
		{"the provider's ID, of which there is none", func() string { return events("id", "none") }, looks},
		{"event ID", func() string { return api + "events/" + past(some(), n, at).Record.ID.String() }, looks},
		{"source, type, state and since together", func() string {
			return events("source", source(), "type", fmt.Sprint("type", some()%lookTypes), "state", "delivered", "since", "-7d")
		}, looks},
		{"q: text in IDs, since a day", func() string { return events("q", fmt.Sprint("id-", some()), "since", "-1d") }, looks},
		{"q: a JSON path, since a day", func() string {
			return events("q", fmt.Sprint("data.object.customer=cus_", some()%1000), "since", "-1d")
		}, 20},
		{"sources", func() string { return api + "sources" }, looks},
		{"history, a day", func() string { return api + "history?span=24h" }, looks},
		{"dashboard: overview", func() string { return dashboard }, looks},
		{"dashboard: events", func() string { return dashboard + "events" }, looks},
	} {
		took, size, err := visits(kind.target, kind.times)
		if err != nil {
			return fmt.Errorf("%s: %w", kind.name, err)
		}
		if size < leastPage && !strings.Contains(kind.name, "none") {
			return fmt.Errorf("%s: every page is empty", kind.name)
		}
		say("%-52s %9s %9s %9s %10d", kind.name, short(took[len(took)/2]), short(took[len(took)*99/100]), short(took[len(took)-1]), size)
	}
	return nil
}

// visits asks so often, and gives the times in order and the largest answer.
func visits(target func() string, times int) (took []time.Duration, size int64, err error) {
	for range times {
		began := time.Now()
		n, err := visit(target())
		if err != nil {
			return nil, 0, err
		}
		took, size = append(took, time.Since(began)), max(size, n)
	}
	slices.Sort(took)
	return took, size, nil
}

func visit(target string) (int64, error) {
	resp, err := http.Get(target) //nolint:noctx // the gateway is a child of ours
	if err != nil {
		return 0, fmt.Errorf("asking: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	n, err := io.Copy(io.Discard, resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s is answered %s", target, resp.Status)
	}
	return n, err
}

// exported exports everything once.
func exported(c *child) error {
	began := time.Now()
	n, err := visit("http://" + c.admin + "/webhooks/export")
	if err != nil {
		return err
	}
	took := time.Since(began)
	own, all := c.rss()
	say("%-52s %9s, %d MB, %.0f MB/s; memory afterwards %.0f / %.0f MiB", "export of all", short(took), n>>20, float64(n>>20)/took.Seconds(), own, all)
	return nil
}

// meanwhile measures accepts alone, and while somebody looks.
func meanwhile(p plan, c *child) error {
	say("\n%-52s %10s %9s %9s", "accepts over 16 connections", "a second", "p50", "p99")
	api := "http://" + c.admin + "/webhooks/"
	for _, kind := range []struct {
		name, target string
		readers      int
	}{
		{"alone", "", 0},
		{"beside searches by JSON path, one after the other", api + "events?q=data.object.customer%3Dcus_none&since=-30d", 1},
		{"beside an export", api + "export", 1},
		{"beside the dashboard's overview, one after the other", "http://" + c.addrs["dashboard"] + "/", 1},
		{"beside ten dashboards that are followed", "http://" + c.addrs["dashboard"] + "/live?page=%3F", 10},
	} {
		done := make(chan struct{})
		var wg sync.WaitGroup
		for range kind.readers {
			wg.Go(func() { occupy(done, kind.target) })
		}
		l, err := hammer(c.addrs["webhooks"], 16, p.span, 0)
		close(done)
		wg.Wait()
		if err != nil {
			return fmt.Errorf("%s: %w", kind.name, err)
		}
		say("%-52s %10.0f %9s %9s", kind.name, l.rate, short(l.p50), short(l.p99))
	}
	return nil
}

// occupy asks again and again until done.
func occupy(done <-chan struct{}, target string) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		<-done
		cancel()
	}()
	for ctx.Err() == nil {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
		if err != nil {
			return
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			continue // the end has come
		}
		_, _ = io.Copy(io.Discard, resp.Body) // as above
		_ = resp.Body.Close()
	}
}
