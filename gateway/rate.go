package gateway

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// ErrRate is returned for a rate that cannot be read.
var ErrRate = errors.New("a rate is a whole number above zero per s, m or h, as 5/s")

// perSecond are the seconds of the units in which a rate may be written.
var perSecond = map[string]float64{"s": 1, "m": 60, "h": 3600}

// ParseRate reads a rate such as `5/s`, `100/m` or `1000/h`, in attempts per
// second. The empty one is 0: no limit.
func ParseRate(text string) (float64, error) {
	if text == "" {
		return 0, nil
	}
	number, unit, _ := strings.Cut(text, "/")
	n, err := strconv.ParseUint(number, 10, 32)
	if seconds := perSecond[unit]; err == nil && n > 0 && seconds > 0 {
		return float64(n) / seconds, nil
	}
	return 0, fmt.Errorf("%q: %w", text, ErrRate)
}
