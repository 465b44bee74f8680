package verify

import (
	"bytes"
	"fmt"
	"iter"
	"net/url"
	"strings"
)

// mostSecrets bounds the secrets that are written anew in one diagnosis.
const mostSecrets = 4

// textChanges are the usual accidents with a secret's text: what was meant, made
// of what is configured.
var textChanges = []struct {
	reason, words string
	apply         func(string) string
}{
	{ReasonSecretSpace, "has white space or a newline around it: remove it", strings.TrimSpace},
	{ReasonSecretSpace, "lacks the newline with which it was entered at the provider: enter it there again without", func(s string) string {
		return strings.TrimRight(s, "\r\n") + "\n"
	}},
	{ReasonSecretSpace, "lacks the line end (CR LF) with which it was entered at the provider: enter it there again without", func(s string) string {
		return strings.TrimRight(s, "\r\n") + "\r\n"
	}},
	{ReasonSecretSpace, "lacks a blank that stands behind it at the provider: enter it there again without", func(s string) string {
		return strings.TrimSpace(s) + " "
	}},
	{ReasonSecretSpace, "lacks a blank that stands before it at the provider: enter it there again without", func(s string) string {
		return " " + strings.TrimSpace(s)
	}},
	{ReasonSecretSpace, "has white space within: remove it", func(s string) string { return strings.Join(strings.Fields(s), "") }},
	{ReasonSecretSpace, `ends with \n as two characters: remove them`, func(s string) string { return strings.TrimSuffix(s, `\n`) }},
	{ReasonSecretForm, "stands in quotes: remove them", unquoted},
	{ReasonSecretForm, "must be written without whsec_", func(s string) string { return strings.TrimPrefix(s, "whsec_") }},
	{ReasonSecretForm, "must be written with whsec_", func(s string) string { return "whsec_" + strings.TrimPrefix(s, "whsec_") }},
	{ReasonSecretForm, "must be written without Bearer", func(s string) string { return strings.TrimPrefix(s, "Bearer ") }},
	{ReasonSecretForm, "is written percent-encoded: decode it", func(s string) string {
		plain, err := url.PathUnescape(s)
		if err != nil {
			return s
		}
		return plain
	}},
}

func unquoted(s string) string {
	s = strings.TrimSpace(s)
	if len(s) > 2 && s[0] == s[len(s)-1] && strings.ContainsRune("\"'`", rune(s[0])) {
		return s[1 : len(s)-1]
	}
	return s
}

// forms are the other ways to make a key of a text, with the words for them.
var forms = []struct{ form, words string }{
	{"utf8", "as it is written"},
	{"base64", "decoded from base64"},
	{"whsec", "decoded from base64 behind whsec_"},
	{"hex", "decoded from hexadecimal"},
}

// shared are the secrets that are tried anew, and what they are called.
func (x *inquiry) shared() iter.Seq2[string, Secret] {
	return func(yield func(string, Secret) bool) {
		n := len(x.v.secrets)
		for i, secret := range append(x.v.secrets[:n:n], x.Own...) {
			name := fmt.Sprintf("secret %d", i+1)
			if i >= n {
				name = "the request's own secret"
			}
			if i == mostSecrets || !yield(name, secret) {
				return
			}
		}
	}
}

// secretTexts tries the usual accidents with a secret's text.
func (x *inquiry) secretTexts() iter.Seq[guess] {
	return func(yield func(guess) bool) {
		for name, secret := range x.shared() {
			for _, change := range textChanges {
				text := change.apply(secret.text)
				if text == secret.text || text == "" {
					continue
				}
				v := x.v.rekeyed(func(s *scheme) []key { return s.newKeys(text, s.SecretForm, secret) })
				if v != nil && !yield(guess{v, x.Request, change.reason, name + " " + change.words}) {
					return
				}
			}
		}
	}
}

// secretForms tries other ways to make a key of a secret's text.
func (x *inquiry) secretForms() iter.Seq[guess] {
	return func(yield func(guess) bool) {
		for name, secret := range x.shared() {
			for _, f := range forms {
				v := x.v.rekeyed(func(s *scheme) []key { return s.newKeys(secret.text, f.form, secret) })
				text := fmt.Sprintf("the sender takes %s %s, and this configuration does not: %s", name, f.words, x.otherForm(f.form))
				if v != nil && !yield(guess{v, x.Request, ReasonSecretForm, text}) {
					return
				}
			}
		}
	}
}

// otherForm says what to do about a secret's form.
func (x *inquiry) otherForm(form string) string {
	if x.v.record.Generic {
		return "write `secret_form " + form + "`"
	}
	return "is it another provider than " + x.v.record.Name + "?"
}

// newKeys gives the key of a text in a form, unless it is the key of the secret
// itself. Public keys are left alone: a wrong one is another one.
func (s *scheme) newKeys(text, form string, secret Secret) []key {
	if s.asymmetric() || s.Kind == "none" || form == "sha1" && s.SecretForm != "sha1" {
		return nil
	}
	other := *s
	other.SecretForm = form
	k, err := other.key(0, NewSecret(text))
	if err != nil {
		return nil
	}
	if known, err := secret.key(s.SecretForm); err == nil && bytes.Equal(known, k.bytes) {
		return nil
	}
	return []key{k}
}
