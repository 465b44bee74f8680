package cli

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// curl is a command line of curl, as far as it shapes the request.
type curl struct {
	captured
	read func(path string) ([]byte, error)

	body      []byte
	hasBody   bool
	isJSON    bool
	uploaded  bool
	get, head bool
	removed   []string // headers that -H 'Name:' takes away
}

// readCurl reads a command line; read reads the files that it names.
func readCurl(text string, read func(string) ([]byte, error)) (*captured, error) {
	if strings.Contains(text, "^\n") || strings.Contains(text, "^\r\n") {
		return nil, errors.New("the curl command is quoted for the command prompt of Windows: copy it for bash")
	}
	words, notes, err := shellWords(text)
	if err != nil {
		return nil, fmt.Errorf("reading the curl command: %w", err)
	}
	i := slices.IndexFunc(words, isCurl)
	if i < 0 {
		return nil, errors.New("reading the curl command: there is none")
	}
	c := &curl{captured: captured{kind: "curl command", header: http.Header{}, notes: notes}, read: read}
	if err := c.take(words[i+1:]); err != nil {
		return nil, fmt.Errorf("reading the curl command: %w", err)
	}
	return c.finish()
}

func isCurl(word string) bool {
	return word == "curl" || strings.HasSuffix(word, "/curl") || strings.HasSuffix(word, "curl.exe")
}

// take takes options and the address.
func (c *curl) take(words []string) error {
	for len(words) > 0 {
		word := words[0]
		words = words[1:]
		var err error
		switch {
		case strings.HasPrefix(word, "--") && len(word) > 2:
			words, err = c.long(word[2:], words)
		case strings.HasPrefix(word, "-") && len(word) > 1 && word != "--":
			words, err = c.short(word[1:], words)
		case word != "--":
			c.address(word)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *curl) address(text string) {
	if c.url != "" {
		c.notes = append(c.notes, "the command has several addresses; only the first is looked at")
		return
	}
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	c.url = text
}

// shapes are the options that shape the request; all take a value.
var shapes = map[string]func(*curl, string) error{
	"data":           func(c *curl, v string) error { return c.data(v, true) },
	"data-ascii":     func(c *curl, v string) error { return c.data(v, true) },
	"data-binary":    func(c *curl, v string) error { return c.data(v, false) },
	"data-raw":       func(c *curl, v string) error { c.join([]byte(v)); return nil },
	"data-urlencode": (*curl).encoded,
	"json":           (*curl).json,
	"header":         (*curl).addHeader,
	"request":        func(c *curl, v string) error { c.method = v; return nil },
	"url":            func(c *curl, v string) error { c.address(v); return nil },
	"user": func(c *curl, v string) error {
		return c.set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(v)))
	},
	"oauth2-bearer": func(c *curl, v string) error { return c.set("Authorization", "Bearer "+v) },
	"user-agent":    func(c *curl, v string) error { return c.set("User-Agent", v) },
	"referer":       func(c *curl, v string) error { return c.set("Referer", v) },
	"cookie":        func(c *curl, v string) error { return c.set("Cookie", v) },
	"upload-file":   (*curl).upload,
	"form":          func(*curl, string) error { return errMultipart },
	"form-string":   func(*curl, string) error { return errMultipart },
	"config": func(*curl, string) error {
		return errors.New("-K: options from a file are not read; write them into the command")
	},
	"url-query": func(*curl, string) error {
		return errors.New("--url-query is not read; write the query into the address")
	},
	"request-target": func(*curl, string) error {
		return errors.New("--request-target is not read; write it into the address")
	},
}

var errMultipart = errors.New("-F: the boundary that curl draws is not in the command; capture the request itself, as raw HTTP")

// letterOptions are the short forms of options with a value.
var letterOptions = map[byte]string{
	'd': "data", 'H': "header", 'X': "request", 'u': "user", 'A': "user-agent", 'e': "referer", 'b': "cookie",
	'T': "upload-file", 'F': "form", 'K': "config",
	'c': "", 'C': "", 'D': "", 'E': "", 'm': "", 'o': "", 'P': "", 'Q': "", 'r': "", 't': "", 'U': "", 'w': "", 'x': "", 'y': "", 'Y': "", 'z': "",
}

// valued are the other options with a value, which change nothing here.
var valued = strings.Fields(`abstract-unix-socket alt-svc cacert capath cert cert-type ciphers connect-timeout connect-to
	continue-at cookie-jar crlfile curves dns-interface dns-servers doh-url dump-header engine expect100-timeout
	happy-eyeballs-timeout-ms hsts interface keepalive-time key key-type limit-rate local-port max-filesize max-redirs
	max-time netrc-file noproxy output output-dir parallel-max pass pinnedpubkey preproxy proto proto-default proto-redir
	proxy proxy-user proxy-header proxy1.0 quote range rate resolve retry retry-delay retry-max-time socks4 socks4a
	socks5 socks5-hostname speed-limit speed-time stderr time-cond tls-max tls13-ciphers trace trace-ascii trace-config
	unix-socket write-out etag-save etag-compare`)

// bare are the options without a value.
var bare = strings.Fields(`anyauth basic compressed compressed-ssh create-dirs digest disable fail fail-early
	fail-with-body get globoff head http0.9 http1.0 http1.1 http2 http2-prior-knowledge http3 http3-only include insecure
	ipv4 ipv6 junk-session-cookies location location-trusted netrc netrc-optional ntlm parallel path-as-is post301 post302
	post303 progress-bar proxytunnel raw remote-header-name remote-name remote-time retry-all-errors retry-connrefused
	show-error show-headers silent ssl ssl-reqd sslv2 sslv3 styled-output suppress-connect-headers tcp-fastopen
	tcp-nodelay tlsv1 tlsv1.0 tlsv1.1 tlsv1.2 tlsv1.3 tr-encoding trace-time verbose xattr next`)

func (c *curl) long(name string, words []string) ([]string, error) {
	switch shape := shapes[name]; {
	case shape == nil && (slices.Contains(bare, name) || strings.HasPrefix(name, "no-")):
		return words, c.flag(name)
	case shape == nil && !slices.Contains(valued, name):
		return nil, fmt.Errorf("--%s is not known", name)
	case len(words) == 0:
		return nil, fmt.Errorf("--%s lacks its value", name)
	case shape == nil:
		return words[1:], nil
	default:
		return words[1:], shape(c, words[0])
	}
}

func (c *curl) flag(name string) error {
	switch name {
	case "get":
		c.get = true
	case "head":
		c.head = true
	case "next":
		return errors.New("--next: the command makes several requests; keep one of them")
	}
	return nil
}

// short takes letters behind one hyphen: flags, and at the end one with a value.
func (c *curl) short(letters string, words []string) ([]string, error) {
	for i := range len(letters) {
		name, takes := letterOptions[letters[i]]
		switch {
		case !takes && letters[i] == 'G':
			c.get = true
		case !takes && letters[i] == 'I':
			c.head = true
		case takes:
			value := letters[i+1:]
			if value == "" {
				if len(words) == 0 {
					return nil, fmt.Errorf("-%c lacks its value", letters[i])
				}
				value, words = words[0], words[1:]
			}
			if name == "" {
				return words, nil
			}
			return words, shapes[name](c, value)
		}
	}
	return words, nil
}

func (c *curl) set(name, value string) error {
	if c.header.Get(name) == "" {
		c.header.Set(name, value)
	}
	return nil
}

func (c *curl) addHeader(text string) error {
	if strings.HasPrefix(text, "@") {
		return errors.New("-H @: headers from a file are not read; write them into the command")
	}
	name, value, ok := strings.Cut(text, ":")
	name, value = strings.TrimSpace(name), strings.TrimSpace(value)
	switch bare, empty := strings.CutSuffix(text, ";"); {
	case !ok && empty:
		c.header.Add(strings.TrimSpace(bare), "")
	case !ok:
		c.notes = append(c.notes, "-H without a colon is left out, as curl does")
	case value == "":
		c.removed = append(c.removed, name)
	default:
		c.header.Add(name, value)
	}
	return nil
}

// data is -d: what comes from a file loses its line ends.
func (c *curl) data(v string, text bool) error {
	path, isFile := strings.CutPrefix(v, "@")
	if !isFile {
		c.join([]byte(v))
		return nil
	}
	b, err := c.file(path)
	if err != nil {
		return err
	}
	if text && bytes.ContainsAny(b, "\r\n\x00") {
		c.notes = append(c.notes, fmt.Sprintf("-d @%s takes the line ends out of the file, and so it is read; --data-binary keeps them", path))
		b = strip(b)
	}
	c.join(b)
	return nil
}

// strip takes line ends and zeros out, byte by byte: the file may be no text.
func strip(b []byte) []byte {
	kept := make([]byte, 0, len(b))
	for _, one := range b {
		if one != '\r' && one != '\n' && one != 0 {
			kept = append(kept, one)
		}
	}
	return kept
}

func (c *curl) file(path string) ([]byte, error) {
	b, err := c.read(path)
	if err != nil {
		return nil, fmt.Errorf("reading the file with the data: %w", err)
	}
	return b, nil
}

// join adds to the body, behind an & if there is something before.
func (c *curl) join(b []byte) {
	if c.hasBody {
		c.body = append(c.body, '&')
	}
	c.body, c.hasBody = append(c.body, b...), true
}

// json is --json: several are put together as they are.
func (c *curl) json(v string) error {
	b := []byte(v)
	if path, isFile := strings.CutPrefix(v, "@"); isFile {
		var err error
		if b, err = c.file(path); err != nil {
			return err
		}
	}
	c.body, c.hasBody, c.isJSON = append(c.body, b...), true, true
	return nil
}

// encoded is --data-urlencode: content, =content, name=content, @file or name@file.
func (c *curl) encoded(v string) error {
	i := strings.IndexAny(v, "=@")
	if i < 0 {
		c.join([]byte(url.QueryEscape(v)))
		return nil
	}
	name, value := v[:i], v[i+1:]
	if v[i] == '@' {
		b, err := c.file(value)
		if err != nil {
			return err
		}
		value = string(b)
	}
	if name != "" {
		name += "="
	}
	c.join([]byte(name + url.QueryEscape(value)))
	return nil
}

func (c *curl) upload(path string) error {
	b, err := c.file(path)
	if err != nil {
		return err
	}
	c.body, c.hasBody, c.uploaded = b, true, true
	if c.method == "" {
		c.method = http.MethodPut
	}
	return nil
}

// finish gives the request that curl would send.
func (c *curl) finish() (*captured, error) {
	if c.url == "" {
		return nil, errors.New("reading the curl command: it has no address")
	}
	c.captured.body = c.body
	switch {
	case c.get && c.hasBody:
		mark := "?"
		if strings.Contains(c.url, "?") {
			mark = "&"
		}
		c.url += mark + string(c.body)
		c.captured.body = nil
	case c.hasBody && !c.uploaded:
		c.kindOfBody()
	}
	switch {
	case c.method != "":
	case c.head:
		c.method = http.MethodHead
	case c.hasBody && !c.get:
		c.method = http.MethodPost
	default:
		c.method = http.MethodGet
	}
	for _, name := range c.removed {
		c.header.Del(name)
	}
	return &c.captured, nil
}

// kindOfBody sets what curl sets by itself.
func (c *curl) kindOfBody() {
	kind := "application/x-www-form-urlencoded"
	if c.isJSON {
		kind = "application/json"
	}
	_ = c.set("Content-Type", kind)
}
