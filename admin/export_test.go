package admin

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-webhooks/caddy-webhooks/archive"
	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/gateway"
	"github.com/caddy-webhooks/caddy-webhooks/store"
	"github.com/caddy-webhooks/caddy-webhooks/store/memory"
)

// carried is a store with an API of its own.
func carried(t *testing.T, s store.Store) *httptest.Server {
	t.Helper()
	t.Cleanup(func() { _ = s.Close() })
	return serving(t, API{running: func() (Gateway, bool) { return fake{s: s}, true }})
}

// filled has n events of two sources, the first of which was delivered.
func filled(t *testing.T, n int) store.Store {
	t.Helper()
	s := memory.New(memory.Options{})
	for i := range n {
		_, err := s.Accept(t.Context(), store.Admission{
			Event: &event.Event{
				Source: []string{"shop", "blog"}[i%2], Provider: "github", ProviderID: fmt.Sprint("id", i), Type: "push", Received: time.Now(),
				Method: "POST", URI: "/hook?key=s3cret", OriginalURI: "/hook?key=s3cret", Header: http.Header{"Authorization": {"s3cret"}},
				Body: []byte{byte(i), 0xff}, Secret: "ab12", Host: "example.com",
			},
			Owed: []store.Owed{{Destination: "default", Order: uint64(i % 2)}},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	settle(t, s, lease(t, s), event.Delivered, event.Attempt{Status: 200, Answer: []byte("fine\xff"), Header: http.Header{"Set-Cookie": {"s3cret"}}})
	return s
}

func exported(t *testing.T, server *httptest.Server, query string) []string {
	t.Helper()
	resp, err := http.Get(server.URL + "/webhooks/export" + query) //nolint:noctx // the server's end is the test's
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was read
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "application/x-ndjson" {
		t.Fatalf("%s %v %s", resp.Status, err, text)
	}
	return strings.SplitAfter(strings.TrimSuffix(string(text), "\n"), "\n")
}

func imported(t *testing.T, server *httptest.Server, lines string) (int, importJSON) {
	t.Helper()
	resp, err := http.Post(server.URL+"/webhooks/import", "application/x-ndjson", strings.NewReader(lines)) //nolint:noctx // the server's end is the test's
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was read
	var v importJSON
	if err := json.NewDecoder(resp.Body).Decode(&v); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, v
}

// withoutCursors is what of an export holds in any store.
func withoutCursors(lines []string) string {
	return regexp.MustCompile(`,"cursor":"[0-9a-z]+"`).ReplaceAllString(strings.TrimSuffix(strings.Join(lines, ""), "\n"), "")
}

func TestWhatIsExportedCanBeImportedWhole(t *testing.T) {
	t.Parallel()
	from, to := carried(t, filled(t, 250)), carried(t, memory.New(memory.Options{}))
	lines := exported(t, from, "")
	if len(lines) != 250 || !strings.Contains(lines[0], `"s3cret"`) || strings.Contains(lines[0], "masked") || !strings.Contains(lines[0], `"status":200`) {
		t.Fatalf("%d lines, the first is %s", len(lines), lines[0])
	}
	if status, v := imported(t, to, strings.Join(lines, "")); status != http.StatusOK || v.Imported != 250 || v.Lines != 250 || v.Error != "" {
		t.Fatalf("%d %+v", status, v)
	}
	if got, want := withoutCursors(exported(t, to, "?source=blog")), withoutCursors(exported(t, from, "?source=blog")); got != want {
		t.Errorf("what is ordered is exported again as\n%.600s\nwant\n%.600s", got, want) // and in its order
	}
	for _, line := range exported(t, to, "") {
		if !strings.Contains(withoutCursors(lines), withoutCursors([]string{line})) {
			t.Errorf("there is no line such as %s", line)
		}
	}
	if status, v := imported(t, to, "\n"+strings.Join(lines, "\n")); status != http.StatusOK || v.Known != 250 || v.Imported != 0 {
		t.Errorf("again: %d %+v", status, v)
	}
}

func TestAnExportTakesFiltersAndGoesOnBehindACursor(t *testing.T) {
	t.Parallel()
	server := carried(t, filled(t, 9))
	all := exported(t, server, "?source=shop")
	if len(all) != 5 {
		t.Fatalf("%d lines of source shop", len(all))
	}
	var v struct{ Cursor string }
	if err := json.Unmarshal([]byte(all[1]), &v); err != nil || v.Cursor == "" {
		t.Fatalf("%v %s", err, all[1])
	}
	if rest := exported(t, server, "?source=shop&cursor="+v.Cursor); strings.Join(rest, "") != strings.Join(all[2:], "") {
		t.Errorf("behind the second come %q", rest)
	}
	for query, words := range map[string]string{"?limit=3": "limit", "?colour=red": "colour", "?state=x": "state", "?cursor=%21": "cursor"} {
		status, text := get1(t, server.URL+"/webhooks/export"+query)
		if status != http.StatusTeapot || !strings.Contains(text, words) {
			t.Errorf("%s: %d %q", query, status, text)
		}
	}
}

func get1(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url) //nolint:noctx // the server's end is the test's
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was read
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return resp.StatusCode, err.Error()
	}
	return resp.StatusCode, string(text)
}

// unreadable is a store of which one event cannot be read.
type unreadable struct {
	store.Store
	after int
}

func (u *unreadable) Get(ctx context.Context, id event.ID) (store.Record, error) {
	if u.after--; u.after < 0 {
		return store.Record{}, store.ErrUnavailable
	}
	return u.Store.Get(ctx, id) //nolint:wrapcheck // it is in place of it
}

func TestAnExportThatFailsDoesNotLookWhole(t *testing.T) {
	t.Parallel()
	server := carried(t, &unreadable{filled(t, 9), 5})
	if _, text := get1(t, server.URL+"/webhooks/export"); !strings.Contains(text, "unexpected EOF") {
		t.Errorf("it ends as if it were whole: %s", text)
	}
}

func TestLinesThatAreNoEventsAreNamedAndTheOthersImported(t *testing.T) {
	t.Parallel()
	lines := exported(t, carried(t, filled(t, 3)), "")
	to := carried(t, memory.New(memory.Options{}))
	status, v := imported(t, to, "{}\n"+lines[0]+lines[1][:50]+"\n"+strings.TrimSpace(lines[2]))
	if status != http.StatusOK || v.Lines != 4 || v.Imported != 2 || v.Refused != 2 || len(v.Faults) != 2 || v.Faults[0].Line != 1 || v.Faults[1].Line != 3 {
		t.Errorf("%d %+v", status, v)
	}
	if status, v := imported(t, to, strings.Repeat("x\n", 100)); status != http.StatusOK || v.Refused != 100 || len(v.Faults) != maxFaults {
		t.Errorf("%d %+v", status, v)
	}
	claimed := strings.Replace(lines[1], `"id":"id1"`, `"id":"claimed"`, 1)
	twin := regexp.MustCompile(`"event":"[0-9a-f]{8}`).ReplaceAllString(claimed, `"event":"01234567`)
	if _, v := imported(t, to, claimed+twin); v.Imported != 1 || v.Duplicates != 1 {
		t.Errorf("two of one claim: %+v", v)
	}
}

func TestAnImportThatCannotGoOnSaysSo(t *testing.T) {
	t.Parallel()
	lines := strings.Join(exported(t, carried(t, filled(t, 9)), "?source=blog"), "")
	full := carried(t, memory.New(memory.Options{MaxBacklog: 4}))
	status, v := imported(t, full, lines)
	if status != http.StatusServiceUnavailable || v.Imported != 2 || v.Lines != 2 || !strings.Contains(v.Error, store.ErrBacklog.Error()) {
		t.Errorf("a full store: %d %+v", status, v)
	}
	server := carried(t, memory.New(memory.Options{}))
	body := io.MultiReader(strings.NewReader(lines), failing{})
	resp, err := http.Post(server.URL+"/webhooks/import", "application/x-ndjson", body) //nolint:noctx // the server's end is the test's
	if err == nil {
		_ = resp.Body.Close()
		t.Errorf("a body that breaks off is answered %s", resp.Status)
	}
	if status, text := get1(t, server.URL+"/webhooks/import"); status != http.StatusMethodNotAllowed && !strings.Contains(text, "POST") {
		t.Errorf("GET: %d %s", status, text)
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("the line is dead") }

// spoilt is a store of which the disk does not give one event as it was written,
// and fails at another.
type spoilt struct {
	store.Store
	damaged, failing string
}

func (s spoilt) Get(ctx context.Context, id event.ID) (store.Record, error) {
	r, err := s.Store.Get(ctx, id)
	switch r.ProviderID {
	case s.damaged:
		r.Damaged, r.Event = true, nil
	case s.failing:
		return r, fmt.Errorf("%w: the disk", store.ErrUnavailable)
	}
	return r, err //nolint:wrapcheck // it is in place of it
}

func TestADamagedEventKeepsNoOtherFromBeingExported(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zap.ErrorLevel)
	w := httptest.NewRecorder()
	x := &exporting{
		s: spoilt{Store: filled(t, 9), damaged: "id3", failing: "id7"}, filter: store.Filter{OldestFirst: true},
		out: stream{w: w, control: http.NewResponseController(w)}, log: zap.New(core).Sugar(),
	}
	err := x.run(t.Context())
	lines := strings.Split(strings.TrimSpace(w.Body.String()), "\n")
	if err == nil || len(lines) != 6 || strings.Contains(w.Body.String(), `"id3"`) || !strings.Contains(lines[5], `"id6"`) {
		t.Errorf("%v after %d lines", err, len(lines))
	}
	page, _ := x.s.Query(t.Context(), store.Filter{ID: "id7"})
	if !strings.Contains(fmt.Sprint(err), page.Rows[0].ID.String()) {
		t.Errorf("%v does not name the event", err)
	}
	if all := logs.All(); len(all) != 1 || all[0].ContextMap()["id"] != "id3" {
		t.Errorf("it logs %+v", all)
	}
}

// A reader that does not read holds neither a goroutine nor the store's pages.
func TestAnExportDoesNotWaitForASlowReaderForEver(t *testing.T) {
	t.Parallel()
	w := &deadlined{ResponseRecorder: httptest.NewRecorder()}
	before := time.Now()
	if err := (stream{w: w, control: http.NewResponseController(w)}).write([]byte("x\n")); err != nil {
		t.Fatal(err)
	}
	if left := w.deadline.Sub(before); left < streamWrite || left > streamWrite+time.Minute {
		t.Errorf("a reader has %v, want %v", left, streamWrite)
	}
}

// deadlined is an answer that notes until when it may be written.
type deadlined struct {
	*httptest.ResponseRecorder
	deadline time.Time
}

func (d *deadlined) SetWriteDeadline(at time.Time) error {
	d.deadline = at
	return nil
}

func TestALineThatNoStoreTakesEndsAnImportEarly(t *testing.T) {
	t.Parallel()
	var record store.Record
	record.ID, record.Source, record.Event = event.NewID(time.Now(), 1, 2, 3), "shop", &event.Event{Body: make([]byte, gateway.MaxRecord)}
	line, err := archive.Append(nil, record, "")
	if err != nil || len(line) > maxLine {
		t.Errorf("the largest event has a line of %d bytes, and %d are read: %v", len(line), maxLine, err)
	}
	long := &endless{}
	if _, err := readLine(bufio.NewReader(long)); err == nil || long.given > maxLine+1<<20 {
		t.Errorf("%v after %d bytes", err, long.given)
	}
}

// endless is a line that does not end.
type endless struct{ given int }

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	e.given += len(p)
	return len(p), nil
}

// What waits for the disk in an import is bounded, but for one line that is larger.
func TestAnImportHoldsOnlySoMuch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		i := &importing{free: make(chan struct{}, importsAtOnce)}
		i.room = sync.NewCond(&i.mu)
		held := make(chan int, 8)
		hold := func(n int) {
			go func() {
				i.hold(n)
				held <- n
			}()
			synctest.Wait()
		}
		hold(2 * importBytes)
		hold(1)
		if len(held) != 1 || <-held != 2*importBytes {
			t.Fatal("one that is too large does not go alone")
		}
		i.release(2 * importBytes)
		synctest.Wait()
		if <-held != 1 {
			t.Fatal("the next does not follow")
		}
		hold(importBytes - 1)
		hold(1)
		if len(held) != 1 {
			t.Errorf("%d more are held, want one", len(held))
		}
		i.release(1)
		synctest.Wait()
		if len(held) != 2 {
			t.Error("the last does not follow")
		}
	})
}
