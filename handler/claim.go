package handler

import (
	"net/url"
	"slices"

	"github.com/caddy-webhooks/caddy-webhooks/dedup"
	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/store"
	"github.com/caddy-webhooks/caddy-webhooks/verify"
)

// scope is where a provider's ID is one: the source, and for a tenant's own
// secret also that, by its digest, so that tenants cannot claim each other's IDs.
func (h *Handler) scope(tenant string) []string {
	if tenant == "" {
		return []string{h.Name}
	}
	return []string{h.Name, tenant}
}

// claimed names an event and gives what makes its repeat a duplicate; nil if
// nothing does.
func (h *Handler) claimed(scope []string, m dedup.Message) (dedup.Identity, *store.Claim) {
	id, named := dedup.Identify(scope, h.ids, m)
	if h.DedupOff || !named {
		return id, nil
	}
	claim := &store.Claim{Key: id.Key, Digest: dedup.Digest(m.Body), Window: h.window}
	for _, name := range h.source.Inherited() {
		before, _ := dedup.Identify(append([]string{name}, scope[1:]...), h.ids, m)
		claim.Also = append(claim.Also, before.Key)
	}
	return id, claim
}

// claimOf is the claim that an event of this source would have if it came now.
// It is asked for events that were accepted by another gateway.
func (h *Handler) claimOf(e *event.Event) *store.Claim {
	m := dedup.Message{Header: e.Header, Body: e.Body}
	if u, err := url.ParseRequestURI(e.OriginalURI); err == nil {
		m.Query = u.Query()
	}
	_, claim := h.claimed(h.scope(h.tenant(e.Secret)), m)
	return claim
}

// tenant is a secret's digest if requests bring their own secrets and it is none
// of those that all have.
func (h *Handler) tenant(digest string) string {
	shared := slices.ContainsFunc(h.secrets.fixed, func(s verify.Secret) bool { return s.Digest() == digest })
	if len(h.secrets.perRequest) == 0 || h.From.Learn || shared {
		return ""
	}
	return digest
}
