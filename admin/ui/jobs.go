package ui

import (
	"slices"
	"strings"
	"time"
)

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
