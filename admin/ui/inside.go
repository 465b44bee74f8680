package ui

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/caddyserver/caddy/v2"
)

// Inside carries requests to the admin API of this very process, past Caddy's
// admin endpoint: that one may be switched off, and refuses browsers.
func Inside() (http.RoundTripper, error) {
	info, err := caddy.GetModule("admin.api.webhooks")
	if err != nil {
		return nil, fmt.Errorf("finding the admin API: %w", err)
	}
	router, ok := info.New().(caddy.AdminRouter)
	if !ok {
		return nil, fmt.Errorf("%s has no routes", info.ID)
	}
	mux := http.NewServeMux()
	for _, route := range router.Routes() {
		mux.HandleFunc(route.Pattern, func(w http.ResponseWriter, r *http.Request) {
			if err := route.Handler.ServeHTTP(w, r); err != nil {
				complain(w, err)
			}
		})
	}
	return inside{mux}, nil
}

// complain writes an error as Caddy's admin endpoint does.
func complain(w http.ResponseWriter, err error) {
	said := caddy.APIError{HTTPStatus: http.StatusInternalServerError, Err: err}
	if known, ok := errors.AsType[caddy.APIError](err); ok {
		said = known
	}
	words := said.Message
	if words == "" && said.Err != nil {
		words = said.Err.Error()
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(said.HTTPStatus)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": words}) // into memory
}

type inside struct{ routes http.Handler }

// RoundTrip has the request served at once.
func (i inside) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body == nil {
		r.Body = http.NoBody
	}
	a := &answer{header: http.Header{}, status: http.StatusOK}
	i.routes.ServeHTTP(a, r)
	return &http.Response{
		Status: fmt.Sprint(a.status, " ", http.StatusText(a.status)), StatusCode: a.status, Header: a.header, Request: r,
		Body: io.NopCloser(&a.body), ContentLength: int64(a.body.Len()), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}, nil
}

// answer keeps an answer in memory.
type answer struct {
	header http.Header
	status int
	wrote  bool
	body   bytes.Buffer
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(status int) {
	if !a.wrote {
		a.status, a.wrote = status, true
	}
}

func (a *answer) Write(b []byte) (int, error) {
	a.wrote = true
	return a.body.Write(b) //nolint:wrapcheck // it never fails
}
