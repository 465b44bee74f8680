package cli

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/gateway"
	"github.com/caddy-webhooks/caddy-webhooks/verify/providers"
)

// root is `caddy` with the command of this package, as Caddy registers it.
func root() *cobra.Command {
	caddy := &cobra.Command{Use: "caddy"}
	cmd := &cobra.Command{Use: "webhooks"}
	build(cmd)
	caddy.AddCommand(cmd)
	return caddy
}

// pressed is what a shell gets when Tab is pressed behind the words.
func pressed(t *testing.T, line ...string) (offered []string, directive string) {
	t.Helper()
	var out bytes.Buffer
	cmd := root()
	cmd.SetOut(&out)
	cmd.SetErr(io.Discard)
	cmd.SetArgs(append([]string{"__complete", "webhooks"}, line...))
	if err := cmd.Execute(); err != nil {
		t.Fatalf("%v: %v", line, err)
	}
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	return lines[:len(lines)-1], lines[len(lines)-1]
}

// The bits of cobra's directives, as the shell gets them.
const (
	noFiles = ":36" // and the order is kept
	anyFile = ":0"
)

// gatewayOf answers as a gateway with some sources, events and jobs, and writes
// down what it was asked for.
func gatewayOf(t *testing.T) (address string, asked *[]string) {
	t.Helper()
	asked = &[]string{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*asked = append(*asked, r.URL.RequestURI())
		w.Header().Set("Content-Type", jsonType)
		_, _ = io.WriteString(w, map[string]string{
			"/webhooks/sources": `{"sources":[
				{"name":"shop","provider":"stripe","destinations":[{"name":"orders","state":"up","pending":3},{"name":"old","state":"orphaned"}]},
				{"name":"github","provider":"github","destinations":[{"name":"default","state":"paused"}]}]}`,
			"/webhooks/events": `{"events":[
				{"event":"01a208c1-2273-78b6-b2b3-3f9bb56ab108","source":"shop","type":"invoice.paid","received":"2026-01-02T11:59:48Z","deliveries":[{"state":"dead"}]},
				{"event":"01a208c1-2273-78b6-b2b3-3f9bb56ab109","source":"shop","type":"$(touch /tmp/x)","received":"2026-01-02T11:59:48Z","deliveries":[{"state":"dead"}]},
				{"event":"$(reboot)","source":"shop","type":"a b","received":"2026-01-02T11:59:48Z","deliveries":[]}]}`,
			"/webhooks/jobs": `{"jobs":[{"job":"5n3kq2t7xw4vbc6z","action":"replay","state":"running","began":"2026-01-02T11:59:48Z"},
				{"job":"6n3kq2t7xw4vbc6z","action":"move","state":"done","began":"2026-01-02T11:59:48Z"}]}`,
		}[r.URL.Path])
	}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String(), asked
}

// values are the offered words without what is said of them.
func values(offered []string) []string {
	list := []string{}
	for _, word := range offered {
		v, _, _ := strings.Cut(word, "\t")
		list = append(list, v)
	}
	return list
}

func TestTheShellOffersWhatTheGatewayHas(t *testing.T) {
	t.Parallel()
	const first, second = "01a208c1-2273-78b6-b2b3-3f9bb56ab108", "01a208c1-2273-78b6-b2b3-3f9bb56ab109"
	for line, want := range map[string]string{
		"pause ":                              "shop/orders",
		"pause x":                             "",
		"pause shop/orders ":                  "",
		"resume ":                             "github/default",
		"move --to ":                          "shop/orders github/default",
		"replay --to g":                       "github/default",
		"events --source ":                    "shop github",
		"events --source s":                   "shop",
		"events --destination ":               "default old orders",
		"events --source shop --destination ": "old orders",
		"events --state d":                    "delivered dead discarded",
		"tail --state=p":                      "--state=pending",
		"events --type ":                      "invoice.paid",
		"events --since ":                     "-15m -1h -1d -7d",
		"events --limit ":                     "",
		"events ":                             "",
		"listen ":                             "shop github",
		"listen shop ":                        "",
		"learn gi":                            "github",
		"refused --source ":                   "shop github",
		"show ":                               first + " " + second,
		"discard " + first[:30]:               first + " " + second,
		"replay " + first + " ":               "",
		"jobs ":                               "5n3kq2t7xw4vbc6z 6n3kq2t7xw4vbc6z",
		"jobs --cancel ":                      "5n3kq2t7xw4vbc6z",
		"health --ignore d":                   "disk_nearly_full",
		"send stri":                           "stripe",
		"verify shopi":                        "shopify",
		"providers --scheme ed":               "ed25519",
	} {
		address, _ := gatewayOf(t)
		words := append([]string{"--address", address}, strings.Split(line, " ")...)
		offered, directive := pressed(t, words...)
		got := strings.Join(values(offered), " ")
		if got != strings.ReplaceAll(want, "--state=", "") || directive != noFiles {
			t.Errorf("%q: %q with %s, want %q", line, got, directive, want)
		}
	}
}

func TestWhatIsOfferedIsExplained(t *testing.T) {
	t.Parallel()
	address, asked := gatewayOf(t)
	offered, _ := pressed(t, "--address", address, "pause", "")
	if want := "shop/orders\tup, 3 pending"; !slices.Contains(offered, want) {
		t.Errorf("%q lack %q", offered, want)
	}
	offered, _ = pressed(t, "--address", address, "replay", "--source", "shop", "--state", "dead", "")
	if len(offered) == 0 || !strings.HasSuffix(offered[0], " shop dead invoice.paid") {
		t.Errorf("%q", offered)
	}
	if want := "/webhooks/events?limit=50&source=shop&state=dead"; !slices.Contains(*asked, want) {
		t.Errorf("asked %q, want %s", *asked, want)
	}
}

// A type is a stranger's text: shells have expanded what they were offered.
func TestNothingIsOfferedThatAShellCouldExpand(t *testing.T) {
	t.Parallel()
	address, _ := gatewayOf(t)
	for _, line := range [][]string{{"show", ""}, {"events", "--type", ""}} {
		offered, _ := pressed(t, append([]string{"--address", address}, line...)...)
		if len(offered) == 0 {
			t.Errorf("%q: nothing is offered", line)
		}
		if all := strings.Join(offered, "\n"); strings.ContainsAny(all, "$()`;&|<>\"'\\*?~!{}[]#") {
			t.Errorf("%q: %s", line, all)
		}
	}
}

func TestWithoutAGatewayTheShellIsLeftInPeace(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	for _, line := range []string{"show ", "pause ", "events --source ", "events --type ", "jobs ", "move --to "} {
		words := append([]string{"--address", server.Listener.Addr().String()}, strings.Split(line, " ")...)
		if offered, directive := pressed(t, words...); len(offered) > 0 || directive != noFiles {
			t.Errorf("%q: %q with %s", line, offered, directive)
		}
	}
}

func TestFilesAreOfferedWhereFilesAreMeant(t *testing.T) {
	t.Parallel()
	for _, line := range []string{"import ", "verify stripe ", "export --output ", "send stripe --file ", "sources --config "} {
		if offered, directive := pressed(t, strings.Split(line, " ")...); directive != anyFile {
			t.Errorf("%q: %q with %s", line, offered, directive)
		}
	}
}

func TestTheSetsThatAreOfferedAreWhole(t *testing.T) {
	t.Parallel()
	var states []string
	for _, s := range event.States() {
		states = append(states, s.String())
	}
	for line, want := range map[string][]string{
		"events --state ":  states,
		"health --ignore ": gateway.HealthReasons(),
		"send ":            names(),
	} {
		offered, _ := pressed(t, strings.Split(line, " ")...)
		if got := values(offered); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}

func names() (list []string) {
	for _, r := range providers.All() {
		list = append(list, r.Name)
	}
	return list
}

// Every word in the tables belongs to a command or a flag that there is.
func TestTheTablesOfCompletionNameWhatThereIs(t *testing.T) {
	t.Parallel()
	commands, flags := map[string]bool{}, map[string]bool{}
	note := func(f *pflag.Flag) { flags[f.Name] = true }
	webhooks := root().Commands()[0]
	webhooks.PersistentFlags().VisitAll(note)
	for _, c := range webhooks.Commands() {
		commands[c.Name()] = true
		c.Flags().VisitAll(note)
	}
	for name := range completeArgs {
		if !commands[name] {
			t.Errorf("there is no command %s", name)
		}
	}
	for name := range completeFlags {
		if !flags[name] {
			t.Errorf("there is no flag --%s", name)
		}
	}
}
