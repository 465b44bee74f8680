package browsed

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/caddy-webhooks/caddy-webhooks/internal/testkit"
)

// leads clicks what the selector names, and waits until that has led to an address
// with these words, which the one before had not.
func (b *browser) leads(selector, to string) {
	b.Helper()
	before := value(b, chromedp.Location())
	b.run(chromedp.Click(selector))
	testkit.Eventually(b, selector+" leads to "+to, func() bool {
		ctx, cancel := context.WithTimeout(b.ctx, patience)
		defer cancel()
		at, err := chromedp.Run(ctx, chromedp.Location()) // it fails while the page changes
		return err == nil && at != before && strings.Contains(at, to)
	})
	b.run(chromedp.WaitReady(chromedp.CSS("#main")))
}

// press follows a link to what it would do, and does it; words are what the page
// says then.
func (b *browser) press(link, words string) {
	b.Helper()
	b.leads(`//main//a[contains(., "`+link+`")]`, "/confirm?")
	b.confirm(words)
}

func (b *browser) confirm(words string) {
	b.Helper()
	b.leads(`//form[@method="post"]//button`, "done=")
	testkit.Eventually(b, "the page says "+words, func() bool { return strings.Contains(b.said(), words) })
}

// said is what the page says of what was done right before.
func (b *browser) said() string {
	b.Helper()
	return value(b, chromedp.TextContent(chromedp.CSS("main > [role=status]")))
}

func TestEveryActionIsPressedInABrowser(t *testing.T) {
	t.Parallel()
	for _, script := range []bool{true, false} {
		t.Run(fmt.Sprintf("script %v", script), func(t *testing.T) {
			t.Parallel()
			g := board(t, 1)
			b := open(t, g.Addr, look{"wide", 1440, 900, false, script})
			b.goTo("/dash/destinations/down/default")
			b.press("Pause…", "The destination is paused")

			b.goTo("/dash/events?source=down")
			b.leads(`//tbody/tr[1]/th/a`, "/events/")
			b.press("Replay…", "The replay is ordered. down/default is paused: nothing is sent to it")
			b.press("Discard…", "It is discarded.")
			b.until("An operator has discarded it.")

			b.goTo("/dash/destinations/down/default")
			b.press("Resume…", "The destination is resumed.")

			b.goTo("/dash/events?source=down&state=pending")
			b.leads(`//main//a[contains(., "Replay…")]`, "/confirm?")
			b.run(chromedp.SendKeys(chromedp.CSS(`form[method=get] input[name=rate]`), "0.001"))
			b.leads(`//form[@method="get"]//button`, "rate=0.001")
			b.until("7 deliveries are replayed")
			b.confirm("The replay has begun.")
			b.press("Cancel…", "The job is cancelled.")

			b.moves(g)
			deliver(t, g, "one-more")
			b.goTo("/dash/events?source=down")
			b.press("Discard…", "The discard has begun.")
		})
	}
}

// moves takes what waits to the destination that answers.
func (b *browser) moves(g *testkit.Gateway) {
	b.Helper()
	b.goTo("/dash/confirm?action=moves&filter.source=down&filter.state=" + url.QueryEscape("pending"))
	if text := b.text(); strings.Contains(text, "Choose where to.") || !strings.Contains(text, "Choose where they are moved to") {
		b.Errorf("before anything was pressed it says\n%s", text)
	}
	to := "a-source-with-a-long-name-and-a-longer-one-behind-it/" + strings.Repeat("a-long-name-", 4) + "-0"
	b.run(chromedp.SetValue(chromedp.CSS(`select[name=to]`), to))
	b.leads(`//form[@method="get"]//button`, "to=")
	b.until("7 deliveries are moved to " + to)
	b.confirm("The move has begun.")
	testkit.Eventually(b, "what was moved is delivered", func() bool { return g.Count("delivered") == 8+7 })
}
