package archive

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/caddy-webhooks/caddy-webhooks/event"
)

// Bounds of a line besides those that the store has.
const (
	maxDeliveries = 256
	maxAttempts   = 4096
	maxText       = 64 << 10
)

// nameForm is that of sources and destinations.
var nameForm = regexp.MustCompile(`^[a-z0-9_-]{1,64}$`)

// check refuses what no gateway can have exported.
func (v *line) check() error {
	if v.Format != Format {
		return fmt.Errorf("its format is %d; this gateway reads format %d", v.Format, Format)
	}
	if _, err := event.ParseID(v.Event); err != nil {
		return fmt.Errorf("event: %w", err)
	}
	switch {
	case !nameForm.MatchString(v.Source):
		return fmt.Errorf("source: %q is no name", v.Source)
	case len(v.Provider) > maxText || len(v.ID) > maxText || len(v.Type) > maxText:
		return errors.New("provider, id or type is too long")
	case !likely(v.Received):
		return fmt.Errorf("received: %v cannot be", v.Received)
	}
	if err := v.checkContent(); err != nil {
		return err
	}
	return v.checkDeliveries()
}

// likely tells whether a time can be stored, which goes by nanoseconds since 1970.
func likely(t time.Time) bool { return t.Year() >= 1970 && t.Year() < 2262 }

func (v *line) checkContent() error {
	if v.Gone {
		if len(v.Body) > 0 || v.Size < 0 {
			return errors.New("gone: there is a body, or a size less than 0")
		}
		return nil
	}
	if v.Size != len(v.Body) {
		return fmt.Errorf("size: %d, and the body has %d bytes", v.Size, len(v.Body))
	}
	if !httpguts.ValidHeaderFieldName(string(v.Method)) { // both are tokens
		return fmt.Errorf("method: %q is none", string(v.Method))
	}
	for name, uri := range map[string]text{"uri": v.URI, "original_uri": v.OriginalURI} {
		if _, err := url.ParseRequestURI(string(uri)); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return checkHeaders(v.Headers)
}

func checkHeaders(h map[string][]text) error {
	for name, values := range h {
		if !httpguts.ValidHeaderFieldName(name) || http.CanonicalHeaderKey(name) != name {
			return fmt.Errorf("headers: %q is no name, or not in its usual form", name)
		}
		for _, value := range values {
			if !httpguts.ValidHeaderFieldValue(string(value)) {
				return fmt.Errorf("headers: a value of %s has characters that none may have", name)
			}
		}
	}
	return nil
}

func (v *line) checkDeliveries() error {
	if n := len(v.Deliveries); n == 0 || n > maxDeliveries {
		return fmt.Errorf("deliveries: %d; there must be 1 to %d", n, maxDeliveries)
	}
	seen := map[event.Destination]bool{}
	for _, d := range v.Deliveries {
		if err := errors.Join(d.checkNames(v.Source), d.check(v), d.checkTimes(), d.checkAttempts()); err != nil {
			return fmt.Errorf("delivery to %q: %w", d.Destination, err)
		}
		to := event.Destination{Source: d.Source, Name: d.Destination}
		if seen[to] {
			return fmt.Errorf("delivery to %q: it is there twice", d.Destination)
		}
		seen[to] = true
	}
	return nil
}

func (d *delivery) check(v *line) error {
	state, known := event.ParseState(d.State)
	switch {
	case !known:
		return fmt.Errorf("state: %q is none", d.State)
	case v.Gone && state.Unsettled():
		return fmt.Errorf("state: %s, and its body is gone", d.State)
	case d.Tries < 0 || d.Excused < 0 || d.Spent < 0:
		return errors.New("tries, excused or spent_ns is less than 0")
	}
	order, err := strconv.ParseUint(d.Order, 16, 64)
	if d.Order != "" && (err != nil || order == 0) {
		return fmt.Errorf("order: %q is no hexadecimal number of at most 64 bits, or 0", d.Order)
	}
	return nil
}

func (d *delivery) checkNames(own string) error {
	if !nameForm.MatchString(d.Destination) {
		return errors.New("destination: it is no name")
	}
	if d.Source != "" && (!nameForm.MatchString(d.Source) || d.Source == own) {
		return errors.New("source: it is no name, or the event's own")
	}
	return nil
}

func (d *delivery) checkTimes() error {
	for _, t := range []*time.Time{d.Next, d.DeliveredAt, d.SettledAt} {
		if t != nil && !likely(*t) {
			return fmt.Errorf("the time %v cannot be", t)
		}
	}
	return nil
}

func (d *delivery) checkAttempts() error {
	if len(d.Attempts) > maxAttempts {
		return fmt.Errorf("attempts: %d; at most %d", len(d.Attempts), maxAttempts)
	}
	for i := range d.Attempts {
		if err := d.Attempts[i].check(); err != nil {
			return err
		}
	}
	return nil
}

func (a *attempt) check() error {
	switch {
	case !likely(a.At):
		return fmt.Errorf("attempts: the time %v cannot be", a.At)
	case a.Number < 0 || a.Status < 0 || a.Duration < 0:
		return errors.New("attempts: number, status or duration_ns is less than 0")
	case len(a.Answer) > event.AnswerLimit || len(a.Error) > maxText:
		return errors.New("attempts: answer or error is too long")
	}
	return nil
}
