package admin

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/store"
)

// maxLimit is the largest page.
const maxLimit = 1000

// fields reads each parameter of a query into a filter.
var fields = map[string]func(f *store.Filter, v string) error{
	"source":      func(f *store.Filter, v string) error { f.Source = v; return nil },
	"destination": func(f *store.Filter, v string) error { f.Destination = v; return nil },
	"type":        func(f *store.Filter, v string) error { f.Type = v; return nil },
	"id":          func(f *store.Filter, v string) error { f.ID = v; return nil },
	"q":           func(f *store.Filter, v string) error { f.Text = v; return nil },
	"state": func(f *store.Filter, v string) error {
		s, ok := event.ParseState(v)
		if !ok {
			return fmt.Errorf("is one of %v", event.States())
		}
		f.State = s
		return nil
	},
	"since": func(f *store.Filter, v string) (err error) { f.Since, err = parseTime(v); return err },
	"until": func(f *store.Filter, v string) (err error) { f.Until, err = parseTime(v); return err },
	"limit": func(f *store.Filter, v string) error {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 || n > maxLimit {
			return fmt.Errorf("is a number from 1 to %d", maxLimit)
		}
		f.Limit = n
		return nil
	},
	"cursor": func(f *store.Filter, v string) error {
		n, err := strconv.ParseUint(v, 36, 64)
		if err != nil || n == 0 {
			return fmt.Errorf("is what the page before gave as next")
		}
		f.Before = n
		return nil
	},
}

// cursor writes a page's end so that fields["cursor"] reads it.
func cursor(before uint64) string { return strconv.FormatUint(before, 36) }

func parseFilter(q url.Values) (store.Filter, error) {
	var f store.Filter
	for name, values := range q {
		set, known := fields[name]
		switch {
		case !known:
			return f, fmt.Errorf("unknown parameter %q; there are %s", name, strings.Join(fieldNames(), ", "))
		case len(values) > 1:
			return f, fmt.Errorf("parameter %s stands more than once", name)
		case values[0] == "":
			return f, fmt.Errorf("parameter %s is empty", name)
		}
		if err := set(&f, values[0]); err != nil {
			return f, fmt.Errorf("parameter %s: %q: %w", name, values[0], err)
		}
	}
	return f, nil
}

func fieldNames() []string {
	names := make([]string, 0, len(fields))
	for name := range fields {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// parseTime takes an RFC 3339 time, or a time before now such as -2h or -7d.
func parseTime(v string) (time.Time, error) {
	if rest, relative := strings.CutPrefix(v, "-"); relative {
		if days, ok := strings.CutSuffix(rest, "d"); ok {
			if n, err := strconv.ParseFloat(days, 64); err == nil {
				return time.Now().Add(-time.Duration(n * 24 * float64(time.Hour))), nil
			}
		}
		if d, err := time.ParseDuration(rest); err == nil && d >= 0 {
			return time.Now().Add(-d), nil
		}
	}
	t, err := time.Parse(time.RFC3339, v)
	if err != nil {
		return t, fmt.Errorf("is a time such as 2026-01-02T15:04:05Z, or -2h")
	}
	return t, nil
}
