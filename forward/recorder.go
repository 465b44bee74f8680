package forward

import (
	"bytes"
	"maps"
	"net/http"

	"github.com/caddy-webhooks/caddy-webhooks/event"
)

// recorder takes the answer. It keeps the first bytes of the body and counts
// the rest, so an endless answer costs time (up to the attempt's deadline) but
// no memory.
type recorder struct {
	header http.Header
	sent   http.Header // as of WriteHeader
	status int
	body   []byte
	size   int64
	// keep is how much of the body somebody waits for; 0: nobody does.
	keep int
}

// Header is the answer's header while it is made.
func (r *recorder) Header() http.Header { return r.header }

// WriteHeader notes the status; informational ones are not the answer.
func (r *recorder) WriteHeader(status int) {
	if status < 200 || r.status != 0 {
		return
	}
	r.status = status
	r.sent = maps.Clone(r.header)
}

// Write keeps the first bytes.
func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.WriteHeader(http.StatusOK)
	}
	r.size += int64(len(b))
	if room := max(event.AnswerLimit, r.keep) - len(r.body); room > 0 {
		r.body = append(r.body, b[:min(room, len(b))]...)
	}
	return len(b), nil
}

// complete tells whether the answer came whole in spite of everything.
func (r *recorder) complete(err error) bool {
	return err == nil && r.status != 0 && r.status != statusClientClosed
}

// read hands the answer over. What the history keeps is a copy: it must not
// hold on to all that was kept for the one who waits.
func (r *recorder) read(out *event.Outcome) {
	out.Status, out.Header = r.status, r.sent
	if r.keep <= 0 {
		out.Answer = r.body
		return
	}
	out.Answer = bytes.Clone(r.body[:min(len(r.body), event.AnswerLimit)])
	out.Reply, out.ReplyCut = r.body[:min(len(r.body), r.keep)], r.size > int64(r.keep)
}
