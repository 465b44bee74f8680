package verify

import (
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// part is one way to write a part of an address; words are empty for the way in
// which it was received.
type part struct{ value, words string }

// addresses tries other public addresses, for what signs them. Few proxies
// change more than two parts, so those with the fewest changes come first.
func (x *inquiry) addresses() iter.Seq[guess] {
	return func(yield func(guess) bool) {
		u, err := url.Parse(x.Request.URL)
		if err != nil || u.Host == "" || !x.v.SignsURL() {
			return
		}
		h := x.Request.Header
		list := combined(schemes(u), hosts(u, h), paths(u, h), queries(u))
		for _, a := range list {
			shown, _, _ := strings.Cut(a.address, "?")
			text := fmt.Sprintf("matches the address %s (%s): write `url %s`, or let the proxy in front pass scheme and host on",
				shown, strings.Join(a.words, ", "), shown)
			if !yield(guess{x.v, x.Request.at(a.address), ReasonWrongURL, text}) {
				return
			}
		}
	}
}

// SignsURL tells whether the public address has a part in what is signed.
func (v *Verifier) SignsURL() bool {
	return v.signs("url", "uri", "path", "uri_escaped", "url_and_form") || slices.ContainsFunc(v.schemes, func(s *scheme) bool {
		for _, template := range s.Claims {
			if strings.Contains(template, "{url}") {
				return true
			}
		}
		return false
	})
}

// mostAddresses bounds the addresses that are tried.
const mostAddresses = 32

type address struct {
	address string
	words   []string
}

// combined gives the addresses that differ in one part or more.
func combined(schemes, hosts, paths, queries []part) []address {
	var list []address
	for _, s := range schemes {
		for _, h := range hosts {
			for _, p := range paths {
				for _, q := range queries {
					a := address{address: s.value + "://" + h.value + p.value + q.value}
					for _, one := range []part{s, h, p, q} {
						if one.words != "" {
							a.words = append(a.words, one.words)
						}
					}
					list = append(list, a)
				}
			}
		}
	}
	slices.SortStableFunc(list, func(a, b address) int { return len(a.words) - len(b.words) })
	return list[1:min(len(list), mostAddresses+1)] // the first is the one as received
}

func schemes(u *url.URL) []part {
	other := map[string]string{"http": "https", "https": "http"}[u.Scheme]
	return []part{{u.Scheme, ""}, {other, "with " + other}}
}

func hosts(u *url.URL, h http.Header) []part {
	list := []part{{u.Host, ""}}
	if u.Port() != "" {
		list = append(list, part{u.Hostname(), "without the port"})
	}
	host, _, _ := strings.Cut(h.Get("X-Forwarded-Host"), ",")
	if host = strings.TrimSpace(host); host != "" && host != u.Host && !strings.ContainsAny(host, "/?#@ ") {
		list = append(list, part{host, "with the host of X-Forwarded-Host"})
	}
	if port := h.Get("X-Forwarded-Port"); port != "" && port != u.Port() && strings.Trim(port, "0123456789") == "" {
		list = append(list, part{u.Hostname() + ":" + port, "with the port of X-Forwarded-Port"})
	}
	return list
}

func paths(u *url.URL, h http.Header) []part {
	path := u.EscapedPath()
	list := []part{{path, ""}}
	if bare, ok := strings.CutSuffix(path, "/"); ok {
		list = append(list, part{bare, "without the trailing slash"})
	} else {
		list = append(list, part{path + "/", "with a trailing slash"})
	}
	if prefix := strings.TrimSuffix(h.Get("X-Forwarded-Prefix"), "/"); strings.HasPrefix(prefix, "/") && !strings.ContainsAny(prefix, "?#") {
		list = append(list, part{prefix + path, "with the path of X-Forwarded-Prefix"})
	}
	for _, name := range []string{"X-Original-Uri", "X-Forwarded-Uri", "X-Original-Url"} {
		original, err := url.Parse(h.Get(name))
		if err == nil && original.Path != "" && original.EscapedPath() != path {
			list = append(list, part{original.EscapedPath(), "with the path of " + name})
		}
	}
	return list
}

func queries(u *url.URL) []part {
	if u.RawQuery == "" {
		return []part{{"", ""}}
	}
	list := []part{{"?" + u.RawQuery, ""}, {"", "without the query"}}
	if plain, err := url.PathUnescape(u.RawQuery); err == nil && plain != u.RawQuery {
		list = append(list, part{"?" + plain, "with the query decoded"})
	}
	return list
}
