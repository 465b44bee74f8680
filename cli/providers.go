package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/caddy-webhooks/caddy-webhooks/verify"
	"github.com/caddy-webhooks/caddy-webhooks/verify/providers"
	"github.com/caddy-webhooks/caddy-webhooks/verify/words"
)

func providersCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "providers [<name or word>]",
		Short: "Lists the providers that `from` knows, or says all about one",
		Long: `Without a name it lists all providers. ASKS counts the handshakes that are
answered for the provider; "secret" means that it hands its secret over. ANEW
says whether the signature of a late delivery can be made anew: "-" means that
it need not be, since it does not grow old.

With the name of a provider it says all that is known of it: how it is
configured, what is verified, what names an event, what it does when it is
refused. With another word it lists those that have the word in their name.`,
		Example: "  caddy webhooks providers\n" +
			"  caddy webhooks providers stripe\n" +
			"  caddy webhooks providers pay\n" +
			"  caddy webhooks providers --scheme ed25519\n" +
			"  caddy webhooks providers stripe --json",
		Args: cobra.MaximumNArgs(1),
	}
	cmd.Flags().String("scheme", "", "Only those with this scheme: hmac, token, jwt, rsa …")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		cmd.SilenceUsage = true
		asJSON, err := cmd.Flags().GetBool("json")
		if err != nil {
			return fmt.Errorf("reading the flags: %w", err)
		}
		scheme, err := cmd.Flags().GetString("scheme")
		if err != nil {
			return fmt.Errorf("reading the flags: %w", err)
		}
		word := strings.Join(args, "")
		if r, ok := providers.Get(word); ok && scheme == "" {
			return showProvider(cmd.OutOrStdout(), r, asJSON)
		}
		found, err := matching(word, scheme)
		if err != nil {
			return err
		}
		return listProviders(cmd.OutOrStdout(), columnsOf(cmd.OutOrStdout()), found, asJSON)
	}
	return cmd
}

// matching finds the providers that have a word in one of their names, and a scheme.
func matching(word, scheme string) ([]*verify.Record, error) {
	named := slices.DeleteFunc(providers.All(), func(r *verify.Record) bool {
		names := append([]string{r.Name, r.Title}, r.Aliases...)
		return !strings.Contains(strings.ToLower(strings.Join(names, "\n")), strings.ToLower(word))
	})
	if len(named) == 0 {
		return nil, unknownProvider(word)
	}
	found := slices.DeleteFunc(named, func(r *verify.Record) bool {
		return scheme != "" && !slices.Contains(schemes(r), strings.ToLower(scheme))
	})
	switch {
	case len(found) > 0:
		return found, nil
	case word != "":
		return nil, fmt.Errorf("no provider with %q in its name has the scheme %q", word, scheme)
	}
	return nil, fmt.Errorf("no provider has the scheme %q; there are %s", scheme, strings.Join(allSchemes(), ", "))
}

// schemes are the kinds of a record's schemes, each once.
func schemes(r *verify.Record) []string {
	kinds := []string{}
	for i := range r.Schemes {
		if kind := r.Schemes[i].Kind; !slices.Contains(kinds, kind) {
			kinds = append(kinds, kind)
		}
	}
	return kinds
}

func allSchemes() []string {
	var kinds []string
	for _, r := range providers.All() {
		kinds = append(kinds, schemes(r)...)
	}
	slices.Sort(kinds)
	return slices.Compact(kinds)
}

// summary is one provider in the list.
type summary struct {
	Name       string   `json:"name"`
	Title      string   `json:"title"`
	Aliases    []string `json:"aliases"`
	Generic    bool     `json:"generic"`
	Schemes    []string `json:"schemes"`
	ID         string   `json:"event_id"`
	Handshakes []string `json:"handshakes"`
	// Renewal is yes, no, `not needed`, or what it depends on.
	Renewal string `json:"signed_anew"`
	Docs    string `json:"docs"`
}

func listProviders(out io.Writer, width int, found []*verify.Record, asJSON bool) error {
	list, rows := []summary{}, [][]string{}
	for _, r := range found {
		v := summary{
			Name: r.Name, Title: r.Title, Aliases: append([]string{}, r.Aliases...), Generic: r.Generic, Schemes: schemes(r),
			ID: words.Naming(r), Handshakes: append([]string{}, words.Questions(r)...), Renewal: words.Renewal(r), Docs: r.Docs,
		}
		list = append(list, v)
		rows = append(rows, []string{
			v.Name, strings.Join(v.Schemes, ","), asks(r), anew(v.Renewal), r.Title, strings.Join(v.Aliases, ","),
		})
	}
	if asJSON {
		return encode(out, map[string]any{"providers": list})
	}
	t := table{out: out, width: width, flex: 4, columns: []column{
		{"NAME", 4, 21}, {"SCHEME", 6, 12}, {"ASKS", 4, 6}, {"ANEW", 4, 6}, {"PROVIDER", 8, 8}, {"ALSO", 4, 13},
	}}
	return t.print(rows)
}

// asks is how many handshakes there are, in a few characters.
func asks(r *verify.Record) string {
	switch {
	case r.Learn != nil:
		return "secret"
	case len(r.Handshakes) == 0:
		return "-"
	}
	return fmt.Sprint(len(r.Handshakes))
}

// anew shortens [words.Renewal].
func anew(renewal string) string {
	switch renewal {
	case "yes", "no":
		return renewal
	case "not needed":
		return "-"
	}
	return "partly"
}

func showProvider(out io.Writer, r *verify.Record, asJSON bool) error {
	if asJSON {
		return encode(out, map[string]any{"provider": words.Fields(r)})
	}
	var b strings.Builder
	b.WriteString(r.Title + "\n")
	if r.Docs != "" {
		b.WriteString(r.Docs + "\n")
	}
	for _, s := range words.Page(r) {
		b.WriteString("\n" + strings.ToUpper(s.Heading) + "\n")
		for i, block := range s.Blocks {
			if i > 0 {
				b.WriteString("\n")
			}
			writeBlock(&b, block)
		}
	}
	if _, err := io.WriteString(out, b.String()); err != nil {
		return fmt.Errorf("printing: %w", err)
	}
	return nil
}

func writeBlock(b *strings.Builder, block words.Block) {
	switch {
	case block.Code != "":
		for line := range strings.Lines(block.Code) {
			b.WriteString("    " + strings.ReplaceAll(line, "\t", "    "))
		}
	case len(block.Items) > 0:
		for _, item := range block.Items {
			wrap(b, "  - ", "    ", item)
		}
	default:
		wrap(b, "  ", "  ", block.Text)
	}
}

// wrap writes a text in lines that fit the terminal. A word that is longer than
// a line stands on one of its own.
func wrap(b *strings.Builder, first, next, text string) {
	line := first
	used := false
	for word := range strings.FieldsSeq(text) {
		if used && columns(line)+1+columns(word) > pageWidth {
			b.WriteString(line + "\n")
			line, used = next, false
		}
		if used {
			line += " "
		}
		line += word
		used = true
	}
	b.WriteString(line + "\n")
}

func encode(out io.Writer, v any) error {
	if err := json.NewEncoder(out).Encode(v); err != nil {
		return fmt.Errorf("printing: %w", err)
	}
	return nil
}
