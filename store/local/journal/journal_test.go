package journal_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/caddy-webhooks/caddy-webhooks/store/local/journal"
)

// record is what a replay has shown.
type record struct {
	stamp   journal.Stamp
	payload string
}

// open opens the journal and returns what it replayed.
func open(t *testing.T, o journal.Options, from journal.Mark) (*journal.Journal, journal.Report, []record) {
	t.Helper()
	var seen []record
	j, report, err := journal.Open(o, from, func(s journal.Stamp, payload []byte) error {
		seen = append(seen, record{s, string(payload)})
		return nil
	})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return j, report, seen
}

// result is what a Done was told.
type result struct {
	stamp journal.Stamp
	err   error
}

func entry(payload string, done chan<- result) journal.Entry {
	return journal.Entry{
		Size:   len(payload),
		Encode: func(dst []byte, _ journal.Stamp) []byte { return append(dst, payload...) },
		Done: func(s journal.Stamp, err error) {
			if done != nil {
				done <- result{s, err}
			}
		},
	}
}

// put appends one payload and waits for it.
func put(t *testing.T, j *journal.Journal, payload string) journal.Stamp {
	t.Helper()
	r := try(j, entry(payload, nil))
	if r.err != nil {
		t.Fatalf("appending %.20q: %v", payload, r.err)
	}
	return r.stamp
}

// try appends an entry and waits for what becomes of it.
func try(j *journal.Journal, e journal.Entry) result {
	done := make(chan result, 1)
	e.Done = func(s journal.Stamp, err error) { done <- result{s, err} }
	if err := j.Append(context.Background(), e); err != nil {
		return result{err: err}
	}
	return <-done
}

func payloads(records []record) []string {
	all := make([]string, len(records))
	for i, r := range records {
		all[i] = r.payload
	}
	return all
}

func wantPayloads(t *testing.T, got []record, want ...string) {
	t.Helper()
	if !slices.Equal(payloads(got), want) {
		t.Fatalf("replayed %.200q, want %.200q", payloads(got), want)
	}
}

func closeJournal(t *testing.T, j *journal.Journal) {
	t.Helper()
	if err := j.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
}

func TestWhatWasAppendedIsReplayedInOrderAndReadable(t *testing.T) {
	t.Parallel()
	o := journal.Options{Dir: t.TempDir()}
	j, _, seen := open(t, o, journal.Mark{})
	if len(seen) != 0 {
		t.Fatalf("a new journal replayed %d records", len(seen))
	}
	var want []string
	var stamps []journal.Stamp
	for i := range 100 {
		want = append(want, fmt.Sprint("payload ", i))
		stamps = append(stamps, put(t, j, want[i]))
	}
	for i, s := range stamps {
		if s.LSN != uint64(i+1) {
			t.Fatalf("record %d has LSN %d", i, s.LSN)
		}
		got, err := j.Read(s.Pos)
		if err != nil || string(got) != want[i] {
			t.Fatalf("read %d: %q, %v", i, got, err)
		}
	}
	durable := j.Durable()
	closeJournal(t, j)

	j, report, seen := open(t, o, journal.Mark{})
	wantPayloads(t, seen, want...)
	for i := range seen {
		if seen[i].stamp != stamps[i] {
			t.Fatalf("record %d was replayed as %+v, appended as %+v", i, seen[i].stamp, stamps[i])
		}
	}
	if report.Copied != 0 || report.Torn != 0 || len(report.Damage) != 0 {
		t.Fatalf("after a clean close: %+v", report)
	}
	if s := put(t, j, "next"); s.LSN != 101 {
		t.Fatalf("next LSN is %d", s.LSN)
	}
	closeJournal(t, j)

	j, _, seen = open(t, o, durable)
	wantPayloads(t, seen, "next")
	if s := put(t, j, "after"); s.LSN != 102 {
		t.Fatalf("LSN %d after a replay from a mark", s.LSN)
	}
	last := j.Durable()
	closeJournal(t, j)
	j, _, seen = open(t, o, last)
	wantPayloads(t, seen)
	if s := put(t, j, "x"); s.LSN != 103 {
		t.Fatalf("LSN %d after a replay of nothing", s.LSN)
	}
	if err := j.Append(t.Context(), entry("x", nil)); err != nil {
		t.Fatal(err)
	}
	closeJournal(t, j)
	if err := j.Append(t.Context(), entry("x", nil)); !errors.Is(err, journal.ErrClosed) {
		t.Fatalf("append after close: %v", err)
	}
}

func TestSegmentsGrowAndRollAndGo(t *testing.T) {
	t.Parallel()
	o := journal.Options{Dir: t.TempDir(), FirstSegment: 64 << 10, MaxSegment: 256 << 10}
	j, _, _ := open(t, o, journal.Mark{})
	var want []string
	for i := range 100 {
		want = append(want, fmt.Sprint(i, string(bytes.Repeat([]byte{byte(i)}, 20_000))))
		put(t, j, want[i])
	}
	segments := j.Segments()
	if len(segments) < 5 || segments[0].Size > 64<<10 || !segments[0].Sealed || segments[len(segments)-1].Sealed {
		t.Fatalf("segments: %+v", segments)
	}
	if last := segments[len(segments)-1]; last.Size != 256<<10 {
		t.Fatalf("the last segment takes %d bytes", last.Size)
	}
	var scanned []record
	for _, s := range segments[:len(segments)-1] {
		if err := j.Scan(s.ID, func(s journal.Stamp, p []byte) error {
			scanned = append(scanned, record{s, string(p)})
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	wantPayloads(t, scanned, want[:len(scanned)]...)
	if err := j.Roll(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, s := range segments {
		if err := j.Remove(s.ID); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := j.Read(scanned[0].stamp.Pos); !errors.Is(err, journal.ErrGone) {
		t.Fatalf("read from a removed segment: %v", err)
	}
	closeJournal(t, j)
	j, _, seen := open(t, o, journal.Mark{})
	wantPayloads(t, seen)
	if s := put(t, j, "x"); s.LSN != 101 {
		t.Fatalf("LSN %d after all segments were removed", s.LSN)
	}
}

func BenchmarkAppend64(b *testing.B) {
	for _, size := range []int{100, 1024, 10 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			j, _, err := journal.Open(journal.Options{Dir: b.TempDir()}, journal.Mark{}, nil)
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = j.Close() }()
			payload := make([]byte, size)
			b.SetBytes(int64(size))
			b.SetParallelism(32) // times GOMAXPROCS, two here: 64 writers
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				done := make(chan error, 1)
				e := journal.Entry{
					Size:   size,
					Encode: func(dst []byte, _ journal.Stamp) []byte { return append(dst, payload...) },
					Done:   func(_ journal.Stamp, err error) { done <- err },
				}
				for pb.Next() {
					if err := j.Append(context.Background(), e); err != nil {
						b.Error(err)
						return
					}
					if err := <-done; err != nil {
						b.Error(err)
						return
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
		})
	}
}
