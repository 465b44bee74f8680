package tracing

import (
	"context"
	"net/http"
	"testing"
	"time"

	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/caddy-webhooks/caddy-webhooks/event"
)

func TestOnlyWhoAsksForTracesGetsThem(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		env  map[string]string
		want bool
	}{
		"nothing":         {nil, false},
		"an endpoint":     {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318"}, true},
		"one for traces":  {map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://localhost:4318"}, true},
		"an exporter":     {map[string]string{"OTEL_TRACES_EXPORTER": "console"}, true},
		"none":            {map[string]string{"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318"}, false},
		"all is disabled": {map[string]string{"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318"}, false},
		"in capitals":     {map[string]string{"OTEL_SDK_DISABLED": "TRUE", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318"}, false},
		"None":            {map[string]string{"OTEL_TRACES_EXPORTER": "None", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318"}, false},
		"not disabled":    {map[string]string{"OTEL_SDK_DISABLED": "false", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318"}, true},
		"another signal":  {map[string]string{"OTEL_METRICS_EXPORTER": "otlp"}, false},
	} {
		if got := wanted(func(name string) string { return c.env[name] }); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestCaddysOwnSpanIsLinked(t *testing.T) {
	t.Parallel()
	kept := tracetest.NewInMemoryExporter()
	tr := &Tracer{provider: sdktrace.NewTracerProvider(sdktrace.WithSyncer(kept), sdktrace.WithIDGenerator(ids{}))}
	tr.tracer = tr.provider.Tracer("test")
	caddys := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}})
	id := event.NewID(time.Now(), 1, 2, 3)
	tr.Took(trace.ContextWithSpanContext(t.Context(), caddys), Request{Source: "shop", Event: id, Fresh: true, Began: time.Now().Add(-time.Second), Header: http.Header{}})
	spans := kept.GetSpans()
	if len(spans) != 1 || len(spans[0].Links) != 1 || spans[0].Links[0].SpanContext.SpanID() != caddys.SpanID() || spans[0].Parent.IsValid() {
		t.Fatalf("%+v", spans)
	}
	if d := spans[0].EndTime.Sub(spans[0].StartTime); d < time.Second {
		t.Errorf("it took %v", d)
	}
	traceID, spanID := idsOf(id)
	if c := spans[0].SpanContext; c.TraceID() != traceID || c.SpanID() != spanID {
		t.Errorf("its IDs are %v %v", c.TraceID(), c.SpanID())
	}
}

func TestANilTracerDoesNothing(t *testing.T) {
	t.Parallel()
	var tr *Tracer
	h := http.Header{"Traceparent": {"as it was"}}
	tr.Took(t.Context(), Request{})
	tr.Attempt(t.Context(), "default", event.Try{}, h)(event.Outcome{})
	tr.Stop(t.Context())
	if h.Get("Traceparent") != "as it was" {
		t.Errorf("%v", h)
	}
}

func BenchmarkOff(b *testing.B) {
	var tr *Tracer
	try := event.Try{Event: &event.Event{Source: "shop"}}
	b.ReportAllocs()
	for b.Loop() {
		tr.Attempt(context.Background(), "default", try, nil)(event.Outcome{})
	}
}

func BenchmarkOn(b *testing.B) {
	tr := with(tracetest.NewNoopExporter(), resource.Empty())
	defer tr.Stop(context.Background())
	try := event.Try{Event: &event.Event{Source: "shop"}}
	b.ReportAllocs()
	for b.Loop() {
		tr.Attempt(context.Background(), "default", try, http.Header{})(event.Outcome{Verdict: event.Done})
	}
}
