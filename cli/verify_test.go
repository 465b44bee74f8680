package cli

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/verify"
	"github.com/caddy-webhooks/caddy-webhooks/verify/providers"
	"github.com/caddy-webhooks/caddy-webhooks/verify/verifytest"
)

// signedAt is when the captured requests were signed.
var signedAt = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

const at = "2026-11-23T12:01:00Z"

// sent is a request as the provider sends it.
func sent(t *testing.T, provider, secret, address, body string, header ...string) *verify.Request {
	t.Helper()
	r, ok := providers.Get(provider)
	if !ok {
		t.Fatalf("no provider %s", provider)
	}
	v, err := r.Compile(verify.Options{Secrets: []verify.Secret{verify.NewSecret(secret)}})
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	q := &verify.Request{Method: http.MethodPost, URL: address, Header: http.Header{}, Query: u.Query(), Body: []byte(body)}
	for i := 0; i < len(header); i += 2 {
		q.Header.Set(header[i], header[i+1])
	}
	if err := v.Sign(q, signedAt, "msg_1"); err != nil {
		t.Fatal(err)
	}
	return q
}

// quoted is a word as bash takes it.
func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// asCurl writes a request as tunnels and browsers copy it.
func asCurl(q *verify.Request, data string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "curl %s \\\n  -X POST \\\n", quoted(q.URL))
	for _, name := range slices.Sorted(maps.Keys(q.Header)) {
		fmt.Fprintf(&b, "  -H %s \\\n", quoted(name+": "+q.Header.Get(name)))
	}
	return b.String() + "  " + data + "\n"
}

// asHTTP writes a request as it stands on the wire.
func asHTTP(q *verify.Request, end string) string {
	u, err := url.Parse(q.URL)
	if err != nil {
		panic(err)
	}
	lines := []string{"POST " + u.RequestURI() + " HTTP/1.1", "Host: " + u.Host, fmt.Sprintf("Content-Length: %d", len(q.Body))}
	for _, name := range slices.Sorted(maps.Keys(q.Header)) {
		lines = append(lines, strings.ToLower(name)+": "+q.Header.Get(name))
	}
	return strings.Join(lines, end) + end + end + string(q.Body)
}

// asHAR writes entries as browsers and proxies export them; the first is a page.
func asHAR(t *testing.T, q *verify.Request, data map[string]any) string {
	t.Helper()
	headers := []map[string]string{{"name": ":method", "value": "POST"}}
	for name := range q.Header {
		headers = append(headers, map[string]string{"name": strings.ToLower(name), "value": q.Header.Get(name)})
	}
	page := map[string]any{"request": map[string]any{"method": "GET", "url": "https://example.com/", "headers": []any{}, "bodySize": 0}}
	post := map[string]any{
		"startedDateTime": "2026-11-23T13:00:30.123+01:00",
		"request": map[string]any{
			"method": "POST", "url": q.URL, "httpVersion": "HTTP/2", "headers": headers, "bodySize": len(q.Body), "postData": data,
		},
		"response": map[string]any{"status": 401},
	}
	text, err := json.Marshal(map[string]any{"log": map[string]any{"version": "1.2", "entries": []any{page, post}}})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// verified runs the command on a capture, which has to verify.
func verified(t *testing.T, capture string, args ...string) string {
	t.Helper()
	out, _, err := webhooksReading(t, capture, append([]string{"verify"}, args...)...)
	if err != nil {
		t.Fatalf("%v: %v\n%s\n%s", args, err, out, capture)
	}
	if !strings.HasPrefix(out, "verified\n") {
		t.Errorf("%v: printed\n%s", args, out)
	}
	return out
}

func has(t *testing.T, out string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(out, part) {
			t.Errorf("%q is not in\n%s", part, out)
		}
	}
}

func TestACapturedRequestOfAnyShapeVerifies(t *testing.T) {
	t.Parallel()
	const stripeBody = "{\n  \"id\": \"evt_1\",\n  \"type\": \"invoice.paid\",\n  \"data\": {\"name\": \"O'Brien! $5\"}\n}"
	stripe := sent(t, "stripe", "whsec_x", "https://hooks.example.com/stripe", stripeBody)
	slack := sent(t, "slack", "s", "https://hooks.example.com/slack", `token=x&command=%2Fgo&text=a+b`, "Content-Type", "application/x-www-form-urlencoded")
	github := sent(t, "github", "s3cret", "https://hooks.example.com/github", `{"zen":"Ünï"}`, "X-GitHub-Event", "ping", "X-GitHub-Delivery", "d-1")
	svix := sent(t, "standard-webhooks", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "https://hooks.example.com/svix", `{"type":"user.created"}`)
	square := sent(t, "square", "s", "https://hooks.example.com/square?a=1", `{"event_id":"e-1","type":"payment.updated"}`)
	binary := sent(t, "github", "s3cret", "https://hooks.example.com/github", "\x00\xff\xfe\r\n", "X-GitHub-Delivery", "d-2")
	ansi := strings.NewReplacer("\n", `\n`, "'", `\'`, "!", `\u0021`).Replace(stripeBody)
	for name, c := range map[string]struct {
		provider, secret, capture string
		want                      []string
	}{
		"curl":             {"stripe", "whsec_x", asCurl(stripe, "--data-raw "+quoted(stripeBody)), []string{"id         evt_1\n", "type       invoice.paid\n", "secret     1\n", "signed     2026-11-23T12:00:00Z, 1m0s old", "read       curl command"}},
		"curl of Chrome":   {"stripe", "whsec_x", asCurl(stripe, "--data-raw $'"+ansi+"'"), []string{"evt_1"}},
		"curl in quotes":   {"stripe", "whsec_x", asCurl(stripe, `-d "`+strings.NewReplacer(`"`, `\"`, "$", `\$`).Replace(stripeBody)+`"`), []string{"evt_1"}},
		"curl with prompt": {"stripe", "whsec_x", "$ " + asCurl(stripe, "-d "+quoted(stripeBody)), []string{"evt_1"}},
		"curl, form":       {"slack", "s", asCurl(slack, "-d token=x -d 'command=%2Fgo' --data-urlencode 'text=a b'"), []string{"verified"}},
		"curl --json":      {"github", "s3cret", asCurl(github, `--json '{"zen":' --json '"Ünï"}'`), []string{"d-1", "ping"}},
		"HAR":              {"stripe", "whsec_x", asHAR(t, stripe, map[string]any{"mimeType": "application/json", "text": stripeBody}), []string{"read       HAR entry 2", "judged at 2026-11-23T12:00:30Z", "evt_1"}},
		"HAR in base64": {
			"github", "s3cret",
			asHAR(t, binary, map[string]any{"text": base64.StdEncoding.EncodeToString(binary.Body), "encoding": "base64"}),
			[]string{"d-2"},
		},
		"HAR with fields": {"slack", "s", asHAR(t, slack, map[string]any{"params": []map[string]string{
			{"name": "token", "value": "x"}, {"name": "command", "value": "/go"}, {"name": "text", "value": "a b"},
		}}), []string{"the body was written anew of them"}},
		"HTTP":            {"github", "s3cret", asHTTP(github, "\r\n"), []string{"HTTP request, 15 bytes", "d-1"}},
		"HTTP, edited":    {"github", "s3cret", asHTTP(github, "\n") + "\n", []string{"what the capture has more, such as an editor's newline, is left out"}},
		"HTTP, binary":    {"github", "s3cret", asHTTP(binary, "\r\n"), []string{"d-2"}},
		"HTTP, chunked":   {"github", "s3cret", chunked(asHTTP(github, "\r\n"), string(github.Body)), []string{"d-1"}},
		"HTTP of svix":    {"svix", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", asHTTP(svix, "\r\n"), []string{"id         msg_1"}},
		"HTTP of Square":  {"square", "s", asHTTP(square, "\r\n"), []string{"e-1", "the scheme of the address is not in the capture"}},
		"a stored event":  {"github", "s3cret", stored(t, github), []string{"stored event", "d-1"}},
		"several of them": {"github", "s3cret", stored(t, binary) + "\n" + stored(t, github), []string{"d-2"}},
	} {
		args := []string{c.provider, "--secret", c.secret}
		if !strings.HasPrefix(name, "HAR") {
			args = append(args, "--at", at)
		}
		t.Log(name)
		has(t, verified(t, c.capture, args...), c.want...)
	}
}

// chunked writes the body in chunks.
func chunked(text, body string) string {
	text = strings.Replace(text, fmt.Sprintf("Content-Length: %d", len(body)), "Transfer-Encoding: chunked", 1)
	return strings.Replace(text, "\r\n\r\n"+body, fmt.Sprintf("\r\n\r\n3\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n", body[:3], len(body)-3, body[3:]), 1)
}

// stored is an event as the admin API gives it, with nothing masked.
func stored(t *testing.T, q *verify.Request) string {
	t.Helper()
	u, err := url.Parse(q.URL)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(map[string]any{
		"event": "01a208c1-2273-78b6-b2b3-3f9bb56ab108", "source": "code", "provider": "github", "id": "d-1", "type": "ping",
		"received": "2026-11-23T12:00:30Z", "size": len(q.Body), "deliveries": []any{map[string]any{"destination": "default", "attempts": []any{}}},
		"method": "POST", "uri": u.RequestURI(), "headers": q.Header, "body": q.Body,
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestEveryProvidersSampleVerifiesFromTheWire(t *testing.T) {
	t.Parallel()
	for _, r := range providers.All() {
		kind, only := r.KeyKind()
		if only || kind == "jwt" || r.Generic || len(r.Options) > 0 || len(r.Methods) > 0 && r.Methods[0] != http.MethodPost {
			continue
		}
		secret := verifytest.Secret(r)
		body := r.Payload("id-1", r.Kind(), signedAt)
		q := sent(t, r.Name, secret, "https://hooks.example.com/in", string(body), "Content-Type", verify.ContentType(body))
		u, err := url.Parse(q.URL)
		if err != nil {
			t.Fatal(err)
		}
		u.RawQuery = q.Query.Encode()
		q.URL = u.String()
		verified(t, asHTTP(q, "\r\n"), r.Name, "--secret", secret, "--at", at)
	}
}

func TestARefusedRequestIsExplainedAndNothingSecretIsPrinted(t *testing.T) {
	t.Parallel()
	stripe := sent(t, "stripe", "whsec_right", "https://hooks.example.com/stripe", `{"id":"evt_1"}`)
	square := sent(t, "square", "sq_right", "https://hooks.example.com/square", `{"event_id":"1"}`)
	curl := asCurl(stripe, `-d '{"id": "evt_1"}'`)
	for name, c := range map[string]struct {
		args    []string
		capture string
		reason  string
		words   string
	}{
		"body":    {[]string{"stripe", "--secret", "whsec_right", "--at", at}, curl, "body_changed", "with its JSON written compactly"},
		"secret":  {[]string{"stripe", "--secret", "whsec_right\n", "--at", at}, asHTTP(stripe, "\r\n"), "secret_space", "has white space or a newline around it"},
		"age":     {[]string{"stripe", "--secret", "whsec_right", "--at", "2026-11-23T14:00:00Z"}, asHTTP(stripe, "\r\n"), "expired", "2h0m0s old, tolerance 5m0s"},
		"now":     {[]string{"stripe", "--secret", "whsec_right", "--at", "now"}, asHTTP(stripe, "\r\n"), "expired", "tolerance"},
		"address": {[]string{"square", "--secret", "sq_right", "--url", "http://hooks.example.com/square/"}, asHTTP(square, "\r\n"), "wrong_url", "https://hooks.example.com/square (with https, without the trailing slash)"},
		"missing": {[]string{"github", "--secret", "gh"}, asHTTP(stripe, "\r\n"), "missing", "no header X-Hub-Signature-256; it has Stripe-Signature"},
		"method":  {[]string{"github", "--secret", "gh"}, "curl https://hooks.example.com", "method", "GET"},
	} {
		out, _, err := webhooksReading(t, c.capture, append([]string{"verify"}, c.args...)...)
		if !errors.Is(err, errRefused) || !strings.Contains(err.Error(), c.reason) {
			t.Errorf("%s: %v", name, err)
		}
		has(t, out, "refused: "+c.reason+"\n", c.words)
		if noted := strings.Contains(out, "it may have been the capture"); noted != (c.reason == "body_changed") {
			t.Errorf("%s: noted %v:\n%s", name, noted, out)
		}
		out, _, err = webhooksReading(t, c.capture, append([]string{"verify", "--json"}, c.args...)...)
		var v result
		if json.Unmarshal([]byte(out), &v) != nil || err == nil || v.Verified || v.Reason != c.reason || !strings.Contains(v.Explanation, c.words) {
			t.Errorf("%s: %v, %s", name, err, out)
		}
		for _, secret := range []string{"whsec_right", "sq_right", stripe.Header.Get("Stripe-Signature")[20:], square.Header.Get("X-Square-Hmacsha256-Signature")} {
			if strings.Contains(out, secret) {
				t.Errorf("%s: %q is printed:\n%s", name, secret, out)
			}
		}
	}
}

func TestTheFlagsOfVerify(t *testing.T) {
	github := sent(t, "github", "new", "https://hooks.example.com/github", "{}", "X-GitHub-Delivery", "d-1")
	stripe := sent(t, "stripe", "whsec_x", "https://hooks.example.com/stripe", `{"id":"evt_1"}`)
	has(t, verified(t, asHTTP(github, "\r\n"), "github", "--secret", "old", "--secret", "new"), "secret     2\n")
	t.Setenv(secretVariable, "new")
	verified(t, asHTTP(github, "\r\n"), "github")
	t.Setenv(secretVariable, "whsec_x")
	has(t, verified(t, asHTTP(stripe, "\r\n"), "stripe", "--ignore-age"), "signed     2026-11-23T12:00:00Z")
	verified(t, asHTTP(stripe, "\r\n"), "stripe", "--at", fmt.Sprint(signedAt.Unix()))
	has(t, verified(t, asHTTP(stripe, "\r\n"), "stripe", "--at", "2026-11-23T11:59:00Z"), "1m0s ahead of the clock")
	file := filepath.Join(t.TempDir(), "request.http")
	if err := os.WriteFile(file, []byte(asHTTP(stripe, "\r\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	verified(t, "", "stripe", file, "--at", at)
	generic := strings.Replace(asHTTP(github, "\r\n"), "x-hub-signature-256", "X-Signature", 1)
	has(t, verified(t, generic, "hmac", "--secret", "new", "--option", "header=X-Signature", "--option", "prefix=sha256="), "configure `id`")
	har := asHAR(t, stripe, map[string]any{"text": string(stripe.Body)})
	verified(t, har, "stripe", "--entry", "2")
	out, _, err := webhooksReading(t, har, "verify", "--json", "stripe")
	var v result
	if err != nil || json.Unmarshal([]byte(out), &v) != nil || !v.Verified || v.ID != "evt_1" || v.Secret != 1 || *v.Age < 30 || *v.Age > 31 {
		t.Errorf("%v: %s", err, out)
	}
	has(t, verified(t, "POST / HTTP/1.1\n\n{}", "none"), "nothing proves the sender")
}

func TestVerifyTellsHandshakes(t *testing.T) {
	t.Parallel()
	slack := sent(t, "slack", "s", "https://hooks.example.com/slack", `{"type":"url_verification","challenge":"c"}`)
	has(t, verified(t, asHTTP(slack, "\r\n"), "slack", "--secret", "s", "--at", at), "handshake  url_verification\n", "secret     1\n")
	has(t, verified(t, "curl https://hooks.example.com/asana -X POST -H 'X-Hook-Secret: b537207f20cbfa02357cf448134da559'", "asana"), "handshake  secret\n", "hands its secret over")
	has(t, verified(t, "curl https://hooks.example.com/dropbox?challenge=abc", "dropbox", "--secret", "s"), "handshake  challenge\n", "without a proof")
}

func TestAMaskedHeaderHasToBePutIn(t *testing.T) {
	t.Parallel()
	github := sent(t, "github", "s3cret", "https://hooks.example.com/github?token=%5Bmasked%5D", "{}", "X-GitHub-Delivery", "d-1")
	proof := github.Header.Get("X-Hub-Signature-256")
	github.Header.Set("X-Hub-Signature-256", masked)
	github.Header.Set("Cookie", masked)
	_, _, err := webhooksReading(t, stored(t, github), "verify", "github", "--secret", "s3cret")
	if err == nil || !strings.Contains(err.Error(), "masks X-Hub-Signature-256, which proves the sender: put it in with --header") {
		t.Errorf("%v", err)
	}
	out := verified(t, stored(t, github), "github", "--secret", "s3cret", "--header", "X-Hub-Signature-256: "+proof)
	has(t, out, "the capture masks Cookie")
}

func TestWhatCannotBeCheckedIsSaid(t *testing.T) {
	t.Parallel()
	stripe := sent(t, "stripe", "whsec_x", "https://hooks.example.com/stripe", `{"id":"evt_1"}`)
	har := asHAR(t, stripe, map[string]any{"text": string(stripe.Body)})
	for want, c := range map[string]struct {
		capture string
		args    []string
	}{
		"neither a curl command":               {"hello", []string{"stripe", "--secret", "x"}},
		"is empty":                             {" \n", []string{"stripe", "--secret", "x"}},
		"did you mean stripe":                  {"", []string{"strip", "--secret", "x"}},
		"give --secret, or set WEBHOOK_SECRET": {"curl x", []string{"stripe"}},
		"--entry begins at 1":                  {har, []string{"stripe", "--secret", "x", "--entry", "-1"}},
		"no entry 3, but 2 entries":            {har, []string{"stripe", "--secret", "x", "--entry", "3"}},
		"has no POST":                          {`{"log":{"entries":[{"request":{"method":"GET"}}]}}`, []string{"stripe", "--secret", "x"}},
		"a list of events":                     {`{"events":[],"next":""}`, []string{"stripe", "--secret", "x"}},
		"was removed by retention":             {`{"event":"e","gone":true}`, []string{"stripe", "--secret", "x"}},
		"has no request in it":                 {`{"event":"e"}`, []string{"stripe", "--secret", "x"}},
		"no entry 2":                           {stored(t, stripe), []string{"stripe", "--secret", "x", "--entry", "2"}},
		"as JSON":                              {`{"event":`, []string{"stripe", "--secret", "x"}},
		"is no header":                         {"POST / HTTP/1.1\nnonsense\n\n", []string{"stripe", "--secret", "x"}},
		"is no Content-Length":                 {"POST / HTTP/1.1\nContent-Length: x\n\n", []string{"stripe", "--secret", "x"}},
		"is no time such as":                   {"curl x", []string{"stripe", "--secret", "x", "--at", "noon"}},
		"is no address such as":                {"curl x", []string{"stripe", "--secret", "x", "--url", "here"}},
		"write Name: value":                    {"curl x", []string{"stripe", "--secret", "x", "--header", "here"}},
		"write name=value":                     {"curl x", []string{"stripe", "--secret", "x", "--option", "here"}},
		"within quotes":                        {"curl 'x", []string{"stripe", "--secret", "x"}},
		"holds another one":                    {"curl x -d \"$(cat y)\"", []string{"stripe", "--secret", "x"}},
		"copy it for bash":                     {"curl \"x\" ^\r\n -d y", []string{"stripe", "--secret", "x"}},
		"--frobnicate is not known":            {"curl x --frobnicate", []string{"stripe", "--secret", "x"}},
		"-d lacks its value":                   {"curl x -d", []string{"stripe", "--secret", "x"}},
		"--json lacks its value":               {"curl x --json", []string{"stripe", "--secret", "x"}},
		"it has no address":                    {"curl -d x", []string{"stripe", "--secret", "x"}},
		"the boundary that curl draws":         {"curl x -F a=b", []string{"stripe", "--secret", "x"}},
		"came from curl's standard input":      {"curl x -d @-", []string{"stripe", "--secret", "x"}},
		"several requests":                     {"curl x --next y", []string{"stripe", "--secret", "x"}},
		"no such file":                         {"curl x -d @/nowhere/at/all", []string{"stripe", "--secret", "x"}},
		"headers from a file":                  {"curl x -H @y", []string{"stripe", "--secret", "x"}},
	} {
		if out, _, err := webhooksReading(t, c.capture, append([]string{"verify"}, c.args...)...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v\n%s\nwant an error with %q", c.args, err, out, want)
		}
	}
}

func TestPseudoHeadersAndAByteOrderMarkAreNoPartOfTheRequest(t *testing.T) {
	t.Parallel()
	github := sent(t, "github", "s3cret", "https://hooks.example.com/github", "{}")
	c, err := readCapture([]byte(asHAR(t, github, map[string]any{"text": "{}"})), 0, os.ReadFile)
	if err != nil || c.header[":method"] != nil {
		t.Errorf("%v, %v", c, err)
	}
	verified(t, "\ufeff"+asHTTP(github, "\r\n"), "github", "--secret", "s3cret")
}

func TestAnotherProvidersEventIsNoted(t *testing.T) {
	t.Parallel()
	github := sent(t, "github", "s3cret", "https://hooks.example.com/github", "{}")
	out, _, err := webhooksReading(t, stored(t, github), "verify", "jira", "--secret", "s3cret")
	if !errors.Is(err, errRefused) {
		t.Errorf("%v", err)
	}
	has(t, out, "the event came from provider github")
}

func TestWhatACaptureHasLostIsNoted(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "body.json")
	if err := os.WriteFile(file, []byte("{\r\n \"a\": 1\n}\x00\xff"), 0o600); err != nil {
		t.Fatal(err)
	}
	read := func(capture string) *captured {
		t.Helper()
		c, err := readCapture([]byte(capture), 0, os.ReadFile)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	for want, capture := range map[string]string{
		"-d @" + file + " takes the line ends out":     "curl x -d @" + file,
		"the variable $SECRET is taken as it is":       `curl x -H "X-Token: $SECRET"`,
		"the variable $BODY is taken as it is":         `curl x -d ${BODY}`,
		"what follows the unquoted & is no part":       "curl x?a=1&b=2",
		"several addresses":                            "curl x y",
		"without a colon is left out":                  "curl x -H y",
		"bytes that were none are lost":                `{"request":{"method":"POST","url":"https://x/","postData":{"text":"a\ufffdb"}}}`,
		"the body had 9 bytes, and holds 2":            `{"request":{"method":"POST","url":"https://x/","bodySize":9,"postData":{"text":"ab"}}}`,
		"Content-Length is 9, and the capture holds 2": "POST / HTTP/1.1\nContent-Length: 9\n\n{}",
		"the body is not written in chunks":            "POST / HTTP/1.1\nTransfer-Encoding: chunked\n\n{}",
	} {
		if notes := strings.Join(read(capture).notes, "\n"); !strings.Contains(notes, want) {
			t.Errorf("%s: noted %q, want %q", capture, notes, want)
		}
	}
	for data, want := range map[string]string{
		"-d @" + file:                          "{ \"a\": 1}\xff",
		"--data-binary @" + file:               "{\r\n \"a\": 1\n}\x00\xff",
		"--json @" + file:                      "{\r\n \"a\": 1\n}\x00\xff",
		"-T " + file:                           "{\r\n \"a\": 1\n}\x00\xff",
		"--data-urlencode a@" + file:           "a=%7B%0D%0A+%22a%22%3A+1%0A%7D%00%FF",
		"--data-raw @x":                        "@x",
		"-da=1 --data-urlencode 'b c'":         "a=1&b+c",
		"--data-urlencode '=b c'":              "b+c",
		"-sSLd 'a=1' -XPUT":                    "a=1",
		`-d $'\x41\101\u00e9\'\\\t\cA\q\e\xZ'`: "AAé'\\\t\x01\\q\x1b\\xZ",
		`-d "a\$b\"\\\n\` + "\n" + `c"`:        "a$b\"\\\\nc",
		`-d 'a'\''b'"c"d\ e`:                   "a'bcd e",
		`-d $"a" # more`:                       "a",
		`-d a#b`:                               "a#b",
		"-d a\n-d b":                           "a",
		"-d a \\\r\n-d b":                      "a&b",
	} {
		if body := string(read("curl https://x/ " + data).body); body != want {
			t.Errorf("%s: %q, want %q", data, body, want)
		}
	}
}

func TestACurlCommandMeansWhatCurlWouldSend(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "body")
	if err := os.WriteFile(file, []byte("a"), 0o600); err != nil {
		t.Fatal(err)
	}
	for command, want := range map[string]string{
		"curl https://x/ -T " + file:                          "PUT https://x/",
		"curl x.example/in":                                   "GET http://x.example/in",
		"curl --url https://x/ -d a":                          "POST https://x/ Content-Type=application/x-www-form-urlencoded",
		"curl -X PUT https://x/ -d a":                         "PUT https://x/ Content-Type=application/x-www-form-urlencoded",
		"curl -XPATCH https://x/ -d a -H 'Content-Type: t/t'": "PATCH https://x/ Content-Type=t/t",
		"curl --json {} https://x/":                           "POST https://x/ Content-Type=application/json",
		"curl -d a https://x/ -H content-type:":               "POST https://x/",
		"curl -G -d a=1 https://x/?b=2":                       "GET https://x/?b=2&a=1",
		"curl --get -d a=1 https://x/":                        "GET https://x/?a=1",
		"curl -I https://x/":                                  "HEAD https://x/",
		"curl -u me:it https://x/ -A agent -k -o out -s":      "GET https://x/ Authorization=Basic bWU6aXQ= User-Agent=agent",
		"curl https://x/ -e from -b 'a=b' --max-time 5":       "GET https://x/ Cookie=a=b Referer=from",
		"curl https://x/ -H 'X-Empty;' --no-progress-meter":   "GET https://x/ X-Empty=",
		"A=1 /usr/bin/curl --compressed -- https://x/":        "GET https://x/",
	} {
		c, err := readCapture([]byte(command), 0, os.ReadFile)
		if err != nil {
			t.Errorf("%s: %v", command, err)
			continue
		}
		got := c.method + " " + c.url
		for _, name := range slices.Sorted(maps.Keys(c.header)) {
			got += " " + name + "=" + c.header.Get(name)
		}
		if got != want {
			t.Errorf("%s: %q, want %q", command, got, want)
		}
	}
}

// The command lines are those that tools write; the signature is of GitHub's
// documentation.
func TestCommandsAsToolsWriteThemVerify(t *testing.T) {
	t.Parallel()
	const signature = "X-Hub-Signature-256: sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
	for name, command := range map[string]string{
		"Postman": "curl --location --request POST 'https://hooks.example.com/github' \\\n--header 'Content-Type: text/plain' \\\n--header '" + signature +
			"' \\\n--data-raw 'Hello, World!'",
		"Insomnia": "curl --request POST \\\n  --url https://hooks.example.com/github \\\n  --header 'Content-Type: text/plain' \\\n  --header 'User-Agent: insomnia/10.0.0' \\\n" +
			"  --header '" + signature + "' \\\n  --data 'Hello, World!'",
		"Chrome": "curl 'https://hooks.example.com/github' \\\n  -H 'accept: */*' \\\n  -H 'content-type: text/plain;charset=UTF-8' \\\n  -b 'a=1; b=2' \\\n" +
			"  -H 'sec-ch-ua: \"Chromium\";v=\"142\"' \\\n  -H '" + strings.ToLower(signature) + "' \\\n  --data-raw $'Hello, World\\u0021' ;",
		"Firefox": "curl 'https://hooks.example.com/github' --compressed -X POST -H 'User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:145.0)' -H '" + signature +
			"' -H 'Connection: keep-alive' --data-raw $'Hello, World\\041'",
		"mitmproxy": "curl -H 'content-length: 13' -H '" + signature + "' -X POST https://hooks.example.com/github -d 'Hello, World!'",
		"a script":  "GH=1 \\\n  curl -sS -o /dev/null -w '%{http_code}\\n' -XPOST -H\"" + signature + "\" --data-binary @- https://hooks.example.com/github",
	} {
		if name == "a script" { // what came from standard input is not there
			command = strings.Replace(command, "@-", `"Hello, World"'!'`, 1)
		}
		out := verified(t, command, "github", "--secret", "It's a Secret to Everybody")
		has(t, out, "curl command, 13 bytes of body")
	}
}

// FuzzCapture reads whatever somebody may paste: nothing may panic.
func FuzzCapture(f *testing.F) {
	for _, text := range []string{
		"curl 'https://x/' -H 'a: b' --data-raw $'\\u0021\\x4'", "curl x -d \"a\\", "$ curl -sSd@x --json", "curl -", "curl --",
		"POST / HTTP/1.1\nA: b\n\n{}", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}", "POST / HTTP/1.1\n",
		`{"log":{"entries":[{"request":{"postData":{"encoding":"base64","text":"x"}}}]}}`, `{"event":"a","method":"POST","headers":{"A":["b"]}}`,
		"curl \xff${a$b`", "curl $'\\", "curl $'\\c", "\ufeff",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := readCapture(text, 0, func(string) ([]byte, error) { return []byte("a\nb"), nil })
		if err == nil && (c == nil || c.header == nil || c.method == "" && c.kind == "curl command") {
			t.Errorf("%q gave %+v", text, c)
		}
	})
}

// FuzzShellWords checks that what is quoted comes out as it went in.
func FuzzShellWords(f *testing.F) {
	f.Add("a'b", "c d")
	f.Add("", "\\\n$")
	f.Fuzz(func(t *testing.T, one, two string) {
		words, _, err := shellWords(quoted(one) + " " + quoted(two) + "\n" + one)
		if err != nil || !slices.Equal(words, []string{one, two}) {
			t.Errorf("%q, %q: %q, %v", one, two, words, err)
		}
		if _, _, err := shellWords(one + two); err != nil && !errors.Is(err, errQuote) && !errors.Is(err, errNested) {
			t.Error(err)
		}
	})
}

func TestTheHelpOfVerifyHasExamples(t *testing.T) {
	t.Parallel()
	out, _, err := webhooks(t, "verify", "--help")
	if err != nil {
		t.Fatal(err)
	}
	has(t, out, "caddy webhooks verify stripe request.http --secret", "curl command", "--ignore-age", "--entry")
	if bytes.Contains([]byte(out), []byte("%!")) {
		t.Error(out)
	}
}
