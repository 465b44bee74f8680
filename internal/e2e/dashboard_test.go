package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/caddy-webhooks/caddy-webhooks/internal/testkit"
)

// seen is a page as a browser gets it.
type seen struct {
	status int
	header http.Header
	text   string
	root   *html.Node
	at     *url.URL
}

// looker is somebody with a browser that follows links, and takes no script.
type looker struct {
	*testing.T
	client *http.Client
	user   string
}

func (l *looker) do(req *http.Request) seen {
	l.Helper()
	if l.user != "" {
		req.SetBasicAuth(l.user, "hiccup")
	}
	resp, err := l.client.Do(req)
	if err != nil {
		l.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		l.Fatal(err)
	}
	root, err := html.Parse(strings.NewReader(string(text)))
	if err != nil {
		l.Fatal(err)
	}
	return seen{resp.StatusCode, resp.Header, string(text), root, resp.Request.URL}
}

func (l *looker) get(target string) seen {
	l.Helper()
	req, err := http.NewRequestWithContext(l.Context(), http.MethodGet, target, nil)
	if err != nil {
		l.Fatal(err)
	}
	return l.do(req)
}

// follow clicks the link with these words.
func (l *looker) follow(p seen, words string) seen {
	l.Helper()
	for _, a := range all(p.root, "a") {
		if strings.Contains(textOf(a), words) {
			return l.get(resolve(l.T, p.at, attr(a, "href")))
		}
	}
	l.Fatalf("%s has no link %q:\n%s", p.at, words, p.text)
	return seen{}
}

// press sends the form with that action, as a browser of the same site does.
func (l *looker) press(p seen, headers ...string) seen {
	l.Helper()
	for _, f := range all(p.root, "form") {
		if !strings.EqualFold(attr(f, "method"), "post") {
			continue
		}
		values := url.Values{}
		for _, in := range all(f, "input") {
			values.Set(attr(in, "name"), attr(in, "value"))
		}
		req, err := http.NewRequestWithContext(l.Context(), http.MethodPost, resolve(l.T, p.at, attr(f, "action")), strings.NewReader(values.Encode()))
		if err != nil {
			l.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Sec-Fetch-Site", "same-origin")
		for i := 0; i < len(headers); i += 2 {
			req.Header.Set(headers[i], headers[i+1])
		}
		return l.do(req)
	}
	l.Fatalf("%s has nothing to press:\n%s", p.at, p.text)
	return seen{}
}

func resolve(t *testing.T, base *url.URL, ref string) string {
	t.Helper()
	u, err := base.Parse(ref)
	if err != nil {
		t.Fatal(err)
	}
	return u.String()
}

func all(n *html.Node, tag string) (found []*html.Node) {
	for c := range n.Descendants() {
		if c.Type == html.ElementNode && c.Data == tag {
			found = append(found, c)
		}
	}
	return found
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func textOf(n *html.Node) string {
	var b strings.Builder
	for c := range n.Descendants() {
		if c.Type == html.TextNode {
			b.WriteString(c.Data)
		}
	}
	return b.String()
}

func looking(t *testing.T) *looker { return &looker{T: t, client: &http.Client{}} }

// board is a site with a source and the dashboard, which asks nobody for a name.
func board(addr, more string) string {
	return strings.TrimSuffix(one("shop", "default", addr, ""), "}") + "\twebhooks_dashboard /dash* {\n\t\tallow_anonymous\n" + more + "\t}\n}"
}

// crawl visits every page that can be reached without pressing anything, and
// holds each to what all of them promise.
func crawl(l *looker, from string) (visited map[string]seen) {
	l.Helper()
	visited = map[string]seen{}
	home, err := url.Parse(from)
	if err != nil {
		l.Fatal(err)
	}
	for queue := []string{from}; len(queue) > 0 && len(visited) < 200; queue = queue[1:] {
		if _, known := visited[queue[0]]; known {
			continue
		}
		p := l.get(queue[0])
		visited[queue[0]] = p
		if p.status != http.StatusOK {
			l.Errorf("%s is answered %d", queue[0], p.status)
		}
		for name, want := range map[string]string{
			"Content-Security-Policy": "default-src 'none'", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
		} {
			if !strings.Contains(p.header.Get(name), want) {
				l.Errorf("%s: %s is %q", queue[0], name, p.header.Get(name))
			}
		}
		if !strings.HasPrefix(p.header.Get("Content-Type"), "text/html") {
			continue
		}
		whole(l, p)
		for _, a := range append(all(p.root, "a"), all(p.root, "link")...) {
			to, err := p.at.Parse(attr(a, "href"))
			if err != nil {
				l.Fatal(err)
			}
			if to.Host != home.Host || !strings.HasPrefix(to.Path, home.Path) {
				l.Errorf("%s leads away, to %s", queue[0], to)
			}
			to.Fragment = ""
			queue = append(queue, to.String())
		}
	}
	return visited
}

// whole tells whether a page is built as it must be.
func whole(l *looker, p seen) {
	l.Helper()
	if n := len(all(p.root, "h1")); n != 1 {
		l.Errorf("%s has %d main headings", p.at, n)
	}
	ids := map[string]bool{}
	for n := range p.root.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		for _, a := range n.Attr {
			if strings.HasPrefix(a.Key, "on") || a.Key == "style" {
				l.Errorf("%s has an attribute %s, which its policy forbids", p.at, a.Key)
			}
		}
		if id := attr(n, "id"); id != "" && ids[id] {
			l.Errorf("%s has the id %s twice", p.at, id)
		} else {
			ids[id] = true
		}
		if n.Data == "script" && (attr(n, "src") == "" || n.FirstChild != nil) || n.Data == "style" {
			l.Errorf("%s has a script or a style of its own", p.at)
		}
	}
}

func TestEveryPageOfTheDashboardCanBeReadWithoutAScript(t *testing.T) {
	t.Parallel()
	app := testkit.NewApp(t)
	g := testkit.New(t).Start(board(app.Addr(), ""))
	l := looking(t)
	if p := l.get("http://" + g.Addr + "/dash"); p.status != http.StatusOK || p.at.Path != "/dash/" || !strings.Contains(p.text, "Nothing") && !strings.Contains(p.text, "All is well") {
		t.Errorf("without its slash, and with no event yet: %d %s\n%s", p.status, p.at, p.text)
	}
	post(t, g, "e", 60)
	testkit.Eventually(t, "all are delivered", func() bool { return len(app.Got()) == 60 })
	if status, _, err := testkit.Post("http://"+g.Addr+"/hook", "wrong", "x", []byte(`{}`)); err != nil || status != http.StatusUnauthorized {
		t.Fatalf("%d %v", status, err)
	}
	runs(t, g, "replay", "--source", "shop", "--q", "e1")
	visited := crawl(l, "http://"+g.Addr+"/dash/")
	for _, want := range []string{
		`/dash/events$`, `/dash/events\?.*cursor=`, `/dash/events/[0-9a-f-]{36}$`, `/body$`, `/destinations/shop/default$`,
		`span=24h`, `/refusals$`, `/refusals\?.*reason=mismatch`, `/jobs$`, `/jobs/[0-9a-z]+$`, `/confirm\?.*action=replay&`, `/confirm\?.*action=pause`, `\.css$`, `\.svg$`,
	} {
		found := false
		for target := range visited {
			found = found || regexp.MustCompile(want).MatchString(target)
		}
		if !found {
			t.Errorf("no link leads to %s", want)
		}
	}
	if p := l.get("http://" + g.Addr + "/dash/events/01a20d72-0dc2-7cae-991a-bb334b5ccaff"); p.status != http.StatusNotFound || !strings.Contains(p.text, "To the overview") {
		t.Errorf("an event that is not there: %d\n%s", p.status, p.text)
	}
	if p := l.get("http://" + g.Addr + "/dash/events?since=yesterday"); p.status != http.StatusOK || !strings.Contains(p.text, "parameter since") {
		t.Errorf("a search with a mistake: %d\n%s", p.status, p.text)
	}
}

func TestWhatTheDashboardHasToPressWorks(t *testing.T) {
	t.Parallel()
	app := testkit.NewApp(t)
	g := testkit.New(t).Start(board(app.Addr(), ""))
	ids := post(t, g, "e", 3)
	testkit.Eventually(t, "all are delivered", func() bool { return len(app.Got()) == len(ids) })
	l := looking(t)
	home := "http://" + g.Addr + "/dash/"

	p := l.follow(l.get(home), "shop/")
	p = l.press(l.follow(p, "Pause…"))
	if p.status != http.StatusOK || !strings.Contains(p.text, "is paused: events are kept") || stands(t, g, "shop", "default")["state"] != "paused" {
		t.Errorf("paused: %d\n%s", p.status, p.text)
	}
	if p := l.get(home); !strings.Contains(p.text, "paused by an operator") {
		t.Errorf("the overview does not tell of the pause:\n%s", p.text)
	}
	if p = l.press(l.follow(p, "Resume…")); !strings.Contains(p.text, "is resumed") || stands(t, g, "shop", "default")["state"] != "up" {
		t.Errorf("resumed: %d\n%s", p.status, p.text)
	}

	p = l.follow(l.get(home+"events?id="+ids[0]), "ago")
	confirm := l.follow(p, "Replay…")
	for name, p := range map[string]seen{
		"another site's form": l.press(confirm, "Sec-Fetch-Site", "cross-site"),
		"an old browser's":    l.press(confirm, "Sec-Fetch-Site", "", "Origin", "https://evil.example"),
		"a link":              l.get(strings.Replace(confirm.at.String(), "confirm", "act", 1)),
	} {
		if p.status != http.StatusForbidden && p.status != http.StatusMethodNotAllowed {
			t.Errorf("%s is answered %d", name, p.status)
		}
	}
	if p = l.press(confirm); !strings.Contains(p.text, "The replay is ordered.") {
		t.Errorf("replayed: %d\n%s", p.status, p.text)
	}
	testkit.Eventually(t, "it is sent again, once", func() bool { return app.Times()[ids[0]] == 2 })

	confirm = l.follow(l.get(home+"events?source=shop&since=-1h"), "Replay…")
	if !strings.Contains(textOf(confirm.root), "3 deliveries are replayed") {
		t.Errorf("the preview says\n%s", confirm.text)
	}
	if p = l.press(confirm); p.status != http.StatusOK || !strings.Contains(p.at.Path, "/jobs/") || !strings.Contains(p.text, "<bdi>dashboard anonymous</bdi>") {
		t.Errorf("the job: %d %s\n%s", p.status, p.at, p.text)
	}
	testkit.Eventually(t, "all are sent again", func() bool { return app.Times()[ids[1]] == 2 && app.Times()[ids[0]] == 3 })

	if err := g.Reload(board(app.Addr(), "\t\tread_only\n")); err != nil {
		t.Fatal(err)
	}
	for target, p := range crawl(l, home) {
		if strings.Contains(target, "/confirm") || strings.Contains(p.text, "Replay…") || strings.Contains(p.text, "Pause…") {
			t.Errorf("read-only, %s has something to press", target)
		}
	}
	if p = l.press(confirm); p.status != http.StatusForbidden || !strings.Contains(p.text, "read-only") {
		t.Errorf("read-only, a form is answered %d\n%s", p.status, p.text)
	}
}

func TestWhatStrangersSendCannotHurtTheDashboard(t *testing.T) {
	t.Parallel()
	app := testkit.NewApp(t)
	// The directive templates, before the dashboard, runs what looks like a template.
	config := strings.Replace(board(app.Addr(), ""), "\twebhooks_dashboard", "\ttemplates\n\twebhooks_dashboard", 1)
	g := testkit.New(t).Start(config)
	evil := `<script>alert(1)</script><img src=x onerror=alert(1)>{{env "HOOK_SECRET"}}"'` + "\u202e\u0000"
	req, err := testkit.Signed("http://"+g.Addr+"/hook?a="+url.QueryEscape(evil), testkit.Secret, "id", []byte(`{"x":`+fmt.Sprintf("%q", `</pre><script>alert(1)</script>{{env "HOOK_SECRET"}}`)+`}`))
	if err != nil {
		t.Fatal(err)
	}
	header := strings.NewReplacer("\u0000", "", "\u202e", "").Replace(evil)
	req.Header.Set("X-GitHub-Event", header)
	req.Header.Set("X-GitHub-Delivery", header)
	req.Header.Set("X-Evil", header)
	req.Header.Set("Authorization", "Bearer hidden")
	resp, err := http.DefaultClient.Do(req)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%v %v", resp, err)
	}
	_ = resp.Body.Close()
	if _, _, err := testkit.Post("http://"+g.Addr+"/hook/%3Cscript%3E", "wrong", "x", []byte(`{}`)); err != nil {
		t.Fatal(err)
	}
	l := looking(t)
	for target, p := range crawl(l, "http://"+g.Addr+"/dash/") {
		if strings.Contains(p.text, testkit.Secret) || strings.Contains(p.text, "Bearer hidden") {
			t.Errorf("%s gives a secret away", target)
		}
		if len(all(p.root, "img")) > 0 {
			t.Errorf("%s has a stranger's element", target)
		}
	}
	for _, target := range []string{"?done=%3Cscript%3E", "events?q=%3Cscript%3E%7B%7Benv+%22HOOK_SECRET%22%7D%7D", "refusals?source=%3Cimg%3E", "confirm?action=%3Cimg%3E", "live?page=https://evil.example/"} {
		p := l.get("http://" + g.Addr + "/dash/" + target)
		if len(all(p.root, "img")) > 0 || len(all(p.root, "script")) > 1 || strings.Contains(p.text, testkit.Secret) {
			t.Errorf("%s writes a stranger's element:\n%s", target, p.text)
		}
	}
	body := l.get("http://" + g.Addr + "/dash/events/" + event1(t, g) + "/body")
	if got := body.header; got.Get("Content-Type") != "application/octet-stream" || !strings.HasPrefix(got.Get("Content-Disposition"), "attachment") {
		t.Errorf("the body is handed over as %v", got)
	}
}

// event1 is the newest event's ID.
func event1(t *testing.T, g *testkit.Gateway) string {
	t.Helper()
	_, text := testkit.Fetch(t, "http://"+g.Admin+"/webhooks/events?limit=1")
	_, id, _ := strings.Cut(text, `"event":"`)
	id, _, _ = strings.Cut(id, `"`)
	return id
}

func TestTheDashboardWantsToKnowWhoLooks(t *testing.T) {
	t.Parallel()
	app := testkit.NewApp(t)
	g := testkit.New(t)
	hash, err := g.Run("hash-password", "--plaintext", "hiccup", "--algorithm", "bcrypt", "--bcrypt-cost", "4")
	if err != nil {
		t.Fatalf("%v %s", err, hash)
	}
	config := example(t, "dashboard", "localhost:3000", app.Addr(), "dashboard.example.com", "http://dashboard.localhost:{$PORT}")
	config = regexp.MustCompile(`amy \S+`).ReplaceAllLiteralString(config, "amy "+strings.TrimSpace(hash)) // one that is quickly checked
	config = strings.ReplaceAll(config, "{$PORT}", g.Addr[strings.LastIndex(g.Addr, ":")+1:])
	g.Start("{\n\twebhooks {\n\t\tstore local {$DIR}/store\n\t}\n}\n" + config)
	send(t, "http://"+g.Addr+"/github", "github", testkit.Secret, "one", `{}`)
	at := "http://dashboard.localhost" + g.Addr[strings.LastIndex(g.Addr, ":"):] + "/"
	l := looking(t)
	l.client.Transport = &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, g.Addr) // whatever the name
	}}
	if p := l.get(at); p.status != http.StatusUnauthorized {
		t.Errorf("without a password it is answered %d", p.status)
	}
	l.user = "amy"
	if p := l.get(at); p.status != http.StatusOK || !strings.Contains(textOf(p.root), "signed in as amy") {
		t.Errorf("with a password: %d\n%s", p.status, p.text)
	}
	l.user = ""
	if err := g.Reload("{\n\twebhooks {\n\t\tstore local {$DIR}/store\n\t}\n}\n" + strings.Replace(strings.Replace(config, "basic_auth {", "handle /never {", 1), "amy "+strings.TrimSpace(hash), "respond no", 1)); err != nil {
		t.Fatal(err)
	}
	if p := l.get(at); p.status != http.StatusForbidden || !strings.Contains(p.text, "basic_auth") || strings.Contains(p.text, "github/") {
		t.Errorf("with nobody signed in: %d\n%s", p.status, p.text)
	}
}

func TestAReloadDoesNotWaitForPagesThatAreFollowed(t *testing.T) {
	t.Parallel()
	app := testkit.NewApp(t)
	g := testkit.New(t).Start(board(app.Addr(), ""))
	resp, err := http.Get("http://" + g.Addr + "/dash/live?page=events%3Fsource%3Dshop") //nolint:noctx // it ends with the reload
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%v", resp.Header)
	}
	var text strings.Builder
	read := func(until string) {
		t.Helper()
		b := make([]byte, 4096)
		for !strings.Contains(text.String(), until) {
			n, err := resp.Body.Read(b)
			text.Write(b[:n])
			if err != nil {
				t.Fatalf("%v; so far\n%s", err, text.String())
			}
		}
	}
	read("No event fits")
	post(t, g, "e", 1)
	read("e0")
	if err := g.Reload(board(app.Addr(), "\t\tread_only\n")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil { // else it never ends
		t.Logf("the stream was cut off: %v", err)
	}
}

func TestTheCommandServesTheDashboardToWhoeverItTells(t *testing.T) {
	t.Parallel()
	app := testkit.NewApp(t)
	g := testkit.New(t).Start(one("shop", "default", app.Addr(), ""))
	ids := post(t, g, "e", 1)
	run := begins(t, g, "dashboard")
	testkit.Eventually(t, "it says where", func() bool { return strings.Contains(run.said(), "Ctrl-C ends it") })
	link := regexp.MustCompile(`http://\S+`).FindString(run.said())
	u, err := url.Parse(link)
	if err != nil || u.Query().Get("key") == "" {
		t.Fatalf("it says %q", run.said())
	}
	home := "http://" + u.Host + "/"
	l := looking(t)
	for _, target := range []string{home, home + "events", home + "?key=wrong", home + "?key="} {
		if p := l.get(target); p.status != http.StatusForbidden || strings.Contains(p.text, "shop") {
			t.Errorf("%s without the key: %d", target, p.status)
		}
	}
	jar := looking(t)
	jar.client.Jar = newJar(t)
	if p := jar.get(link); p.status != http.StatusOK {
		t.Fatalf("%d %s", p.status, p.text)
	}
	if p := l.get(link); p.status != http.StatusForbidden {
		t.Errorf("the address works twice: %d", p.status)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, home, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "evil.example:" + u.Port()
	if p := jar.do(req); p.status != http.StatusMisdirectedRequest {
		t.Errorf("under a stranger's name: %d", p.status)
	}
	crawl(jar, home)
	testkit.Eventually(t, "it is delivered", func() bool { return len(app.Got()) == 1 })
	p := jar.press(jar.follow(jar.follow(jar.get(home+"events?id="+ids[0]), "ago"), "Replay…"))
	if !strings.Contains(p.text, "The replay is ordered.") {
		t.Errorf("%d %s", p.status, p.text)
	}
	testkit.Eventually(t, "it is sent again", func() bool { return len(app.Got()) == 2 })
	for args, words := range map[string]string{"--listen 0.0.0.0:0": "must be loopback", "--listen nowhere": "missing port", "--address localhost:1": "no Caddy answers"} {
		out, err := g.Run(append([]string{"webhooks", "dashboard"}, strings.Fields(args)...)...)
		if err == nil || !strings.Contains(out, words) {
			t.Errorf("%s: %v %s", args, err, out)
		}
	}
}

// newJar keeps cookies as a browser does.
func newJar(t *testing.T) http.CookieJar {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return jar
}

func TestADashboardBelowAnyPathKnowsWhatIsThere(t *testing.T) {
	t.Parallel()
	app := testkit.NewApp(t)
	g := testkit.New(t).Start(strings.TrimSuffix(board(app.Addr(), ""), "}") + `
	handle_path /hp/* {
		webhooks_dashboard {
			allow_anonymous
		}
	}
	handle_path /hpn* {
		webhooks_dashboard {
			allow_anonymous
		}
	}
}`)
	id := post(t, g, "e", 1)[0]
	testkit.Eventually(t, "it is delivered", func() bool { return len(app.Got()) == 1 })
	l := looking(t)
	home := "http://" + g.Addr
	for _, path := range []string{"/hpn", "/dash"} {
		p := l.get(home + path + "?span=24h")
		if p.status != http.StatusOK || p.at.Path != path+"/" || p.at.RawQuery != "span=24h" {
			t.Errorf("%s leads to %d %s", path, p.status, p.at)
		}
	}
	crawl(l, home+"/hpn/")
	for _, path := range []string{
		"/hp/foo", "/hp/foo/", "/hpn/foo", "/hp/a/events", "/dash/events/NOPE", "/dash/events/", "/dash/jobs/", "/dash/jobs/NOPE",
		"/dash/destinations/shop", "/dash/destinations/shop/", "/dash/destinations/shop/none", "/dash/destinations",
		"/dash/confirm?action=pause&destination=shop/none", "/dash/confirm?action=resume&destination=none/default",
		"/dash/confirm?action=cancel&job=1a", "/dash/confirm?action=replay&event=" + event1(t, g) + "&destination=shop/none",
		"/dash/confirm?action=replay&event=" + eventNobodySent,
	} {
		p := l.get(home + path)
		if p.status != http.StatusNotFound || !strings.Contains(p.text, "To the overview") {
			t.Errorf("%s is answered %d\n%s", path, p.status, p.text)
			continue
		}
		if p = l.follow(p, "To the overview"); p.status != http.StatusOK || !strings.Contains(p.text, "<h1>Overview</h1>") {
			t.Errorf("from %s no link leads to the overview but to %s", path, p.at)
		}
	}
	if p := l.get(home + "/dash/events/" + strings.ToUpper(event1(t, g))); p.status != http.StatusOK || !strings.Contains(p.text, id) {
		t.Errorf("an event in capitals: %d\n%s", p.status, p.text)
	}
}

const eventNobodySent = "01a20d72-0dc2-7cae-991a-bb334b5ccaff"

func TestAnEventThatFailsBetweenOthersIsNotWell(t *testing.T) {
	t.Parallel()
	app := testkit.NewApp(t)
	app.Answer(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-GitHub-Delivery") == "bad" {
			w.WriteHeader(http.StatusTeapot)
		}
	})
	g := testkit.New(t).Start(board(app.Addr(), ""))
	l := looking(t)
	sent := func(id string) {
		t.Helper()
		if status, _, err := testkit.Post("http://"+g.Addr+"/hook", testkit.Secret, id, []byte(`{}`)); err != nil || status != http.StatusOK {
			t.Fatalf("%d %v", status, err)
		}
	}
	sent("good0")
	testkit.Eventually(t, "it is delivered", func() bool { return g.Count("delivered") == 1 })
	home := "http://" + g.Addr + "/dash/"
	if p := l.get(home); !strings.Contains(p.text, "All is well") {
		t.Errorf("before:\n%s", p.text)
	}
	sent("bad")
	testkit.Eventually(t, "it has failed", func() bool { return stands(t, g, "shop", "default")["retrying"] == float64(1) })
	sent("good1")
	testkit.Eventually(t, "the other one is delivered", func() bool { return g.Count("delivered") == 2 })
	p := l.get(home)
	if text := textOf(p.root); strings.Contains(text, "All is well") || !strings.Contains(text, "1 event fails at shop/default and is tried again") {
		t.Errorf("it says\n%s", text)
	}
	if p = l.follow(p, "Look at them"); !strings.Contains(p.text, "bad") || strings.Contains(p.text, "good1") {
		t.Errorf("the link leads to\n%s", p.text)
	}
	// And where it is paused or discarded, the pages say so.
	if out, err := g.Run("webhooks", "pause", "shop/default", "--address", g.Admin); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	p = l.follow(l.follow(p, "ago"), "Replay…")
	if !strings.Contains(p.text, "shop/default is paused: nothing is sent to it") {
		t.Errorf("before a replay to what is paused:\n%s", p.text)
	}
	if p = l.press(p); !strings.Contains(p.text, "The replay is ordered. shop/default is paused") {
		t.Errorf("after it:\n%s", p.text)
	}
	if p = l.press(l.follow(p, "Discard…")); !regexp.MustCompile(`has discarded it\.</bdi> <span class="muted">20\d\d-`).MatchString(p.text) {
		t.Errorf("it does not say when it was discarded:\n%s", p.text)
	}
	many := l.get(home + "confirm?action=replays&filter.source=shop&rate=NaN")
	if many.status != http.StatusOK || !strings.Contains(many.text, "is no number of deliveries a second") {
		t.Errorf("a rate that is none: %d\n%s", many.status, many.text)
	}
	good := l.get(home + "confirm?action=replays&filter.source=shop")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, home+"act", strings.NewReader("action=replays&filter.source=shop&rate=NaN"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	if p := l.do(req); p.status != http.StatusBadRequest || !strings.Contains(good.text, "shop/default is paused") {
		t.Errorf("ordered with such a rate: %d\n%s", p.status, p.text)
	}
}
