package e2e

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-webhooks/caddy-webhooks/internal/testkit"
)

// form is one kind of destination, as an operator writes it, and what comes of
// the one attempt that it gets.
type form struct {
	name, to string
	// state is delivered or dead; status and says are the attempt's.
	state  string
	status int
	says   string
	// target and header are what the application gets; "" for nothing.
	target string
	header map[string]string
}

// forms are written with APP for the application's address, H2C and UNIX for
// others that lead to it, and DIR for a directory with the file hello.txt.
var forms = []form{
	{name: "plain", to: "to APP", state: "delivered", status: 200, target: "/plain?a=%2f&b"},
	{name: "h2c", to: "to h2c://H2C", state: "delivered", status: 200, target: "/h2c?a=%2f&b"},
	{name: "unix", to: "to unix/UNIX", state: "delivered", status: 200, target: "/unix?a=%2f&b"},
	{name: "unix-h2c", to: "to unix+h2c/UNIX", state: "delivered", status: 200, target: "/unix-h2c?a=%2f&b"},
	{
		name: "rewrite", to: "to APP {\nroute {\nrewrite /legacy/hook.php?{query}&x=1\n}\n}",
		state: "delivered", status: 200, target: "/legacy/hook.php?a=%2f&b&x=1",
	},
	{
		name: "uri", to: "to APP {\nroute {\nuri strip_prefix /uri\nuri path_regexp ^/$ /short\n}\n}",
		state: "delivered", status: 200, target: "/short?a=%2f&b",
	},
	{
		name: "headers", to: "to APP {\nroute {\nrequest_header -X-Pad\nrequest_header X-New {http.request.header.X-Github-Event}\n}\n" +
			"reverse_proxy {\nheader_up Host legacy.internal\nheader_up X-Up yes\n}\n}",
		state: "delivered", status: 200, target: "/headers?a=%2f&b",
		header: map[string]string{"X-Pad": "", "X-New": "push", "X-Up": "yes", "Host": "legacy.internal"},
	},
	{
		name: "vars", to: "to APP {\nroute {\nvars tenant acme\nmap {http.request.header.X-Github-Event} {kind} {\npush code\ndefault other\n}\n" +
			"request_header X-Tenant {vars.tenant}\nrequest_header X-Kind {kind}\nrequest_header X-Site [{vars.site}]\n}\n}",
		state: "delivered", status: 200, target: "/vars?a=%2f&b",
		header: map[string]string{"X-Tenant": "acme", "X-Kind": "code", "X-Site": "[]"},
	},
	{
		name: "invoke", to: "to {\nroute {\ninvoke application\n}\n}",
		state: "delivered", status: 200, target: "/named", header: map[string]string{"X-Named": "yes"},
	},
	{
		name: "choice", to: "to {\nroute {\n@push header X-Github-Event push\nreverse_proxy @push APP\nrespond 500\n}\n}",
		state: "delivered", status: 200, target: "/choice?a=%2f&b",
	},
	{
		name: "redirect", to: "to APP {\nroute {\nrewrite /moved\n}\n}",
		state: "dead", status: 302, says: "redirects are not followed", target: "/moved?a=%2f&b",
	},
	{
		name: "redirect-done", to: "to APP {\nroute {\nrewrite /moved\n}\nreverse_proxy {\n@done status 302 303\nreplace_status @done 204\n}\n}",
		state: "delivered", status: 204, target: "/moved?a=%2f&b",
	},
	{name: "respond", to: "to {\nroute {\nrespond 200\n}\n}", state: "delivered", status: 200},
	{name: "respond-text", to: "to {\nroute {\nrespond \"thanks\" 201\n}\n}", state: "delivered", status: 201},
	{name: "respond-500", to: "to {\nroute {\nrespond 500\n}\n}", state: "dead", status: 500, says: "500"},
	{name: "error-404", to: "to {\nroute {\nerror 404\n}\n}", state: "dead", status: 404, says: "404"},
	{name: "error-503", to: "to APP {\nroute {\nerror \"closed for today\" 503\n}\n}", state: "dead", status: 503, says: "closed for today"},
	{name: "nothing", to: "to {\nroute {\nheader X-A b\n}\n}", state: "dead", says: "no handler of the destination answered"},
	{name: "other-path", to: "to {\nroute {\nhandle /elsewhere {\nrespond 200\n}\n}\n}", state: "dead", says: "no handler of the destination answered"},
	{name: "handle-nothing", to: "to {\nroute {\nhandle {\nheader X-A b\n}\n}\n}", state: "dead", says: "no handler of the destination answered"},
	{name: "invoke-nobody", to: "to {\nroute {\nvars x y\ninvoke silent\n}\n}", state: "dead", says: "no handler of the destination answered"},
	{name: "file", to: "to {\nroute {\nroot * DIR\nrewrite /hello.txt\nfile_server\n}\n}", state: "dead", status: 405, says: "405"},
	{name: "file-get", to: "to {\nroute {\nroot * DIR\nmethod GET\nrewrite /hello.txt\nfile_server\n}\n}", state: "delivered", status: 200},
	{name: "file-without-root", to: "to {\nroute {\nmethod GET\nrewrite /hello.txt\nfile_server\n}\n}", state: "dead", status: 404, says: "404"},
	{name: "refused", to: "to GONE", state: "dead", says: "connection refused"},
}

// siteOfForms writes all forms into one site, whose own directives would make a
// success of anything.
func siteOfForms(words ...string) string {
	var b strings.Builder
	b.WriteString("{\n\twebhooks {\n\t\tstore memory\n\t}\n}\n&(application) {\n\trequest_header X-Named yes\n\trewrite /named?\n\treverse_proxy APP\n}\n" +
		"&(silent) {\n\theader X-A b\n}\n{$ADDR} {\n\troot * DIR\n\tvars site here\n\thandle_errors {\n\t\trespond \"sorry\" 200\n\t}\n\trespond 200\n")
	for _, f := range forms {
		to := f.to
		if !strings.Contains(to, "{\n") {
			to += " {\n}"
		}
		to = strings.Replace(to, "{\n", "{\nretry {\nattempts 1\n}\n", 1)
		fmt.Fprintf(&b, "webhooks /%s {\nname %s\nfrom github {env.HOOK_SECRET}\n%s\n}\n", f.name, f.name, to)
	}
	b.WriteString("}\n")
	return strings.NewReplacer(words...).Replace(b.String())
}

// attempt is one try, as the admin API shows it.
type attempt struct {
	Status int
	Error  string
}

// only gives the state of a source's only delivery, and its attempts.
func only(g *testkit.Gateway, source string) (state string, attempts []attempt) {
	var list struct{ Events []struct{ Event string } }
	g.Get("/webhooks/events?source="+source, &list)
	if len(list.Events) != 1 {
		return fmt.Sprintf("%d events", len(list.Events)), nil
	}
	var one struct {
		Deliveries []struct {
			State    string
			Attempts []attempt
		}
	}
	g.Get("/webhooks/events/"+list.Events[0].Event, &one)
	return one.Deliveries[0].State, one.Deliveries[0].Attempts
}

func TestEveryFormOfADestination(t *testing.T) {
	t.Parallel()
	app := testkit.NewApp(t)
	app.Answer(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/moved" {
			http.Redirect(w, r, "/done", http.StatusFound)
		}
	})
	dir, err := os.MkdirTemp("", "hook") //nolint:usetesting // t.TempDir is longer than the name of a socket may be
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.WriteFile(filepath.Join(dir, "hello.txt"), []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	both := new(http.Protocols)
	both.SetHTTP1(true)
	both.SetUnencryptedHTTP2(true)
	also := func(l net.Listener) string {
		s := httptest.NewUnstartedServer(app.Config.Handler)
		_ = s.Listener.Close()
		s.Listener, s.Config.Protocols = l, both
		s.Start()
		t.Cleanup(s.Close)
		return l.Addr().String()
	}
	g := testkit.New(t).Start(siteOfForms("APP", app.Addr(), "GONE", testkit.FreeAddr(t), "DIR", dir,
		"H2C", also(listen(t, "tcp", "127.0.0.1:0")), "UNIX", also(listen(t, "unix", filepath.Join(dir, "s")))))
	for _, f := range forms {
		t.Run(f.name, func(t *testing.T) { f.try(t, g, app) })
	}
}

func listen(t *testing.T, network, addr string) net.Listener {
	t.Helper()
	l, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func (f form) try(t *testing.T, g *testkit.Gateway, app *testkit.App) {
	before := len(app.Got())
	body := []byte("{\"form\":\"" + f.name + "\"}\r\n")
	req, err := testkit.Signed("http://"+g.Addr+"/"+f.name+"?a=%2f&b", testkit.Secret, f.name, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Pad", "pad")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != 200 || resp.Header.Get("Webhook-Status") != "accepted" {
		t.Fatalf("%d %v", resp.StatusCode, resp.Header)
	}
	var attempts []attempt
	testkit.Eventually(t, "it is "+f.state, func() bool {
		var state string
		state, attempts = only(g, f.name)
		return state == f.state
	})
	if len(attempts) != 1 || attempts[0].Status != f.status || !strings.Contains(attempts[0].Error, f.says) || (attempts[0].Error == "") != (f.state == "delivered") {
		t.Errorf("attempts %+v, want one with status %d, and %q", attempts, f.status, f.says)
	}
	got := app.Got()[before:]
	if f.target == "" {
		if len(got) > 0 {
			t.Errorf("the application got %+v", got)
		}
		return
	}
	if len(got) != 1 || got[0].URI != f.target || string(got[0].Body) != string(body) {
		t.Fatalf("the application got %+v, want %s", got, f.target)
	}
	for name, want := range f.header {
		have := got[0].Header.Get(name)
		if name == "Host" {
			have = got[0].Host
		}
		if have != want {
			t.Errorf("%s is %q, want %q", name, have, want)
		}
	}
}
