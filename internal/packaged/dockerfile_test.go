package packaged

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
)

// stages parses the Dockerfile as a build does.
func stages(t *testing.T) []instructions.Stage {
	t.Helper()
	file, err := parser.Parse(strings.NewReader(read(t, "packaging/Dockerfile")))
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range file.Warnings {
		t.Errorf("%s: %s", w.Short, w.Detail)
	}
	s, _, err := instructions.Parse(file.AST, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// image has the instructions of one kind in the stage that becomes the image.
func image[T instructions.Command](t *testing.T) []T {
	t.Helper()
	s := stages(t)
	var found []T
	for _, command := range s[len(s)-1].Commands {
		if c, ok := command.(T); ok {
			found = append(found, c)
		}
	}
	return found
}

// ignored says what the build does not see.
func ignored(t *testing.T) func(path string) bool {
	t.Helper()
	patterns, err := ignorefile.ReadAll(strings.NewReader(read(t, ".dockerignore")))
	if err != nil {
		t.Fatal(err)
	}
	matcher, err := patternmatcher.New(patterns)
	if err != nil {
		t.Fatal(err)
	}
	return func(path string) bool {
		hidden, err := matcher.MatchesOrParentMatches(path)
		if err != nil {
			t.Fatal(err)
		}
		return hidden
	}
}

func TestTheBuildSeesWhatItCopies(t *testing.T) {
	t.Parallel()
	hidden := ignored(t)
	for _, stage := range stages(t) {
		for _, command := range stage.Commands {
			c, ok := command.(*instructions.CopyCommand)
			if !ok || c.From != "" {
				continue
			}
			for _, source := range c.SourcePaths {
				if _, err := os.Stat(filepath.Join(root, source)); err != nil {
					t.Error(err)
				}
				if source != "." && hidden(source) {
					t.Errorf("%s is copied, and .dockerignore hides it", source)
				}
			}
		}
	}
}

func TestTheBuildSeesEveryFileOfTheBinaryAndNoTests(t *testing.T) {
	t.Parallel()
	hidden := ignored(t)
	for _, path := range sources(t) {
		if hidden(path) {
			t.Errorf("%s belongs to the binary, and .dockerignore hides it", path)
		}
	}
	for _, path := range []string{".git/HEAD", "internal/judges/go.mod", "store/local/accept_test.go", "caddyfile/testdata/x.go", "docs/install.md", ".env", "dist/caddy"} {
		if !hidden(path) {
			t.Errorf("%s is sent to the build", path)
		}
	}
}

// sources lists the repository's files that the binary is made of.
func sources(t *testing.T) []string {
	t.Helper()
	list := exec.CommandContext(t.Context(), "go", "list", "-deps", "-json=Dir,GoFiles,EmbedFiles,Module", "./cmd/caddy")
	list.Dir = root
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	top, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct {
			Dir                 string
			GoFiles, EmbedFiles []string
			Module              *struct{ Main bool }
		}
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return paths
		} else if err != nil {
			t.Fatal(err)
		}
		if p.Module == nil || !p.Module.Main {
			continue
		}
		dir, err := filepath.Rel(top, p.Dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range slices.Concat(p.GoFiles, p.EmbedFiles) {
			paths = append(paths, filepath.Join(dir, name))
		}
	}
}

func TestTheImageIsNotRoot(t *testing.T) {
	t.Parallel()
	user := image[*instructions.UserCommand](t)
	if len(user) != 1 {
		t.Fatalf("%d USER in the image, want 1", len(user))
	}
	id, _, _ := strings.Cut(user[0].User, ":")
	if id == "" || strings.Trim(id, "0123456789") != "" || strings.Trim(id, "0") == "" {
		t.Errorf("USER is %q: Kubernetes cannot see that it is not root", user[0].User)
	}
	for _, c := range image[*instructions.CopyCommand](t) {
		if c.DestPath == "/data" && c.Chown != user[0].User {
			t.Errorf("/data belongs to %q, the image runs as %q", c.Chown, user[0].User)
		}
	}
}

func TestTheImageKeepsEventsOnItsVolume(t *testing.T) {
	t.Parallel()
	volumes := image[*instructions.VolumeCommand](t)
	if len(volumes) != 1 || len(volumes[0].Volumes) != 1 {
		t.Fatalf("want one volume: %v", volumes)
	}
	env := make(map[string]string)
	for _, c := range image[*instructions.EnvCommand](t) {
		for _, kv := range c.Env {
			env[kv.Key] = kv.Value
		}
	}
	for _, name := range []string{"XDG_DATA_HOME", "XDG_CONFIG_HOME"} {
		if !below(env[name], volumes[0].Volumes[0]) || env[name] == "" {
			t.Errorf("%s is %q, outside of the volume %s", name, env[name], volumes[0].Volumes[0])
		}
	}
}

// Caddy takes SIGTERM for an exit, on which running deliveries end; SIGQUIT, as
// others have it, would break them off.
func TestTheImageIsStoppedByTheSignalThatCaddyTakesForAnExit(t *testing.T) {
	t.Parallel()
	signals := image[*instructions.StopSignalCommand](t)
	if len(signals) != 1 || signals[0].Signal != "SIGTERM" {
		t.Errorf("STOPSIGNAL: %+v, want one, SIGTERM", signals)
	}
}

func TestTheImageRunsTheCaddyfileThatItHas(t *testing.T) {
	t.Parallel()
	cmd := image[*instructions.CmdCommand](t)[0].CmdLine
	has := slices.ContainsFunc(image[*instructions.CopyCommand](t), func(c *instructions.CopyCommand) bool {
		return c.From == "" && c.DestPath == cmd[len(cmd)-1]
	})
	if !has {
		t.Errorf("nothing is copied to where %q reads it", cmd)
	}
}

func TestImageAndArchivesAreBuiltByTheSameGo(t *testing.T) {
	t.Parallel()
	for _, stage := range stages(t) {
		if stage.Name != "build" {
			continue
		}
		version, found := strings.CutPrefix(stage.BaseName, "golang:")
		version, _, _ = strings.Cut(version, "-")
		if !found || !strings.Contains(read(t, "packaging/release.sh"), "GOTOOLCHAIN=go"+version+" ") {
			t.Errorf("the image is built by %s, the archives are not", stage.BaseName)
		}
	}
}
