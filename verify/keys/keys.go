// Package keys gets the public keys that providers publish: sets of keys, single
// keys and certificates, over HTTPS only. What was got is kept; what could not be
// got is not asked for again at once. However many requests need a key, and
// whatever they name, the provider's server is asked seldom.
package keys

import (
	"bytes"
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/caddy-webhooks/caddy-webhooks/verify"
)

const (
	// timeout bounds one fetch: providers wait only some seconds for an answer.
	timeout = 5 * time.Second
	// maxAnswer bounds what is read of an answer, in bytes.
	maxAnswer = 256 << 10
	// maxKept bounds the answers that are kept.
	maxKept = 256

	// minFresh and maxFresh bound how long an answer counts as fresh, whatever the
	// server says, and usualFresh is for servers that say nothing.
	minFresh   = 5 * time.Minute
	usualFresh = time.Hour
	maxFresh   = 24 * time.Hour
	// stale is how long an answer is used beyond that while the server is down.
	stale = 24 * time.Hour
	// again is how long after a failure the same is not asked for again.
	again = 10 * time.Second
	// newer is how long after an answer the server is not asked whether there is a
	// key that the answer did not hold.
	newer = time.Minute

	// burst and refill bound the fetches from one host, burstAll and refillAll
	// those from all, whatever strangers name.
	burst     = 20
	refill    = 6 * time.Second
	burstAll  = 60
	refillAll = 2 * time.Second
)

// Fetcher gets keys. It is safe for concurrent use, and starts no goroutines of
// its own.
type Fetcher struct {
	client *http.Client
	roots  *x509.CertPool

	flights singleflight.Group
	mu      sync.Mutex
	kept    map[string]*answer
	budgets map[string]*budget
	all     budget
}

// Options of a [Fetcher].
type Options struct {
	// Transport is what requests go through. Default: HTTPS with the system's
	// roots, and the proxy of the environment.
	Transport http.RoundTripper
	// Roots are what chains of signing certificates must lead to. Default: the
	// system's.
	Roots *x509.CertPool
}

// New makes a fetcher.
func New(o Options) *Fetcher {
	if o.Transport == nil {
		o.Transport = &http.Transport{
			Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10,
			TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}, TLSHandshakeTimeout: timeout,
		}
	}
	return &Fetcher{
		client: &http.Client{
			Transport: o.Transport, Timeout: timeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		roots: o.Roots, kept: map[string]*answer{}, budgets: map[string]*budget{},
	}
}

// answer is what a server said, and when.
type answer struct {
	keys  []named
	until time.Time // fresh
	asked time.Time
	// failed tells that it could not be asked; keys are then those from before.
	failed error
	// refused tells that the server's answer cannot be trusted, or was that there
	// is no such key.
	refused error
	// ends is when the last of a certificate's keys ends.
	ends time.Time
}

// named is a key of a set.
type named struct {
	kid    string
	public crypto.PublicKey
}

// Get implements [verify.Keys].
func (f *Fetcher) Get(q verify.KeyQuery, now time.Time) ([]crypto.PublicKey, error) {
	name := q.URL + "\n" + string(q.Ask)
	if a := f.known(name); a != nil {
		if found := a.find(q.KID); a.usable(found, now) {
			return found, a.refused
		}
	}
	got, err, _ := f.flights.Do(name, func() (any, error) { return f.ask(q, name, now) })
	if err != nil {
		return nil, err //nolint:wrapcheck // it is our own
	}
	a, ok := got.(*answer)
	if !ok {
		return nil, verify.ErrKeys
	}
	found := a.find(q.KID)
	if a.failed != nil && len(found) == 0 {
		return nil, a.failed
	}
	return found, a.refused
}

func (f *Fetcher) known(name string) *answer {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.kept[name]
}

// usable tells whether an answer still holds. One without the key that is looked
// for is asked again soon: keys are rotated.
func (a *answer) usable(found []crypto.PublicKey, now time.Time) bool {
	switch {
	case a.failed != nil:
		return len(found) > 0 && now.Sub(a.asked) < again && a.valid(now)
	case len(found) == 0 && a.refused == nil:
		return false
	}
	return now.Before(a.until) && !now.Before(a.asked.Add(-newer)) && a.valid(now)
}

func (a *answer) valid(now time.Time) bool { return a.ends.IsZero() || now.Before(a.ends) }

// find gives the keys of a name; all for an empty one, and those without a name.
func (a *answer) find(kid string) []crypto.PublicKey {
	var found []crypto.PublicKey
	for _, k := range a.keys {
		if kid == "" || k.kid == kid || k.kid == "" {
			found = append(found, k.public)
		}
	}
	return found
}

// ask gets an answer from the server, unless it was asked just now.
func (f *Fetcher) ask(q verify.KeyQuery, name string, now time.Time) (*answer, error) {
	before := f.known(name)
	if before != nil {
		switch since := now.Sub(before.asked); {
		case before.failed != nil && since >= 0 && since < again:
			return before, nil
		case before.lacks(q.KID) && since >= 0 && since < newer:
			// A new key may have come since; the sender is to come again.
			return nil, fmt.Errorf("%w: %s had no key %q a moment ago", verify.ErrKeys, hostOf(q.URL), clip(q.KID))
		}
	}
	if !f.spend(hostOf(q.URL), now) {
		return nil, fmt.Errorf("%w: %s is asked too often", verify.ErrKeys, hostOf(q.URL))
	}
	a := f.fetch(q, now)
	if a.failed != nil {
		a.fallBack(before, now)
	}
	f.keep(name, a)
	return a, nil
}

// lacks tells whether a server has answered, and had no key of this name.
func (a *answer) lacks(kid string) bool {
	return a.failed == nil && a.refused == nil && len(a.find(kid)) == 0
}

// fallBack takes over the keys from before, unless they are too old.
func (a *answer) fallBack(before *answer, now time.Time) {
	if before != nil && now.Sub(before.until) < stale && before.valid(now) {
		a.keys, a.until, a.ends = before.keys, before.until, before.ends
	}
}

// keep keeps an answer. When there are too many the oldest goes, and one without
// keys before any with: strangers name addresses where there are none.
func (f *Fetcher) keep(name string, a *answer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.kept[name]; !ok && len(f.kept) >= maxKept {
		var worst string
		for n, other := range f.kept {
			if worst == "" || other.before(f.kept[worst]) {
				worst = n
			}
		}
		delete(f.kept, worst)
	}
	f.kept[name] = a
}

// before tells which of two answers is the sooner to go.
func (a *answer) before(b *answer) bool {
	if empty := len(a.keys) == 0; empty != (len(b.keys) == 0) {
		return empty
	}
	return a.asked.Before(b.asked)
}

// errNone is wrapped when a server says that there is no such key.
var errNone = fmt.Errorf("%w: the provider has no such key", verify.ErrMismatch)

// fetch asks the server.
func (f *Fetcher) fetch(q verify.KeyQuery, now time.Time) *answer {
	a := &answer{asked: now, until: now.Add(usualFresh)}
	body, header, err := f.read(q)
	switch {
	case errors.Is(err, errNone):
		a.refused = err
		a.until = now.Add(minFresh)
		return a
	case err != nil:
		a.failed = fmt.Errorf("%w: asking %s: %w", verify.ErrKeys, hostOf(q.URL), err)
		return a
	}
	a.until = now.Add(freshness(header))
	switch {
	case q.Certificate:
		a.keys, a.ends, err = f.certificate(body, q, now)
	case q.At != "":
		a.keys, err = single(body, q.At)
	default:
		a.keys, err = set(body)
	}
	switch {
	case errors.Is(err, verify.ErrRejected):
		a.refused = err
	case err != nil: // a maintenance page with status 200 says nothing about keys
		a.failed = fmt.Errorf("%w: %s: %w", verify.ErrKeys, hostOf(q.URL), err)
	}
	return a
}

// read gets the bytes of an answer.
func (f *Fetcher) read(q verify.KeyQuery) ([]byte, http.Header, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	method, body := http.MethodGet, io.Reader(http.NoBody)
	if q.Ask != nil {
		method, body = http.MethodPost, bytes.NewReader(q.Ask)
	}
	req, err := http.NewRequestWithContext(ctx, method, q.URL, body)
	if err != nil || req.URL.Scheme != "https" {
		return nil, nil, errors.New("its address is no https URL")
	}
	if q.Ask != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := f.client.Do(req)
	if err != nil {
		return nil, nil, withoutURL(err)
	}
	defer resp.Body.Close() //nolint:errcheck // nothing was written
	switch {
	case resp.StatusCode == http.StatusNotFound, resp.StatusCode == http.StatusGone, resp.StatusCode == http.StatusBadRequest:
		return nil, nil, fmt.Errorf("%w: status %d", errNone, resp.StatusCode)
	case resp.StatusCode != http.StatusOK:
		return nil, nil, fmt.Errorf("status %d", resp.StatusCode)
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, nil, fmt.Errorf("reading the answer: %w", err)
	case len(text) > maxAnswer:
		return nil, nil, fmt.Errorf("the answer has more than %d bytes", maxAnswer)
	}
	return text, resp.Header, nil
}

// Visit gets an address once, as a provider asks it to be got, and is satisfied
// with any 2xx. The error wraps [verify.ErrKeys].
func (f *Fetcher) Visit(address string, now time.Time) error {
	if !f.spend(hostOf(address), now) {
		return fmt.Errorf("%w: %s is asked too often", verify.ErrKeys, hostOf(address))
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return fmt.Errorf("%w: no address", verify.ErrKeys)
	}
	resp, err := f.client.Do(req)
	if err != nil {
		return fmt.Errorf("%w: asking %s: %w", verify.ErrKeys, hostOf(address), withoutURL(err))
	}
	defer resp.Body.Close() //nolint:errcheck // nothing was written
	if _, err := io.Copy(io.Discard, io.LimitReader(resp.Body, maxAnswer)); err != nil || resp.StatusCode/100 != 2 {
		return fmt.Errorf("%w: %s answered %d", verify.ErrKeys, hostOf(address), resp.StatusCode)
	}
	return nil
}

// withoutURL drops the address from an error: it may hold a token.
func withoutURL(err error) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		return wrapped.Err
	}
	return err
}

func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "an address that cannot be read"
	}
	return u.Host
}

func clip(s string) string { return s[:min(len(s), 64)] }
