package judges

import (
	"encoding/json"
	"flag"
	"os"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

var update = flag.Bool("update", false, "write the list of judges anew")

// judged is the list from which the documentation is made.
const judged = "../../verify/providers/testdata/judged.yaml"

// entry is one judge of a provider as the documentation has it.
type entry struct {
	Provider string `yaml:"provider"`
	// Judge is `npm <package>` or `Go <module>`.
	Judge string `yaml:"judge"`
	// Signs tells that what it signs is accepted by us, Verifies that it accepts
	// what we sign.
	Signs    bool `yaml:"signs"`
	Verifies bool `yaml:"verifies"`
}

func entries() []entry {
	var list []entry
	for _, j := range npm {
		list = append(list, entry{j.provider, "npm " + j.sdk, j.signs, j.verifies})
	}
	for _, j := range goJudges {
		list = append(list, entry{j.provider, "Go " + j.sdk, j.sign != nil, j.verify != nil})
	}
	slices.SortFunc(list, func(a, b entry) int { return strings.Compare(a.Provider+" "+a.Judge, b.Provider+" "+b.Judge) })
	return list
}

func TestTheListOfJudgesIsWhatTheTestsRun(t *testing.T) {
	t.Parallel()
	want, err := yaml.Marshal(entries())
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(judged, want, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(judged)
	if err != nil || string(got) != string(want) {
		t.Errorf("%s is not what the tests run (%v); write it anew: go test -run List -update", judged, err)
	}
}

func TestEveryJudgeIsPinned(t *testing.T) {
	t.Parallel()
	var lock struct {
		Packages map[string]struct{ Version, Resolved string }
	}
	text, err := os.ReadFile("npm/package-lock.json")
	if err == nil {
		err = json.Unmarshal(text, &lock)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, j := range npm {
		if lock.Packages["node_modules/"+j.sdk].Version == "" {
			t.Errorf("%s is not in the lock file", j.sdk)
		}
	}
	text, err = os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	for _, j := range goJudges {
		if !strings.Contains(string(text), "\tgithub.com/"+j.sdk) {
			t.Errorf("%s is not in go.mod", j.sdk)
		}
	}
}
