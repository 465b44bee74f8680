// Package dispense reads Caddyfile blocks: a block is a table from the name of a
// subdirective to what reads its arguments. The loop, the unknown name, the
// repeated name and the count of arguments are written here, once, and so is the
// promise that every error carries file and line and says what to write instead.
//
// Nothing here sets defaults or compares one value with another: a config in
// JSON never comes this way.
package dispense

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// Field reads one subdirective. Make one with Args, Nested or a function that
// returns a Field, such as String.
type Field struct {
	usage  string
	least  int
	most   int // below zero: any number
	args   func(args []string) error
	nested func(d *caddyfile.Dispenser) error
	many   bool
	places map[string]string
}

// Any stands for any number, as the most arguments of a field.
const Any = -1

// Args is a field of least to most arguments and no block. The usage is what
// follows the name in an error: `<duration>|off`. An error of read needs no file
// and line.
func Args(usage string, least, most int, read func(args []string) error) Field {
	return Field{usage: usage, least: least, most: most, args: read}
}

// Nested is a field that reads its own arguments and block. Its dispenser holds
// this one subdirective and stands on its name; all of it must be read.
func Nested(usage string, read func(d *caddyfile.Dispenser) error) Field {
	return Field{usage: usage, nested: read}
}

// Many lets a field be written more than once.
func Many(f Field) Field {
	f.many = true
	return f
}

// Placed notes in places, under the field's name, where it was written, as
// file:line. Of a field that stands there several times it is the first.
func Placed(places map[string]string, f Field) Field {
	f.places = places
	return f
}

// Place is where the dispenser stands, as file:line.
func Place(d *caddyfile.Dispenser) string { return fmt.Sprintf("%s:%d", d.File(), d.Line()) }

// Fields is a block as a table: what may stand in it, by name.
type Fields map[string]Field

// Other is the key of the field that takes every name that is not in the table.
// It is always Nested, since only so does it learn the name, and each name may
// still be written only once.
const Other = ""

// Block reads the block that opens after the dispenser's current token, if one
// does. The context is what the operator would call the block: `webhooks`, `to`.
func Block(d *caddyfile.Dispenser, context string, fields Fields) error {
	first := make(map[string]int)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		sub := d.NewFromNextSegment()
		sub.Next()
		name, line := sub.Val(), sub.Line()
		field, err := lookup(fields, context, name)
		if err != nil {
			return sub.WrapErr(err)
		}
		if before, ok := first[name]; ok && !field.many {
			return sub.Errf("%s is already set in line %d; keep one of the two: %s", name, before, field.form(name))
		}
		first[name] = line
		if err := field.read(sub, name); err != nil {
			return err
		}
	}
	return nil
}

func lookup(fields Fields, context, name string) (Field, error) {
	if field, ok := fields[name]; ok && name != Other {
		return field, nil
	}
	names := slices.Sorted(maps.Keys(fields))
	names = slices.DeleteFunc(names, func(s string) bool { return s == Other })
	meant, near := Nearest(name, names)
	if other, ok := fields[Other]; ok && !near && name != Other {
		return other, nil
	}
	hint := fmt.Sprintf("`%s` has %s", context, strings.Join(names, ", "))
	if near {
		hint = fmt.Sprintf("did you mean: %s", fields[meant].form(meant))
	}
	return Field{}, fmt.Errorf("unrecognized subdirective %q; %s", name, hint)
}

func (f Field) form(name string) string { return strings.TrimSpace(name + " " + f.usage) }

func (f Field) read(d *caddyfile.Dispenser, name string) error {
	if _, known := f.places[name]; f.places != nil && !known {
		f.places[name] = Place(d)
	}
	if f.nested != nil {
		if err := f.nested(d); err != nil {
			return err
		}
		return End(d, f.form(name))
	}
	args := d.RemainingArgs()
	switch {
	case len(args) < f.least:
		return d.Errf("missing argument of %s; write: %s", name, f.form(name))
	case f.most >= 0 && len(args) > f.most:
		return d.Errf("surplus argument %q of %s; write: %s", args[f.most], name, f.form(name))
	}
	if err := End(d, f.form(name)); err != nil {
		return err
	}
	if err := f.args(args); err != nil {
		return d.Errf("%s: %w; write: %s", name, err, f.form(name))
	}
	return nil
}

// End is an error unless the dispenser is read to its end. The form is what
// should have been written.
func End(d *caddyfile.Dispenser, form string) error {
	if !d.Next() {
		return nil
	}
	if d.Val() == "{" {
		return d.Errf("unexpected block; write: %s", form)
	}
	return d.Errf("surplus argument %q; write: %s", d.Val(), form)
}

// errEmpty is what an argument says that was written but is "".
var errEmpty = errors.New("an argument is empty")

// Nearest returns the candidate that was probably meant by name, if one is near
// enough for that: at most a third of its letters, and two, are wrong.
func Nearest(name string, candidates []string) (string, bool) {
	const farthest = 2
	best, distance := "", farthest+1
	for _, candidate := range candidates {
		if n := edits(name, candidate, farthest); n < distance && 3*n <= len(candidate) {
			best, distance = candidate, n
		}
	}
	return best, distance <= farthest
}

// edits counts the letters to insert, remove, replace or swap that make b of a,
// up to most+1.
func edits(a, b string, most int) int {
	if len(a) > len(b)+most || len(b) > len(a)+most {
		return most + 1
	}
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			replace := rows[i-1][j-1]
			if a[i-1] != b[j-1] {
				replace++
			}
			rows[i][j] = min(replace, rows[i-1][j]+1, rows[i][j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
