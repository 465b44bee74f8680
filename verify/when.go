package verify

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tidwall/gjson"
)

// Marks are values that must stand in a request; they are written as those of
// [Handshake].
type Marks struct {
	Header map[string]string `yaml:"header"`
	JSON   map[string]string `yaml:"json"`
}

// fit tells whether a request bears all marks.
func (m *Marks) fit(r *Request) bool {
	if m == nil {
		return true
	}
	for name, want := range m.Header {
		if !marks(r.Header.Get(name), want) {
			return false
		}
	}
	for path, want := range m.JSON {
		if !marks(gjson.GetBytes(r.Body, path).String(), want) {
			return false
		}
	}
	return true
}

// pinned refuses an event that is proven, but by somebody else than the operator
// configured: another topic, another application.
func (s *scheme) pinned(r *Request) error {
	for path, option := range s.Pins {
		want := s.options[option]
		if got := gjson.GetBytes(r.Body, path).String(); want != "" && !slices.Contains(strings.Fields(want), got) {
			return fmt.Errorf("%w: %s in the body is not the configured %s", ErrMismatch, path, option)
		}
	}
	return nil
}
