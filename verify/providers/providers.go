// Package providers holds what is known of each provider, as data: one YAML
// file each, which somebody without Go can write and review. [Get] finds a
// record by name or alias.
package providers

import (
	"bytes"
	"embed"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/caddy-webhooks/caddy-webhooks/verify"
)

//go:embed *.yaml
var files embed.FS

var all, byName = load()

// load decodes the embedded records. They are part of the program, and a test
// reads each of them; one that cannot be read is a bug that must not start.
func load() ([]*verify.Record, map[string]*verify.Record) {
	entries, err := files.ReadDir(".")
	if err != nil {
		panic(err)
	}
	list, names := []*verify.Record{}, map[string]*verify.Record{}
	for _, e := range entries {
		text, err := files.ReadFile(e.Name())
		if err != nil {
			panic(err)
		}
		r, err := Decode(text)
		if err != nil {
			panic(fmt.Errorf("%s: %w", e.Name(), err))
		}
		list = append(list, r)
		for _, name := range append([]string{r.Name}, r.Aliases...) {
			names[name] = r
		}
	}
	slices.SortFunc(list, func(a, b *verify.Record) int { return strings.Compare(a.Name, b.Name) })
	return list, names
}

// Decode reads a record; a field that it does not know is an error.
func Decode(text []byte) (*verify.Record, error) {
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	var r verify.Record
	if err := d.Decode(&r); err != nil {
		return nil, fmt.Errorf("decoding a provider's record: %w", err)
	}
	return &r, nil
}

// Get finds a record by name or alias.
func Get(name string) (*verify.Record, bool) {
	r, ok := byName[name]
	return r, ok
}

// All lists the records by name.
func All() []*verify.Record { return slices.Clone(all) }

// Names lists all names and aliases.
func Names() []string { return slices.Sorted(maps.Keys(byName)) }

// Suggest gives the name that somebody who wrote name most likely meant; empty
// if none is near.
func Suggest(name string) string {
	best, distance := "", len(name)/2+1
	for _, n := range Names() {
		if d := edits(strings.ToLower(name), n); d < distance {
			best, distance = n, d
		}
	}
	return best
}

// edits is the Levenshtein distance.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j]+1, row[j+1]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
