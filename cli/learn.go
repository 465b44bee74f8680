package cli

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"
)

func learnCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "learn <source>",
		Short: "Opens a source for the secret that its provider hands over",
		Long: `Some providers hand their secret over with the first request, and never again. A
source with "secret learn" takes one for 15 minutes after this command, if it
knows none. So: run this, then make the webhook at the provider.

Where a person has to confirm the secret at the provider, Caddy's log shows it
once. A secret that is known stays; --forget drops it, to begin anew.`,
		Example: "  caddy webhooks learn asana\n  caddy webhooks learn asana --status\n  caddy webhooks learn asana --forget",
		Args:    cobra.ExactArgs(1),
	}
	cmd.Flags().Bool("forget", false, "Forget the secret that is known")
	cmd.Flags().Bool("status", false, "Only tell whether a secret is known")
	cmd.RunE = run(func(c *client, cmd *cobra.Command, args []string) error {
		method := http.MethodPost
		forget, status := cmd.Flags().Changed("forget"), cmd.Flags().Changed("status")
		switch {
		case forget && status:
			return errors.New("--forget and --status are two different things")
		case forget:
			method = http.MethodDelete
		case status:
			method = http.MethodGet
		}
		var v learning
		printed, err := c.call(method, "/webhooks/learn/"+url.PathEscape(args[0]), nil, &v)
		if err != nil || printed {
			return err
		}
		return c.printf("%s\n", v.words(args[0], forget, c.now()))
	})
	return cmd
}

// learning is how far a source has come.
type learning struct {
	Known     bool
	OpenUntil time.Time `json:"open_until"`
}

func (l learning) words(source string, forgot bool, now time.Time) string {
	switch {
	case l.Known:
		return source + " knows its secret"
	case !l.OpenUntil.IsZero():
		return fmt.Sprintf("%s takes a secret for %s; make the webhook at the provider now", source, l.OpenUntil.Sub(now).Round(time.Minute))
	case forgot:
		return source + " has forgotten its secret"
	}
	return fmt.Sprintf("%s knows no secret; `caddy webhooks learn %s` opens it for one", source, source)
}
