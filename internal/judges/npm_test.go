package judges

import (
	"bufio"
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/verify"
	"github.com/caddy-webhooks/caddy-webhooks/verify/providers"
	"github.com/caddy-webhooks/caddy-webhooks/verify/verifytest"
)

// judge is an SDK for Node and what it can do.
type judge struct {
	provider, sdk   string
	signs, verifies bool
	// secret is for SDKs that insist on a form of their own.
	secret string
	// body is for SDKs that read what they have verified; else it is the sample.
	body string
}

// npm lists the judges, by provider.
var npm = []judge{
	{provider: "adyen", sdk: "@adyen/api-library", signs: true, verifies: true},
	{provider: "adyen-platform", sdk: "@adyen/api-library", verifies: true},
	{provider: "aws-sns", sdk: "sns-validator", verifies: true},
	{provider: "box", sdk: "box-node-sdk", verifies: true},
	{provider: "braintree", sdk: "braintree", signs: true},
	{provider: "coinbase-commerce", sdk: "coinbase-commerce-node", signs: true, verifies: true, body: `{"id":"1","event":{"id":"e1","type":"charge:created","data":{}}}`},
	{provider: "contentful", sdk: "@contentful/node-apps-toolkit", signs: true, verifies: true, secret: strings.Repeat("y", 64)},
	{provider: "discord", sdk: "discord-interactions", verifies: true},
	{provider: "elevenlabs", sdk: "@elevenlabs/elevenlabs-js", verifies: true},
	{provider: "github", sdk: "@octokit/webhooks-methods", signs: true, verifies: true},
	{provider: "gocardless", sdk: "gocardless-nodejs", verifies: true, body: `{"events":[{"id":"EV1","resource_type":"payments","action":"paid"}],"meta":{"webhook_id":"WB1"}}`},
	{provider: "hookdeck", sdk: "@hookdeck/sdk", verifies: true},
	{provider: "hubspot", sdk: "@hubspot/api-client", signs: true, verifies: true},
	{provider: "jira-connect", sdk: "@atlassian/atlassian-jwt", signs: true, verifies: true},
	{provider: "line", sdk: "@line/bot-sdk", verifies: true},
	{provider: "linear", sdk: "@linear/sdk", verifies: true},
	{provider: "livekit", sdk: "livekit-server-sdk", signs: true, verifies: true, body: `{"event":"room_started","id":"EV_1","createdAt":"1795000000"}`},
	{provider: "modern-treasury", sdk: "modern-treasury", signs: true, verifies: true},
	{provider: "mollie", sdk: "mollie-api-typescript", signs: true, verifies: true},
	{provider: "monday", sdk: "jose", signs: true, verifies: true},
	{provider: "mux", sdk: "@mux/mux-node", verifies: true},
	{provider: "netlify", sdk: "jose", signs: true, verifies: true},
	{provider: "notion", sdk: "@notionhq/client", signs: true, verifies: true},
	{provider: "onfido", sdk: "@onfido/api", verifies: true, body: `{"payload":{"resource_type":"check","action":"check.completed","object":{"id":"1","status":"complete","completed_at_iso8601":"2026-11-23T12:00:00Z","href":"https://api.onfido.com/v3/checks/1"}}}`},
	{provider: "openai", sdk: "openai", verifies: true},
	{provider: "orb", sdk: "orb-billing", signs: true, verifies: true},
	{provider: "paddle", sdk: "@paddle/paddle-node-sdk", verifies: true},
	{provider: "polar", sdk: "@polar-sh/sdk", verifies: true},
	{provider: "pusher", sdk: "pusher", signs: true, verifies: true},
	{provider: "razorpay", sdk: "razorpay", verifies: true},
	{provider: "replicate", sdk: "replicate", verifies: true},
	{provider: "resend", sdk: "resend", verifies: true},
	{provider: "sanity", sdk: "@sanity/webhook", signs: true, verifies: true},
	{provider: "sendgrid", sdk: "@sendgrid/eventwebhook", verifies: true},
	{provider: "shopify", sdk: "@shopify/shopify-api", verifies: true},
	{provider: "slack", sdk: "@slack/bolt", verifies: true},
	{provider: "square", sdk: "square", verifies: true},
	{provider: "standard-webhooks", sdk: "standardwebhooks", signs: true, verifies: true},
	{provider: "stripe", sdk: "stripe", signs: true, verifies: true},
	{provider: "svix", sdk: "svix", signs: true, verifies: true},
	{provider: "telnyx", sdk: "telnyx", verifies: true},
	{provider: "twilio", sdk: "twilio", signs: true, verifies: true},
	{provider: "upstash-qstash", sdk: "@upstash/qstash", verifies: true},
	{provider: "webflow", sdk: "webflow-api", verifies: true},
	{provider: "workos", sdk: "@workos-inc/node", verifies: true},
}

// court is the Node program, started once.
type court struct {
	mu  sync.Mutex
	in  io.Writer
	out *bufio.Scanner
}

var open = sync.OnceValues(func() (*court, error) {
	if _, err := os.Stat("npm/node_modules/.package-lock.json"); err != nil {
		install := exec.Command("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
		install.Dir = "npm"
		if out, err := install.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("the official SDKs for Node cannot be installed; Node 20 or later with npm, and a package registry, are needed: %w\n%s", err, out)
		}
	}
	program := exec.Command("node", "judge.mjs")
	program.Dir, program.Stderr = "npm", os.Stderr
	in, err := program.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := program.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := program.Start(); err != nil {
		return nil, fmt.Errorf("node cannot be started; install Node 20 or later: %w", err)
	}
	// It ends with the test process, which closes its standard input.
	c := &court{in: in, out: bufio.NewScanner(out)}
	c.out.Buffer(nil, 1<<20)
	return c, nil
})

type question struct {
	Provider    string            `json:"provider"`
	Do          string            `json:"do"`
	Secret      string            `json:"secret"`
	Certificate string            `json:"certificate,omitempty"`
	URL         string            `json:"url"`
	Method      string            `json:"method"`
	Headers     map[string]string `json:"headers"`
	Body        []byte            `json:"body"`
	Now         int64             `json:"now"`
	ID          string            `json:"id"`
}

type verdict struct {
	OK      bool              `json:"ok"`
	Why     string            `json:"why"`
	Error   string            `json:"error"`
	Headers map[string]string `json:"headers"`
	Body    []byte            `json:"body"`
	URL     string            `json:"url"`
}

func (c *court) ask(q question) (v verdict, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	line, err := json.Marshal(q)
	if err != nil {
		return v, err
	}
	if _, err := c.in.Write(append(line, '\n')); err != nil {
		return v, err
	}
	if !c.out.Scan() {
		return v, fmt.Errorf("the judges have left: %w", c.out.Err())
	}
	if err := json.Unmarshal(c.out.Bytes(), &v); err != nil {
		return v, err
	}
	if v.Error != "" {
		err = fmt.Errorf("the judge: %s", v.Error)
	}
	return v, err
}

// trial is one provider before its judge.
type trial struct {
	*testing.T
	judge

	court       *court
	verifier    *verify.Verifier
	private     crypto.Signer
	secret      string
	certificate string
	now         time.Time
}

func newTrial(t *testing.T, j judge) *trial {
	t.Helper()
	c, err := open()
	if err != nil {
		t.Fatal(err)
	}
	record, ok := providers.Get(j.provider)
	if !ok {
		t.Fatalf("there is no provider %s", j.provider)
	}
	secret := verifytest.Secret(record)
	if j.secret != "" {
		secret = j.secret
	}
	x := &trial{T: t, judge: j, court: c, secret: secret, now: time.Now().Truncate(time.Second)}
	if _, only := record.KeyKind(); only {
		if x.private, err = record.NewKey(rand.Reader); err == nil {
			x.secret, err = record.PublicKey(x.private.Public())
		}
		if err != nil {
			t.Fatal(err)
		}
		x.certificate = certificateOf(t, x.private)
	}
	o := verify.Options{Secrets: []verify.Secret{verify.NewSecret(x.secret)}, Params: verifytest.Params(record)}
	if x.verifier, err = record.Compile(o); err != nil {
		t.Fatal(err)
	}
	return x
}

func certificateOf(t *testing.T, k crypto.Signer) string {
	t.Helper()
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "judge"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, k.Public(), k)
	if err != nil {
		return "" // of a kind that has no certificates
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

const address = "https://hooks.example.com/in?x=1"

// request is an event before it is signed.
func (x *trial) request() *verify.Request {
	record := x.verifier.Record()
	body := []byte(x.body)
	if x.body == "" {
		body = record.Payload("evt_1", record.Kind(), x.now)
	}
	u, err := url.Parse(address)
	if err != nil {
		x.Fatal(err)
	}
	r := &verify.Request{Method: http.MethodPost, URL: address, Header: http.Header{}, Query: u.Query(), Body: body}
	r.Header.Set("Content-Type", verify.ContentType(body))
	return r
}

func (x *trial) signed() *verify.Request {
	r := x.request()
	x.verifier.Record().Label(r, "evt_1", x.verifier.Record().Kind())
	x.signAs(r)
	return r
}

// signAs signs as the provider would.
func (x *trial) signAs(r *verify.Request) {
	var err error
	if x.private != nil {
		err = x.verifier.SignKey(r, x.private, x.now, "msg_1")
	} else {
		err = x.verifier.Sign(r, x.now, "msg_1")
	}
	if err != nil {
		x.Fatal(err)
	}
}

func (x *trial) question(do string, r *verify.Request) question {
	headers := map[string]string{}
	for name := range r.Header {
		headers[strings.ToLower(name)] = r.Header.Get(name)
	}
	return question{
		Provider: x.provider, Do: do, Secret: x.secret, Certificate: x.certificate, URL: r.URL, Method: r.Method,
		Headers: headers, Body: r.Body, Now: x.now.UnixMilli(), ID: "msg_1",
	}
}

// tampered changes a value within the body, where the signature covers it.
func tampered(r *verify.Request) *verify.Request {
	changed := *r
	changed.Body = bytes.Replace(r.Body, []byte("evt_1"), []byte("evt_2"), 1)
	if bytes.Equal(changed.Body, r.Body) {
		changed.Body = bytes.Replace(r.Body, []byte("1"), []byte("2"), 1)
	}
	return &changed
}

func (x *trial) covered() bool { return x.verifier.Record().Uncovered == "" }

// accepts has the judge verify what we sign, and refuse what was changed.
func (x *trial) accepts() {
	ours := x.signed()
	if v, err := x.court.ask(x.question("verify", ours)); err != nil || !v.OK {
		x.Errorf("the judge refuses our signature of %s %v: %s, %v", ours.Body, ours.Header, v.Why, err)
	}
	if x.covered() {
		if v, err := x.court.ask(x.question("verify", tampered(ours))); err != nil || v.OK {
			x.Errorf("the judge accepts another body: %v", err)
		}
	}
	wrong := x.question("verify", ours)
	if x.private == nil {
		wrong.Secret = otherSecret(x.secret)
		if v, err := x.court.ask(wrong); err != nil || v.OK {
			x.Errorf("the judge accepts another's signature: %v", err)
		}
	}
}

// otherSecret changes a character of a secret and leaves its form.
func otherSecret(s string) string {
	b := []byte(s)
	i := len(b) / 2
	b[i] ^= 1
	return string(b)
}

// signs has us verify what the judge signs.
func (x *trial) sign() {
	r := x.request()
	v, err := x.court.ask(x.question("sign", r))
	if err != nil {
		x.Fatal(err)
	}
	for name, value := range v.Headers {
		r.Header.Set(name, value)
	}
	if v.Body != nil {
		r.Body = v.Body
		r.Header.Set("Content-Type", verify.ContentType(r.Body))
	}
	if _, err := x.verifier.Verify(r, x.now); err != nil {
		x.Errorf("we refuse the judge's signature of %s %v: %v", r.Body, r.Header, err)
	}
	if x.covered() {
		if _, err := x.verifier.Verify(tampered(r), x.now); err == nil {
			x.Error("we accept the judge's signature for another body")
		}
	}
}

func TestTheOfficialSDKsForNodeAcceptWhatWeSignAndWeWhatTheySign(t *testing.T) {
	t.Parallel()
	for _, j := range npm {
		t.Run(j.provider, func(t *testing.T) {
			t.Parallel()
			x := newTrial(t, j)
			if j.verifies {
				x.accepts()
			}
			if j.signs {
				x.sign()
			}
			if !j.signs && !j.verifies {
				t.Error("this judge does nothing")
			}
		})
	}
}

func TestTheJudgesAreListedByProviderAndOncePerSDK(t *testing.T) {
	t.Parallel()
	if !slices.IsSortedFunc(npm, func(a, b judge) int { return strings.Compare(a.provider, b.provider) }) {
		t.Error("the list is not sorted")
	}
}
