package caddyfile_test

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/deliver"
	"github.com/caddy-webhooks/caddy-webhooks/gateway"
	"github.com/caddy-webhooks/caddy-webhooks/handler"
	"github.com/caddy-webhooks/caddy-webhooks/verify"
)

// firstCell is the first code of a table's row: the subdirective's form.
var firstCell = regexp.MustCompile("(?m)^\\| `([^`]+)`")

// documented are the names of the subdirectives that the table between two
// marks of a page explains, and the names inside a block of one: `retry { for … }`.
func documented(t *testing.T, file, from, to string) (names, inner map[string]bool) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, part, found := strings.Cut(string(text), "\n"+from+"\n")
	part, _, end := strings.Cut(part, "\n"+to)
	if !found || !end {
		t.Fatalf("%s has no part from %q to %q", file, from, to)
	}
	names, inner = map[string]bool{}, map[string]bool{}
	for _, m := range firstCell.FindAllStringSubmatch(part, -1) {
		words := strings.Fields(m[1])
		names[words[0]] = true
		if len(words) > 2 && words[1] == "{" && words[2] != "…" {
			inner[words[2]] = true
		}
	}
	return names, inner
}

// parsed are the names that the parser itself lists where it meets one that it
// does not know. The dots in the Caddyfile are that place.
func parsed(t *testing.T, text string) map[string]bool {
	t.Helper()
	_, err := adapt([]byte(strings.Replace(text, "…", "qqqqqqqqqqqqqqq", 1)))
	if err == nil {
		t.Fatalf("it adapts:\n%s", text)
	}
	_, list, found := strings.Cut(err.Error(), "` has ")
	if !found {
		t.Fatalf("the error has no list: %v", err)
	}
	list, _, _ = strings.Cut(list, " at ")
	list, _, _ = strings.Cut(list, ", import chain")
	names := map[string]bool{}
	for name := range strings.SplitSeq(list, ", ") {
		names[strings.TrimRight(strings.Fields(name)[0], ",")] = true
	}
	return names
}

func site(inside string) string { return "localhost {\n\twebhooks /x {\n" + inside + "\n\t}\n}" }

func TestEverySubdirectiveIsDocumentedAndNoOther(t *testing.T) {
	t.Parallel()
	const page = "../docs/configuration.md"
	to, retry := documented(t, page, "In `to`:", "## What a destination can be")
	source, _ := documented(t, page, "| subdirective | meaning | default |", "In `from`:")
	global, _ := documented(t, page, "## Global option", "## What a request is answered")
	local := map[string]bool{"min_free": true}
	if !global["min_free"] {
		t.Error("min_free is not documented")
	}
	delete(global, "min_free") // it stands inside `store local`
	dashboard, _ := documented(t, "../docs/dashboard.md", "## On a site, behind your authentication", "## For yourself, on loopback")
	for _, c := range []struct {
		name, text string
		documented map[string]bool
	}{
		{"webhooks", site("…"), source},
		{"to", site("from none\nto localhost:1 {\n…\n}"), to},
		{"retry", site("from none\nto localhost:1 {\nretry {\n…\n}\n}"), retry},
		{"the global option", "{\n\twebhooks {\n…\n\t}\n}", global},
		{"store local", "{\n\twebhooks {\nstore local {\n…\n}\n\t}\n}", local},
		{"webhooks_dashboard", "localhost {\n\twebhooks_dashboard {\n…\n\t}\n}", dashboard},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := parsed(t, c.text); !maps.Equal(got, c.documented) {
				t.Errorf("the parser has %v\nthe page has %v", slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(c.documented)))
			}
		})
	}
}

// `from` takes the options of providers too, so an unknown name is for the
// provider's record to refuse; what is refused here is an option's bad value.
func TestEverySubdirectiveOfFromIsDocumented(t *testing.T) {
	t.Parallel()
	names, _ := documented(t, "../docs/configuration.md", "In `from`:", "In `to`:")
	for name := range names {
		if name == "basic_auth" { // an option of some providers' records
			continue
		}
		text := site("from github {\n" + name + "\n" + name + "\n}\nto localhost:1")
		if _, err := adapt([]byte(text)); err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "write: "+name+" ") {
			t.Errorf("%s without a value: %v", name, err)
		}
	}
}

// brief is a duration as people write it: 72h, 10m, 7d.
func brief[D ~int64](d D) string {
	const day = 24 * time.Hour
	t := time.Duration(d)
	switch {
	case t%day == 0 && t != 3*day: // 72h is not said in days
		return fmt.Sprint(int(t/day), "d")
	case t%time.Hour == 0:
		return fmt.Sprint(int(t.Hours()), "h")
	case t%time.Minute == 0:
		return fmt.Sprint(int(t.Minutes()), "m")
	}
	return fmt.Sprint(int(t.Seconds()), "s")
}

func TestTheDefaultsOfThePageAreThoseOfTheCode(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	never := strings.Trim(fmt.Sprint(deliver.DefaultNever()), "[]")
	for row, want := range map[string]string{
		"dedup <window>\\|off":                         "`" + brief(handler.DefaultDedupWindow) + "`",
		"respond backend [within <duration>]":          "nobody waits; `" + brief(handler.DefaultWithin) + "`",
		"max_body <size>":                              "the provider's cap, else " + fmt.Sprint(handler.DefaultMaxBody>>20, "MiB"),
		"concurrency <n>":                              fmt.Sprint(deliver.DefaultConcurrency),
		"timeout <duration>":                           brief(deliver.DefaultTimeout),
		"retry { for <duration> }":                     brief(deliver.DefaultFor),
		"retry { backoff <first> <max> }":              brief(deliver.DefaultBackoffFirst) + " " + brief(deliver.DefaultBackoffMax),
		"retry { never <status>... }":                  never,
		"retention <duration> [<size>]":                "`" + brief(gateway.DefaultRetention) + "`, a quarter of the file system",
		"alert_backlog <percent>%\\|off [<age>\\|off]": fmt.Sprintf("`%d%% %s`", gateway.DefaultAlertPercent, brief(gateway.DefaultAlertAge)),
		"max_inflight <size>":                          fmt.Sprint(gateway.DefaultMaxInflight>>20, "MiB"),
	} {
		m := regexp.MustCompile("(?m)^\\| `" + regexp.QuoteMeta(row) + "` \\|.*\\| (.*) \\|$").FindSubmatch(text)
		if m == nil {
			t.Errorf("the page has no row %s", row)
		} else if string(m[1]) != want {
			t.Errorf("%s: the page says %s, the code %s", row, m[1], want)
		}
	}
	if row := fmt.Sprintf("says. | %dGiB |", gateway.DefaultMaxBacklog>>30); !strings.Contains(string(text), row) {
		t.Errorf("the global max_backlog: the page has no row that ends with %s", row)
	}
}

func TestTheParametersOfTheGenericSchemesAreThoseOfThePage(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	_, part, _ := strings.Cut(string(text), "\n| parameter | of | meaning |\n")
	part, _, _ = strings.Cut(part, "\n\n")
	page := map[string]bool{}
	for line := range strings.Lines(part) {
		cell, _, _ := strings.Cut(strings.TrimPrefix(line, "|"), " | ")
		for _, m := range regexp.MustCompile("`([a-z_]+) ").FindAllStringSubmatch(cell, -1) {
			page[m[1]] = true
		}
	}
	code := map[string]bool{}
	for _, name := range verify.Params() {
		code[name] = true
	}
	if !maps.Equal(page, code) {
		t.Errorf("the page has %v\nthe schemes take %v", slices.Sorted(maps.Keys(page)), slices.Sorted(maps.Keys(code)))
	}
}
