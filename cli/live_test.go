package cli_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard"
	"github.com/spf13/cobra"

	_ "github.com/caddy-webhooks/caddy-webhooks"
	"github.com/caddy-webhooks/caddy-webhooks/internal/testkit"
)

// live is a Caddy in this process, with an application behind it whose answer
// can be changed.
type live struct {
	t            *testing.T
	admin, site  string
	answer       atomic.Int64
	got          atomic.Int64
	replayHeader atomic.Int64
}

func newLive(t *testing.T) *live {
	t.Helper()
	l := &live{t: t, admin: testkit.FreeAddr(t), site: testkit.FreeAddr(t)}
	l.answer.Store(http.StatusInternalServerError)
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Webhook-Replay") == "true" {
			l.replayHeader.Add(1)
		}
		w.WriteHeader(int(l.answer.Load()))
		l.got.Add(1)
	}))
	t.Cleanup(app.Close)
	l.load(fmt.Sprintf(`http://%s {
		webhooks /github {
			from github s3cret
			to %s
		}
	}`, l.site, strings.TrimPrefix(app.URL, "http://")))
	t.Cleanup(func() {
		if err := caddy.Load([]byte(`{"admin":{"disabled":true}}`), true); err != nil {
			t.Error(err)
		}
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// load adapts and runs a Caddyfile, with the global options that it needs.
func (l *live) load(sites string) {
	l.t.Helper()
	global := fmt.Sprintf("{\nadmin %s\npersist_config off\nauto_https off\nlog {\noutput discard\n}\n", l.admin)
	if strings.Contains(sites, "webhooks") {
		global += "webhooks {\nstore memory\n}\n"
	}
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(global+"}\n"+sites+"\n"), nil)
	if err != nil {
		l.t.Fatal(err)
	}
	if err := caddy.Load(config, true); err != nil {
		l.t.Fatal(err)
	}
}

// run runs `caddy webhooks` as it is registered with Caddy.
func (l *live) run(args ...string) (string, error) {
	l.t.Helper()
	registered, ok := caddycmd.Commands()["webhooks"]
	if !ok {
		l.t.Fatal("Caddy has no command webhooks")
	}
	cmd := &cobra.Command{Use: "webhooks", SilenceErrors: true}
	registered.CobraFunc(cmd)
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SetArgs(append(args, "--address", l.admin))
	err := cmd.ExecuteContext(l.t.Context())
	return out.String(), err
}

func (l *live) must(args ...string) string {
	l.t.Helper()
	out, err := l.run(args...)
	if err != nil {
		l.t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return out
}

// refused runs what must fail, and say why.
func (l *live) refused(why string, args ...string) {
	l.t.Helper()
	if out, err := l.run(args...); err == nil || !strings.Contains(err.Error(), why) {
		l.t.Errorf("%v: %q, %v; want an error with %q", args, out, err, why)
	}
}

func (l *live) becomes(event, state string) {
	l.t.Helper()
	testkit.Eventually(l.t, "the event is "+state, func() bool {
		return strings.Contains(l.must("events", "--state", state, "--json"), event)
	})
}

// TestAnOperatorsDay works a running Caddy by command line only. Caddy is one
// per process, so this is one test and not parallel.
func TestAnOperatorsDay(t *testing.T) {
	l := newLive(t)
	url := "http://" + l.site + "/github"
	sent := strings.Fields(l.must("send", "github", url, "--secret", "s3cret", "--id", "one", "--type", "star", "--repeat", "2"))
	if len(sent) != 8 || sent[0] != "200" || sent[1] != "accepted" || sent[5] != "duplicate" || sent[2] != sent[6] {
		t.Fatalf("sent twice: %v", sent)
	}
	event := sent[2]
	if out := l.must("send", "github", url, "--secret", "s3cret", "--bad"); !strings.HasPrefix(out, "401 rejected ") {
		t.Errorf("with --bad: %s", out)
	}
	l.becomes(event, "pending")
	testkit.Eventually(t, "the first attempt is recorded", func() bool { return strings.Contains(l.must("show", event), "  500  ") })
	shown := l.must("show", event)
	for _, part := range []string{"id        one\n", "type      star\n", "X-Hub-Signature-256: [masked]", "X-Github-Delivery: one", "octo/hello"} {
		if !strings.Contains(shown, part) {
			t.Errorf("show lacks %q:\n%s", part, shown)
		}
	}
	if strings.Contains(shown, "sha256=") {
		t.Errorf("the signature is shown:\n%s", shown)
	}
	if out := l.must("sources"); !strings.Contains(out, "github (github), since the start: 1 accepted, 1 duplicate, 1 rejected") {
		t.Errorf("sources:\n%s", out)
	}
	l.steer(event)
	l.errors(event)
	l.load(`http://` + l.site + ` {
		respond ok
	}`)
	l.refused("no webhooks directive", "sources")
}

// steer gives the event up, and has it delivered after all.
func (l *live) steer(event string) {
	l.t.Helper()
	l.must("discard", event)
	l.becomes(event, "discarded")
	l.answer.Store(http.StatusOK)
	if out := l.must("replay", event, "--destination", "default"); !strings.Contains(out, event+" is due again: default") {
		l.t.Errorf("replay: %s", out)
	}
	l.becomes(event, "delivered")
	for round := range int64(2) { // a replay that is not the first one works too
		before := l.replayHeader.Load()
		if before != round+1 {
			l.t.Errorf("%d replays reached the application, want %d", before, round+1)
		}
		l.must("replay", event)
		testkit.Eventually(l.t, "the replay arrives", func() bool { return l.replayHeader.Load() > before })
		l.becomes(event, "delivered")
	}
}

// errors tries what is not possible.
func (l *live) errors(event string) {
	l.t.Helper()
	const unknown = "01890a5d-ac96-774b-bcce-b302099a8057"
	l.refused("not possible in this state", "discard", event)
	l.refused("no such event", "show", unknown)
	l.refused("no such event", "replay", unknown)
	l.refused("not an event ID", "show", "../sources")
	l.refused("nobody", "replay", event, "--destination", "nobody")
	l.refused("empty", "replay", event, "--destination", "")
	l.refused("empty", "events", "--state", "")
	l.refused("delivered dead", "events", "--state", "lost")
	l.refused("-2h", "events", "--since", "yesterday")
	var page struct{ Events []json.RawMessage }
	if err := json.Unmarshal([]byte(l.must("events", "--since", "-2h", "--all", "--json")), &page); err != nil || len(page.Events) != 1 {
		l.t.Errorf("%d events, %v", len(page.Events), err)
	}
}
