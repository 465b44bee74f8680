package verify_test

import (
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"go/types"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// comparing are the comparisons of the source that end at the first difference,
// each with why nothing secret is compared. A new one belongs here only if neither
// side is a secret or follows from one; else use hmac.Equal or sameSecret.
var comparing = map[string]string{
	"lines: v.Type == gjson.String":                                               "kinds of JSON",
	"Precheck: slices.Contains(v.methods, method)":                                "methods",
	"cutFold: strings.EqualFold(s[:len(prefix)], prefix)":                         "the word before a proof",
	"Greet: h.Signed == signed":                                                   "what the record says",
	"Greets: v.record.Handshakes[i].Signed == signed":                             "what the record says",
	"asks: r.Method != method":                                                    "methods",
	"marks: got == want":                                                          "marks of the record; what has to be known is compared by knows",
	`validateJWT: strings.HasPrefix(a, "HS") == (s.SecretForm == "key")`:          "what the record says",
	"claims: one.String() == want":                                                "claims of a token that is proven",
	"claims: got.String() == want":                                                "claims of a token that is proven",
	"Offered: r.Method != http.MethodPost":                                        "methods",
	"fits: k.Curve != elliptic.P256()":                                            "curves of public keys",
	`take: slices.Contains(values, "")`:                                           "emptiness, when the configuration loads",
	"validate: slices.Contains(kinds, s.Kind)":                                    "what the record says",
	`validateWords: slices.Contains([]string{…}, s.Encoding)`:                     "what the record says",
	`validateWords: slices.Contains([]string{…}, s.TimeUnit)`:                     "what the record says",
	"Padded: strings.TrimSpace(s.text) != s.text":                                 "the operator's secret with itself, when the configuration loads",
	"paths: item == s.Each":                                                       "paths of the record",
	"parseInto: r.Header.Get(name) != want":                                       "headers whose value the record tells everybody",
	"signsTime: slices.Contains(names, strings.ToLower(name))":                    "names of headers",
	"onceInForm: name != field":                                                   "names of fields",
	`onceInForm: strings.NewReplacer(".", "_", " ", "_").Replace(plain) == field`: "names of fields",
	`all: int(gjson.GetBytes(r.Body, list + ".#").Int()) == items`:                "numbers of items",
	"anybodys: slices.Contains(smallOrder, hex.EncodeToString(point))":            "public keys",
	"suits: curves[a] == k.Curve.Params().Name":                                   "names of curves",
	"pinned: slices.Contains(strings.Fields(want), got)":                          "what a proven body is about",
	"find: k.kid == kid":                                                          "names of public keys",
	"before: empty != (len(b.keys) == 0)":                                         "numbers of keys",
	"substitute: k.digest == o.Digest":                                            "digests of secrets that are configured, when an event is delivered",
	"single: ended.Type != gjson.Null":                                            "kinds of JSON",
	"read: resp.StatusCode == http.StatusNotFound":                                "answers of servers",
	"read: resp.StatusCode == http.StatusGone":                                    "answers of servers",
	"read: resp.StatusCode == http.StatusBadRequest":                              "answers of servers",
	"read: resp.StatusCode != http.StatusOK":                                      "answers of servers",
	"issuedFor: c.Subject.CommonName == name":                                     "names in certificates",
	"issuedFor: slices.Contains(c.DNSNames, name)":                                "names in certificates",
}

// holders are the functions that touch the bytes of a key, with what they do.
var holders = map[string]string{
	"mac":        "hashes them",
	"checkToken": "compares them with sameSecret",
	"verifying":  "gives them to the JWT library, which compares with hmac.Equal",
	"key":        "makes them of the operator's text",
	"tokenAnew":  "signs as the provider would",
	"sign":       "signs as the provider would",
}

// early are functions that end at the first difference.
var early = []string{
	"bytes.Equal", "bytes.Compare", "bytes.EqualFold", "bytes.Contains", "slices.Equal", "slices.Compare", "slices.Contains", "slices.Index",
	"strings.EqualFold", "strings.Compare", "reflect.DeepEqual", "cmp.Compare", "maps.Equal",
}

// place is one spot of the source.
type place struct {
	function, text string
	at             gotoken.Position
}

func sources(t *testing.T) (fset *gotoken.FileSet, functions []*ast.FuncDecl) {
	t.Helper()
	fset = gotoken.NewFileSet()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob("keys/*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(files, more...) {
		// Diagnoses are made when the answer has been sent: their time tells nothing.
		if strings.HasSuffix(name, "_test.go") || strings.HasPrefix(name, "explain") {
			continue
		}
		file, err := parser.ParseFile(fset, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok {
				functions = append(functions, f)
			}
		}
	}
	if len(functions) < 100 {
		t.Fatalf("only %d functions found", len(functions))
	}
	return fset, functions
}

// known tells whether an operand is a constant that stands there, or a number.
func known(e ast.Expr) bool {
	switch x := e.(type) {
	case *ast.BasicLit:
		return true
	case *ast.UnaryExpr:
		return known(x.X)
	case *ast.Ident:
		return x.Name == "nil" || x.Name == "true" || x.Name == "false"
	case *ast.CallExpr:
		f, ok := x.Fun.(*ast.Ident)
		return ok && f.Name == "len"
	}
	return false
}

func comparisons(t *testing.T) (found []place) {
	t.Helper()
	fset, functions := sources(t)
	for _, f := range functions {
		ast.Inspect(f, func(n ast.Node) bool {
			switch x := n.(type) {
			case *ast.BinaryExpr:
				if (x.Op == gotoken.EQL || x.Op == gotoken.NEQ) && !known(x.X) && !known(x.Y) {
					found = append(found, place{f.Name.Name, types.ExprString(x), fset.Position(x.Pos())})
				}
			case *ast.CallExpr:
				if slices.Contains(early, types.ExprString(x.Fun)) {
					found = append(found, place{f.Name.Name, types.ExprString(x), fset.Position(x.Pos())})
				}
			}
			return true
		})
	}
	return found
}

func TestNoSecretIsComparedByteByByte(t *testing.T) {
	t.Parallel()
	used := map[string]bool{}
	for _, p := range comparisons(t) {
		name := p.function + ": " + p.text
		if used[name] = true; comparing[name] == "" {
			t.Errorf("%v: %q\nis that secret? Then compare with hmac.Equal or sameSecret; if not, list it with the reason", p.at, name)
		}
	}
	for name := range comparing {
		if !used[name] {
			t.Errorf("%q is listed and no longer there", name)
		}
	}
}

func TestOnlyTheseFunctionsTouchTheBytesOfAKey(t *testing.T) {
	t.Parallel()
	fset, functions := sources(t)
	seen := map[string]bool{}
	for _, f := range functions {
		ast.Inspect(f, func(n ast.Node) bool {
			if x, ok := n.(*ast.SelectorExpr); ok && x.Sel.Name == "bytes" {
				if seen[f.Name.Name] = true; holders[f.Name.Name] == "" {
					t.Errorf("%v: %s touches the bytes of a key; list it with what it does", fset.Position(x.Pos()), f.Name.Name)
				}
			}
			return true
		})
	}
	for name := range holders {
		if !seen[name] {
			t.Errorf("%s is listed and no longer touches a key", name)
		}
	}
}

func TestMACsAndTokensAreComparedInConstantTime(t *testing.T) {
	t.Parallel()
	_, functions := sources(t)
	for name, by := range map[string]string{
		"matchMAC": "hmac.Equal", "sameSecret": "subtle.ConstantTimeCompare", "is": "subtle.ConstantTimeCompare",
		"checkToken": "sameSecret", "knows": "sameSecret", "checkBasic": "sameSecret",
	} {
		calls := false
		for _, f := range functions {
			if f.Name.Name != name {
				continue
			}
			ast.Inspect(f, func(n ast.Node) bool {
				x, ok := n.(*ast.CallExpr)
				calls = calls || ok && types.ExprString(x.Fun) == by
				return true
			})
		}
		if !calls {
			t.Errorf("%s does not compare with %s", name, by)
		}
	}
}
