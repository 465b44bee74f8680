package cli

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/caddy-webhooks/caddy-webhooks/archive"
)

// exportOf serves lines with the cursors 1, 2, 3, …; an answer breaks off behind
// the line whose cursor is a key of breaks, so often as it says.
func exportOf(t *testing.T, n int, breaks map[string]int) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", linesType)
		after := 0
		_, _ = fmt.Sscan(r.URL.Query().Get("cursor"), &after)
		for i := after; ; i++ {
			if at := fmt.Sprint(i); breaks[at] != 0 {
				breaks[at]--
				_ = http.NewResponseController(w).Flush()
				panic(http.ErrAbortHandler)
			}
			if i == n {
				return
			}
			_, _ = fmt.Fprintf(w, `{"cursor":"%d"}`+"\n", i+1)
		}
	}))
	t.Cleanup(server.Close)
	return server
}

func linesUpTo(n int) (text string) {
	for i := range n {
		text += fmt.Sprintf(`{"cursor":"%d"}`+"\n", i+1)
	}
	return text
}

func TestAnExportThatBreaksGoesOn(t *testing.T) {
	t.Parallel()
	c, out := listening(t, exportOf(t, 5, map[string]int{"0": 1, "3": 2}))
	if err := (&exporting{c: c, q: url.Values{}, out: out}).run(t.Context()); err != nil || out.String() != linesUpTo(5) {
		t.Errorf("%v %s", err, out)
	}
}

func TestAnExportThatIsCutAtOnePlaceStops(t *testing.T) {
	t.Parallel()
	c, out := listening(t, exportOf(t, 5, map[string]int{"3": -1}))
	err := (&exporting{c: c, q: url.Values{}, out: out}).run(t.Context())
	if _, cut := errors.AsType[*cutError](err); !cut || out.String() != linesUpTo(3) {
		t.Fatalf("%v %s", err, out)
	}
	for _, words := range []string{"4 times at the same place, and its log says why", "3 events were written", "go on with --cursor 3"} {
		if !strings.Contains(err.Error(), words) {
			t.Errorf("%v lacks %q", err, words)
		}
	}
}

func TestAFileOfAnExportHoldsWholeLinesAndIsGoneOnWith(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "f")
	c, _ := listening(t, exportOf(t, 5, map[string]int{"0": -1}))
	if err := exportTo(c, file); err == nil {
		t.Fatal("it is whole")
	}
	if _, err := os.Stat(file); err == nil {
		t.Fatal("a try that brought nothing has left a file")
	}
	c, _ = listening(t, exportOf(t, 5, map[string]int{"3": -1}))
	if err := exportTo(c, file); err == nil {
		t.Fatal("it is whole")
	}
	contains(t, file, linesUpTo(3))
	if _, err := newOutput(file, ""); err == nil || !strings.Contains(err.Error(), "exists; with --cursor") {
		t.Errorf("%v", err)
	}
	if _, err := newOutput(file, "2"); err == nil || !strings.Contains(err.Error(), "ends with --cursor 3, not 2") {
		t.Errorf("%v", err)
	}
	o, err := newOutput(file, "3")
	if err != nil {
		t.Fatal(err)
	}
	c, _ = listening(t, exportOf(t, 5, nil))
	err = (&exporting{c: c, q: url.Values{"cursor": {"3"}}, out: o}).run(t.Context())
	if err := errors.Join(err, o.end(err == nil)); err != nil {
		t.Fatal(err)
	}
	contains(t, file, linesUpTo(5))
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
}

func contains(t *testing.T, file, want string) {
	t.Helper()
	if got, err := os.ReadFile(file); err != nil || string(got) != want {
		t.Errorf("the file has %q (%v), want %q", got, err, want)
	}
}

// A disk that is full takes the beginning of a line.
func TestATornLineIsTakenAway(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "f")
	long := `{"cursor":"9","pad":"` + strings.Repeat("x", 200<<10) + `"}` + "\n"
	for _, whole := range []string{linesUpTo(1), linesUpTo(3), long, linesUpTo(2) + long} {
		o := &output{name: file}
		if _, err := o.Write([]byte(whole)); err != nil {
			t.Fatal(err)
		}
		if _, err := o.file.WriteString(`{"cursor":`); err != nil {
			t.Fatal(err)
		}
		if err := o.end(false); err != nil {
			t.Fatal(err)
		}
		contains(t, file, whole)
		// After kill -9 nobody has taken it away.
		if err := os.WriteFile(file, []byte(whole+long[:100<<10]), 0o600); err != nil {
			t.Fatal(err)
		}
		cursor := whole[strings.LastIndex(whole, `"cursor":"`)+10:][:1]
		o, err := newOutput(file, cursor)
		if err != nil {
			t.Fatal(err)
		}
		if err := o.end(true); err != nil {
			t.Fatal(err)
		}
		contains(t, file, whole)
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(file, []byte("a diary\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := newOutput(file, "3"); err == nil || !strings.Contains(err.Error(), "does not end with an exported event") {
		t.Errorf("%v", err)
	}
	contains(t, file, "a diary\n")
}

func TestAnExportOfNothingIsAnEmptyFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "f")
	c, _ := listening(t, exportOf(t, 0, nil))
	if err := exportTo(c, file); err != nil {
		t.Fatal(err)
	}
	contains(t, file, "")
}

func TestTheFirstChunkOfAnImportIsSentAgainToo(t *testing.T) {
	t.Parallel()
	var tries atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if tries.Add(1) == 1 {
			panic(http.ErrAbortHandler)
		}
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", jsonType)
		_, _ = fmt.Fprintf(w, `{"lines":%d,"imported":1,"faults":[]}`, bytes.Count(body, []byte("\n")))
	}))
	c, out := listening(t, server)
	c.json = true
	i := newImporting(c, io.Discard)
	if err := i.run(t.Context(), strings.NewReader("{}\n")); err != nil || tries.Load() != 2 {
		t.Fatalf("%v after %d tries", err, tries.Load())
	}
	var v struct{ Faults []fault }
	if err := json.Unmarshal(out.Bytes(), &v); err != nil || v.Faults == nil {
		t.Errorf("%v %s", err, out)
	}
	server.Close()
	c, _ = listening(t, server) // as a command begins: with no connection
	if err := newImporting(c, io.Discard).run(t.Context(), strings.NewReader("{}\n")); !nobodyListens(err) {
		t.Errorf("where nobody listens: %v", err)
	}
}

// A file without line ends must not fill the memory.
func TestALineHasAnEnd(t *testing.T) {
	t.Parallel()
	c, _ := listening(t, exportOf(t, 0, nil))
	endless := &zeros{}
	err := newImporting(c, io.Discard).run(t.Context(), endless)
	if !errors.Is(err, errLong) || !strings.Contains(err.Error(), "line 1 of the file is longer than 80 MiB") {
		t.Errorf("%v", err)
	}
	if endless.n > archive.MaxLine+1<<20 {
		t.Errorf("%d bytes were read", endless.n)
	}
	if line, err := readLine(bufio.NewReader(strings.NewReader("a\nb"))); string(line) != "a\n" || err != nil {
		t.Errorf("%q %v", line, err)
	}
}

type zeros struct{ n int }

func (z *zeros) Read(p []byte) (int, error) {
	clear(p)
	z.n += len(p)
	return len(p), nil
}

func TestAJobIsFollowedOverARestartAndNamedWhateverHappens(t *testing.T) {
	t.Parallel()
	answers := []string{`{"job":"j1","state":"running","matched":5,"changed":2}`, "!", "!", `{"job":"j1","state":"running","matched":5,"changed":4}`, "!", `{"job":"j1","state":"done","matched":5,"changed":5}`}
	var n atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		answer := answers[min(int(n.Add(1)), len(answers))-1]
		if answer == "!" {
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("Content-Type", jsonType)
		if strings.Contains(answer, "gone") {
			w.WriteHeader(http.StatusGone)
		}
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(server.Close)
	c, out := listening(t, server)
	if err := c.follow(t.Context(), jobView{Job: "j1"}, "moved"); err != nil || out.String() != "5 of 5 moved\n" {
		t.Errorf("%v %s", err, out)
	}
	answers, n = []string{answers[0], `{"error":"gone"}`}, atomic.Int32{}
	err := c.follow(t.Context(), jobView{Job: "j1"}, "moved")
	if err == nil || !strings.Contains(err.Error(), "job j1 goes on at the gateway: 2 of 5 done when it was last seen; `caddy webhooks jobs j1` shows it") {
		t.Errorf("%v", err)
	}
}
