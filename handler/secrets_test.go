package handler

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-webhooks/caddy-webhooks/verify"
)

func secretFile(t *testing.T, value string) (path, text string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "key")
	write(t, path, value)
	return path, "{file." + path + "}"
}

func write(t *testing.T, path, value string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(value), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestASecretThatIsNothingDoesNotLoad(t *testing.T) {
	t.Parallel()
	_, empty := secretFile(t, "")
	_, blank := secretFile(t, " \n")
	for _, text := range []string{
		"", " ", empty, blank, "{file./nowhere/at/all}", "{env.SURELY_NOT_SET_HERE}", "{unknown.thing}", "{json.key}",
	} {
		if s, err := newSecrets([]string{"good", text}); err == nil {
			t.Errorf("%q loaded: %d secrets", text, len(s.fixed))
		} else if !strings.Contains(err.Error(), "secret 2") {
			t.Errorf("%q: %q does not say which", text, err)
		}
	}
}

func TestAnErrorShowsNoLiteralPartOfASecret(t *testing.T) {
	t.Parallel()
	_, err := newSecrets([]string{"sesame{env.SURELY_NOT_SET_HERE}"})
	if err == nil || strings.Contains(err.Error(), "sesame") {
		t.Errorf("got %v", err)
	}
}

func TestASecretOfTheRequestIsResolvedPerRequest(t *testing.T) {
	t.Parallel()
	s, err := newSecrets([]string{"{http.vars.tenant}"})
	if err != nil {
		t.Fatal(err)
	}
	for _, value := range []string{"one", "two", "{env.HOME}"} {
		repl := caddy.NewReplacer()
		repl.Set("http.vars.tenant", value)
		if got := s.own(repl); !slices.Equal(got, []verify.Secret{verify.NewSecret(value)}) {
			t.Errorf("%q was not taken as it came", value)
		}
	}
}

func TestAFileIsReadAgainAtMostOnceASecond(t *testing.T) {
	t.Parallel()
	path, text := secretFile(t, "old")
	s, err := newSecrets([]string{text})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1_700_000_000, 0)
	if _, changed, err := s.reread(now); changed || err != nil {
		t.Fatalf("an unchanged file: %v, %v", changed, err)
	}
	write(t, path, "new")
	if _, changed, _ := s.reread(now.Add(lookAgain - 1)); changed {
		t.Error("the file was read twice within a second")
	}
	fresh, changed, err := s.reread(now.Add(lookAgain))
	if err != nil || !changed || !slices.Equal(fresh, []verify.Secret{verify.NewSecret("new")}) {
		t.Errorf("the new secret was not taken: %v, %v", changed, err)
	}
}

func TestABadNewValueKeepsTheOldSecret(t *testing.T) {
	t.Parallel()
	path, text := secretFile(t, "old")
	s, err := newSecrets([]string{text})
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, "")
	if _, changed, err := s.reread(time.Now()); changed || err == nil {
		t.Errorf("an empty file: %v, %v", changed, err)
	}
	if !slices.Equal(s.fixed, []verify.Secret{verify.NewSecret("old")}) {
		t.Error("the old secret is gone")
	}
}

func TestAChangeIsReadThoughTheFileWasReadJustBefore(t *testing.T) {
	t.Parallel()
	path, text := secretFile(t, "first")
	s, err := newSecrets([]string{text})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	s.touched(now)
	now = now.Add(lookAgain)
	if _, changed, err := s.reread(now); changed || err != nil { // a signature failed
		t.Fatalf("unchanged file: %v, %v", changed, err)
	}
	write(t, path, "the second")
	if !s.touched(now) {
		t.Fatal("the change was not noticed")
	}
	if fresh, changed, err := s.reread(now); !changed || err != nil || len(fresh) != 1 {
		t.Errorf("the change was noticed and not read: %v, %v", changed, err)
	}
}

func TestAChangedFileIsNoticedWithoutAFailure(t *testing.T) {
	t.Parallel()
	path, text := secretFile(t, "old")
	s, err := newSecrets([]string{"before{env.HOME}", text})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1_700_000_000, 0)
	if s.touched(now) {
		t.Error("an untouched file counts as changed")
	}
	write(t, path, "newer")
	if s.touched(now.Add(lookAgain - 1)) {
		t.Error("the file was looked at twice within a second")
	}
	if !s.touched(now.Add(lookAgain)) || s.touched(now.Add(2*lookAgain)) {
		t.Error("one change is noticed once")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if !s.touched(now.Add(3 * lookAgain)) {
		t.Error("a file that is gone counts as unchanged")
	}
}
