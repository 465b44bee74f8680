package verify

import (
	"encoding/base64"
	"encoding/hex"
	"hash"
	"net/http"
	"strings"
	"sync"
)

// scratch is the working memory of one check. Checks take turns with it, so that
// verifying costs little more than its hash.
type scratch struct {
	signatures [][]byte
	text       []byte
	decoded    []byte
	sum        [64]byte
}

var scratches = sync.Pool{New: func() any {
	return &scratch{signatures: make([][]byte, 0, maxSignatures), text: make([]byte, 0, 256), decoded: make([]byte, 0, maxSignature)}
}}

func newScratch() *scratch {
	sc, ok := scratches.Get().(*scratch)
	if !ok {
		return new(scratch)
	}
	sc.reset()
	return sc
}

func (sc *scratch) free() { scratches.Put(sc) }

func (sc *scratch) reset() { sc.signatures, sc.decoded = sc.signatures[:0], sc.decoded[:0] }

// add decodes a signature; one that cannot be read, or that is one too many, is
// left out.
func (sc *scratch) add(encoding, text string) {
	if len(sc.signatures) >= maxSignatures {
		return
	}
	sc.text = append(sc.text[:0], text...)
	from, err := len(sc.decoded), error(nil)
	var all []byte
	switch encoding {
	case "base64":
		all, err = base64.StdEncoding.AppendDecode(sc.decoded, sc.text)
	case "base64url":
		all, err = base64.RawURLEncoding.AppendDecode(sc.decoded, []byte(strings.TrimRight(text, "=")))
	default:
		all, err = hex.AppendDecode(sc.decoded, sc.text)
	}
	if err != nil || len(all) == from {
		return
	}
	// Should decoded have grown, what was found before stays where it was.
	sc.decoded = all
	sc.signatures = append(sc.signatures, all[from:])
}

// canonical gives header names as requests have them.
func canonical(names []string) []string {
	list := make([]string, len(names))
	for i, n := range names {
		list[i] = http.CanonicalHeaderKey(n)
	}
	return list
}

// hasher is a hash that takes strings too, without a copy of each.
type hasher struct {
	hash.Hash

	text []byte
}

// WriteString writes a string.
func (h *hasher) WriteString(s string) (int, error) {
	h.text = append(h.text[:0], s...)
	return h.Write(h.text) //nolint:wrapcheck // a hash gives no error
}
