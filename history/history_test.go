package history

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
)

var (
	start = time.Date(2027, 1, 1, 12, 0, 0, 0, time.UTC)
	shop  = Name{Source: "shop"}
	dest  = Name{Source: "shop", Destination: "default"}
)

func all(Name) bool { return true }

// observe notes counts of one line and a gauge of one.
func (h *History) observe(at time.Time, name Name, count uint64, gauge float64, state string) {
	h.Observe(at, []Reading{{Name: name, Counts: []uint64{count}, Gauges: []float64{gauge}, State: state, Why: "because"}})
}

// last gives a line's newest n points in words.
func last(line []float32, n int) string {
	var words []string
	for _, v := range line[len(line)-n:] {
		if math.IsNaN(float64(v)) {
			words = append(words, "-")
			continue
		}
		words = append(words, fmt.Sprint(v))
	}
	return strings.Join(words, " ")
}

func (h *History) wants(t *testing.T, span Span, at time.Time, counts, gauges string) {
	t.Helper()
	p := h.Plot(span, at, all)
	if len(p.Series) != 1 || len(p.Series[0].Counts[0]) != span.Points {
		t.Fatalf("%d series", len(p.Series))
	}
	if got := last(p.Series[0].Counts[0], len(strings.Fields(counts))); got != counts {
		t.Errorf("counts %s, want %s", got, counts)
	}
	if got := last(p.Series[0].Gauges[0], len(strings.Fields(gauges))); got != gauges {
		t.Errorf("gauges %s, want %s", got, gauges)
	}
	if want := at.Truncate(span.Step).Add(-time.Duration(span.Points-1) * span.Step); !p.From.Equal(want) {
		t.Errorf("it begins at %v, want %v", p.From, want)
	}
}

func TestAPointHasWhatWasCountedWithinItAndTheHighestGauge(t *testing.T) {
	t.Parallel()
	h := New()
	for i, v := range []struct {
		count uint64
		gauge float64
	}{{2, 5}, {3, 9}, {3, 1}, {7, 0}, {7, 0}, {7, 0}, {8, 4}} {
		h.observe(start.Add(time.Duration(i)*5*time.Second), shop, v.count, v.gauge, "")
	}
	h.wants(t, Hour, start.Add(30*time.Second), "- 3 4 1", "- 9 0 4")
	h.wants(t, Day, start.Add(30*time.Second), "- 8", "- 9")
}

func TestWhatNobodyObservedIsNotShownAsNothing(t *testing.T) {
	t.Parallel()
	h := New()
	h.observe(start, shop, 1, 1, "")
	h.observe(start.Add(time.Minute), shop, 2, 2, "")
	h.wants(t, Hour, start.Add(75*time.Second), "- 1 - - - 1 -", "1 - - - 2 -")
	at := start.Add(25 * time.Hour)
	h.observe(at, shop, 9, 3, "")
	h.wants(t, Day, at, strings.Repeat("- ", Day.Points-1)+"7", "- 3")
	// What was counted before one was seen for the first time is of no one moment.
	h.observe(start.Add(26*time.Hour), Name{Source: "late"}, 5, 0, "")
	h.observe(start.Add(26*time.Hour+time.Second), Name{Source: "late"}, 7, 0, "")
	if p := h.Plot(Hour, start.Add(26*time.Hour), func(n Name) bool { return n.Source == "late" }); len(p.Series) != 1 || last(p.Series[0].Counts[0], 2) != "- 2" {
		t.Errorf("one that came later: %+v", p.Series)
	}
}

func TestAClockThatIsSetBackLosesOnlyWhatLiesAhead(t *testing.T) {
	t.Parallel()
	h := New()
	h.observe(start, shop, 1, 1, "")
	h.observe(start.Add(-20*time.Second), shop, 3, 1, "")
	h.wants(t, Hour, start, "- 3", "- 1") // a little: to the newest point
	back := start.Add(-3 * time.Hour)
	h.observe(back, shop, 4, 7, "")
	h.wants(t, Hour, back, "- 1", "- 7")
	h.observe(time.Unix(-5, 0), shop, 5, 8, "")
	h.Plot(Hour, time.Unix(-5, 0), all) // before 1970 is no reason to fail
}

func TestChangesOfStateAreKeptWithTheirReason(t *testing.T) {
	t.Parallel()
	h := New()
	for i, state := range []string{"up", "up", "down", "down", "up"} {
		h.observe(start.Add(time.Duration(i)*time.Second), dest, 0, 0, state)
	}
	p := h.Plot(Hour, start, all)
	if len(p.Changes) != 2 || p.Changes[0].State != "down" || p.Changes[0].Why != "because" || !p.Changes[0].At.Equal(start.Add(2*time.Second)) || p.Changes[1].Name != dest {
		t.Errorf("%+v", p.Changes)
	}
	for i := range 3 * MaxChanges {
		h.observe(start, dest, 0, 0, fmt.Sprint("state", i))
	}
	if p := h.Plot(Hour, start, all); len(p.Changes) != MaxChanges || p.Changes[MaxChanges-1].State != fmt.Sprint("state", 3*MaxChanges-1) {
		t.Errorf("%d changes are kept", len(p.Changes))
	}
}

func TestTheOneUnseenForLongestMakesRoom(t *testing.T) {
	t.Parallel()
	h := New()
	for i := range MaxSeries {
		h.observe(start.Add(time.Duration(i)*time.Second), Name{Source: fmt.Sprint(i)}, 1, 1, "")
	}
	for i := range 10 { // an hour after those were seen
		h.observe(start.Add(staleAfter+time.Duration(i)*time.Second), Name{Source: fmt.Sprint("new", i)}, 1, 1, "")
	}
	names := map[string]bool{}
	for _, s := range h.Plot(Hour, start.Add(time.Hour), all).Series {
		names[s.Source] = true
	}
	if len(names) != MaxSeries || names["0"] || names["9"] || !names["10"] || !names["new9"] {
		t.Errorf("%d series are kept, among them one of the oldest, or not a new one", len(names))
	}
}

// With more of them than there is room for, those that are kept keep their past.
func TestTooManyDoNotPushEachOtherOut(t *testing.T) {
	t.Parallel()
	h := New()
	var list []Reading
	for i := range MaxSeries + 88 {
		list = append(list, Reading{Name: Name{Source: fmt.Sprintf("s%03d", i)}, Counts: []uint64{1000}})
	}
	for i := range 20 {
		h.Observe(start.Add(time.Duration(i)*Hour.Step), list)
	}
	p := h.Plot(Hour, start.Add(19*Hour.Step), all)
	if len(p.Series) != MaxSeries || last(p.Series[100].Counts[0], 20) != "1000"+strings.Repeat(" 0", 19) {
		t.Errorf("%d series; one has %s", len(p.Series), last(p.Series[100].Counts[0], 20))
	}
}

// The place of the newest point had another value a whole ring ago.
func TestAPointForgetsWhatStoodInItsPlace(t *testing.T) {
	t.Parallel()
	h := New()
	for i := range uint64(Hour.Points + 1) {
		h.observe(start.Add(time.Duration(i)*Hour.Step), shop, 10*(i+1), float64(1000-i), "")
	}
	at := start.Add(time.Duration(Hour.Points) * Hour.Step)
	h.wants(t, Hour, at, "10 10", fmt.Sprint(1000-Hour.Points+1, " ", 1000-Hour.Points))
}

func TestACountThatFallsAddsNothing(t *testing.T) {
	t.Parallel()
	h := New()
	for i, n := range []uint64{5, 3, 4} {
		h.observe(start.Add(time.Duration(i)*Hour.Step), shop, n, 0, "")
	}
	h.wants(t, Hour, start.Add(2*Hour.Step), "- 5 0 1", "0 0 0")
}

func TestAClockThatIsSetBackByMinutesKeepsWhatWasBefore(t *testing.T) {
	t.Parallel()
	h := New()
	for i := range uint64(12) {
		h.observe(start.Add(time.Duration(i)*Hour.Step), shop, i+1, 1, "")
	}
	back := start.Add(3 * Hour.Step)
	h.observe(back, shop, 13, 1, "")
	h.wants(t, Hour, back, "- 1 1 1 2", "- 1 1 1 1")
	h.observe(back.Add(8*Hour.Step), shop, 14, 1, "") // what lay ahead is gone
	h.wants(t, Hour, back.Add(8*Hour.Step), "1 1 1 2 - - - - - - - 1", "- - - 1")
}

func TestItIsReadAsItWasWrittenAndCountsGoOn(t *testing.T) {
	t.Parallel()
	h := New()
	h.observe(start, dest, 4, 2, "up")
	h.observe(start.Add(time.Minute), dest, 5, 3, "down")
	b := h.Encode()
	read, err := Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(read.Encode(), b) {
		t.Error("written again it is another")
	}
	// The process began anew, and so did its counts.
	read.observe(start.Add(90*time.Second), dest, 2, 1, "up")
	read.wants(t, Hour, start.Add(90*time.Second), "4 - - - 1 - 2", "2 - - - 3 - 1")
	if p := read.Plot(Hour, start.Add(90*time.Second), all); len(p.Changes) != 2 || p.Changes[1].State != "up" {
		t.Errorf("changes over a restart: %+v", p.Changes)
	}
	for name, bad := range map[string][]byte{
		"empty": {}, "short": b[:len(b)/2], "longer": append(bytes.Clone(b), 0), "foreign": []byte(strings.Repeat("x", 1000)),
		"flipped": append(bytes.Clone(b[:99]), append([]byte{b[99] ^ 1}, b[100:]...)...),
	} {
		if _, err := Decode(bad); !errors.Is(err, ErrForm) {
			t.Errorf("%s: %v, want %v", name, err, ErrForm)
		}
	}
}

func FuzzDecodedHistoriesCanBeUsed(f *testing.F) {
	h := New()
	h.observe(start, dest, 4, 2, "up")
	b := h.Encode()
	f.Add(b[len(magic) : len(b)-4])
	f.Fuzz(func(t *testing.T, payload []byte) {
		h, err := Decode(seal(append([]byte(magic), payload...)))
		if err != nil {
			return
		}
		h.observe(start, dest, 4, 2, "down")
		h.Plot(Hour, start, all)
		h.Plot(Day, start.Add(-time.Hour), all)
		if _, err := Decode(h.Encode()); err != nil {
			t.Errorf("written again it cannot be read: %v", err)
		}
	})
}

func BenchmarkObserve50Destinations(b *testing.B) {
	var all []Reading
	for i := range 50 {
		all = append(all, Reading{Name: Name{"shop", fmt.Sprint(i)}, Counts: make([]uint64, 3), Gauges: make([]float64, 2), State: "up"})
	}
	h := New()
	b.ReportAllocs()
	at := start
	for b.Loop() {
		at = at.Add(5 * time.Second)
		h.Observe(at, all)
	}
	b.ReportMetric(float64(len(h.Encode())), "bytes/file")
}
