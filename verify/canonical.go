package verify

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/tidwall/gjson"
)

// lines writes those members of a JSON body that are strings, each as its name
// and its value on a line. Amazon SNS signs so:
// https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html
func lines(body []byte, names string) string {
	var b strings.Builder
	for name := range strings.FieldsSeq(names) {
		if v := gjson.GetBytes(body, name); v.Type == gjson.String {
			b.WriteString(name + "\n" + v.Str + "\n")
		}
	}
	return b.String()
}

// signedHeaders writes the headers that a header lists, as name:value;name:value.
func signedHeaders(h http.Header, list string) string {
	names := listed(h, list)
	parts := make([]string, len(names))
	for i, name := range names {
		parts[i] = name + ":" + strings.TrimSpace(h.Get(name))
	}
	return strings.Join(parts, ";")
}

// listed are the names in a header that lists headers, as they are signed.
func listed(h http.Header, list string) []string {
	names := strings.Split(strings.ToLower(h.Get(list)), ",")
	for i := range names {
		names[i] = strings.TrimSpace(names[i])
	}
	slices.Sort(names)
	return names
}

// urlAndForm is an address with its query and the fields of a form, all sorted,
// as Plivo signs them:
// https://www.plivo.com/docs/messaging/concepts/signature-validation
func urlAndForm(r *Request) string {
	u, err := url.Parse(r.URL)
	if err != nil {
		return ""
	}
	form, err := url.ParseQuery(string(r.Body))
	if err != nil {
		return ""
	}
	query := sortedPairs(u.Query(), "=", "&")
	base, _, _ := strings.Cut(r.URL, "?")
	if query != "" || len(form) > 0 {
		base += "?" + query
	}
	if query != "" && len(form) > 0 {
		base += "."
	}
	return base + sortedPairs(form, "", "")
}

// sortedPairs writes every name and value, by name, then by value.
func sortedPairs(values url.Values, within, between string) string {
	var pairs []string
	for _, name := range slices.Sorted(maps.Keys(values)) {
		for _, v := range slices.Sorted(slices.Values(values[name])) {
			pairs = append(pairs, name+within+v)
		}
	}
	return strings.Join(pairs, between)
}

const upperHex = "0123456789ABCDEF"

// escape percent-encodes every byte that is neither a letter or digit nor in keep.
func escape(s, keep string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte(keep, c) >= 0 {
			b.WriteByte(c)
			continue
		}
		b.WriteString("%" + string(upperHex[c>>4]) + string(upperHex[c&15]))
	}
	return b.String()
}

// escapedTwice is a path with a query as Contentful signs it: the query encoded
// as one piece, then the whole as an address.
func escapedTwice(uri string) string {
	path, query, found := strings.Cut(uri, "?")
	if found && query != "" {
		path += "?" + escape(query, "-_.!~*'()")
	}
	return escape(path, ";,/?:@&=+$-_.!~*'()#")
}

// queryHash is the hash over method, path and sorted query that Atlassian
// Connect puts into a token's claim qsh:
// https://developer.atlassian.com/cloud/jira/platform/understanding-jwt-for-connect-apps/
func queryHash(r *Request) string {
	u, err := url.Parse(r.URL)
	if err != nil {
		return ""
	}
	path := "/" + strings.Trim(strings.ReplaceAll(u.EscapedPath(), "&", "%26"), "/")
	var pairs []string
	for name, values := range u.Query() {
		if name == "jwt" {
			continue
		}
		encoded := make([]string, len(values))
		for i, v := range slices.Sorted(slices.Values(values)) {
			encoded[i] = escape(v, "-._~")
		}
		pairs = append(pairs, escape(name, "-._~")+"="+strings.Join(encoded, ","))
	}
	slices.Sort(pairs)
	sum := sha256.Sum256([]byte(strings.ToUpper(r.Method) + "&" + path + "&" + strings.Join(pairs, "&")))
	return hex.EncodeToString(sum[:])
}
