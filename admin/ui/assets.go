package ui

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"net/http"
	"path"
	"strings"
)

//go:embed pages
var pages embed.FS

//go:embed static
var static embed.FS

// asset is a file that pages ask for. Its name changes with its content, so that
// it can be kept for ever.
type asset struct {
	kind    string
	content []byte
}

var assets = map[string]asset{}

var (
	styleName  = embedded("style.css", "text/css; charset=utf-8")
	scriptName = embedded("live.js", "text/javascript; charset=utf-8")
	iconName   = embedded("icon.svg", "image/svg+xml")
)

func embedded(name, kind string) string {
	content, err := static.ReadFile("static/" + name)
	if err != nil {
		panic(err) // it is not in the program
	}
	sum := sha256.Sum256(content)
	ext := path.Ext(name)
	named := strings.TrimSuffix(name, ext) + "-" + hex.EncodeToString(sum[:6]) + ext
	assets[named] = asset{kind, content}
	return named
}

func serveAsset(w http.ResponseWriter, r *http.Request, name string) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	a := assets[name]
	w.Header().Set("Content-Type", a.kind)
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	_, _ = w.Write(a.content) // whoever has hung up needs none
}
