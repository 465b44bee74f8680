package browsed

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"

	"github.com/caddy-webhooks/caddy-webhooks/internal/testkit"
)

// stands waits until the header says so.
func (b *browser) stands(state string) {
	b.Helper()
	testkit.Eventually(b, "the page is "+state, func() bool { // a poll of the browser's would rest where nobody looks
		return value(b, chromedp.Evaluate[string](`document.querySelector(".bar").dataset.state || ""`)) == state
	})
}

// forgive takes back what the console says of connections that were broken on purpose.
func (b *browser) forgive() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wrong = slices.DeleteFunc(b.wrong, func(s string) bool {
		return strings.Contains(s, "ERR_CONNECTION") || strings.Contains(s, "ERR_INCOMPLETE_CHUNKED_ENCODING") ||
			strings.Contains(s, "ERR_EMPTY_RESPONSE") || strings.Contains(s, "status of 502")
	})
}

// deliver sends an event to the source whose application does not answer.
func deliver(t *testing.T, g *testkit.Gateway, id string) {
	t.Helper()
	if status, _, err := testkit.Post("http://"+g.Addr+"/down", testkit.Secret, id, []byte(`{}`)); err != nil || status != 200 {
		t.Fatalf("%d %v", status, err)
	}
}

func TestPagesStayUpToDateByThemselves(t *testing.T) {
	t.Parallel()
	g := board(t, 1)
	b := open(t, g.Addr, look{"low", 1440, 400, false, true})
	b.goTo("/dash/events?source=down&state=pending")
	b.stands("live")
	b.run(chromedp.Evaluate[chromedp.Void](`document.querySelector("details.fields").open = true`))
	b.run(chromedp.SendKeys(chromedp.CSS(`input[name=id]`), "half a word"))
	b.run(chromedp.Evaluate[chromedp.Void](`window.row = document.querySelector("tbody tr"); window.scrollTo(0, 50)`))
	deliver(t, g, "the-new-one")
	b.until("the-new-one")
	// What somebody writes meanwhile, opens or looks at is left alone.
	kept := value(b, chromedp.Evaluate[string](`[document.querySelector("input[name=id]").value, document.activeElement.name,
		document.querySelector("details.fields").open, window.row.isConnected, window.scrollY].join()`))
	if kept != "half a word,id,true,true,50" {
		t.Errorf("afterwards it has %s", kept)
	}
}

func TestNothingThatStrangersSendBreaksALivePage(t *testing.T) {
	t.Parallel()
	const evil = "first\r\revent: x\rid: 5\rretry: 1\r\rdata: <h1>mine</h1>\u2028last"
	app := testkit.NewApp(t)
	app.Answer(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusGone)
		_, _ = io.WriteString(w, evil)
	})
	g := testkit.New(t).Start("{\n\twebhooks {\n\t\tstore local {$DIR}/store\n\t}\n}\n{$ADDR} {\n\twebhooks /any/* {\n\t\tname any\n\t\tfrom github {env.HOOK_SECRET}\n\t\tto " +
		app.Addr() + "\n\t}\n\twebhooks_dashboard /dash* {\n\t\tallow_anonymous\n\t}\n}")
	b := open(t, g.Addr, look{"wide", 1440, 900, false, true})
	b.goTo("/dash/refusals")
	b.stands("live")
	for _, name := range []string{"one", "two"} { // the second shows that the stream goes on
		path := "/any/" + name + "%0D%0Devent:x%0Ddata:%20y%0D%0D%E2%80%A8"
		if status, _, err := testkit.Post("http://"+g.Addr+path, "wrong", "x", []byte(`{}`)); err != nil || status != 401 {
			t.Fatalf("%d %v", status, err)
		}
		b.until("/any/" + name)
		b.stands("live")
	}
	if status, _, err := testkit.Post("http://"+g.Addr+"/any/x", testkit.Secret, "x", fmt.Appendf(nil, `{"type":%q}`+"\r\rdata: <h1>x</h1>\r", evil)); err != nil || status != 200 {
		t.Fatalf("%d %v", status, err)
	}
	testkit.Eventually(t, "it is dead", func() bool { return g.Count("dead") == 1 })
	b.goTo("/dash/events/" + newest(t, g))
	b.stands("live")
	b.run(chromedp.Evaluate[chromedp.Void](`window.heading = document.querySelector("h1")`))
	if out, err := g.Run("webhooks", "replay", newest(t, g), "--address", g.Admin); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	value(b, chromedp.Poll[bool](`document.querySelectorAll(".tries li").length === 2`))
	b.stands("live")
	if n := value(b, chromedp.Evaluate[int](`document.querySelectorAll("h1").length + (window.heading.isConnected ? 0 : 10)`)); n != 1 {
		t.Errorf("the page has not its own one heading any more: %d", n)
	}
}

// newest is the newest event's ID.
func newest(t *testing.T, g *testkit.Gateway) string {
	t.Helper()
	var v struct{ Events []struct{ Event string } }
	g.Get("/webhooks/events?limit=1", &v)
	return v.Events[0].Event
}

func TestEightPagesSideBySideDoNotTakeAllConnections(t *testing.T) {
	t.Parallel()
	g := board(t, 1)
	all := []*browser{open(t, g.Addr, look{"wide", 1440, 900, false, true})}
	for range 7 {
		ctx, cancel := chromedp.NewContext(all[0].ctx)
		t.Cleanup(cancel)
		b := &browser{T: t, ctx: ctx, host: g.Addr}
		b.run() // opens it
		all = append(all, b)
	}
	for i, b := range all {
		b.goTo(fmt.Sprintf("/dash/events?source=down&state=pending&since=-%dh", i+1))
		b.stands("live")
	}
	deliver(t, g, "for-all-of-them")
	for _, b := range all {
		b.until("for-all-of-them")
	}
	all[0].goTo("/dash/jobs")
}

func TestAPageThatIsNotLookedAtTakesNoConnection(t *testing.T) {
	t.Parallel()
	g := board(t, 1)
	b := open(t, g.Addr, look{"wide", 1440, 900, false, true})
	b.goTo("/dash/events?source=down&state=pending")
	b.stands("live")
	const looked = `Object.defineProperty(document, "hidden", {value: %v, configurable: true}); document.dispatchEvent(new Event("visibilitychange"))`
	b.run(chromedp.Evaluate[chromedp.Void](fmt.Sprintf(looked, true)))
	b.stands("resting")
	deliver(t, g, "meanwhile")
	b.run(chromedp.Evaluate[chromedp.Void](`window.dispatchEvent(new PageTransitionEvent("pageshow", {persisted: true}))`)) // still hidden
	b.stands("resting")
	b.run(chromedp.Evaluate[chromedp.Void](fmt.Sprintf(looked, false)))
	b.stands("live")
	b.until("meanwhile")
	b.run(chromedp.Evaluate[chromedp.Void](`window.dispatchEvent(new PageTransitionEvent("pagehide")); window.dispatchEvent(new PageTransitionEvent("pageshow", {persisted: true}))`))
	deliver(t, g, "after-coming-back")
	b.until("after-coming-back")
}

func TestAPageThatIsNotUpToDateSaysSoAndComesBackByItself(t *testing.T) {
	t.Parallel()
	g, config := boardOf(t, 1)
	b := open(t, g.Addr, look{"wide", 1440, 900, false, true})
	b.goTo("/dash/events?source=down&state=pending")
	b.stands("live")
	g.Stop()
	b.stands("lost")
	words := value(b, chromedp.TextContent(chromedp.CSS(`header [role=status]`)))
	if !strings.Contains(words, "Not up to date") || !strings.Contains(words, " UTC") {
		t.Errorf("it says %q", words)
	}
	g.Start(config)
	b.stands("live")
	deliver(t, g, "after-the-restart")
	b.until("after-the-restart")
	b.forgive()
}

func TestAPageComesBackAfterAnAnswerThatIsNoStream(t *testing.T) {
	t.Parallel()
	g := board(t, 1)
	var broken atomic.Bool
	var refused atomic.Int64
	behind := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: g.Addr})
	behind.FlushInterval = -1
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if broken.Load() {
			refused.Add(1)
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		behind.ServeHTTP(w, r)
	}))
	t.Cleanup(proxy.Close)
	b := open(t, strings.TrimPrefix(proxy.URL, "http://"), look{"wide", 1440, 900, false, true})
	b.goTo("/dash/events?source=down&state=pending")
	b.stands("live")
	broken.Store(true)
	proxy.CloseClientConnections()
	testkit.Eventually(t, "it is answered 502", func() bool { return refused.Load() > 0 })
	b.stands("lost")
	broken.Store(false)
	b.stands("live")
	b.goTo("/dash/") // the proxy waits for the stream's end
	b.run(chromedp.Navigate("about:blank"))
	b.forgive()
}

func TestWhoeverIsAtWorkInAPageKeepsWhatIsUnderTheirHands(t *testing.T) {
	t.Parallel()
	g := board(t, 1)
	b := open(t, g.Addr, look{"wide", 1440, 900, false, true})
	b.goTo("/dash/events?source=down&state=pending")
	b.stands("live")
	at := value(b, chromedp.Evaluate[spot](`(() => { const a = document.querySelectorAll("tbody th a")[2], r = a.getBoundingClientRect();
		return {x: r.x + 5, y: r.y + 5, href: a.getAttribute("href")}; })()`))
	// Over a row nothing moves, and what is pressed stays until it is let go.
	b.run(chromedp.MouseEvent(input.DispatchMouseEventTypeMouseMoved, at.X, at.Y))
	deliver(t, g, "under-the-pointer")
	value(b, chromedp.Poll[bool](`document.getElementById("held").textContent !== ""`))
	b.run(chromedp.MouseEvent(input.DispatchMouseEventTypeMousePressed, at.X, at.Y, chromedp.ButtonLeft, chromedp.ClickCount(1)))
	deliver(t, g, "under-the-press")
	if strings.Contains(b.text(), "under-the") {
		t.Error("the rows have moved under the pointer")
	}
	b.run(chromedp.MouseEvent(input.DispatchMouseEventTypeMouseReleased, at.X, at.Y, chromedp.ButtonLeft, chromedp.ClickCount(1)))
	testkit.Eventually(t, "the press has opened the event that it was on", func() bool {
		return strings.HasSuffix(value(b, chromedp.Location()), strings.TrimPrefix(at.Href, "."))
	})
}

// spot is where a link stands.
type spot struct {
	X    float64 `json:"x"`
	Y    float64 `json:"y"`
	Href string  `json:"href"`
}

func TestUpdatesCanBePausedWithTheKeyboard(t *testing.T) {
	t.Parallel()
	g := board(t, 1)
	b := open(t, g.Addr, look{"wide", 1440, 900, false, true})
	b.goTo("/dash/events?source=down&state=pending")
	b.stands("live")
	b.tabTo("Pause updates")
	b.run(chromedp.KeyEvent("\r"))
	b.stands("paused")
	deliver(t, g, "while-paused")
	if pressed := value(b, chromedp.Evaluate[string](`document.activeElement.getAttribute("aria-pressed")`)); pressed != "true" {
		t.Errorf("the button is pressed: %s", pressed)
	}
	if strings.Contains(b.text(), "while-paused") {
		t.Error("it goes on nevertheless")
	}
	b.run(chromedp.KeyEvent("\r"))
	b.stands("live")
	b.until("while-paused")
}
