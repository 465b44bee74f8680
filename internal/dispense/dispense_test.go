package dispense_test

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-webhooks/caddy-webhooks/internal/dispense"
)

// block is one of everything that fields can be read into.
type block struct {
	Name, Text string
	Words      []string
	Wait, Keep caddy.Duration
	Off        bool
	Bytes      int64
	Count      int
	Inner      []string
	Others     map[string][]string
}

func (b *block) fields(open bool) dispense.Fields {
	fields := dispense.Fields{
		"name":  dispense.Name(&b.Name),
		"text":  dispense.String(&b.Text, "<text>"),
		"words": dispense.Many(dispense.Strings(&b.Words, "<word>...")),
		"wait":  dispense.Duration(&b.Wait),
		"keep":  dispense.DurationOrOff(&b.Keep, &b.Off, "<duration>|off"),
		"bytes": dispense.Size(&b.Bytes),
		"count": dispense.Int(&b.Count),
		"inner": dispense.Nested("{ … }", func(d *caddyfile.Dispenser) error {
			return dispense.Block(d, "inner", dispense.Fields{"word": dispense.Many(dispense.Strings(&b.Inner, "<word>..."))})
		}),
	}
	if open {
		fields[dispense.Other] = dispense.Nested("[<value>...]", func(d *caddyfile.Dispenser) error {
			if b.Others == nil {
				b.Others = make(map[string][]string)
			}
			name := d.Val()
			b.Others[name] = d.RemainingArgs()
			return nil
		})
	}
	return fields
}

func read(input string, open bool) (block, error) {
	var b block
	// Caddy's own dispenser for tests ends the process on an input that has no tokens.
	tokens, err := caddyfile.Tokenize([]byte(input), "Testfile")
	if err != nil {
		return b, errNoTokens
	}
	d := caddyfile.NewDispenser(tokens)
	d.Next()
	err = dispense.Block(d, "thing", b.fields(open))
	return b, err
}

// errNoTokens is an input that the lexer refuses before a block is looked at.
var errNoTokens = errors.New("no tokens")

func TestABlockIsReadIntoWhatItsTableNames(t *testing.T) {
	t.Parallel()
	input := "thing {\n name a-b_1\n text \"x y\"\n words a b\n words c\n wait 1d\n keep off\n bytes 5MiB\n count 7\n inner {\n word p\n word q\n }\n else 1 2\n}"
	got, err := read(input, true)
	if err != nil {
		t.Fatal(err)
	}
	want := block{
		Name: "a-b_1", Text: "x y", Words: []string{"a", "b", "c"}, Wait: caddy.Duration(24 * time.Hour), Off: true,
		Bytes: 5 << 20, Count: 7, Inner: []string{"p", "q"}, Others: map[string][]string{"else": {"1", "2"}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestEveryRefusalSaysWhereAndWhatInstead(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ line, want string }{
		{"nqme x", `unrecognized subdirective "nqme"; did you mean: name <name>, at Testfile:2`},
		{"zzz", "unrecognized subdirective \"zzz\"; `thing` has bytes, count, inner, keep, name, text, wait, words, at Testfile:2"},
		{`"" x`, "unrecognized subdirective \"\"; `thing` has"},
		{"text", "missing argument of text; write: text <text>, at Testfile:2"},
		{`text ""`, "an argument is empty"},
		{"text a b", `surplus argument "b" of text; write: text <text>`},
		{"text a\n text b", "text is already set in line 2; keep one of the two: text <text>, at Testfile:3"},
		{"text a {\n x\n }", "unexpected block; write: text <text>, at Testfile:2"},
		{"words", "missing argument of words"},
		{"words a \"\"", "an argument is empty"},
		{"wait 5", "is not a duration"},
		{"wait 0", "is not above zero"},
		{"wait -5m", "is not above zero"},
		{"wait off", "is not a duration"},
		{"keep of", "is not a duration"},
		{"bytes 5 MiB", "surplus argument"},
		{"bytes -1", "is not a size"},
		{"bytes 0", "is not above zero"},
		{"bytes 16EiB", "is not a size"},
		{"count 1.5", "is not a whole number"},
		{"count 99999999999999999999", "is not a whole number"},
		{"name Ä", "is not a name"},
		{"name " + strings.Repeat("a", 65), "is not a name"},
		{"inner x {\n word a\n }", `surplus argument "x"; write: inner { … }`},
		{"inner {\n wrd a\n }", `unrecognized subdirective "wrd"; did you mean: word <word>..., at Testfile:3`},
	} {
		_, err := read("thing {\n "+c.line+"\n}", false)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: got %v, want %s", c.line, err, c.want)
		}
	}
}

func TestAnOpenBlockTakesOtherNamesButNotMisspelledOnes(t *testing.T) {
	t.Parallel()
	for line, ok := range map[string]bool{
		"header X-A": true, "flag": true, "siez 1\n size 2": true,
		"conut 5": false, "header a\n header b": false, "header {\n x\n }": false, `"" x`: false,
	} {
		if _, err := read("thing {\n "+line+"\n}", true); (err == nil) != ok {
			t.Errorf("%q: %v", line, err)
		}
	}
}

func TestNearestFindsOneSlipAndNothingFarther(t *testing.T) {
	t.Parallel()
	names := []string{"stripe", "tolerance", "to", "max_body"}
	for name, want := range map[string]string{
		"strype": "stripe", "stirpe": "stripe", "stripee": "stripe", "tolarence": "tolerance", "max-body": "max_body",
		"ot": "", "slack": "", "": "", "st": "",
	} {
		if got, ok := dispense.Nearest(name, names); got != want || ok != (want != "") {
			t.Errorf("%q: got %q, %v, want %q", name, got, ok, want)
		}
	}
}

func FuzzBlock(f *testing.F) {
	for _, seed := range []string{
		"thing {\n name a\n}", "thing {", "thing }", "thing { {", "thing {\n inner {\n word a\n", "thing {\n text a {\n}\n}",
		"<<\nH\xf7\xba0", "thing {\n keep off\n keep 5m\n}", "thing {\n x \"\n", "{\n}", "", "thing {\n words `a\nb` c\n}", "thing {\n inner {\n}\n bytes 1e9\n}",
	} {
		f.Add(seed)
	}
	place := regexp.MustCompile(`:\d+$`)
	f.Fuzz(func(t *testing.T, input string) {
		for _, open := range []bool{false, true} {
			b, err := read(input, open)
			if errors.Is(err, errNoTokens) {
				return
			}
			if err != nil && !place.MatchString(err.Error()) {
				t.Fatalf("%q: an error without its place: %v", input, err)
			}
			if err == nil && (b.Wait < 0 || b.Keep < 0 || b.Bytes < 0 || b.Count < 0) {
				t.Fatalf("%q: below zero: %s", input, fmt.Sprint(b))
			}
		}
	})
}
