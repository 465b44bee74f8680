package ui

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// errForm is wrapped by what is wrong with a form.
var errForm = errors.New("this cannot be done")

// done has what was done right before, by the word that stands in the address: an
// address of a stranger's cannot put words into the page.
var done = map[string]string{
	"replay":   "It is sent again.",
	"discard":  "It is given up. If an attempt was running, no other follows.",
	"pause":    "The destination is paused: events are kept and not sent.",
	"resume":   "The destination goes on.",
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
		if err != nil {
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
		return "", v.p.api.read(v.r.Context(), v.actor(), http.MethodDelete, "/webhooks/jobs/"+o.Job, nil, nil, &answer)
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

type confirmData struct {
	order
	// Event1 is the event that it is about.
	Event1 *row
	// Matched counts the deliveries of many.
	Matched int64
	// Problem says why it cannot be done as it stands.
	Problem string
	Others  []string
}

// confirm shows what an action would do, before it is done.
func (v *visit) confirm() (content, error) {
	if v.p.o.ReadOnly {
		return content{}, errReadOnly
	}
	o, err := readOrder(v.query)
	if err != nil {
		return content{}, err
	}
	d := confirmData{order: o}
	titles := map[string]string{
		"replay": "Send it again?", "discard": "Give it up?", "pause": "Pause the destination?", "resume": "Let the destination go on?",
		"replays": "Send them again?", "discards": "Give them up?", "moves": "Move them?", "cancel": "Cancel the job?",
	}
	if o.Event != "" {
		var e row
		if err := v.get("/webhooks/events/"+o.Event, nil, &e); err != nil {
			return content{}, err
		}
		d.Event1 = &e
	}
	if o.many() {
		if err := v.preview(&d); err != nil {
			return content{}, err
		}
	}
	return content{title: titles[o.Action], data: d, still: true}, nil
}

// preview counts what it is about.
func (v *visit) preview(d *confirmData) error {
	var all struct{ Sources []source }
	if err := v.get("/webhooks/sources", nil, &all); err != nil {
		return err
	}
	for _, s := range all.Sources {
		for _, to := range s.Destinations {
			if to.State != "orphaned" {
				d.Others = append(d.Others, s.Name+"/"+to.Name)
			}
		}
	}
	if d.Action == "moves" && d.To == "" {
		d.Problem = "Choose where to."
		return nil
	}
	body, err := d.body(true)
	if err == nil {
		var answer struct{ Matched int64 }
		err = v.post(d.path(), body, &answer)
		d.Matched = answer.Matched
	}
	said, ok := errors.AsType[*apiError](err)
	switch {
	case errors.Is(err, errForm):
		d.Problem = err.Error()
	case ok && said.status/100 == 4:
		d.Problem = said.words
	case err != nil:
		return err
	}
	return nil
}

// job is what was ordered about many events.
type job struct {
	Job, Action, State, To, Who, Error, Waiting string
	Filters                                     map[string]string
	Rate                                        float64
	Matched, Changed, Deferred, Skipped         int64
	Began                                       time.Time
	Ended                                       *time.Time
}

// Share is how much of it is done, in percent.
func (j job) Share() int64 {
	if j.Matched <= 0 {
		return 100
	}
	return min(100, (j.Changed+j.Deferred+j.Skipped)*100/j.Matched)
}

// Words are its filters.
func (j job) Words() string {
	var words []string
	for name, value := range j.Filters {
		words = append(words, name+"="+value)
	}
	slices.Sort(words)
	return strings.Join(words, " ")
}

func (v *visit) jobs() (content, error) {
	var all struct{ Jobs []job }
	if err := v.get("/webhooks/jobs", nil, &all); err != nil {
		return content{}, err
	}
	return content{title: "Jobs", data: all.Jobs}, nil
}

func (v *visit) job() (content, error) {
	var one job
	if err := v.get("/webhooks/jobs/"+v.at.arg, nil, &one); err != nil {
		return content{}, err
	}
	return content{title: "Job " + one.Job, data: one}, nil
}

type refusalsData struct {
	Source, Reason string
	Sources        []string
	Counts         []refusalCount
	Refusals       []refusal
}

type refusal struct {
	At                                        time.Time
	Source, Reason, Why, Remote, Method, Path string
	Status, More                              int
	Size                                      *int64
}

type refusalCount struct {
	Source, Reason string
	Unavailable    bool
	Count          int64
}

func (v *visit) refusals() (content, error) {
	d := refusalsData{Source: v.query.Get("source"), Reason: v.query.Get("reason")}
	q := url.Values{"limit": {"200"}}
	if d.Source != "" {
		q.Set("source", d.Source)
	}
	var all struct {
		Refusals []refusal
		Counts   []refusalCount
	}
	if err := v.get("/webhooks/refusals", q, &all); err != nil {
		return content{}, err
	}
	d.Counts = all.Counts
	for _, r := range all.Refusals {
		if d.Reason == "" || r.Reason == d.Reason {
			d.Refusals = append(d.Refusals, r)
		}
	}
	return content{title: "Refused requests", data: d}, nil
}
