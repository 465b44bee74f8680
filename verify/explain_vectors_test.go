package verify_test

import (
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/caddy-webhooks/caddy-webhooks/verify"
	"github.com/caddy-webhooks/caddy-webhooks/verify/providers"
)

// vector is a request that somebody else has signed, as far as it is needed here.
type vector struct {
	name    string
	Secrets []string
	Options map[string][]string
	At      time.Time
	Method  string
	URL     string
	Headers [][2]string
	Body    string
	Base64  string
}

func (v vector) request(t *testing.T) *verify.Request {
	t.Helper()
	r := &verify.Request{Method: v.Method, URL: v.URL, Header: http.Header{}, Body: []byte(v.Body)}
	if r.Method == "" {
		r.Method = http.MethodPost
	}
	if v.Base64 != "" {
		var err error
		if r.Body, err = base64.StdEncoding.DecodeString(v.Base64); err != nil {
			t.Fatal(err)
		}
	}
	for _, h := range v.Headers {
		r.Header.Add(h[0], h[1])
	}
	u, err := url.Parse(v.URL)
	if err != nil {
		t.Fatal(err)
	}
	r.Query = u.Query()
	return r
}

// proven lists the vectors that verify: some are handshakes without a proof, or
// need what only a server publishes.
func proven(t *testing.T) []vector {
	t.Helper()
	files, err := filepath.Glob("providers/testdata/vectors/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var all []vector
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var list []vector
		if err := yaml.Unmarshal(text, &list); err != nil {
			t.Fatal(file, err)
		}
		for _, v := range list {
			v.name = strings.TrimSuffix(filepath.Base(file), ".yaml")
			if verifier, err := v.compile(v.Secrets); err == nil {
				if _, err := verifier.Verify(v.request(t), v.At); err == nil {
					all = append(all, v)
				}
			}
		}
	}
	if len(all) < 100 {
		t.Fatalf("only %d vectors", len(all))
	}
	return all
}

func (v vector) compile(secrets []string) (*verify.Verifier, error) {
	r, _ := providers.Get(v.name)
	o := verify.Options{Params: v.Options}
	for _, s := range secrets {
		o.Secrets = append(o.Secrets, verify.NewSecret(s))
	}
	return r.Compile(o)
}

// explained gives the diagnosis of a request that has to be refused for its
// signature; ok is false if it is not.
func (v vector) explained(t *testing.T, here *verify.Verifier, r *verify.Request) (d verify.Diagnosis, ok bool) {
	t.Helper()
	_, err := here.Verify(r, v.At)
	if !errors.Is(err, verify.ErrMismatch) {
		return d, false
	}
	d = here.Explain(verify.Refusal{Request: r, Err: err, Now: v.At})
	for _, secret := range v.Secrets {
		if len(secret) > 12 && strings.Contains(d.Words, secret) { // a short one may be a word
			t.Errorf("%s: %q shows a secret", v.name, d.Words)
		}
	}
	return d, true
}

func TestOfEveryProviderAChangedBodyIsRecognised(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, v := range proven(t) {
		here, err := v.compile(v.Secrets)
		if err != nil {
			t.Fatal(err)
		}
		r := v.request(t)
		r.Body = append(r.Body, '\n')
		d, ok := v.explained(t, here, r)
		if !ok {
			continue // the body's end is not signed
		}
		seen[v.name] = true
		if d.Reason != verify.ReasonBodyChanged || !strings.Contains(d.Words, "newline") && !strings.Contains(d.Words, "line end") && !strings.Contains(d.Words, "white space") {
			t.Errorf("%s: %+v", v.name, d)
		}
	}
	t.Logf("%d providers", len(seen))
	if len(seen) < 90 {
		t.Errorf("of %d providers only", len(seen))
	}
}

func TestOfEveryProviderASecretWithANewlineIsRecognised(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, v := range proven(t) {
		var secrets []string
		for _, s := range v.Secrets {
			secrets = append(secrets, s+"\n")
		}
		here, err := v.compile(secrets)
		if err != nil || len(secrets) == 0 {
			continue
		}
		d, ok := v.explained(t, here, v.request(t))
		if !ok {
			continue // decoding overlooks it
		}
		seen[v.name] = true
		if d.Reason != verify.ReasonSecretSpace {
			t.Errorf("%s: %+v", v.name, d)
		}
	}
	t.Logf("%d providers", len(seen))
	if len(seen) < 90 {
		t.Errorf("of %d providers only", len(seen))
	}
}

func TestOfEveryProviderThatSignsItsAddressAWrongOneIsRecognised(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, v := range proven(t) {
		here, err := v.compile(v.Secrets)
		if err != nil {
			t.Fatal(err)
		}
		r := v.request(t)
		r.URL = strings.Replace(r.URL, "https://", "http://", 1)
		d, ok := v.explained(t, here, r)
		if !ok {
			continue
		}
		seen[v.name] = true
		if d.Reason != verify.ReasonWrongURL || !strings.Contains(d.Words, "with https") {
			t.Errorf("%s: %+v", v.name, d)
		}
	}
	for _, name := range []string{"square", "twilio", "hubspot", "hubspot-legacy", "trello", "upstash-qstash", "monday"} {
		if !seen[name] {
			t.Errorf("%s does not mind a wrong address", name)
		}
	}
}

func TestOfEveryProviderAWrongSecretIsNotTakenForSomethingElse(t *testing.T) {
	t.Parallel()
	allowed := []string{verify.ReasonMismatch, verify.ReasonTestMode, verify.ReasonSecretRotated}
	for _, v := range proven(t) {
		var secrets []string
		for _, s := range v.Secrets {
			secrets = append(secrets, "other"+s)
		}
		here, err := v.compile(secrets)
		if err != nil || len(secrets) == 0 {
			continue
		}
		if d, ok := v.explained(t, here, v.request(t)); ok && !slices.Contains(allowed, d.Reason) {
			t.Errorf("%s: %+v", v.name, d)
		}
	}
}
