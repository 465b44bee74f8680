package handler

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-webhooks/caddy-webhooks/gateway"
	"github.com/caddy-webhooks/caddy-webhooks/store"
	"github.com/caddy-webhooks/caddy-webhooks/verify"
)

func TestEveryErrorHasItsStatusAndItsReason(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		err    error
		status int
		reason string
	}{
		{"wrong method", verify.ErrMethod, 405, verify.Reason(verify.ErrMethod)},
		{"wrong signature", verify.ErrMismatch, 401, verify.Reason(verify.ErrMismatch)},
		{"too large", errTooLarge, 413, "too_large"},
		{"too large for the store", store.ErrTooLarge, 413, "too_large"},
		{"broken off", errIncomplete, 408, "incomplete"},
		{"another handler's status", caddyhttp.Error(422, errors.New("x")), 422, "body"},
		{"an error with a status of success", caddyhttp.Error(200, errors.New("x")), 503, store.Reason(errors.New("x"))},
		{"too many bodies", gateway.ErrInflight, 503, "inflight"},
		{"store full", store.ErrFull, 503, store.Reason(store.ErrFull)},
		{"store closing", store.ErrClosed, 503, store.Reason(store.ErrClosed)},
		{"anything else", errors.New("x"), 503, store.Reason(errors.New("x"))},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			err := fmt.Errorf("taking it: %w", test.err)
			if got := statusOf(err); got != test.status {
				t.Errorf("status %d, want %d", got, test.status)
			}
			if got := reasonOf(err); got != test.reason {
				t.Errorf("reason %q, want %q", got, test.reason)
			}
		})
	}
}

func TestAnErrorOfReadingKeepsItsStatus(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		err  error
		want int
	}{
		{"a limit of the server", &http.MaxBytesError{Limit: 1}, 413},
		{"a status", caddyhttp.Error(422, io.EOF), 422},
		{"a cut connection", io.ErrUnexpectedEOF, 408},
	}
	for _, test := range tests {
		if got := statusOf(bodyError(test.err)); got != test.want {
			t.Errorf("%s: status %d, want %d", test.name, got, test.want)
		}
	}
}

func TestAnEchoIsNeverTakenForAPage(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	reply(w, handshake, verify.Answer{Status: 200, Type: "text/plain", Body: "<b>"})
	want := map[string]string{
		"Webhook-Status": "handshake", "Content-Type": "text/plain",
		"X-Content-Type-Options": "nosniff", "Content-Length": "3",
	}
	for name, value := range want {
		if got := w.Header().Get(name); got != value {
			t.Errorf("%s: %q, want %q", name, got, value)
		}
	}
	if w.Code != 200 || w.Body.String() != "<b>" {
		t.Errorf("got %d %q", w.Code, w.Body)
	}
}
