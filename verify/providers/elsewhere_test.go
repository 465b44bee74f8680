package providers_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/caddy-webhooks/caddy-webhooks/verify/providers"
)

func readYAML[T any](t *testing.T, path string) (v T) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err == nil {
		err = yaml.Unmarshal(text, &v)
	}
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// leftOut is a provider without a record, and why.
type leftOut struct{ Name, Why string }

func TestWhoeverIsKnownElsewhereHasARecordOrAReason(t *testing.T) {
	t.Parallel()
	reasons := map[string]string{}
	for _, one := range readYAML[[]leftOut](t, "testdata/left-out.yaml") {
		reasons[one.Name] = one.Why
	}
	elsewhere := readYAML[map[string]string](t, "testdata/elsewhere.yaml")
	if len(elsewhere) < 100 {
		t.Fatalf("only %d providers are known elsewhere", len(elsewhere))
	}
	for name, ours := range elsewhere {
		if _, known := providers.Get(ours); !known && reasons[ours] == "" {
			t.Errorf("%s: there is neither a record %s nor a reason why not", name, ours)
		}
	}
}

func TestNobodyWhoIsLeftOutHasARecord(t *testing.T) {
	t.Parallel()
	list := readYAML[[]leftOut](t, "testdata/left-out.yaml")
	if !slices.IsSortedFunc(list, func(a, b leftOut) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error("the list is not sorted")
	}
	for _, one := range list {
		if _, known := providers.Get(one.Name); known || one.Why == "" {
			t.Errorf("%s has a record, or no reason: %q", one.Name, one.Why)
		}
	}
}
