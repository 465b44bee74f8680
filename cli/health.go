package cli

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// errFailing ends the command with exit code 1; the reasons have been printed.
var errFailing = errors.New("the gateway is not healthy")

func healthCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Tells whether webhooks are accepted and go on their way",
		Long: `Prints ok, or why not, and ends with exit code 1 if not: for probes that run a
command. A destination that is down does not count, because a restart of the
gateway does not help it, unless --oldest-pending says how long events may wait.
A gateway that does not answer within --timeout is not healthy either.`,
		Example: `  caddy webhooks health
  caddy webhooks health --oldest-pending 1h
  caddy webhooks health --ignore disk_nearly_full,backlog_full`,
		Args: cobra.NoArgs,
	}
	cmd.Flags().String("oldest-pending", "", "How long an event may wait, such as 1h; default: for ever")
	cmd.Flags().String("ignore", "", "Reasons that do not count, with commas between them")
	cmd.Flags().Duration("timeout", 10*time.Second, "How long the gateway may take for its answer")
	cmd.RunE = run(func(c *client, cmd *cobra.Command, _ []string) error {
		timeout, err := cmd.Flags().GetDuration("timeout")
		if err != nil || timeout <= 0 {
			return errors.New("--timeout is a time such as 10s")
		}
		q := url.Values{}
		for flag, name := range map[string]string{"oldest-pending": "oldest_pending", "ignore": "ignore"} {
			if f := cmd.Flags().Lookup(flag); f.Changed {
				q.Set(name, f.Value.String())
			}
		}
		return c.health(q, timeout)
	})
	return cmd
}

type healthView struct {
	Status           string
	Reasons, Ignored []struct{ Reason, Source, Destination, Words string }
}

func (c *client) health(q url.Values, timeout time.Duration) error {
	var v healthView
	printed, err := c.request(ask{method: http.MethodGet, uri: withQuery("/webhooks/health", q), silence: timeout}, &v)
	if printed || err != nil {
		return c.unhealthy(err)
	}
	return c.diagnosis(v)
}

// unhealthy reads an answer that is no success; nil stays nil.
func (c *client) unhealthy(err error) error {
	var answered *answerError
	var v healthView
	if !errors.As(err, &answered) || answered.status != http.StatusServiceUnavailable || json.Unmarshal(answered.body, &v) != nil || v.Status == "" {
		return err
	}
	if !c.json {
		return c.diagnosis(v)
	}
	if err := c.printf("%s\n", answered.body); err != nil {
		return err
	}
	return errFailing
}

func (c *client) diagnosis(v healthView) error {
	if err := c.printf("%s\n", printable(v.Status)); err != nil {
		return err
	}
	for _, r := range v.Reasons {
		at := ""
		if r.Source != "" {
			at = " at " + strings.TrimSuffix(r.Source+"/"+r.Destination, "/")
		}
		if err := c.printf("%s%s: %s\n", printable(r.Reason), printable(at), printable(r.Words)); err != nil {
			return err
		}
	}
	if v.Status != "ok" {
		return errFailing
	}
	return nil
}
