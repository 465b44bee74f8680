package gateway

import (
	"errors"
	"testing"
)

func TestARateIsANumberPerUnit(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]float64{"": 0, "5/s": 5, "90/m": 1.5, "1800/h": 0.5, "1/h": 1. / 3600} {
		if got, err := ParseRate(text); err != nil || got != want {
			t.Errorf("%q is %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"5", "5/", "/s", "0/s", "-1/s", "5/d", "1.5/s", "5/s/s", "5 /s", "99999999999/s"} {
		if got, err := ParseRate(text); !errors.Is(err, ErrRate) {
			t.Errorf("%q is %v, %v; want an error", text, got, err)
		}
	}
}
