// Package described holds the description of the admin API against the API: the
// real binary is asked, and what it is asked and answers must be as described. It
// is a module of its own, so that users of the gateway never download what it needs.
package described

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	v3 "github.com/pb33f/libopenapi/datamodel/high/v3"

	"github.com/caddy-webhooks/caddy-webhooks/admin"
	"github.com/caddy-webhooks/caddy-webhooks/internal/testkit"
)

const description = "../../docs/openapi.yaml"

func TestMain(m *testing.M) {
	code := m.Run()
	testkit.Cleanup()
	os.Exit(code)
}

// described is the description.
type described struct {
	model     *v3.Document
	validator validator.Validator
}

func read(t *testing.T) described {
	t.Helper()
	text, err := os.ReadFile(description)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := libopenapi.NewDocument(text)
	if err != nil {
		t.Fatal(err)
	}
	model, err := doc.BuildV3Model()
	if err != nil {
		t.Fatal(err)
	}
	v, errs := validator.NewValidator(doc)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	if ok, errs := v.ValidateDocument(); !ok {
		for _, e := range errs {
			t.Errorf("%s: %s", e.Message, e.Reason)
		}
		t.FailNow()
	}
	return described{&model.Model, v}
}

// operations are all there are, as "GET /path".
func (d described) operations() (all []string) {
	for path, item := range d.model.Paths.PathItems.FromOldest() {
		for method := range item.GetOperations().FromOldest() {
			all = append(all, strings.ToUpper(method)+" "+path)
		}
	}
	slices.Sort(all)
	return all
}

func TestEveryRouteIsDescribedAndEveryDescriptionHasARoute(t *testing.T) {
	t.Parallel()
	d := read(t)
	var paths []string
	for path := range d.model.Paths.PathItems.FromOldest() {
		paths = append(paths, path)
	}
	routed := map[string]bool{}
	for _, route := range (admin.API{}).Routes() {
		found := false
		for _, path := range paths {
			if path == route.Pattern || strings.HasSuffix(route.Pattern, "/") && strings.HasPrefix(path, route.Pattern) {
				found, routed[path] = true, true
			}
		}
		if !found {
			t.Errorf("the route %s is not described: write its operations into docs/openapi.yaml, and ask for them in this test", route.Pattern)
		}
	}
	for _, path := range paths {
		if !routed[path] {
			t.Errorf("%s is described, and there is no such route", path)
		}
	}
}

// asker asks a gateway, and holds what it is asked and answers to the description.
type asker struct {
	*testing.T
	described
	g *testkit.Gateway

	mu    sync.Mutex
	asked map[string]bool
}

// ask makes a request whose answer must have this status. template is the path as
// it is described. A request that is wrong on purpose need not be as described.
func (a *asker) ask(status int, method, template, path string, body any) string {
	a.Helper()
	var text []byte
	kind := "application/json"
	switch body := body.(type) {
	case nil:
	case string:
		text, kind = []byte(body), "application/x-ndjson"
	default:
		var err error
		if text, err = json.Marshal(body); err != nil {
			a.Fatal(err)
		}
	}
	req := a.request(method, path, kind, text)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		a.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var answer []byte
	if strings.Contains(path, "/tail") && resp.StatusCode == http.StatusOK { // it has no end
		answer = make([]byte, 16)
		if _, err := io.ReadFull(resp.Body, answer); err != nil {
			a.Fatal(err)
		}
	} else if answer, err = io.ReadAll(resp.Body); err != nil {
		a.Fatal(err)
	}
	if resp.StatusCode != status {
		a.Fatalf("%s %s is answered %d, want %d: %s", method, path, resp.StatusCode, status, answer)
	}
	a.mu.Lock()
	a.asked[method+" "+template] = true
	a.mu.Unlock()
	a.compare(method, path, kind, text, resp, answer)
	return string(answer)
}

func (a *asker) request(method, path, kind string, body []byte) *http.Request {
	a.Helper()
	req, err := http.NewRequestWithContext(a.Context(), method, "http://"+a.g.Admin+path, bytes.NewReader(body))
	if err != nil {
		a.Fatal(err)
	}
	if len(body) > 0 {
		req.Header.Set("Content-Type", kind)
	}
	return req
}

func (a *asker) compare(method, path, kind string, body []byte, resp *http.Response, answer []byte) {
	a.Helper()
	// The description's server has a name of its own.
	req := a.request(method, path, kind, body)
	req.URL.Host, req.Host = "localhost:2019", "localhost:2019"
	resp.Body = io.NopCloser(bytes.NewReader(answer))
	var ok bool
	check := a.validator.ValidateHttpResponse
	switch {
	case strings.HasPrefix(path, "/webhooks/export") && resp.StatusCode == http.StatusOK:
		return // its lines are JSON each, and together none
	case resp.StatusCode/100 == 2 && kind != "application/x-ndjson":
		check = a.validator.ValidateHttpRequestResponse
	}
	ok, errs := check(req, resp)
	if ok {
		return
	}
	for _, e := range errs {
		why := e.Reason
		for _, s := range e.SchemaValidationErrors {
			why += "; " + s.Reason + " at " + s.FieldPath
		}
		a.Errorf("%s %s (%d): %s: %s\n%.400s", method, path, resp.StatusCode, e.Message, why, answer)
	}
}

func TestTheAPIIsAsItIsDescribed(t *testing.T) {
	t.Parallel()
	app := testkit.NewApp(t)
	config := fmt.Sprintf("{\n\twebhooks {\n\t\tstore local {$DIR}/store\n\t}\n}\n{$ADDR} {\n\twebhooks /hook {\n\t\tname shop\n\t\tfrom github {env.HOOK_SECRET}\n\t\tto %s {\n\t\t\tname one\n\t\t}\n\t\tto %s {\n\t\t\tname two\n\t\t}\n\t}\n\twebhooks /asana {\n\t\tname asana\n\t\tfrom asana {\n\t\t\tsecret learn\n\t\t}\n\t\tto %s\n\t}\n}",
		app.Addr(), testkit.FreeAddr(t), app.Addr())
	g := testkit.New(t).Start(config)
	a := &asker{T: t, described: read(t), g: g, asked: map[string]bool{}}
	for i := range 6 {
		if status, _, err := testkit.Post("http://"+g.Addr+"/hook", testkit.Secret, fmt.Sprint("id", i), []byte(`{"data":{"object":{"customer":"cus_1"}}}`)); err != nil || status != 200 {
			t.Fatalf("%d %v", status, err)
		}
	}
	if status, _, err := testkit.Post("http://"+g.Addr+"/hook", "wrong", "x", []byte(`{}`)); err != nil || status != 401 {
		t.Fatalf("%d %v", status, err)
	}
	testkit.Eventually(t, "they are delivered to one, and the other is down", func() bool {
		_, text := testkit.Fetch(t, "http://"+g.Admin+"/webhooks/sources")
		return strings.Contains(text, `"state":"down"`) && strings.Contains(text, `"delivered":6`)
	})
	get := func(status int, template string, paths ...string) (text string) {
		t.Helper()
		if len(paths) == 0 {
			paths = []string{template}
		}
		for _, path := range paths {
			text = a.ask(status, "GET", template, path, nil)
		}
		return text
	}
	get(200, "/webhooks/sources")
	get(400, "/webhooks/sources", "/webhooks/sources?colour=red")
	get(200, "/webhooks/health", "/webhooks/health", "/webhooks/health?ignore=backlog_full,disk_nearly_full")
	get(503, "/webhooks/health", "/webhooks/health?oldest_pending=1ns")
	get(200, "/webhooks/history", "/webhooks/history", "/webhooks/history?span=24h&source=shop&destination=two")
	get(400, "/webhooks/history", "/webhooks/history?span=2h")
	get(200, "/webhooks/refusals", "/webhooks/refusals", "/webhooks/refusals?source=shop&limit=1")
	get(400, "/webhooks/refusals", "/webhooks/refusals?limit=0")
	first := get(200, "/webhooks/events", "/webhooks/events?source=shop&destination=one&state=delivered&type=push&since=-1h&q=data.object.customer=cus_1", "/webhooks/events?limit=1")
	get(400, "/webhooks/events", "/webhooks/events?since=yesterday")
	var page struct {
		Events []struct{ Event string }
		Next   string
	}
	if err := json.Unmarshal([]byte(first), &page); err != nil {
		t.Fatal(err)
	}
	get(200, "/webhooks/events", "/webhooks/events?limit=1&cursor="+page.Next)
	const event = "/webhooks/events/{event}"
	one := "/webhooks/events/" + page.Events[0].Event
	get(200, event, one, one+"?secrets=1")
	get(404, event, "/webhooks/events/01a20d72-0dc2-7cae-991a-bb334b5ccaff")
	get(200, event, one+"?body=raw")
	a.rest(one)
	for _, operation := range a.operations() {
		if !a.asked[operation] {
			t.Errorf("%s is described, and nobody has asked for it here", operation)
		}
	}
}

// rest asks for what changes something.
func (a *asker) rest(one string) {
	a.Helper()
	const event = "/webhooks/events/{event}"
	for _, c := range []struct {
		status         int
		method         string
		template, path string
		body           any
	}{
		{200, "POST", event + "/replay", one + "/replay", map[string]string{"destination": "one"}},
		{404, "POST", event + "/replay", one + "/replay?destination=nowhere", nil},
		{400, "POST", event + "/replay", one + "/replay?colour=red", nil},
		{200, "POST", event + "/discard", one + "/discard?destination=two", nil},
		{413, "POST", event + "/discard", one + "/discard", map[string]string{"destination": strings.Repeat("x", 5000)}},
		{200, "GET", "/webhooks/tail", "/webhooks/tail?source=shop&since=-1h&body=1&secrets=1", nil},
		{400, "GET", "/webhooks/tail", "/webhooks/tail?limit=1", nil},
		{400, "GET", "/webhooks/export", "/webhooks/export?limit=1", nil},
		{400, "POST", "/webhooks/import", "/webhooks/import?x=1", "{}\n"},
		{200, "POST", "/webhooks/replay", "/webhooks/replay", map[string]any{"source": "shop", "state": "pending", "dry_run": true, "rate": 5}},
		{202, "POST", "/webhooks/replay", "/webhooks/replay", map[string]any{"source": "shop", "destination": "one", "since": "-1h", "to": "shop/one"}},
		{400, "POST", "/webhooks/replay", "/webhooks/replay", map[string]any{}},
		{413, "POST", "/webhooks/replay", "/webhooks/replay", map[string]any{"q": strings.Repeat("x", 5000)}},
		{409, "GET", "/webhooks/tail", "/webhooks/tail?cursor=zzzz", nil},
		{409, "GET", "/webhooks/export", "/webhooks/export?cursor=zzzz", nil},
		{409, "GET", "/webhooks/events", "/webhooks/events?cursor=zzzz", nil},
		{202, "POST", "/webhooks/discard", "/webhooks/discard", map[string]any{"source": "shop", "state": "dead"}},
		{404, "POST", "/webhooks/discard", "/webhooks/discard", map[string]any{"source": "nowhere"}},
		{200, "POST", "/webhooks/move", "/webhooks/move", map[string]any{"source": "shop", "destination": "two", "to": "asana/default", "dry_run": true}},
		{400, "POST", "/webhooks/move", "/webhooks/move", map[string]any{"source": "shop"}},
		{200, "POST", "/webhooks/destinations/{source}/{destination}/pause", "/webhooks/destinations/shop/two/pause", nil},
		{200, "POST", "/webhooks/destinations/{source}/{destination}/resume", "/webhooks/destinations/shop/two/resume", nil},
		{200, "POST", "/webhooks/destinations/{source}/pause", "/webhooks/destinations/asana/pause", nil},
		{200, "POST", "/webhooks/destinations/{source}/resume", "/webhooks/destinations/asana/resume", nil},
		{409, "POST", "/webhooks/destinations/{source}/resume", "/webhooks/destinations/shop/resume", nil},
		{404, "POST", "/webhooks/destinations/{source}/{destination}/resume", "/webhooks/destinations/shop/nowhere/resume", nil},
		{200, "GET", "/webhooks/learn/{source}", "/webhooks/learn/asana", nil},
		{200, "POST", "/webhooks/learn/{source}", "/webhooks/learn/asana", nil},
		{200, "DELETE", "/webhooks/learn/{source}", "/webhooks/learn/asana", nil},
		{409, "GET", "/webhooks/learn/{source}", "/webhooks/learn/shop", nil},
		{404, "GET", "/webhooks/jobs/{job}", "/webhooks/jobs/0", nil},
	} {
		a.ask(c.status, c.method, c.template, c.path, c.body)
	}
	lines := a.ask(200, "GET", "/webhooks/export", "/webhooks/export?source=shop", nil)
	a.ask(200, "POST", "/webhooks/import", "/webhooks/import", lines+"{}\n")
	a.ask(200, "POST", "/webhooks/destinations/{source}/{destination}/pause", "/webhooks/destinations/shop/one/pause", nil)
	var begun struct{ Job string }
	text := a.ask(202, "POST", "/webhooks/replay", "/webhooks/replay", map[string]any{"source": "shop", "destination": "one", "rate": 0.001})
	if err := json.Unmarshal([]byte(text), &begun); err != nil {
		a.Fatal(err)
	}
	a.ask(200, "GET", "/webhooks/jobs", "/webhooks/jobs", nil)
	a.ask(200, "GET", "/webhooks/jobs/{job}", "/webhooks/jobs/"+begun.Job, nil)
	a.ask(200, "DELETE", "/webhooks/jobs/{job}", "/webhooks/jobs/"+begun.Job, nil)
	a.ask(409, "DELETE", "/webhooks/jobs/{job}", "/webhooks/jobs/"+begun.Job, nil)
}
