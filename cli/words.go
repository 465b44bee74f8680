package cli

import "fmt"

// several is a number and what it counts, with an s where it is not one.
func several(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return count(n) + " " + what + "s"
}

func deliveries(n int64) string {
	if n == 1 {
		return "1 delivery"
	}
	return count(n) + " deliveries"
}

func events(n int64) string { return several(n, "event") }

// were is several, with its verb.
func were(n int64, what string) string { return several(n, what) + " " + verb(n, "was", "were") }

func wereEvents(n int64) string { return were(n, "event") }

func wereLines(n int64) string { return were(n, "line") }

// verb is the one that goes with a number.
func verb(n int64, one, more string) string {
	if n == 1 {
		return one
	}
	return more
}

// size writes bytes in a unit that people read.
func size(n int64) string {
	const unit = 1 << 10
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	value, sign := float64(n)/unit, 0
	for ; value >= unit && sign < 3; sign++ {
		value /= unit
	}
	return fmt.Sprintf("%.1f %s", value, []string{"KiB", "MiB", "GiB", "TiB"}[sign])
}
