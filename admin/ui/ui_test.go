package ui

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const eventID = "01a20d72-0dc2-7cae-991a-bb334b5ccaff"

func TestAPageIsFoundByTheEndOfItsPath(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]place{
		"/":                              {page: "overview", up: "./"},
		"/a/b/":                          {page: "overview", up: "./"},
		"/a/events":                      {page: "events", path: "events", up: "./"},
		"/events/" + eventID:             {page: "event", arg: eventID, path: "events/" + eventID, up: "../"},
		"/a/events/" + eventID + "/body": {page: "body", arg: eventID, path: "events/" + eventID + "/body", up: "../../"},
		"/a/jobs/0123abc":                {page: "job", arg: "0123abc", path: "jobs/0123abc", up: "../"},
		"/destinations/shop/orders":      {page: "destination", arg: "shop", rest: "orders", path: "destinations/shop/orders", up: "../../"},
		"/a/" + styleName:                {page: "asset", arg: styleName, up: "./"},
		"/a":                             {arg: "./a/", up: "./"},
		"/a/events/" + eventID + "x":     {arg: "./" + eventID + "x/", up: "./"},
		"/a/%2F\\evil.example":           {arg: "./%252F%5Cevil.example/", up: "./"},
		"/destinations/shop":             {arg: "./shop/", up: "./"},
	} {
		if got := locate(path); got != want {
			t.Errorf("%s: %+v, want %+v", path, got, want)
		}
	}
}

func known(values ...float64) (points []*float64) {
	for _, v := range values {
		if v < 0 {
			points = append(points, nil)
			continue
		}
		points = append(points, &v)
	}
	return points
}

func TestAPlotHasAGapWhereNothingIsKnown(t *testing.T) {
	t.Parallel()
	p := gaugePlot("Waiting", known(-1, 2, 4, -1, 0, 1), whole)
	if p.Line != "M60 25L100 2M180 48L220 36" || strings.Count(p.Area, "Z") != 2 || p.Most != "4" || p.Now != "1" || !p.Known {
		t.Errorf("%+v", p)
	}
	p = flowPlot("Delivered", known(-1, 0, 3, 12345))
	if p.Line != "M150 48V47M210 48V2" || p.Sum != "12\u202f348" || !p.Flow || strings.Count(p.Line, "M") != 2 {
		t.Errorf("%+v", p)
	}
	if p := gaugePlot("", known(-1, -1), whole); p.Known || p.Line != "" || p.Area != "" {
		t.Errorf("nothing known: %+v", p)
	}
	if p := smallGauge("", known(1, 5, 2, -1, -1, -1, -1, 3, -1)); p.Line != "M40 2M200 20" || p.Most != "5" {
		t.Errorf("a small one: %+v", p)
	}
	if p := smallFlow("", known(1, 5, 2, -1, 1)); p.Line != "M60 48V2M180 48V42" || p.Sum != "9" || p.Most != "5" {
		t.Errorf("a small one: %+v", p)
	}
	if p := flowPlot("", nil); p.Known || p.Line != "" {
		t.Errorf("no points: %+v", p)
	}
}

func TestTheNumbersSayWhatThePlotsShow(t *testing.T) {
	t.Parallel()
	from := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	gauge, sum := make([]*float64, 36), make([]*float64, 36)
	for i := range 24 {
		v := float64(i)
		gauge[i], sum[i] = &v, &v
	}
	rows := table(past{From: from, Step: 15, Points: 36}, gauge, gauge, sum)
	want := fmt.Sprint([]numbers{{from.Add(3 * time.Minute), []string{"23", "23s", "210"}}, {from, []string{"11", "11s", "66"}}})
	if fmt.Sprint(rows) != want {
		t.Errorf("%v, want %s", rows, want)
	}
}

func TestABodyIsShownAsWhatItIs(t *testing.T) {
	t.Parallel()
	long := `{"a":"` + strings.Repeat("é", mostShown) + `"}`
	for name, c := range map[string]struct {
		body              string
		pretty, raw, kind string
		cut               bool
	}{
		"nothing":   {kind: "empty"},
		"JSON":      {body: `{"a":1}`, pretty: "{\n  \"a\": 1\n}", raw: `{"a":1}`, kind: "JSON"},
		"text":      {body: "a=1&b=é", raw: "a=1&b=é", kind: "text"},
		"bytes":     {body: "\x00\xff", raw: "00000000  00 ff                                             |..|\n", kind: "bytes"},
		"long JSON": {body: long, raw: long[:mostShown], kind: "text", cut: true},
		"cut in a character": {
			body: "x" + strings.Repeat("é", mostShown), raw: "x" + strings.Repeat("é", mostShown/2-1), kind: "text", cut: true,
		},
		"deep": {body: strings.Repeat("[", mostShown/2) + strings.Repeat("]", mostShown/2), raw: strings.Repeat("[", mostShown/2) + strings.Repeat("]", mostShown/2), kind: "text"},
	} {
		pretty, raw, kind, cut := readable([]byte(c.body))
		if pretty != c.pretty || raw != c.raw || kind != c.kind || cut != c.cut {
			t.Errorf("%s: %.80q %.80q %s %v", name, pretty, raw, kind, cut)
		}
	}
}

func TestEachWaySaysWhyItStandsAsItDoes(t *testing.T) {
	t.Parallel()
	now := time.Now()
	later := now.Add(5 * time.Minute)
	failed := []attempt{{Status: 500, Error: "backend answered 500"}}
	for _, c := range []struct {
		w     way
		to    toward
		words string
	}{
		{way{delivery: delivery{State: "delivered"}}, toward{}, "has taken it"},
		{way{delivery: delivery{State: "dead"}, Tries: failed}, toward{}, "backend answered 500. No further attempt"},
		{way{delivery: delivery{State: "discarded"}}, toward{}, "operator has given it up"},
		{way{delivery: delivery{State: "filtered"}}, toward{}, "did not want it"},
		{way{delivery: delivery{State: "pending", Discarding: true}}, toward{}, "no other follows"},
		{way{delivery: delivery{State: "pending", InFlight: true}}, toward{}, "runs just now"},
		{way{delivery: delivery{State: "pending"}}, toward{State: "paused"}, "paused the destination"},
		{way{delivery: delivery{State: "pending"}}, toward{State: "orphaned"}, "does not name"},
		{way{delivery: delivery{State: "pending"}}, toward{State: "down", Why: "no answer"}, "is down (no answer)"},
		{way{delivery: delivery{State: "pending", Next: &later}, Tries: failed}, toward{State: "up"}, "again in 5m; the last attempt: backend answered 500"},
		{way{delivery: delivery{State: "pending"}}, toward{State: "up"}, "waits for its turn; no attempt was made yet"},
	} {
		if got := c.w.explain(c.to, now); !strings.Contains(got, c.words) {
			t.Errorf("%s/%s: %q, want %q in it", c.w.State, c.to.State, got, c.words)
		}
	}
}

func TestAnOrderMustSayWhatItIsAbout(t *testing.T) {
	t.Parallel()
	for form, ok := range map[string]bool{
		"action=replay&event=" + eventID: true, "action=replay": false, "action=replay&event=../x": false,
		"action=pause&destination=shop/a": true, "action=pause&destination=shop": false, "action=pause&destination=/a": false,
		"action=discards&filter.state=dead": true, "action=discards&filter.colour=red": false, "action=moves": false,
		"action=cancel&job=1a": true, "action=cancel&job=../events": false, "action=erase": false, "": false,
	} {
		q, err := url.ParseQuery(form)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := readOrder(q); (err == nil) != ok {
			t.Errorf("%s: %v", form, err)
		}
	}
}

func TestNumbersAndTimesAreShort(t *testing.T) {
	t.Parallel()
	for v, want := range map[float64]string{0: "0", 999: "999", 1000: "1\u202f000", 1234567: "1\u202f234\u202f567", -1000: "-1\u202f000"} {
		if got := whole(v); got != want {
			t.Errorf("%v: %q, want %q", v, got, want)
		}
	}
	for d, want := range map[time.Duration]string{-1: "0s", 59 * time.Second: "59s", 61 * time.Minute: "1h 01m", 49 * time.Hour: "2d"} {
		if got := short(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}

// jobsAPI answers every request with a list of jobs, of as many as it has answered.
type jobsAPI struct{ n int }

func (a *jobsAPI) RoundTrip(r *http.Request) (*http.Response, error) {
	a.n++
	text, err := json.Marshal(map[string]any{"jobs": []map[string]any{{"job": fmt.Sprint("j", a.n/3), "action": "replay"}}})
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader(string(text))), Request: r}, nil
}

func TestAStreamSendsAPageWhenItHasChangedAndEndsWithTheServer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api := &jobsAPI{}
		p := New(Options{API: api, User: func(*http.Request) string { return "amy" }})
		w := httptest.NewRecorder()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			p.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/live?page=jobs%3F", nil))
		}()
		synctest.Wait()
		time.Sleep(5*streamEvery + 1) // six looks, at three different pages
		p.Close()
		<-ended
		if api.n != 6 {
			t.Errorf("it looked %d times", api.n)
		}
		text := w.Body.String()
		for _, job := range []string{"jobs/j0\"", "jobs/j1\"", "jobs/j2\""} {
			if strings.Count(text, job) != 1 {
				t.Errorf("%s was sent %d times:\n%s", job, strings.Count(text, job), text)
			}
		}
	})
}

func TestTooManyStreamsAreRefused(t *testing.T) {
	t.Parallel()
	p := New(Options{API: &jobsAPI{}, User: func(*http.Request) string { return "amy" }})
	defer p.Close()
	for range maxStreams {
		p.streams <- struct{}{}
	}
	w := httptest.NewRecorder()
	p.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/live?page=jobs", nil))
	if w.Code != http.StatusServiceUnavailable {
		t.Errorf("one more is answered %d", w.Code)
	}
}

func BenchmarkOverviewOf50Destinations(b *testing.B) {
	p := New(Options{API: crowd(50), User: func(*http.Request) string { return "amy" }})
	defer p.Close()
	var size int
	for b.Loop() {
		w := httptest.NewRecorder()
		p.ServeHTTP(w, httptest.NewRequestWithContext(b.Context(), http.MethodGet, "/", nil))
		if w.Code != http.StatusOK {
			b.Fatal(w.Body.String())
		}
		size = w.Body.Len()
	}
	b.ReportMetric(float64(size), "bytes/page")
}

// crowd is an API with so many destinations, of all that the overview asks for.
type crowd int

func (n crowd) RoundTrip(r *http.Request) (*http.Response, error) {
	points := make([]int, 240)
	for i := range points {
		points[i] = i * 7 % 50
	}
	var sources, lines []map[string]any
	for i := range int(n) {
		name := fmt.Sprint("source-", i)
		sources = append(sources, map[string]any{"name": name, "destinations": []map[string]any{{"name": "default", "state": "up", "pending": i}}})
		lines = append(lines, map[string]any{"source": name, "destination": "default", "pending": points, "delivered": points})
	}
	v := map[string]any{"sources": sources, "destinations": lines, "reasons": []string{}}
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader(string(text))), Request: r}, nil
}
