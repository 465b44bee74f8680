package verify

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Explain says in words for the log why a request was refused, and what to do.
// Its work is bounded, and it never prints a secret or a signature. whose names
// another source whose signature this is, or gives ""; it is asked only when
// nothing else explains the refusal, and may be nil.
func (v *Verifier) Explain(r *Request, err error, now time.Time, whose func() string) string {
	switch {
	case errors.Is(err, ErrExpired), errors.Is(err, ErrFuture):
		return words(err) + "; is the clock right?"
	case !errors.Is(err, ErrMismatch):
		return words(err)
	}
	for _, change := range bodyChanges {
		body := change.apply(r.Body)
		if bytes.Equal(body, r.Body) {
			continue
		}
		changed := *r
		changed.Body = body
		if _, err := v.Verify(&changed, now); err == nil {
			return "matches " + change.words + ": something changes the body on its way"
		}
	}
	if why := v.explainSecrets(r, now); why != "" {
		return why
	}
	if whose != nil {
		if name := whose(); name != "" {
			return "this is the secret of source " + name
		}
	}
	return "signature does not match: another secret, or a body changed on its way"
}

// words strips the sentinel from an error.
func words(err error) string {
	return strings.TrimPrefix(err.Error(), ErrRejected.Error()+": ")
}

// explainSecrets tries the usual accidents with a secret.
func (v *Verifier) explainSecrets(r *Request, now time.Time) string {
	for i, secret := range v.secrets {
		for _, try := range []struct{ text, words string }{
			{strings.TrimSpace(secret.text), "has white space or a newline around it"},
			{strings.TrimPrefix(secret.text, "whsec_"), "must be written without whsec_"},
			{"whsec_" + secret.text, "must be written with whsec_"},
		} {
			if try.text == secret.text || try.text == "" {
				continue
			}
			other, err := v.record.Compile(Options{Secrets: []Secret{NewSecret(try.text)}})
			if err != nil {
				continue
			}
			if _, err := other.Verify(r, now); err == nil {
				return fmt.Sprintf("secret %d %s", i+1, try.words)
			}
		}
	}
	return ""
}

// bodyChanges are what proxies and frameworks do to bodies.
var bodyChanges = []struct {
	words string
	apply func([]byte) []byte
}{
	{"with the trailing newline removed", func(b []byte) []byte { return bytes.TrimRight(b, "\r\n") }},
	{"with a newline at the end", func(b []byte) []byte { return append(bytes.Clone(b), '\n') }},
	{"with CRLF for each newline", func(b []byte) []byte {
		return bytes.ReplaceAll(bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))
	}},
	{"with newlines for each CRLF", func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n")) }},
}
