package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/archive"
	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/store"
	"github.com/caddy-webhooks/caddy-webhooks/verify"
	"github.com/caddy-webhooks/caddy-webhooks/verify/providers"
)

// got is what an application here gets.
type got struct {
	*http.Request

	body string
}

// listeningApp forwards one event to an application here, and gives what that got
// and what was printed.
func listeningApp(t *testing.T, e *event.Event, asJSON bool, host string) (request got, out string) {
	t.Helper()
	line, err := archive.Append(nil, store.Record{Event: e, Row: store.Row{ID: e.ID, Source: e.Source, Type: e.Type, Received: noon, Size: len(e.Body), Deliveries: []event.Delivery{{Destination: "default", State: event.Delivered, SettledAt: noon}}}}, "1")
	if err != nil {
		t.Fatal(err)
	}
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RequestURI() != "/webhooks/export?id="+e.ID.String() {
			t.Errorf("asked for %s", r.URL.RequestURI())
		}
		w.Header().Set("Content-Type", linesType)
		_, _ = w.Write(line)
	}))
	t.Cleanup(gateway.Close)
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		request = got{r, string(text)}
		w.WriteHeader(http.StatusTeapot)
	}))
	t.Cleanup(app.Close)
	c, printed := listening(t, gateway)
	c.json = asJSON
	to, err := localURL(app.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	l := newListener(c, to, time.Minute)
	l.host = host
	if err := l.forward(t.Context(), fmt.Appendf(nil, `{"event":%q,"type":"a"}`, e.ID)); err != nil {
		t.Fatal(err)
	}
	return request, printed.String()
}

func anEvent(uri string) *event.Event {
	return &event.Event{
		ID: event.NewID(noon, 1, 2, 3), Source: "shop", Type: "a", Method: "PUT", URI: uri, OriginalURI: uri, Proto: "HTTP/1.1", RemoteAddr: "192.0.2.1:5", Host: "hooks.example.com", TLS: true,
		Header: http.Header{"X-A": {"1", "\xff"}, "Connection": {"x"}, "X-Forwarded-Host": {"evil.example.com"}}, Body: []byte("b\x00\xff"),
	}
}

func TestAnApplicationHereGetsWhatTheProviderHasSent(t *testing.T) {
	t.Parallel()
	for uri, want := range map[string]string{
		"/hook?a=1":                          "/hook?a=1",
		"/h%2Fo|k?":                          "/h%2Fo|k?",
		"http://evil.example.com/open?x=%20": "/open?x=%20",
		"http://evil.example.com":            "/",
		"//evil.example.com/x":               "//evil.example.com/x",
		"*":                                  "/",
		"/a?u=http://b/c":                    "/a?u=http://b/c",
	} {
		r, _ := listeningApp(t, anEvent(uri), false, "")
		if r.Request == nil {
			t.Errorf("%s: nothing came", uri)
			continue
		}
		if r.RequestURI != want || r.Host != "hooks.example.com" || r.Method != "PUT" || r.body != "b\x00\xff" {
			t.Errorf("%s: %s %s at %s, %q", uri, r.Method, r.RequestURI, r.Host, r.body)
		}
		if h := r.Header; h.Get("X-Forwarded-Host") != "hooks.example.com" || h.Get("X-Forwarded-Proto") != "https" || len(h["X-A"]) != 2 ||
			h["X-A"][1] != "\xff" || h.Get("Connection") != "" || h.Get("User-Agent") != "" || h.Get("Webhook-Event-Id") == "" {
			t.Errorf("%s: %v", uri, h)
		}
	}
	if r, _ := listeningApp(t, anEvent("/"), false, "localhost:3000"); r.Host != "localhost:3000" {
		t.Errorf("the Host is %s", r.Host)
	}
}

func TestWhatWasForwardedIsALine(t *testing.T) {
	t.Parallel()
	e := anEvent("/")
	if _, out := listeningApp(t, e, false, ""); !strings.Contains(out, e.ID.String()+"  a  418  ") {
		t.Errorf("%s", out)
	}
	_, out := listeningApp(t, e, true, "")
	var f forwarded
	if err := json.Unmarshal([]byte(out), &f); err != nil || f.Event != e.ID.String() || f.Status != 418 || f.Error != "" || strings.Count(out, "\n") != 1 {
		t.Errorf("%v %s", err, out)
	}
}

// Square signs the address and the body: without the Host nothing verifies here.
func TestAnAddressThatIsSignedVerifiesHereToo(t *testing.T) {
	t.Parallel()
	r, ok := providers.Get("square")
	if !ok {
		t.Fatal("there is no square")
	}
	v, err := r.Compile(verify.Options{Secrets: []verify.Secret{verify.NewSecret("s3cret")}})
	if err != nil {
		t.Fatal(err)
	}
	signed := &verify.Request{Method: "POST", URL: "https://hooks.example.com/square?x=1", Header: http.Header{}, Query: url.Values{"x": {"1"}}, Body: []byte(`{"event_id":"e"}`)}
	if err := v.Sign(signed, noon, "e"); err != nil {
		t.Fatal(err)
	}
	e := anEvent("/square?x=1")
	e.Method, e.Header, e.Body = "POST", signed.Header, signed.Body
	came, _ := listeningApp(t, e, false, "")
	at := came.Header.Get("X-Forwarded-Proto") + "://" + came.Header.Get("X-Forwarded-Host") + came.RequestURI
	if _, err := v.Verify(&verify.Request{Method: came.Method, URL: at, Header: came.Header, Query: came.URL.Query(), Body: []byte(came.body)}, noon); err != nil {
		t.Errorf("at %s: %v", at, err)
	}
}

func TestASourceThatIsNotThereIsNamed(t *testing.T) {
	t.Parallel()
	address, _ := gatewayOf(t)
	const words = `there is no source "nope"; there are: shop, github`
	if _, _, err := webhooks(t, "listen", "nope", "3000", "--address", address); err == nil || err.Error() != words {
		t.Errorf("listen: %v", err)
	}
	for _, line := range []string{"events --source nope", "refused --source nope", "export --source nope", "tail --source nope", "events --json --source nope"} {
		if _, errs, _ := webhooks(t, append(strings.Fields(line), "--address", address)...); !strings.Contains(errs, words+"\n") {
			t.Errorf("%s: %q", line, errs)
		}
	}
	if _, errs, err := webhooks(t, "events", "--source", "shop", "--address", address); err != nil || errs != "" {
		t.Errorf("%v %q", err, errs)
	}
}
