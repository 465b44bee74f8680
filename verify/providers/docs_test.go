package providers_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/caddy-webhooks/caddy-webhooks/internal/providerdocs"
	"github.com/caddy-webhooks/caddy-webhooks/verify/providers"
)

// It stands here, and not beside the generator, so that whoever changes a record
// runs it.
func TestThePagesSayWhatTheRecordsSay(t *testing.T) {
	t.Parallel()
	stale, err := providerdocs.Stale("../..")
	if err != nil {
		t.Fatal(err)
	}
	if len(stale) > 0 {
		t.Errorf("not current: %s\nrenew it, in the root of the module, with: %s", strings.Join(stale, ", "), providerdocs.Command)
	}
}

func TestWhoIsLeftOutHasAReasonAndNoRecord(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/left-out.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var list []struct{ Name, Why string }
	if err := yaml.Unmarshal(text, &list); err != nil || len(list) == 0 {
		t.Fatalf("%v, %d", err, len(list))
	}
	var names []string
	for _, l := range list {
		if _, known := providers.Get(l.Name); known || l.Why == "" {
			t.Errorf("%s has a record: %v, and is left out because %q", l.Name, known, l.Why)
		}
		names = append(names, l.Name)
	}
	if !slices.IsSorted(names) || len(slices.Compact(slices.Clone(names))) != len(names) {
		t.Errorf("not sorted, or twice: %v", names)
	}
}
