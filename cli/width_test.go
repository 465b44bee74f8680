package cli

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestNamesThatDifferAtTheirEndsAreToldApart(t *testing.T) {
	t.Parallel()
	same := strings.Repeat("a", 63)
	rows := [][]string{{same + "1", "x"}, {same + "2", "x"}}
	print := func(width int) []string {
		var out strings.Builder
		tab := table{out: &out, width: width, flex: -1, columns: []column{{"NAME", 4, 16}, {"B", 1, 1}}}
		if err := tab.print(rows); err != nil {
			t.Fatal(err)
		}
		return strings.Split(out.String(), "\n")
	}
	for _, width := range []int{0, 40, 80, 200} {
		lines := print(width)
		if lines[1] == lines[2] {
			t.Errorf("%d columns: both are %s", width, lines[1])
		}
		if whole := strings.Contains(lines[1], same+"1 x"); whole != (width == 0 || width >= 66) {
			t.Errorf("%d columns: %s", width, lines[1])
		}
		if width > 0 && columns(lines[1]) > width {
			t.Errorf("%d columns: %s", width, lines[1])
		}
	}
}

func TestWideCharactersTakeTwoColumns(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{"": 0, "abc": 3, "日本語": 6, "é": 1, "e\u0301": 1, "🎉x": 3, "ﾊﾝ": 2, "Ａ": 2, "…": 1} {
		if got := columns(text); got != want {
			t.Errorf("%q takes %d columns, want %d", text, got, want)
		}
	}
	for _, c := range []struct{ text, end, middle string }{
		{"abcdef", "abc…", "ab…f"}, {"日本語日", "日…", "日…"}, {"abcd", "abcd", "abcd"}, {"日本", "日本", "日本"}, {"日xyz", "日x…", "日…z"},
	} {
		if got := cut(c.text, 4); got != c.end || columns(got) > 4 {
			t.Errorf("%s is cut to %s, want %s", c.text, got, c.end)
		}
		if got := cutMiddle(c.text, 4); got != c.middle || columns(got) > 4 {
			t.Errorf("%s is cut to %s, want %s", c.text, got, c.middle)
		}
	}
	var out strings.Builder
	tab := table{out: &out, width: 80, flex: -1, columns: []column{{"NAME", 4, 16}, {"B", 1, 1}}}
	if err := tab.print([][]string{{"日本語", "x"}, {"abcdef", "y"}}); err != nil {
		t.Fatal(err)
	}
	if want := "NAME   B\n日本語 x\nabcdef y\n"; out.String() != want {
		t.Errorf("%s", out.String())
	}
}

func TestAStateSaysFirstWhatMatters(t *testing.T) {
	t.Parallel()
	for list, want := range map[string]string{
		"":                             "",
		"delivered,delivered":          "delivered",
		"delivered,pending":            "1 pending +1",
		"delivered,dead,delivered":     "1 dead +2",
		"delivered,dead,pending,dead":  "1 pending 2 dead",
		"filtered,delivered,delivered": "1 filtered +2",
		"discarded,filtered,delivered": "1 discarded +2",
		"later,pending":                "1 later +1",
	} {
		var e eventView
		for state := range strings.FieldsFuncSeq(list, func(r rune) bool { return r == ',' }) {
			e.Deliveries = append(e.Deliveries, deliveryView{State: state})
		}
		if got := states(e); got != want {
			t.Errorf("%s: %q, want %q", list, got, want)
		}
	}
}

func TestBarsFitAndSayBytes(t *testing.T) {
	t.Parallel()
	for room, want := range map[int]string{
		79: "[###############...............] 1.5 MiB of 3.0 MiB  7 events",
		30: "[###....] 1.5 MiB of 3.0 MiB …",
		20: "1.5 MiB of 3.0 MiB …",
	} {
		if got := drawn(3<<19, 3<<20, size(3<<19)+" of "+size(3<<20), events(7), room); got != want || columns(got) > room {
			t.Errorf("%d columns: %q, want %q", room, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1536: "1.5 KiB", 5 << 40: "5.0 TiB", 5 << 50: "5120.0 TiB"} {
		if got := size(n); got != want {
			t.Errorf("%d is %s, want %s", n, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0 events", 1: "1 event", 2: "2 events"} {
		if got := events(n); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestSourcesSayWhatTheTableHasNoColumnFor(t *testing.T) {
	t.Parallel()
	c, out, _ := serving(t, "")
	err := c.sources([]sourceView{{Name: "a", Provider: "stripe", Duplicates: 2, DuplicateDiffers: 1, Destinations: []destinationView{
		{Name: "b", State: "up", Pending: 3, Retrying: 1, Filtered: 1},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, words := range []string{
		"a (stripe), since the start: 0 accepted, 2 duplicates, 0 rejected\n", "a: 1 duplicate had another body than the first one of its event ID",
		"a/b: 1 event filtered: it did not want it\n", "a/b: 1 of 3 pending has failed before\n",
	} {
		if !strings.Contains(out.String(), words) {
			t.Errorf("%q is not in\n%s", words, out)
		}
	}
}

func TestJobsSayWhoWhereToAndWhyNot(t *testing.T) {
	t.Parallel()
	c, out, _ := serving(t, `{"jobs":[{"job":"5n3kq2t7xw4vbc6z","action":"move","to":"shop/new","who":"cli ada@host","state":"failed","error":"the disk is full","began":"2026-01-02T11:00:00Z"}]}`)
	if err := c.jobs(); err != nil || !strings.HasSuffix(out.String(), "\n\n5n3kq2t7xw4vbc6z: move to shop/new by cli ada@host: the disk is full\n") {
		t.Errorf("%v %s", err, out)
	}
}

// Discarding many is asked for at a terminal, and nowhere else.
func TestManyAreDiscardedWhenSomebodyIsSure(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]bool{"y\n": true, " YES \n": true, "\n": false, "": false, "no\n": false, "yeah\n": false} {
		c, _, asked := serving(t, `{"dry_run":true,"matched":3}`)
		body := map[string]any{"source": "shop"}
		var question string
		yes, err := c.sure(body, func(q string) (string, error) {
			question = q
			return answer, nil
		})
		if yes != want || err != nil || question != "discard 3 deliveries? [y/N] " || len(*asked) != 1 || body["dry_run"] != nil {
			t.Errorf("%q: %v %v, asked %q", answer, yes, err, question)
		}
	}
	c, out, _ := serving(t, `{"dry_run":true,"matched":0}`)
	if yes, err := c.sure(map[string]any{}, nil); yes || err != nil || out.String() != "nothing matches\n" {
		t.Errorf("%v %v %s", yes, err, out)
	}
	if _, err := c.agreed(map[string]any{}, func(string) (string, error) { return "", io.EOF }); err != nil && !errors.Is(err, io.EOF) {
		t.Errorf("%v", err)
	}
}

func TestAScriptIsNotAsked(t *testing.T) {
	t.Parallel()
	var dry bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		dry = dry || strings.Contains(string(body), "dry_run")
		w.Header().Set("Content-Type", jsonType)
		_, _ = io.WriteString(w, `{"job":"j","state":"done","matched":3,"changed":3}`)
	}))
	t.Cleanup(server.Close)
	for _, yes := range []string{"", "--yes"} {
		out, errs, err := webhooks(t, strings.Fields("discard --state dead --address "+server.Listener.Addr().String()+" "+yes)...)
		if err != nil || out != "3 of 3 discarded\n" || errs != "" || dry {
			t.Errorf("%v %q %q", err, out, errs)
		}
	}
}

func TestWithoutASecretItIsSaidWhereItIsTakenFrom(t *testing.T) {
	t.Setenv(secretVariable, "")
	for _, args := range [][]string{{"send", "github"}, {"send", "github", "--secret", ""}} {
		if _, _, err := webhooks(t, args...); err == nil || !strings.Contains(err.Error(), "give --secret, or set "+secretVariable) {
			t.Errorf("%v: %v", args, err)
		}
	}
}
