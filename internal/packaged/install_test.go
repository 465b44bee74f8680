package packaged

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"sigs.k8s.io/yaml"
)

const install = "docs/install.md"

// blocks gives the text of the page's blocks of one language.
func blocks(t *testing.T, language string) []string {
	t.Helper()
	var texts []string
	for _, found := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllStringSubmatch(read(t, install), -1) {
		texts = append(texts, found[1])
	}
	if len(texts) == 0 {
		t.Fatalf("%s has no block of %s", install, language)
	}
	return texts
}

// A reader who has nothing yet must learn where what is installed comes from.
func TestThePageSaysWherePackagesComeFromBeforeItInstallsThem(t *testing.T) {
	t.Parallel()
	before, _, found := strings.Cut(read(t, install), "\n## Debian and Ubuntu\n")
	for _, place := range []string{"/releases)", "packaging/release.sh linux/amd64", "SHA256SUMS"} {
		if !found || !strings.Contains(before, place) {
			t.Errorf("%s is not named", place)
		}
	}
}

func TestThePageNamesFilesThatThereAre(t *testing.T) {
	t.Parallel()
	for _, path := range regexp.MustCompile(`packaging/[\w./-]*\w`).FindAllString(read(t, install), -1) {
		if _, err := os.Stat(filepath.Join(root, path)); err != nil {
			t.Error(err)
		}
	}
	for _, link := range regexp.MustCompile(`\]\(([^)#]+)`).FindAllStringSubmatch(read(t, install), -1) {
		if strings.HasPrefix(link[1], "https://") {
			continue
		}
		if _, err := os.Stat(filepath.Join(root, "docs", link[1])); err != nil {
			t.Error(err)
		}
	}
	for _, file := range regexp.MustCompile(`install -m \d+ (systemd/\S+)`).FindAllStringSubmatch(read(t, install), -1) {
		if _, err := os.Stat(filepath.Join(root, "packaging", file[1])); err != nil {
			t.Error(err)
		}
	}
}

// volume is where the image keeps its events.
func volume(t *testing.T) string {
	t.Helper()
	return image[*instructions.VolumeCommand](t)[0].Volumes[0]
}

func TestThePagesContainersKeepTheirEventsAndHaveTimeToStop(t *testing.T) {
	t.Parallel()
	needs := adapt(t, uncomment(t)).Apps.HTTP.GracePeriod + stopping
	run := strings.Join(blocks(t, "sh"), "\n")
	timeout := regexp.MustCompile(`--stop-timeout (\d+) `).FindStringSubmatch(run)
	if timeout == nil || !strings.Contains(run, " -v webhooks:"+volume(t)+" ") {
		t.Fatal("docker run has no --stop-timeout, or no volume")
	}
	if seconds, err := strconv.Atoi(timeout[1]); err != nil || time.Duration(seconds)*time.Second < needs {
		t.Errorf("docker stops after %s s, an exit takes up to %v", timeout[1], needs)
	}
	compose(t, needs)
}

// compose looks at the page's Compose file, whose fields it knows by name.
func compose(t *testing.T, needs time.Duration) {
	t.Helper()
	var file struct {
		Services map[string]struct {
			Image   string   `json:"image"`
			Restart string   `json:"restart"`
			Stop    string   `json:"stop_grace_period"`
			Ports   []string `json:"ports"`
			Volumes []string `json:"volumes"`
			Env     string   `json:"env_file"`
			Only    bool     `json:"read_only"`
			Drop    []string `json:"cap_drop"`
		} `json:"services"`
		Volumes map[string]any `json:"volumes"`
	}
	if err := yaml.UnmarshalStrict([]byte(blocks(t, "yaml")[0]), &file); err != nil {
		t.Fatal(err)
	}
	s := file.Services["webhooks"]
	if has, err := time.ParseDuration(s.Stop); err != nil || has < needs {
		t.Errorf("Compose stops after %q, an exit takes up to %v", s.Stop, needs)
	}
	name, path, _ := strings.Cut(s.Volumes[0], ":")
	if _, found := file.Volumes[name]; !found || path != volume(t) {
		t.Errorf("events lie on no volume: %q", s.Volumes)
	}
}

// `caddy run` keeps its terminal, and another one has none of its variables.
func TestTheFirstStepsNeedNoVariableOfAnotherTerminal(t *testing.T) {
	t.Parallel()
	page := read(t, "docs/getting-started.md")
	_, later, found := strings.Cut(page, "\n```sh\ncaddy run\n```\n")
	_, second, told := strings.Cut(later, "In a second terminal")
	before, _, used := strings.Cut(second, "$HOOK_SECRET")
	if !found || !told || !used || !strings.Contains(before, "\nexport HOOK_SECRET=") {
		t.Error("what comes behind `caddy run` counts on its terminal")
	}
	for _, name := range []string{"/etc/caddy-webhooks/environment", "caddy-webhooks webhooks"} {
		if !strings.Contains(page, name) {
			t.Errorf("with the package it is another way: %s is not named", name)
		}
	}
}
