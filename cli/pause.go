package cli

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func pauseCommand() *cobra.Command {
	return destinationCommand("pause", "Keeps a destination's events without sending them", `
The destination's events are accepted and kept, and none is sent until
"caddy webhooks resume". Attempts that run just now finish. The pause outlives
reloads and restarts. No event dies meanwhile: the time for which it is retried
stands still.

The destination may be left out where the source has only one. Pausing what is
paused is no error.`)
}

func resumeCommand() *cobra.Command {
	return destinationCommand("resume", "Sends a paused destination's events again", `
What has waited is sent in the order in which it became due, and new events
along with it.

The destination may be left out where the source has only one. Resuming what is
not paused is no error.`)
}

func destinationCommand(verb, short, long string) *cobra.Command {
	return &cobra.Command{
		Use:     verb + " <source>[/<destination>]",
		Short:   short,
		Long:    strings.TrimSpace(long),
		Example: fmt.Sprintf("  caddy webhooks %s shop/orders\n  caddy webhooks %s stripe", verb, verb),
		Args:    cobra.ExactArgs(1),
		RunE: run(func(c *client, _ *cobra.Command, args []string) error {
			source, name, named := strings.Cut(args[0], "/")
			if source == "" || named && name == "" {
				return fmt.Errorf("%q is no destination; write: caddy webhooks %s <source>[/<destination>]", args[0], verb)
			}
			path := "/webhooks/destinations/" + url.PathEscape(source)
			if named {
				path += "/" + url.PathEscape(name)
			}
			var v pausedView
			printed, err := c.call(http.MethodPost, path+"/"+verb, nil, &v)
			if err != nil || printed {
				return err
			}
			return c.paused(v)
		}),
	}
}

// pausedView is what the API answers.
type pausedView struct {
	Source, Destination, State string
	Changed                    bool
	Pending                    int64
	OldestPending              *time.Time `json:"oldest_pending"`
	InFlight                   int64      `json:"in_flight"`
}

func (c *client) paused(v pausedView) error {
	already := ""
	if !v.Changed {
		already = ", as before"
	}
	waiting := "nothing waits"
	if v.Pending > 0 {
		waiting = count(v.Pending) + " pending"
		if v.OldestPending != nil {
			waiting += ", the oldest for " + c.ago(v.OldestPending)
		}
	}
	if v.InFlight > 0 {
		waiting += fmt.Sprintf(", %s of them being sent just now", count(v.InFlight))
	}
	return c.printf("%s/%s is %s%s: %s\n", printable(v.Source), printable(v.Destination), printable(v.State), already, waiting)
}
