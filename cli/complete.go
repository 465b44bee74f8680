package cli

import (
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/caddy-webhooks/caddy-webhooks/verify/providers"
)

// choices are what a shell offers when Tab is pressed: each a value, and behind a
// tab what it is. Of what cannot be known, because no gateway answers, there are
// none: a shell has no place for an error.
type choices func(cmd *cobra.Command, args []string) []string

// completeArgs has what each command takes, by its name.
var completeArgs = map[string]choices{
	"show": recent, "replay": onlyFirst(recent), "discard": onlyFirst(recent),
	"pause": onlyFirst(destinationsIn("up", "down")), "resume": onlyFirst(destinationsIn("paused")),
	"jobs": onlyFirst(jobIDs), "learn": onlyFirst(sourceNames), "listen": onlyFirst(sourceNames),
	"send": onlyFirst(providerNames), "providers": onlyFirst(providerNames),
	"verify": thenFiles(providerNames), "import": files,
}

// completeFlags has what the flags take, by their names.
var completeFlags = map[string]choices{
	"source": sourceNames, "destination": destinationNames, "to": destinationsIn("up", "down", "paused"),
	"state": always("pending", "delivered", "dead", "discarded", "filtered"), "type": types, "id": none,
	"since": always("-15m", "-1h", "-1d", "-7d"), "until": always("-15m", "-1h", "-1d", "-7d"),
	"ignore":  always("store_failing", "disk_nearly_full", "backlog_full", "worker_dead", "oldest_pending"),
	"scheme":  func(*cobra.Command, []string) []string { return allSchemes() },
	"adapter": adapters, "file": files, "output": files, "config": files,
}

// filesToo among the choices lets the shell offer files.
const filesToo = "\x00"

// complete gives every command below cmd what a shell asks for.
func complete(cmd *cobra.Command) {
	offer(cmd)
	for _, c := range cmd.Commands() {
		if list, ok := completeArgs[c.Name()]; ok {
			c.ValidArgsFunction = offered(list)
		} else {
			c.ValidArgsFunction = offered(none)
		}
		offer(c)
	}
}

// offer does it for a command's own flags.
func offer(cmd *cobra.Command) {
	each := func(f *pflag.Flag) {
		list, ok := completeFlags[f.Name]
		if !ok {
			list = none
		}
		_ = cmd.RegisterFlagCompletionFunc(f.Name, offered(list)) // fails for a flag that is not there, or is there twice
	}
	cmd.LocalNonPersistentFlags().VisitAll(each)
	cmd.PersistentFlags().VisitAll(each)
}

// harmless is what may come into a command line. Types and names of jobs' filters
// come from outside, and some shells expand what they are offered.
var harmless = regexp.MustCompile(`^[\pL\pN_.:/+@=-][\pL\pN_.:/+@=, -]*$`)

// offered makes choices fit for cobra.
func offered(list choices) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		directive := cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
		var fit []string
		for _, word := range list(cmd, args) {
			value, about, _ := strings.Cut(word, "\t")
			switch {
			case word == filesToo:
				directive = cobra.ShellCompDirectiveDefault
			case !strings.HasPrefix(value, begun) || !harmless.MatchString(value) || strings.Contains(value, " "):
			case harmless.MatchString(about):
				fit = append(fit, value+"\t"+about)
			default:
				fit = append(fit, value)
			}
		}
		return fit, directive
	}
}

func none(*cobra.Command, []string) []string { return nil }

func files(*cobra.Command, []string) []string { return []string{filesToo} }

func always(list ...string) choices {
	return func(*cobra.Command, []string) []string { return list }
}

// onlyFirst offers nothing for the second argument.
func onlyFirst(list choices) choices {
	return func(cmd *cobra.Command, args []string) []string {
		if len(args) > 0 {
			return nil
		}
		return list(cmd, args)
	}
}

// thenFiles offers files for what comes after the first argument.
func thenFiles(list choices) choices {
	return func(cmd *cobra.Command, args []string) []string {
		if len(args) > 0 {
			return files(cmd, args)
		}
		return list(cmd, args)
	}
}

// askQuietly asks the running gateway; without an answer v stays as it is.
func askQuietly(cmd *cobra.Command, path string, q url.Values, v any) *client {
	c, err := newClient(cmd.Context(), cmd)
	if err != nil {
		return &client{now: time.Now}
	}
	defer c.api.close()
	c.json = false
	_, _ = c.request(ask{method: http.MethodGet, uri: withQuery(path, q), silence: atTab}, v) // see choices
	return c
}

// atTab is how long a shell may wait for what it offers.
const atTab = 3 * time.Second

func sources(cmd *cobra.Command) []sourceView {
	var v struct{ Sources []sourceView }
	askQuietly(cmd, "/webhooks/sources", nil, &v)
	return v.Sources
}

func sourceNames(cmd *cobra.Command, _ []string) (list []string) {
	for _, s := range sources(cmd) {
		list = append(list, s.Name+"\t"+s.Provider)
	}
	return list
}

// destinationNames are those of --source, or of all sources.
func destinationNames(cmd *cobra.Command, _ []string) []string {
	names := map[string]bool{}
	for _, s := range sources(cmd) {
		if of := value(cmd, "source"); of != "" && of != s.Name {
			continue
		}
		for _, d := range s.Destinations {
			names[d.Name] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// destinationsIn are the destinations that are in one of the states, as
// source/destination.
func destinationsIn(states ...string) choices {
	return func(cmd *cobra.Command, _ []string) (list []string) {
		for _, s := range sources(cmd) {
			for _, d := range s.Destinations {
				if slices.Contains(states, d.State) {
					list = append(list, s.Name+"/"+d.Name+"\t"+d.State+", "+count(d.Pending)+" pending")
				}
			}
		}
		return list
	}
}

// offers is how many events are looked at for what to offer.
const offers = "50"

// latest are the last events, within the filters that the line has so far.
func latest(cmd *cobra.Command) ([]eventView, *client) {
	q := url.Values{"limit": {offers}}
	for _, name := range []string{"source", "destination", "state"} {
		if v := value(cmd, name); v != "" {
			q.Set(name, v)
		}
	}
	var page pageView
	c := askQuietly(cmd, "/webhooks/events", q, &page)
	return page.Events, c
}

// recent are the IDs of the last events.
func recent(cmd *cobra.Command, args []string) (list []string) {
	if len(args) > 0 {
		return nil
	}
	events, c := latest(cmd)
	for _, e := range events {
		list = append(list, e.Event+"\t"+strings.Join([]string{c.ago(&e.Received), e.Source, states(e), e.Type}, " "))
	}
	return list
}

// types are those of the last events.
func types(cmd *cobra.Command, _ []string) []string {
	seen := map[string]bool{}
	events, _ := latest(cmd)
	for _, e := range events {
		seen[e.Type] = true
	}
	return slices.Sorted(maps.Keys(seen))
}

// jobIDs are those of the jobs; with --cancel of those that run.
func jobIDs(cmd *cobra.Command, _ []string) (list []string) {
	var v struct{ Jobs []jobView }
	c := askQuietly(cmd, "/webhooks/jobs", nil, &v)
	for _, j := range v.Jobs {
		if j.State == "running" || !cmd.Flags().Changed("cancel") {
			list = append(list, j.Job+"\t"+strings.Join([]string{j.Action, j.State, c.ago(&j.Began)}, " "))
		}
	}
	return list
}

func providerNames(*cobra.Command, []string) (list []string) {
	for _, r := range providers.All() {
		list = append(list, r.Name+"\t"+r.Title)
	}
	return list
}

// adapters are the names of Caddy's config adapters.
func adapters(*cobra.Command, []string) (list []string) {
	for _, m := range caddy.GetModules("caddy.adapters") {
		list = append(list, m.ID.Name())
	}
	return list
}

// value is what a flag has so far; empty if the command has no such flag.
func value(cmd *cobra.Command, name string) string {
	if f := cmd.Flags().Lookup(name); f != nil {
		return f.Value.String()
	}
	return ""
}
