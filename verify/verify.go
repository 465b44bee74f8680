// Package verify answers one question: is the sender who it claims to be?
//
// A [Record] describes how a provider signs, as data; the records themselves
// are in verify/providers. [Record.Compile] makes a [Verifier] of a record and an
// operator's secrets, and [Verifier.Verify] takes a request and the time. The
// package has no I/O, keeps no state and knows nothing of Caddy.
package verify

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// ErrRejected is wrapped by every error with which a request is refused.
var ErrRejected = errors.New("rejected")

// Why a request is refused. Each wraps [ErrRejected].
var (
	// ErrMissing is returned when a header that must be there is not, or is empty.
	ErrMissing = fmt.Errorf("%w: signature missing", ErrRejected)
	// ErrFormat is returned when the signature or timestamp cannot be read.
	ErrFormat = fmt.Errorf("%w: signature malformed", ErrRejected)
	// ErrMismatch is returned when no signature fits any secret.
	ErrMismatch = fmt.Errorf("%w: signature does not match", ErrRejected)
	// ErrExpired is returned when a good signature's timestamp is too old.
	ErrExpired = fmt.Errorf("%w: timestamp too old", ErrRejected)
	// ErrFuture is returned when a good signature's timestamp lies ahead of our clock.
	ErrFuture = fmt.Errorf("%w: timestamp in the future", ErrRejected)
	// ErrNoSecret is returned when a request's own secret is empty.
	ErrNoSecret = fmt.Errorf("%w: no secret for this request", ErrRejected)
	// ErrMethod is returned for a method that the provider does not use.
	ErrMethod = fmt.Errorf("%w: method not allowed", ErrRejected)
)

// Reason gives the word for an error that the metrics' `reason` label uses; the
// set is closed.
func Reason(err error) string {
	for _, r := range []struct {
		err  error
		word string
	}{
		{ErrMissing, "missing"},
		{ErrFormat, "format"},
		{ErrMismatch, "mismatch"},
		{ErrExpired, "expired"},
		{ErrFuture, "future"},
		{ErrNoSecret, "no_secret"},
		{ErrMethod, "method"},
	} {
		if errors.Is(err, r.err) {
			return r.word
		}
	}
	return "other"
}

// Request is what is checked: the request as it was received.
type Request struct {
	Method string
	// URL is the public URL as the sender used it, for schemes that sign it.
	URL    string
	Header http.Header
	Query  url.Values
	Body   []byte
}

// Verdict tells how a request was proven.
type Verdict struct {
	// Secret is the index of the secret that fits; secrets of the request come
	// after the configured ones.
	Secret int
	// Digest is a short digest of that secret, to recognise it later.
	Digest string
	// Time is the signed timestamp; zero if the scheme has none.
	Time time.Time
}
