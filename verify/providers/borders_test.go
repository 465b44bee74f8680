package providers_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/caddy-webhooks/caddy-webhooks/verify"
	"github.com/caddy-webhooks/caddy-webhooks/verify/verifytest"
)

// part reads and writes one thing that a signature covers.
type part struct {
	get func(*verify.Request) string
	set func(*verify.Request, string)
}

func partOf(d *verifytest.Door, kind, arg string) (p part, ok bool) {
	header := func(name string) (part, bool) {
		return part{
			func(q *verify.Request) string { return q.Header.Get(name) }, func(q *verify.Request, v string) { q.Header.Set(name, v) },
		}, true
	}
	s := d.Scheme
	switch {
	case kind == "body":
		return part{func(q *verify.Request) string { return string(q.Body) }, func(q *verify.Request, v string) { q.Body = []byte(v) }}, true
	case kind == "url":
		return part{func(q *verify.Request) string { return q.URL }, func(q *verify.Request, v string) { q.URL = v }}, true
	case kind == "header":
		return header(arg)
	case kind == "id":
		return header(s.IDHeader[0])
	case kind == "ts" && len(s.TimeHeader) > 0:
		return header(s.TimeHeader[0])
	case kind == "ts" && s.TimeKey != "":
		stamp := func(text string) (before, ts, after string) {
			before, rest, _ := strings.Cut(text, s.TimeKey+"=")
			ts, after, _ = strings.Cut(rest, s.List)
			return before + s.TimeKey + "=", ts, s.List + after
		}
		return part{
			func(q *verify.Request) string { _, ts, _ := stamp(d.Text(q)); return ts },
			func(q *verify.Request, v string) {
				_ = d.Rewrite(q, func(text string) string { before, _, after := stamp(text); return before + v + after })
			},
		}, true
	}
	return p, false
}

// ours is what an address begins with that leads here.
const ours = "https://hooks.example.com/"

// neighbours are the pairs of a content between which nothing stands.
func neighbours(content string) (pairs [][2][2]string) {
	for i := strings.Index(content, "}{"); i >= 0; {
		left := tokens(content[strings.LastIndex(content[:i], "{") : i+1])
		right := tokens(content[i+1:])
		pairs = append(pairs, [2][2]string{left[0], right[0]})
		next := strings.Index(content[i+1:], "}{")
		if next < 0 {
			break
		}
		i += 1 + next
	}
	return pairs
}

// Two things that are signed side by side, with nothing between them, are not
// divided otherwise than the provider divided them. Twilio's and Mandrill's forms
// are the exception: they are signed without anything between names and values,
// and whoever knows a signature can move the borders; their own libraries take it.
func TestBordersBetweenWhatIsSignedSideBySideDoNotMove(t *testing.T) {
	t.Parallel()
	tried := map[string]int{}
	for _, d := range allDoors(t) {
		for _, pair := range neighbours(d.Scheme.Content) {
			left, ok := partOf(d, pair[0][0], pair[0][1])
			right, ok2 := partOf(d, pair[1][0], pair[1][1])
			if !ok || !ok2 {
				continue
			}
			good := signedBy(t, d)
			a, b := left.get(good), right.get(good)
			for k := 1; k <= max(len(a), len(b)); k++ {
				var moved [][2]string
				if k <= len(a) {
					moved = append(moved, [2]string{a[:len(a)-k], a[len(a)-k:] + b})
				}
				if k <= len(b) {
					moved = append(moved, [2]string{a + b[:k], b[k:]})
				}
				for _, m := range moved {
					if pair[0][0] == "url" && !strings.HasPrefix(m[0], ours) || pair[1][0] == "url" && !strings.HasPrefix(m[1], ours) {
						continue // the address begins with us, or nothing arrives
					}
					tried[pair[0][0]+" "+pair[1][0]]++
					refuses(t, d, attack{fmt.Sprintf("%.40q and %.40q", m[0], m[1]), func(q *verify.Request) {
						left.set(q, m[0])
						right.set(q, m[1])
					}})
				}
			}
		}
	}
	for _, pair := range []string{"ts body", "body ts", "url body", "id ts"} {
		if tried[pair] == 0 {
			t.Errorf("no scheme signs %s side by side: nothing was tried", pair)
		}
	}
}
