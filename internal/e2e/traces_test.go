package e2e

import (
	"context"
	"encoding/hex"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/caddy-webhooks/caddy-webhooks/internal/testkit"
)

// receiver takes spans as a collector does, by OTLP.
type receiver struct {
	collector.UnimplementedTraceServiceServer

	// env is what a gateway needs to know of it.
	env []string

	mu    sync.Mutex
	spans []*tracepb.Span
}

// Export takes spans in.
func (r *receiver) Export(_ context.Context, v *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, resource := range v.GetResourceSpans() {
		for _, scope := range resource.GetScopeSpans() {
			r.spans = append(r.spans, scope.GetSpans()...)
		}
	}
	return &collector.ExportTraceServiceResponse{}, nil
}

func (r *receiver) at(url, protocol string) {
	r.env = []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + url, "OTEL_EXPORTER_OTLP_PROTOCOL=" + protocol, "OTEL_BSP_SCHEDULE_DELAY=50"}
}

// newReceiver takes spans over HTTP.
func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		var v collector.ExportTraceServiceRequest
		if err != nil || req.URL.Path != "/v1/traces" || proto.Unmarshal(body, &v) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		_, _ = r.Export(req.Context(), &v) // never fails
	}))
	t.Cleanup(server.Close)
	r.at(server.URL, "http/protobuf")
	return r
}

// newGRPCReceiver takes spans over gRPC.
func newGRPCReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	collector.RegisterTraceServiceServer(server, r)
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	r.at("http://"+l.Addr().String(), "grpc")
	return r
}

// named gives the spans of a name, in the order in which they came.
func (r *receiver) named(name string) (found []*tracepb.Span) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.spans {
		if s.GetName() == name {
			found = append(found, s)
		}
	}
	return found
}

// of gives the span that an application was told of; nil if it has not come.
func (r *receiver) of(traceparent string) *tracepb.Span {
	for _, s := range r.named("deliver shop/default") {
		if traceparent == "00-"+hex.EncodeToString(s.GetTraceId())+"-"+hex.EncodeToString(s.GetSpanId())+"-01" {
			return s
		}
	}
	return nil
}

// attribute is a span's, as text; empty if there is none.
func attribute(s *tracepb.Span, name string) string {
	for _, a := range s.GetAttributes() {
		if a.GetKey() == name {
			if v := a.GetValue(); v.GetStringValue() != "" {
				return v.GetStringValue()
			} else if v.GetIntValue() != 0 {
				return strings.TrimPrefix(v.String(), "int_value:")
			} else {
				return v.String()
			}
		}
	}
	return ""
}

func linked(from, to *tracepb.Span) bool {
	for _, l := range from.GetLinks() {
		if string(l.GetTraceId()) == string(to.GetTraceId()) && string(l.GetSpanId()) == string(to.GetSpanId()) {
			return true
		}
	}
	return false
}

func TestARequestAndItsAttemptsAreLinkedOverARestart(t *testing.T) {
	t.Parallel()
	for protocol, receive := range map[string]func(*testing.T) *receiver{"HTTP": newReceiver, "gRPC": newGRPCReceiver} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			linkedOverARestart(t, receive(t))
		})
	}
}

func linkedOverARestart(t *testing.T, r *receiver) {
	t.Helper()
	app, gone := testkit.NewApp(t), testkit.FreeAddr(t)
	g := testkit.New(t, r.env...).Start(one("shop", "default", gone, ""))
	req, err := testkit.Signed("http://"+g.Addr+"/hook", testkit.Secret, "first", []byte(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	const stranger = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	req.Header.Set("Traceparent", stranger)
	resp, err := http.DefaultClient.Do(req)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%v %v", resp, err)
	}
	_ = resp.Body.Close()
	testkit.Eventually(t, "request and attempt have spans", func() bool {
		return len(r.named("accept shop")) == 1 && len(r.named("deliver shop/default")) >= 1
	})
	accept, failed := r.named("accept shop")[0], r.named("deliver shop/default")[0]
	if !linked(failed, accept) || failed.GetStatus().GetCode() != tracepb.Status_STATUS_CODE_ERROR || attribute(failed, "webhooks.attempt") != "1" {
		t.Errorf("the first attempt is %v", failed)
	}
	if len(accept.GetParentSpanId()) != 0 || len(accept.GetLinks()) != 1 || hex.EncodeToString(accept.GetLinks()[0].GetSpanId()) != "b7ad6b7169203331" {
		t.Errorf("the provider's span is not linked alone, or it is a parent: %v", accept)
	}
	for name, want := range map[string]string{
		"webhooks.source": "shop", "webhooks.provider": "github", "webhooks.id": "first", "webhooks.type": "push", "webhooks.result": "accepted",
		"webhooks.event": resp.Header.Get("Webhook-Event-Id"), "http.response.status_code": "200",
	} {
		if got := attribute(accept, name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	g.Stop()
	g.Start(one("shop", "default", app.Addr(), ""))
	runs(t, g, "replay", accept1(accept))
	// It may have been delivered right before, and is then sent once more.
	testkit.Eventually(t, "it is delivered, and the attempt after the restart has a span", func() bool {
		return len(app.Got()) > 0 && r.of(app.Got()[0].Header.Get("Traceparent")) != nil
	})
	delivered := r.of(app.Got()[0].Header.Get("Traceparent"))
	if !linked(delivered, accept) || delivered.GetStatus().GetCode() == tracepb.Status_STATUS_CODE_ERROR {
		t.Errorf("after a restart the attempt is %v", delivered)
	}
	if status, _, err := testkit.Post("http://"+g.Addr+"/hook", "wrong", "bad", []byte(`{}`)); err != nil || status != http.StatusUnauthorized {
		t.Fatalf("%d %v", status, err)
	}
	if status, _, err := testkit.Post("http://"+g.Addr+"/hook", testkit.Secret, "first", []byte(`{}`)); err != nil || status != http.StatusOK {
		t.Fatalf("%d %v", status, err)
	}
	testkit.Eventually(t, "what was refused and the duplicate have spans", func() bool { return len(r.named("accept shop")) == 3 })
	refused, duplicate := r.named("accept shop")[1], r.named("accept shop")[2]
	if attribute(refused, "webhooks.reason") != "mismatch" || attribute(refused, "webhooks.id") != "" || attribute(refused, "http.response.status_code") != "401" {
		t.Errorf("what was refused is %v", refused)
	}
	if attribute(duplicate, "webhooks.result") != "duplicate" || !linked(duplicate, accept) || string(duplicate.GetTraceId()) == string(accept.GetTraceId()) {
		t.Errorf("the duplicate is %v", duplicate)
	}
}

// accept1 is the event ID of a span.
func accept1(s *tracepb.Span) string { return attribute(s, "webhooks.event") }

func TestWithoutTracesTheProvidersHeaderGoesThroughAsItIs(t *testing.T) {
	t.Parallel()
	app := testkit.NewApp(t)
	g := testkit.New(t).Start(one("shop", "default", app.Addr(), ""))
	req, err := testkit.Signed("http://"+g.Addr+"/hook", testkit.Secret, "first", []byte(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	req.Header.Set("Tracestate", "a=b")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	testkit.Eventually(t, "it is delivered", func() bool { return len(app.Got()) == 1 })
	if h := app.Got()[0].Header; h.Get("Traceparent") != req.Header.Get("Traceparent") || h.Get("Tracestate") != "a=b" {
		t.Errorf("the application gets %v", h)
	}
}

func TestACollectorThatHangsHoldsNothingUp(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(collector.Close)
	t.Cleanup(func() { close(release) })
	app := testkit.NewApp(t)
	g := testkit.New(t, "OTEL_EXPORTER_OTLP_ENDPOINT="+collector.URL, "OTEL_BSP_SCHEDULE_DELAY=10", "OTEL_BSP_MAX_QUEUE_SIZE=8", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE=4").
		Start("{\n\tgrace_period 2s\n\twebhooks {\n\t\tstore local {$DIR}/store\n\t}\n}\n" + strings.SplitN(one("shop", "default", app.Addr(), ""), "}\n}\n", 2)[1])
	post(t, g, "e", 50)
	testkit.Eventually(t, "all are delivered", func() bool { return len(app.Got()) == 50 })
	g.Stop() // in time, or the test ends here
}

func TestACollectorThatIsNotThereIsToldOfOnce(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"http/protobuf", "grpc"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			app := testkit.NewApp(t)
			g := testkit.New(t, "OTEL_EXPORTER_OTLP_ENDPOINT=http://"+testkit.FreeAddr(t), "OTEL_EXPORTER_OTLP_PROTOCOL="+protocol,
				"OTEL_BSP_SCHEDULE_DELAY=10", "OTEL_EXPORTER_OTLP_TIMEOUT=100").Start(one("shop", "default", app.Addr(), ""))
			post(t, g, "f", 5)
			testkit.Eventually(t, "it is said that nobody takes the spans", func() bool { return strings.Contains(g.Log(), "spans could not be handed over") })
			post(t, g, "g", 5)
			testkit.Eventually(t, "all are delivered", func() bool { return len(app.Got()) == 10 })
			if n := strings.Count(g.Log(), "spans could not be handed over"); n != 1 {
				t.Errorf("it is said %d times", n)
			}
		})
	}
}

func TestTheSpanOfARequestHasTheStatusThatTheProviderGot(t *testing.T) {
	t.Parallel()
	r, app := newReceiver(t), testkit.NewApp(t)
	config := strings.Replace(one("shop", "default", app.Addr(), ""), "\t\tto ", "\t\trespond 202\n\t\tto ", 1)
	g := testkit.New(t, r.env...).Start(config)
	status, _, err := testkit.Post("http://"+g.Addr+"/hook", testkit.Secret, "first", []byte(`{}`))
	if err != nil || status != http.StatusAccepted {
		t.Fatal(status, err)
	}
	testkit.Eventually(t, "the request has a span", func() bool { return len(r.named("accept shop")) == 1 })
	if got := attribute(r.named("accept shop")[0], "http.response.status_code"); got != "202" {
		t.Errorf("the span says %s", got)
	}
}
