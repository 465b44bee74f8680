package providerdocs

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/caddy-webhooks/caddy-webhooks/verify"
	"github.com/caddy-webhooks/caddy-webhooks/verify/words"
)

// judgements is what is known of who checked the records.
type judgements struct {
	judged  map[string][]judged
	vectors map[string][]vector
	leftOut []leftOut
}

// judged is one judge of one provider: somebody else's code, which signs what we
// then accept, or verifies what we have signed.
type judged struct {
	Provider string `yaml:"provider"`
	Judge    string `yaml:"judge"`
	Signs    bool   `yaml:"signs"`
	Verifies bool   `yaml:"verifies"`
}

// vector is one request that somebody else signed. One that is asked before
// anything is proven judges no signature.
type vector struct {
	Origin   string `yaml:"origin"`
	Unsigned bool   `yaml:"unsigned"`
}

// leftOut is a provider without a record.
type leftOut struct {
	Name string `yaml:"name"`
	Why  string `yaml:"why"`
}

func readJudgements(root string) (*judgements, error) {
	testdata := filepath.Join(root, "verify", "providers", "testdata")
	j := &judgements{judged: map[string][]judged{}, vectors: map[string][]vector{}}
	var all []judged
	err := errors.Join(readYAML(filepath.Join(testdata, "judged.yaml"), &all), readYAML(filepath.Join(testdata, "left-out.yaml"), &j.leftOut))
	if err != nil {
		return nil, err
	}
	versions, err := readVersions(filepath.Join(root, "internal", "judges"))
	if err != nil {
		return nil, err
	}
	for _, one := range all {
		one.Judge = versions.name(one.Judge)
		j.judged[one.Provider] = append(j.judged[one.Provider], one)
	}
	slices.SortFunc(j.leftOut, func(a, b leftOut) int { return strings.Compare(a.Name, b.Name) })
	files, err := filepath.Glob(filepath.Join(testdata, "vectors", "*.yaml"))
	if err != nil {
		return nil, fmt.Errorf("looking for vectors: %w", err)
	}
	for _, file := range files {
		var list []vector
		if err := readYAML(file, &list); err != nil {
			return nil, err
		}
		j.vectors[strings.TrimSuffix(filepath.Base(file), ".yaml")] = list
	}
	return j, nil
}

// readYAML leaves v as it is where there is no such file.
func readYAML(file string, v any) error {
	written, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = yaml.Unmarshal(written, v)
	}
	if err != nil {
		return fmt.Errorf("reading %s: %w", file, err)
	}
	return nil
}

// versions are those of the judges, by the name of their package.
type versions map[string]string

var required = regexp.MustCompile(`(?m)^\s*(?:require )?([a-z0-9.-]+\.[a-z]+/\S+) (v\S+)`)

// readVersions reads what the judges' packages are locked to.
func readVersions(dir string) (versions, error) {
	v := versions{}
	written, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading the judges' versions: %w", err)
	}
	for _, found := range required.FindAllStringSubmatch(string(written), -1) {
		v[found[1]] = found[2]
	}
	written, err = os.ReadFile(filepath.Join(dir, "npm", "package-lock.json"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return v, nil
	case err != nil:
		return nil, fmt.Errorf("reading the judges' versions: %w", err)
	}
	var lock struct {
		Packages map[string]struct{ Version string }
	}
	if err := json.Unmarshal(written, &lock); err != nil {
		return nil, fmt.Errorf("reading the judges' versions: %w", err)
	}
	for path, p := range lock.Packages {
		if name, ok := strings.CutPrefix(path, "node_modules/"); ok && !strings.Contains(name, "/node_modules/") {
			v[name] = p.Version
		}
	}
	return v, nil
}

// name adds the version to a judge's name, where it is known. The last word of
// the name is that of the package; of a Go module, that of its repository.
func (v versions) name(judge string) string {
	kind, name, _ := strings.Cut(judge, " ")
	version := v[name]
	if kind == "Go" && version == "" {
		for _, module := range slices.Sorted(maps.Keys(v)) {
			if strings.Contains(module+"/", "/"+name+"/") {
				version = v[module]
			}
		}
	}
	return strings.TrimSpace(judge + " " + version)
}

// signed are the vectors that judge a signature.
func (j *judgements) signed(r *verify.Record) []vector {
	return slices.DeleteFunc(slices.Clone(j.vectors[r.Name]), func(v vector) bool { return v.Unsigned })
}

// short says in a few words how a record was judged.
func (j *judgements) short(r *verify.Record) string {
	var parts []string
	for _, one := range j.judged[r.Name] {
		parts = append(parts, one.Judge+ways(one))
	}
	if len(parts) > 0 {
		return strings.Join(parts, "; ")
	}
	for _, v := range j.signed(r) {
		if kind := kindOf(v.Origin); !slices.Contains(parts, kind) {
			parts = append(parts, kind)
		}
	}
	if len(parts) == 0 {
		return "—"
	}
	return strings.Join(parts, "; ")
}

// How a record was judged, the best first.
const (
	byCode = iota
	byRequest
	byDescription
	byNobody
)

// class is the best judge of a record.
func (j *judgements) class(r *verify.Record) int {
	best := byNobody
	if len(j.judged[r.Name]) > 0 {
		return byCode
	}
	for _, v := range j.signed(r) {
		switch kind := kindOf(v.Origin); {
		case strings.HasPrefix(kind, "request made"):
			best = min(best, byDescription)
		case strings.HasPrefix(kind, "published"):
			best = min(best, byRequest)
		default:
			best = min(best, byCode)
		}
	}
	return best
}

// summary says how many records were judged how.
func (j *judgements) summary(records []*verify.Record) string {
	counts := make([]int, byNobody+1)
	for _, r := range records {
		counts[j.class(r)]++
	}
	return fmt.Sprintf("Of %d, %d were judged by an SDK or other code that signs or verifies, %d more by a request that the provider publishes, "+
		"%d more by a request made from its documentation or from the code of others, and %d by nobody else.",
		len(records), counts[byCode], counts[byRequest], counts[byDescription], counts[byNobody])
}

func ways(one judged) string {
	switch {
	case one.Signs && one.Verifies:
		return " (both ways)"
	case one.Signs:
		return " (signs)"
	case one.Verifies:
		return " (verifies)"
	}
	return ""
}

// kindOf shortens the origin of a vector. It is a sentence of whoever wrote the
// vector, so this goes by the words that such sentences have.
func kindOf(origin string) string {
	says := func(words ...string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(origin, w) })
	}
	maker, _, _ := strings.Cut(origin, ", ")
	switch {
	case says("accepted by", "computed with npm", "computed with Go ", "computed with pip", "computed with PyPI"):
		return maker
	case says("descri"):
		return "request made from the documentation"
	case says("code", "source"):
		return "request made from the code of others"
	case says("computed"):
		return "request made by other code"
	}
	return "published: " + origin
}

func (j *judgements) blocks(r *verify.Record) []words.Block {
	var items []string
	for _, one := range j.judged[r.Name] {
		items = append(items, judge(one))
	}
	var origins []string
	for _, v := range j.signed(r) {
		if !slices.Contains(origins, v.Origin) {
			origins = append(origins, v.Origin)
			items = append(items, "A request that we accept: "+v.Origin+".")
		}
	}
	if len(items) == 0 {
		return []words.Block{{Text: "No judge from outside is recorded. The tests sign by the record itself, and verify that."}}
	}
	return []words.Block{{Items: items}}
}

func judge(one judged) string {
	switch {
	case one.Signs && one.Verifies:
		return one.Judge + " accepts what we sign, and we accept what it signs."
	case one.Signs:
		return "We accept what " + one.Judge + " signs."
	case one.Verifies:
		return one.Judge + " accepts what we sign."
	}
	return one.Judge + "."
}
