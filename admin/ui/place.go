package ui

import (
	"net/url"
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

// forms are the pages that are about something: how their path ends, and the way
// back from there.
var forms = []struct {
	page, up string
	form     *regexp.Regexp
}{
	{"event", "../", regexp.MustCompile(`(?:^|/)(events/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}))$`)},
	{"body", "../../", regexp.MustCompile(`(?:^|/)(events/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/body)$`)},
	{"job", "../", regexp.MustCompile(`(?:^|/)(jobs/([0-9a-z]{1,32}))$`)},
	{"destination", "../../", regexp.MustCompile(`(?:^|/)(destinations/([^/]+)/([^/]+))$`)},
}

// simple are the pages that nothing follows in the path.
var simple = []string{"events", "refusals", "jobs", "confirm", "act", "live"}

// locate finds the page by the end of the path.
func locate(path string) place {
	for _, f := range forms {
		if found := f.form.FindStringSubmatch(path); found != nil {
			at := place{page: f.page, up: f.up, path: found[1], arg: found[2]}
			if len(found) > 3 {
				at.rest = found[3]
			}
			return at
		}
	}
	last := path[strings.LastIndexByte(path, '/')+1:]
	switch {
	case last == "":
		return place{page: "overview", up: "./"}
	case slices.Contains(simple, last):
		return place{page: last, path: last, up: "./"}
	case assets[last].content != nil:
		return place{page: "asset", arg: last, up: "./"}
	}
	return place{arg: "./" + url.PathEscape(last) + "/", up: "./"} // the dashboard without its slash
}
