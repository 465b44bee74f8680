package handler

import (
	"errors"

	"github.com/caddy-webhooks/caddy-webhooks/verify"
)

// misplaced is an error in one subdirective.
type misplaced struct {
	name string
	err  error
}

func (m misplaced) Error() string { return m.err.Error() }
func (m misplaced) Unwrap() error { return m.err }

// place says where in the configuration file an error was written, as the
// Caddyfile's own errors do: `, at Caddyfile:7`. A configuration that was
// written as JSON has no places.
func (h *Handler) place(err error) string {
	names := []string{"from", "webhooks"}
	var option *verify.OptionError
	var subdirective misplaced
	switch {
	case errors.As(err, &option):
		names = append([]string{option.Option}, names...)
	case errors.As(err, &subdirective):
		names = append([]string{subdirective.name}, names...)
	}
	for _, name := range names {
		if place := h.Places[name]; place != "" {
			return ", at " + place
		}
	}
	return ""
}
