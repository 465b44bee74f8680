package handler

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-webhooks/caddy-webhooks/store"
	"github.com/caddy-webhooks/caddy-webhooks/verify"
)

var returned = regexp.MustCompile(`return "(\w+)"`)

// returns are the words that a function of a file gives back.
func returns(t *testing.T, file, function string) (words []string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, body, _ := strings.Cut(string(text), "\nfunc "+function+"(")
	body, _, _ = strings.Cut(body, "\n}\n")
	for _, m := range returned.FindAllStringSubmatch(body, -1) {
		words = append(words, m[1])
	}
	if len(words) < 4 {
		t.Fatalf("%s of %s gives %q", function, file, words)
	}
	return words
}

func TestTheDocsExplainWhyARequestIsRefusedAnsweredLaterOrWithTheNormalAnswer(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/troubleshooting.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range slices.Concat(returns(t, "answer.go", "reasonOf"), returns(t, "../store/errors.go", "Reason"), slices.Collect(maps.Keys(ownWords))) {
		if !regexp.MustCompile("(?m)^\\|[^|]*`" + word + "`[^|]*\\|").Match(page) {
			t.Errorf("%s is not explained", word)
		}
	}
}

// What is counted and was not expected would begin to exist with its first count.
func TestEveryReasonIsExpected(t *testing.T) {
	t.Parallel()
	given := slices.Concat(returns(t, "answer.go", "reasonOf"), store.Reasons(), verify.Reasons())
	expected := slices.Concat(rejectedWords(), unavailableWords())
	for _, set := range [][]string{given, expected} {
		slices.Sort(set)
	}
	if given, expected := slices.Compact(given), slices.Compact(expected); !slices.Equal(given, expected) {
		t.Errorf("there are the reasons\n%q, expected are\n%q", given, expected)
	}
	if words := returns(t, "../store/errors.go", "Reason"); !slices.Equal(words, store.Reasons()) {
		t.Errorf("the store gives %q, and lists %q", words, store.Reasons())
	}
}
