// Package ui has the pages of the dashboard: what comes in and what waits, what
// failed and why, and the buttons for it. It speaks HTTP to the admin API like
// everybody else, in the same process or over the network, and knows nothing
// that the API does not tell.
//
// Pages are written by the server and can be read without a script. Every link
// is relative, so that they work under any path. All that strangers have sent is
// escaped by html/template.
package ui

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"time"
)

// Options say how the pages are served.
type Options struct {
	// API carries requests to the admin API; their URLs have no host.
	API http.RoundTripper
	// User gives the name of whoever makes a request. When it is empty the pages
	// are refused.
	User func(r *http.Request) string
	// ReadOnly hides and refuses everything that changes something.
	ReadOnly bool
	// Whole says that paths are the pages' alone, with nothing before them.
	Whole bool
}

// Pages serve the dashboard. They are safe for concurrent use.
type Pages struct {
	o      Options
	api    client
	origin *http.CrossOriginProtection
	// ended is cancelled when streams must end.
	ended   context.Context
	end     context.CancelFunc
	streams chan struct{}
	now     func() time.Time
	every   time.Duration
}

// New makes the pages. Close must be called at the end.
func New(o Options) *Pages {
	ended, end := context.WithCancel(context.Background())
	return &Pages{
		o: o, api: client{o.API}, origin: http.NewCrossOriginProtection(), ended: ended, end: end,
		streams: make(chan struct{}, maxStreams), now: time.Now, every: streamEvery,
	}
}

// Close ends the streams that keep pages up to date. Browsers come back by
// themselves.
func (p *Pages) Close() { p.end() }

// policy lets a page have nothing but what comes from the place that it comes from.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

func protect(h http.Header) {
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}

// ServeHTTP serves a page, whatever stands before it in the path.
func (p *Pages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.serve(w, r, locate(r.URL.Path, p.o.Whole))
}

func (p *Pages) serve(w http.ResponseWriter, r *http.Request, at place) {
	protect(w.Header())
	if at.page == "asset" { // the same for everybody
		serveAsset(w, r, at.arg)
		return
	}
	who := p.o.User(r)
	if who == "" {
		p.refuse(w, at, http.StatusForbidden, errAnonymous)
		return
	}
	v := &visit{p: p, r: r, at: at, who: who, query: r.URL.Query()}
	if err := p.origin.Check(r); err != nil {
		p.refuse(w, at, http.StatusForbidden, fmt.Errorf("this came from another site, so nothing was done: %w", err))
		return
	}
	if err := v.serve(w); err != nil {
		p.refuse(w, at, statusOf(err), err)
	}
}

var (
	errAnonymous = errors.New("nobody is signed in. The dashboard shows what strangers have sent and what it did, so it wants to know " +
		"who looks: put an authentication such as basic_auth or forward_auth before webhooks_dashboard, or say with its " +
		"subdirective `user` where the name of the signed-in user is. allow_anonymous lets everybody in")
	errReadOnly = errors.New("this dashboard is read-only")
	errForeign  = errors.New("this came from another site")
	errMethod   = errors.New("this page cannot be asked for in that way")
	errUnknown  = errors.New("there is no such page")
)

// visit is one request for a page.
type visit struct {
	p     *Pages
	r     *http.Request
	at    place
	who   string
	query url.Values
	// followed tells that a stream sends the page: its script writes how long ago
	// something was, so that what only grows older is not sent again.
	followed bool
}

// content is what a page shows.
type content struct {
	title string
	// data is what the page's template is given.
	data any
	// note is added to what was done right before.
	note string
	// still tells that it does not change while one looks at it.
	still bool
}

// shown are the pages that are looked at, by name. What they do is done by "act".
var shown = map[string]func(v *visit) (content, error){
	"overview": (*visit).overview, "events": (*visit).events, "event": (*visit).event, "destination": (*visit).destination,
	"refusals": (*visit).refusals, "jobs": (*visit).jobs, "job": (*visit).job, "confirm": (*visit).confirm,
}

func (v *visit) serve(w http.ResponseWriter) error {
	if v.at.page == "act" {
		return v.act(w)
	}
	if v.r.Method != http.MethodGet && v.r.Method != http.MethodHead {
		return errMethod
	}
	switch v.at.page {
	case "":
		to := v.at.arg
		if v.r.URL.RawQuery != "" {
			to += "?" + v.r.URL.RawQuery
		}
		// http.Redirect would make it absolute, by the path that is left here of the
		// browser's.
		w.Header().Set("Location", to)
		w.WriteHeader(http.StatusTemporaryRedirect)
		return nil
	case "live":
		return v.stream(w)
	case "body":
		return v.body(w)
	}
	html, err := v.render("page")
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(html) // whoever has hung up needs no page
	return nil
}

// screen is what the templates are given.
type screen struct {
	Title string
	// Up leads to the dashboard's beginning, with a slash at its end.
	Up   string
	Page string
	Who  string
	// Live is the page as the stream is asked for it; empty if it stands still.
	Live     string
	ReadOnly bool
	Now      time.Time
	// Done is what was done right before, in words.
	Done   string
	Style  string
	Script string
	Icon   string
	Data   any
}

// render writes a page, or with "main" what changes of it.
func (v *visit) render(part string) ([]byte, error) {
	show, ok := shown[v.at.page]
	if !ok {
		return nil, errUnknown
	}
	c, err := show(v)
	if err != nil {
		return nil, err
	}
	s := v.p.screen(v.at, c.title)
	s.Who, s.Data, s.Done = v.who, c.data, done[v.query.Get("done")]
	if s.Done != "" && c.note != "" {
		s.Done += " " + c.note
	}
	if v.followed {
		s.Now = time.Time{}
	}
	if !c.still {
		q := v.r.URL.Query()
		q.Del("done")
		s.Live = v.at.path + "?" + q.Encode()
	}
	return execute(v.at.page, part, s)
}

func (p *Pages) screen(at place, title string) screen {
	return screen{
		Title: title, Up: at.up, Page: at.page, ReadOnly: p.o.ReadOnly, Now: p.now(), Style: styleName, Script: scriptName, Icon: iconName,
	}
}

// refuse shows an error.
func (p *Pages) refuse(w http.ResponseWriter, at place, status int, err error) {
	s := p.screen(at, http.StatusText(status))
	s.Page, s.Data = "error", err.Error()
	html, failed := execute("error", "page", s)
	if failed != nil {
		http.Error(w, err.Error(), status)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(html) // as above
}

// statusOf chooses the status of an error.
func statusOf(err error) int {
	switch said, ok := errors.AsType[*apiError](err); {
	case ok && said.status != 0:
		return said.status
	case errors.Is(err, errReadOnly), errors.Is(err, errForeign):
		return http.StatusForbidden
	case errors.Is(err, errMethod):
		return http.StatusMethodNotAllowed
	case errors.Is(err, errUnknown), errors.Is(err, errNoDestination):
		return http.StatusNotFound
	case errors.Is(err, errForm):
		return http.StatusBadRequest
	}
	return http.StatusBadGateway
}

// execute runs a page's template. What a stranger has written must not be run by
// Caddy's directive templates either, should that stand before the dashboard.
func execute(page, part string, s screen) ([]byte, error) {
	var b bytes.Buffer
	t, ok := templates[page]
	if !ok {
		return nil, errUnknown
	}
	if err := t.ExecuteTemplate(&b, part, s); err != nil {
		return nil, fmt.Errorf("writing the page: %w", err)
	}
	return bytes.ReplaceAll(b.Bytes(), []byte("{{"), []byte("&#123;&#123;")), nil
}

var templates = parse()

func parse() map[string]*template.Template {
	layout := template.Must(template.New("layout").Funcs(helpers).ParseFS(pages, "pages/layout.html"))
	all := map[string]*template.Template{}
	for name := range shown {
		all[name] = template.Must(template.Must(layout.Clone()).ParseFS(pages, "pages/"+name+".html"))
	}
	all["error"] = template.Must(template.Must(layout.Clone()).ParseFS(pages, "pages/error.html"))
	return all
}
