package local

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/store"
	"github.com/caddy-webhooks/caddy-webhooks/store/local/journal"
)

var update = flag.Bool("update", false, "write anew what is read of the stored journal")

// formatDir has a journal as the first release writes it, with every kind of
// record, and what stands in it. Later releases read it as it is: stores outlive
// the releases that wrote them.
const formatDir = "testdata/format1"

// later is after everything that happened in the journal of formatDir.
var later = time.Date(2026, 1, 20, 0, 0, 0, 0, time.UTC)

// whole is all that a store can be asked for.
type whole struct {
	Events  []store.Record
	Stats   []store.DestinationStats
	Learned string
	Kept    map[string][]byte
}

func everything(t *testing.T, s *Store) string {
	t.Helper()
	w := whole{Learned: s.Learned("shop"), Kept: s.Kept()}
	page, err := s.Query(t.Context(), store.Filter{Limit: 1000, OldestFirst: true})
	if err != nil || !page.Complete {
		t.Fatal(page, err)
	}
	for _, row := range page.Rows {
		rec, err := s.Get(t.Context(), row.ID)
		if err != nil {
			t.Fatal(err)
		}
		w.Events = append(w.Events, rec)
	}
	w.Stats = s.Stats().Destinations
	slices.SortFunc(w.Stats, func(a, b store.DestinationStats) int { return strings.Compare(a.String(), b.String()) })
	text, err := json.MarshalIndent(w, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	return string(text) + "\n"
}

// history goes through everything that a store writes down.
func history(r *room) {
	r.t.Helper()
	// Old enough to be copied forward: a body that stays, one that goes while its
	// claim stays, and attempts.
	for _, id := range []string{"dead", "pending", "delivered"} {
		r.accept(id, 30*24*time.Hour)
	}
	r.settleAll(func(id string) event.State {
		return map[string]event.State{"dead": event.Dead, "pending": event.Pending, "delivered": event.Delivered}[id]
	})
	r.later(48 * time.Hour)
	r.retainNow()
	r.accept("dead", time.Hour) // revives

	e := &event.Event{
		Source: "shop", Provider: "github", ProviderID: "several", Type: "push", Received: r.now(), Method: http.MethodPost,
		URI: "/a?b=c", OriginalURI: "/x/a?b=c", Proto: "HTTP/2.0", Host: "example.com", Header: http.Header{"X-Multi": {"a", "b"}}, Body: []byte("\x00\xff"),
	}
	several, err := r.Accept(r.t.Context(), store.Admission{Event: e, Owed: []store.Owed{
		{Destination: "default", Order: 7}, {Destination: "audit", Filtered: true}, {Destination: "mail"},
	}})
	r.must(err)
	given := r.accept("given", time.Hour)
	moved := r.accept("moved", time.Hour)
	_, _, err = r.Lease(r.t.Context(), toShop, store.LeaseRequest{Now: r.now(), Until: r.now().Add(time.Second), Max: 1, MaxBytes: 1})
	r.must(err)
	leases, _, err := r.Lease(r.t.Context(), event.Destination{Source: "shop", Name: "mail"}, store.LeaseRequest{Now: r.now(), Until: r.now().Add(time.Second), Max: 1, MaxBytes: 1})
	r.must(err)
	r.must(r.Begin(leases[0]))
	leases, _, err = r.Lease(r.t.Context(), toShop, store.LeaseRequest{Now: r.now(), Until: r.now().Add(time.Hour), Max: 1, MaxBytes: 1})
	r.must(err)
	r.must(r.Settle(leases[0], store.Settlement{
		Attempt: event.Attempt{Destination: "default", Number: leases[0].Attempt, At: r.now(), Status: 503, Error: "busy", Answer: []byte("later\xff"), Duration: time.Second},
		State:   event.Pending, Next: r.now().Add(time.Hour), Spent: time.Minute, Excuse: 1, Asked: true,
	}))
	r.later(time.Minute) // the leases run out
	_, _, err = r.Lease(r.t.Context(), event.Destination{Source: "shop", Name: "mail"}, store.LeaseRequest{Now: r.now(), Until: r.now().Add(time.Second), Max: 1, MaxBytes: 1})
	r.must(err)
	for _, c := range []store.Command{
		{Action: store.Replay, Event: several.ID, Destination: "audit", Who: "somebody"},
		{Action: store.Discard, Event: given.ID, Who: "somebody"},
		{Action: store.Move, Event: moved.ID, Destination: "default", Target: event.Destination{Source: "shop", Name: "audit"}, Who: "somebody"},
		{Action: store.Pause, Target: toShop, Who: "somebody"},
		{Action: store.Pause, Target: event.Destination{Source: "new", Name: "new"}, Introduce: true, Who: "somebody"},
		{Action: store.Resume, Target: toShop, Who: "somebody"},
	} {
		_, err := r.Command(r.t.Context(), c)
		r.must(err)
	}
	r.must(r.Learn(r.t.Context(), "shop", "handed over", "somebody"))
	r.must(r.Keep(r.t.Context(), "note", []byte("kept")))
	_, err = r.Import(r.t.Context(), store.Import{Record: store.Record{
		Event: &event.Event{Source: "shop", ProviderID: "foreign", Received: r.now(), Method: http.MethodPost, URI: "/", Header: http.Header{}, Body: []byte("far")},
		Row: store.Row{
			ID: event.NewID(r.now(), 99, 1, 2), Source: "shop", ProviderID: "foreign", Received: r.now(), Size: 3,
			Deliveries: []event.Delivery{{Destination: "default", State: event.Delivered, Attempts: 1, DeliveredAt: r.now(), SettledAt: r.now()}},
		},
	}})
	r.must(err)
}

func (r *room) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// kinds counts the records of a journal by their kind.
func kinds(t *testing.T, dir string) map[byte]int {
	t.Helper()
	found := map[byte]int{}
	j, _, err := journal.Open(journal.Options{Dir: dir}, journal.Mark{}, func(_ journal.Stamp, payload []byte) error {
		found[payload[0]]++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	return found
}

// written copies the journal of formatDir.
func written(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(formatDir)); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestAStoreOfTheFirstFormatIsReadWhole(t *testing.T) {
	t.Parallel()
	if *update {
		rewrite(t)
	}
	for kind := range folds {
		if n := kinds(t, filepath.Join(written(t), "journal"))[kind]; n == 0 {
			t.Errorf("the journal has no record of kind %d", kind)
		}
	}
	want, err := os.ReadFile(filepath.Join(formatDir, "store.json"))
	if err != nil {
		t.Fatal(err)
	}
	r := &room{t: t}
	r.at.Store(later.UnixNano())
	r.o = Options{Dir: written(t), Limits: store.Limits{MinFree: 1, Retention: 1000 * time.Hour}, Now: r.now}
	for _, how := range []string{"for the first time", "again", "without the index"} {
		if how == "without the index" {
			r.rebuild()
		} else {
			r.reopen()
		}
		if got := everything(t, r.Store); got != string(want) {
			t.Errorf("%s: %s", how, differing(got, string(want)))
		}
	}
	if again := r.accept("delivered", time.Hour); again.Result != store.Duplicate {
		t.Errorf("a repeat of an event whose body is gone is %v, want a duplicate", again.Result)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

// differing names the first line that differs.
func differing(got, want string) string {
	a, b := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return fmt.Sprintf("line %d is %s, want %s", i+1, a[i], b[i])
		}
	}
	return fmt.Sprintf("%d lines, want %d", len(a), len(b))
}

// rewrite writes down what is read of the journal of formatDir. The journal itself
// is made only where there is none: it must stay as a release has written it.
func rewrite(t *testing.T) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(formatDir, "journal")); err != nil {
		makeJournal(t)
	}
	s, err := Open(Options{Dir: written(t), Limits: store.Limits{MinFree: 1, Retention: 1000 * time.Hour}, Now: func() time.Time { return later }})
	if err != nil {
		t.Fatal(err)
	}
	err = os.WriteFile(filepath.Join(formatDir, "store.json"), []byte(everything(t, s)), 0o600)
	if err := errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
}

func makeJournal(t *testing.T) {
	t.Helper()
	r := newRoom(t)
	history(r)
	r.reopen() // what rode along is durable
	to := filepath.Join(formatDir, "journal")
	if err := os.MkdirAll(to, 0o700); err != nil {
		t.Fatal(err)
	}
	for path, text := range bytesOf(t, filepath.Join(r.o.Dir, "journal")) {
		if filepath.Ext(path) != ".segment" {
			continue // room for later
		}
		text = strings.TrimRight(text, "\x00") + strings.Repeat("\x00", 4096)
		if err := os.WriteFile(filepath.Join(to, filepath.Base(path)), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// bytesOf reads a directory.
func bytesOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		all[path] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// A release that meets a later one's store says so, and spoils nothing: the later
// one goes on where it was.
func TestAStoreOfALaterReleaseIsRefusedAndLeftAsItIs(t *testing.T) {
	t.Parallel()
	dir := written(t)
	o := Options{Dir: dir, Limits: store.Limits{MinFree: 1}, Now: func() time.Time { return later }}
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	unknown := byte(len(folds)) + 1
	if slices.Contains(slices.Collect(maps.Keys(folds)), unknown) {
		t.Fatalf("kind %d is known", unknown)
	}
	done := make(chan error, 1)
	err = s.journal.Append(t.Context(), journal.Entry{
		Size: 1, Encode: func(dst []byte, _ journal.Stamp) []byte { return append(dst, unknown) },
		Done: func(_ journal.Stamp, err error) { done <- err },
	})
	if err == nil {
		err = <-done
	}
	if err := errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	before := bytesOf(t, filepath.Join(dir, "journal"))
	for range 2 {
		_, err := Open(o)
		if !errors.Is(err, journal.ErrFormat) || !strings.Contains(err.Error(), "later release") {
			t.Fatalf("%v", err)
		}
		if !maps.Equal(bytesOf(t, filepath.Join(dir, "journal")), before) {
			t.Fatal("the journal was changed")
		}
		if _, err := os.Stat(filepath.Join(dir, indexDir)); err != nil {
			t.Fatalf("the index was thrown away: %v", err)
		}
	}
}
