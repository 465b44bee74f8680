package handler

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-webhooks/caddy-webhooks/verify"
)

// secrets are a source's keys: those known when the configuration loads, and
// those that each request brings.
type secrets struct {
	// fixed have been resolved; perRequest are still placeholders.
	fixed      []verify.Secret
	perRequest []string
	// literal tells that one stands in the configuration itself.
	literal bool

	// texts are the configured forms of fixed, files the files that they name.
	texts []string
	files []string

	mu sync.Mutex
	// read is when the files were last read, looked when they were last looked
	// at, and seen what they looked like.
	read   time.Time
	looked time.Time
	seen   []stamp
}

// stamp tells a file from what it was before.
type stamp struct {
	size    int64
	changed time.Time
}

func stampOf(path string) stamp {
	info, err := os.Stat(path)
	if err != nil {
		return stamp{}
	}
	return stamp{info.Size(), info.ModTime()}
}

var placeholder = regexp.MustCompile(`\{([^{}\s]+)\}`)

// newSecrets resolves what can be resolved. It refuses an empty or unset value
// and a placeholder that nothing fills: either would be a key that everybody
// knows.
func newSecrets(texts []string) (*secrets, error) {
	s := new(secrets)
	for i, text := range texts {
		kind, err := kindOf(text)
		if err != nil {
			return nil, fmt.Errorf("secret %d: %w", i+1, err)
		}
		if kind == "request" {
			s.perRequest = append(s.perRequest, text)
			continue
		}
		s.literal = s.literal || kind == "literal"
		for _, m := range placeholder.FindAllStringSubmatch(text, -1) {
			if path, ok := strings.CutPrefix(m[1], "file."); ok {
				s.files = append(s.files, path)
			}
		}
		s.texts = append(s.texts, text)
	}
	s.seen = s.look() // before they are read: what changes in between is read again
	var err error
	s.fixed, err = resolve(s.texts)
	return s, err
}

func (s *secrets) look() []stamp {
	list := make([]stamp, len(s.files))
	for i, path := range s.files {
		list[i] = stampOf(path)
	}
	return list
}

// touched tells whether a file looks different from when it was last looked
// at. It looks once a second at most.
func (s *secrets) touched(now time.Time) bool {
	if len(s.files) == 0 {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.looked).Abs() < lookAgain {
		return false
	}
	s.looked = now
	before := s.seen
	s.seen = s.look()
	if slices.Equal(before, s.seen) {
		return false
	}
	s.read = time.Time{} // what was read just before the change does not count
	return true
}

// kindOf tells when a secret can be resolved.
func kindOf(text string) (string, error) {
	kind := "literal"
	for _, m := range placeholder.FindAllStringSubmatch(text, -1) {
		switch name := m[1]; {
		case strings.HasPrefix(name, "http."), strings.HasPrefix(name, "vars."):
			return "request", nil
		case strings.HasPrefix(name, "env."), strings.HasPrefix(name, "file."), strings.HasPrefix(name, "system."):
			kind = "fixed"
		default:
			return "", fmt.Errorf("nothing fills {%s}; a secret may come from {env.…}, {file.…}, {system.…}, {http.…} or {vars.…}", name)
		}
	}
	return kind, nil
}

var errEmpty = errors.New("is empty or not set")

// resolve gives the values of texts.
func resolve(texts []string) ([]verify.Secret, error) {
	var list []verify.Secret
	for i, text := range texts {
		value, err := caddy.NewReplacer().ReplaceOrErr(text, true, true)
		if err != nil || strings.TrimSpace(value) == "" {
			// Caddy's error names the placeholder, never a value.
			return nil, fmt.Errorf("secret %d (%s) %w", i+1, shown(text), errEmpty)
		}
		list = append(list, verify.NewSecret(value))
	}
	return list, nil
}

// shown is a secret's configured form without anything literal.
func shown(text string) string {
	if names := placeholder.FindAllString(text, -1); len(names) > 0 {
		return strings.Join(names, "")
	}
	return "a literal"
}

// fixedPlaceholder is one that is known when the configuration loads. Other braces
// in an option are a template's own.
var fixedPlaceholder = regexp.MustCompile(`\{(?:env|file|system)\.[^{}\s]+\}`)

// resolveOptions fills the placeholders in options.
func resolveOptions(options map[string][]string) (map[string][]string, error) {
	filled := make(map[string][]string, len(options))
	for name, values := range options {
		for _, text := range values {
			var empty error
			value := fixedPlaceholder.ReplaceAllStringFunc(text, func(one string) string {
				v, err := caddy.NewReplacer().ReplaceOrErr(one, true, true)
				if err != nil || strings.TrimSpace(v) == "" {
					empty = fmt.Errorf("%s %w", one, errEmpty)
				}
				return strings.TrimSpace(v)
			})
			if empty != nil {
				return nil, &verify.OptionError{Option: name, Err: empty}
			}
			filled[name] = append(filled[name], value)
		}
	}
	return filled, nil
}

// literal tells whether one of the values stands in the configuration itself.
func literal(values []string) bool {
	return slices.ContainsFunc(values, func(v string) bool { return !fixedPlaceholder.MatchString(v) })
}

// own resolves the secrets that a request brings; an empty one is no secret.
func (s *secrets) own(repl *caddy.Replacer) []verify.Secret {
	var list []verify.Secret
	for _, text := range s.perRequest {
		value, err := repl.ReplaceOrErr(text, false, false)
		if err == nil {
			value = strings.TrimSpace(value)
		}
		list = append(list, verify.NewSecret(value))
	}
	return list
}

// lookAgain is how often files are read again, at most.
const lookAgain = time.Second

// reread reads secrets in files again. changed tells whether one is different;
// an error leaves the old ones standing.
func (s *secrets) reread(now time.Time) (fresh []verify.Secret, changed bool, err error) {
	if len(s.files) == 0 {
		return nil, false, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.read).Abs() < lookAgain {
		return nil, false, nil
	}
	s.read = now
	fresh, err = resolve(s.texts)
	if err != nil || slices.Equal(fresh, s.fixed) {
		return nil, false, err
	}
	s.fixed = fresh
	return fresh, true, nil
}
