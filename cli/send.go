package cli

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/caddy-webhooks/caddy-webhooks/verify"
	"github.com/caddy-webhooks/caddy-webhooks/verify/providers"
)

// sending is one call of `send`.
type sending struct {
	record        *verify.Record
	verifier      *verify.Verifier
	private       ed25519.PrivateKey
	url           *url.URL
	payload       string
	sampled       bool // the payload is ours, to be filled in
	id, kind      string
	age           time.Duration
	bad           bool
	repeat, count int
	out           io.Writer
	client        *http.Client
	now           func() time.Time
}

func sendCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "send <provider> <url>",
		Short: "Sends a webhook as the provider would, signed",
		Long: `Signs a payload as the provider would and posts it, to try out a configuration.

Where only the provider has the signing key, a throw-away pair of keys is made,
and the public half is printed for the configuration; --key uses a pair again.`,
		Example: "  caddy webhooks send github http://localhost:8080/github --secret s3cret\n" +
			"  caddy webhooks send stripe http://localhost:8080/stripe --id evt_1 --repeat 2\n" +
			"  caddy webhooks send slack http://localhost:8080/slack --bad",
		Args: cobra.ExactArgs(2),
	}
	f := cmd.Flags()
	f.String("secret", "", "Signing secret; default: the environment's WEBHOOK_SECRET")
	f.String("key", "", "Ed25519 private key seed, 64 hex digits")
	f.String("data", "", "Payload; default: a sample of the provider's")
	f.String("file", "", "File with the payload, - for standard input")
	f.String("id", "", "Event ID; default: a new one")
	f.String("type", "", "Event type")
	f.StringArray("option", nil, "Option of a generic scheme, e.g. header=X-Signature")
	f.Duration("age", 0, "How old the signature's timestamp is")
	f.Bool("bad", false, "Spoil the signature")
	f.Int("repeat", 1, "Send each event so often: duplicates")
	f.Int("count", 1, "Send so many different events")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		cmd.SilenceUsage = true
		s, err := newSending(cmd, args)
		if err != nil {
			return err
		}
		return s.run()
	}
	return cmd
}

func newSending(cmd *cobra.Command, args []string) (*sending, error) {
	r, ok := providers.Get(args[0])
	if !ok {
		return nil, unknownProvider(args[0])
	}
	target, err := url.Parse(args[1])
	if err != nil || target.Host == "" {
		return nil, fmt.Errorf("%q is no URL such as http://localhost:8080/%s", args[1], r.Name)
	}
	f := cmd.Flags()
	s := &sending{record: r, url: target, out: cmd.OutOrStdout(), now: time.Now, client: &http.Client{
		Timeout:       time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	err = errors.Join(read(&s.id, f.GetString, "id"), read(&s.kind, f.GetString, "type"), read(&s.age, f.GetDuration, "age"),
		read(&s.bad, f.GetBool, "bad"), read(&s.repeat, f.GetInt, "repeat"), read(&s.count, f.GetInt, "count"))
	if err != nil {
		return nil, err
	}
	if s.payload, err = payload(cmd); err != nil {
		return nil, err
	}
	if s.sampled = s.payload == ""; s.sampled {
		s.payload = sample(r.Name)
	}
	return s, s.keys(cmd)
}

func read[T any](to *T, get func(string) (T, error), name string) (err error) {
	*to, err = get(name)
	return err
}

func unknownProvider(name string) error {
	if near := providers.Suggest(name); near != "" {
		return fmt.Errorf("unknown provider %q; did you mean %s?", name, near)
	}
	return fmt.Errorf("unknown provider %q; `caddy webhooks providers` lists them", name)
}

// payload is what the operator gave, byte for byte; empty if nothing.
func payload(cmd *cobra.Command) (string, error) {
	data, err := cmd.Flags().GetString("data")
	if err != nil {
		return "", err
	}
	file, err := cmd.Flags().GetString("file")
	switch {
	case err != nil:
		return "", err
	case data != "":
		return data, nil
	case file == "-":
		b, err := io.ReadAll(cmd.InOrStdin())
		return string(b), err
	case file != "":
		b, err := os.ReadFile(file) //nolint:gosec // the operator names it
		return string(b), err
	}
	return "", nil
}

// keys sets up the signer.
func (s *sending) keys(cmd *cobra.Command) error {
	secret, err := cmd.Flags().GetString("secret")
	if err != nil {
		return err
	}
	if secret == "" {
		secret = os.Getenv("WEBHOOK_SECRET")
	}
	params, err := options(cmd)
	if err != nil {
		return err
	}
	if secret == "" && s.record.PublicKey(make(ed25519.PublicKey, ed25519.PublicKeySize)) != "" && s.record.Schemes[0].Kind == "ed25519" {
		if secret, err = s.makeKey(cmd); err != nil {
			return err
		}
	}
	o := verify.Options{Params: params}
	if secret != "" && s.record.Name != "none" {
		o.Secrets = []verify.Secret{verify.NewSecret(secret)}
	}
	if s.verifier, err = s.record.Compile(o); err != nil {
		return fmt.Errorf("--secret: %w", err)
	}
	return nil
}

// makeKey makes or takes a pair of keys, and gives the public half.
func (s *sending) makeKey(cmd *cobra.Command) (string, error) {
	seed := make([]byte, ed25519.SeedSize)
	text, err := cmd.Flags().GetString("key")
	if err == nil && text != "" {
		if seed, err = hex.DecodeString(text); err == nil && len(seed) != ed25519.SeedSize {
			err = errors.New("--key takes 64 hex digits")
		}
	} else if err == nil {
		_, err = rand.Read(seed)
	}
	if err != nil {
		return "", fmt.Errorf("making a key: %w", err)
	}
	s.private = ed25519.NewKeyFromSeed(seed)
	public, ok := s.private.Public().(ed25519.PublicKey)
	if !ok {
		return "", errors.New("making a key: it has no public half")
	}
	written := s.record.PublicKey(public)
	_, err = fmt.Fprintf(s.out, "public key for the configuration: %s\nthe same pair again: --key %x\n", written, seed)
	return written, err
}

func options(cmd *cobra.Command) (map[string][]string, error) {
	list, err := cmd.Flags().GetStringArray("option")
	if err != nil || len(list) == 0 {
		return nil, err
	}
	params := map[string][]string{}
	for _, o := range list {
		name, value, ok := strings.Cut(o, "=")
		if !ok {
			return nil, fmt.Errorf("--option %s: write name=value", o)
		}
		params[name] = append(params[name], strings.Fields(value)...)
	}
	return params, nil
}

func (s *sending) run() error {
	failed := false
	for range max(s.count, 1) {
		id := s.id
		if id == "" || s.count > 1 {
			id = uuid.NewString()
		}
		for range max(s.repeat, 1) {
			ok, err := s.send(id)
			if err != nil {
				return err
			}
			failed = failed || !ok
		}
	}
	if failed && !s.bad {
		return errors.New("not everything was accepted")
	}
	return nil
}

// send signs and posts one webhook, and prints the answer.
func (s *sending) send(id string) (bool, error) {
	at := s.now().Add(-s.age)
	r := &verify.Request{Method: http.MethodPost, URL: s.url.String(), Header: http.Header{}, Query: s.url.Query()}
	r.Body = []byte(s.payload)
	if s.sampled {
		r.Body = []byte(fill(s.payload, id, s.kind, at))
	}
	r.Header.Set("Content-Type", "application/json")
	s.name(r, id)
	var err error
	if s.private != nil {
		err = s.verifier.SignEd25519(r, s.private, at, id)
	} else {
		err = s.verifier.Sign(r, at, id)
	}
	if err != nil {
		return false, fmt.Errorf("signing: %w", err)
	}
	if s.bad {
		r.Body = append(r.Body, ' ') // the signature is now another body's
	}
	return s.post(r)
}

// name puts ID and type into the headers where the provider has them there.
func (s *sending) name(r *verify.Request, id string) {
	set := func(picks []verify.Pick, value string) {
		for _, p := range picks {
			if p.In == "header" && len(p.Names) > 0 && value != "" {
				first, _, _ := strings.Cut(p.Names[0], "|")
				r.Header.Set(strings.TrimSuffix(first, "?"), value)
				for _, more := range p.Names[1:] {
					first, _, _ := strings.Cut(more, "|")
					r.Header.Set(strings.TrimSuffix(first, "?"), "sample")
				}
			}
		}
	}
	set(s.record.ID, id)
	if s.record.Type != nil {
		kind := s.kind
		if kind == "" {
			kind = "test"
		}
		set([]verify.Pick{*s.record.Type}, kind)
	}
}

func (s *sending) post(r *verify.Request) (bool, error) {
	target := *s.url
	target.RawQuery = r.Query.Encode()
	req, err := http.NewRequest(http.MethodPost, target.String(), bytes.NewReader(r.Body))
	if err != nil {
		return false, fmt.Errorf("making the request: %w", err)
	}
	req.Header = r.Header
	began := time.Now()
	resp, err := s.client.Do(req)
	if err != nil {
		return false, fmt.Errorf("sending to %s: %w", s.url, err)
	}
	defer resp.Body.Close() //nolint:errcheck // only its status matters
	_, err = fmt.Fprintf(s.out, "%d %s %s  %s\n", resp.StatusCode, resp.Header.Get("Webhook-Status"),
		resp.Header.Get("Webhook-Event-Id"), time.Since(began).Round(100*time.Microsecond))
	return resp.StatusCode/100 == 2, err
}

func providersCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "providers",
		Short: "Lists the providers that `from` knows",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			t := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 4, 2, ' ', 0)
			fmt.Fprintln(t, "NAME\tSCHEME\tALSO\tPROVIDER")
			for _, r := range providers.All() {
				fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", r.Name, r.Schemes[0].Kind, strings.Join(r.Aliases, " "), r.Title)
			}
			return t.Flush()
		},
	}
}
