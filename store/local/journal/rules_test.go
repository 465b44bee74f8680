package journal_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/store/local/journal"
	"github.com/caddy-webhooks/caddy-webhooks/store/local/journal/faultfs"
)

var errDisk = errors.New("input/output error")

// small are options for a disk in memory.
func small(fs journal.FS) journal.Options {
	return journal.Options{FS: fs, Dir: "/j", FirstSegment: 32 << 10, MaxSegment: 128 << 10}
}

// segmentFile is the file that the disk has under the n-th segment's name.
func segmentFile(id uint64) string { return fmt.Sprintf("/j/%016x.segment", id) }

// Rule 1.
func TestOneSyncAnswersAllThatWaited(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := faultfs.New(1)
		var batches []int
		o := small(disk.Boot())
		o.Observe = func(records, _ int, _ time.Duration) { batches = append(batches, records) }
		j, _, _ := open(t, o, journal.Mark{})
		gate, done := make(chan struct{}), make(chan result, 100)
		first := entry("first", nil)
		first.Done = func(journal.Stamp, error) { <-gate }
		_ = j.Append(t.Context(), first)
		synctest.Wait() // the committer stands in Done
		for i := range 50 {
			if err := j.Append(t.Context(), entry(fmt.Sprint(i), done)); err != nil {
				t.Fatal(err)
			}
		}
		close(gate)
		var last journal.Stamp
		for range 50 {
			r := <-done
			if r.err != nil || r.stamp.LSN <= last.LSN {
				t.Fatalf("done with %+v after %+v", r, last)
			}
			last = r.stamp
		}
		closeJournal(t, j)
		if !slices.Equal(batches, []int{1, 50}) {
			t.Fatalf("batches of %d records were synced", batches)
		}
	})
}

func TestABatchEndsAtItsBoundUnlessItIsOneEntry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := faultfs.New(1)
		var batches []int
		o := small(disk.Boot())
		o.MaxBatch = 4000
		o.Observe = func(records, _ int, _ time.Duration) { batches = append(batches, records) }
		j, _, _ := open(t, o, journal.Mark{})
		gate, done := make(chan struct{}), make(chan result, 100)
		first := entry("first", nil)
		first.Done = func(journal.Stamp, error) { <-gate }
		_ = j.Append(t.Context(), first)
		synctest.Wait()
		for _, size := range []int{1500, 1500, 1500, 9000, 10} {
			_ = j.Append(t.Context(), entry(strings.Repeat("x", size), done))
		}
		close(gate)
		for range 5 {
			if r := <-done; r.err != nil {
				t.Fatal(r.err)
			}
		}
		closeJournal(t, j)
		if !slices.Equal(batches, []int{1, 2, 1, 1, 1}) {
			t.Fatalf("batches of %d records", batches)
		}
	})
}

// Rule 2: batch N fails, N+1 behind it is acknowledged.
func TestAFailedBatchIsVoidAndWhatFollowsCounts(t *testing.T) {
	faults := map[string]struct {
		op    faultfs.Op
		fault faultfs.Fault
	}{
		"write":       {faultfs.Write, faultfs.Fault{Err: errDisk}},
		"short write": {faultfs.Write, faultfs.Fault{Err: errDisk, Short: 70}},
		"all written": {faultfs.Write, faultfs.Fault{Err: errDisk, Short: 1 << 20}},
		"sync":        {faultfs.Sync, faultfs.Fault{Err: errDisk}},
		"full disk":   {faultfs.Write, faultfs.Fault{Err: syscall.ENOSPC, Short: 5}},
	}
	ends := map[string]func(*faultfs.Disk){"kill": (*faultfs.Disk).Kill, "cut": (*faultfs.Disk).Cut, "some": (*faultfs.Disk).CutSome}
	for name, f := range faults {
		for how, end := range ends {
			t.Run(name+", "+how, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					disk := faultfs.New(1)
					t.Helper()
					failBetween(t, disk, f.op, f.fault)
					end(disk)
					for range 3 { // it stays void, over later starts too
						j, _, seen := open(t, small(disk.Boot()), journal.Mark{})
						wantPayloads(t, seen, "a", "c", "d")
						closeJournal(t, j)
					}
				})
			})
		}
	}
}

// failBetween appends a, fails b, and appends c and d. The process lives on.
func failBetween(t *testing.T, disk *faultfs.Disk, op faultfs.Op, fault faultfs.Fault) {
	t.Helper()
	fs := disk.Boot()
	j, _, _ := open(t, small(fs), journal.Mark{})
	a := put(t, j, "a")
	synctest.Wait()
	fs.FailNth(op, 1, fault)
	r := try(j, entry("b", nil))
	if !errors.Is(r.err, journal.ErrUnavailable) && !errors.Is(r.err, journal.ErrFull) {
		t.Fatalf("the failed batch was answered %v", r.err)
	}
	synctest.Wait()
	before := disk.Bytes(segmentFile(a.Pos.Segment))
	c := put(t, j, "c")
	put(t, j, "d")
	if c.Pos.Segment == a.Pos.Segment || c.LSN <= a.LSN+1 {
		t.Fatalf("the poisoned segment was written: %+v after %+v", c, a)
	}
	if !bytes.Equal(before, disk.Bytes(segmentFile(a.Pos.Segment))) {
		t.Fatal("the poisoned segment has changed")
	}
}

func TestAVoidBatchStaysVoidWhenTheSegmentThatSaidSoIsRemoved(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := faultfs.New(1)
		fs := disk.Boot()
		j, _, _ := open(t, small(fs), journal.Mark{})
		put(t, j, "a")
		synctest.Wait()
		fs.FailNth(faultfs.Write, 1, faultfs.Fault{Err: errDisk, Short: 1 << 20})
		if r := try(j, entry("b", nil)); r.err == nil {
			t.Fatal("the failed batch was acknowledged")
		}
		c := put(t, j, "c")
		if err := j.Roll(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := j.Remove(c.Pos.Segment); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			closeJournal(t, j)
			var seen []record
			var report journal.Report
			j, report, seen = open(t, small(disk.Boot()), journal.Mark{})
			wantPayloads(t, seen, "a")
			if report.Void == 0 {
				t.Fatalf("nothing void was reported: %+v", report)
			}
		}
	})
}

func TestWhatRidesIsAppendedAgainAfterAFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := faultfs.New(1)
		fs := disk.Boot()
		j, _, _ := open(t, small(fs), journal.Mark{})
		done := make(chan result, 3)
		rider := entry("rides", done)
		rider.Ride = true
		var encoded int
		encode := rider.Encode
		rider.Encode = func(dst []byte, s journal.Stamp) []byte { encoded++; return encode(dst, s) }
		synctest.Wait()
		_ = j.Append(t.Context(), rider)
		synctest.Wait()
		select {
		case r := <-done:
			t.Fatalf("done before any sync: %+v", r)
		default:
		}
		fs.FailNth(faultfs.Sync, 1, faultfs.Fault{Err: errDisk})
		if r := try(j, entry("synced", nil)); !errors.Is(r.err, journal.ErrUnavailable) {
			t.Fatalf("answered %v", r.err)
		}
		r := <-done
		if r.err != nil || encoded != 2 || r.stamp.Pos.Segment != 2 {
			t.Fatalf("the rider: %+v after %d encodings", r, encoded)
		}
		disk.Cut()
		_ = j.Close()
		_, _, seen := open(t, small(disk.Boot()), journal.Mark{})
		wantPayloads(t, seen, "rides")
	})
}

func TestARiderIsWrittenAtOnceAndSyncedAfterTheDelay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := faultfs.New(1)
		j, _, _ := open(t, small(disk.Boot()), journal.Mark{})
		done := make(chan result, 1)
		rider := entry("rides", done)
		rider.Ride = true
		start := time.Now()
		_ = j.Append(t.Context(), rider)
		if r := <-done; r.err != nil || time.Since(start) != journal.DefaultRideDelay {
			t.Fatalf("done with %v after %v", r.err, time.Since(start))
		}
		_ = j.Append(t.Context(), rider)
		synctest.Wait()
		disk.Kill() // not a power cut: what is written is there
		_ = j.Close()
		_, _, seen := open(t, small(disk.Boot()), journal.Mark{})
		wantPayloads(t, seen, "rides", "rides")
	})
}

func TestTooManyRidersWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := faultfs.New(1)
		o := small(disk.Boot())
		o.RideDelay = time.Hour
		o.FirstSegment, o.MaxSegment = 1<<20, 1<<20
		j, _, _ := open(t, o, journal.Mark{})
		var taken int
		finished := make(chan struct{})
		rider := entry("r", nil)
		rider.Ride = true
		go func() {
			defer close(finished)
			for range 9000 {
				if err := j.Append(t.Context(), rider); err != nil {
					t.Error(err)
					return
				}
				taken++
			}
		}()
		synctest.Wait()
		if taken != 8192 {
			t.Fatalf("%d riders were taken before one was synced", taken)
		}
		put(t, j, "x")
		<-finished
	})
}

func TestIntakeIsRefusedUntilThereIsANewSegment(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := faultfs.New(1)
		fs := disk.Boot()
		j, _, _ := open(t, small(fs), journal.Mark{})
		put(t, j, "a")
		synctest.Wait()
		fs.Hook(func(op faultfs.Op, _ string) *faultfs.Fault {
			if op == faultfs.Sync {
				return &faultfs.Fault{Err: errDisk}
			}
			return nil
		})
		if r := try(j, entry("b", nil)); !errors.Is(r.err, journal.ErrUnavailable) || !errors.Is(r.err, errDisk) {
			t.Fatalf("answered %v", r.err)
		}
		done := make(chan result, 1)
		rider := entry("rides", done)
		rider.Ride = true
		for range 10 {
			time.Sleep(time.Minute)
			synctest.Wait()
			if err := j.Append(t.Context(), entry("c", nil)); !errors.Is(err, journal.ErrUnavailable) {
				t.Fatalf("append while nothing can be written: %v", err)
			}
		}
		if err := j.Append(t.Context(), rider); err != nil {
			t.Fatalf("a rider was refused: %v", err)
		}
		fs.Hook(nil)
		if r := <-done; r.err != nil {
			t.Fatalf("the rider: %v", r.err)
		}
		put(t, j, "d")
		disk.Cut()
		_ = j.Close()
		_, _, seen := open(t, small(disk.Boot()), journal.Mark{})
		wantPayloads(t, seen, "a", "rides", "d")
	})
}

// Rule 3: kill -9 between write and sync, restart, the retry is answered
// `duplicate`, power cut.
func TestWhatRecoveryHasShownSurvivesAPowerCut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := faultfs.New(1)
		fs := disk.Boot()
		j, _, _ := open(t, small(fs), journal.Mark{})
		put(t, j, "a")
		synctest.Wait()
		fs.DieAfter(2) // write, sync
		if r := try(j, entry("b", nil)); r.err == nil {
			t.Fatal("acknowledged by the dead")
		}
		_ = j.Close()
		before := disk.Bytes(segmentFile(1))
		j, report, seen := open(t, small(disk.Boot()), journal.Mark{})
		wantPayloads(t, seen, "a", "b")
		if report.Copied == 0 || seen[1].stamp.Pos.Segment == 1 {
			t.Fatalf("the tail was not copied: %+v", report)
		}
		if got, err := j.Read(seen[1].stamp.Pos); err != nil || string(got) != "b" {
			t.Fatalf("read of a copied record: %q, %v", got, err)
		}
		if !bytes.HasPrefix(before, disk.Bytes(segmentFile(1))) {
			t.Fatal("recovery has written to the old segment")
		}
		disk.Cut()
		_ = j.Close()
		j, _, again := open(t, small(disk.Boot()), journal.Mark{})
		wantPayloads(t, again, "a", "b")
		seen[1].stamp.Was = again[1].stamp.Was // the power cut has taken the old place
		if seen[1].stamp != again[1].stamp {
			t.Fatalf("%+v was shown, then %+v", seen[1].stamp, again[1].stamp)
		}
		closeJournal(t, j)
	})
}

func TestARecoveryThatIsInterruptedLosesNothing(t *testing.T) {
	t.Parallel()
	for n := 1; n < 60; n++ {
		for how, end := range map[string]func(*faultfs.Disk){"kill": (*faultfs.Disk).Kill, "some": (*faultfs.Disk).CutSome} {
			t.Run(fmt.Sprint(how, n), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					disk := faultfs.New(1)
					fs := disk.Boot()
					j, _, _ := open(t, small(fs), journal.Mark{})
					put(t, j, "a")
					put(t, j, "b")
					synctest.Wait()
					fs.DieAfter(2)
					_ = try(j, entry("c", nil))
					_ = j.Close()
					fs = disk.Boot()
					fs.DieAfter(n)
					j, _, err := journal.Open(small(fs), journal.Mark{}, func(journal.Stamp, []byte) error { return nil })
					shown := err == nil
					synctest.Wait()
					end(disk)
					if j != nil {
						_ = j.Close()
					}
					_, _, seen := open(t, small(disk.Boot()), journal.Mark{})
					got := payloads(seen)
					if !slices.Equal(got, []string{"a", "b", "c"}) && (shown || how == "kill" || !slices.Equal(got, []string{"a", "b"})) {
						t.Fatalf("replayed %q", got)
					}
				})
			})
		}
	}
}

// Rule 4: one flipped bit costs at most the record it is in.
func TestAFlippedBitCostsNoOtherRecord(t *testing.T) {
	t.Parallel()
	disk := faultfs.New(1)
	o := small(disk.Boot())
	o.Reserve = -1
	o.MaxSegment = o.FirstSegment
	j, _, _ := open(t, o, journal.Mark{})
	var stamps []journal.Stamp
	for i := range 5 {
		stamps = append(stamps, put(t, j, fmt.Sprint("payload ", i)))
	}
	closeJournal(t, j)
	image := disk.Bytes(segmentFile(1))
	stop := stamps[4].Pos.Offset + 8 + int64(stamps[4].Pos.Size)
	for at := int64(0); at < stop; at++ {
		if at == 16 {
			at = 8192 // enough of the header
		}
		o.FS = diskWith(t, image, at)
		j, report, seen := open(t, o, journal.Mark{})
		for i, s := range stamps {
			hit := at >= s.Mark.Offset && at < s.Pos.Offset+8+int64(s.Pos.Size)
			found := slices.Contains(seen, record{s, fmt.Sprint("payload ", i)})
			switch {
			case !hit && !found:
				t.Fatalf("byte %d flipped: record %d is lost; replayed %q", at, i, payloads(seen))
			case hit && len(report.Damage) != 1:
				t.Fatalf("byte %d flipped: reported %+v", at, report)
			}
		}
		closeJournal(t, j)
	}
}

// diskWith holds one segment, in which one bit is flipped.
func diskWith(t *testing.T, image []byte, at int64) journal.FS {
	t.Helper()
	fs := faultfs.New(1).Boot()
	f, err := fs.Create(segmentFile(1))
	if err != nil {
		t.Fatal(err)
	}
	b := bytes.Clone(image)
	b[at] ^= 1 << (at % 8)
	if _, err := f.WriteAt(b, 0); err != nil {
		t.Fatal(err)
	}
	return fs
}

// Rule 4: a sender puts a record's image into a body.
func TestTheImageOfAFrameInAPayloadIsNeverReplayed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := faultfs.New(1)
		j, _, _ := open(t, small(disk.Boot()), journal.Mark{})
		a := put(t, j, "a")
		image := disk.Bytes(segmentFile(1))[a.Mark.Offset : a.Pos.Offset+9]
		evil := put(t, j, strings.Repeat(string(image), 20))
		put(t, j, "c")
		closeJournal(t, j)
		// The frame around it is damaged, so recovery looks into the payload.
		disk.Rot(segmentFile(1), evil.Mark.Offset+2, func(b []byte) { b[0] ^= 1 })
		_, report, seen := open(t, small(disk.Boot()), journal.Mark{})
		wantPayloads(t, seen, "a", "c")
		if len(report.Damage) != 1 || report.Damage[0].Offset != evil.Mark.Offset {
			t.Fatalf("reported %+v", report)
		}
	})
}

func TestATornTailIsCutOffAndNothingElse(t *testing.T) {
	t.Parallel()
	for seed := range uint64(50) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				disk := faultfs.New(seed)
				fs := disk.Boot()
				j, _, _ := open(t, small(fs), journal.Mark{})
				put(t, j, "a")
				put(t, j, "b")
				synctest.Wait()
				fs.DieAfter(2)
				_ = try(j, entry(strings.Repeat("c", 2000), nil))
				_ = j.Close()
				disk.CutSome()
				for range 2 {
					j, report, seen := open(t, small(disk.Boot()), journal.Mark{})
					if len(seen) == 3 && len(seen[2].payload) == 2000 {
						seen = seen[:2]
					}
					wantPayloads(t, seen, "a", "b")
					if len(report.Damage) != 0 {
						t.Fatalf("a torn tail is no damage: %+v", report)
					}
					closeJournal(t, j)
				}
			})
		})
	}
}

// Rule 5.
func TestEitherCopyOfASegmentsHeaderIsEnough(t *testing.T) {
	t.Parallel()
	for _, at := range []int64{0, 4096} {
		disk := faultfs.New(1)
		j, _, _ := open(t, small(disk.Boot()), journal.Mark{})
		put(t, j, "a")
		closeJournal(t, j)
		disk.Rot(segmentFile(1), at, func(b []byte) { clear(b[:4096]) })
		_, report, seen := open(t, small(disk.Boot()), journal.Mark{})
		wantPayloads(t, seen, "a")
		if len(report.Damage) != 0 {
			t.Fatalf("%+v", report)
		}
	}
}

func TestASegmentWithoutHeaderIsReportedAndServedAround(t *testing.T) {
	t.Parallel()
	disk := faultfs.New(1)
	j, _, _ := open(t, small(disk.Boot()), journal.Mark{})
	a := put(t, j, "a")
	if err := j.Roll(t.Context()); err != nil {
		t.Fatal(err)
	}
	put(t, j, "b")
	closeJournal(t, j)
	disk.Rot(segmentFile(1), 0, func(b []byte) { clear(b[:8192]) })
	j, report, seen := open(t, small(disk.Boot()), journal.Mark{})
	wantPayloads(t, seen, "b")
	if len(report.Damage) != 1 || report.Damage[0].Segment != 1 {
		t.Fatalf("%+v", report)
	}
	if _, err := j.Read(a.Pos); !errors.Is(err, journal.ErrDamaged) {
		t.Fatalf("read: %v", err)
	}
}

// Rule 7.
func TestAFullDiskRefusesAcceptsAndTakesOutcomes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := faultfs.New(1)
		j, _, _ := open(t, small(disk.Boot()), journal.Mark{})
		put(t, j, "a")
		synctest.Wait() // the reserve is there
		disk.Limit(1, 0)
		body := strings.Repeat("x", 4000)
		var accepted int
		for {
			r := try(j, entry(body, nil))
			if r.err != nil {
				if !errors.Is(r.err, journal.ErrFull) {
					t.Fatalf("refused with %v", r.err)
				}
				break
			}
			if accepted++; accepted > 100 {
				t.Fatal("a full disk takes everything")
			}
		}
		if spares := strings.Count(strings.Join(disk.Names(), " "), ".spare"); spares != journal.DefaultReserve {
			t.Fatalf("%d segments are left in reserve", spares)
		}
		outcome := entry(strings.Repeat("o", 1000), nil)
		outcome.Reserved = true
		for range 60 { // more than the segment had left: the reserve serves
			if r := try(j, outcome); r.err != nil {
				t.Fatalf("an outcome was refused: %v", r.err)
			}
			if r := try(j, entry("small", nil)); !errors.Is(r.err, journal.ErrFull) {
				t.Fatalf("an accept got into the reserve: %v", r.err)
			}
		}
		disk.Limit(0, 0)
		time.Sleep(10 * time.Second)
		put(t, j, "room again")
	})
}

func TestAnEntryOfMoreThanHalfASegmentIsRefusedAndHalfFits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := faultfs.New(1)
		j, _, _ := open(t, small(disk.Boot()), journal.Mark{})
		if err := j.Append(t.Context(), entry(strings.Repeat("x", 64<<10), nil)); !errors.Is(err, journal.ErrTooLarge) {
			t.Fatalf("half a segment and more: %v", err)
		}
		var want []string
		for i := range 5 {
			want = append(want, strings.Repeat(fmt.Sprint(i), 50<<10))
			put(t, j, want[i])
		}
		closeJournal(t, j)
		_, _, seen := open(t, small(disk.Boot()), journal.Mark{})
		wantPayloads(t, seen, want...)
	})
}

func TestJournalTimeNeverRunsBackwards(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := faultfs.New(1)
		now := time.Unix(1000, 0)
		var last time.Time
		for i, step := range []time.Duration{0, time.Second, -time.Hour, time.Minute, 2 * time.Hour, -5 * time.Second} {
			now = now.Add(step)
			o := small(disk.Boot())
			o.Now = func() time.Time { return now }
			j, report, _ := open(t, o, journal.Mark{})
			if report.Time.Before(last) {
				t.Fatalf("reopened at %v after %v", report.Time, last)
			}
			for range 3 {
				s := put(t, j, fmt.Sprint(i))
				if s.Time.Before(last) || s.Time.Before(now) {
					t.Fatalf("%v after %v, and it is %v", s.Time, last, now)
				}
				last = s.Time
				now = now.Add(-time.Second)
			}
			now = now.Add(3 * time.Second)
			if i%2 == 0 {
				disk.Cut()
			}
			_ = j.Close()
		}
	})
}

func TestAMarkThatNamesNoBatchIsRefusedBeforeAnythingIsReplayed(t *testing.T) {
	t.Parallel()
	disk := faultfs.New(1)
	j, _, _ := open(t, small(disk.Boot()), journal.Mark{})
	put(t, j, "a")
	good := j.Durable()
	put(t, j, "b")
	closeJournal(t, j)
	wrong := []func(m *journal.Mark){
		func(m *journal.Mark) { m.Journal[0]++ },
		func(m *journal.Mark) { m.Segment++ },
		func(m *journal.Mark) { m.Segment = 99 },
		func(m *journal.Mark) { m.Offset++ },
		func(m *journal.Mark) { m.Offset = -1 },
		func(m *journal.Mark) { m.Offset = 1 << 62 },
		func(m *journal.Mark) { m.Sequence++ },
		func(m *journal.Mark) { m.LSN++ },
		func(m *journal.Mark) { m.CRC++ },
	}
	for i, change := range wrong {
		m := good
		change(&m)
		_, _, err := journal.Open(small(disk.Boot()), m, func(journal.Stamp, []byte) error {
			t.Error("replayed")
			return nil
		})
		if !errors.Is(err, journal.ErrMark) {
			t.Fatalf("wrong mark %d: %v", i, err)
		}
	}
	_, _, seen := open(t, small(disk.Boot()), good)
	wantPayloads(t, seen, "b")
}

func TestEverySegmentBeginsWithTheHead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := faultfs.New(1)
		fs := disk.Boot()
		o := small(fs)
		heads := 0
		o.Head = func(dst []byte, s journal.Stamp) []byte {
			heads++
			return fmt.Appendf(dst, "head %d", s.Pos.Segment)
		}
		j, _, _ := open(t, o, journal.Mark{})
		put(t, j, "a")
		if err := j.Roll(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		fs.FailNth(faultfs.Sync, 1, faultfs.Fault{Err: errDisk})
		_ = try(j, entry("b", nil))
		put(t, j, "c")
		disk.Cut()
		_ = j.Close()
		o.FS = disk.Boot()
		_, _, seen := open(t, o, journal.Mark{})
		wantPayloads(t, seen, "head 1", "a", "head 2", "head 3", "c")
	})
}

func TestADamagedRecordCostsNotTheOthersOfItsBatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := faultfs.New(1)
		j, _, _ := open(t, small(disk.Boot()), journal.Mark{})
		gate, done := make(chan struct{}), make(chan result, 3)
		first := entry("first", nil)
		first.Done = func(journal.Stamp, error) { <-gate }
		_ = j.Append(t.Context(), first)
		synctest.Wait()
		for _, p := range []string{"one", "two", "three"} {
			_ = j.Append(t.Context(), entry(p, done))
		}
		close(gate)
		<-done
		two := (<-done).stamp
		<-done
		closeJournal(t, j)
		disk.Rot(segmentFile(1), two.Pos.Offset+8, func(b []byte) { b[0] ^= 1 })
		j, report, seen := open(t, small(disk.Boot()), journal.Mark{})
		wantPayloads(t, seen, "first", "one", "three")
		if seen[2].stamp.LSN != two.LSN+1 || len(report.Damage) != 1 {
			t.Fatalf("%+v, %+v", seen[2].stamp, report)
		}
		if _, err := j.Read(two.Pos); !errors.Is(err, journal.ErrDamaged) {
			t.Fatalf("read of the damaged record: %v", err)
		}
	})
}

// A segment that got its name but was given up, and could not be removed.
func TestASegmentThatWasGivenUpIsVoid(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := faultfs.New(1)
		fs := disk.Boot()
		o := small(fs)
		o.Head = func(dst []byte, s journal.Stamp) []byte { return fmt.Appendf(dst, "head %d", s.Pos.Segment) }
		j, _, _ := open(t, o, journal.Mark{})
		put(t, j, "a")
		synctest.Wait()
		failing := true
		fs.Hook(func(op faultfs.Op, name string) *faultfs.Fault {
			if failing && op == faultfs.SyncDir || op == faultfs.Remove && name == segmentFile(2) {
				failing = false
				return &faultfs.Fault{Err: errDisk}
			}
			return nil
		})
		if err := j.Roll(t.Context()); !errors.Is(err, journal.ErrUnavailable) {
			t.Fatalf("roll: %v", err)
		}
		time.Sleep(time.Second)
		put(t, j, "b")
		disk.Kill()
		_ = j.Close()
		o.FS = disk.Boot()
		_, _, seen := open(t, o, journal.Mark{})
		wantPayloads(t, seen, "head 1", "a", "head 3", "b")
	})
}
