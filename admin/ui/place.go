package ui

import (
	"regexp"
	"slices"
	"strings"
)

// place is what a request's path asks for. What stands before it is not known,
// and need not be: all links are relative.
type place struct {
	// page is its name; empty for one that stands at arg.
	page string
	// arg is what the page is about, and rest what of it.
	arg, rest string
	// path is the page's below the dashboard's beginning, and up leads back there.
	path, up string
}

var (
	eventForm = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	jobForm   = regexp.MustCompile(`^[0-9a-z]{1,32}$`)
)

// simple are the pages that nothing follows in the path.
var simple = []string{"events", "refusals", "jobs", "confirm", "act", "live"}

// locate finds the page by the end of the path.
func locate(path string) place {
	parts := strings.Split(path, "/")
	at := func(n int) string {
		if n > len(parts) {
			return ""
		}
		return parts[len(parts)-n]
	}
	last := at(1)
	switch {
	case at(2) == "events" && eventForm.MatchString(last):
		return place{page: "event", arg: last, path: "events/" + last, up: "../"}
	case at(3) == "events" && eventForm.MatchString(at(2)) && last == "body":
		return place{page: "body", arg: at(2), up: "../../"}
	case at(2) == "jobs" && jobForm.MatchString(last):
		return place{page: "job", arg: last, path: "jobs/" + last, up: "../"}
	case at(3) == "destinations" && at(2) != "" && last != "":
		return place{page: "destination", arg: at(2), rest: last, path: "destinations/" + at(2) + "/" + last, up: "../../"}
	case last == "":
		return place{page: "overview", up: "./"}
	case slices.Contains(simple, last):
		return place{page: last, path: last, up: "./"}
	case assets[last].content != nil:
		return place{page: "asset", arg: last, up: "./"}
	}
	return place{arg: "./" + last + "/", up: "./"} // the dashboard without its slash
}
