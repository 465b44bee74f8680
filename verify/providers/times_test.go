package providers_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/sjson"

	"github.com/caddy-webhooks/caddy-webhooks/verify"
	"github.com/caddy-webhooks/caddy-webhooks/verify/verifytest"
)

// timed tells whether a signature names its time; JWTs are a case of their own.
func timed(s verify.Scheme) bool {
	return len(s.TimeHeader) > 0 || s.TimeJSON != "" || s.TimeKey != "" || s.TimeFirst
}

// stamped signs with whatever stands for the time, as only the provider could.
func stamped(t *testing.T, d *verifytest.Door, ts string) *verify.Request {
	t.Helper()
	forger, err := d.Forger(d.Secret, func(s *verify.Scheme) {
		s.Content = strings.ReplaceAll(s.Content, "{ts}", ts)
		s.TimeHeader, s.TimeKey, s.TimeFirst, s.TimeJSON = nil, "", false, ""
	})
	if err != nil {
		t.Fatal(err)
	}
	q, s := d.Request("evt_1", testNow), d.Scheme
	if s.TimeJSON != "" {
		if q.Body, err = sjson.SetBytes(q.Body, s.TimeJSON, ts); err != nil {
			t.Fatal(err)
		}
	}
	if len(s.TimeHeader) > 0 {
		q.Header.Set(s.TimeHeader[0], ts)
	}
	if err := d.SignAs(forger, q, "evt_1", testNow); err != nil {
		t.Fatal(err)
	}
	return q
}

// complete puts the time before the signature where they share a text.
func complete(t *testing.T, d *verifytest.Door, q *verify.Request, ts string) *verify.Request {
	t.Helper()
	err := d.Rewrite(q, func(text string) string {
		switch s := d.Scheme; {
		case s.TimeKey != "":
			return s.TimeKey + "=" + ts + s.List + text
		case s.TimeFirst:
			return ts + s.List + text
		}
		return text
	})
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// How the present is written, what no clock shows, and what is far from now.
var clocks = map[string]struct {
	now                string
	malformed, faraway []string
}{
	"s": {
		"1795000000",
		[]string{
			"-1", "-1795000000", "+1795000000", "1795000000.5", "1.795e9", "NaN", "Infinity", "-Infinity", "null", "true", "0x6afd3b00",
			"1795000000a", "01795000000", "0001795000000", "999999999999999999999999", "9223372036854775807", "9223372036854775808",
			"18446744073709551616", "١٧٩٥٠٠٠٠٠٠", "1_795_000_000", "1795000000\x00", "1 795 000 000", "2026-11-18T11:06:40Z", ".", "-", "1795000000-",
		},
		[]string{"0", "1", "999999999", "1794900000", "1795100000", "1795000000000", "9999999999", "17950000000"},
	},
	"ms": {
		"1795000000000",
		[]string{"-1", "-1795000000000", "+1795000000000", "1795000000000.5", "1.795e12", "NaN", "Infinity", "01795000000000", "9223372036854775807", "2026-11-18T11:06:40Z", "1795000000000z"},
		[]string{"0", "1", "1795000000", "1794900000000", "1795100000000", "1795000000000000", "9999999999999"},
	},
	"rfc3339": {
		"2026-11-18T11:06:40Z",
		[]string{
			"2026-11-18", "11:06:40", "2026-11-18 11:06:40Z", "Wed, 18 Nov 2026 11:06:40 GMT", "2026-11-18T11:06:60Z", "2026-11-18T25:06:40Z",
			"2026-13-18T11:06:40Z", "2026-02-30T11:06:40Z", "1795000000", "now", "2026-11-18T11:06:40ZZ", "12026-11-18T11:06:40Z", "-2026-11-18T11:06:40Z", "2026-11-18T11:06:40+99:00",
		},
		[]string{"1970-01-01T00:00:00Z", "0000-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2026-11-18T11:06:40+14:00", "2026-11-18T11:06:40-12:00", "2025-11-18T11:06:40Z"},
	},
}

func TestATimestampIsReadStrictlyEvenWhenTheProviderSignedIt(t *testing.T) {
	t.Parallel()
	for _, d := range allDoors(t) {
		if !timed(d.Scheme) || d.Scheme.Kind == "jwt" || strings.Contains(d.Scheme.Content, "{signed:") {
			continue // what signs a list of headers cannot be forged by a bent scheme
		}
		unit := d.Scheme.TimeUnit
		if unit == "" {
			unit = "s"
		}
		c := clocks[unit]
		send := func(ts string) error {
			_, err := d.Verifier.Verify(complete(t, d, stamped(t, d, ts), ts), testNow)
			return err
		}
		if err := send(c.now); err != nil {
			t.Errorf("%s: signed now: %v", d.Name, err)
		}
		wrong := slices.Clone(c.malformed)
		if d.Scheme.Tolerance > 0 {
			wrong = append(wrong, c.faraway...)
		}
		for _, ts := range append(wrong, "", " ") {
			if err := send(ts); !errors.Is(err, verify.ErrRejected) {
				t.Errorf("%s: signed at %q: %v, want a refusal", d.Name, ts, err)
			}
		}
	}
}

func TestAtTheEdgeOfItsToleranceASignatureCountsAndASecondBeyondItDoesNot(t *testing.T) {
	t.Parallel()
	for _, d := range allDoors(t) {
		s := d.Scheme
		if timed(s) && (s.Tolerance > 0) != (s.Future > 0) {
			t.Errorf("%s: %v old and %v ahead: one of them has no end", d.Name, s.Tolerance, s.Future)
		}
		if s.Tolerance <= 0 || s.Kind == "jwt" {
			continue
		}
		q := signedBy(t, d)
		for _, c := range []struct {
			offset time.Duration
			want   error
		}{
			{s.Tolerance, nil},
			{s.Tolerance + time.Second, verify.ErrExpired},
			{s.Tolerance + 1, verify.ErrExpired},
			{-s.Future, nil},
			{-s.Future - time.Second, verify.ErrFuture},
			{-s.Future - 1, verify.ErrFuture},
			{100 * 365 * 24 * time.Hour, verify.ErrExpired},
			{-50 * 365 * 24 * time.Hour, verify.ErrFuture},
		} {
			if _, err := d.Verifier.Verify(q, testNow.Add(c.offset)); !errors.Is(err, c.want) {
				t.Errorf("%s: %v later: %v, want %v", d.Name, c.offset, err, c.want)
			}
		}
		if _, err := d.Verifier.Verify(q, time.Time{}); !errors.Is(err, verify.ErrFuture) {
			t.Errorf("%s: in the year 1: %v", d.Name, err)
		}
	}
}
