package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/caddy-webhooks/caddy-webhooks/archive"
)

// chunkBytes is about how much one request uploads.
const chunkBytes = 1 << 20

func importCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "import <file>",
		Short: "Takes in events that another gateway has exported",
		Long: `Reads lines of JSON, as the export writes them, and stores their events as they
stood: under their IDs, with their attempts and states. What is pending is
delivered, what is delivered is not sent again, and a provider's repeat of any of
them is a duplicate.

It can be repeated: an event that is there already is left as it is. A
connection that ends is made again. - reads from the standard input.

The file is believed. Import only what you have exported.`,
		Example: `  caddy webhooks import events.jsonl
  caddy webhooks import --json events.jsonl
  ssh old.example.com caddy webhooks export | caddy webhooks import -`,
		Args: cobra.ExactArgs(1),
	}
	cmd.RunE = run(func(c *client, cmd *cobra.Command, args []string) error {
		i := newImporting(c, cmd.ErrOrStderr())
		if args[0] == "-" {
			return i.run(cmd.Context(), cmd.InOrStdin())
		}
		f, err := os.Open(args[0])
		if err != nil {
			return fmt.Errorf("opening the file: %w", err)
		}
		defer f.Close() //nolint:errcheck // it was only read
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
			i.size = info.Size()
		}
		return i.run(cmd.Context(), f)
	})
	return cmd
}

// importView is what the API says of lines.
type importView struct {
	Lines      int     `json:"lines"`
	Imported   int     `json:"imported"`
	Known      int     `json:"known"`
	Duplicates int     `json:"duplicates"`
	Refused    int     `json:"refused"`
	Faults     []fault `json:"faults"`
}

// fault is a line that was refused.
type fault struct {
	Line  int    `json:"line"`
	Error string `json:"error"`
}

// importing is one import on its way.
type importing struct {
	c   *client
	bar *bar
	// size is the file's, 0 if it is not known; read is how much has been stored.
	size, read int64
	// lines counts those of the file that were dealt with.
	lines int
	total importView
}

func newImporting(c *client, note io.Writer) *importing {
	return &importing{c: c, bar: newBar(note), total: importView{Faults: []fault{}}} // in JSON a list, as the API has it
}

// chunk is what one request uploads: whole lines.
type chunk struct {
	text  []byte
	lines int
	err   error // io.EOF at the end
}

// run uploads the lines in chunks, so that a break costs little.
func (i *importing) run(ctx context.Context, in io.Reader) error {
	lines := bufio.NewReaderSize(in, 64<<10)
	for end := false; !end; {
		part, err := i.next(ctx, lines)
		if err != nil {
			return i.broken(err)
		}
		end = part.err != nil
		if len(part.text) == 0 {
			continue
		}
		err = i.upload(ctx, part.text)
		i.bar.clear()
		if err != nil {
			return i.broken(err)
		}
		i.lines += part.lines
		i.read += int64(len(part.text))
		i.show()
	}
	i.bar.clear()
	return i.result()
}

// broken says how far it came.
func (i *importing) broken(err error) error {
	return fmt.Errorf("%w; %s stored; run it again: what is stored is left as it is", err, wereLines(int64(i.lines)))
}

// next reads a chunk, or is interrupted: from a pipe nothing may ever come.
func (i *importing) next(ctx context.Context, lines *bufio.Reader) (chunk, error) {
	read := make(chan chunk, 1)
	go func() { read <- readChunk(lines) }()
	select {
	case <-ctx.Done():
		return chunk{}, errInterrupted
	case part := <-read:
		if errors.Is(part.err, errLong) {
			return chunk{}, fmt.Errorf("line %d of the file %w", i.lines+part.lines+1, part.err)
		}
		if part.err != nil && !errors.Is(part.err, io.EOF) {
			return chunk{}, fmt.Errorf("reading the file: %w", part.err)
		}
		return part, nil
	}
}

// readChunk reads whole lines.
func readChunk(r *bufio.Reader) (c chunk) {
	for len(c.text) < chunkBytes && c.err == nil {
		var line []byte
		if line, c.err = readLine(r); len(line) > 0 {
			c.lines++
		}
		c.text = append(c.text, line...)
	}
	return c
}

// errLong is returned for a line that no gateway takes. Without an end to lines, as
// a file of another kind may be, all of it would be read into memory.
var errLong = fmt.Errorf("is longer than %d MiB: it is no exported event", archive.MaxLine>>20)

// readLine reads a line. The last one need not end.
func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(line) > archive.MaxLine:
			return nil, errLong
		case !errors.Is(err, bufio.ErrBufferFull):
			return line, err //nolint:wrapcheck // io.EOF is looked for
		}
	}
}

// upload sends a chunk, again and again while the gateway cannot take it.
func (i *importing) upload(ctx context.Context, text []byte) error {
	again := backoff{note: i.c.note, first: i.c.retry, tried: i.lines > 0}
	for {
		v, err := i.send(ctx, text)
		if err == nil {
			i.count(v)
			return nil
		}
		if ctx.Err() != nil {
			return errInterrupted
		}
		i.bar.clear()
		if err := again.wait(ctx, final(err), false); err != nil {
			return err
		}
	}
}

func (i *importing) send(ctx context.Context, text []byte) (v importView, err error) {
	resp, err := i.c.api.do(ctx, ask{
		method: http.MethodPost, uri: "/webhooks/import", header: http.Header{"Content-Type": {linesType}}, body: text, kind: jsonType, silence: importSilence,
	})
	if err != nil {
		return v, err
	}
	defer resp.Body.Close() //nolint:errcheck // it was read
	if err := json.NewDecoder(resp.Body).Decode(&v); err != nil {
		return v, fmt.Errorf("reading the answer: %w", err)
	}
	return v, nil
}

// importSilence is how long the gateway may take for a chunk: a thousand events on
// a slow disk.
const importSilence = 2 * time.Minute

// count adds a chunk's answer; its lines are counted from the file's beginning.
func (i *importing) count(v importView) {
	i.total.Lines += v.Lines
	i.total.Imported += v.Imported
	i.total.Known += v.Known
	i.total.Duplicates += v.Duplicates
	i.total.Refused += v.Refused
	for _, f := range v.Faults {
		if f.Line += i.lines; len(i.total.Faults) < 20 {
			i.total.Faults = append(i.total.Faults, f)
		}
	}
}

func (i *importing) show() {
	if i.size > 0 {
		i.bar.bytes(i.read, i.size, events(int64(i.lines)))
		return
	}
	i.bar.count(int64(i.lines))
}

// result says what has come of it. Lines that were refused are a failure.
func (i *importing) result() error {
	v := i.total
	if i.c.json {
		text, err := json.Marshal(v)
		if err != nil {
			return fmt.Errorf("writing the result: %w", err)
		}
		if err := i.c.printf("%s\n", text); err != nil {
			return err
		}
	} else if err := i.print(); err != nil {
		return err
	}
	if v.Refused > 0 {
		return fmt.Errorf("%s refused", wereLines(int64(v.Refused)))
	}
	return nil
}

func (i *importing) print() error {
	v := i.total
	for _, f := range v.Faults {
		if err := i.c.printf("line %d: %s\n", f.Line, printable(f.Error)); err != nil {
			return err
		}
	}
	text := count(int64(v.Imported)) + " imported"
	if v.Known > 0 {
		text += ", " + count(int64(v.Known)) + " were there already"
	}
	if v.Duplicates > 0 {
		text += ", " + count(int64(v.Duplicates)) + " had come here on their own"
	}
	return i.c.printf("%s\n", text)
}
