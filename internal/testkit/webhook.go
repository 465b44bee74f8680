package testkit

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// Post sends one GitHub webhook, signed with secret, and gives status and headers.
func Post(url, secret, id string, body []byte) (int, http.Header, error) {
	req, err := Signed(url, secret, id, body)
	if err != nil {
		return 0, nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, resp.Header, err
}

// client follows no redirects, and keeps enough connections for a load.
var client = &http.Client{
	Transport:     &http.Transport{MaxIdleConnsPerHost: 256},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// Signed makes the request of [Post].
func Signed(url, secret, id string, body []byte) (*http.Request, error) {
	req, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(body)) //nolint:noctx // bounded by the test
	if err != nil {
		return nil, err
	}
	mac := hmac.New(sha256.New, []byte(secret))
	_, _ = mac.Write(body)
	req.Header.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	req.Header.Set("X-GitHub-Delivery", id)
	req.Header.Set("X-GitHub-Event", "push")
	req.Header.Set("Content-Type", "application/json")
	return req, nil
}

// Got is one request as the application got it.
type Got struct {
	Method, URI, Host string
	Header            http.Header
	Body              []byte
}

// ID is the provider's.
func (g Got) ID() string { return g.Header.Get("X-GitHub-Delivery") }

// App is an application behind the gateway. It notes everything it gets.
type App struct {
	*httptest.Server

	mu     sync.Mutex
	got    []Got
	answer http.HandlerFunc
}

// NewApp starts an application that answers 200.
func NewApp(t testing.TB) *App {
	t.Helper()
	a := new(App)
	a.Server = httptest.NewServer(http.HandlerFunc(a.serve))
	t.Cleanup(func() {
		a.CloseClientConnections()
		a.Close()
	})
	return a
}

func (a *App) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	a.mu.Lock()
	a.got = append(a.got, Got{r.Method, r.RequestURI, r.Host, r.Header.Clone(), body})
	answer := a.answer
	a.mu.Unlock()
	if answer != nil {
		answer(w, r)
	}
}

// Addr is host:port.
func (a *App) Addr() string { return a.Listener.Addr().String() }

// Answer sets how requests are answered from now on; nil: 200.
func (a *App) Answer(f http.HandlerFunc) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.answer = f
}

// Got lists what the application has got so far.
func (a *App) Got() []Got {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]Got(nil), a.got...)
}

// Times tells how often each provider ID has come.
func (a *App) Times() map[string]int {
	n := map[string]int{}
	for _, g := range a.Got() {
		n[g.ID()]++
	}
	return n
}
