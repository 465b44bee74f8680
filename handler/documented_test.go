package handler

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
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
