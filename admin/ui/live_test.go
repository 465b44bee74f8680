package ui

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// api answers every request in its way.
type api func(r *http.Request) (string, error)

func (f api) RoundTrip(r *http.Request) (*http.Response, error) {
	text, err := f(r)
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader(text)), Request: r}, nil
}

// followed reads what a page's stream sends within a time, as a browser does: a
// carriage return ends a line too. It fails on every line but data.
func followed(t *testing.T, f api, page string, looks int) (messages []message) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := New(Options{API: f, User: func(*http.Request) string { return "amy" }})
		w := httptest.NewRecorder()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			p.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/live?page="+page, nil))
		}()
		synctest.Wait()
		time.Sleep(time.Duration(looks-1)*streamEvery + 1)
		p.Close()
		<-ended
		lines := bufio.NewScanner(strings.NewReader(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(w.Body.String())))
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			text, ok := strings.CutPrefix(lines.Text(), "data: ")
			if lines.Text() == "" {
				continue
			}
			var m message
			if err := json.Unmarshal([]byte(text), &m); !ok || err != nil {
				t.Fatalf("the stream has a line %q: %v", lines.Text(), err)
			}
			messages = append(messages, m)
		}
	})
	return messages
}

func TestNothingOfAStrangersEndsALineOfTheStream(t *testing.T) {
	t.Parallel()
	const evil = "a\r\revent: x\rid: 5\rretry: 1\r\n\r\ndata: <b>\u2028c\u2029\u0085\v\f"
	text, err := json.Marshal(map[string]any{
		"source": evil, "type": evil, "id": evil, "uri": evil, "headers": map[string][]string{evil: {evil}}, "body": []byte(evil),
		"deliveries": []map[string]any{{"destination": evil, "state": "pending", "attempts": []map[string]any{{"error": evil, "answer": evil}}}},
		"refusals":   []map[string]any{{"path": evil, "why": evil, "source": evil}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range []string{"refusals", "events/" + eventID} {
		got := followed(t, func(*http.Request) (string, error) { return string(text), nil }, page, 3)
		if len(got) != 1 || strings.Count(got[0].HTML, "event: x") < 2 || strings.Contains(got[0].HTML, "<b>\u2028") {
			t.Errorf("%s: %d messages: %+v", page, len(got), got)
		}
	}
}

func TestOnlyWhatHasChangedIsSent(t *testing.T) {
	t.Parallel()
	n := 0
	got := followed(t, func(*http.Request) (string, error) {
		n++
		return fmt.Sprintf(`{"jobs":[{"job":"a","state":"done"},{"job":"b","changed":%d,"matched":9}]}`, n), nil
	}, "jobs", 3)
	if len(got) != 3 {
		t.Fatalf("%d messages", len(got))
	}
	if text := got[0].HTML; strings.Contains(text, "data-same") || !strings.Contains(text, `jobs/a"`) {
		t.Errorf("at first:\n%s", text)
	}
	if text := got[2].HTML; !strings.Contains(text, `<tr data-part="a" data-same></tr>`) || !strings.Contains(text, "3 of 9") {
		t.Errorf("then:\n%s", text)
	}
}

func TestWhatOnlyGrowsOlderIsNotSent(t *testing.T) {
	t.Parallel()
	began := time.Now().Add(-5 * time.Second).Format(time.RFC3339)
	got := followed(t, func(*http.Request) (string, error) {
		return `{"jobs":[{"job":"a","began":"` + began + `"}]}`, nil
	}, "jobs", 20)
	if len(got) != 3 || got[0].HTML == "" || got[1].HTML != "" || got[2].HTML != "" || !got[2].Now.After(got[1].Now) {
		t.Errorf("in 38 seconds: %+v", got)
	}
}

func TestAStreamSaysWhenItCannotTellHowItStands(t *testing.T) {
	t.Parallel()
	n := 0
	got := followed(t, func(*http.Request) (string, error) {
		if n++; n == 2 || n == 3 {
			return "", errors.New("no Caddy answers\r\revent: x")
		}
		return `{"jobs":[{"job":"a"}]}`, nil
	}, "jobs", 4)
	if len(got) != 3 || !strings.Contains(got[1].Trouble, "no Caddy answers") || got[1].HTML != "" || got[2].Trouble != "" || !strings.Contains(got[2].HTML, "data-same") {
		t.Errorf("%+v", got)
	}
}

func TestPartsThatCannotBeToldApartAreSentWhole(t *testing.T) {
	t.Parallel()
	page := func(a, b string) []byte {
		return []byte(`<ol><li data-part="x">` + a + `</li> <li data-part="x">` + b + `</li></ol>`)
	}
	_, known := knownParts(nil).thinned(page("1", "2"))
	for _, next := range [][]byte{page("2", "2"), page("1", "2"), page("2", "1")} {
		var thin []byte
		if thin, known = known.thinned(next); string(thin) != string(next) {
			t.Errorf("%s is sent as %s", next, thin)
		}
	}
	if thin, _ := known.thinned([]byte(` data-part="x`)); string(thin) != ` data-part="x` {
		t.Errorf("what is no part: %s", thin)
	}
}

func TestAnotherSitesPageCannotHoldStreamsOpen(t *testing.T) {
	t.Parallel()
	p := New(Options{API: &jobsAPI{}, User: func(*http.Request) string { return "amy" }})
	defer p.Close()
	for _, site := range []string{"cross-site", "same-site"} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/live?page=jobs", nil)
		r.Header.Set("Sec-Fetch-Site", site)
		w := httptest.NewRecorder()
		if p.ServeHTTP(w, r); w.Code != http.StatusForbidden {
			t.Errorf("%s is answered %d", site, w.Code)
		}
	}
}
