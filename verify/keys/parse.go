package keys

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/tidwall/gjson"

	"github.com/caddy-webhooks/caddy-webhooks/verify"
)

// set reads a set of keys (RFC 7517). Keys that are for encryption, that are
// private or shared, or that cannot be read are left out.
func set(text []byte) ([]named, error) {
	var raw struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(text, &raw); err != nil || raw.Keys == nil {
		return nil, errors.New("the answer is no set of keys")
	}
	var keys []named
	for _, one := range raw.Keys {
		if k, ok := public(one); ok {
			keys = append(keys, k)
		}
	}
	return keys, nil
}

func public(text []byte) (named, bool) {
	var k jose.JSONWebKey
	if json.Unmarshal(text, &k) != nil || !k.Valid() || !k.IsPublic() || k.Use != "" && k.Use != "sig" {
		return named{}, false
	}
	return named{kid: k.KeyID, public: k.Key}, true
}

// single reads one key that stands within an answer. One that the provider has
// ended is refused.
func single(text []byte, at string) ([]named, error) {
	found := gjson.GetBytes(text, at)
	if !json.Valid(text) || !found.IsObject() {
		return nil, errors.New("the answer holds no key")
	}
	if ended := found.Get("expired_at"); ended.Exists() && ended.Type != gjson.Null {
		return nil, fmt.Errorf("%w: the provider has ended this key", verify.ErrMismatch)
	}
	k, ok := public([]byte(found.Raw))
	if !ok {
		return nil, errors.New("the answer's key cannot be read")
	}
	k.kid = "" // it was asked for by its name
	return []named{k}, nil
}

// certificate reads a certificate, and tells until when it counts. It must be
// issued for one of the names and, with its chain, by somebody whom we trust.
func (f *Fetcher) certificate(text []byte, q verify.KeyQuery, now time.Time) ([]named, time.Time, error) {
	var chain []*x509.Certificate
	for rest := bytes.TrimSpace(text); len(chain) < 10; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, time.Time{}, errors.New("the answer is no certificate")
		}
		chain = append(chain, c)
	}
	if len(chain) == 0 {
		return nil, time.Time{}, errors.New("the answer is no certificate")
	}
	leaf := chain[0]
	switch {
	case now.Before(leaf.NotBefore), now.After(leaf.NotAfter):
		return nil, time.Time{}, fmt.Errorf("%w: the certificate is valid from %s to %s", verify.ErrMismatch, leaf.NotBefore, leaf.NotAfter)
	case !issuedFor(leaf, q.Names):
		return nil, time.Time{}, fmt.Errorf("%w: the certificate is not for %s", verify.ErrMismatch, strings.Join(q.Names, " or "))
	}
	if q.Chain {
		o := x509.VerifyOptions{
			Roots: f.roots, Intermediates: x509.NewCertPool(), CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
		}
		for _, c := range chain[1:] {
			o.Intermediates.AddCert(c)
		}
		if _, err := leaf.Verify(o); err != nil {
			return nil, time.Time{}, fmt.Errorf("%w: the certificate's issuer is not trusted: %w", verify.ErrMismatch, err)
		}
	}
	return []named{{public: leaf.PublicKey}}, leaf.NotAfter, nil
}

// issuedFor tells whether a certificate is for one of the names, which are
// compared as a whole.
func issuedFor(c *x509.Certificate, names []string) bool {
	return slices.ContainsFunc(names, func(name string) bool {
		return c.Subject.CommonName == name || slices.Contains(c.DNSNames, name)
	})
}

// freshness is how long an answer may be used, as its server says, within bounds.
func freshness(h http.Header) time.Duration {
	for part := range strings.SplitSeq(h.Get("Cache-Control"), ",") {
		text, ok := strings.CutPrefix(strings.TrimSpace(strings.ToLower(part)), "max-age=")
		if !ok {
			continue
		}
		if seconds, err := strconv.Atoi(text); err == nil && seconds >= 0 && seconds < 1<<31 {
			return min(max(time.Duration(seconds)*time.Second, minFresh), maxFresh)
		}
	}
	return usualFresh
}
