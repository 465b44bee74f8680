package ui

import (
	"errors"
	"slices"
	"strings"
)

type confirmData struct {
	order
	// Event1 is the event that it is about, Job1 the job.
	Event1 *row
	Job1   *job
	// Matched counts the deliveries of many.
	Matched int64
	// Problem says why it cannot be done as it stands; Open that something is still
	// to be chosen.
	Problem string
	Open    bool
	Others  []string
	// Held says of which destinations nothing is sent to just now.
	Held []string
}

var confirmTitles = map[string]string{
	"replay": "Replay it?", "discard": "Discard it?", "pause": "Pause the destination?", "resume": "Resume the destination?",
	"replays": "Replay them?", "discards": "Discard them?", "moves": "Move them?", "cancel": "Cancel the job?",
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
	var all struct{ Sources []source }
	if err := v.get("/webhooks/sources", nil, &all); err != nil {
		return content{}, err
	}
	switch {
	case o.many():
		err = v.preview(&d, all.Sources)
	case o.Event != "":
		err = v.about(&d, all.Sources)
	case o.Job != "":
		d.Job1 = new(job)
		err = v.get("/webhooks/jobs/"+o.Job, nil, d.Job1)
	default:
		src, name, _ := strings.Cut(o.Destination, "/")
		if !slices.ContainsFunc(all.Sources, func(s source) bool { return s.Name == src && s.has(name) }) {
			err = errNoDestination
		}
	}
	return content{title: confirmTitles[o.Action], data: d, still: true}, err
}

var errNoDestination = errors.New("there is no such destination")

func (s source) has(name string) bool {
	return slices.ContainsFunc(s.Destinations, func(d toward) bool { return d.Name == name })
}

// about finds the event of an order, and how its destinations stand.
func (v *visit) about(d *confirmData, all []source) error {
	var e row
	if err := v.get("/webhooks/events/"+d.Event, nil, &e); err != nil {
		return err
	}
	d.Event1 = &e
	found := false
	for _, one := range e.Deliveries {
		src := e.Source
		if one.Source != "" {
			src = one.Source
		}
		name := src + "/" + one.Destination
		if d.Destination != "" && d.Destination != name && d.Destination != one.Destination {
			continue
		}
		found = true
		if d.Destination != "" || one.State != "delivered" {
			d.Held = append(d.Held, towardOf(all, src, one.Destination).held(name)...)
		}
	}
	if !found {
		return errNoDestination
	}
	return nil
}

// choose lists where events can go, and what of it takes none just now.
func (d *confirmData) choose(all []source) {
	src, name := d.Filter.Get("source"), d.Filter.Get("destination")
	for _, s := range all {
		for _, to := range s.Destinations {
			whole := s.Name + "/" + to.Name
			if to.State != "orphaned" {
				d.Others = append(d.Others, whole)
			}
			fits := (src == "" || src == s.Name) && (name == "" || name == to.Name || name == whole)
			if d.To != "" {
				fits = d.To == whole
			}
			if fits {
				d.Held = append(d.Held, to.held(whole)...)
			}
		}
	}
}

// preview counts what it is about.
func (v *visit) preview(d *confirmData, all []source) error {
	d.choose(all)
	if d.Action == "moves" && d.To == "" {
		d.Open = true
		if v.query.Has("to") { // it was left out
			d.Problem = "Choose where to."
		}
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
