package caddyfile_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	_ "github.com/caddyserver/caddy/v2/modules/filestorage"
	_ "github.com/caddyserver/caddy/v2/modules/metrics"

	_ "github.com/caddy-webhooks/caddy-webhooks/admin"
	"github.com/caddy-webhooks/caddy-webhooks/internal/testkit"
)

// formed are the variables of the examples whose secrets have a form; all others
// may be any text.
func formed(t *testing.T, dir string) map[string]string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return map[string]string{
		"SENDGRID_PUBLIC_KEY": base64.StdEncoding.EncodeToString(public),
		"DISCORD_PUBLIC_KEY":  strings.Repeat("e3", 32),
		"WEBHOOK_SECRET":      "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
		"QUICKSTART_DATA":     dir,
		"PHP_ROOT":            dir,
		"PHP_FPM":             "unix/" + dir + "/fpm.sock",
	}
}

// authority writes a certificate that others can be signed with.
func authority(t *testing.T, path string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

// load has Caddy build all that a Caddyfile says, without running it. What it
// names of the reader's own machine lies in dir.
func load(dir, text string) error {
	text = strings.NewReplacer("/etc/webhooks/app-ca.pem", dir+"/ca.pem", "/var/lib/webhooks", dir+"/store").Replace(text)
	adapted, err := adapt([]byte(text))
	if err != nil {
		return err
	}
	var c caddy.Config
	if err := json.Unmarshal(adapted, &c); err != nil {
		return err //nolint:wrapcheck // printed
	}
	c.Admin = &caddy.AdminConfig{Disabled: true}
	c.StorageRaw = json.RawMessage(`{"module":"file_system","root":"` + dir + `"}`)
	c.Logging = &caddy.Logging{Logs: map[string]*caddy.CustomLog{"default": {BaseLog: caddy.BaseLog{WriterRaw: json.RawMessage(`{"output":"discard"}`)}}}}
	return caddy.Validate(&c) //nolint:wrapcheck // printed
}

// written are the Caddyfiles of pages and examples, by their place. Those of the
// providers' pages are loaded by the tests of internal/providerdocs.
func written(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, file := range examples(t) {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		found[file] = string(data)
	}
	for _, file := range testkit.Pages(t) {
		if filepath.Base(filepath.Dir(file)) == "providers" {
			continue
		}
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range fence.FindAllSubmatchIndex(data, -1) {
			line := 1 + bytes.Count(data[:block[2]], []byte("\n"))
			found[fmt.Sprint(file, ":", line)] = string(data[block[2]:block[3]])
		}
	}
	return found
}

// What adapts need not load: options of providers, forms of secrets and relations
// between settings are looked at then. It is not parallel: the secrets stand in
// the environment.
func TestEveryCaddyfileOfDocsAndExamplesLoads(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("XDG_DATA_HOME", dir)
	authority(t, filepath.Join(dir, "ca.pem"))
	known := formed(t, dir)
	variable := regexp.MustCompile(`\{(?:env\.|\$)(\w+)\}`)
	all := written(t)
	if len(all) < 35 {
		t.Errorf("only %d were found", len(all))
	}
	for place, text := range all {
		t.Run(place, func(t *testing.T) {
			for _, m := range variable.FindAllStringSubmatch(text, -1) {
				value, ok := known[m[1]]
				if !ok {
					value = "It's a Secret to Everybody"
				}
				t.Setenv(m[1], value)
			}
			if err := load(dir, text); err != nil {
				t.Error(err)
			}
		})
	}
}
