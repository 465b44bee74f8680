package ui

import (
	"net/url"
	"time"
)

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
