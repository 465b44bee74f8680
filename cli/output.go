package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// output is the file of an export. It is made with the first line, so that a try
// that comes to nothing leaves nothing behind, and holds whole lines only.
type output struct {
	name string
	file *os.File // nil until there is something in it
	// good is where the last whole line ends.
	good int64
}

// newOutput readies a file. One that exists is only taken with the cursor of its
// last line: anything else would leave events out, or have them twice.
func newOutput(name, cursor string) (*output, error) {
	o := &output{name: name}
	_, err := os.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return o, nil
	case err != nil:
		return nil, fmt.Errorf("looking for the file: %w", err)
	case cursor == "":
		return nil, fmt.Errorf("%s exists; with --cursor the export goes on at its end", name)
	}
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("opening the file: %w", err)
	}
	if err := o.goOn(f, cursor); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return o, nil
}

// goOn sets the file to behind its last whole line.
func (o *output) goOn(f *os.File, cursor string) error {
	line, end, err := lastLine(f)
	if err != nil {
		return fmt.Errorf("reading the end of %s: %w", o.name, err)
	}
	var at struct{ Cursor string }
	if end > 0 && (json.Unmarshal(line, &at) != nil || at.Cursor == "") {
		return fmt.Errorf("%s does not end with an exported event; write to another file", o.name)
	}
	if end > 0 && at.Cursor != cursor {
		return fmt.Errorf("%s ends with --cursor %s, not %s; go on from there, or write to another file", o.name, at.Cursor, cursor)
	}
	o.file, o.good = f, end
	return o.cut()
}

// lastLine reads the last line that has an end, and where that is.
func lastLine(f *os.File) (line []byte, end int64, err error) {
	info, err := f.Stat()
	if err != nil {
		return nil, 0, err //nolint:wrapcheck // it names the file
	}
	end = -1
	block := make([]byte, 64<<10)
	for at := info.Size(); at > 0; {
		n := min(at, int64(len(block)))
		at -= n
		if _, err := f.ReadAt(block[:n], at); err != nil {
			return nil, 0, err //nolint:wrapcheck // as above
		}
		for part := block[:n]; ; {
			i := bytes.LastIndexByte(part, '\n')
			if i < 0 {
				break
			}
			if end >= 0 {
				return between(f, at+int64(i)+1, end)
			}
			end, part = at+int64(i)+1, part[:i]
		}
	}
	if end < 0 { // no line at all
		return nil, 0, nil
	}
	return between(f, 0, end)
}

func between(f *os.File, from, to int64) (line []byte, end int64, err error) {
	line = make([]byte, to-from)
	_, err = f.ReadAt(line, from)
	return line, to, err //nolint:wrapcheck // as above
}

// cut takes away what is behind the last whole line.
func (o *output) cut() error {
	if err := o.file.Truncate(o.good); err != nil {
		return fmt.Errorf("cutting the file at its last whole line: %w", err)
	}
	if _, err := o.file.Seek(o.good, io.SeekStart); err != nil {
		return fmt.Errorf("going to the file's end: %w", err)
	}
	return nil
}

func (o *output) open() error {
	if o.file != nil {
		return nil
	}
	f, err := os.OpenFile(o.name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("making the file: %w", err)
	}
	o.file = f
	return nil
}

// Write writes one whole line.
func (o *output) Write(line []byte) (int, error) {
	if err := o.open(); err != nil {
		return 0, err
	}
	n, err := o.file.Write(line)
	if err != nil {
		return n, err //nolint:wrapcheck // it names the file
	}
	o.good += int64(n)
	return n, nil
}

// end leaves whole lines on the disk. An export that went well is a file, even
// where nothing matched.
func (o *output) end(well bool) error {
	if well {
		if err := o.open(); err != nil {
			return err
		}
	}
	if o.file == nil {
		return nil
	}
	return errors.Join(o.cut(), o.file.Sync(), o.file.Close())
}
