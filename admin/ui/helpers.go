package ui

import (
	"fmt"
	"html/template"
	"maps"
	"net/url"
	"strconv"
	"time"
)

// helpers are what templates call.
var helpers = template.FuncMap{
	"ago":   func(now, t time.Time) string { return short(now.Sub(t)) },
	"until": func(now, t time.Time) string { return short(t.Sub(now)) },
	"deref": func(t *time.Time) time.Time { return *t },
	"stamp": func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
	"clock": func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") },
	"bytes": size,
	"count": func(n int64) string { return whole(float64(n)) },
	"num":   func(n int) string { return whole(float64(n)) },
	"rate":  func(v float64) string { return strconv.FormatFloat(v, 'f', 1, 64) },
	"took": func(v float64) string {
		return time.Duration(v * float64(time.Second)).Round(time.Millisecond).String()
	},
	"path": url.PathEscape,
	"adding": func(q url.Values, name, value string) template.URL {
		c := url.Values{}
		maps.Copy(c, q)
		if c.Set(name, value); value == "" {
			c.Del(name)
		}
		return template.URL("?" + c.Encode()) //nolint:gosec // it is encoded
	},
	"query": func(pairs ...string) template.URL {
		q := url.Values{}
		for i := 0; i+1 < len(pairs); i += 2 {
			if pairs[i+1] != "" {
				q.Set(pairs[i], pairs[i+1])
			}
		}
		return template.URL("?" + q.Encode()) //nolint:gosec // it is encoded
	},
	"size": func(w, h int) string { return fmt.Sprintf("0 0 %d %d", w, h) },
}

// short is a time span in a few characters.
func short(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d < time.Minute:
		return strconv.Itoa(int(d.Seconds())) + "s"
	case d < time.Hour:
		return strconv.Itoa(int(d.Minutes())) + "m"
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh %02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return strconv.Itoa(int(d.Hours()/24)) + "d"
}

func size(n int) string {
	switch {
	case n < 10<<10:
		return whole(float64(n)) + " B"
	case n < 10<<20:
		return whole(float64(n>>10)) + " KiB"
	}
	return whole(float64(n>>20)) + " MiB"
}
