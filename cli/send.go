package cli

import (
	"bytes"
	"cmp"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/caddy-webhooks/caddy-webhooks/verify"
	"github.com/caddy-webhooks/caddy-webhooks/verify/providers"
)

// secretVariable is where send finds the secret that --secret does not give, so
// that it stands in no list of processes.
const secretVariable = "WEBHOOK_SECRET"

// sending is one call of `send`.
type sending struct {
	record        *verify.Record
	verifier      *verify.Verifier
	private       crypto.Signer
	url           *url.URL
	payload       string
	sampled       bool // the payload is ours, to be filled in
	id, kind      string
	age           time.Duration
	bad           bool
	repeat, count int
	parallel      int
	json          bool
	out           io.Writer
	printing      sync.Mutex
	client        *http.Client
	now           func() time.Time
}

func sendCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "send <provider> [url]",
		Short: "Sends a webhook as the provider would, signed",
		Long: `Signs a payload as the provider would and posts it, to try out a configuration.
It prints the status, what the gateway did with it, the event's ID and the time
taken. The exit code is 1 if one was refused; with --bad, if one was not.

Without --data or --file the payload is a small sample in the provider's shape,
with the ID and the type in it. A payload of your own is sent byte for byte; an
ID that stands in it is the same every time.

Where only the provider has the signing key, a throw-away pair of keys is made,
and the public half is printed for the configuration; --key uses a pair again.`,
		Example: "  caddy webhooks send github --secret s3cret\n" +
			"  caddy webhooks send stripe http://localhost:8080/stripe --id evt_1 --repeat 2\n" +
			"  caddy webhooks send slack --bad\n" +
			"  caddy webhooks send github --count 500 --parallel 50\n" +
			"  caddy webhooks send shopify --file order.json --type orders/create",
		Args: cobra.RangeArgs(1, 2),
	}
	f := cmd.Flags()
	f.String("url", "", "Where to; default: http://localhost:8080/<provider>")
	f.String("secret", "", "Signing secret; default: the environment's "+secretVariable)
	f.String("key", "", "private key: of Ed25519 the seed, 64 hex digits, else base64 of PKCS #8")
	f.String("data", "", "Payload; default: a sample of the provider's")
	f.String("file", "", "File with the payload, - for standard input")
	f.String("id", "", "Event ID; default: a new one")
	f.String("type", "", "Event type; default: one that the provider has")
	f.StringArray("option", nil, "Option of a generic scheme, e.g. header=X-Signature")
	f.Duration("age", 0, "How old the signature's timestamp is")
	f.Bool("bad", false, "Spoil the signature")
	f.Int("repeat", 1, "Send each event so often: duplicates")
	f.Int("count", 1, "Send so many different events")
	f.Int("parallel", 1, "Send so many events at once: a burst")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		s, err := newSending(cmd, args)
		if err != nil {
			return err
		}
		return s.run()
	}
	return cmd
}

func newSending(cmd *cobra.Command, args []string) (*sending, error) {
	cmd.SilenceUsage = true
	r, ok := providers.Get(args[0])
	if !ok {
		return nil, unknownProvider(args[0])
	}
	f := cmd.Flags()
	s := &sending{record: r, out: cmd.OutOrStdout(), now: time.Now, client: &http.Client{
		Timeout:       time.Minute,
		Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	err := errors.Join(read(&s.id, f.GetString, "id"), read(&s.kind, f.GetString, "type"), read(&s.age, f.GetDuration, "age"),
		read(&s.bad, f.GetBool, "bad"), read(&s.repeat, f.GetInt, "repeat"), read(&s.count, f.GetInt, "count"), read(&s.parallel, f.GetInt, "parallel"),
		read(&s.json, f.GetBool, "json"))
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading the flags: %w", err)
	case s.repeat < 1 || s.count < 1 || s.parallel < 1:
		return nil, errors.New("--repeat, --count and --parallel begin at 1")
	case s.id != "" && s.count > 1:
		return nil, errors.New("--id is for one event and --count for different ones; --repeat sends one again")
	case s.bad && r.Name == "none":
		return nil, errors.New("--bad: there is no signature to spoil")
	}
	s.kind = cmp.Or(s.kind, r.Kind())
	if s.url, err = target(cmd, args, r.Name); err != nil {
		return nil, err
	}
	if s.payload, s.sampled, err = payload(cmd); err != nil {
		return nil, fmt.Errorf("reading the payload: %w", err)
	}
	return s, s.keys(cmd)
}

// target is the URL given either way, or the usual one.
func target(cmd *cobra.Command, args []string, name string) (*url.URL, error) {
	text, err := cmd.Flags().GetString("url")
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading the flags: %w", err)
	case len(args) > 1 && text != "":
		return nil, errors.New("the URL is given twice")
	case len(args) > 1:
		text = args[1]
	case text == "":
		text = "http://localhost:8080/" + name
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("%q is no URL such as http://localhost:8080/%s", text, name)
	}
	return u, nil
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

// payload is what the operator gave, byte for byte; sampled tells that it was nothing.
func payload(cmd *cobra.Command) (text string, sampled bool, err error) {
	f := cmd.Flags()
	data, file := f.Lookup("data"), f.Lookup("file")
	switch {
	case data.Changed && file.Changed:
		return "", false, errors.New("both --data and --file are given")
	case data.Changed:
		return data.Value.String(), false, nil
	case !file.Changed:
		return "", true, nil
	case file.Value.String() == "-":
		b, err := io.ReadAll(cmd.InOrStdin())
		return string(b), false, err
	default:
		b, err := os.ReadFile(file.Value.String())
		return string(b), false, err
	}
}

// keys sets up the signer.
func (s *sending) keys(cmd *cobra.Command) error {
	params, err := options(cmd, s.record)
	if err != nil {
		return err
	}
	secret, err := s.secret(cmd)
	if err != nil {
		return err
	}
	o := verify.Options{Params: params}
	if secret != "" {
		o.Secrets = []verify.Secret{verify.NewSecret(secret)}
	}
	if s.verifier, err = s.record.Compile(o); err != nil {
		return fmt.Errorf("preparing to sign: %w", err)
	}
	return nil
}

// secret is what the operator configures: the secret, or the public half of a
// pair of keys, where only the provider has the other one.
func (s *sending) secret(cmd *cobra.Command) (string, error) {
	f := cmd.Flags()
	secret, key := f.Lookup("secret"), f.Lookup("key")
	kind, asymmetric := s.record.KeyKind()
	switch {
	case s.record.Name == "none":
		return "", nil
	case key.Changed && kind == "":
		return "", fmt.Errorf("%s does not sign with a pair of keys; use --secret", s.record.Name)
	case asymmetric && secret.Changed:
		return "", fmt.Errorf("%s signs with a private key; leave --secret out, or use --key", s.record.Name)
	case asymmetric || key.Changed:
		return s.makeKey(cmd)
	case secret.Changed && secret.Value.String() == "":
		return "", fmt.Errorf("--secret is empty, and %s signs with a secret: give --secret, or set %s", s.record.Name, secretVariable)
	case secret.Changed:
		return secret.Value.String(), nil
	}
	text := os.Getenv(secretVariable)
	if text == "" {
		return "", fmt.Errorf("%s signs with a secret: give --secret, or set %s", s.record.Name, secretVariable)
	}
	return text, nil
}

// makeKey makes or takes a pair of keys, and gives the public half.
func (s *sending) makeKey(cmd *cobra.Command) (string, error) {
	text, err := cmd.Flags().GetString("key")
	switch {
	case err != nil:
	case text == "":
		s.private, err = s.record.NewKey(rand.Reader)
	default:
		s.private, err = readKey(text)
	}
	if err != nil {
		return "", fmt.Errorf("making a key: %w", err)
	}
	again, err := writeKey(s.private)
	if err != nil {
		return "", err
	}
	public, err := s.record.PublicKey(s.private.Public())
	if err != nil {
		return "", fmt.Errorf("making a key: %w", err)
	}
	_, err = fmt.Fprintf(cmd.ErrOrStderr(), "public key for the configuration: %s\nthe same pair again: --key %s\n", public, again)
	return public, err
}

// readKey reads a private key: of Ed25519 the 64 hex digits of its seed, else
// the base64 of its PKCS #8 form.
func readKey(text string) (crypto.Signer, error) {
	if seed, err := hex.DecodeString(text); err == nil && len(seed) == ed25519.SeedSize {
		return ed25519.NewKeyFromSeed(seed), nil
	}
	der, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, errors.New("--key takes 64 hex digits, or base64 of a private key's PKCS #8 form")
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("--key: %w", err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, errors.New("--key: this kind of key does not sign")
	}
	return signer, nil
}

func writeKey(private crypto.Signer) (string, error) {
	if k, ok := private.(ed25519.PrivateKey); ok {
		return hex.EncodeToString(k.Seed()), nil
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return "", fmt.Errorf("writing the key: %w", err)
	}
	return base64.StdEncoding.EncodeToString(der), nil
}

// options are those of the flags. A generic scheme's may have several values; a
// provider's own is one text.
func options(cmd *cobra.Command, r *verify.Record) (map[string][]string, error) {
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
		values := strings.Fields(value)
		if slices.ContainsFunc(r.Options, func(o verify.Option) bool { return o.Name == name }) {
			values = []string{value}
		}
		params[name] = append(params[name], values...)
	}
	return params, nil
}

func (s *sending) run() error {
	defer s.client.CloseIdleConnections()
	accepted, refused, err := s.sendAll()
	switch {
	case err != nil:
		return err
	case s.bad && accepted > 0:
		return fmt.Errorf("%d of %d were accepted in spite of a wrong signature", accepted, accepted+refused)
	case !s.bad && refused > 0:
		return fmt.Errorf("%d of %d were refused; the log of Caddy says why", refused, accepted+refused)
	}
	return nil
}

// sendAll sends all events, so many at once as wanted, and counts the answers.
// After an error it begins no other.
func (s *sending) sendAll() (accepted, refused int, err error) {
	var mu sync.Mutex
	var all errgroup.Group
	all.SetLimit(s.parallel)
	for range s.count {
		id := cmp.Or(s.id, uuid.NewString())
		for range s.repeat {
			mu.Lock()
			failed := err != nil
			mu.Unlock()
			if failed {
				break
			}
			all.Go(func() error {
				ok, one := s.send(id)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case one != nil:
					err = one
				case ok:
					accepted++
				default:
					refused++
				}
				return one
			})
		}
	}
	_ = all.Wait() // the error is known
	return accepted, refused, err
}

// send signs and posts one webhook, and prints the answer.
func (s *sending) send(id string) (bool, error) {
	r, err := s.sign(id)
	if err != nil {
		return false, fmt.Errorf("signing: %w", err)
	}
	return s.post(r)
}

// sign makes the request as the provider would.
func (s *sending) sign(id string) (*verify.Request, error) {
	at := s.now().Add(-s.age)
	r := &verify.Request{Method: s.verifier.Methods()[0], URL: s.url.String(), Header: http.Header{}, Query: s.url.Query()}
	r.Body = []byte(s.payload)
	if s.sampled {
		r.Body = s.record.Payload(id, s.kind, at)
	}
	r.Header.Set("Content-Type", verify.ContentType(r.Body))
	s.record.Label(r, id, s.kind)
	before := maps.Clone(r.Query)
	var err error
	if s.private != nil {
		err = s.verifier.SignKey(r, s.private, at, id)
	} else {
		err = s.verifier.Sign(r, at, id)
	}
	if err == nil && s.bad {
		err = s.spoil(r, before)
	}
	return r, err
}

// spoil makes every proof wrong, and leaves it well-formed: the headers that
// prove the sender, what signing has put into the body, and parameters that it
// has added to the query.
func (s *sending) spoil(r *verify.Request, before url.Values) error {
	names := s.verifier.Proof()
	slices.Sort(names)
	for _, name := range slices.Compact(names) { // spoiled twice, one could be right again
		if v := r.Header.Get(name); v != "" {
			r.Header.Set(name, wrong(v))
		}
	}
	for name := range r.Query {
		if v := r.Query.Get(name); v != before.Get(name) {
			r.Query.Set(name, wrong(v))
		}
	}
	return s.verifier.Spoil(r, wrong)
}

// wrong changes one character of a proof, near the end, where no prefix and no
// timestamp stands, but before the last ones, whose bits may not count in
// base64. A digit is good in hex and base64 too.
func wrong(proof string) string {
	b := []byte(proof)
	i := max(len(b)-8, 0)
	if b[i] == '0' {
		b[i] = '1'
	} else {
		b[i] = '0'
	}
	return string(b)
}

// address is the URL with the query that signing has left. What was written by
// the operator stays as it was written.
func address(r *verify.Request) (string, error) {
	u, err := url.Parse(r.URL)
	if err != nil {
		return "", fmt.Errorf("reading the URL: %w", err)
	}
	was, added := u.Query(), url.Values{}
	for name, values := range r.Query {
		switch {
		case !was.Has(name):
			added[name] = values
		case was.Get(name) != r.Query.Get(name):
			u.RawQuery = r.Query.Encode()
			return u.String(), nil
		}
	}
	if len(added) > 0 {
		u.RawQuery = strings.TrimPrefix(u.RawQuery+"&"+added.Encode(), "&")
	}
	return u.String(), nil
}

func (s *sending) post(r *verify.Request) (bool, error) {
	to, err := address(r)
	if err != nil {
		return false, err
	}
	req, err := http.NewRequest(r.Method, to, bytes.NewReader(r.Body))
	if err != nil {
		return false, fmt.Errorf("making the request: %w", err)
	}
	req.Header = r.Header
	began := time.Now()
	resp, err := s.client.Do(req)
	if err != nil {
		return false, fmt.Errorf("sending: %w", err)
	}
	defer resp.Body.Close() //nolint:errcheck // only its status matters
	return resp.StatusCode/100 == 2, s.print(resp, time.Since(began))
}

// print writes one answer on one line.
func (s *sending) print(resp *http.Response, took time.Duration) error {
	s.printing.Lock()
	defer s.printing.Unlock()
	did, id := resp.Header.Get("Webhook-Status"), resp.Header.Get("Webhook-Event-Id")
	if s.json {
		err := json.NewEncoder(s.out).Encode(map[string]any{"status": resp.StatusCode, "webhook_status": did, "event": id, "seconds": took.Seconds()})
		if err != nil {
			return fmt.Errorf("printing: %w", err)
		}
		return nil
	}
	line := fmt.Sprintf("%d %s", resp.StatusCode, cmp.Or(printable(did), "(not from webhooks)"))
	if id != "" {
		line += " " + printable(id)
	}
	if _, err := fmt.Fprintf(s.out, "%s %s\n", line, took.Round(100*time.Microsecond)); err != nil {
		return fmt.Errorf("printing: %w", err)
	}
	return nil
}
