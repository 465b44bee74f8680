package cli

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/caddy-webhooks/caddy-webhooks/verify"
	"github.com/caddy-webhooks/caddy-webhooks/verify/providers"
)

// vector is a request that somebody else has signed.
type vector struct {
	Secrets   []string
	Options   map[string][]string
	At        time.Time
	Method    string
	URL       string
	Headers   [][2]string
	Body      string
	Base64    string
	Handshake string
	ID, Type  string
}

func (v vector) bytes(t *testing.T) []byte {
	t.Helper()
	if v.Base64 == "" {
		return []byte(v.Body)
	}
	b, err := base64.StdEncoding.DecodeString(v.Base64)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// proven tells whether the vector verifies here: some need what a server publishes.
func (v vector) proven(t *testing.T, r *verify.Record) bool {
	t.Helper()
	o := verify.Options{Params: v.Options}
	for _, s := range v.Secrets {
		o.Secrets = append(o.Secrets, verify.NewSecret(s))
	}
	verifier, err := r.Compile(o)
	if err != nil {
		return false
	}
	q := &verify.Request{Method: v.Method, URL: v.URL, Header: http.Header{}, Body: v.bytes(t)}
	for _, h := range v.Headers {
		q.Header.Add(h[0], h[1])
	}
	u, err := url.Parse(v.URL)
	if err != nil {
		t.Fatal(err)
	}
	q.Query = u.Query()
	_, err = verifier.Verify(q, v.At)
	return err == nil
}

// captures are the vector in each of the shapes in which it may be captured.
func (v vector) captures(t *testing.T) map[string]string {
	t.Helper()
	body := v.bytes(t)
	u, err := url.Parse(v.URL)
	if err != nil {
		t.Fatal(err)
	}
	wire := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n", v.Method, u.RequestURI(), u.Host, len(body))
	curl := fmt.Sprintf("curl %s -X %s", quoted(v.URL), v.Method)
	headers := []map[string]string{}
	typed := false
	for _, h := range v.Headers {
		wire += h[0] + ": " + h[1] + "\r\n"
		if h[1] == "" {
			curl += " -H " + quoted(h[0]+";")
		} else {
			curl += " -H " + quoted(h[0]+": "+h[1])
		}
		headers = append(headers, map[string]string{"name": h[0], "value": h[1]})
		typed = typed || strings.EqualFold(h[0], "Content-Type")
	}
	if !typed {
		curl += " -H Content-Type:"
	}
	var ansi strings.Builder
	for _, b := range body {
		if b >= ' ' && b <= '~' && b != '\'' && b != '\\' {
			ansi.WriteByte(b)
		} else {
			fmt.Fprintf(&ansi, `\x%02x`, b)
		}
	}
	har, err := json.Marshal(map[string]any{"log": map[string]any{"entries": []any{map[string]any{"request": map[string]any{
		"method": v.Method, "url": v.URL, "headers": headers,
		"postData": map[string]any{"encoding": "base64", "text": base64.StdEncoding.EncodeToString(body)},
	}}}}})
	if err != nil {
		t.Fatal(err)
	}
	return map[string]string{"HTTP": wire + "\r\n" + string(body), "curl": curl + " --data-binary $'" + ansi.String() + "'", "HAR": string(har)}
}

func (v vector) arguments(provider string) []string {
	args := []string{"verify", provider, "--json", "--at", v.At.Format(time.RFC3339Nano), "--entry", "1", "--url", v.URL}
	for _, s := range v.Secrets {
		args = append(args, "--secret", s)
	}
	for name, values := range v.Options {
		args = append(args, "--option", name+"="+strings.Join(values, " "))
	}
	return args
}

func TestWhatOthersSignedVerifiesFromEveryKindOfCapture(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../verify/providers/testdata/vectors/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var list []vector
		if err := yaml.Unmarshal(text, &list); err != nil {
			t.Fatal(file, err)
		}
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		r, ok := providers.Get(name)
		if !ok {
			t.Fatalf("no provider %s", name)
		}
		for _, v := range list {
			if v.Method == "" {
				v.Method = http.MethodPost
			}
			if !v.proven(t, r) {
				continue
			}
			n++
			v.check(t, name)
		}
	}
	if n < 100 {
		t.Errorf("only %d vectors", n)
	}
}

func (v vector) check(t *testing.T, provider string) {
	t.Helper()
	for shape, capture := range v.captures(t) {
		out, _, err := webhooksReading(t, capture, v.arguments(provider)...)
		var got result
		if err != nil || json.Unmarshal([]byte(out), &got) != nil || !got.Verified {
			t.Errorf("%s, %s: %v\n%s\n%s", provider, shape, err, out, capture)
			continue
		}
		if got.Handshake != v.Handshake || v.Handshake == "" && (v.ID != "" && got.ID != v.ID || v.Type != "" && got.Type != v.Type) {
			t.Errorf("%s, %s: %s; want handshake %q, or %q of type %q", provider, shape, out, v.Handshake, v.ID, v.Type)
		}
	}
}
