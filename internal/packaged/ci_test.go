package packaged

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// lacking is a place where a test ends for want of a tool.
var lacking = regexp.MustCompile(`(?:testkit\.Lacks\(t, "(?:the package )?|!has\(t, ")([\w-]+)"`)

// tools are what the tests look for.
func tools(t *testing.T) map[string]string {
	t.Helper()
	found := make(map[string]string)
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == ".git" || entry.Name() == "node_modules"):
			return fs.SkipDir
		case !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		text, err := os.ReadFile(path)
		for _, m := range lacking.FindAllStringSubmatch(string(text), -1) {
			found[m[1]] = path
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestTheCheckOfAChangeInstallsWhatItsTestsNeed(t *testing.T) {
	t.Parallel()
	script := read(t, ".ci/run")
	found := tools(t)
	if len(found) < 5 {
		t.Errorf("only %v were found", found)
	}
	needs := strings.Join(regexp.MustCompile(`(?m)^needs .*$`).FindAllString(script, -1), "\n")
	for tool, place := range found {
		if !regexp.MustCompile(`\b` + regexp.QuoteMeta(tool) + `\b`).MatchString(needs) {
			t.Errorf("%s looks for %s, and .ci/run does not install it", place, tool)
		}
	}
	for _, tool := range []string{"gcc", "libc6-dev"} { // the race detector's
		if !strings.Contains(needs, "needs "+tool+" ") || !strings.Contains(read(t, "README.md"), tool) {
			t.Errorf("%s is not installed, or the README does not name it", tool)
		}
	}
	if !strings.Contains(script, "\nexport CI=true\n") {
		t.Error("a test that something is lacking for is skipped")
	}
}

// `set -e` does not see that what stands before && or || has failed.
func TestTheCheckOfAChangeEndsWithWhatFails(t *testing.T) {
	t.Parallel()
	script := read(t, ".ci/run")
	if !strings.Contains(script, "set -euo pipefail\n") {
		t.Error("it goes on after a failure")
	}
	for line := range strings.Lines(script) {
		line = strings.TrimSpace(line)
		if strings.Contains(line, "|| true") || strings.Contains(line, "&&") && !strings.HasPrefix(line, "(") && !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "if ") {
			t.Errorf("a failure in this line is not seen: %s", line)
		}
	}
	modules, err := filepath.Glob(filepath.Join(root, "internal", "*", "go.mod"))
	if err != nil || len(modules) == 0 {
		t.Fatalf("%v %v", modules, err)
	}
	_, list, _ := strings.Cut(script, "\nmodules=(")
	list, _, _ = strings.Cut(list, ")")
	for _, path := range modules {
		if name := filepath.Base(filepath.Dir(path)); !strings.Contains(" "+list+" ", " "+name+" ") || !strings.Contains(script, "(cd internal/"+name+" && ") {
			t.Errorf("the module internal/%s is not looked at, or not tested", name)
		}
	}
}
