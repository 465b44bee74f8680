package arch

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const top = "../.."

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(top, filepath.FromSlash(path)))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// between is the part of a text from one mark to another.
func between(t *testing.T, text, from, to string) string {
	t.Helper()
	_, part, found := strings.Cut(text, from)
	part, _, end := strings.Cut(part, to)
	if !found || !end {
		t.Fatalf("there is no part from %q to %q", from, to)
	}
	return part
}

// pages are the documents that are written by hand.
func pages(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(top, "docs", "*.md"))
	if err != nil || len(found) < 10 {
		t.Fatalf("%d pages, %v", len(found), err)
	}
	names := []string{"README.md", "examples/observability/README.md"}
	for _, path := range found {
		names = append(names, "docs/"+filepath.Base(path))
	}
	return names
}

var (
	described = regexp.MustCompile(`(?m)^(?:  (/\S+):|    (get|post|delete|put|patch):)$`)
	span      = regexp.MustCompile("`([^`\n]+)`")
	fenced    = regexp.MustCompile("(?ms)^```\\w*\n(.*?)^```$")
)

// routes are the methods and paths that the API's description has.
func routes(t *testing.T) (all []string) {
	t.Helper()
	path := ""
	for _, m := range described.FindAllStringSubmatch(between(t, read(t, "docs/openapi.yaml"), "\npaths:\n", "\ncomponents:\n"), -1) {
		if m[1] != "" {
			path = m[1]
			continue
		}
		all = append(all, strings.ToUpper(m[2])+" "+path)
	}
	if len(all) < 15 {
		t.Fatalf("only %v are described", all)
	}
	return all
}

// tabled are those that the first cell of a row names: `POST /x/replay` · `/discard`
// are two, and so are `GET /x` · `DELETE`.
func tabled(cell string) (all []string) {
	method, path := "", ""
	for _, m := range span.FindAllStringSubmatch(cell, -1) {
		first, rest, both := strings.Cut(m[1], " ")
		switch {
		case both:
			method, path = first, rest
		case strings.HasPrefix(first, "/"):
			path = path[:strings.LastIndex(path, "/")] + first
		default:
			method = first
		}
		all = append(all, method+" "+path)
	}
	return all
}

func TestTheTableOfTheAPIHasWhatIsDescribed(t *testing.T) {
	t.Parallel()
	var found []string
	for line := range strings.Lines(between(t, read(t, "docs/operating.md"), "\n## API\n", "\n## ")) {
		if strings.HasPrefix(line, "| `") {
			cell, _, _ := strings.Cut(line[1:], " | ")
			found = append(found, tabled(cell)...)
		}
	}
	want := routes(t)
	slices.Sort(want)
	slices.Sort(found)
	if !slices.Equal(found, want) {
		t.Errorf("the table has\n%s\nthe description\n%s", strings.Join(found, "\n"), strings.Join(want, "\n"))
	}
}

// asked is a path of the API where a page asks for it.
var asked = regexp.MustCompile(`(?:GET|POST|DELETE|rewrite) (/webhooks/[^\s?` + "`" + `|]+)`)

func TestEveryPathOfTheAPIThatAPageAsksForExists(t *testing.T) {
	t.Parallel()
	known := map[string]bool{}
	for _, route := range routes(t) {
		_, path, _ := strings.Cut(route, " ")
		known[path] = true
	}
	n := 0
	for _, page := range pages(t) {
		for _, m := range asked.FindAllStringSubmatch(read(t, page), -1) {
			if n++; !known[m[1]] {
				t.Errorf("%s asks for %s", page, m[1])
			}
		}
	}
	if n < 20 {
		t.Errorf("only %d were found", n)
	}
}

// attribute is the name of a span's attribute.
var attribute = regexp.MustCompile("[\"`]((?:webhooks\\.|http\\.)[a-z_.]+)[\"`]")

func TestThePageOfTracingHasTheAttributesOfTheSpans(t *testing.T) {
	t.Parallel()
	names := func(path string) (all []string) {
		for _, m := range attribute.FindAllStringSubmatch(read(t, path), -1) {
			all = append(all, m[1])
		}
		slices.Sort(all)
		return slices.Compact(all)
	}
	if page, code := names("docs/tracing.md"), names("tracing/tracing.go"); !slices.Equal(page, code) {
		t.Errorf("the page has\n%q\nthe spans have\n%q", page, code)
	}
}

// Each number of the table of bounds, and where it comes from.
func TestTheBoundsOfThePageAboutSecurityAreThoseOfTheCode(t *testing.T) {
	t.Parallel()
	page := between(t, read(t, "docs/security.md"), "\n## What is bounded\n", "\n## ")
	for row, sources := range map[string][][2]string{
		"| Reasons that are looked for | %s a second for a source, %s in all, %s at once |": {
			{"gateway/diagnose.go", `sourceDiagnoses  = (\d+)`}, {"gateway/diagnose.go", `gatewayDiagnoses = (\d+)`}, {"gateway/diagnose.go", `diagnosesAtOnce  = (\d+)`},
		},
		"| Refusals that are kept | %s of each source, one a second of each reason |":                   {{"gateway/refusals.go", `refusalsKept = (\d+)`}},
		"| Streams, dashboard pages that are followed | %s and %s |":                                    {{"admin/tail.go", `maxTails = (\d+)`}, {"admin/ui/live.go", `maxStreams = (\d+)`}},
		"| The answer of an application that is kept | %s KiB |":                                        {{"event/event.go", `AnswerLimit = (\d+) << 10`}},
		"| Bodies that wait for delivery | `max_backlog` in all, half of it for one source; then 503 |": nil,
	} {
		for _, s := range sources {
			m := regexp.MustCompile(s[1]).FindStringSubmatch(read(t, s[0]))
			if m == nil {
				t.Fatalf("%s has no %s", s[0], s[1])
			}
			row = strings.Replace(row, "%s", m[1], 1)
		}
		if !strings.Contains(page, row+"\n") {
			t.Errorf("the page has no row %s", row)
		}
	}
}

// compound is a name of several words, as those of the configuration, of metrics,
// reasons and events are.
var compound = regexp.MustCompile(`\b[a-z][a-z0-9]*(?:_[a-z0-9]+)+\b`)

// foreign are such names that are not ours: Caddy's, and what stands in examples.
var foreign = strings.Fields(`
	copy_headers fail_duration file_server grace_period handle_path header_up health_interval health_uri
	lb_policy lb_retries lb_try_interval least_conn log_append php_fastcgi remote_ip replace_status request_buffers
	tls_server_name tls_trust_pool unhealthy_status upstream_hostport
	cap_drop env_file stop_grace_period linux_amd64 amount_due tenant_secret`)

// spokenOf are the compound names in the module's source and the providers' records.
func spokenOf(t *testing.T) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	err := filepath.WalkDir(top, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() && (name == ".git" || name == "internal" || name == "testdata" || name == "examples" || name == "node_modules") {
			return fs.SkipDir
		}
		record := filepath.Ext(name) == ".yaml" && filepath.Base(filepath.Dir(path)) == "providers"
		if (filepath.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go")) && !record {
			return nil
		}
		text, err := os.ReadFile(path)
		for _, word := range compound.FindAllString(string(text), -1) {
			found[word] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// A name that is misspelt on a page is one that the reader will not find.
func TestEveryNameInThePagesIsOneOfTheSource(t *testing.T) {
	t.Parallel()
	known := spokenOf(t)
	for _, word := range foreign {
		known[word] = true
	}
	n := 0
	for _, page := range pages(t) {
		if page == "docs/decisions.md" || page == "docs/performance.md" { // they tell of what was
			continue
		}
		text := read(t, page)
		for _, m := range slices.Concat(fenced.FindAllStringSubmatch(text, -1), span.FindAllStringSubmatch(fenced.ReplaceAllString(text, ""), -1)) {
			for _, word := range compound.FindAllString(m[1], -1) {
				n++
				if !known[strings.TrimPrefix(word, "caddy_webhooks_")] {
					t.Errorf("%s: nothing is called %s", page, word)
				}
			}
		}
	}
	if n < 200 {
		t.Errorf("only %d names were found", n)
	}
}
