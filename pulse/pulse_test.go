package pulse_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/pulse"
)

func TestARoundIsMeasuredWhileItGoesOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var p pulse.Pulse
		for _, want := range []time.Duration{0, time.Minute, 0, time.Second} {
			if want > 0 {
				p.Begin()
				time.Sleep(want)
			}
			if got := p.Busy(); got != want {
				t.Errorf("busy for %v, want %v", got, want)
			}
			p.End()
			time.Sleep(time.Hour)
			if got := p.Busy(); got != 0 {
				t.Errorf("at rest it is busy for %v", got)
			}
		}
	})
}
