package handler

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-webhooks/caddy-webhooks/gateway"
)

// Why a body is not taken.
var (
	errTooLarge   = errors.New("body is larger than max_body")
	errIncomplete = errors.New("body did not come whole in time")
)

const (
	// bodyTime is how long a body may take to arrive.
	bodyTime = 30 * time.Second
	// firstChunk is what is charged and allocated before a byte has come, at most.
	firstChunk = 32 << 10
)

// budget is the share of max_inflight that one request has taken.
type budget struct {
	*gateway.Budget
	taken int64
}

func (b *budget) grow(ctx context.Context, to int64) error {
	if to <= b.taken {
		return nil
	}
	if err := b.Take(ctx, to-b.taken); err != nil {
		return err
	}
	b.taken = to
	return nil
}

func (b *budget) free() {
	b.Give(b.taken)
	b.taken = 0
}

// readBody reads a body of at most limit bytes, whole. Memory is charged as it
// arrives, so a sender who announces much and sends nothing holds nothing.
func readBody(w http.ResponseWriter, r *http.Request, limit int64, b *budget) ([]byte, error) {
	if r.ContentLength > limit {
		return nil, errTooLarge
	}
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		return nil, nil
	}
	control := http.NewResponseController(w)
	deadline := control.SetReadDeadline(time.Now().Add(bodyTime)) == nil
	body, err := readAll(r, limit, b)
	if deadline && err == nil {
		_ = control.SetReadDeadline(time.Time{})
	}
	return body, err
}

func readAll(r *http.Request, limit int64, b *budget) ([]byte, error) {
	// One byte more than announced: reading it tells the end without another round.
	size := int64(512)
	if r.ContentLength > 0 {
		size = r.ContentLength + 1
	}
	buf := make([]byte, 0, min(size, firstChunk))
	for {
		if err := b.grow(r.Context(), int64(cap(buf))); err != nil {
			return nil, err
		}
		n, err := r.Body.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		switch {
		case int64(len(buf)) > limit:
			return nil, errTooLarge
		case errors.Is(err, io.EOF):
			if r.ContentLength >= 0 && int64(len(buf)) < r.ContentLength {
				return nil, errIncomplete
			}
			return buf, nil
		case err != nil:
			return nil, bodyError(err)
		case len(buf) == cap(buf):
			grown := min(2*int64(cap(buf)), max(size, limit+1))
			if r.ContentLength > 0 {
				grown = min(grown, size)
			}
			if err := b.grow(r.Context(), grown); err != nil {
				return nil, err
			}
			buf = append(make([]byte, 0, max(grown, int64(cap(buf))+512)), buf...)
		}
	}
}

// bodyError tells a body that is too large for another handler from one that
// broke off. An error with a status of its own keeps it.
func bodyError(err error) error {
	var large *http.MaxBytesError
	var status caddyhttp.HandlerError
	switch {
	case errors.As(err, &large):
		return fmt.Errorf("%w: %w", errTooLarge, err)
	case errors.As(err, &status) && status.StatusCode != 0:
		return err
	}
	return fmt.Errorf("%w: %w", errIncomplete, err)
}
