package ui

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	// maxStreams is how many pages are kept up to date at once.
	maxStreams = 64
	// streamEvery is how often a page is looked at anew, streamBeat how often
	// something is sent where nothing has changed.
	streamEvery = 2 * time.Second
	streamBeat  = 15 * time.Second
	// streamWrite is how long a browser may take.
	streamWrite = 20 * time.Second
)

// stream serves server-sent events: what has changed of the main part of a page.
// The page is named by its relative address.
func (v *visit) stream(w http.ResponseWriter) error {
	// A browser sends no Origin with a plain GET; another site's page could hold
	// streams open, though it could not read them.
	if site := v.r.Header.Get("Sec-Fetch-Site"); site == "cross-site" || site == "same-site" {
		return errForeign
	}
	page, err := v.follows()
	if err != nil {
		return err
	}
	select {
	case v.p.streams <- struct{}{}:
	default:
		return &apiError{http.StatusServiceUnavailable, "too many pages are kept up to date already; this one is as it was when it was loaded"}
	}
	defer func() { <-v.p.streams }()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // what buffers answers would hold them back
	w.WriteHeader(http.StatusOK)
	s := &sending{w: w, control: http.NewResponseController(w), sent: v.p.now()}
	tick := time.NewTicker(v.p.every)
	defer tick.Stop()
	for {
		if err := page.send(s); err != nil {
			return nil // the answer has begun; it can only end
		}
		select {
		case <-tick.C:
		case <-v.r.Context().Done():
			return nil
		case <-v.p.ended.Done():
			return nil
		}
	}
}

// follows is the visit of the page that is to be followed.
func (v *visit) follows() (*visit, error) {
	u, err := url.Parse(v.query.Get("page"))
	if err != nil || u.IsAbs() || u.Host != "" {
		return nil, errUnknown
	}
	at := locate("/"+strings.TrimPrefix(u.Path, "/"), true)
	if shown[at.page] == nil {
		return nil, errUnknown
	}
	r := v.r.Clone(v.r.Context())
	r.URL = u
	return &visit{p: v.p, r: r, at: at, who: v.who, query: u.Query(), followed: true}, nil
}

// sending is a stream on its way.
type sending struct {
	w       http.ResponseWriter
	control *http.ResponseController
	// last is the page as it was sent last, trouble what was said instead of it.
	last    []byte
	trouble string
	known   knownParts
	sent    time.Time
}

// send renders the page, and sends what has changed of it. Where nothing has, the
// server's clock is sent now and then, so that a browser knows that it is not cut off.
func (v *visit) send(s *sending) error {
	now := v.p.now()
	m := message{Now: now.UTC()}
	html, err := v.render("main")
	if err != nil {
		m.Trouble = err.Error()
	}
	same := m.Trouble == s.trouble && (err != nil || bytes.Equal(html, s.last))
	switch {
	case same && now.Sub(s.sent) < streamBeat:
		return nil
	case !same && err == nil:
		var thin []byte
		thin, s.known = s.known.thinned(html)
		m.HTML, s.last = string(thin), html
	}
	s.trouble, s.sent = m.Trouble, now
	text, err := m.written()
	if err != nil {
		return err
	}
	return s.write(text)
}

func (s *sending) write(text []byte) error {
	if err := s.control.SetWriteDeadline(time.Now().Add(streamWrite)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return fmt.Errorf("limiting the time for writing: %w", err)
	}
	if _, err := s.w.Write(text); err != nil {
		return fmt.Errorf("writing to a browser: %w", err)
	}
	if err := s.control.Flush(); err != nil {
		return fmt.Errorf("writing to a browser: %w", err)
	}
	return nil
}
