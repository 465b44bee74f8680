package ui

import (
	"cmp"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// place is what a request's path asks for. What stands before it is not known,
// and need not be: all links are relative.
type place struct {
	// page is its name; empty where the browser is sent on to arg.
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
	{"event", "../", regexp.MustCompile(`(?:^|/)(events/((?i)[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}))$`)},
	{"body", "../../", regexp.MustCompile(`(?:^|/)(events/((?i)[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/body)$`)},
	{"job", "../", regexp.MustCompile(`(?:^|/)(jobs/([0-9a-z]{1,32}))$`)},
	{"destination", "../../", regexp.MustCompile(`(?:^|/)(destinations/([^/]+)/([^/]+))$`)},
}

// simple are the pages that nothing follows in the path.
var simple = []string{"events", "refusals", "jobs", "confirm", "act", "live"}

// lost are paths that look like a page's, and are none.
var lost = regexp.MustCompile(`(?:^|/)(?:events/[^/]*/?|events/[^/]+/body/|jobs/[^/]*|(?:refusals|confirm|act|live)/|destinations(?:/[^/]*){0,2}|destinations/[^/]+/[^/]+/)$`)

// nowhere is the page of what is not there.
const nowhere = "nowhere"

// locate finds the page by the end of the path. Where the dashboard begins is known
// if the path is whole: no more than the page's stands in it.
func locate(path string, whole bool) place {
	at := ending(path)
	if !whole || at.path == strings.TrimPrefix(path, "/") {
		return at
	}
	return place{page: nowhere, up: back(strings.Count(path, "/") - 1)}
}

// back is the way up over so many slashes.
func back(slashes int) string { return cmp.Or(strings.Repeat("../", max(0, slashes)), "./") }

func ending(path string) place {
	for _, f := range forms {
		if found := f.form.FindStringSubmatch(path); found != nil {
			at := place{page: f.page, up: f.up, path: found[1], arg: found[2]}
			if f.page == "event" || f.page == "body" {
				at.arg = strings.ToLower(at.arg)
			}
			if len(found) > 3 {
				at.rest = found[3]
			}
			return at
		}
	}
	if found := lost.FindString(path); found != "" {
		return place{page: nowhere, up: back(strings.Count(strings.TrimPrefix(found, "/"), "/"))}
	}
	last := path[strings.LastIndexByte(path, '/')+1:]
	switch {
	case last == "":
		return place{page: "overview", up: "./"}
	case slices.Contains(simple, last):
		return place{page: last, path: last, up: "./"}
	case assets[last].content != nil:
		return place{page: "asset", arg: last, path: last, up: "./"}
	}
	return slashless(path)
}

// slashless is the dashboard's beginning without its slash.
func slashless(path string) place {
	last := path[strings.LastIndexByte(path, '/')+1:]
	return place{arg: "./" + url.PathEscape(last) + "/", up: "./"}
}
