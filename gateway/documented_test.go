package gateway

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// part is what stands in a page from one mark to another.
func part(t *testing.T, page, from, to string) string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	_, found, begins := strings.Cut(string(text), from)
	found, _, ends := strings.Cut(found, to)
	if !begins || !ends {
		t.Fatalf("%s has no part from %q to %q", page, from, to)
	}
	return found
}

// firstCells are the words in the first cells of a table, sorted.
func firstCells(table string) (words []string) {
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\|").FindAllStringSubmatch(table, -1) {
		words = append(words, m[1])
	}
	slices.Sort(words)
	return words
}

func TestTheTableOfHealthHasEveryReason(t *testing.T) {
	t.Parallel()
	page := firstCells(part(t, "../docs/operating.md", "\n| `reason` | |\n", "\n\n"))
	if want := slices.Sorted(slices.Values(HealthReasons())); !slices.Equal(page, want) {
		t.Errorf("the page has %q, there are %q", page, want)
	}
}

func TestTheTableOfAlertsHasEachWithItsData(t *testing.T) {
	t.Parallel()
	table := part(t, "../docs/operating.md", "\n## Alerts\n", "\n## ")
	want := []string{AlertBacklog, AlertDead, AlertDown, AlertUp, AlertRefused} // sorted
	if page := firstCells(table); !slices.Equal(page, want) {
		t.Errorf("the page has %q, there are %q", page, want)
	}
	source, err := os.ReadFile("watch.go")
	if err != nil {
		t.Fatal(err)
	}
	given, told := map[string]bool{}, map[string]bool{}
	for _, m := range regexp.MustCompile(`"(\w+)": `).FindAllStringSubmatch(string(source), -1) {
		given[m[1]] = true
	}
	for line := range strings.Lines(table) {
		if !strings.HasPrefix(line, "|") {
			continue
		}
		cells := strings.Split(strings.TrimSpace(line), "|")
		for _, m := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(cells[len(cells)-2], -1) {
			told[m[1]] = true
		}
	}
	delete(told, "bytes") // both a value of why and a name
	delete(given, "bytes")
	delete(told, "age")
	for name := range given {
		if !told[name] {
			t.Errorf("the page does not tell of %s", name)
		}
	}
	for name := range told {
		if !given[name] {
			t.Errorf("no alert has %s", name)
		}
	}
}
