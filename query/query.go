// Package query reads the words with which people choose events: the parameters
// of the admin API, the fields of a job, the flags of a command. What they mean
// is a [store.Filter].
package query

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/store"
)

// MaxLimit is the largest page, in events.
const MaxLimit = 1000

// fields reads each parameter of a query into a filter.
var fields = map[string]func(f *store.Filter, v string, now time.Time) error{
	"source":      func(f *store.Filter, v string, _ time.Time) error { f.Source = v; return nil },
	"destination": func(f *store.Filter, v string, _ time.Time) error { f.Destination = v; return nil },
	"type":        func(f *store.Filter, v string, _ time.Time) error { f.Type = v; return nil },
	"id":          func(f *store.Filter, v string, _ time.Time) error { f.ID = v; return nil },
	"q":           func(f *store.Filter, v string, _ time.Time) error { return text(f, v) },
	"state": func(f *store.Filter, v string, _ time.Time) error {
		s, ok := event.ParseState(v)
		if !ok {
			return fmt.Errorf("must be one of %v", event.States())
		}
		f.State = s
		return nil
	},
	"since": func(f *store.Filter, v string, now time.Time) (err error) {
		f.Since, err = parseTime(v, now)
		return err
	},
	"until": func(f *store.Filter, v string, now time.Time) (err error) {
		f.Until, err = parseTime(v, now)
		return err
	},
	"limit": func(f *store.Filter, v string, _ time.Time) error {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 || n > MaxLimit {
			return fmt.Errorf("must be a number from 1 to %d", MaxLimit)
		}
		f.Limit = n
		return nil
	},
	"cursor": func(f *store.Filter, v string, _ time.Time) error {
		n, err := strconv.ParseUint(v, 36, 64)
		if err != nil || n == 0 {
			return errors.New("must be what the page before gave as next")
		}
		f.Before = n
		return nil
	},
}

// Filters lists the parameters that choose events, without those of pages.
func Filters() []string {
	return slices.DeleteFunc(Names(), func(name string) bool { return name == "limit" || name == "cursor" })
}

// Cursor writes a page's end as the parameter cursor has it.
func Cursor(before uint64) string { return strconv.FormatUint(before, 36) }

// Names lists the parameters there are.
func Names() []string { return slices.Sorted(maps.Keys(fields)) }

// Parse reads parameters: those of [Names], each at most once and never empty. now
// is one moment for all of them, so that -1h means the same in since and until.
// The error says which parameter is wrong, and what to write instead.
func Parse(q url.Values, now time.Time) (store.Filter, error) {
	var f store.Filter
	if err := Only(q, Names()...); err != nil {
		return f, err
	}
	for _, name := range Names() {
		if v := q.Get(name); v != "" {
			if err := fields[name](&f, v, now); err != nil {
				return f, fmt.Errorf("parameter %s: %q: %w", name, v, err)
			}
		}
	}
	if !f.Since.IsZero() && !f.Until.IsZero() && !f.Since.Before(f.Until) {
		return f, errors.New("parameter until: must be later than since")
	}
	return f, nil
}

// Onward reads parameters as [Parse] does, for one that goes on from its cursor
// towards newer events: there the cursor is the filter's After, and may be 0, the
// beginning. given tells whether there is one.
func Onward(q url.Values, now time.Time) (f store.Filter, given bool, err error) {
	if err := Only(q, Names()...); err != nil {
		return f, false, err
	}
	var after uint64
	if given = q.Has("cursor"); given {
		if after, err = strconv.ParseUint(q.Get("cursor"), 36, 64); err != nil {
			return f, false, fmt.Errorf("parameter cursor: %q: must be what an answer gave", q.Get("cursor"))
		}
		q = maps.Clone(q)
		q.Del("cursor")
	}
	f, err = Parse(q, now)
	f.After, f.OldestFirst = after, true
	return f, given, err
}

// Fix gives the same parameters with their times written out, so that they mean
// tomorrow what they mean now. What Parse refuses is left as it is.
func Fix(q url.Values, now time.Time) url.Values {
	fixed := maps.Clone(q)
	for _, name := range []string{"since", "until"} {
		if t, err := parseTime(q.Get(name), now); err == nil {
			fixed[name] = []string{t.UTC().Format(time.RFC3339Nano)}
		}
	}
	return fixed
}

// Only refuses parameters other than these, and one of them twice or empty: an
// empty one is a script's unset variable far more often than it is meant.
func Only(q url.Values, allowed ...string) error {
	for _, name := range slices.Sorted(maps.Keys(q)) {
		switch values := q[name]; {
		case len(allowed) == 0:
			return fmt.Errorf("unknown parameter %q; there are none here", name)
		case !slices.Contains(allowed, name):
			return fmt.Errorf("unknown parameter %q; there are %s", name, strings.Join(allowed, ", "))
		case len(values) > 1:
			return fmt.Errorf("parameter %s stands more than once", name)
		case values[0] == "":
			return fmt.Errorf("parameter %s is empty", name)
		}
	}
	return nil
}

// errTime tells how to write a time.
var errTime = errors.New("must be a time such as 2026-01-02T15:04:05Z, or one before now such as -2h or -7d")

// errNever is the answer to the one time that stands for none.
var errNever = errors.New("is the time that programs write where they have none; leave it out for no limit")

// errWait tells how to write a duration.
var errWait = errors.New("must be a duration such as 90m, 1h or 1d")

// maxDays bounds relative times, far within what a duration can hold.
const maxDays = 36500

// parseTime takes an RFC 3339 time, or a time before now such as -2h or -7d.
func parseTime(v string, now time.Time) (time.Time, error) {
	if rest, relative := strings.CutPrefix(v, "-"); relative {
		if days, ok := strings.CutSuffix(rest, "d"); ok {
			if n, err := strconv.ParseFloat(days, 64); err == nil && n >= 0 && n <= maxDays {
				return now.Add(-time.Duration(n * 24 * float64(time.Hour))), nil
			}
			return time.Time{}, errTime
		}
		if d, err := time.ParseDuration(rest); err == nil && d >= 0 {
			return now.Add(-d), nil
		}
		return time.Time{}, errTime
	}
	t, err := time.Parse(time.RFC3339, v)
	switch {
	case err != nil:
		return t, errTime
	case t.IsZero():
		// To a filter it would be no bound at all, and a discard of everything.
		return t, errNever
	}
	return t, nil
}

// ParseWait reads how long something may take: 90m, 1h30m, or 1d.
func ParseWait(v string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(v, "d"); ok {
		if n, err := strconv.ParseFloat(days, 64); err == nil && n > 0 && n <= maxDays {
			return time.Duration(n * 24 * float64(time.Hour)), nil
		}
		return 0, errWait
	}
	d, err := time.ParseDuration(v)
	if err != nil || d <= 0 {
		return 0, errWait
	}
	return d, nil
}
