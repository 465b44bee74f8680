package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// spoken are the texts in the module's source, and those of them that are written
// to the log as a warning or an error.
type spoken struct {
	texts map[string]bool
	loud  map[string]string // with their place
}

// text is what a string literal says, or a sum of them; empty for all else.
func text(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		s, _ := strconv.Unquote(e.Value) // empty for a number
		return s
	case *ast.BinaryExpr:
		return text(e.X) + text(e.Y)
	}
	return ""
}

// logger tells whether an expression is one, by its name.
func logger(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name == "log"
	case *ast.SelectorExpr:
		return e.Sel.Name == "log" || e.Sel.Name == "Logger"
	case *ast.CallExpr:
		f, ok := e.Fun.(*ast.SelectorExpr)
		return ok && (f.Sel.Name == "Logger" || f.Sel.Name == "New")
	}
	return false
}

func (s *spoken) visit(files *token.FileSet, node ast.Node) {
	if e, ok := node.(ast.Expr); ok {
		s.texts[text(e)] = true
	}
	call, ok := node.(*ast.CallExpr)
	if !ok {
		return
	}
	f, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || f.Sel.Name != "Warn" && f.Sel.Name != "Error" || len(call.Args) == 0 || !logger(f.X) {
		return
	}
	if said := text(call.Args[0]); said != "" {
		s.loud[said] = files.Position(call.Pos()).String()
	}
}

// listen reads the source of the module, but for tests, measurements and tools.
func listen(t *testing.T) *spoken {
	t.Helper()
	s, files := &spoken{texts: map[string]bool{}, loud: map[string]string{}}, token.NewFileSet()
	err := filepath.WalkDir(filepath.Join("..", ".."), func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() && (name == ".git" || name == "internal" || name == "bench" || name == "storetest" || name == "testdata") {
			return fs.SkipDir
		}
		if filepath.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(node ast.Node) bool {
			s.visit(files, node)
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// row is a line of a table whose first cell is one piece of code.
var row = regexp.MustCompile("(?m)^\\| (?:`` ?(.+?) ?``|`([^`]+)`) \\|")

// TestEveryWarningAndErrorIsExplained holds the page about the log against the
// source, both ways.
func TestEveryWarningAndErrorIsExplained(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "log.md"))
	if err != nil {
		t.Fatal(err)
	}
	explained := map[string]bool{}
	for _, m := range row.FindAllStringSubmatch(string(page), -1) {
		explained[m[1]+m[2]] = true
	}
	s := listen(t)
	if len(s.loud) < 40 {
		t.Errorf("only %d warnings and errors were found", len(s.loud))
	}
	for said, place := range s.loud {
		if !explained[said] {
			t.Errorf("%s: %q is not explained", place, said)
		}
	}
	for said := range explained {
		if !s.texts[said] {
			t.Errorf("nobody says %q", said)
		}
	}
}
