package cli

import (
	"cmp"
	"strings"
	"testing"
	"time"
)

func TestAProgressBarFitsItsLine(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		done, all int64
		waiting   string
		want      string
	}{
		{0, 100, "", "[..............................] 0/100"},
		{50, 100, "", "[###############...............] 50/100"},
		{100, 100, "", "[##############################] 100/100"},
		{7, 0, "", "[##############################] 7/0"},
		{120, 100, "", "[##############################] 120/100"},
		{1, 3, "1000 deliveries wait at shop/default; it goes on when they are fewer", "[##########....................] 1/3  1000 deliveries wait at shop/default; it…"},
		{1, 3, "a\x1b[2Jb", "[##########....................] 1/3  a�[2Jb"},
	} {
		if got := drawn(c.done, c.all, count(c.done)+"/"+count(c.all), c.waiting, 79); got != c.want || columns(got) > 79 {
			t.Errorf("%d of %d: %q, want %q", c.done, c.all, got, c.want)
		}
	}
}

func TestWhatAJobDidIsSaidInWords(t *testing.T) {
	t.Parallel()
	for want, v := range map[string]jobView{
		"nothing matches\n":          {State: "done"},
		"3 of 3 moved to shop/new\n": {State: "done", Matched: 3, Changed: 3, To: "shop/new"},
		"1 of 4 moved\n2 are being sent just now; no other attempt follows\n1 stays as it is: changed meanwhile, or owed there already\n": {
			State: "done", Matched: 4, Changed: 1, Deferred: 2, Skipped: 1,
		},
		"1 of 2 moved\n1 is being sent just now, and stays; repeat the command for what is left\n": {State: "done", Matched: 2, Changed: 1, Skipped: 1, Sending: 1},
		"1 of 3 due again\n1 stays as it is: the destination is not configured any more; `caddy webhooks move --help` says what can be done\n" +
			"2 were settled since the job began, perhaps by itself before the gateway died\n": {
			State: "done", Matched: 3, Changed: 1, Skipped: 1, Orphaned: 1, Spared: 2, Action: "replay",
		},
	} {
		var out strings.Builder
		c := &client{out: &out, now: time.Now}
		if err := c.jobEnded(v, cmp.Or(outcomes[v.Action], "moved")); err != nil || out.String() != want {
			t.Errorf("%q (%v), want %q", out.String(), err, want)
		}
	}
	var out strings.Builder
	c := &client{out: &out, now: time.Now}
	err := c.jobEnded(jobView{Job: "j", State: "failed", Error: "the disk is full", Matched: 2, Changed: 1}, "moved")
	if err == nil || err.Error() != "job j is failed: the disk is full" || out.String() != "1 of 2 moved\n" {
		t.Errorf("%q, %v", out.String(), err)
	}
}
