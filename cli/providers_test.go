package cli

import (
	"encoding/json"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/caddy-webhooks/caddy-webhooks/verify"
	"github.com/caddy-webhooks/caddy-webhooks/verify/providers"
	"github.com/caddy-webhooks/caddy-webhooks/verify/verifytest"
	"github.com/caddy-webhooks/caddy-webhooks/verify/words"
)

func TestProvidersAreListed(t *testing.T) {
	t.Parallel()
	out, _, err := webhooks(t, "providers")
	if err != nil {
		t.Fatal(err)
	}
	var inTerminal strings.Builder
	if err := listProviders(&inTerminal, 80, providers.All(), false); err != nil {
		t.Fatal(err)
	}
	narrow(t, inTerminal.String())
	text, _, err := webhooks(t, "providers", "--json")
	var v struct {
		Providers []struct {
			Name, Title, Docs            string
			Generic                      bool
			Schemes, Aliases, Handshakes []string
			EventID                      string `json:"event_id"`
			SignedAnew                   string `json:"signed_anew"`
		}
	}
	if err != nil || json.Unmarshal([]byte(text), &v) != nil || len(v.Providers) != len(providers.All()) {
		t.Fatalf("%s, %v", text, err)
	}
	asking := 0
	for _, p := range v.Providers {
		if !strings.Contains(out, "\n"+p.Name+" ") || len(p.Schemes) == 0 || p.Aliases == nil || p.Handshakes == nil {
			t.Errorf("%+v", p)
		}
		if p.EventID == "" || p.SignedAnew == "" || p.Generic == (p.Docs != "") {
			t.Errorf("%+v", p)
		}
		if len(p.Handshakes) > 0 {
			asking++
		}
	}
	if asking == 0 {
		t.Error("nobody has a handshake")
	}
}

// line finds the row of a provider.
func line(t *testing.T, table, name string) []string {
	t.Helper()
	for row := range strings.Lines(table) {
		if cells := strings.Fields(row); len(cells) > 0 && cells[0] == name {
			return cells
		}
	}
	t.Fatalf("no %s in\n%s", name, table)
	return nil
}

func TestTheTableTellsHandshakesAndRenewal(t *testing.T) {
	t.Parallel()
	out, _, err := webhooks(t, "providers")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"slack": "hmac 2 yes", "stripe": "hmac - yes", "asana": "hmac secret -", "aws-sns": "rsa 1 no", "telegram": "token - -",
		"standard-webhooks": "hmac,ed25519 - partly",
	} {
		if got := strings.Join(line(t, out, name)[1:4], " "); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

func TestTheListIsNarrowedByWordAndByScheme(t *testing.T) {
	t.Parallel()
	for args, c := range map[string]struct{ in, out string }{
		"pay":                       {"paypal", "stripe"},
		"PAY":                       {"paypal", "stripe"},
		"facebo":                    {"meta", "stripe"}, // an alias
		"amazon":                    {"aws-sns", "stripe"},
		"--scheme ed25519":          {"discord", "stripe"},
		"--scheme ED25519":          {"discord", "stripe"},
		"stripe --scheme hmac":      {"stripe", "slack"},
		"pay --scheme rsa":          {"paypal", "paystack"},
		"stripe --scheme ed25519":   {"", "no provider with \"stripe\" in its name has the scheme"},
		"--scheme md5":              {"", "there are basic, "},
		"strype":                    {"", "did you mean stripe?"},
		"zzzzzzzzzzzzzzzzzzzzzz":    {"", "`caddy webhooks providers` lists them"},
		"one two":                   {"", "arg"},
		"stripe --no-such-flag yes": {"", "no-such-flag"},
	} {
		out, _, err := webhooks(t, append([]string{"providers"}, strings.Fields(args)...)...)
		switch {
		case c.in == "" && (err == nil || !strings.Contains(err.Error(), c.out)):
			t.Errorf("%s: %q, %v, want %q", args, out, err, c.out)
		case c.in != "" && err != nil:
			t.Errorf("%s: %v", args, err)
		case c.in != "":
			line(t, out, c.in)
			if c.out != "" && strings.Contains(out, "\n"+c.out+" ") {
				t.Errorf("%s: %s is there too", args, c.out)
			}
		}
	}
}

// unbroken is a line that one long word, or code, makes longer than the terminal.
var unbroken = regexp.MustCompile(`^ *(- )?\S+$|^    |^https://`)

func TestTheWholePageOfAProviderFitsTheTerminal(t *testing.T) {
	t.Parallel()
	for _, r := range providers.All() {
		out, _, err := webhooks(t, "providers", r.Name)
		if err != nil || !strings.HasPrefix(out, r.Title+"\n") {
			t.Fatalf("%s: %v, %q", r.Name, err, out)
		}
		for row := range strings.Lines(out) {
			if row = strings.TrimSuffix(row, "\n"); utf8.RuneCountInString(row) > pageWidth && !unbroken.MatchString(row) {
				t.Errorf("%s: %d columns: %s", r.Name, utf8.RuneCountInString(row), row)
			}
		}
		said := strings.Join(strings.Fields(out), " ")
		for _, s := range words.Page(r) {
			if !strings.Contains(out, "\n\n"+strings.ToUpper(s.Heading)+"\n") {
				t.Errorf("%s: no %s", r.Name, s.Heading)
			}
			for _, b := range s.Blocks {
				for _, text := range append([]string{b.Text, b.Code}, b.Items...) {
					if !strings.Contains(said, strings.Join(strings.Fields(text), " ")) {
						t.Errorf("%s: no %q in\n%s", r.Name, text, out)
					}
				}
			}
		}
	}
}

func TestAnAliasShowsItsProvider(t *testing.T) {
	t.Parallel()
	if out, _, err := webhooks(t, "providers", "svix"); err != nil || !strings.HasPrefix(out, "Standard Webhooks\n") {
		t.Errorf("%v, %s", err, out)
	}
}

func TestOneProviderAsJSONIsTheWholeRecord(t *testing.T) {
	t.Parallel()
	snake := regexp.MustCompile(`^[a-z0-9_]+$`)
	for _, r := range providers.All() {
		out, _, err := webhooks(t, "providers", r.Name, "--json")
		var v struct{ Provider map[string]any }
		if err != nil || json.Unmarshal([]byte(out), &v) != nil {
			t.Fatalf("%s: %v, %s", r.Name, err, out)
		}
		if v.Provider["name"] != r.Name || v.Provider["title"] != r.Title || len(v.Provider["schemes"].([]any)) != len(r.Schemes) {
			t.Errorf("%s: %s", r.Name, out)
		}
		for name := range v.Provider {
			if !snake.MatchString(name) {
				t.Errorf("%s: the name %s", r.Name, name)
			}
		}
	}
	out, _, err := webhooks(t, "providers", "stripe", "--json")
	var v struct {
		Provider struct {
			Schemes []struct {
				Kind, Tolerance string
				TimeKey         string `json:"time_key"`
			}
			ID []verify.Pick
		}
	}
	stripe, _ := providers.Get("stripe")
	if err != nil || json.Unmarshal([]byte(out), &v) != nil || v.Provider.Schemes[0].Tolerance != "5m0s" ||
		v.Provider.Schemes[0].TimeKey != "t" || !reflect.DeepEqual(v.Provider.ID, stripe.ID) {
		t.Errorf("%+v, %v", v, err)
	}
}

// What a page says to try is tried: the line is run, against somebody who
// verifies as the page's example does.
func TestTheLineToTryAProviderOutWorks(t *testing.T) {
	t.Parallel()
	for _, r := range providers.All() {
		t.Run(r.Name, func(t *testing.T) {
			t.Parallel()
			params := map[string][]string{}
			_, pair := r.KeyKind()
			gateway := receive(t, "none", verify.Options{})
			var args []string
			for _, word := range words.Try(r)[1:] {
				name, value, isOption := strings.Cut(word, "=")
				switch {
				case strings.HasPrefix(word, "https://hooks.example.com/"):
					word = gateway.URL + "/" + r.Name
				case isOption && strings.HasPrefix(value, `"$`):
					params[name] = verifytest.Params(r)[name]
					word = name + "=" + params[name][0]
				case isOption:
					params[name] = []string{value}
				case strings.HasPrefix(word, `"$`):
					word = verifytest.Secret(r)
				}
				args = append(args, word)
			}
			if !pair && r.Name != "none" {
				gateway.trust(t, r.Name, verify.Options{Secrets: []verify.Secret{verify.NewSecret(verifytest.Secret(r))}, Params: params})
			}
			out, notes, err := webhooks(t, args...)
			if err != nil || !strings.HasPrefix(out, "200 accepted") {
				t.Fatalf("%v: %s, %v", args, out, err)
			}
			if pair != strings.Contains(notes, "public key for the configuration: ") {
				t.Errorf("a pair of keys is made: %v; it says %q", pair, notes)
			}
		})
	}
}
