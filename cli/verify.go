package cli

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/caddy-webhooks/caddy-webhooks/dedup"
	"github.com/caddy-webhooks/caddy-webhooks/verify"
	"github.com/caddy-webhooks/caddy-webhooks/verify/keys"
	"github.com/caddy-webhooks/caddy-webhooks/verify/providers"
)

func verifyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "verify <provider> [file]",
		Short: "Says whether a captured request verifies, and if not, why",
		Long: `Checks a request that was captured somewhere as the gateway would check it, and
says what it is, or why it is refused and what to do about it.

The capture is read from the file or from standard input. It is a curl command
(as browsers and tunnels copy it, quoted for bash), a HAR file, an HTTP request
as it stands on the wire, or a stored event as ` + "`caddy webhooks show --json`" + `
prints it. What a capture has lost of the bytes is noted.

A timestamp is judged at the time that the capture names, else at the present.
--at names another time, and --ignore-age accepts any age.

The exit code is 1 if the request is refused.`,
		Example: "  caddy webhooks verify stripe request.http --secret whsec_…\n" +
			"  pbpaste | WEBHOOK_SECRET=s3cret caddy webhooks verify github\n" +
			"  caddy webhooks verify square traffic.har --entry 3 --url https://hooks.example.com/square\n" +
			"  caddy webhooks show <event> --json | caddy webhooks verify github --secret s3cret \\\n" +
			"    --header 'X-Hub-Signature-256: sha256=…'\n" +
			"  caddy webhooks verify hmac req.txt --option header=X-Signature --option prefix=sha256=",
		Args: cobra.RangeArgs(1, 2),
	}
	f := cmd.Flags()
	f.StringArray("secret", nil, "Secret or public key, several for a rotation; default: the environment's "+secretVariable)
	f.StringArray("option", nil, "Option of the provider or of a generic scheme, e.g. header=X-Signature")
	f.String("url", "", "Public address, for providers that sign it; default: the capture's")
	f.StringArray("header", nil, "Header that the capture lacks or masks, as Name: value")
	f.String("at", "", "Time at which it is judged: RFC 3339, Unix seconds, now, or before now such as -2h")
	f.Bool("ignore-age", false, "Accept a timestamp of any age")
	f.Int("entry", 0, "Which of several requests, from 1; default: the first POST of a HAR file, the first event")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := newChecking(cmd, args)
		if err != nil {
			return err
		}
		return c.run()
	}
	return cmd
}

// checking is one call of `verify`.
type checking struct {
	record   *verify.Record
	verifier *verify.Verifier
	request  *verify.Request
	at       time.Time
	result   result
	json     bool
	out      io.Writer
}

// result is what is printed.
type result struct {
	Verified bool   `json:"verified"`
	Provider string `json:"provider"`
	// Capture says what was read.
	Capture     string     `json:"capture"`
	Bytes       int        `json:"bytes"`
	ID          string     `json:"id,omitempty"`
	Type        string     `json:"type,omitempty"`
	Handshake   string     `json:"handshake,omitempty"`
	Secret      int        `json:"secret,omitempty"` // from 1
	Signed      *time.Time `json:"signed,omitempty"`
	Age         *float64   `json:"age,omitempty"` // seconds
	Reason      string     `json:"reason,omitempty"`
	Explanation string     `json:"explanation,omitempty"`
	Notes       []string   `json:"notes"`
}

func newChecking(cmd *cobra.Command, args []string) (*checking, error) {
	cmd.SilenceUsage = true
	r, ok := providers.Get(args[0])
	if !ok {
		return nil, unknownProvider(args[0])
	}
	c := &checking{record: r, out: cmd.OutOrStdout()}
	entry, ignoreAge := 0, false
	f := cmd.Flags()
	if err := errors.Join(read(&c.json, f.GetBool, "json"), read(&entry, f.GetInt, "entry"), read(&ignoreAge, f.GetBool, "ignore-age")); err != nil {
		return nil, fmt.Errorf("reading the flags: %w", err)
	}
	if entry < 0 {
		return nil, errors.New("--entry begins at 1")
	}
	if err := c.compile(cmd, ignoreAge); err != nil {
		return nil, err
	}
	from, err := readInput(cmd, args, entry)
	if err != nil {
		return nil, err
	}
	return c, errors.Join(c.take(cmd, from), c.clock(cmd, from.at))
}

// readInput reads the capture from the file or from standard input.
func readInput(cmd *cobra.Command, args []string, entry int) (*captured, error) {
	stdin := len(args) < 2 || args[1] == "-"
	var text []byte
	var err error
	if stdin {
		text, err = io.ReadAll(cmd.InOrStdin())
	} else {
		text, err = os.ReadFile(args[1])
	}
	if err != nil {
		return nil, fmt.Errorf("reading the capture: %w", err)
	}
	return readCapture(text, entry, func(path string) ([]byte, error) {
		if path == "-" {
			return nil, errors.New("the data came from curl's standard input, and is not in the command")
		}
		return readFile(path)
	})
}

// mostRead bounds what is read of a file that a captured command names: it may
// be a device without an end.
const mostRead = 256 << 20

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path) //nolint:gosec // it is read for the person who could read it anyway, and not shown
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	b, err := io.ReadAll(io.LimitReader(f, mostRead+1))
	if err == nil && len(b) > mostRead {
		err = fmt.Errorf("%s is larger than %d bytes", path, mostRead)
	}
	return b, err
}

// compile sets verification up as the configuration would.
func (c *checking) compile(cmd *cobra.Command, ignoreAge bool) error {
	params, err := options(cmd, c.record)
	if err != nil {
		return err
	}
	secrets, err := cmd.Flags().GetStringArray("secret")
	if err != nil {
		return fmt.Errorf("reading the flags: %w", err)
	}
	if text := os.Getenv(secretVariable); len(secrets) == 0 && text != "" && c.record.Schemes[0].Kind != "none" {
		secrets = []string{text}
	}
	o := verify.Options{Params: params, Keys: keys.New(keys.Options{}), PerRequest: c.record.Learn != nil}
	for _, text := range secrets {
		o.Secrets = append(o.Secrets, verify.NewSecret(text))
	}
	if ignoreAge {
		o.Tolerance = -1
	}
	if c.verifier, err = c.record.Compile(o); err != nil {
		if len(secrets) == 0 {
			return fmt.Errorf("give --secret, or set %s: %w", secretVariable, err)
		}
		return fmt.Errorf("preparing to verify: %w", err)
	}
	return nil
}

// take makes the request that is checked of the capture and the flags.
func (c *checking) take(cmd *cobra.Command, from *captured) error {
	public, err := cmd.Flags().GetString("url")
	if err != nil {
		return fmt.Errorf("reading the flags: %w", err)
	}
	if err := c.headers(cmd, from); err != nil {
		return err
	}
	c.result = result{Provider: c.record.Name, Capture: from.kind, Bytes: len(from.body), Notes: append([]string{}, from.notes...)}
	u, err := url.Parse(from.url)
	if err != nil {
		return fmt.Errorf("reading the address of the capture: %w", err)
	}
	u.Fragment = ""
	c.request = &verify.Request{Method: from.method, URL: from.url, Header: from.header, Query: u.Query(), Body: from.body}
	if public != "" {
		if p, err := url.Parse(public); err != nil || p.Host == "" {
			return fmt.Errorf("--url %s is no address such as https://hooks.example.com/in", public)
		}
		c.request.URL = public
	} else if from.guessed != "" && c.verifier.SignsURL() {
		c.note("%s of the address is not in the capture; it is taken as %s: give --url if it is another", from.guessed, from.url)
	}
	if from.provider != "" {
		if r, ok := providers.Get(from.provider); ok && r != c.record {
			c.note("the event came from provider %s", from.provider)
		}
	}
	return nil
}

func (c *checking) note(format string, args ...any) {
	c.result.Notes = append(c.result.Notes, fmt.Sprintf(format, args...))
}

// headers puts in what the operator adds, and insists on what proves the sender.
func (c *checking) headers(cmd *cobra.Command, from *captured) error {
	list, err := cmd.Flags().GetStringArray("header")
	if err != nil {
		return fmt.Errorf("reading the flags: %w", err)
	}
	for _, text := range list {
		name, value, ok := strings.Cut(text, ":")
		if !ok || strings.TrimSpace(name) == "" {
			return fmt.Errorf("--header %s: write Name: value", text)
		}
		from.header.Set(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	for _, name := range c.verifier.Proof() {
		if from.header.Get(name) == masked {
			return fmt.Errorf("the capture masks %s, which proves the sender: put it in with --header '%s: …', as the provider's list of deliveries shows it", name, name)
		}
	}
	for name, values := range from.header {
		if slices.Contains(values, masked) {
			from.notes = append(from.notes, "the capture masks "+name)
		}
	}
	slices.Sort(from.notes)
	if strings.Contains(from.url, masked) {
		from.notes = append(from.notes, "the capture masks a part of the address")
	}
	return nil
}

// clock settles the time at which timestamps are judged.
func (c *checking) clock(cmd *cobra.Command, received time.Time) error {
	text, err := cmd.Flags().GetString("at")
	if err != nil {
		return fmt.Errorf("reading the flags: %w", err)
	}
	now := time.Now()
	switch text {
	case "":
		c.at = now
		if !received.IsZero() {
			c.at = received
			c.note("judged at %s, when it was received", received.UTC().Format(time.RFC3339))
		}
		return nil
	case "now":
		c.at = now
		return nil
	}
	c.at, err = moment(text, now)
	return err
}

func moment(text string, now time.Time) (time.Time, error) {
	if at, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return at, nil
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && n > 0 {
		return time.Unix(n, 0), nil
	}
	if d, err := time.ParseDuration(text); err == nil && d < 0 {
		return now.Add(d), nil
	}
	return time.Time{}, fmt.Errorf("--at %s is no time such as 2026-11-23T12:00:00Z, 1795000000, now or -2h", text)
}

// errRefused ends the command with exit code 1.
var errRefused = errors.New("the request is refused")

func (c *checking) run() error {
	if err := c.check(); err != nil {
		if !errors.Is(err, verify.ErrRejected) {
			return fmt.Errorf("verifying: %w", err)
		}
		d := c.verifier.Explain(verify.Refusal{Request: c.request, Err: err, Now: c.at})
		c.result.Reason, c.result.Explanation = d.Reason, d.Words
		if d.Reason == verify.ReasonBodyChanged {
			c.note("it may have been the capture that changed the body: editors, terminals and tools do, too")
		}
		if err := c.print(); err != nil {
			return err
		}
		return fmt.Errorf("%w: %s", errRefused, d.Reason)
	}
	return c.print()
}

// check goes the gateway's way: method and headers, unsigned handshakes, proof,
// signed handshakes, name.
func (c *checking) check() error {
	early := c.verifier.Precheck(c.request.Method, c.request.Header)
	if _, _, ok := c.verifier.Offered(c.request); ok {
		c.result.Verified, c.result.Handshake = true, "secret"
		c.note("the provider hands its secret over here; it is kept only after `caddy webhooks learn`, and nothing is stored")
		return nil
	}
	if _, name, ok := c.verifier.Greet(c.request, false); ok {
		c.result.Verified, c.result.Handshake = true, name
		c.note("this handshake is answered without a proof, and nothing is stored")
		return nil
	}
	if early != nil {
		return early
	}
	verdict, err := c.verifier.Verify(c.request, c.at)
	if err != nil {
		return err //nolint:wrapcheck // it is explained
	}
	c.result.Verified, c.result.Secret = true, verdict.Secret+1
	if !verdict.Time.IsZero() {
		at, age := verdict.Time.UTC(), c.at.Sub(verdict.Time).Seconds()
		c.result.Signed, c.result.Age = &at, &age
	}
	if _, name, ok := c.verifier.Greet(c.request, true); ok {
		c.result.Handshake = name
		return nil
	}
	c.identify()
	return nil
}

// identify names the event as the gateway would.
func (c *checking) identify() {
	message := dedup.Message{Header: c.request.Header, Query: c.request.Query, Body: c.request.Body}
	id, named := dedup.Identify(nil, c.record.ID, message)
	c.result.ID, c.result.Type = id.ProviderID, dedup.Value(c.record.Type, message)
	switch {
	case named:
	case c.record.Unnamed != "":
		c.note("it has no event ID, so duplicates are not recognised: %s", c.record.Unnamed)
	case len(c.record.ID) == 0:
		c.note("it has no event ID, so duplicates are not recognised: configure `id`")
	default:
		c.note("it has no event ID where the provider's events have one, so duplicates of it are not recognised")
	}
	if c.record.Schemes[0].Kind == "none" {
		c.note("nothing proves the sender: everybody may send")
	}
}

// print writes the result, for people or for scripts.
func (c *checking) print() error {
	if c.json {
		e := json.NewEncoder(c.out)
		e.SetEscapeHTML(false)
		if err := e.Encode(c.result); err != nil {
			return fmt.Errorf("printing: %w", err)
		}
		return nil
	}
	if _, err := io.WriteString(c.out, c.text()); err != nil {
		return fmt.Errorf("printing: %w", err)
	}
	return nil
}

func (c *checking) text() string {
	var b strings.Builder
	r := c.result
	if r.Verified {
		b.WriteString("verified\n")
	} else {
		fmt.Fprintf(&b, "refused: %s\n%s\n\n", r.Reason, printable(r.Explanation))
	}
	lines := [][2]string{
		{"read", fmt.Sprintf("%s, %d bytes of body", r.Capture, r.Bytes)},
		{"id", r.ID},
		{"type", r.Type},
		{"handshake", r.Handshake},
		{"secret", cmp.Or(r.ordinal(), "")},
		{"signed", r.signed()},
	}
	for _, note := range r.Notes {
		lines = append(lines, [2]string{"note", note})
	}
	for _, line := range lines {
		if line[1] != "" {
			fmt.Fprintf(&b, "%-9s  %s\n", line[0], printable(line[1]))
		}
	}
	return b.String()
}

func (r result) ordinal() string {
	if r.Secret == 0 {
		return ""
	}
	return strconv.Itoa(r.Secret)
}

// signed says when it was signed, and how old that is.
func (r result) signed() string {
	if r.Signed == nil {
		return ""
	}
	age := time.Duration(*r.Age * float64(time.Second)).Round(time.Second)
	if age < 0 {
		return fmt.Sprintf("%s, %s ahead of the clock", r.Signed.Format(time.RFC3339), -age)
	}
	return fmt.Sprintf("%s, %s old", r.Signed.Format(time.RFC3339), age)
}
