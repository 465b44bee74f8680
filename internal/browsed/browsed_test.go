// Package browsed opens the dashboard of the real binary in a real Chromium. It is
// a module of its own, so that users of the gateway never download what it needs.
package browsed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/caddy-webhooks/caddy-webhooks/internal/testkit"
)

// patience bounds every step in a browser.
const patience = time.Minute

func TestMain(m *testing.M) {
	code := m.Run()
	testkit.Cleanup()
	os.Exit(code)
}

// chromium finds Debian's browser. Without one the tests cannot be made, which in
// CI is a failure.
func chromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	testkit.Lacks(t, "the package chromium")
	return ""
}

// axe is what looks for barriers.
func axe(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("node_modules", "axe-core", "axe.min.js"))
	if err != nil {
		t.Fatalf("%v; run npm ci in internal/browsed", err)
	}
	return string(text)
}

// browser is one window, and what went wrong in it.
type browser struct {
	*testing.T
	ctx  context.Context
	host string

	mu    sync.Mutex
	wrong []string
}

// look is how a page is looked at.
type look struct {
	name          string
	width, height int64
	dark          bool
	script        bool
}

// open starts a browser of its own, which may ask only that host.
func open(t *testing.T, host string, l look) *browser {
	t.Helper()
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.ExecPath(chromium(t)), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.WindowSize(int(l.width), int(l.height)),
	)
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	b := &browser{T: t, ctx: ctx, host: host}
	b.run() // starts it
	if err := chromedp.Listen(ctx, b.hear); err != nil {
		t.Fatal(err)
	}
	scheme := "light"
	if l.dark {
		scheme = "dark"
	}
	_, err := chromedp.Call(ctx, network.Enable, network.EnableParams{})
	_, logs := chromedp.Call(ctx, log.Enable, cdp.Empty{})
	_, metrics := chromedp.Call(ctx, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
		Width: l.width, Height: l.height, DeviceScaleFactor: 1, Mobile: l.width < 600,
	})
	_, media := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
	})
	_, script := chromedp.Call(ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !l.script})
	if err := errors.Join(err, logs, metrics, media, script); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, what := range b.wrong {
			t.Error(what)
		}
	})
	return b
}

// hear notes what must never happen: an error in the console, which is also where
// violations of the pages' policy are told, and a request to another host.
func (b *browser) hear(ev any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch ev := ev.(type) {
	case *runtime.EventExceptionThrown:
		b.wrong = append(b.wrong, "an exception: "+ev.ExceptionDetails.Text)
	case *log.EventEntryAdded:
		if slices.Contains([]string{"error", "warning"}, string(ev.Entry.Level)) && !strings.HasSuffix(ev.Entry.URL, "/NOPE") { // which is 404
			b.wrong = append(b.wrong, fmt.Sprintf("the console says: %s (%s)", ev.Entry.Text, ev.Entry.URL))
		}
	case *network.EventRequestWillBeSent:
		if u, err := url.Parse(ev.Request.URL); err != nil || u.Host != b.host && u.Scheme != "data" && u.Scheme != "about" {
			b.wrong = append(b.wrong, "something was asked of "+ev.Request.URL)
		}
	}
}

func (b *browser) run(actions ...chromedp.Action[chromedp.Void]) {
	b.Helper()
	ctx := b.ctx
	if len(actions) > 0 { // the first one starts the browser, for as long as its context
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(b.ctx, patience)
		defer cancel()
	}
	if err := chromedp.Do(ctx, actions...); err != nil {
		b.Fatal(err)
	}
}

// value is what an action gives.
func value[T any](b *browser, action chromedp.Action[T]) T {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, action)
	if err != nil {
		b.Fatal(err)
	}
	return v
}

// goTo opens a page and waits until it is there.
func (b *browser) goTo(path string) {
	b.Helper()
	b.run(chromedp.Navigate("http://"+b.host+path), chromedp.WaitReady(chromedp.CSS("#main")))
}

// text is what the page's main part says.
func (b *browser) text() string {
	b.Helper()
	return value(b, chromedp.TextContent(chromedp.CSS("#main")))
}

// until waits for words in the main part.
func (b *browser) until(words string) {
	b.Helper()
	testkit.Eventually(b, "the page says "+words, func() bool { return strings.Contains(b.text(), words) })
}

// board is a gateway with what a dashboard may have to show: events delivered,
// waiting and dead, of strangers' words, refused requests, a job, and destinations
// with long names.
func board(t *testing.T, destinations int) *testkit.Gateway {
	t.Helper()
	g, _ := boardOf(t, destinations)
	return g
}

// boardOf gives its configuration too, to start it again.
func boardOf(t *testing.T, destinations int) (*testkit.Gateway, string) {
	t.Helper()
	app := testkit.NewApp(t)
	var to strings.Builder
	for i := range destinations {
		fmt.Fprintf(&to, "\t\tto %s {\n\t\t\tname %s-%d\n\t\t}\n", app.Addr(), strings.Repeat("a-long-name-", 4), i)
	}
	sources := ""
	if destinations > 0 {
		sources = "\twebhooks /hook {\n\t\tname a-source-with-a-long-name-and-a-longer-one-behind-it\n\t\tfrom github {env.HOOK_SECRET}\n" + to.String() + "\t}\n" +
			"\twebhooks /down {\n\t\tname down\n\t\tfrom github {env.HOOK_SECRET}\n\t\tto " + testkit.FreeAddr(t) + "\n\t}\n"
	} else {
		sources = "\twebhooks /hook {\n\t\tname quiet\n\t\tfrom github {env.HOOK_SECRET}\n\t\tto " + app.Addr() + "\n\t}\n"
	}
	config := "{\n\twebhooks {\n\t\tstore local {$DIR}/store\n\t}\n}\n{$ADDR} {\n" + sources +
		"\twebhooks_dashboard /dash* {\n\t\tallow_anonymous\n\t}\n}"
	g := testkit.New(t).Start(config)
	if destinations == 0 {
		return g, config
	}
	for i := range 8 {
		for _, path := range []string{"/hook", "/down"} {
			body := fmt.Sprintf(`{"n":%d,"text":"%s"}`, i, strings.Repeat("unbroken", 60))
			status, _, err := testkit.Post("http://"+g.Addr+path, testkit.Secret, fmt.Sprint(path[1:], i), []byte(body))
			if err != nil || status != 200 {
				t.Fatalf("%d %v", status, err)
			}
		}
	}
	if status, _, err := testkit.Post("http://"+g.Addr+"/hook", "wrong", "x", []byte(`{}`)); err != nil || status != 401 {
		t.Fatalf("%d %v", status, err)
	}
	testkit.Eventually(t, "what can be delivered is", func() bool { return len(app.Got()) == 8*destinations })
	testkit.Eventually(t, "the other one is down", func() bool {
		_, text := testkit.Fetch(t, "http://"+g.Admin+"/webhooks/sources")
		return strings.Contains(text, `"state":"down"`)
	})
	if out, err := g.Run("webhooks", "replay", "--source", "down", "--address", g.Admin); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	return g, config
}

// pages are all there are, by their path.
func pages(t *testing.T, g *testkit.Gateway) []string {
	t.Helper()
	list := []string{
		"/dash/", "/dash/?span=24h", "/dash/events", "/dash/events?state=pending", "/dash/events?since=tomorrow", "/dash/events?type=none",
		"/dash/refusals", "/dash/jobs", "/dash/events/NOPE",
	}
	var events struct {
		Events []struct{ Event, Source string }
	}
	fetch(t, g, "/webhooks/events?limit=2", &events)
	for _, e := range events.Events {
		list = append(list, "/dash/events/"+e.Event, "/dash/confirm?action=replay&event="+e.Event, "/dash/confirm?action=discard&event="+e.Event)
	}
	var sources struct {
		Sources []struct {
			Name         string
			Destinations []struct{ Name string }
		}
	}
	fetch(t, g, "/webhooks/sources", &sources)
	for _, s := range sources.Sources {
		d := s.Name + "/" + s.Destinations[0].Name
		list = append(list, "/dash/destinations/"+d, "/dash/destinations/"+d+"?span=24h", "/dash/confirm?action=pause&destination="+url.QueryEscape(d),
			"/dash/confirm?action=replays&filter.source="+s.Name, "/dash/confirm?action=discards&filter.source="+s.Name, "/dash/confirm?action=moves&filter.source="+s.Name)
	}
	var jobs struct{ Jobs []struct{ Job string } }
	fetch(t, g, "/webhooks/jobs", &jobs)
	for _, j := range jobs.Jobs {
		list = append(list, "/dash/jobs/"+j.Job)
	}
	return list
}

func fetch(t *testing.T, g *testkit.Gateway, path string, v any) {
	t.Helper()
	status, text := testkit.Fetch(t, "http://"+g.Admin+path)
	if err := json.Unmarshal([]byte(text), v); err != nil || status != 200 {
		t.Fatalf("%s: %d %v", path, status, err)
	}
}

// findings are what axe gives, violation is one of them.
type findings struct {
	Violations []violation `json:"violations"`
}

type violation struct {
	ID    string `json:"id"`
	Help  string `json:"help"`
	Nodes []struct {
		HTML string `json:"html"`
	} `json:"nodes"`
}

func TestEveryPageIsWithoutBarriersInEveryLook(t *testing.T) {
	t.Parallel()
	script := axe(t)
	found, looked := 0, 0
	for name, g := range map[string]*testkit.Gateway{"nothing": board(t, 0), "3 destinations": board(t, 3), "50 destinations": board(t, 50)} {
		for _, l := range []look{
			{"wide", 1440, 900, false, true},
			{"wide, dark", 1440, 900, true, true},
			{"phone", 375, 700, false, true},
			{"phone, dark", 375, 700, true, true},
			{"tablet", 768, 1000, false, true},
		} {
			if l.dark && name != "3 destinations" || l.name == "tablet" && name == "nothing" {
				continue // as it is with more
			}
			b := open(t, g.Addr, l)
			for _, path := range pages(t, g) {
				b.goTo(path)
				over := value(b, chromedp.Evaluate[int](`document.documentElement.scrollWidth - document.documentElement.clientWidth`))
				if over > 0 {
					t.Errorf("%s, %s: %s is %d pixels too wide", name, l.name, path, over)
				}
				result := value(b, chromedp.Evaluate[findings](script+`; axe.run(document, {resultTypes: ["violations"]})`, chromedp.EvalAwaitPromise))
				for _, v := range result.Violations {
					found++
					t.Errorf("%s, %s: %s: %s (%s): %.300s", name, l.name, path, v.Help, v.ID, v.Nodes[0].HTML)
				}
				looked++
			}
		}
	}
	t.Logf("axe looked at %d pages and found %d violations", looked, found)
	if looked < 100 {
		t.Errorf("it looked at %d pages alone", looked)
	}
}

func TestPagesCanBeReadWithoutAScript(t *testing.T) {
	t.Parallel()
	g := board(t, 3)
	b := open(t, g.Addr, look{"phone", 375, 700, false, false})
	for _, path := range pages(t, g) {
		b.goTo(path)
		if text := b.text(); len(text) < 20 {
			t.Errorf("%s says %q", path, text)
		}
	}
	b.goTo("/dash/events?source=down")
	b.leads(`//tbody/tr[1]/th/a`, "/events/")
	b.until("It waits because the destination is down")
}

func TestAnEventIsReplayedWithTheKeyboardAlone(t *testing.T) {
	t.Parallel()
	g := board(t, 1)
	b := open(t, g.Addr, look{"wide", 1440, 900, false, true})
	b.goTo("/dash/")
	b.tabTo("Skip to the content")
	b.tabTo("Events")
	b.enter("/dash/events")
	b.tabTo("ago")
	b.enter("/dash/events/")
	b.tabTo("Replay…")
	b.enter("/dash/confirm")
	b.tabTo("Replay")
	b.enter("/dash/events/")
	b.until("The replay is ordered.")
}

// focused is what has the focus.
type focused struct {
	Text    string `json:"text"`
	Visible bool   `json:"visible"`
}

// tabTo presses Tab until what has the focus says these words.
func (b *browser) tabTo(words string) {
	b.Helper()
	var seen []string
	for range 60 {
		b.run(chromedp.KeyEvent("\t"))
		at := value(b, chromedp.Evaluate[focused](`(() => { const e = document.activeElement, s = getComputedStyle(e), r = e.getBoundingClientRect();
			return {text: e.textContent, visible: s.outlineStyle !== "none" && r.right > 0 && r.bottom > 0}; })()`))
		if strings.Contains(at.Text, words) && len(at.Text) < 200 {
			if !at.Visible {
				b.Errorf("the focus on %q cannot be seen", words)
			}
			return
		}
		seen = append(seen, strings.TrimSpace(at.Text))
	}
	b.Fatalf("Tab does not lead to %q; it leads to %q", words, seen)
}

// enter presses Enter and waits for the page that it leads to.
func (b *browser) enter(path string) {
	b.Helper()
	b.run(chromedp.KeyEvent("\r"))
	testkit.Eventually(b, "Enter leads to "+path, func() bool {
		ctx, cancel := context.WithTimeout(b.ctx, patience)
		defer cancel()
		at, err := chromedp.Run(ctx, chromedp.Location()) // it fails while the page changes
		return err == nil && strings.Contains(at, path)
	})
	b.run(chromedp.WaitReady(chromedp.CSS("#main")))
}
