package cli

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// captured is a request that was captured in some way.
type captured struct {
	// kind says what it was read from.
	kind   string
	method string
	// url is the whole address, as far as the capture has it.
	url    string
	header http.Header
	body   []byte
	// at is when it was received; zero if the capture does not say.
	at time.Time
	// provider is the one that a stored event names.
	provider string
	// guessed says in words what of the address is not in the capture.
	guessed string
	// notes say what the capture may have lost.
	notes []string
}

var (
	errUnknown = errors.New("this is neither a curl command, nor a HAR file, nor an HTTP request, nor an event of `caddy webhooks show --json`")
	startLine  = regexp.MustCompile(`^[A-Z]+ \S+ HTTP/[0-9.]+\r?\n`)
	curlLine   = regexp.MustCompile(`^(?:\$ |% |> )?(?:\w+=\S*[\s\\]+)*\S*curl(?:\.exe)?\s`)
)

// readCapture finds out what a text is, and reads it. entry is the one of
// several, from 1; 0: the first that fits.
func readCapture(text []byte, entry int, read func(string) ([]byte, error)) (*captured, error) {
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	bare := bytes.TrimLeft(text, " \t\r\n")
	switch {
	case len(bare) == 0:
		return nil, errors.New("the capture is empty")
	case bare[0] == '{':
		return readJSON(bare, entry)
	case curlLine.Match(bare):
		return readCurl(strings.TrimPrefix(strings.TrimPrefix(string(bare), "$ "), "> "), read)
	case startLine.Match(bare):
		return readHTTP(bare)
	}
	return nil, errUnknown
}

// jsonCapture is a HAR file, one entry of one, or a stored event.
type jsonCapture struct {
	Log *struct{ Entries []harEntry }
	harEntry
	eventView
	Events json.RawMessage
}

type harEntry struct {
	StartedDateTime string
	Request         *harRequest
}

type harRequest struct {
	Method, URL string
	Headers     []harPair
	PostData    *harData
	BodySize    int
}

type harPair struct{ Name, Value string }

type harData struct {
	MimeType, Text, Encoding string
	Params                   []harPair
}

// readJSON reads a HAR file, or stored events, one after the other.
func readJSON(text []byte, entry int) (*captured, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	for n := 1; ; n++ {
		var c jsonCapture
		switch err := d.Decode(&c); {
		case errors.Is(err, io.EOF):
			return nil, fmt.Errorf("there is no entry %d", entry)
		case err != nil:
			return nil, fmt.Errorf("reading the capture as JSON: %w", err)
		case c.Log != nil:
			return fromHAR(c.Log.Entries, entry)
		case c.Request != nil:
			return c.read("HAR entry")
		case c.Events != nil:
			return nil, errors.New("a list of events has no headers and bodies: use `caddy webhooks show <event> --json`")
		case c.Event == "":
			return nil, errUnknown
		case n == max(entry, 1):
			return c.stored()
		}
	}
}

// fromHAR takes an entry: the first that posts something, unless one is named.
func fromHAR(entries []harEntry, entry int) (*captured, error) {
	posts := func(e harEntry) bool { return e.Request != nil && e.Request.Method == http.MethodPost }
	i := entry - 1
	if entry == 0 {
		if i = slices.IndexFunc(entries, posts); i < 0 {
			return nil, errors.New("the HAR file has no POST; name another entry with --entry")
		}
	}
	if i >= len(entries) || entries[i].Request == nil {
		return nil, fmt.Errorf("the HAR file has no entry %d, but %d entries", entry, len(entries))
	}
	return entries[i].read(fmt.Sprintf("HAR entry %d", i+1))
}

func (e harEntry) read(kind string) (*captured, error) {
	r := e.Request
	c := &captured{kind: kind, method: r.Method, url: r.URL, header: http.Header{}}
	c.at, _ = time.Parse(time.RFC3339Nano, e.StartedDateTime) // without it, it is judged now
	for _, h := range r.Headers {
		if !strings.HasPrefix(h.Name, ":") { // those of HTTP/2 repeat the address
			c.header.Add(h.Name, h.Value)
		}
	}
	if r.PostData == nil {
		return c, nil
	}
	if err := c.harBody(r.PostData); err != nil {
		return nil, err
	}
	if c.header.Get("Content-Type") == "" && r.PostData.MimeType != "" {
		c.header.Set("Content-Type", r.PostData.MimeType)
	}
	if r.BodySize > 0 && r.BodySize != len(c.body) {
		c.notes = append(c.notes, fmt.Sprintf("the HAR file says that the body had %d bytes, and holds %d: it has lost some, or holds it decoded", r.BodySize, len(c.body)))
	}
	return c, nil
}

func (c *captured) harBody(d *harData) error {
	switch {
	case d.Encoding == "base64":
		body, err := base64.StdEncoding.DecodeString(d.Text)
		if err != nil {
			return fmt.Errorf("reading the body of the HAR entry: %w", err)
		}
		c.body = body
	case d.Text != "":
		c.body = []byte(d.Text)
		if strings.ContainsRune(d.Text, '\ufffd') {
			c.notes = append(c.notes, "the HAR file holds the body as text, and bytes that were none are lost (they stand as \ufffd): it can hardly verify")
		}
	case len(d.Params) > 0:
		var pairs []string
		for _, p := range d.Params {
			pairs = append(pairs, url.QueryEscape(p.Name)+"="+url.QueryEscape(p.Value))
		}
		c.body = []byte(strings.Join(pairs, "&"))
		c.notes = append(c.notes, "the HAR file holds the form's fields only; the body was written anew of them, and may differ from the one that was sent")
	}
	return nil
}

// masked is what the admin API shows in place of a secret.
const masked = "[masked]"

// stored takes an event as the admin API gives it.
func (j *jsonCapture) stored() (*captured, error) {
	e := j.eventView
	switch {
	case e.Gone:
		return nil, fmt.Errorf("the body of event %s was removed by retention", e.Event)
	case e.Method == "":
		return nil, errors.New("this event has no request in it: use `caddy webhooks show <event> --json`")
	}
	body, err := base64.StdEncoding.DecodeString(e.Body)
	if err != nil {
		return nil, fmt.Errorf("reading the body of the event: %w", err)
	}
	c := &captured{
		kind: "stored event", method: e.Method, header: http.Header{}, body: body, at: e.Received, provider: e.Provider,
		url: "https://localhost" + e.URI, guessed: "scheme and host",
	}
	for name, values := range e.Headers {
		for _, v := range values {
			c.header.Add(name, v)
		}
	}
	if host := c.header.Get("Host"); host != "" {
		c.url, c.guessed = "https://"+host+e.URI, "the scheme"
	}
	return c, nil
}

// readHTTP reads a request as it stands on the wire, or as an editor has saved it.
func readHTTP(text []byte) (*captured, error) {
	start, rest, _ := bytes.Cut(text, []byte("\n"))
	words := strings.Fields(string(start))
	c := &captured{kind: "HTTP request", method: words[0], header: http.Header{}}
	for {
		var line []byte
		var more bool
		line, rest, more = bytes.Cut(rest, []byte("\n"))
		text := strings.TrimRight(string(line), "\r")
		if text == "" {
			break
		}
		name, value, ok := strings.Cut(text, ":")
		if !ok || name == "" || strings.ContainsAny(name, " \t") {
			return nil, fmt.Errorf("reading the HTTP request: %q is no header", cut(text, 80))
		}
		c.header.Add(name, strings.TrimSpace(value))
		if !more {
			break
		}
	}
	c.url, c.guessed = words[1], ""
	if strings.HasPrefix(c.url, "/") {
		c.url, c.guessed = "https://"+cmp.Or(c.header.Get("Host"), "localhost")+c.url, "the scheme"
	}
	return c, c.framed(rest)
}

// framed takes the body by what the headers say of its length.
func (c *captured) framed(rest []byte) error {
	c.body = rest
	if strings.EqualFold(c.header.Get("Transfer-Encoding"), "chunked") {
		whole, err := io.ReadAll(httputil.NewChunkedReader(bufio.NewReader(bytes.NewReader(rest))))
		if err == nil {
			c.body = whole
		} else {
			c.notes = append(c.notes, "Transfer-Encoding is chunked, and the body is not written in chunks: it is taken as it stands")
		}
		return nil
	}
	said := c.header.Get("Content-Length")
	if said == "" {
		return nil
	}
	n, err := strconv.Atoi(said)
	switch {
	case err != nil || n < 0:
		return fmt.Errorf("reading the HTTP request: %q is no Content-Length", cut(said, 80))
	case n < len(rest):
		c.body = rest[:n]
		c.notes = append(c.notes, fmt.Sprintf("Content-Length is %d: what the capture has more, such as an editor's newline, is left out", n))
	case n > len(rest):
		c.notes = append(c.notes, fmt.Sprintf("Content-Length is %d, and the capture holds %d bytes: it has lost some, such as the CR of line ends", n, len(rest)))
	}
	return nil
}
