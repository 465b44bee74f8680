package providers_test

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/caddy-webhooks/caddy-webhooks/dedup"
	"github.com/caddy-webhooks/caddy-webhooks/verify"
	"github.com/caddy-webhooks/caddy-webhooks/verify/providers"
)

// vector is one request as a provider, its SDK or its documentation signed it.
type vector struct {
	// Origin says where it comes from: who published or computed it.
	Origin  string              `yaml:"origin"`
	Secrets []string            `yaml:"secrets"`
	Options map[string][]string `yaml:"options"`
	// At is when it arrived.
	At     time.Time `yaml:"at"`
	Method string    `yaml:"method"`
	URL    string    `yaml:"url"`
	// Headers are names and values; a name may come twice.
	Headers [][2]string `yaml:"headers"`
	// Body is the text; Base64 the bytes where no text can hold them.
	Body   string `yaml:"body"`
	Base64 string `yaml:"base64"`
	// Handshake is the name of the handshake that it is, and Answer what we answer.
	// Unsigned tells that it is asked before anything is proven.
	Handshake string `yaml:"handshake"`
	Answer    string `yaml:"answer"`
	Unsigned  bool   `yaml:"unsigned"`
	// ID and Type are what the event is known by.
	ID   string `yaml:"id"`
	Type string `yaml:"type"`
}

func (v *vector) request(t *testing.T) *verify.Request {
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

func vectors(t *testing.T) map[string][]vector {
	t.Helper()
	files, err := filepath.Glob("testdata/vectors/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no vectors: %v", err)
	}
	all := map[string][]vector{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		d := yaml.NewDecoder(strings.NewReader(string(text)))
		d.KnownFields(true)
		var list []vector
		if err := d.Decode(&list); err != nil || len(list) == 0 {
			t.Fatalf("%s: %v, %d vectors", file, err, len(list))
		}
		all[strings.TrimSuffix(filepath.Base(file), ".yaml")] = list
	}
	return all
}

func TestWhatOthersSignedIsProvenAndNamedAndAChangedByteIsNot(t *testing.T) {
	t.Parallel()
	for name, list := range vectors(t) {
		record, ok := providers.Get(name)
		if !ok {
			t.Errorf("there are vectors for %s and no record", name)
			continue
		}
		for _, v := range list {
			t.Run(name+"/"+v.Origin, func(t *testing.T) {
				t.Parallel()
				v.check(t, record)
			})
		}
	}
}

func (v *vector) check(t *testing.T, record *verify.Record) {
	t.Helper()
	if v.Origin == "" || v.At.IsZero() {
		t.Error("a vector needs its origin and its time")
	}
	o := verify.Options{Params: v.Options}
	for _, s := range v.Secrets {
		o.Secrets = append(o.Secrets, verify.NewSecret(s))
	}
	verifier, err := record.Compile(o)
	if err != nil {
		t.Fatal(err)
	}
	r := v.request(t)
	if v.Unsigned {
		if a, handshake, _ := verifier.Greet(r, false); handshake != v.Handshake || a.Body != v.Answer {
			t.Errorf("handshake %q answered %q, want %q and %q", handshake, a.Body, v.Handshake, v.Answer)
		}
		return
	}
	if _, err := verifier.Verify(r, v.At); err != nil {
		t.Fatalf("it is refused: %v", err)
	}
	v.checkNames(t, record, verifier, r)
	if kind := record.Schemes[0].Kind; kind == "token" || kind == "basic" || record.Uncovered != "" || len(r.Body) == 0 {
		return
	}
	changed := v.request(t)
	changed.Body[len(changed.Body)/2] ^= 1
	if _, err := verifier.Verify(changed, v.At); err == nil {
		t.Error("a changed byte in the body is not noticed")
	}
}

func (v *vector) checkNames(t *testing.T, record *verify.Record, verifier *verify.Verifier, r *verify.Request) {
	t.Helper()
	a, handshake, _ := verifier.Greet(r, true)
	if handshake != v.Handshake || a.Body != v.Answer {
		t.Errorf("handshake %q answered %q, want %q and %q", handshake, a.Body, v.Handshake, v.Answer)
	}
	m := dedup.Message{Header: r.Header, Query: r.Query, Body: r.Body}
	if v.ID != "" {
		if id, ok := dedup.Identify(nil, record.ID, m); !ok || id.ProviderID != v.ID {
			t.Errorf("it is called %q (%v), want %q", id.ProviderID, ok, v.ID)
		}
	}
	if v.Type != "" {
		if got := dedup.Value(record.Type, m); got != v.Type {
			t.Errorf("its type is %q, want %q", got, v.Type)
		}
	}
}
