package admin

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/gateway"
	"github.com/caddy-webhooks/caddy-webhooks/jobs"
	"github.com/caddy-webhooks/caddy-webhooks/store"
	"github.com/caddy-webhooks/caddy-webhooks/store/memory"
)

// desk is a gateway with these destinations, whose store is real.
type desk struct {
	unlearned

	s          store.Store
	j          *jobs.Runner
	configured []event.Destination
}

func (d desk) Store() store.Store { return d.s }

// Jobs gives its runner.
func (d desk) Jobs() *jobs.Runner { return d.j }

// Sources tells of what is configured and of what waits elsewhere, as the gateway
// does: an orphan that owes nothing is not shown.
func (d desk) Sources() []gateway.SourceStatus {
	by := map[string]*gateway.SourceStatus{}
	add := func(at event.Destination, state string, count map[event.State]int64) {
		if by[at.Source] == nil {
			by[at.Source] = &gateway.SourceStatus{Name: at.Source}
		}
		s := by[at.Source]
		s.Destinations = append(s.Destinations, gateway.DestinationStatus{Name: at.Name, State: state, Count: count})
	}
	stored := map[event.Destination]store.DestinationStats{}
	for _, v := range d.s.Stats().Destinations {
		stored[v.Destination] = v
		if !slices.Contains(d.configured, v.Destination) && v.Count[event.Pending]+v.Count[event.Dead] > 0 {
			add(v.Destination, gateway.Orphaned, v.Count)
		}
	}
	for _, at := range d.configured {
		state := gateway.Up
		if stored[at].Paused {
			state = gateway.Paused
		}
		add(at, state, stored[at].Count)
	}
	var list []gateway.SourceStatus
	for _, name := range []string{"shop", "blog"} {
		if by[name] != nil {
			list = append(list, *by[name])
		}
	}
	return list
}

func dest(source, name string) event.Destination {
	return event.Destination{Source: source, Name: name}
}

// deskAPI is the API over an empty store.
func deskAPI(t *testing.T, configured ...event.Destination) (API, store.Store) {
	t.Helper()
	s := memory.New(memory.Options{})
	return deskOver(t, s, configured...), s
}

// deskOver is the API over a store.
func deskOver(t *testing.T, s store.Store, configured ...event.Destination) API {
	t.Helper()
	j := jobs.New(jobs.Options{Store: s, Configured: func(d event.Destination) bool { return slices.Contains(configured, d) }})
	j.Start()
	t.Cleanup(func() {
		j.Stop()
		_ = s.Close()
	})
	return API{running: func() (Gateway, bool) { return desk{s: s, j: j, configured: configured}, true }}
}

// accept stores n events of a source for destinations.
func accept(t *testing.T, s store.Store, source string, n int, to ...string) (ids []event.ID) {
	t.Helper()
	for i := range n {
		a := store.Admission{Event: &event.Event{
			Source: source, Provider: "github", ProviderID: fmt.Sprint(source, i), Type: "push", Received: time.Now(), Header: http.Header{}, Body: []byte("{}"),
		}}
		for _, name := range to {
			a.Owed = append(a.Owed, store.Owed{Destination: name})
		}
		r, err := s.Accept(t.Context(), a)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, r.ID)
	}
	return ids
}

// due leases all that a destination has due.
func due(t *testing.T, s store.Store, d event.Destination) []store.Lease {
	t.Helper()
	leases, _, err := s.Lease(t.Context(), d, store.LeaseRequest{
		Now: time.Now().Add(time.Second), Until: time.Now().Add(time.Hour), Max: 100, MaxBytes: 1 << 20,
	})
	if err != nil {
		t.Fatal(err)
	}
	return leases
}

func TestADestinationIsPausedBeforeItsFirstEventAndResumed(t *testing.T) {
	t.Parallel()
	a, s := deskAPI(t, dest("shop", "default"))
	for i, step := range []struct {
		path, state string
		changed     bool
	}{
		{"shop/default/pause", "paused", true},
		{"shop/default/pause", "paused", false},
		{"shop/pause", "paused", false},
		{"shop/resume", "up", true},
		{"shop/default/resume", "up", false},
		{"shop/pause", "paused", true},
	} {
		status, text, _ := call(t, a, "POST", "/webhooks/destinations/"+step.path, "")
		var v struct {
			Source, Destination, Name, State string
			Changed                          bool
		}
		err := json.Unmarshal([]byte(text), &v)
		if err != nil || status != 200 || v.State != step.state || v.Changed != step.changed || v.Source+"/"+v.Destination+"/"+v.Name != "shop/default/default" {
			t.Errorf("step %d, %s: %d %s", i, step.path, status, text)
		}
	}
	accept(t, s, "shop", 1, "default")
	if n := len(due(t, s, dest("shop", "default"))); n != 0 {
		t.Errorf("%d deliveries are due at a paused destination", n)
	}
}

func TestAnUnknownDestinationIsRefusedWithWhatThereIs(t *testing.T) {
	t.Parallel()
	a, s := deskAPI(t, dest("shop", "default"), dest("blog", "one"), dest("blog", "two"))
	accept(t, s, "shop", 1, "old")
	for path, want := range map[string]string{
		"nobody/default/pause":   "404 there is no such source: nobody; there are: shop/old (orphaned), shop/default, blog/one, blog/two",
		"shop/nowhere/resume":    "404 there is no such destination: shop/nowhere; there are: shop/old (orphaned), shop/default, blog/one, blog/two",
		"blog/pause":             "409 the source has several destinations; name one of them: blog/one, blog/two",
		"shop/default/stop":      "404 the address is ",
		"shop//pause":            "404 the address is ",
		"/pause":                 "404 the address is ",
		"":                       "404 the address is ",
		"shop/default/pause?a=1": "400 unknown parameter",
	} {
		status, text, _ := call(t, a, "POST", "/webhooks/destinations/"+path, "")
		if got := fmt.Sprint(status, " ", text); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
	if status, _, h := call(t, a, "GET", "/webhooks/destinations/shop/default/pause", ""); status != 405 || h.Get("Allow") != "POST" {
		t.Errorf("GET: %d, Allow %q", status, h.Get("Allow"))
	}
	if status, text, _ := call(t, a, "POST", "/webhooks/destinations/shop/pause", ""); status != 200 || !strings.Contains(text, `"destination":"default"`) {
		t.Errorf("an orphan stands in the way of the one that is configured: %d %s", status, text)
	}
}

func TestWhoPausesIsRecorded(t *testing.T) {
	t.Parallel()
	s := memory.New(memory.Options{})
	var got string
	a := deskOver(t, spy{s, &got}, dest("shop", "default"), dest("shop", "new"))
	accept(t, s, "shop", 1, "default")
	if status, text, _ := call(t, a, "POST", "/webhooks/destinations/shop/default/pause", ""); status != 200 || !strings.HasPrefix(got, "admin api ") {
		t.Errorf("a pause: %d %s; recorded is %q", status, text, got)
	}
	_, j := ordered(t, a, "move", `{"source":"shop","to":"new"}`)
	if !strings.HasPrefix(got, "admin api ") || !strings.HasSuffix(got, ", job "+j.ID) || got != j.Who+", job "+j.ID {
		t.Errorf("a move by %q; recorded is %q", j.Who, got)
	}
}
