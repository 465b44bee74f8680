// Package providerdocs writes docs/providers: a table of all providers, and a
// page for each. All of it is made of the records and of what lies beside them
// for the tests: who judged a provider, and who was left out.
//
// [Pages] makes the files, [Write] writes them, and [Stale] says what is not as
// it should be.
package providerdocs

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/caddy-webhooks/caddy-webhooks/verify"
	"github.com/caddy-webhooks/caddy-webhooks/verify/providers"
	"github.com/caddy-webhooks/caddy-webhooks/verify/words"
)

// Command renews the pages.
const Command = "go run ./internal/providerdocs/write"

// Dir is where the pages are, from the root of the module.
const Dir = "docs/providers"

// Pages gives the files by name. Root is the root of the module.
func Pages(root string) (map[string]string, error) {
	j, err := readJudgements(root)
	if err != nil {
		return nil, err
	}
	pages := map[string]string{"README.md": index(j)}
	for _, r := range providers.All() {
		pages[r.Name+".md"] = page(r, j)
	}
	return pages, nil
}

// Write makes the directory what it should be.
func Write(root string) error {
	pages, err := Pages(root)
	if err != nil {
		return err
	}
	dir := filepath.Join(root, filepath.FromSlash(Dir))
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // documentation is for everybody
		return fmt.Errorf("making the directory of the pages: %w", err)
	}
	for name, content := range pages {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil { //nolint:gosec // see above
			return fmt.Errorf("writing a page: %w", err)
		}
	}
	return eachFile(dir, func(name string) error {
		if _, wanted := pages[name]; wanted {
			return nil
		}
		return os.Remove(filepath.Join(dir, name))
	})
}

// Stale lists the files that are missing, out of date or of no provider.
func Stale(root string) ([]string, error) {
	pages, err := Pages(root)
	if err != nil {
		return nil, err
	}
	var stale []string
	dir := filepath.Join(root, filepath.FromSlash(Dir))
	for _, name := range slices.Sorted(maps.Keys(pages)) {
		if written, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(written) != pages[name] {
			stale = append(stale, name)
		}
	}
	err = eachFile(dir, func(name string) error {
		if _, wanted := pages[name]; !wanted {
			stale = append(stale, name)
		}
		return nil
	})
	return stale, err
}

func eachFile(dir string, do func(name string) error) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("reading the directory of the pages: %w", err)
	}
	for _, e := range entries {
		if err := do(e.Name()); err != nil {
			return fmt.Errorf("looking at %s: %w", e.Name(), err)
		}
	}
	return nil
}

const generated = "<!-- Made from the records by `" + Command + "`. Do not edit. -->\n\n"

// index is the table of all.
func index(j *judgements) string {
	var b strings.Builder
	b.WriteString(generated + "# Providers\n\n")
	var presets, generic []*verify.Record
	for _, r := range providers.All() {
		if r.Generic {
			generic = append(generic, r)
		} else {
			presets = append(presets, r)
		}
	}
	fmt.Fprintf(&b, "%d providers are known by name: `from stripe {env.STRIPE_SECRET}`. For others there are the [generic schemes](#generic-schemes). "+
		"The same table on the terminal is `caddy webhooks providers`.\n\n", len(presets))
	b.WriteString(legend)
	b.WriteString("\n| name | provider | scheme | event ID | handshakes | signed anew | judged by |\n|---|---|---|---|---|---|---|\n")
	for _, r := range presets {
		row(&b, link(r), r.Title, strings.Join(words.Algorithms(r), ", "), words.Naming(r), asked(r), words.Renewal(r), j.short(r))
	}
	b.WriteString("\n## Generic schemes\n\nFor senders without a preset. Their parameters stand in the block of `from`.\n\n| name | scheme | judged by |\n|---|---|---|\n")
	for _, r := range generic {
		row(&b, link(r), r.Title, j.short(r))
	}
	if len(j.leftOut) > 0 {
		b.WriteString("\n## Left out\n\nThese have webhooks, and are no presets:\n\n| name | why |\n|---|---|\n")
		for _, l := range j.leftOut {
			row(&b, l.Name, l.Why)
		}
	}
	return b.String()
}

const legend = `- **event ID**: what names an event, so that its repeat is dropped.
- **handshakes**: questions of the provider that the gateway answers; ` + "`secret`" + ` means that it hands its secret over.
- **signed anew**: whether the signature of a late delivery can be made anew, or need not be.
- **judged by**: who else says that the record is right. An official SDK judges best: both ways means that it accepts what we sign, and we accept what it signs. Then come requests that the provider publishes, then requests that other code made from its documentation.
`

func link(r *verify.Record) string { return "[" + r.Name + "](" + r.Name + ".md)" }

func asked(r *verify.Record) string {
	var said []string
	for _, name := range words.Questions(r) {
		said = append(said, "`"+name+"`")
	}
	return strings.Join(said, ", ")
}

func row(b *strings.Builder, cells ...string) {
	for _, cell := range cells {
		b.WriteString("| " + strings.ReplaceAll(escape(cell), "|", `\|`) + " ")
	}
	b.WriteString("|\n")
}

// page is all about one provider.
func page(r *verify.Record, j *judgements) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s# %s\n\n", generated, escape(r.Title))
	if r.Docs != "" {
		fmt.Fprintf(&b, "[The provider's documentation](%s)\n\n", r.Docs)
	}
	sections := words.Page(r)
	sections = append(sections, words.Section{Heading: "How it was judged", Blocks: j.blocks(r)})
	for _, s := range sections {
		b.WriteString("## " + s.Heading + "\n\n")
		for _, block := range s.Blocks {
			markdown(&b, block)
		}
	}
	b.WriteString("[All providers](README.md)\n")
	return b.String()
}

func markdown(b *strings.Builder, block words.Block) {
	switch {
	case block.Code != "":
		fmt.Fprintf(b, "```%s\n%s```\n\n", block.Lang, block.Code)
	case len(block.Items) > 0:
		for _, item := range block.Items {
			b.WriteString("- " + escape(item) + "\n")
		}
		b.WriteString("\n")
	default:
		b.WriteString(escape(block.Text) + "\n\n")
	}
}

// escape keeps words from being taken for markup, but for what stands in
// backticks.
func escape(s string) string {
	parts := strings.Split(s, "`")
	for i := 0; i < len(parts); i += 2 {
		parts[i] = strings.NewReplacer("<", "&lt;", "*", `\*`).Replace(parts[i])
	}
	return strings.Join(parts, "`")
}
