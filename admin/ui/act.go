package ui

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// errForm is wrapped by what is wrong with a form.
var errForm = errors.New("this cannot be done")

// done has what was done right before, by the word that stands in the address: an
// address of a stranger's cannot put words into the page.
var done = map[string]string{
	"replay":   "The replay is ordered.",
	"discard":  "It is discarded. If an attempt was running, no other follows.",
	"pause":    "The destination is paused: events are kept and not sent.",
	"resume":   "The destination is resumed.",
	"cancel":   "The job is cancelled.",
	"replays":  "The replay has begun.",
	"discards": "The discard has begun.",
	"moves":    "The move has begun.",
}

// order is what a form wants done.
type order struct {
	// Action is replay, discard, pause or resume; replays, discards or moves are
	// of all that match; cancel is a job's.
	Action string
	// Event and Destination are for one event; Destination is empty for all of its.
	// For pause and resume it is source/name.
	Event, Destination string
	// Filter chooses many.
	Filter url.Values
	// Rate and To are for many.
	Rate, To string
	Job      string
}

// readOrder reads an order from a query or a form.
func readOrder(form url.Values) (order, error) {
	o := order{
		Action: form.Get("action"), Event: form.Get("event"), Destination: form.Get("destination"), Filter: url.Values{},
		Rate: strings.TrimSpace(form.Get("rate")), To: strings.TrimSpace(form.Get("to")), Job: form.Get("job"),
	}
	for _, name := range filterNames {
		if value := form.Get("filter." + name); value != "" {
			o.Filter.Set(name, value)
		}
	}
	return o, o.check()
}

// check refuses an order that does not say what it is about.
func (o order) check() error {
	src, name, _ := strings.Cut(o.Destination, "/")
	missing := ""
	switch o.Action {
	case "replay", "discard":
		missing = unless(eventForm.MatchString(o.Event), "there is no event ID")
	case "pause", "resume":
		missing = unless(src != "" && name != "", "there is no destination")
	case "replays", "discards", "moves":
		missing = unless(len(o.Filter) > 0, "nothing says which events")
	case "cancel":
		missing = unless(jobForm.MatchString(o.Job), "there is no job")
	default:
		missing = "there is no such action"
	}
	if missing != "" {
		return fmt.Errorf("%w: %s", errForm, missing)
	}
	return nil
}

func unless(ok bool, words string) string {
	if ok {
		return ""
	}
	return words
}

// many tells whether it is about all that match.
func (o order) many() bool {
	return slices.Contains([]string{"replays", "discards", "moves"}, o.Action)
}

// path is the API's for it.
func (o order) path() string {
	switch o.Action {
	case "replay", "discard":
		return "/webhooks/events/" + o.Event + "/" + o.Action
	case "pause", "resume":
		src, name, _ := strings.Cut(o.Destination, "/")
		return "/webhooks/destinations/" + url.PathEscape(src) + "/" + url.PathEscape(name) + "/" + o.Action
	}
	return "/webhooks/" + strings.TrimSuffix(o.Action, "s")
}

// body is what the API is sent.
func (o order) body(dryRun bool) (map[string]any, error) {
	v := map[string]any{}
	switch {
	case !o.many():
		if o.Destination != "" && o.Event != "" {
			v["destination"] = o.Destination
		}
		return v, nil
	case dryRun:
		v["dry_run"] = true
	}
	for name := range o.Filter {
		v[name] = o.Filter.Get(name)
	}
	if o.To != "" {
		v["to"] = o.To
	}
	if o.Rate != "" {
		rate, err := strconv.ParseFloat(o.Rate, 64)
		if err != nil || math.IsNaN(rate) || math.IsInf(rate, 0) || rate < 0 {
			return nil, fmt.Errorf("%w: %q is no number of deliveries a second", errForm, o.Rate)
		}
		v["rate"] = rate
	}
	return v, nil
}

// back is where the browser goes afterwards.
func (o order) back(job string) string {
	q := "?" + url.Values{"done": {o.Action}}.Encode()
	switch {
	case o.Event != "":
		return "./events/" + o.Event + q
	case o.Job != "" || job != "":
		return "./jobs/" + cmp.Or(job, o.Job) + q
	}
	src, name, _ := strings.Cut(o.Destination, "/")
	return "./destinations/" + url.PathEscape(src) + "/" + url.PathEscape(name) + q
}

// maxForm bounds a form, in bytes.
const maxForm = 64 << 10

// act carries out what a form wants.
func (v *visit) act(w http.ResponseWriter) error {
	if v.r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return errMethod
	}
	if v.p.o.ReadOnly {
		return errReadOnly
	}
	v.r.Body = http.MaxBytesReader(w, v.r.Body, maxForm)
	if err := v.r.ParseForm(); err != nil {
		return fmt.Errorf("%w: %w", errForm, err)
	}
	o, err := readOrder(v.r.PostForm)
	if err != nil {
		return err
	}
	job, err := v.carryOut(o)
	if err != nil {
		return err
	}
	w.Header().Set("Location", o.back(job))
	w.WriteHeader(http.StatusSeeOther)
	return nil
}

func (v *visit) carryOut(o order) (job string, err error) {
	var answer struct{ Job string }
	if o.Action == "cancel" {
		return "", v.p.api.read(v.r.Context(), v.who, http.MethodDelete, "/webhooks/jobs/"+o.Job, nil, nil, &answer)
	}
	body, err := o.body(false)
	if err != nil {
		return "", err
	}
	if o.Action == "pause" || o.Action == "resume" {
		body = nil
	}
	err = v.post(o.path(), orNil(body), &answer)
	return answer.Job, err
}

func orNil(body map[string]any) any {
	if body == nil {
		return nil
	}
	return body
}
