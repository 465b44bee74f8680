// Package cli is `caddy webhooks …`: an operator's commands over the running
// Caddy's admin API, and `send`, which signs and posts webhooks as a provider
// would.
package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"os/user"
	"syscall"
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
	dashboard := dashboardCommand()
	noJSON(dashboard)
	cmd.AddCommand(sourcesCommand(), eventsCommand(), showCommand(), replayCommand(), discardCommand(),
		pauseCommand(), resumeCommand(), moveCommand(), jobsCommand(), healthCommand(), tailCommand(), listenCommand(), learnCommand(),
		exportCommand(), importCommand(), refusedCommand(), dashboard,
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
	neutral(cmd)
}

// noJSON takes --json from a command that prints none.
func noJSON(cmd *cobra.Command) {
	cmd.Flags().Bool("json", false, "")
	_ = cmd.Flags().MarkHidden("json") // which was just made
	f := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if cmd.Flags().Changed("json") {
			cmd.SilenceUsage = true
			return fmt.Errorf("--json: %s prints no JSON", cmd.Name())
		}
		return f(cmd, args)
	}
}

// client talks to the admin API, for as long as one command runs.
type client struct {
	ctx     context.Context //nolint:containedctx // the command's; a signal ends it
	api     *endpoint
	address string
	json    bool
	out     io.Writer
	note    io.Writer // what is said beside the output
	now     func() time.Time
	// width is the terminal's; 0 where the output is none, and nothing is cut.
	width int
	// retry is the first wait before a connection is made again.
	retry time.Duration
}

// newClient reads the common flags.
func newClient(ctx context.Context, cmd *cobra.Command) (*client, error) {
	address, err := adminAddress(caddycmd.Flags{FlagSet: cmd.Flags()})
	if err != nil {
		return nil, fmt.Errorf("finding the admin endpoint: %w", err)
	}
	api, err := newEndpoint(address)
	if err != nil {
		return nil, err
	}
	return &client{
		ctx: ctx, api: api, address: address, json: caddycmd.Flags{FlagSet: cmd.Flags()}.Bool("json"), out: cmd.OutOrStdout(), note: cmd.ErrOrStderr(),
		now: time.Now, width: columnsOf(cmd.OutOrStdout()), retry: reconnectAfter,
	}, nil
}

// adminAddress is the one that is given, else the configuration's, else Caddy's
// default.
func adminAddress(flags caddycmd.Flags) (string, error) {
	address, file, adapter := flags.String("address"), flags.String("config"), flags.String("adapter")
	if address != "" || file == "" {
		return caddycmd.DetermineAdminAPIAddress(address, nil, "", "")
	}
	config, _, _, err := caddycmd.LoadConfig(file, adapter)
	if err != nil {
		return "", err //nolint:wrapcheck // it says what it was about
	}
	var has struct{ Admin struct{ Disabled bool } }
	if err := json.Unmarshal(config, &has); err == nil && has.Admin.Disabled {
		return "", fmt.Errorf("%s says `admin off`: a Caddy that runs with it has no admin endpoint, which this command asks", file)
	}
	return caddycmd.DetermineAdminAPIAddress("", config, file, adapter)
}

// run wraps a command that needs the running Caddy. The first signal ends it in
// good order, a second one at once. An error is printed once, in words, and the
// exit code is 1.
func run(f func(c *client, cmd *cobra.Command, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		cmd.SilenceUsage = true
		ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		defer context.AfterFunc(ctx, stop)()
		c, err := newClient(ctx, cmd)
		if err != nil {
			return err
		}
		defer c.api.close()
		cmd.SetContext(ctx)
		return f(c, cmd, args)
	}
}

// neutral keeps what strangers have written, and the API repeats, from steering
// the terminal by way of an error: cobra prints those as they are.
func neutral(cmd *cobra.Command) {
	if f := cmd.RunE; f != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			if err := f(cmd, args); err != nil {
				return &neutralError{err}
			}
			return nil
		}
	}
	for _, c := range cmd.Commands() {
		neutral(c)
	}
}

type neutralError struct{ error }

// Error gives the words without what is no visible character.
func (e *neutralError) Error() string { return paragraphs(e.error.Error()) }

func (e *neutralError) Unwrap() error { return e.error }

// call makes one request and decodes its answer into v; with --json the answer
// is printed instead, and printed is true.
func (c *client) call(method, path string, q url.Values, v any) (printed bool, err error) {
	return c.request(ask{method: method, uri: withQuery(path, q)}, v)
}

func withQuery(path string, q url.Values) string {
	if len(q) == 0 {
		return path
	}
	return path + "?" + q.Encode()
}

// post sends a body as JSON; else it is as call.
func (c *client) post(path string, body, v any) (printed bool, err error) {
	text, err := json.Marshal(body)
	if err != nil {
		return false, fmt.Errorf("writing the request: %w", err)
	}
	return c.request(ask{method: http.MethodPost, uri: path, body: text}, v)
}

func (c *client) request(a ask, v any) (printed bool, err error) {
	a.kind, a.silence = jsonType, cmp.Or(a.silence, answerWithin)
	resp, err := c.api.do(c.ctx, a)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close() //nolint:errcheck // it was read
	text, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return false, fmt.Errorf("reading the answer: %w", err)
	case !json.Valid(text):
		return false, fmt.Errorf("reading the answer: it is no JSON: %s", cut(string(text), 60))
	case c.json:
		return true, c.printf("%s", text)
	case v == nil:
		return false, nil
	}
	if err := json.Unmarshal(text, v); err != nil {
		return false, fmt.Errorf("reading the answer: %w", err)
	}
	return false, nil
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
