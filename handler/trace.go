package handler

import (
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/store"
	"github.com/caddy-webhooks/caddy-webhooks/tracing"
)

// trace makes the request's span, if somebody wants it. Of a request that was
// refused it says nothing that a stranger has written.
func (h *Handler) trace(in *arrival, word string, status int, err error, began time.Time) {
	t := h.source.Tracer()
	if t == nil {
		return
	}
	r := tracing.Request{
		Source: h.Name, Provider: h.record.Name, Result: word, Header: in.r.Header, Began: began, Status: status,
	}
	if h.within > 0 && !in.receipt.ID.IsZero() {
		r.Status = 0 // the application's, perhaps: nobody knows yet
	}
	if err != nil {
		r.Result, r.Status, r.Reason = "refused", statusOf(err), reasonOf(err)
	}
	if e := in.values.Event; err == nil && e != h.nobody {
		r.Event, r.ID, r.Type = in.receipt.ID, e.ProviderID, e.Type
		r.Fresh = in.receipt.Result == store.Accepted || in.receipt.Result == store.Filtered
	}
	t.Took(in.r.Context(), r)
}
