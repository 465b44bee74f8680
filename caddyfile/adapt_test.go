package caddyfile_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	_ "github.com/caddyserver/caddy/v2/modules/caddyhttp/standard"
	_ "github.com/caddyserver/caddy/v2/modules/logging"

	_ "github.com/caddy-webhooks/caddy-webhooks/caddyfile"
	"github.com/caddy-webhooks/caddy-webhooks/internal/testkit"
)

var update = flag.Bool("update", false, "write what the adapter says now into testdata")

const dashes = "----------\n"

func adapt(input []byte) ([]byte, error) {
	adapted, _, err := caddyconfig.GetAdapter("caddyfile").Adapt(input, nil)
	return adapted, err
}

// said is what the second half of a golden file holds.
func said(t *testing.T, input []byte) string {
	t.Helper()
	adapted, err := adapt(input)
	if err != nil {
		return err.Error() + "\n"
	}
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, adapted, "", "\t"); err != nil {
		t.Fatalf("the adapter wrote no JSON: %v", err)
	}
	return pretty.String() + "\n"
}

func golden(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/*.caddytest")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	return files
}

// It is not parallel itself, so that nobody reads what -update is writing.
func TestEveryGoldenFileAdaptsToWhatItSays(t *testing.T) {
	for _, file := range golden(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			input, want, _ := strings.Cut(string(data), dashes)
			got := said(t, []byte(input))
			if refusal := strings.HasPrefix(filepath.Base(file), "no_"); refusal == json.Valid([]byte(got)) {
				t.Errorf("a file is called no_… when, and only when, it is refused; got:\n%s", got)
			}
			if *update {
				if err := os.WriteFile(file, []byte(input+dashes+got), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != want {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

func TestEveryRefusalNamesFileAndLine(t *testing.T) {
	t.Parallel()
	place := regexp.MustCompile(`Caddyfile:\d+`)
	for _, file := range golden(t) {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		input, _, _ := strings.Cut(string(data), dashes)
		if _, err := adapt([]byte(input)); err != nil && !place.MatchString(err.Error()) {
			t.Errorf("%s: %v", file, err)
		}
	}
}

func TestFmtLeavesCanonicalCaddyfilesAsTheyAre(t *testing.T) {
	t.Parallel()
	for _, file := range append(golden(t), examples(t)...) {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		input, _, _ := strings.Cut(string(data), dashes)
		if got := caddyfile.Format([]byte(input)); string(got) != input {
			t.Errorf("caddy fmt makes of %s:\n%s", file, got)
		}
	}
}

func examples(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("../examples/*/Caddyfile")
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestEveryExampleAdapts(t *testing.T) {
	t.Parallel()
	for _, file := range examples(t) {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := adapt(data); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

var fence = regexp.MustCompile("(?ms)^```caddyfile\n(.*?)^```$")

func TestEveryCaddyfileInTheDocsAdapts(t *testing.T) {
	t.Parallel()
	for _, file := range testkit.Pages(t) {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range fence.FindAllSubmatchIndex(data, -1) {
			line := 1 + bytes.Count(data[:block[2]], []byte("\n"))
			if _, err := adapt(data[block[2]:block[3]]); err != nil {
				t.Errorf("%s:%d: %v", file, line, err)
			}
		}
	}
}
