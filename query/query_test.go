package query_test

import (
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/query"
	"github.com/caddy-webhooks/caddy-webhooks/store"
)

var now = time.Unix(1_795_000_000, 0)

func TestASearchThroughContentFollowsAPath(t *testing.T) {
	t.Parallel()
	const body = `{"data":{"object":{"customer":"cus_1","amount":5,"big":12345678901234567890,"ok":true,"none":null,
		"tags":["a","b=c"],"items":[{"sku":"x","n":1},{"sku":"y","n":2}]}},"a=b":"odd"}`
	for q, want := range map[string]bool{
		"data.object.customer=cus_1":           true,
		"data.object.customer=cus_2":           false,
		"data.object.customer=cus":             false,
		"data.object.customer=":                false,
		"data.object.amount=5":                 true,
		"data.object.amount=5.0":               false,
		"data.object.big=12345678901234567890": true,
		"data.object.ok=true":                  true,
		"data.object.none=null":                true,
		"data.object.nothing=null":             false,
		"data.object.nothing=":                 false,
		"data.object.tags=a":                   true,
		"data.object.tags=b=c":                 true,
		"data.object.tags=c":                   false,
		"data.object.items.#.sku=y":            true,
		`data.object.items.#(sku=="y").n=2`:    true,
		`data.object.items.#(sku=="y").n=1`:    false,
		`data.object.items.#(sku=="y=2`:        false, // no path
		"data.object.tags=[\"a\",\"b=c\"]":     true,
	} {
		f := parse(t, url.Values{"q": {q}})
		if f.Content == nil || f.Text != "" {
			t.Errorf("%s is not taken for a path", q)
			continue
		}
		for kind, e := range map[string]*event.Event{
			"JSON": {Header: http.Header{}, Body: []byte(body)},
			"a form": {
				Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}},
				Body:   []byte(url.Values{"payload": {body}}.Encode()),
			},
		} {
			if got := f.Content(e); got != want {
				t.Errorf("%s in %s: %v, want %v", q, kind, got, want)
			}
		}
		if f.Content(&event.Event{Body: []byte("no JSON")}) || f.Content(&event.Event{}) {
			t.Errorf("%s is found where there is no JSON", q)
		}
	}
	if f := parse(t, url.Values{"q": {"evt_1"}}); f.Content != nil || f.Text != "evt_1" {
		t.Errorf("a text is taken for %+v", f)
	}
}

func TestAPathThatIsNoneIsRefused(t *testing.T) {
	t.Parallel()
	for q, words := range map[string]string{
		"=cus_1":                        "before the equals sign",
		strings.Repeat("a", 300) + "=1": "too long",
	} {
		if _, err := query.Parse(url.Values{"q": {q}}, now); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%.20s: %v, want something with %q", q, err, words)
		}
	}
}

func TestFixedTimesMeanTheSameLater(t *testing.T) {
	t.Parallel()
	q := url.Values{"since": {"-2h"}, "until": {"2026-11-24T08:00:00.5+01:00"}, "state": {"dead"}}
	fixed := query.Fix(q, now)
	if q.Get("since") != "-2h" {
		t.Error("the parameters themselves were changed")
	}
	before, err := query.Parse(q, now)
	if err != nil {
		t.Fatal(err)
	}
	later, err := query.Parse(fixed, now.Add(100*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if !before.Since.Equal(later.Since) || !before.Until.Equal(later.Until) || later.State != event.Dead {
		t.Errorf("%+v, a hundred hours later %+v", before, later)
	}
	if bad := query.Fix(url.Values{"since": {"yesterday"}}, now); bad.Get("since") != "yesterday" {
		t.Errorf("what is no time became %v", bad)
	}
	if none := query.Fix(url.Values{}, now); len(none) != 0 {
		t.Errorf("out of nothing came %v", none)
	}
}

// To a filter the zero time is no bound: a discard of what came before it would
// take everything.
func TestTheTimeThatStandsForNoneIsNoBound(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"since", "until"} {
		for _, v := range []string{"0001-01-01T00:00:00Z", "0001-01-01T02:00:00+02:00"} {
			if _, err := query.Parse(url.Values{name: {v}}, now); err == nil || !strings.Contains(err.Error(), "leave it out for no limit") {
				t.Errorf("%s=%s: %v", name, v, err)
			}
		}
	}
	if f := parse(t, url.Values{"until": {"0001-01-01T00:00:01Z"}}); f.Until.IsZero() {
		t.Error("a second later is no bound either")
	}
}

func TestACursorMayBeTheBeginningForOneThatGoesOn(t *testing.T) {
	t.Parallel()
	for v, want := range map[string]uint64{"0": 0, "zz": 1295} {
		f, given, err := query.Onward(url.Values{"cursor": {v}, "state": {"dead"}}, now)
		if err != nil || !given || f.After != want || f.Before != 0 || !f.OldestFirst || f.State != event.Dead {
			t.Errorf("%s: %+v %v %v", v, f, given, err)
		}
	}
	if f, given, err := query.Onward(url.Values{"since": {"-1h"}}, now); err != nil || given || f.After != 0 {
		t.Errorf("without one: %+v %v %v", f, given, err)
	}
	for _, q := range []url.Values{{"cursor": {"-1"}}, {"cursor": {""}}, {"cursor": {"1", "2"}}, {"colour": {"red"}}} {
		if _, _, err := query.Onward(q, now); err == nil {
			t.Errorf("%v is taken", q)
		}
	}
	if _, err := query.Parse(url.Values{"cursor": {"0"}}, now); err == nil {
		t.Error("there is no page before the first event")
	}
}

func TestAWaitTakesDays(t *testing.T) {
	t.Parallel()
	for v, want := range map[string]time.Duration{"1d": 24 * time.Hour, "1.5d": 36 * time.Hour, "90m": 90 * time.Minute, "1h30m": 90 * time.Minute} {
		if got, err := query.ParseWait(v); err != nil || got != want {
			t.Errorf("%s: %v %v", v, got, err)
		}
	}
	for _, v := range []string{"0", "-1h", "0d", "-1d", "NaNd", "1e9d", "x", "d"} {
		if got, err := query.ParseWait(v); err == nil {
			t.Errorf("%s is taken for %v", v, got)
		}
	}
}

func parse(t *testing.T, q url.Values) store.Filter {
	t.Helper()
	f, err := query.Parse(q, now)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func FuzzFiltersNeverPanicAndStayInBounds(f *testing.F) {
	for _, q := range []string{"", "state=dead&limit=10", "since=-2h&until=-1h", "since=-NaNd", "until=0001-01-01T00:00:00Z", "cursor=zz", "q=%00", "limit=99999999999999999999"} {
		f.Add(q)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		q, err := url.ParseQuery(raw)
		if err != nil {
			return
		}
		got, err := query.Parse(q, time.Unix(1_795_000_000, 0))
		if err == nil {
			checkFilter(t, q, got)
		}
	})
}

// checkFilter holds an accepted filter to what a store relies on.
func checkFilter(t *testing.T, q url.Values, got store.Filter) {
	t.Helper()
	if got.Limit < 0 || got.Limit > query.MaxLimit || got.State > event.Filtered {
		t.Errorf("%v: %+v", q, got)
	}
	if q.Has("since") && q.Has("until") && !got.Since.Before(got.Until) {
		t.Errorf("%v: an empty span %v to %v", q, got.Since, got.Until)
	}
	if len(q) > 0 && reflect.ValueOf(got).IsZero() {
		t.Errorf("%v: its parameters were dropped", q)
	}
}
