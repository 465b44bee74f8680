// Package arch holds the import law of the module as a test. Its table is the
// documentation: which room may know which, and why.
package arch

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/caddy-webhooks/caddy-webhooks"

// room is what one directory may import besides the standard library.
type room struct {
	why    string
	from   []string // rooms of this module; "." is the module's own package
	caddy  bool
	badger bool
	// testing lets the package import testing outside its tests.
	testing bool
}

// law lists every room there is. A directory with Go files that is not listed
// fails the test, and so does every import that its row does not name.
var law = map[string]room{
	".": {
		why: "registers the rooms, so that one import adds all of it to Caddy", caddy: true,
		from: []string{"handler", "gateway", "caddyfile", "admin", "admin/ui", "cli"},
	},
	"event":             {why: "the words everybody uses; knows nobody"},
	"verify":            {why: "a verdict from header, body, time and keys; plain, so that it is tested in microseconds", from: []string{"jsonpath"}},
	"verify/providers":  {why: "records of providers: schemes of verify, filled in", from: []string{"verify"}},
	"verify/keys":       {why: "asks providers' servers for their public keys, so that verify needs no I/O", from: []string{"verify"}},
	"verify/words":      {why: "what a record says, in sentences, for the pages and for the terminal", from: []string{"verify"}},
	"verify/verifytest": {why: "any record set up and signed with, for tests and measurements", from: []string{"verify"}},
	"jsonpath":          {why: "a value of a stranger's JSON, whatever that is like; knows nobody"},
	"placeholders": {
		why:  "what {webhooks.…} stand for, at acceptance and in every attempt",
		from: []string{"event", "jsonpath"},
	},
	"dedup": {
		why: "what names an event, and the claims; the only keys that the index and the handler share", badger: true,
		from: []string{"event", "jsonpath", "verify"},
	},
	"store":           {why: "the contract of the buffer, in the words of event", from: []string{"event"}},
	"store/storetest": {why: "the contract as a suite; takes its tests along", from: []string{"event", "store"}, testing: true},
	"store/memory":    {why: "the contract, for trials", from: []string{"event", "store"}},
	"store/nats":      {why: "the contract, for several gateways", from: []string{"event", "store"}},
	"store/local/journal": {
		why: "segment files; knows bytes and records, not events", from: []string{"pulse"},
	},
	"store/local/journal/faultfs": {
		why: "a file system that fails on demand, for the tests of the journal", testing: true,
		from: []string{"store/local/journal"},
	},
	"store/local": {
		why: "journal and index made one; writes claims together with events", badger: true,
		from: []string{"event", "pulse", "store", "dedup", "store/local/journal"},
	},
	"query":   {why: "the words with which people choose events", from: []string{"event", "jsonpath", "store"}},
	"archive": {why: "events as lines of JSON, whole", from: []string{"event", "store"}},
	"tracing": {why: "spans for requests and attempts, by the OTEL_… variables", from: []string{"event"}},
	"history": {why: "what the plots show, in a fixed size; knows nobody"},
	"pulse":   {why: "whether a goroutine still goes round; knows nobody"},
	"jobs":    {why: "an operator's actions on many events; sees the buffer as a contract", from: []string{"event", "query", "store"}},
	"deliver": {why: "the schedule; sees the buffer as a contract, and an attempt as a function", from: []string{"event", "pulse", "store"}},
	"forward": {why: "one attempt through Caddy's handlers; knows no store", from: []string{"event", "placeholders"}, caddy: true},
	"gateway": {
		why: "the app: chooses the store, starts delivery, lends both to the handlers", caddy: true,
		from: []string{"event", "store", "store/local", "store/memory", "store/nats", "deliver", "forward", "jobs", "history", "tracing"},
	},
	"handler": {
		why: "one request: verify, name, store, answer; delivers nothing itself", caddy: true,
		from: []string{"event", "store", "verify", "verify/keys", "verify/providers", "dedup", "placeholders", "gateway", "tracing"},
	},
	"admin": {
		why: "the routes; finds the running gateway through it, and answers in the words of event and store", caddy: true,
		from: []string{"archive", "event", "history", "store", "query", "gateway", "jobs"},
	},
	"admin/ui": {why: "the pages and their handler; they speak HTTP to the routes like everybody else", caddy: true},
	"cli": {
		why: "subcommands; signs, verifies, names and reads exports on its own, everything else over HTTP", caddy: true,
		from: []string{"archive", "dedup", "query", "store", "verify", "verify/keys", "verify/providers", "verify/words", "admin/ui"},
	},
	"caddyfile": {
		why: "fills the JSON structs of handler and app; knows the providers' names", caddy: true,
		from: []string{"handler", "gateway", "admin/ui", "verify/providers", "internal/dispense"},
	},
	"cmd/caddy":         {why: "Caddy with all of it", from: []string{"."}, caddy: true},
	"internal/dispense": {why: "reads Caddyfile blocks; knows no subdirective", caddy: true},
	"internal/testkit": {
		why: "what tests share; nothing that ships imports it", testing: true, caddy: true,
		from: []string{".", "event", "store", "verify", "verify/providers"},
	},
	"internal/providerdocs": {
		why:  "writes docs/providers; nothing that ships imports it",
		from: []string{"verify", "verify/providers", "verify/words"},
	},
	"internal/providerdocs/write": {why: "the command that does it", from: []string{"internal/providerdocs"}},

	"internal/e2e":  {why: "the real binary, killed and reloaded; tests only"},
	"internal/arch": {why: "this law"},
	"examples/quickstart": {
		why: "gateway and application in one process, to try it out", caddy: true, from: []string{"."},
	},
	"bench": {
		why: "measures the whole from outside, and its parts", caddy: true, badger: true,
		from: []string{".", "event", "deliver", "store", "store/local", "store/local/journal", "dedup", "verify", "verify/providers", "verify/verifytest"},
	},
}

// imports returns what the Go files of one directory import, tests excluded.
func imports(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, entry := range entries {
		name := entry.Name()
		if entry.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, name), nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			found = append(found, imported)
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// rooms returns every directory of this module that holds Go files. Modules
// inside it, examples and hidden directories are none.
func rooms(t *testing.T, root string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if entry.IsDir() {
			return enter(root, rel, entry.Name())
		}
		if room := path.Dir(rel); strings.HasSuffix(rel, ".go") && !slices.Contains(found, room) {
			found = append(found, room)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func enter(root, rel, name string) error {
	switch {
	case rel == ".":
		return nil
	case rel == "examples", name == "testdata", strings.HasPrefix(name, "."), strings.HasPrefix(name, "_"):
		return filepath.SkipDir
	}
	if _, err := os.Stat(filepath.Join(root, rel, "go.mod")); err == nil {
		return filepath.SkipDir
	}
	return nil
}

// broken says what the law has against one import of one room, or nothing.
func broken(r room, imported string) string {
	inside, own := strings.CutPrefix(imported, module)
	switch inside = strings.TrimPrefix(inside, "/"); {
	case own && inside == "":
		inside = "."
		fallthrough
	case own:
		if !slices.Contains(r.from, inside) {
			return "is not among the rooms it may know"
		}
	case strings.HasPrefix(imported, "github.com/caddyserver/caddy/") && !r.caddy:
		return "is Caddy, and this room is plain Go"
	case strings.HasPrefix(imported, "github.com/dgraph-io/badger") && !r.badger:
		return "is Badger, and only claims and the local store touch that"
	case (imported == "testing" || strings.HasPrefix(imported, "testing/")) && !r.testing:
		return "would be in the binary"
	}
	return ""
}

func TestEveryRoomImportsOnlyWhatTheLawAllows(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..")
	for _, name := range rooms(t, root) {
		r, listed := law[name]
		if !listed {
			t.Errorf("%s is a new room: give it a row in the law, with a reason", name)
			continue
		}
		for _, imported := range imports(t, filepath.Join(root, filepath.FromSlash(name))) {
			if objection := broken(r, imported); objection != "" {
				t.Errorf("%s imports %s, which %s (%s)", name, imported, objection, r.why)
			}
		}
	}
}

func TestTheLawHasNoWayBackUp(t *testing.T) {
	t.Parallel()
	for name, r := range law {
		if r.why == "" {
			t.Errorf("%s has no reason", name)
		}
		for _, below := range r.from {
			if _, ok := law[below]; !ok {
				t.Errorf("%s may import %s, which is no room", name, below)
			}
			if reaches(below, name) {
				t.Errorf("%s may import %s, and that in turn %s", name, below, name)
			}
		}
	}
}

func reaches(from, to string) bool {
	return from == to || slices.ContainsFunc(law[from].from, func(below string) bool { return reaches(below, to) })
}

func TestTheLawRefusesWhatItShould(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		room, imported string
		refused        bool
	}{
		{"event", "time", false},
		{"event", module + "/store", true},
		{"verify", "github.com/caddyserver/caddy/v2", true},
		{"deliver", module + "/store/local", true},
		{"deliver", "github.com/caddyserver/caddy/v2/modules/caddyhttp", true},
		{"handler", module + "/deliver", true},
		{"handler", module + "/gateway", false},
		{"gateway", module + "/handler", true},
		{"gateway", "github.com/dgraph-io/badger/v4", true},
		{"store/local", "github.com/dgraph-io/badger/v4/options", false},
		{"store", "testing", true},
		{"store/storetest", "testing", false},
		{"cmd/caddy", module, false},
		{"handler", module, true},
	} {
		if got := broken(law[c.room], c.imported) != ""; got != c.refused {
			t.Errorf("%s imports %s: refused %v, want %v", c.room, c.imported, got, c.refused)
		}
	}
}
