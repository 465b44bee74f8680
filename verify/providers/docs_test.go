package providers_test

import (
	"strings"
	"testing"

	"github.com/caddy-webhooks/caddy-webhooks/internal/providerdocs"
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
		t.Errorf("%s is not current: %s\nrenew it, in the root of the module, with: %s", providerdocs.Dir, strings.Join(stale, ", "), providerdocs.Command)
	}
}
