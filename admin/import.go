package admin

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-webhooks/caddy-webhooks/archive"
	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/query"
	"github.com/caddy-webhooks/caddy-webhooks/store"
)

const (
	// maxLine bounds one line of an import, in bytes: no event that a store would
	// take has a longer one.
	maxLine = archive.MaxLine
	// importsAtOnce is how many events wait for the disk together, and
	// importBytes about how much of them is held meanwhile.
	importsAtOnce = 64
	importBytes   = 32 << 20
	// importRead is how long the sender may pause.
	importRead = 30 * time.Second
	// maxFaults is how many lines that were refused an answer names.
	maxFaults = 20
)

// importJSON answers an import. Its numbers count lines.
type importJSON struct {
	Lines int `json:"lines"`
	// Imported were stored. Known were there before, Duplicates came here on their
	// own under the same provider's ID, and Refused are no events or do not fit.
	Imported   int         `json:"imported"`
	Known      int         `json:"known"`
	Duplicates int         `json:"duplicates"`
	Refused    int         `json:"refused"`
	Faults     []faultJSON `json:"faults"`
	// Error tells why it has ended early.
	Error string `json:"error,omitempty"`
}

// faultJSON is a line that was refused.
type faultJSON struct {
	Line  int    `json:"line"`
	Error string `json:"error"`
}

// bring serves POST /webhooks/import: lines as the export writes them. An import
// may be repeated from its beginning: what is known is left as it is.
func bring(g Gateway, w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodPost {
		return wrongMethod(w, http.MethodPost)
	}
	q, err := parameters(r)
	if err != nil {
		return err
	}
	if err := query.Only(q); err != nil {
		return fail(http.StatusBadRequest, err)
	}
	i := &importing{g: g, free: make(chan struct{}, importsAtOnce), v: importJSON{Faults: []faultJSON{}}}
	i.room = sync.NewCond(&i.mu)
	err = i.run(context.WithoutCancel(r.Context()), r.Body, http.NewResponseController(w))
	log := caddy.Log().Named("webhooks.import").Sugar().With("who", who(r), "lines", i.v.Lines, "imported", i.v.Imported,
		"known", i.v.Known, "duplicates", i.v.Duplicates, "refused", i.v.Refused)
	if err == nil {
		log.Info("events were imported")
		return answer(w, http.StatusOK, i.v)
	}
	log.Errorw("an import ended early; it can be repeated, what is known is left as it is", "error", err)
	i.v.Error = err.Error()
	status := http.StatusServiceUnavailable
	if errors.Is(err, errUnread) {
		status = http.StatusBadRequest
	}
	return answer(w, status, i.v)
}

// errUnread is returned when the lines cannot be read to their end.
var errUnread = errors.New("the lines cannot be read to the end")

// importing is one import on its way.
type importing struct {
	g    Gateway
	free chan struct{} // one place for each event that waits for the disk
	wait sync.WaitGroup

	mu    sync.Mutex
	room  *sync.Cond
	bytes int
	err   error // the store's, which ends it
	v     importJSON
}

// run reads lines and has them stored, several at once.
func (i *importing) run(ctx context.Context, body io.Reader, control *http.ResponseController) error {
	lines := bufio.NewReaderSize(body, 64<<10)
	for n := 1; ; n++ {
		if err := control.SetReadDeadline(time.Now().Add(importRead)); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return fmt.Errorf("limiting the time for reading: %w", err)
		}
		line, err := readLine(lines)
		if err == nil || errors.Is(err, io.EOF) && len(bytes.TrimSpace(line)) > 0 {
			i.line(ctx, n, line)
		}
		if i.failed() != nil || err != nil {
			i.wait.Wait()
			if failed := i.failed(); failed != nil || errors.Is(err, io.EOF) {
				return failed
			}
			return fmt.Errorf("%w: line %d: %w", errUnread, n, err)
		}
	}
}

// readLine reads a line. The last one need not end.
func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(line) > maxLine:
			return nil, fmt.Errorf("it is longer than %d bytes", maxLine)
		case !errors.Is(err, bufio.ErrBufferFull):
			return line, err //nolint:wrapcheck // io.EOF is looked for
		}
	}
}

// line has one line stored. What is to keep its order goes alone.
func (i *importing) line(ctx context.Context, n int, line []byte) {
	if len(bytes.TrimSpace(line)) == 0 {
		return
	}
	record, err := archive.Read(line)
	if err != nil {
		i.done(n, store.Receipt{}, err)
		return
	}
	if inOrder(record) {
		i.wait.Wait()
		receipt, err := i.g.Import(ctx, record, time.Now())
		i.done(n, receipt, err)
		return
	}
	i.hold(len(line))
	i.wait.Go(func() {
		receipt, err := i.g.Import(ctx, record, time.Now())
		i.done(n, receipt, err)
		i.release(len(line))
	})
}

func inOrder(r store.Record) bool {
	for _, d := range r.Deliveries {
		if d.Order != 0 && d.State == event.Pending {
			return true
		}
	}
	return false
}

// hold waits for room; one that is too large for all of it goes alone.
func (i *importing) hold(n int) {
	i.free <- struct{}{}
	i.mu.Lock()
	defer i.mu.Unlock()
	for i.bytes > 0 && i.bytes+n > importBytes {
		i.room.Wait()
	}
	i.bytes += n
}

func (i *importing) release(n int) {
	<-i.free
	i.mu.Lock()
	defer i.mu.Unlock()
	i.bytes -= n
	i.room.Broadcast()
}

// done counts what became of a line.
func (i *importing) done(n int, receipt store.Receipt, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if err != nil && !errors.Is(err, archive.ErrLine) && !errors.Is(err, store.ErrTooLarge) {
		if i.err == nil {
			i.err = err
		}
		return
	}
	i.v.Lines++
	switch {
	case err != nil:
		i.v.Refused++
		if len(i.v.Faults) < maxFaults {
			i.v.Faults = append(i.v.Faults, faultJSON{Line: n, Error: err.Error()})
		}
	case receipt.Result == store.Known:
		i.v.Known++
	case receipt.Result == store.Duplicate:
		i.v.Duplicates++
	default:
		i.v.Imported++
	}
}

func (i *importing) failed() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.err
}
