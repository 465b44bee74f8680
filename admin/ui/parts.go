package ui

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
)

// Templates mark the parts of a page that change by themselves: an element whose
// first attribute is data-part, with a key of its own. A part holds no other one,
// and no element of its own kind. What strangers have sent cannot look like one,
// since it is escaped.
var partMark = []byte(" data-part=\"")

// knownParts are the parts that a browser has already, by their key.
type knownParts map[string]string

// thinned gives a page without what the browser has already: such parts are empty
// and say data-same. It also gives what the browser has from then on.
func (k knownParts) thinned(html []byte) (thin []byte, now knownParts) {
	now = knownParts{}
	for {
		found := bytes.Index(html, partMark)
		if found < 0 {
			return append(thin, html...), now
		}
		begin := bytes.LastIndexByte(html[:found], '<')
		key, _, _ := bytes.Cut(html[found+len(partMark):], []byte{'"'})
		shut := []byte("</" + string(html[begin+1:found]) + ">")
		end := bytes.Index(html[found:], shut)
		if begin < 0 || end < 0 { // it is not one of ours
			return append(thin, html...), now
		}
		end += found + len(shut)
		part := string(html[begin:end])
		thin = append(thin, html[:begin]...)
		_, twice := now[string(key)]
		if now[string(key)] = part; twice { // neither can be told from the other
			now[string(key)] = ""
		}
		if !twice && k[string(key)] == part {
			thin = fmt.Appendf(thin, `<%s data-part="%s" data-same>%s`, html[begin+1:found], key, shut)
		} else {
			thin = append(thin, part...)
		}
		html = html[end:]
	}
}

// message is one of the stream's. It is a line of JSON, so that nothing of what
// strangers have sent can end it: lines of the stream end at a carriage return too,
// which HTML does not escape.
type message struct {
	// HTML is the page's main part; empty if it has not changed.
	HTML string `json:"html,omitempty"`
	// Trouble says why it cannot be told how it stands.
	Trouble string `json:"trouble,omitempty"`
	// Now is the server's clock.
	Now time.Time `json:"now"`
}

// written is the message as the stream has it.
func (m message) written() ([]byte, error) {
	var b bytes.Buffer
	b.WriteString("data: ")
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // it is no script; carriage returns and line separators are escaped all the same
	if err := e.Encode(m); err != nil {
		return nil, fmt.Errorf("writing a message: %w", err)
	}
	b.WriteByte('\n')
	return b.Bytes(), nil
}
