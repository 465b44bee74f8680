package handler

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-webhooks/caddy-webhooks/dedup"
	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/gateway"
	"github.com/caddy-webhooks/caddy-webhooks/placeholders"
	"github.com/caddy-webhooks/caddy-webhooks/store"
	"github.com/caddy-webhooks/caddy-webhooks/verify"
)

// ServeHTTP takes one webhook in. It writes every answer itself and returns
// nil: an error would go through handle_errors, and a friendly error page with
// status 200 would lose the event.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	began := h.now()
	in := h.arrive(r)
	share := &budget{Budget: h.source.Budget()}
	defer share.free()
	word, answer, err := h.take(w, in, share)
	h.trace(in, word, answer.Status, err, began)
	if err != nil {
		h.refuse(w, err, in.unread)
		h.report(in, err, share)
		return nil
	}
	if !in.receipt.ID.IsZero() {
		w.Header().Set(headerEventID, in.receipt.ID.String())
	}
	h.source.Took(h.now().Sub(began))
	if h.within > 0 && !in.receipt.ID.IsZero() {
		share.free() // what is stored is no longer being read
		if h.passOn(w, in, word, began) {
			return nil
		}
	}
	reply(w, word, answer)
	return nil
}

// arrival is one request on its way in.
type arrival struct {
	r *http.Request
	// original is the request as Caddy received it: what was signed.
	original *http.Request
	repl     *caddy.Replacer
	values   *placeholders.Values
	checked  verify.Request
	verdict  verify.Verdict
	receipt  store.Receipt
	// answer is the attempt whose answer the provider may get; nil: there is none.
	answer *gateway.Reply
	// unread tells that the body has not been read to its end.
	unread bool
}

func (h *Handler) arrive(r *http.Request) *arrival {
	in := &arrival{r: r, original: r, unread: r.ContentLength != 0}
	if o, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok {
		in.original = &o
	}
	in.repl, _ = r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	if in.repl == nil {
		in.repl = caddy.NewReplacer()
	}
	// Until the sender is proven, nothing of the content is shown.
	in.values = &placeholders.Values{Event: h.nobody}
	in.repl.Map(in.values.Get)
	in.checked = verify.Request{Method: r.Method, Header: r.Header}
	return in
}

// take is the way of one webhook: method and headers, body, handshakes, proof,
// name, store.
func (h *Handler) take(w http.ResponseWriter, in *arrival, share *budget) (word string, a verify.Answer, err error) {
	v := h.verifier.Load()
	early := v.Precheck(in.r.Method, in.r.Header)
	if early != nil && !h.isAsked(v) {
		return "", a, early
	}
	if !h.source.Open() {
		return "", a, store.ErrClosed
	}
	if in.checked.Body, err = readBody(w, in.r, h.maxBody, share); err != nil {
		return "", a, err
	}
	in.unread = false
	received := h.now()
	if a, word, err := h.asked(v, in); word != "" || err != nil {
		return word, a, err
	}
	if early != nil {
		return "", a, early
	}
	if err := h.prove(v, in); err != nil {
		return "", a, err
	}
	if a, name, err := h.greet(v, in, true); name != "" || err != nil {
		return name, a, err
	}
	if err := h.store(in, received); err != nil {
		return "", a, err
	}
	return in.receipt.Result.String(), h.success, nil
}

// isAsked tells whether the provider asks anything before it proves itself.
func (h *Handler) isAsked(v *verify.Verifier) bool { return h.From.Learn || v.Greets(false) }

// asked answers what the provider asks before it proves itself.
func (h *Handler) asked(v *verify.Verifier, in *arrival) (verify.Answer, string, error) {
	a, word, err := h.learn(v, in)
	if word != "" || err != nil {
		return a, word, err
	}
	return h.greet(v, in, false)
}

// greet answers a handshake; the word is empty if the request is none.
func (h *Handler) greet(v *verify.Verifier, in *arrival, signed bool) (a verify.Answer, word string, err error) {
	if !v.Greets(signed) {
		return a, "", nil
	}
	h.addURL(in)
	a, name, ok := v.Greet(&in.checked, signed)
	if !ok {
		return a, "", nil
	}
	if err := h.visit(a); err != nil {
		return a, "", err
	}
	h.source.Handshakes.Add(1)
	h.log.Info("handshake answered", "handshake", name)
	return a, handshake, nil
}

// visit gets the address that a handshake asks to be got. Where that fails the
// provider is to ask again.
func (h *Handler) visit(a verify.Answer) error {
	switch {
	case a.Visit == "":
		return nil
	case !a.MayVisit():
		return fmt.Errorf("%w: the address to confirm at is none of the provider's", verify.ErrFormat)
	}
	return h.published.Visit(a.Visit, h.now()) //nolint:wrapcheck // statusOf decides by its sentinel
}

// addURL fills in what only some schemes need.
func (h *Handler) addURL(in *arrival) {
	if in.checked.Query != nil {
		return
	}
	in.checked.Query = in.original.URL.Query()
	uri := target(in.original)
	if !strings.HasPrefix(uri, "/") { // a whole address, as proxies are sent it
		uri = in.original.URL.RequestURI()
	}
	in.checked.URL = h.address(in.r.TLS != nil, in.r.Host, uri) // Caddy keeps no host in the original
}

// address is the public one, as the sender used it.
func (h *Handler) address(tls bool, host, uri string) string {
	switch {
	case h.From.URL != "":
		return h.From.URL
	case tls:
		return "https://" + host + uri
	}
	return "http://" + host + uri
}

// prove verifies the sender. Secrets in files are read again when a file has
// changed and when a signature fails, once a second at most.
func (h *Handler) prove(v *verify.Verifier, in *arrival) error {
	h.addURL(in)
	now := h.now()
	if h.secrets.touched(now) {
		if fresh := h.renew(now); fresh != nil {
			v = fresh
		}
	}
	own, err := h.own(in)
	if err != nil {
		return err
	}
	in.verdict, err = v.Verify(&in.checked, now, own...)
	if !errors.Is(err, verify.ErrMismatch) {
		return err
	}
	fresh := h.renew(now)
	if fresh == nil {
		return err
	}
	in.verdict, err = fresh.Verify(&in.checked, now, own...)
	return err
}

// renew reads the secrets in files again. It gives a verifier with what is new,
// or nil; a bad new value leaves the old one standing.
func (h *Handler) renew(now time.Time) *verify.Verifier {
	secrets, changed, err := h.secrets.reread(now)
	if err == nil && !changed {
		return nil
	}
	var v *verify.Verifier
	if err == nil {
		v, err = h.compile(secrets)
	}
	if err != nil {
		h.log.Error("a secret's file changed for the worse; the old secret stays in use", "error", err)
		return nil
	}
	h.log.Info("a secret's file has changed; the new secret is in use")
	h.verifier.Store(v)
	h.former.hold(secrets, v, h.From.URL, now)
	return v
}

// store names the event and stores it.
func (h *Handler) store(in *arrival, received time.Time) error {
	message := dedup.Message{Header: in.r.Header, Query: in.checked.Query, Body: in.checked.Body}
	tenant := ""
	if in.verdict.Secret >= len(h.secrets.texts) && !h.From.Learn {
		tenant = in.verdict.Digest
	}
	id, claim := h.claimed(h.scope(tenant), message)
	if claim == nil && !h.DedupOff {
		h.source.Unidentified.Add(1)
	}
	e := h.event(in, received)
	e.ProviderID, e.Type = id.ProviderID, dedup.Value(h.typ, message)
	in.values.Event = e
	receipt, answer, err := h.accept(in.r.Context(), e, claim, h.wants(in, e))
	if err != nil {
		return err //nolint:wrapcheck // statusOf decides by the store's sentinels
	}
	in.receipt, in.answer = receipt, answer
	h.note(in, e)
	return nil
}

// note counts and logs what became of an event.
func (h *Handler) note(in *arrival, e *event.Event) {
	in.values.ID = in.receipt.ID
	switch in.receipt.Result {
	case store.Accepted:
		h.source.Accepted.Add(1)
	case store.Filtered:
		h.source.Filtered.Add(1)
		h.log.Debug("no destination wants it", "event", in.receipt.ID.String(), "id", e.ProviderID, "type", e.Type)
	case store.Revived:
		h.source.Revived.Add(1)
		h.log.Info("the provider sent again what was dead, or is wanted only now; it is pending again", "event", in.receipt.ID.String(), "id", e.ProviderID)
	case store.Duplicate:
		h.source.Duplicates.Add(1)
		h.log.Debug("duplicate", "event", in.receipt.ID.String(), "id", e.ProviderID,
			"hint", "to send it to the application again: caddy webhooks replay "+in.receipt.ID.String())
	case store.Known: // an import's alone
	}
	if in.receipt.Differs {
		h.source.Differs.Add(1)
		if n, ok := h.sayDiff.allow(h.now(), time.Minute); ok {
			h.log.Warn("a duplicate has another body than the first: is the event ID chosen well?",
				"event", in.receipt.ID.String(), "id", e.ProviderID, "more", n)
		}
	}
}

// event makes the event of a proven request.
func (h *Handler) event(in *arrival, received time.Time) *event.Event {
	r := in.r
	e := &event.Event{
		Source: h.Name, Provider: h.record.Name, Secret: in.verdict.Digest, Received: received,
		Method: r.Method, URI: target(r), OriginalURI: target(in.original), Proto: r.Proto, Host: r.Host,
		TLS: r.TLS != nil, RemoteAddr: r.RemoteAddr, Header: maps.Clone(r.Header), Body: in.checked.Body,
		Proof: h.verifier.Load().Proof(),
	}
	stripOurs(e.Header)
	e.ClientIP, _ = caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)
	e.TrustedProxy, _ = caddyhttp.GetVar(r.Context(), caddyhttp.TrustedProxyVarKey).(bool)
	return e
}

// target is the request target, escapes untouched.
func target(r *http.Request) string {
	if r.RequestURI != "" {
		return r.RequestURI
	}
	return r.URL.RequestURI()
}

// stripOurs removes what only the gateway may say to the application.
func stripOurs(h http.Header) {
	for name := range h {
		switch name {
		case "Webhook-Event-Id", "Webhook-Attempt", "Webhook-Received", "Webhook-Replay", headerStatus:
			delete(h, name)
		default:
			if strings.HasPrefix(name, "Webhook-Original-") {
				delete(h, name)
			}
		}
	}
}
