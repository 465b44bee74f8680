package cli

import (
	"bytes"
	"encoding/json"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/admin"
)

var update = flag.Bool("update", false, "write the golden files anew")

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// serving is a client whose clock stands, of an admin endpoint that gives the
// answers one after the other.
func serving(t *testing.T, answers ...string) (*client, *bytes.Buffer, *[]string) {
	t.Helper()
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Method+" "+r.URL.RequestURI())
		w.Header().Set("Content-Type", jsonType)
		_, _ = io.WriteString(w, answers[min(len(asked), len(answers))-1])
	}))
	t.Cleanup(server.Close)
	c, out := listening(t, server)
	return c, out, &asked
}

func listening(t *testing.T, server *httptest.Server) (*client, *bytes.Buffer) {
	t.Helper()
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	c := clientOf(t, u.Host)
	c.out = &out
	return c, &out
}

// clientOf is a client of an admin endpoint, in a terminal of 80 columns, who tries
// again at once.
func clientOf(t *testing.T, address string) *client {
	t.Helper()
	api, err := newEndpoint(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(api.close)
	return &client{
		ctx: t.Context(), api: api, address: address, out: io.Discard, note: io.Discard, now: func() time.Time { return noon },
		width: 80, retry: time.Millisecond,
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".txt")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s:\n%s\nwant:\n%s", name, got, want)
	}
}

func narrow(t *testing.T, text string) {
	t.Helper()
	for line := range strings.Lines(text) {
		if n := columns(strings.TrimSuffix(line, "\n")); n > 80 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}

const threeEvents = `{"events":[
{"event":"01a208c1-2273-78b6-b2b3-3f9bb56ab108","source":"stripe","type":"customer.subscription.updated","received":"2026-01-02T11:59:48Z","deliveries":[{"destination":"default","state":"delivered"}]},
{"event":"01a208c1-2273-78b6-b2b3-3f9bb56ab109","source":"a-source-with-a-very-long-name","type":"\u001b[2Jx\ty\u202ez","received":"2026-01-01T00:00:00Z","deliveries":[{"state":"dead"},{"state":"pending"},{"state":"dead"}]},
{"event":"01a208c1-2273-78b6-b2b3-3f9bb56ab10a","source":"shop","type":"","received":"2025-12-01T00:00:00Z","deliveries":[]}],"next":"zz"}`

const noMore = `{"events":[],"next":""}`

func TestEventsFitATerminalAndDoNotSteerIt(t *testing.T) {
	t.Parallel()
	c, out, _ := serving(t, threeEvents)
	if err := c.events(url.Values{}, false); err != nil {
		t.Fatal(err)
	}
	narrow(t, out.String())
	golden(t, "events", out.String())
}

func TestSourcesFitATerminal(t *testing.T) {
	t.Parallel()
	oldest := noon.Add(-90 * time.Minute)
	c, out, _ := serving(t, "")
	err := c.sources([]sourceView{
		{Name: "stripe", Provider: "stripe", Accepted: 12, Duplicates: 3, Rejected: 1, Destinations: []destinationView{
			{Name: "default", State: "up", Delivered: 12, Rate: 1.26},
		}},
		{Name: strings.Repeat("s", 64), Provider: "", Destinations: []destinationView{
			{
				Name: strings.Repeat("d", 64), State: "orphaned", Pending: 123_456_789_012, Dead: 12_345_678, Delivered: 9_999_999_999_999,
				OldestPending: &oldest, Rate: 9999.9,
			},
			{Name: "b", State: "down", Filtered: 7, LastError: "dial tcp 127.0.0.1:9: connection refused\x1b[0m"},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	head, _, _ := strings.Cut(out.String(), "\n\n")
	narrow(t, head)
	golden(t, "sources", out.String())
}

func TestAnEventIsShownWithItsWholeStory(t *testing.T) {
	t.Parallel()
	c, out, asked := serving(t, `{"event":"01a208c1-2273-78b6-b2b3-3f9bb56ab108","source":"shop","provider":"stripe","id":"evt_1\u0007","type":"invoice.paid",
		"received":"2026-01-02T11:00:00Z","size":27,"method":"POST","uri":"/hook?token=[masked]","headers":{"B":["2","3"],"A":["1\u001b]0;x"]},
		"body":"eyJhIjpbMSwyXSwiYiI6Ilx1MDAxYlvCm1sybSJ9",
		"deliveries":[
		{"destination":"default","state":"pending","next":"2026-01-02T12:05:00Z","attempts":[
			{"at":"2026-01-02T11:00:00Z","number":1,"status":0,"error":"connection refused","duration":0.0021,"answer":""},
			{"at":"2026-01-02T11:01:00Z","number":2,"status":500,"error":"the backend answered 500","duration":1.5,"answer":"oh\nno\u001b[31m"}]},
		{"destination":"audit","state":"pending","in_flight":true,"discarding":true,"replay":true,"attempts":[],"next":null},
		{"destination":"mail","state":"delivered","attempts":[{"at":"2026-01-02T11:00:00Z","number":1,"status":204,"duration":0.003}]}]}`)
	e, err := c.one("01a208c1-2273-78b6-b2b3-3f9bb56ab108")
	if err != nil || e == nil {
		t.Fatal(e, err)
	}
	if err := c.show(*e); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(out.String(), "\x1b\x07\u009b") {
		t.Errorf("a control character reaches the terminal: %q", out)
	}
	golden(t, "show", out.String())
	if want := "GET /webhooks/events/01a208c1-2273-78b6-b2b3-3f9bb56ab108"; (*asked)[0] != want {
		t.Errorf("asked %s, want %s", (*asked)[0], want)
	}
}

func TestBodiesAreReadableWhateverTheyAre(t *testing.T) {
	t.Parallel()
	for encoded, want := range map[string]string{
		"":                 "the body is empty",
		"!":                "the body cannot be read: illegal base64 data at input byte 0",
		"/wA=":             "2 bytes that are no text; --json has them in base64",
		"YT0xJmI9Mg0KYwlk": "a=1&b=2\nc    d",
		"eyJhIjoxfQ==":     "{\n  \"a\": 1\n}",
		"G1syShs=":         "�[2J�",
	} {
		if got := body(encoded); got != want {
			t.Errorf("%s is shown as %q, want %q", encoded, got, want)
		}
	}
	var out strings.Builder
	c := &client{out: &out, now: time.Now}
	if err := c.show(eventView{Gone: true}); err != nil || !strings.Contains(out.String(), "removed by retention") {
		t.Errorf("%q, %v", out.String(), err)
	}
}

func TestPagesGoOnThroughEmptyOnes(t *testing.T) {
	t.Parallel()
	c, out, asked := serving(t, `{"events":[],"next":"b"}`, threeEvents, noMore)
	if err := c.events(url.Values{"state": {"dead"}}, true); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(out.String(), "EVENT"); n != 1 || strings.Contains(out.String(), "no events") || len(*asked) != 3 {
		t.Errorf("%d titles, %d requests:\n%s", n, len(*asked), out)
	}
	if want := "GET /webhooks/events?cursor=zz&state=dead"; (*asked)[2] != want {
		t.Errorf("asked %s, want %s", (*asked)[2], want)
	}
	c, out, asked = serving(t, `{"events":[],"next":"b"}`, noMore)
	if err := c.events(url.Values{}, false); err != nil || out.String() != "no events\n" || len(*asked) != 2 {
		t.Errorf("%q after %v, %v", out, *asked, err)
	}
	c, out, asked = serving(t, threeEvents)
	if err := c.events(url.Values{}, false); err != nil || !strings.HasSuffix(out.String(), "more: --cursor zz, or --all\n") || len(*asked) != 1 {
		t.Errorf("%q after %v, %v", out, *asked, err)
	}
}

func TestAllPagesAreOneJSONValue(t *testing.T) {
	t.Parallel()
	for _, answers := range [][]string{{threeEvents, threeEvents, noMore}, {noMore}, {`{"events":[],"next":"b"}`, noMore}} {
		c, out, asked := serving(t, answers...)
		c.json = true
		if err := c.events(url.Values{}, true); err != nil {
			t.Fatal(err)
		}
		var v struct {
			Events []map[string]any
			Next   *string
		}
		if err := json.Unmarshal(out.Bytes(), &v); err != nil || v.Next == nil || *v.Next != "" {
			t.Errorf("%s: %v", out, err)
		}
		if want := 3 * strings.Count(strings.Join(answers, ""), "zz"); len(v.Events) != want || v.Events == nil || len(*asked) != len(answers) {
			t.Errorf("%d events in %d requests, want %d", len(v.Events), len(*asked), want)
		}
	}
}

func TestJSONIsWhatTheAPIAnswers(t *testing.T) {
	t.Parallel()
	c, out, _ := serving(t, threeEvents)
	c.json = true
	if err := c.events(url.Values{}, false); err != nil || out.String() != threeEvents {
		t.Errorf("%v, %s", err, out)
	}
}

func TestTheAPIIsToldWhoActs(t *testing.T) {
	t.Parallel()
	var who string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who = r.Header.Get(admin.WhoHeader)
		w.Header().Set("Content-Type", jsonType)
		_, _ = io.WriteString(w, noMore)
	}))
	t.Cleanup(server.Close)
	c, _ := listening(t, server)
	if err := c.events(url.Values{}, false); err != nil || !strings.HasPrefix(who, "cli ") || len(who) < len("cli a@b") {
		t.Errorf("%q, %v", who, err)
	}
}

func TestErrorsAreInAnOperatorsWords(t *testing.T) {
	t.Parallel()
	var status int
	var text string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if strings.HasPrefix(text, "{") {
			w.Header().Set("Content-Type", jsonType)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, text)
	}))
	c, out := listening(t, server)
	for _, reply := range []struct {
		status     int
		text, want string
	}{
		{404, `{"error":"event 01: no such event"}`, "event 01: no such event"},
		{409, `{"error":"replay: an attempt is in flight"}`, "replay: an attempt is in flight"},
		{404, "404 page not found\n", "built without the webhook gateway"},
		{500, "oops", "HTTP 500: oops"},
		{200, "<html>", "no admin endpoint with the webhook gateway"},
		{200, "{", "reading the answer"},
		{302, "", "HTTP 302"},
		{400, `{"error":"bad \u001b[2J"}`, "bad �[2J"},
	} {
		status, text = reply.status, reply.text
		if err := (&neutralError{c.events(url.Values{}, false)}); err.error == nil || !strings.Contains(err.Error(), reply.want) || strings.Contains(err.Error(), "\x1b") {
			t.Errorf("%d %s: %v, want %s", reply.status, reply.text, err, reply.want)
		}
	}
	server.Close()
	err := c.events(url.Values{}, false)
	if want := "no Caddy answers at " + c.address + "; is it running? use --address"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %s", err, want)
	}
	if out.Len() != 0 {
		t.Errorf("something was printed: %s", out)
	}
}

func TestNumbersAndTimesAreShort(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{0: "0", 9_999_999: "9999999", 10_000_000: "10.0M", 123_456_789_012: "123.5G", 12_000_000_000_000: "12.0T"} {
		if got := count(n); got != want || len(got) > 8 {
			t.Errorf("%d is %s, want %s", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{
		-time.Hour: "0s", 59 * time.Second: "59s", time.Minute: "1m", 47 * time.Hour: "47h", 48 * time.Hour: "2d", 9000 * 24 * time.Hour: "9000d",
	} {
		if got := short(d); got != want {
			t.Errorf("%v is %s, want %s", d, got, want)
		}
	}
}

func TestTheOtherTablesFitATerminalToo(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("n", 64)
	c, out, _ := serving(t, `{"counts":[{"source":"`+long+`","reason":"secret_rotated_long","count":123456789012},{"source":"b","reason":"full","unavailable":true,"count":1}],
		"refusals":[{"at":"2026-01-02T11:00:00Z","source":"`+long+`","method":"PROPFINDXX","path":"/`+long+long+`","remote":"[2001:db8:85a3:1234:5678:8a2e:370:7334]:54321","status":401,"more":12345678,
		"why":"signature does not match: it is the secret of the source \u001b[2J`+long+`, which is configured; are two secrets or two addresses mixed up?"},
		{"at":"2026-01-02T11:59:00Z","source":"b","method":"POST","path":"/b","remote":"127.0.0.1:5","status":503,"why":""}]}`)
	if err := c.refused(url.Values{}); err != nil {
		t.Fatal(err)
	}
	narrow(t, out.String())
	golden(t, "refused", out.String())

	c, out, _ = serving(t, `{"jobs":[{"job":"5n3kq2t7xw4vbc6z","action":"discard","state":"cancelled","began":"2026-01-02T11:00:00Z","changed":123456789012,"matched":923456789012,
		"filters":{"source":"`+long+`","type":"\u001b[2J"}}]}`)
	if err := c.jobs(); err != nil {
		t.Fatal(err)
	}
	narrow(t, out.String())
	golden(t, "jobs", out.String())

	var lines strings.Builder
	for _, states := range [][]deliveryView{
		{{State: "pending"}, {State: "pending"}}, {{State: "filtered"}}, {{State: "filtered"}, {State: "pending"}, {State: "delivered"}}, nil,
	} {
		for _, name := range []string{"b", long} {
			lines.WriteString(c.tailLine(eventView{
				Event: "01a208c1-2273-78b6-b2b3-3f9bb56ab108", Source: name, Type: name, Received: noon, Deliveries: states,
			}) + "\n")
		}
	}
	narrow(t, lines.String())
	golden(t, "tail", strings.ReplaceAll(lines.String(), noon.Local().Format(time.TimeOnly), "12:00:00"))
}

func TestTextIsWrappedBetweenWords(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 90)
	for text, want := range map[string]string{
		"":                  "",
		"a b":               "  a b",
		long + " b":         "  " + long + "\n  b",
		"a " + long:         "  a\n  " + long,
		long[:77] + " b":    "  " + long[:77] + "\n  b",
		long[:76] + " b  c": "  " + long[:76] + " b\n  c",
	} {
		if got := wrapped(text, "  "); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
