package ui

import (
	"fmt"
	"html/template"
	"maps"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// helpers are what templates call.
var helpers = template.FuncMap{
	"age":   func(now, t time.Time) template.HTML { return relative("data-age", now, t, now.Sub(t)) },
	"until": func(now, t time.Time) template.HTML { return relative("data-until", now, t, t.Sub(now)) },
	"deref": func(t *time.Time) time.Time { return *t },
	"key":   func(parts ...string) string { return (&url.URL{Path: strings.Join(parts, "/")}).EscapedPath() },
	"stamp": stamp,
	"clock": clock,
	"bytes": size,
	"minus": func(a, b int) int { return a - b },
	"of":    func(s screen, v any) of { return of{s, v} },
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
}

// of is a thing together with the screen that it is shown on.
type of struct {
	Screen screen
	Of     any
}

// relative writes how far a moment is off. Without a now it is left to the script
// of the page, which keeps all of them right.
func relative(name string, now, t time.Time, d time.Duration) template.HTML {
	words := ""
	if !now.IsZero() {
		words = short(d)
	}
	return template.HTML(fmt.Sprintf(`<time datetime="%s" title="%s" %s>%s</time>`, stamp(t), clock(t), name, words)) //nolint:gosec // times and our words alone
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

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
