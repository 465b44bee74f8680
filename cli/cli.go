// Package cli is `caddy webhooks …`: an operator's commands over the running
// Caddy's admin API, and `send`, which signs and posts webhooks as a provider
// would.
package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/user"
	"regexp"
	"strconv"
	"strings"
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:      "webhooks",
		Usage:     "<command>",
		Short:     "Shows and steers the webhook gateway",
		Long:      long,
		CobraFunc: build,
	})
}

const long = `
Shows what the webhook gateway of the running Caddy has stored, sends events
again or gives them up, and sends test webhooks as a provider would.

All commands but send, verify and providers talk to the admin endpoint of the running
Caddy. Its address is taken from --address, else from the configuration that
--config names, else it is the default.

Whatever fails ends with exit code 1 and says why.
`

// build adds the flags that all commands share, and the commands.
func build(cmd *cobra.Command) {
	cmd.PersistentFlags().StringP("address", "", "", "Address of the admin endpoint, if different from the config's")
	cmd.PersistentFlags().StringP("config", "c", "", "Configuration file that names the admin endpoint")
	cmd.PersistentFlags().StringP("adapter", "a", "", "Name of the config adapter")
	cmd.PersistentFlags().BoolP("json", "", false, "Print JSON, as the API answers it")
	cmd.AddCommand(sourcesCommand(), eventsCommand(), showCommand(), replayCommand(), discardCommand(),
		pauseCommand(), resumeCommand(), moveCommand(), jobsCommand(), healthCommand(), tailCommand(), listenCommand(), learnCommand(),
		exportCommand(), importCommand(), refusedCommand(), dashboardCommand(),
		sendCommand(), verifyCommand(), providersCommand())
	complete(cmd)
	// Without this a mistyped command shows the help and ends well, which a
	// script takes for done.
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		cmd.SilenceUsage = true
		return fmt.Errorf("unknown command %q; `caddy webhooks --help` lists them", args[0])
	}
}

// client talks to the admin API.
type client struct {
	address string
	json    bool
	out     io.Writer
	now     func() time.Time
}

// newClient reads the common flags.
func newClient(cmd *cobra.Command) (*client, error) {
	flags := caddycmd.Flags{FlagSet: cmd.Flags()}
	address, err := caddycmd.DetermineAdminAPIAddress(flags.String("address"), nil, flags.String("config"), flags.String("adapter"))
	if err != nil {
		return nil, fmt.Errorf("finding the admin endpoint: %w", err)
	}
	return &client{address: address, json: flags.Bool("json"), out: cmd.OutOrStdout(), now: time.Now}, nil
}

// run wraps a command that needs the running Caddy. An error is printed once,
// in words, and the exit code is 1.
func run(f func(c *client, cmd *cobra.Command, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		cmd.SilenceUsage = true
		c, err := newClient(cmd)
		if err != nil {
			return err
		}
		return f(c, cmd, args)
	}
}

// call makes one request and decodes its answer into v; with --json the answer
// is printed instead, and printed is true.
func (c *client) call(method, path string, q url.Values, v any) (printed bool, err error) {
	uri := path
	if len(q) > 0 {
		uri += "?" + q.Encode()
	}
	return c.request(method, uri, nil, v)
}

// post sends a body as JSON; else it is as call.
func (c *client) post(path string, body, v any) (printed bool, err error) {
	text, err := json.Marshal(body)
	if err != nil {
		return false, fmt.Errorf("writing the request: %w", err)
	}
	return c.request(http.MethodPost, path, bytes.NewReader(text), v)
}

func (c *client) request(method, uri string, body io.Reader, v any) (printed bool, err error) {
	h := http.Header{"Webhooks-Who": {whoAmI()}}
	if body != nil {
		h.Set("Content-Type", "application/json")
	}
	resp, err := caddycmd.AdminAPIRequest(c.address, method, uri, h, body)
	if err != nil {
		return false, explain(c.address, err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was read
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return false, fmt.Errorf("reading the answer: %w", err)
	}
	if c.json {
		return true, c.printf("%s", text)
	}
	if v == nil {
		return false, nil
	}
	if err := json.Unmarshal(text, v); err != nil {
		return false, fmt.Errorf("reading the answer: %w", err)
	}
	return false, nil
}

// answered finds status and body in an error of [caddycmd.AdminAPIRequest],
// which gives them as text only.
var answered = regexp.MustCompile(`(?s)HTTP (\d{3}): (.*)`)

// explain puts an error of the admin endpoint into an operator's words.
func explain(address string, err error) error {
	found := answered.FindStringSubmatch(err.Error())
	if found == nil {
		if strings.Contains(err.Error(), "performing request") {
			return fmt.Errorf("no Caddy answers at %s; is it running? use --address (%w)", address, err)
		}
		return err
	}
	var refusal struct{ Error string }
	status, _ := strconv.Atoi(found[1]) // three digits
	switch {
	case json.Unmarshal([]byte(found[2]), &refusal) == nil && refusal.Error != "":
		err = errors.New(printable(refusal.Error))
	case status == http.StatusNotFound:
		err = fmt.Errorf("the Caddy at %s was built without the webhook gateway", address)
	}
	return &answerError{status: status, body: []byte(found[2]), error: err}
}

// answerError is an answer that is no success.
type answerError struct {
	error

	status int
	body   []byte
}

// whoAmI names the person for the journal.
func whoAmI() string {
	name := "somebody"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if host, err := os.Hostname(); err == nil {
		name += "@" + host
	}
	return "cli " + name
}
