package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
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
		i := &importing{c: c, note: cmd.ErrOrStderr(), bar: newBar(cmd.ErrOrStderr())}
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
	Lines      int `json:"lines"`
	Imported   int `json:"imported"`
	Known      int `json:"known"`
	Duplicates int `json:"duplicates"`
	Refused    int `json:"refused"`
	Faults     []struct {
		Line  int    `json:"line"`
		Error string `json:"error"`
	} `json:"faults"`
}

// importing is one import on its way.
type importing struct {
	c    *client
	note io.Writer
	bar  *bar
	// size is the file's, 0 if it is not known; read is how much has been stored.
	size, read int64
	// lines counts those of the file that were dealt with.
	lines int
	total importView
}

// run uploads the lines in chunks, so that a break costs little.
func (i *importing) run(parent context.Context, in io.Reader) error {
	ctx, stop := signal.NotifyContext(parent, os.Interrupt, syscall.SIGTERM)
	defer stop()
	lines := bufio.NewReaderSize(in, 64<<10)
	for end := false; !end; {
		chunk, n, err := readChunk(lines)
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("reading the file: %w", err)
		}
		end = err != nil
		if len(chunk) == 0 {
			continue
		}
		err = i.upload(ctx, chunk)
		i.bar.clear()
		if err != nil {
			return fmt.Errorf("%w; %s lines are stored; run it again: what is stored is left as it is", err, count(int64(i.lines)))
		}
		i.lines += n
		i.read += int64(len(chunk))
		i.show()
	}
	i.bar.clear()
	return i.result()
}

// readChunk reads whole lines.
func readChunk(r *bufio.Reader) (chunk []byte, n int, err error) {
	for len(chunk) < chunkBytes {
		line, err := r.ReadBytes('\n')
		if chunk = append(chunk, line...); len(line) > 0 {
			n++
		}
		if err != nil {
			return chunk, n, err //nolint:wrapcheck // io.EOF is looked for
		}
	}
	return chunk, n, nil
}

// upload sends a chunk, again and again while the gateway cannot take it.
func (i *importing) upload(ctx context.Context, chunk []byte) error {
	again := backoff{note: i.note}
	for {
		v, err := i.send(chunk)
		if err == nil {
			i.count(v)
			return nil
		}
		if ctx.Err() != nil {
			return errors.New("interrupted")
		}
		if i.bar.clear(); i.lines == 0 && answerOf(err) == nil {
			return err // nobody is there
		}
		if err := again.wait(ctx, final(err), false); err != nil {
			return err
		}
	}
}

func answerOf(err error) *answerError {
	answer, _ := errors.AsType[*answerError](err)
	return answer
}

func (i *importing) send(chunk []byte) (v importView, err error) {
	h := http.Header{"Webhooks-Who": {whoAmI()}, "Content-Type": {"application/x-ndjson"}}
	resp, err := caddycmd.AdminAPIRequest(i.c.address, http.MethodPost, "/webhooks/import", h, bytes.NewReader(chunk))
	if err != nil {
		return v, explain(i.c.address, err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was read
	if err := json.NewDecoder(resp.Body).Decode(&v); err != nil {
		return v, fmt.Errorf("reading the answer: %w", err)
	}
	return v, nil
}

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
		i.bar.show(i.read>>10, i.size>>10, count(int64(i.lines))+" events")
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
		return fmt.Errorf("%s lines were refused", count(int64(v.Refused)))
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
