// Package providerdocs writes docs/providers: a table of all providers, and a
// page for each. All of it is made of the records and of what lies beside them
// for the tests: who judged a provider, and who was left out.
//
// [Pages] makes the files, [Write] writes them, and [Stale] says what is not as
// it should be.
package providerdocs

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
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

// readme is the file in the root that says how many providers there are.
const readme = "README.md"

// Pages gives the files by their path from the root of the module.
func Pages(root string) (map[string]string, error) {
	j, err := readJudgements(root)
	if err != nil {
		return nil, err
	}
	pages := map[string]string{path.Join(Dir, "README.md"): index(j)}
	for _, r := range providers.All() {
		pages[path.Join(Dir, r.Name+".md")] = page(r, j)
	}
	written, err := os.ReadFile(filepath.Join(root, readme))
	switch {
	case err == nil:
		pages[readme] = counted.ReplaceAllString(string(written), fmt.Sprintf("More than %d providers", roundly(presets())))
	case !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("reading the README: %w", err)
	}
	return pages, nil
}

var counted = regexp.MustCompile(`More than \d+ providers`)

// roundly gives the multiple of ten below n.
func roundly(n int) int { return (n - 1) / 10 * 10 }

// presets counts the records that are of a provider.
func presets() int {
	return len(slices.DeleteFunc(providers.All(), func(r *verify.Record) bool { return r.Generic }))
}

// Write makes the files what they should be.
func Write(root string) error {
	pages, err := Pages(root)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(root, filepath.FromSlash(Dir)), 0o755); err != nil { //nolint:gosec // documentation is for everybody
		return fmt.Errorf("making the directory of the pages: %w", err)
	}
	for name, content := range pages {
		if err := os.WriteFile(filepath.Join(root, filepath.FromSlash(name)), []byte(content), 0o644); err != nil { //nolint:gosec // see above
			return fmt.Errorf("writing a page: %w", err)
		}
	}
	gone, err := unwanted(root, pages)
	for _, name := range gone {
		err = errors.Join(err, os.Remove(filepath.Join(root, filepath.FromSlash(name))))
	}
	return err
}

// Stale lists the files that are missing, out of date or of no provider.
func Stale(root string) ([]string, error) {
	pages, err := Pages(root)
	if err != nil {
		return nil, err
	}
	var stale []string
	for _, name := range slices.Sorted(maps.Keys(pages)) {
		if written, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name))); err != nil || string(written) != pages[name] {
			stale = append(stale, name)
		}
	}
	gone, err := unwanted(root, pages)
	return append(stale, gone...), err
}

// unwanted are files among the pages that are none of them.
func unwanted(root string, pages map[string]string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(root, filepath.FromSlash(Dir)))
	if err != nil {
		return nil, fmt.Errorf("reading the directory of the pages: %w", err)
	}
	var found []string
	for _, e := range entries {
		if name := path.Join(Dir, e.Name()); pages[name] == "" {
			found = append(found, name)
		}
	}
	return found, nil
}

const generated = "<!-- Made from the records by `" + Command + "`. Do not edit. -->\n\n"

// index is the table of all.
func index(j *judgements) string {
	var b strings.Builder
	b.WriteString(generated + "# Providers\n\n")
	var named, generic []*verify.Record
	for _, r := range providers.All() {
		if r.Generic {
			generic = append(generic, r)
		} else {
			named = append(named, r)
		}
	}
	fmt.Fprintf(&b, "%d providers are known by name: `from stripe {env.STRIPE_SECRET}`. For others there are the [generic schemes](#generic-schemes). "+
		"The same table on the terminal is `caddy webhooks providers`.\n\n", len(named))
	b.WriteString(legend + "\n" + j.summary(named) + " Each page says how sure each fact is.\n")
	b.WriteString("\n| name | provider | scheme | event ID | handshakes | signed anew | judged by |\n|---|---|---|---|---|---|---|\n")
	for _, r := range named {
		row(&b, link(r), called(r), strings.Join(words.Algorithms(r), ", "), words.Naming(r), asked(r), words.Renewal(r), j.short(r))
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

// called is the title with the other names.
func called(r *verify.Record) string {
	if len(r.Aliases) == 0 {
		return r.Title
	}
	return r.Title + " (also `" + strings.Join(r.Aliases, "`, `") + "`)"
}

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
