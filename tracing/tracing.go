// Package tracing makes OpenTelemetry spans: one for each request that a source
// takes or refuses, and one for each attempt, linked to the request's. Caddy's own
// provider is private to its handler `tracing`, so this one has its own, by the
// usual OTEL_… variables. Without them nothing is made, and nothing costs anything.
package tracing

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/contrib/exporters/autoexport"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/caddy-webhooks/caddy-webhooks/event"
)

// Tracer makes spans. A nil one makes none. Its methods are safe for concurrent
// use, and do not wait for whoever takes the spans: what does not fit into the
// queue is dropped.
type Tracer struct {
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
}

// header carries a span to the application, as W3C Trace Context has it.
var header = propagation.TraceContext{}

// wanted tells whether the environment asks for traces.
func wanted(env func(string) string) bool {
	// To OpenTelemetry capitals make no difference in either.
	if strings.EqualFold(env("OTEL_SDK_DISABLED"), "true") || strings.EqualFold(env("OTEL_TRACES_EXPORTER"), "none") {
		return false
	}
	for _, name := range []string{"OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"} {
		if env(name) != "" {
			return true
		}
	}
	return false
}

// New makes a tracer by the environment; nil if that asks for none.
func New(ctx context.Context, log *slog.Logger) (*Tracer, error) {
	if !wanted(os.Getenv) {
		return nil, nil //nolint:nilnil // none is wanted
	}
	exporter, err := autoexport.NewSpanExporter(ctx)
	if err != nil {
		return nil, fmt.Errorf("setting up traces by the OTEL_… variables: %w", err)
	}
	about, err := resource.New(ctx, resource.WithTelemetrySDK(), resource.WithAttributes(attribute.String("service.name", "caddy-webhooks")), resource.WithFromEnv())
	if err != nil {
		log.Warn("the OTEL_… variables say something about this service that cannot be read", "error", err)
	}
	return with(&quiet{SpanExporter: exporter, log: log}, about), nil
}

func with(exporter sdktrace.SpanExporter, about *resource.Resource) *Tracer {
	p := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(about), sdktrace.WithIDGenerator(ids{}))
	return &Tracer{provider: p, tracer: p.Tracer("github.com/caddy-webhooks/caddy-webhooks")}
}

// Stop sends what is left, for as long as the context lasts.
func (t *Tracer) Stop(ctx context.Context) {
	if t != nil {
		_ = t.provider.Shutdown(ctx) // what could not be sent has been logged
	}
}

// quiet says at most once a minute that spans cannot be handed over.
type quiet struct {
	sdktrace.SpanExporter
	log *slog.Logger

	mu   sync.Mutex
	said time.Time
}

// ExportSpans hands spans over.
func (q *quiet) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	err := q.SpanExporter.ExportSpans(ctx, spans)
	if err == nil {
		return nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if now := time.Now(); now.Sub(q.said) >= time.Minute {
		q.said = now
		q.log.Warn("spans could not be handed over; they are lost, nothing else is", "spans", len(spans), "error", err)
	}
	return nil // it is said
}

// An event's span has IDs that follow from the event's, so that attempts can be
// linked to it days later, after restarts, without anything being stored for it.

type idKey struct{}

// ids makes the IDs of spans: random ones, but for the span of an acceptance.
type ids struct{}

// NewIDs gives the IDs of a root span.
func (ids) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	if id, ok := ctx.Value(idKey{}).(event.ID); ok {
		return idsOf(id)
	}
	var t trace.TraceID
	_, _ = rand.Read(t[:]) // it never fails
	return t, ids{}.NewSpanID(ctx, t)
}

// NewSpanID gives the ID of a span within a trace.
func (ids) NewSpanID(context.Context, trace.TraceID) trace.SpanID {
	var s trace.SpanID
	_, _ = rand.Read(s[:]) // as above
	return s
}

func idsOf(id event.ID) (t trace.TraceID, s trace.SpanID) {
	sum := sha256.Sum256(append([]byte("span of an event "), id[:]...))
	copy(t[:], sum[:])
	copy(s[:], sum[len(t):])
	return t, s
}

// linkTo leads to the span of an event's acceptance.
func linkTo(id event.ID) trace.Link {
	t, s := idsOf(id)
	return trace.Link{SpanContext: trace.NewSpanContext(trace.SpanContextConfig{TraceID: t, SpanID: s, TraceFlags: trace.FlagsSampled, Remote: true})}
}

// Request is what is known of a request when it has been answered.
type Request struct {
	Source, Provider string
	// Event is the accepted one's, or for a duplicate the first one's; zero for a
	// request that was refused.
	Event event.ID
	// ID and Type are the provider's.
	ID, Type string
	// Result is the word that the provider is answered.
	Result string
	// Fresh tells that the event was accepted with this request.
	Fresh bool
	// Status is the answer's, 0 while it is not known; Reason says why it was refused, out of a closed set.
	Status int
	Reason string
	// Header is the request's.
	Header http.Header
	// Began is when it came.
	Began time.Time
}

// Took makes the span of a request. ctx may have a span of Caddy's `tracing`, and
// the request one of the provider's: both are linked, and neither is a parent.
// What a stranger sends must not decide what is sampled here.
func (t *Tracer) Took(ctx context.Context, r Request) {
	if t == nil {
		return
	}
	var links []trace.Link
	for _, from := range []context.Context{ctx, header.Extract(context.Background(), propagation.HeaderCarrier(r.Header))} {
		if c := trace.SpanContextFromContext(from); c.IsValid() {
			links = append(links, trace.Link{SpanContext: c})
		}
	}
	root := context.Background()
	switch {
	case r.Fresh:
		root = context.WithValue(root, idKey{}, r.Event)
	case !r.Event.IsZero():
		links = append(links, linkTo(r.Event))
	}
	_, span := t.tracer.Start(root, "accept "+r.Source, trace.WithNewRoot(), trace.WithTimestamp(r.Began),
		trace.WithSpanKind(trace.SpanKindServer), trace.WithLinks(links...), trace.WithAttributes(r.attributes()...))
	if r.Status >= http.StatusInternalServerError {
		span.SetStatus(codes.Error, r.Reason)
	}
	span.End()
}

func (r Request) attributes() []attribute.KeyValue {
	all := []attribute.KeyValue{attribute.String("webhooks.source", r.Source), attribute.String("webhooks.provider", r.Provider)}
	for name, value := range map[string]string{"webhooks.id": r.ID, "webhooks.type": r.Type, "webhooks.result": r.Result, "webhooks.reason": r.Reason} {
		if value != "" {
			all = append(all, attribute.String(name, value))
		}
	}
	if !r.Event.IsZero() {
		all = append(all, attribute.String("webhooks.event", r.Event.String()))
	}
	if r.Status != 0 {
		all = append(all, attribute.Int("http.response.status_code", r.Status))
	}
	return all
}

// Attempt begins the span of an attempt and writes it into the headers that the
// application gets, in place of the provider's. end must be called with what came
// of it.
func (t *Tracer) Attempt(ctx context.Context, destination string, try event.Try, h http.Header) (end func(event.Outcome)) {
	if t == nil {
		return func(event.Outcome) {}
	}
	e := try.Event
	ctx, span := t.tracer.Start(ctx, "deliver "+e.Source+"/"+destination, trace.WithNewRoot(), trace.WithSpanKind(trace.SpanKindClient),
		trace.WithLinks(linkTo(e.ID)), trace.WithAttributes(
			attribute.String("webhooks.source", e.Source), attribute.String("webhooks.destination", destination),
			attribute.String("webhooks.event", e.ID.String()), attribute.Int("webhooks.attempt", try.Number),
			attribute.Bool("webhooks.replay", try.Replay),
		))
	h.Del("Tracestate")
	header.Inject(ctx, propagation.HeaderCarrier(h))
	return func(out event.Outcome) {
		if out.Status != 0 {
			span.SetAttributes(attribute.Int("http.response.status_code", out.Status))
		}
		switch out.Verdict {
		case event.Done:
		case event.Aborted:
			span.SetAttributes(attribute.Bool("webhooks.aborted", true))
		case event.Again, event.Dying:
			span.RecordError(errors.New(out.Error)) //nolint:err113 // it is words by now
			span.SetStatus(codes.Error, out.Error)
		}
		span.End()
	}
}
