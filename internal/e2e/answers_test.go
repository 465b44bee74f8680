package e2e

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/internal/testkit"
	"github.com/caddy-webhooks/caddy-webhooks/verify"
	"github.com/caddy-webhooks/caddy-webhooks/verify/providers"
)

// provider sends as one of the presets does, and reads the answer.
type provider struct {
	name, secret, contentType string
	// signer is the provider's private key, if it has one.
	signer crypto.Signer
	// public is the address that it was given; empty: the gateway's own.
	public string
	header http.Header
}

// told is what a provider was answered.
type told struct {
	status int
	header http.Header
	body   string
}

func (p provider) send(t *testing.T, target, body string) told {
	t.Helper()
	record, ok := providers.Get(p.name)
	if !ok {
		t.Fatalf("no provider %s", p.name)
	}
	v, err := record.Compile(verify.Options{Secrets: []verify.Secret{verify.NewSecret(p.secret)}})
	if err != nil {
		t.Fatal(err)
	}
	q := &verify.Request{Method: http.MethodPost, URL: p.public, Header: p.header.Clone(), Query: url.Values{}, Body: []byte(body)}
	if q.Header == nil {
		q.Header = http.Header{}
	}
	q.Header.Set("Content-Type", p.contentType)
	if p.signer != nil {
		err = v.SignKey(q, p.signer, time.Now(), "")
	} else {
		err = v.Sign(q, time.Now(), "")
	}
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, target, bytes.NewReader(q.Body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = q.Header
	return answerTo(t, http.DefaultClient, req)
}

func answerTo(t *testing.T, c *http.Client, req *http.Request) told {
	t.Helper()
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return told{resp.StatusCode, resp.Header, string(text)}
}

func (a told) is(t *testing.T, what, contentType, body string) {
	t.Helper()
	if a.status != http.StatusOK || a.header.Get("Content-Type") != contentType || a.body != body {
		t.Errorf("%s is answered %d %s %q, want 200 %s %q", what, a.status, a.header.Get("Content-Type"), a.body, contentType, body)
	}
}

// says is an application that always answers the same.
func says(contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		_, _ = io.WriteString(w, body)
	}
}

func TestExampleSlackShowsTheApplicationsAnswerToACommand(t *testing.T) {
	t.Parallel()
	app := testkit.NewApp(t)
	const answer = `{"response_type":"ephemeral","text":"it is *sunny*"}`
	app.Answer(says("application/json", answer))
	g := testkit.New(t, "SLACK_SIGNING_SECRET=8f742231").Start(example(t, "slack", "localhost:3000", app.Addr()))
	slack := provider{name: "slack", secret: "8f742231", contentType: "application/x-www-form-urlencoded"}
	target, command := "http://"+g.Addr+"/slack/commands", "token=x&team_id=T1&command=%2Fweather&text=94070&trigger_id=13345.1"
	got := slack.send(t, target, command)
	got.is(t, "a command", "application/json", answer)
	if got.header.Get("Webhook-Status") != "accepted" {
		t.Errorf("the headers are %v", got.header)
	}
	if n := app.Got(); len(n) != 1 || string(n[0].Body) != command {
		t.Errorf("the application got %+v", n)
	}
	app.Answer(unavailableApp)
	slack.send(t, target, command+"2").is(t, "a command during an outage", "text/plain; charset=utf-8", "One moment: this takes a little longer today.")
	app.Answer(nil)
	testkit.Eventually(t, "it arrives after the outage", func() bool { return g.Count("delivered") == 2 })
	testkit.Eventually(t, "the log says it", func() bool { return strings.Contains(g.Log(), "the provider got the normal answer") })
}

func TestExampleDiscordAnswersPingsItselfAndCommandsByTheApplication(t *testing.T) {
	t.Parallel()
	app := testkit.NewApp(t)
	const answer = `{"type":4,"data":{"content":"hello"}}`
	app.Answer(says("application/json", answer))
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	key := hex.EncodeToString(public)
	g := testkit.New(t, "DISCORD_PUBLIC_KEY="+key).Start(example(t, "discord", "localhost:3000", app.Addr()))
	discord := provider{name: "discord", secret: key, signer: private, contentType: "application/json"}
	target := "http://" + g.Addr + "/discord/interactions"
	discord.send(t, target, `{"id":"1","application_id":"2","type":1,"token":"t","version":1}`).is(t, "a ping", "application/json", `{"type":1}`)
	if n := len(app.Got()); n != 0 {
		t.Errorf("the application got %d pings", n)
	}
	discord.send(t, target, `{"id":"3","application_id":"2","type":2,"token":"t","data":{"name":"greet"}}`).is(t, "a command", "application/json", answer)
	app.Answer(unavailableApp)
	discord.send(t, target, `{"id":"4","application_id":"2","type":2,"token":"t","data":{"name":"greet"}}`).is(t, "a command during an outage", "application/json", `{"type":5}`)
}

func TestExampleTwiMLSendsTheApplicationsXML(t *testing.T) {
	t.Parallel()
	app := testkit.NewApp(t)
	const answer = `<?xml version="1.0" encoding="UTF-8"?><Response><Message>thanks</Message></Response>`
	app.Answer(says("text/xml", answer))
	g := testkit.New(t, "TWILIO_AUTH_TOKEN=12345").Start(example(t, "twiml", "localhost:3000", app.Addr()))
	twilio := provider{
		name: "twilio", secret: "12345", contentType: "application/x-www-form-urlencoded", public: "https://hooks.example.com/twilio/message",
		header: http.Header{"I-Twilio-Idempotency-Token": {"a"}},
	}
	target, body := "http://"+g.Addr+"/twilio/message", "MessageSid=SM1&From=%2B15017122661&To=%2B15558675310&Body=hello"
	twilio.send(t, target, body).is(t, "a message", "text/xml", answer)
	const nothing = `<?xml version="1.0" encoding="UTF-8"?><Response/>`
	twilio.send(t, target, body).is(t, "its repeat", "application/xml", nothing)
	app.Answer(unavailableApp)
	twilio.header.Set("I-Twilio-Idempotency-Token", "b")
	twilio.send(t, target, body).is(t, "a message during an outage", "application/xml", nothing)
}

// asking is [simple] whose provider waits.
func asking(app *testkit.App, within string) string {
	return strings.Replace(simple(app), "from github", "respond backend within "+within+"\n\t\tfrom github", 1)
}

func TestAnEventWhoseProviderWaitsSurvivesKillNine(t *testing.T) {
	t.Parallel()
	app := testkit.NewApp(t)
	began := make(chan struct{}, 1)
	app.Answer(func(_ http.ResponseWriter, r *http.Request) {
		began <- struct{}{}
		<-r.Context().Done()
	})
	g := testkit.New(t).Start(asking(app, "1h"))
	broken := make(chan error)
	go func() {
		_, _, err := testkit.Post("http://"+g.Addr+"/hook", testkit.Secret, "a", []byte("{}"))
		broken <- err
	}()
	<-began
	g.Kill()
	if <-broken == nil {
		t.Error("the provider got an answer")
	}
	app.Answer(nil)
	g.Start(asking(app, "1h"))
	testkit.Eventually(t, "it is delivered", func() bool { return g.Count("delivered") == 1 })
	got := app.Got()
	if first, last := got[0].Header.Get("Webhook-Event-Id"), got[len(got)-1].Header.Get("Webhook-Event-Id"); first != last || len(got) != 2 {
		t.Errorf("the application got %d requests: of %s, and last of %s", len(got), first, last)
	}
	if status, h, err := testkit.Post("http://"+g.Addr+"/hook", testkit.Secret, "a", []byte("{}")); err != nil || status != 200 || h.Get("Webhook-Status") != "duplicate" {
		t.Errorf("the provider's repeat: %d %v %v", status, h, err)
	}
}

func TestAProviderThatHangsUpDoesNotEndTheAttempt(t *testing.T) {
	t.Parallel()
	app := testkit.NewApp(t)
	began, release := make(chan struct{}), make(chan struct{})
	app.Answer(func(http.ResponseWriter, *http.Request) {
		close(began)
		<-release
	})
	g := testkit.New(t).Start(asking(app, "1h"))
	req, err := testkit.Signed("http://"+g.Addr+"/hook", testkit.Secret, "a", []byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, hangUp := context.WithCancel(t.Context())
	hungUp := make(chan struct{})
	go func() {
		defer close(hungUp)
		if resp, err := http.DefaultClient.Do(req.WithContext(ctx)); err == nil {
			_ = resp.Body.Close()
			t.Error("the provider got an answer")
		}
	}()
	<-began
	hangUp()
	<-hungUp
	testkit.Eventually(t, "the gateway notices", func() bool { return strings.Contains(g.Log(), `"reason":"gone"`) })
	close(release)
	testkit.Eventually(t, "it is delivered", func() bool { return g.Count("delivered") == 1 })
	if n := len(app.Got()); n != 1 {
		t.Errorf("the application got %d requests", n)
	}
}

func TestAnExitAnswersAProviderThatWaits(t *testing.T) {
	t.Parallel()
	app := testkit.NewApp(t)
	began := make(chan struct{}, 1)
	app.Answer(func(_ http.ResponseWriter, r *http.Request) {
		began <- struct{}{}
		<-r.Context().Done()
	})
	g := testkit.New(t).Start(asking(app, "2s"))
	type result struct {
		status int
		word   string
		err    error
	}
	answered := make(chan result)
	go func() {
		status, h, err := testkit.Post("http://"+g.Addr+"/hook", testkit.Secret, "a", []byte("{}"))
		answered <- result{status, h.Get("Webhook-Status"), err}
	}()
	<-began
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		g.Stop()
	}()
	if r := <-answered; r.err != nil || r.status != 200 || r.word != "accepted" {
		t.Errorf("the provider got %+v", r)
	}
	<-ended
	app.Answer(nil)
	g.Start(asking(app, "2s"))
	testkit.Eventually(t, "it is delivered", func() bool { return g.Count("delivered") == 1 })
}

func TestAnswersTravelOverHTTP2(t *testing.T) {
	t.Parallel()
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	proto := make(chan string, 1)
	app := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		proto <- r.Proto
		w.Header()["Set-Cookie"] = []string{"a=1", "b=2"}
		w.WriteHeader(http.StatusAccepted)
		for i := range 3 { // frames, without a length
			_, _ = fmt.Fprint(w, "part ", i, " ")
			_ = http.NewResponseController(w).Flush()
		}
	}))
	app.Config.Protocols = &protocols
	app.Start()
	t.Cleanup(app.Close)
	g := testkit.New(t).Start(fmt.Sprintf(`{
	servers {
		protocols h1 h2c
	}
}
{$ADDR} {
	webhooks /hook {
		from github {env.HOOK_SECRET}
		respond backend within 1h
		to h2c://%s
	}
}`, app.Listener.Addr()))
	req, err := testkit.Signed("http://"+g.Addr+"/hook", testkit.Secret, "a", []byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	var only http.Protocols
	only.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: &only}
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.ProtoMajor != 2 || resp.StatusCode != http.StatusAccepted || string(text) != "part 0 part 1 part 2 " {
		t.Errorf("got %s %d %q, %v", resp.Proto, resp.StatusCode, text, err)
	}
	if cookies := strings.Join(resp.Header["Set-Cookie"], ","); cookies != "a=1,b=2" || <-proto != "HTTP/2.0" {
		t.Errorf("the cookies are %q", cookies)
	}
}
