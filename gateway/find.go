package gateway

import (
	"errors"
	"fmt"
	"strings"

	"github.com/caddy-webhooks/caddy-webhooks/event"
)

// Errors of naming a destination.
var (
	// ErrNoDestination is returned when there is no destination of that name.
	ErrNoDestination = errors.New("there is no such destination")
	// ErrWhich is returned when a destination was left out and there are several.
	ErrWhich = errors.New("the source has several destinations")
)

// Find gives the destination that an operator means. The name may be left out
// where the source has one; one that is configured goes before orphans. What is
// wrong is said together with what there is.
func Find(sources []SourceStatus, source, name string) (event.Destination, DestinationStatus, error) {
	var mine []DestinationStatus
	known := false
	for _, s := range sources {
		if s.Name == source {
			mine, known = s.Destinations, true
		}
	}
	if !known {
		return event.Destination{}, DestinationStatus{}, fmt.Errorf("%w: %s; %s", ErrNoSource, source, ThereAre(sources))
	}
	if name == "" {
		mine = preferred(mine)
	}
	for _, d := range mine {
		if d.Name == name || name == "" && len(mine) == 1 {
			return event.Destination{Source: source, Name: d.Name}, d, nil
		}
	}
	if name == "" && len(mine) > 1 {
		return event.Destination{}, DestinationStatus{}, fmt.Errorf("%w; name one of them: %s", ErrWhich, names(source, mine))
	}
	return event.Destination{}, DestinationStatus{}, fmt.Errorf("%w: %s/%s; %s", ErrNoDestination, source, name, ThereAre(sources))
}

// preferred leaves orphans out where there is anything else.
func preferred(list []DestinationStatus) []DestinationStatus {
	var configured []DestinationStatus
	for _, d := range list {
		if d.State != Orphaned {
			configured = append(configured, d)
		}
	}
	if len(configured) == 0 {
		return list
	}
	return configured
}

// ThereAre lists all destinations in words.
func ThereAre(sources []SourceStatus) string {
	var all []string
	for _, s := range sources {
		if len(s.Destinations) > 0 {
			all = append(all, names(s.Name, s.Destinations))
		}
	}
	if len(all) == 0 {
		return "there is none"
	}
	return "there are: " + strings.Join(all, ", ")
}

func names(source string, list []DestinationStatus) string {
	words := make([]string, 0, len(list))
	for _, d := range list {
		word := source + "/" + d.Name
		if d.State == Orphaned {
			word += " (orphaned)"
		}
		words = append(words, word)
	}
	return strings.Join(words, ", ")
}
