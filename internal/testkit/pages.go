package testkit

import (
	"io/fs"
	"path/filepath"
	"slices"
	"testing"
)

// Pages gives the paths of all documents: README.md, and those of docs, examples
// and packaging.
func Pages(t testing.TB) []string {
	t.Helper()
	files := []string{filepath.Join(root(), "README.md")}
	for _, dir := range []string{"docs", "examples", "packaging"} {
		err := filepath.WalkDir(filepath.Join(root(), dir), func(path string, entry fs.DirEntry, err error) error {
			if err == nil && !entry.IsDir() && filepath.Ext(path) == ".md" {
				files = append(files, path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(files)
	return files
}
