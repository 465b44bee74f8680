package ui

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

const eventID = "01a20d72-0dc2-7cae-991a-bb334b5ccaff"

func TestAPageIsFoundByTheEndOfItsPath(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]place{
		"/":                                   {page: "overview", up: "./"},
		"/a/b/":                               {page: "overview", up: "./"},
		"/a/events":                           {page: "events", path: "events", up: "./"},
		"/events/" + eventID:                  {page: "event", arg: eventID, path: "events/" + eventID, up: "../"},
		"/a/events/" + eventID + "/body":      {page: "body", arg: eventID, path: "events/" + eventID + "/body", up: "../../"},
		"/a/jobs/0123abc":                     {page: "job", arg: "0123abc", path: "jobs/0123abc", up: "../"},
		"/destinations/shop/orders":           {page: "destination", arg: "shop", rest: "orders", path: "destinations/shop/orders", up: "../../"},
		"/destinations/shop/events":           {page: "destination", arg: "shop", rest: "events", path: "destinations/shop/events", up: "../../"},
		"/a/" + styleName:                     {page: "asset", arg: styleName, path: styleName, up: "./"},
		"/a":                                  {arg: "./a/", up: "./"},
		"/a/%2F\\evil.example":                {arg: "./%252F%5Cevil.example/", up: "./"},
		"/jobs/dash/":                         {page: "overview", up: "./"},
		"/EVENTS/" + strings.ToUpper(eventID): {arg: "./" + strings.ToUpper(eventID) + "/", up: "./"},
		"/events/" + strings.ToUpper(eventID): {page: "event", arg: eventID, path: "events/" + strings.ToUpper(eventID), up: "../"},
		// What looks like a page and is none.
		"/a/events/" + eventID + "x": {page: nowhere, up: "../"},
		"/events/NOPE/":              {page: nowhere, up: "../../"},
		"/events/":                   {page: nowhere, up: "../"},
		"/jobs/":                     {page: nowhere, up: "../"},
		"/jobs/NOPE":                 {page: nowhere, up: "../"},
		"/destinations":              {page: nowhere, up: "./"},
		"/destinations/shop":         {page: nowhere, up: "../"},
		"/destinations/shop/":        {page: nowhere, up: "../../"},
		"/destinations/shop/orders/": {page: nowhere, up: "../../../"},
		"/refusals/":                 {page: nowhere, up: "../"},
	} {
		if got := locate(path, false); got != want {
			t.Errorf("%s: %+v, want %+v", path, got, want)
		}
	}
}

func TestWhereThePathIsWholeNothingMayStandBeforeAPage(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]place{
		"/":                   {page: "overview", up: "./"},
		"/events":             {page: "events", path: "events", up: "./"},
		"/events/" + eventID:  {page: "event", arg: eventID, path: "events/" + eventID, up: "../"},
		"/" + styleName:       {page: "asset", arg: styleName, path: styleName, up: "./"},
		"/foo":                {page: nowhere, up: "./"},
		"/foo/":               {page: nowhere, up: "../"},
		"/foo/events":         {page: nowhere, up: "../"},
		"/a/b/" + styleName:   {page: nowhere, up: "../../"},
		"/destinations/shop/": {page: nowhere, up: "../../"},
	} {
		if got := locate(path, true); got != want {
			t.Errorf("%s: %+v, want %+v", path, got, want)
		}
	}
}

func TestADashboardBelowAPathThatIsTakenAwayKnowsWhereItBegins(t *testing.T) {
	t.Parallel()
	for seen, c := range map[string]struct {
		left string
		want place
	}{
		"/hp/":     {"/", place{page: "overview", up: "./"}},
		"/hp/foo":  {"/foo", place{page: nowhere, up: "./"}},
		"/a/hpn":   {"", place{arg: "./hpn/", up: "./"}},
		"/hpn":     {"/", place{arg: "./hpn/", up: "./"}},
		"/dash/x/": {"/dash/x/", place{page: "overview", up: "./"}}, // nothing was taken away
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, seen, nil)
		original := *r
		r = r.WithContext(context.WithValue(t.Context(), caddyhttp.OriginalRequestCtxKey, original))
		r.URL = &url.URL{Path: c.left}
		if got := placeOf(r); got != c.want {
			t.Errorf("%s, %s: %+v, want %+v", seen, c.left, got, c.want)
		}
	}
}

func points(values ...float64) (all []*float64) {
	for _, v := range values {
		if v < 0 {
			all = append(all, nil)
			continue
		}
		all = append(all, &v)
	}
	return all
}

func counts(title string, values ...float64) line {
	return line{title, points(values...), 15 * time.Second, whole}
}

func TestAPlotHasAGapWhereNothingIsKnown(t *testing.T) {
	t.Parallel()
	p := counts("Waiting", -1, 2, 4, -1, 0, 1).gauge()
	if p.Line != "M40 25L60 25L100 2H120M160 48L180 48L220 36H240" || strings.Count(p.Area, "Z") != 2 || p.Most != "4" || p.Now != "1" || !p.Known || p.Flow() {
		t.Errorf("%+v", p)
	}
	p = counts("Delivered", -1, 0, 3, 12345).flow()
	if p.Line != "M150 48V47M210 48V2" || p.Sum != "12\u202f348" || !p.Flow() || p.Per != "15 s" {
		t.Errorf("%+v", p)
	}
	if p := counts("", -1, -1).gauge(); p.Known || p.Line != "" || p.Area != "" {
		t.Errorf("nothing known: %+v", p)
	}
	if p := counts("").flow(); p.Known || p.Line != "" {
		t.Errorf("no points: %+v", p)
	}
}

func TestOnePointAloneIsSeen(t *testing.T) {
	t.Parallel()
	p := counts("", -1, 3, -1, -1).gauge()
	if p.Line != "M60 2L90 2H120" || p.Area != "M60 48L60 2L90 2H120V48Z" {
		t.Errorf("%+v", p)
	}
}

func TestASmallPlotSaysTheNewestValueAndTheScaleOfItsOwnBars(t *testing.T) {
	t.Parallel()
	if p := counts("", 1, 5, 2, -1, -1, -1, 9, 3, 1).smallGauge(); p.Now != "1" || p.Most != "9" {
		t.Errorf("a gauge: %+v", p)
	}
	p := counts("", 1, 5, 2, -1, 1).smallFlow()
	if p.Line != "M60 48V2M180 48V42" || p.Sum != "9" || p.Most != "8" || p.Per != "45 s" {
		t.Errorf("a flow: %+v", p)
	}
	if p := (line{"", make([]*float64, 240), 15 * time.Second, whole}).gauge(); p.Ago != "1 h ago" || p.Half != "30 min ago" {
		t.Errorf("the axis of an hour: %+v", p)
	}
}

func TestTheStripShowsHowADestinationStood(t *testing.T) {
	t.Parallel()
	from := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	at := func(minutes int, state string) change {
		return change{from.Add(time.Duration(minutes) * time.Minute), "shop", "a", state, ""}
	}
	gauge := points(-1, -1, 0, 0, 0, 0)
	for name, c := range map[string]struct {
		changes []change
		state   string
		want    []stretch
	}{
		"nothing changed": {nil, "up", []stretch{{"unknown", 0, 80}, {"up", 80, 160}}},
		"went down":       {[]change{at(30, "down")}, "down", []stretch{{"unknown", 0, 80}, {"up", 80, 40}, {"down", 120, 120}}},
		"came back":       {[]change{at(-9, "down"), at(30, "up")}, "up", []stretch{{"unknown", 0, 80}, {"down", 80, 40}, {"up", 120, 120}}},
		"another's":       {[]change{{from, "shop", "b", "down", ""}}, "up", []stretch{{"unknown", 0, 80}, {"up", 80, 160}}},
	} {
		h := past{From: from, Step: 600, Points: 6, Changes: c.changes}
		if got := h.strip("shop", "a", c.state, gauge); !slices.Equal(got.Stretches, c.want) {
			t.Errorf("%s: %v, want %v", name, got.Stretches, c.want)
		}
	}
}

func TestTheRateOfASourceIsThatOfTheLastMinute(t *testing.T) {
	t.Parallel()
	from := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	h := past{From: from, Step: 15, Points: 6}
	if got := h.rate(points(100, 15, 15, 15, 15, 5), from.Add(80*time.Second)); got != 1 {
		t.Errorf("%v a second, want 1", got)
	}
	if got := h.rate(nil, from); got != 0 {
		t.Errorf("without points: %v", got)
	}
}

func TestAllIsWellOnlyWhereNothingIsTriedAgainDeadDownPausedOrOrphaned(t *testing.T) {
	t.Parallel()
	for words, d := range map[string]toward{
		"": {Name: "a", State: "up", Delivered: 5, Pending: 3},
		"1 event fails at shop/a and is tried again: backend answered 500": {Name: "a", State: "up", Retrying: 1, LastError: "backend answered 500"},
		"2 events fail at shop/a and are tried again.":                     {Name: "a", State: "up", Retrying: 2, Dead: 1},
		"shop/a fails: refused":                                            {Name: "a", State: "up", Failures: 3, Dead: 4, LastError: "refused"},
		"4 events are dead at shop/a":                                      {Name: "a", State: "up", Dead: 4},
		"shop/a is down: it does not answer":                               {Name: "a", State: "down", Pending: 1, Retrying: 1},
		"shop/a is paused by an operator":                                  {Name: "a", State: "paused"},
		"shop/a is not configured any more, and 3":                         {Name: "a", State: "orphaned", Pending: 1, Dead: 2},
	} {
		all := d.troubles("shop", past{})
		if said := fmt.Sprint(all); (len(all) == 0) != (words == "") || !strings.Contains(said, words) {
			t.Errorf("%+v: %s, want %q", d, said, words)
		}
	}
}

func TestATroubleSaysSinceWhenWhereThatIsKnown(t *testing.T) {
	t.Parallel()
	from := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	h := past{From: from, Step: 15, Points: 3, Changes: []change{{from, "shop", "a", "down", ""}, {from.Add(time.Minute), "shop", "a", "paused", ""}}}
	if got := (toward{Name: "a", State: "paused"}).troubles("shop", h); len(got) != 1 || got[0].Since == nil || !got[0].Since.Equal(from.Add(time.Minute)) {
		t.Errorf("paused: %+v", got)
	}
	d := toward{Name: "a", State: "down", DownSince: &h.Changes[1].At}
	if d.remember("shop", past{Changes: h.Changes[:1]}); d.DownSince == nil || !d.DownSince.Equal(from) {
		t.Errorf("down since a time before the restart: %+v", d)
	}
	h = history(t, `{"from":"2027-01-01T00:00:00Z","step":15,"points":3,"destinations":[{"source":"shop","destination":"a","dead":[1,2,0]}]}`)
	if got := (toward{Name: "a", State: "up", Dead: 3}).troubles("shop", h); len(got) != 1 || got[0].Last == nil || !got[0].Last.Equal(from.Add(15*time.Second)) {
		t.Errorf("dead: %+v", got)
	}
}

func history(t *testing.T, text string) (h past) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &h); err != nil {
		t.Fatal(err)
	}
	return h
}

func TestManyTroublesOfAKindAreOne(t *testing.T) {
	t.Parallel()
	var all []trouble
	for i := range 25 {
		d := toward{Name: fmt.Sprint("d", i), State: "down", Why: "refused"}
		if i == 7 {
			d.Why = "timeout"
		}
		all = append(all, d.troubles("shop", past{})...)
	}
	all = append(all, toward{Name: "x", State: "up", Dead: 1}.troubles("shop", past{})...)
	groups := grouped(all)
	if len(groups) != 2 || len(groups[0].Troubles) != 25 || groups[0].Words != "25 destinations are down: refused, and 1 for another reason." || groups[1].Words != "" {
		t.Errorf("%+v", groups)
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
	const form, xml = "application/x-www-form-urlencoded", "text/xml"
	for name, c := range map[string]struct {
		body, as          string
		pretty, raw, kind string
		cut               bool
	}{
		"nothing":        {kind: "empty"},
		"JSON":           {body: `{"a":1}`, pretty: "{\n  \"a\": 1\n}", raw: `{"a":1}`, kind: "JSON"},
		"text":           {body: "a=1&b=é", raw: "a=1&b=é", kind: "text"},
		"a form":         {body: "a=1&text=hello+w%C3%A9&b", as: form, pretty: "a = 1\ntext = hello wé\nb = ", raw: "a=1&text=hello+w%C3%A9&b", kind: "form"},
		"JSON in a form": {body: "payload=%7B%22a%22%3A1%7D", as: form, pretty: "payload = \n{\n  \"a\": 1\n}", raw: "payload=%7B%22a%22%3A1%7D", kind: "form"},
		"no form":        {body: "a=%zz", as: form, raw: "a=%zz", kind: "text"},
		"XML":            {body: `<?xml version="1.0"?><a><b x="1">t</b><c/></a>`, pretty: "<?xml version=\"1.0\"?>\n<a>\n  <b x=\"1\">t</b>\n  <c/>\n</a>", raw: `<?xml version="1.0"?><a><b x="1">t</b><c/></a>`, kind: "XML"},
		"XML by type":    {body: `<a><b></b>t</a>`, as: xml, pretty: "<a>\n  <b></b>\n  t\n</a>", raw: `<a><b></b>t</a>`, kind: "XML"},
		"no XML":         {body: `<a><b></a>`, as: xml, raw: `<a><b></a>`, kind: "text"},
		"bytes":          {body: "\x00\xff", raw: "00000000  00 ff                                             |..|\n", kind: "bytes"},
		"long JSON":      {body: long, raw: long[:mostShown], kind: "text", cut: true},
		"cut in a character": {
			body: "x" + strings.Repeat("é", mostShown), raw: "x" + strings.Repeat("é", mostShown/2-1), kind: "text", cut: true,
		},
		"deep":     {body: strings.Repeat("[", mostShown/2) + strings.Repeat("]", mostShown/2), raw: strings.Repeat("[", mostShown/2) + strings.Repeat("]", mostShown/2), kind: "text"},
		"deep XML": {body: strings.Repeat("<a>", 9000) + strings.Repeat("</a>", 9000), as: xml, raw: strings.Repeat("<a>", 9000) + strings.Repeat("</a>", 9000), kind: "text"},
	} {
		pretty, raw, kind, cut := readable([]byte(c.body), c.as)
		if pretty != c.pretty || raw != c.raw || kind != c.kind || cut != c.cut {
			t.Errorf("%s: %.200q %.80q %s %v", name, pretty, raw, kind, cut)
		}
	}
	if got := contentType(map[string][]string{"Content-Type": {"Application/X-WWW-form-urlencoded; charset=utf-8"}}); got != form {
		t.Errorf("the type of a form is %q", got)
	}
}

func TestTheTimelineTellsReplaysApart(t *testing.T) {
	t.Parallel()
	w := way{Tries: []attempt{{Number: 1}, {Number: 2}, {Number: 1}, {Number: 1}, {Number: 2}}}
	if got := fmt.Sprint(len(w.Rounds()), len(w.Rounds()[0]), len(w.Rounds()[1]), len(w.Rounds()[2])); got != "3 2 1 2" {
		t.Errorf("the rounds are %s", got)
	}
	at := time.Now()
	if got := (way{delivery: delivery{State: "dead", SettledAt: &at}}).Settled(); got != &at {
		t.Errorf("dead since %v", got)
	}
	if (row{Type: strings.Repeat("x", mostKept)}).CutType() != true || (row{ID: "x"}).CutID() {
		t.Error("what is cut is not told from what is whole")
	}
}

func TestTheUserIsAPlaceholderOfTheRequestAlone(t *testing.T) {
	t.Parallel()
	for user, ok := range map[string]bool{
		"{http.auth.user.id}": true, "{http.request.header.Remote-User}": true, "{http.vars.user}": true,
		"amy": false, "{env.HOME}": false, "sso:{http.auth.user.id}": false, "{http.auth.user.id}x": false, "{file./etc/hostname}": false,
		"{http.a}{http.b}": false, "{system.hostname}": false, "{http.}": false, "": false, "\\{http.auth.user.id}": false,
	} {
		if err := (&Dashboard{User: user}).Validate(); (err == nil) != ok {
			t.Errorf("%q: %v", user, err)
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
		{way{delivery: delivery{State: "discarded"}}, toward{}, "operator has discarded it"},
		{way{delivery: delivery{State: "filtered"}}, toward{}, "did not want it"},
		{way{delivery: delivery{State: "pending", Discarding: true}}, toward{}, "no other follows"},
		{way{delivery: delivery{State: "pending", InFlight: true}}, toward{}, "runs just now"},
		{way{delivery: delivery{State: "pending"}}, toward{State: "paused"}, "paused the destination"},
		{way{delivery: delivery{State: "pending"}}, toward{State: "orphaned"}, "does not name"},
		{way{delivery: delivery{State: "pending"}}, toward{State: "down", Why: "no answer"}, "is down (no answer)"},
		{way{delivery: delivery{State: "pending"}}, toward{State: "orphaned", LastError: "connection refused"}, "configure it again."},
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
		"action=replays&filter.q=a&rate=2.5": true, "action=replays&filter.q=a&rate=NaN": false, "action=replays&filter.q=a&rate=Inf": false,
		"action=replays&filter.q=a&rate=-1": false,
	} {
		q, err := url.ParseQuery(form)
		if err != nil {
			t.Fatal(err)
		}
		o, err := readOrder(q)
		if err == nil {
			_, err = o.body(false)
		}
		if (err == nil) != ok {
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
		for _, job := range []string{`jobs/j0\"`, `jobs/j1\"`, `jobs/j2\"`} {
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
