package dispense

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/dustin/go-humanize"
)

// String reads one argument that is not empty.
func String(to *string, usage string) Field {
	return Args(usage, 1, 1, func(args []string) error {
		if args[0] == "" {
			return errEmpty
		}
		*to = args[0]
		return nil
	})
}

// Flag takes no argument: that it stands there is all.
func Flag(to *bool) Field {
	return Args("", 0, 0, func([]string) error {
		*to = true
		return nil
	})
}

// Strings reads one argument or more, none of them empty, and appends them.
func Strings(to *[]string, usage string) Field {
	return Args(usage, 1, Any, func(args []string) error {
		if slices.Contains(args, "") {
			return errEmpty
		}
		*to = append(*to, args...)
		return nil
	})
}

// Name reads the name of a source or of a destination.
func Name(to *string) Field {
	return Args("<name>", 1, 1, func(args []string) error {
		if !isName(args[0]) {
			return fmt.Errorf("%q is not a name: 1 to 64 of a-z, 0-9, _ and -", args[0])
		}
		*to = args[0]
		return nil
	})
}

func isName(s string) bool {
	const allowed = "abcdefghijklmnopqrstuvwxyz0123456789_-"
	return s != "" && len(s) <= 64 && strings.Trim(s, allowed) == ""
}

// Duration reads a duration above zero: zero in the config means the default.
func Duration(to *caddy.Duration) Field {
	return Args("<duration>", 1, 1, func(args []string) error {
		return ParseDuration(args[0], to)
	})
}

// DurationOrOff reads a duration above zero, or the word off.
func DurationOrOff(to *caddy.Duration, off *bool, usage string) Field {
	return Args(usage, 1, 1, func(args []string) error {
		if args[0] == "off" {
			*off = true
			return nil
		}
		return ParseDuration(args[0], to)
	})
}

// ParseDuration reads one duration above zero, such as 30s or 7d.
func ParseDuration(s string, to *caddy.Duration) error {
	d, err := caddy.ParseDuration(s)
	switch {
	case err != nil:
		return fmt.Errorf("%q is not a duration such as 30s, 5m or 7d", s)
	case d <= 0:
		return fmt.Errorf("%q is not above zero", s)
	}
	*to = caddy.Duration(d)
	return nil
}

// Size reads a number of bytes above zero: 5MiB, 1GiB, 4096.
func Size(to *int64) Field {
	return Args("<size>", 1, 1, func(args []string) error {
		return ParseSize(args[0], to)
	})
}

// ParseSize reads one number of bytes above zero.
func ParseSize(s string, to *int64) error {
	n, err := humanize.ParseBytes(s)
	switch {
	case err != nil, n > math.MaxInt64:
		return fmt.Errorf("%q is not a size such as 512KiB, 5MiB or 1GiB", s)
	case n == 0:
		return fmt.Errorf("%q is not above zero", s)
	}
	*to = int64(n)
	return nil
}

// Int reads a whole number above zero.
func Int(to *int) Field {
	return Args("<n>", 1, 1, func(args []string) error {
		n, err := strconv.Atoi(args[0])
		if err != nil || n < 1 {
			return fmt.Errorf("%q is not a whole number above zero", args[0])
		}
		*to = n
		return nil
	})
}

// ParseStatus reads an HTTP status from least to most.
func ParseStatus(s string, least, most int) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < least || n > most {
		return 0, fmt.Errorf("%q is not a status from %d to %d", s, least, most)
	}
	return n, nil
}
