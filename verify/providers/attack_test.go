package providers_test

import (
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"

	"github.com/caddy-webhooks/caddy-webhooks/verify"
	"github.com/caddy-webhooks/caddy-webhooks/verify/verifytest"
)

// An attack spoils a good request of one door. What is attacked follows from the
// record's fields: a new record is attacked without a line of test written for it.
type attack struct {
	name  string
	spoil func(q *verify.Request)
}

// refuses tells of every attack that is not refused, or not as it should be.
func refuses(t *testing.T, d *verifytest.Door, attacks ...attack) {
	t.Helper()
	good := signedBy(t, d)
	for _, a := range attacks {
		q := verifytest.Clone(good)
		a.spoil(q)
		if _, err := d.Verifier.Verify(q, testNow); !errors.Is(err, verify.ErrRejected) {
			t.Errorf("%s: %s: %v, want a refusal\n%v %s", d.Name, a.name, err, q.Header, clipped(string(q.Body)))
		}
	}
}

func clipped(s string) string { return s[:min(len(s), 300)] }

// plain tells whether the secret itself is sent, so that nothing is covered.
func plain(s verify.Scheme) bool { return s.Kind == "token" || s.Kind == "basic" }

// rewriting is an attack on the text that proves the sender.
func rewriting(d *verifytest.Door, name string, f func(string) string) attack {
	return attack{name, func(q *verify.Request) {
		if err := d.Rewrite(q, f); err != nil {
			panic(err) // the requests are our own
		}
	}}
}

// lead is what stands before the encoded signature.
func lead(d *verifytest.Door, text string) string {
	s := d.Scheme
	before := s.Prefix
	switch {
	case s.Kind == "basic":
		before = "Basic "
	case s.Key != "":
		before = s.Key + "="
	case s.TimeFirst:
		before = s.List
	}
	return text[:strings.Index(text, before)+len(before)]
}

func decoded(encoding, text string) ([]byte, error) {
	switch encoding {
	case "base64":
		return base64.StdEncoding.DecodeString(text)
	case "base64url":
		return base64.RawURLEncoding.DecodeString(text)
	}
	return hex.DecodeString(text)
}

func encoded(encoding string, b []byte) string {
	switch encoding {
	case "base64":
		return base64.StdEncoding.EncodeToString(b)
	case "base64url":
		return base64.RawURLEncoding.EncodeToString(b)
	}
	return hex.EncodeToString(b)
}

func TestAProofThatIsMissingEmptyCutShortTooLongOrInventedIsRefused(t *testing.T) {
	t.Parallel()
	for _, d := range allDoors(t) {
		whole := d.Text(signedBy(t, d))
		before := lead(d, whole)
		put := func(name, text string) attack {
			return rewriting(d, name, func(string) string { return text })
		}
		attacks := []attack{
			{"nothing at all", func(q *verify.Request) { q.Header, q.Query, q.Body = http.Header{}, url.Values{}, nil }},
			{"no headers and no query", func(q *verify.Request) {
				q.Header, q.Query = http.Header{}, url.Values{}
				if d.Scheme.JSON+d.Scheme.Form != "" || d.Scheme.Whole {
					q.Body = nil
				}
			}},
			put("only white space", " \t "), put("a NUL", "\x00"), put("a comma", ","), put("all separators", ",;= |:.\t&"),
			put("64 KiB of A", before+strings.Repeat("A", 64<<10)), put("64 KiB of zeros", before+strings.Repeat("0", 64<<10)),
			put("thousands of good ones", strings.Repeat(whole+d.Scheme.List+",", 1+(64<<10)/(len(whole)+2))),
			put("thousands of items", strings.Repeat(before+"AAAA"+d.Scheme.List+",", 4000)),
			put("brackets", strings.Repeat("[", 10_000)), put("dots", strings.Repeat(".", 10_000)),
		}
		for n := range len(whole) {
			attacks = append(attacks, put(fmt.Sprintf("cut to %d bytes", n), whole[:n]))
		}
		for _, word := range []string{"", "no-secret-provided", "null", "undefined", "None", "nil", "false", "0", "[]", "{}", "AA==", "00", "secret", "test"} {
			attacks = append(attacks, put("only "+word, word), put("the prefix and "+word, before+word))
		}
		for _, tail := range []string{"\x00", "00", "ff", "AAAA", ".", ":x", "\n\x00", "%00", "\uFEFF", "é", "\u00a0x"} {
			if tail == d.Scheme.List {
				continue // it only begins another item, which is empty
			}
			attacks = append(attacks, put(fmt.Sprintf("with %q behind", tail), whole+tail), put(fmt.Sprintf("with %q within", tail), before+tail+whole[len(before):]))
		}
		for _, size := range []int{1, 16, 20, 32, 64, 256} {
			for _, fill := range []byte{0, 0xff} {
				attacks = append(attacks, put(fmt.Sprintf("%d bytes of %02x", size, fill), before+encoded(d.Scheme.Encoding, slices.Repeat([]byte{fill}, size))))
			}
		}
		refuses(t, d, attacks...)
	}
}

func TestEveryBitOfASignatureCounts(t *testing.T) {
	t.Parallel()
	for _, d := range allDoors(t) {
		if plain(d.Scheme) || d.Scheme.Kind == "jwt" {
			continue
		}
		whole := d.Text(signedBy(t, d))
		before := lead(d, whole)
		signature, err := decoded(d.Scheme.Encoding, whole[len(before):])
		if err != nil {
			t.Fatalf("%s: %v", d.Name, err)
		}
		var attacks []attack
		for i := range signature {
			flipped := slices.Clone(signature)
			flipped[i] ^= 1 << (i % 8)
			attacks = append(attacks, rewriting(d, fmt.Sprintf("byte %d flipped", i), func(string) string {
				return before + encoded(d.Scheme.Encoding, flipped)
			}))
		}
		refuses(t, d, attacks...)
	}
}

// What differs only in how the same bytes are written is stated here, and nothing
// beyond it is accepted.
func TestTheSameSignatureWrittenOtherwiseCountsOnlyWhereItIsStated(t *testing.T) {
	t.Parallel()
	for _, d := range allDoors(t) {
		whole := d.Text(signedBy(t, d))
		before, sig := lead(d, whole), whole[len(lead(d, whole)):]
		s := d.Scheme
		signature := !plain(s) && s.Kind != "jwt"
		is := func(encoding string) bool {
			return signature && encoded(s.Encoding, []byte("?>")) == encoded(encoding, []byte("?>"))
		}
		as := func(encoding string) string {
			b, err := decoded(s.Encoding, sig)
			if !signature || err != nil {
				return sig
			}
			return encoded(encoding, b)
		}
		twin := func(encoding string) bool {
			return is(encoding) || signature && slices.ContainsFunc(d.Record.Schemes, func(o verify.Scheme) bool {
				return cmp.Or(o.Encoding, "hex") == encoding && o.Hash == s.Hash && o.Content == s.Content && slices.Equal(o.Header, s.Header)
			})
		}
		for name, c := range map[string]struct {
			text string
			good bool
		}{
			"as it is":                   {whole, true},
			"hex in upper case":          {before + strings.ToUpper(sig), is("hex")},
			"base64 without its padding": {before + strings.TrimRight(sig, "="), is("base64url")},
			"base64 with padding":        {before + sig + strings.Repeat("=", (4-len(sig)%4)%4), is("base64url")},
			"base64 in the URL alphabet": {before + strings.NewReplacer("+", "-", "/", "_").Replace(sig), false},
			"base64 in the old alphabet": {before + strings.NewReplacer("-", "+", "_", "/").Replace(sig), false},
			"in hex":                     {before + as("hex"), twin("hex")},
			"in base64":                  {before + as("base64"), twin("base64") || is("base64url") && !strings.ContainsAny(as("base64"), "+/")},
			"in base64 for URLs":         {before + as("base64url"), is("base64url")},
			// Go's net/http trims headers; elsewhere white space around is no part of it.
			"with a newline behind": {whole + "\n", s.Kind != "token"},
			"with a space behind":   {whole + " ", s.Kind != "token"},
			"with a space before":   {" " + whole, s.Kind != "token" && s.Kind != "basic"},
			"with a NUL behind":     {whole + "\x00", false},
			"without its prefix":    {strings.TrimPrefix(whole, s.Prefix), s.Optional || s.Kind == "token"},
			"with the prefix twice": {s.Prefix + whole, s.List == " " && joins.MatchString(s.Prefix)},
			"with another prefix":   {"md5=" + strings.TrimPrefix(whole, s.Prefix), false},
			"prefix in upper case":  {strings.ToUpper(s.Prefix) + strings.TrimPrefix(whole, s.Prefix), s.Kind == "jwt"},
			"twice in a row":        {whole + sig, false},
			"quoted":                {before + `"` + sig + `"`, false},
			"percent-encoded":       {before + "%" + hex.EncodeToString([]byte(sig[:1])) + sig[1:], false},
		} {
			if c.text == whole && name != "as it is" {
				continue
			}
			q := signedBy(t, d)
			if err := d.Rewrite(q, func(string) string { return c.text }); err != nil {
				t.Fatal(err)
			}
			if _, err := d.Verifier.Verify(q, testNow); (err == nil) != c.good {
				t.Errorf("%s: %s, %q: %v, accepted should be %v", d.Name, name, c.text, err, c.good)
			}
		}
	}
}

// tokens are the names and arguments of a content.
func tokens(content string) (list [][2]string) {
	if content == "" {
		content = "{body}"
	}
	for _, part := range strings.Split(content, "{")[1:] {
		name, _, _ := strings.Cut(part, "}")
		kind, arg, _ := strings.Cut(name, ":")
		list = append(list, [2]string{kind, arg})
	}
	return list
}

// contentOf is what a signature covers, of whichever kind it is.
func contentOf(s verify.Scheme) [][2]string {
	if plain(s) {
		return nil
	}
	if s.Kind != "jwt" {
		list := tokens(s.Content)
		if s.BodyHash != nil {
			list = append(list, [2]string{"body"})
		}
		return list
	}
	list := [][2]string{}
	for _, template := range s.Claims {
		list = append(list, tokens(" "+template)...)
	}
	if s.BodyHash != nil {
		list = append(list, [2]string{"body"})
	}
	return list
}

func TestEachThingThatASignatureCoversIsChangedAndRefused(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, d := range allDoors(t) {
		for _, token := range contentOf(d.Scheme) {
			seen[token[0]] = true
			list := attacksOn(d, token[0], token[1])
			if len(list) == 0 && token[0] != "kid" && token[0] != "option" && token[0] != "secret" {
				t.Errorf("%s: nothing attacks {%s}", d.Name, token[0])
			}
			refuses(t, d, list...)
		}
		for name := range d.Scheme.Require {
			refuses(t, d, attacksOnHeader(name)[:3]...)
		}
		if _, ok := coversWhole(d.Scheme); !ok && d.Record.Uncovered == "" && !plain(d.Scheme) {
			t.Errorf("%s: the signature does not cover the body, and the record does not say what is open", d.Name)
		}
	}
	for _, kind := range []string{"body", "ts", "id", "url", "uri", "uri_escaped", "method", "header", "query", "json", "form", "sorted_form", "url_and_form", "lines", "signed", "body_sha256", "body_crc32"} {
		if !seen[kind] {
			t.Errorf("no scheme covers {%s}: it is not attacked", kind)
		}
	}
}

// coversWhole tells whether a scheme signs all of the body, and by which token.
func coversWhole(s verify.Scheme) (kind string, ok bool) {
	if s.Whole {
		return "whole", true
	}
	for _, token := range contentOf(s) {
		if slices.Contains([]string{"body", "body_sha256", "sorted_form", "url_and_form"}, token[0]) {
			return token[0], true
		}
	}
	return "", false
}

func attacksOn(d *verifytest.Door, kind, arg string) []attack {
	switch kind {
	case "body", "body_sha256", "body_crc32":
		return attacksOnBody()
	case "ts":
		return attacksOnStamp(d)
	case "id":
		return attacksOnHeader(d.Scheme.IDHeader[0])
	case "header":
		return attacksOnHeader(arg)
	case "method":
		return []attack{{"another method", func(q *verify.Request) { q.Method = http.MethodPut }}, {"no method", func(q *verify.Request) { q.Method = "" }}}
	case "url":
		return attacksOnURL(true)
	case "uri", "uri_escaped", "path", "qsh":
		return attacksOnURL(false)
	case "query":
		return []attack{
			{"another parameter " + arg, func(q *verify.Request) { q.Query.Set(arg, "other") }},
			{"a second parameter " + arg, func(q *verify.Request) { q.Query.Add(arg, "forged") }},
			{"no parameter " + arg, func(q *verify.Request) { q.Query.Del(arg) }},
		}
	case "json", "lines":
		return attacksOnJSON(d, kind, arg)
	case "form":
		return attacksOnField(arg)
	case "sorted_form":
		return attacksOnForm()
	case "url_and_form":
		return append(attacksOnURL(true), attacksOnForm()...)
	case "signed":
		return append(attacksOnHeader(arg), attack{"a list of headers without the time", func(q *verify.Request) { q.Header.Set(arg, strings.ToLower(arg)) }})
	}
	return nil
}

func attacksOnBody() []attack {
	list := []attack{
		{"no body", func(q *verify.Request) { q.Body = nil }},
		{"a byte more", func(q *verify.Request) { q.Body = append(q.Body, '\n') }},
		{"a byte before", func(q *verify.Request) { q.Body = append([]byte{' '}, q.Body...) }},
		{"a byte less", func(q *verify.Request) { q.Body = q.Body[:len(q.Body)-1] }},
		{"the body twice", func(q *verify.Request) { q.Body = append(q.Body, q.Body...) }},
		{"another body", func(q *verify.Request) { q.Body = []byte(`{"id":"forged"}`) }},
		{"a mark before", func(q *verify.Request) { q.Body = append([]byte("\xef\xbb\xbf"), q.Body...) }},
	}
	for i := range 16 {
		list = append(list, attack{fmt.Sprintf("bit %d flipped", i), func(q *verify.Request) { q.Body[i*(len(q.Body)-1)/15] ^= 1 << (i % 8) }})
	}
	return list
}

func attacksOnHeader(name string) []attack {
	return []attack{
		{"no header " + name, func(q *verify.Request) { q.Header.Del(name) }},
		{"an empty header " + name, func(q *verify.Request) { q.Header.Set(name, "") }},
		{"another header " + name, func(q *verify.Request) { q.Header.Set(name, q.Header.Get(name)+"x") }},
		{"a forged header behind " + name, func(q *verify.Request) { q.Header.Add(name, "forged") }},
		{"a forged header before " + name, func(q *verify.Request) {
			key := http.CanonicalHeaderKey(name)
			q.Header[key] = append([]string{"forged"}, q.Header[key]...)
		}},
	}
}

// attacksOnStamp change the timestamp where it stands.
func attacksOnStamp(d *verifytest.Door) []attack {
	s := d.Scheme
	switch {
	case len(s.TimeHeader) > 0:
		return append(attacksOnHeader(s.TimeHeader[0]), attack{"a second timestamp", func(q *verify.Request) { q.Header.Add(s.TimeHeader[0], q.Header.Get(s.TimeHeader[0])) }})
	case s.TimeJSON != "":
		return attacksOnJSON(d, "json", s.TimeJSON)
	}
	later := func(text, mark string) string {
		before, ts, _ := strings.Cut(text, mark)
		return before + mark + strings.Replace(ts, "1795", "1796", 1)
	}
	mark := s.TimeKey + "="
	list := []attack{
		rewriting(d, "another timestamp", func(text string) string {
			if s.TimeFirst {
				return strings.Replace(text, "1795", "1796", 1)
			}
			return later(text, mark)
		}),
		rewriting(d, "no timestamp", func(text string) string {
			_, rest, _ := strings.Cut(text, s.List)
			return rest
		}),
	}
	if s.TimeKey != "" {
		list = append(list, rewriting(d, "a second timestamp", func(text string) string { return text + s.List + mark + "1795000001" }))
	}
	return list
}

func attacksOnURL(whole bool) []attack {
	set := func(name, address string) attack {
		return attack{name, func(q *verify.Request) {
			u, err := url.Parse(address)
			if err != nil {
				panic(err) // the addresses are our own
			}
			q.URL, q.Query = address, u.Query()
		}}
	}
	list := []attack{
		set("another path", "https://hooks.example.com/y?a=1"), set("a longer path", "https://hooks.example.com/x/y?a=1"),
		set("another query", "https://hooks.example.com/x?a=2"), set("no query", "https://hooks.example.com/x"),
		set("a longer query", "https://hooks.example.com/x?a=1&b=2"),
	}
	if whole {
		list = append(list,
			set("another scheme", "http://hooks.example.com/x?a=1"), set("another host", "https://evil.example.com/x?a=1"),
			set("another port", "https://hooks.example.com:8443/x?a=1"), set("no address", ""),
			set("a user", "https://me@hooks.example.com/x?a=1"))
	}
	return list
}

func attacksOnJSON(d *verifytest.Door, kind, arg string) (list []attack) {
	names := []string{arg}
	if kind == "lines" {
		names = strings.Fields(arg)
	}
	good := signedAs(d)
	for _, name := range names {
		for _, path := range verifytest.Within(d.Scheme, good.Body, name) {
			list = append(list, attack{"another " + path, func(q *verify.Request) { q.Body, _ = sjson.SetBytes(q.Body, path, "forged") }})
			if v := gjson.GetBytes(good.Body, path); v.String() != "" {
				list = append(list,
					attack{"no " + path, func(q *verify.Request) { q.Body, _ = sjson.DeleteBytes(q.Body, path) }},
					attack{"an object at " + path, func(q *verify.Request) { q.Body, _ = sjson.SetRawBytes(q.Body, path, []byte(`{"x":`+v.Raw+`}`)) }},
					attack{"a list at " + path, func(q *verify.Request) { q.Body, _ = sjson.SetRawBytes(q.Body, path, []byte("["+v.Raw+"]")) }},
				)
			}
		}
	}
	return append(list, attacksOnParsers(d)...)
}

func signedAs(d *verifytest.Door) *verify.Request {
	good, err := d.Signed("evt_1", testNow)
	if err != nil {
		panic(err) // it was signed before
	}
	return good
}

// attacksOnParsers let us and the application read different values out of one
// body: names that come twice, and items that only the application finds.
func attacksOnParsers(d *verifytest.Door) (list []attack) {
	for _, token := range contentOf(d.Scheme) {
		if token[0] != "json" && token[0] != "lines" {
			continue
		}
		for path := range strings.FieldsSeq(token[1]) {
			name := path[strings.LastIndex(path, ".")+1:]
			if !strings.Contains(string(signedAs(d).Body), `"`+name+`":`) {
				continue
			}
			for what, member := range map[string]string{
				"as it is": `"` + name + `":"forged",`, "escaped": fmt.Sprintf(`"\u%04x%s":"forged",`, name[0], name[1:]),
			} {
				list = append(list,
					attack{"a second " + name + " before, " + what, func(q *verify.Request) {
						q.Body = []byte(strings.Replace(string(q.Body), `"`+name+`":`, member+`"`+name+`":`, 1))
					}},
					attack{"a second " + name + " behind, " + what, func(q *verify.Request) { q.Body = doubledBehind(q.Body, name, member) }},
				)
			}
		}
	}
	list = append(list, attack{"a second value behind", func(q *verify.Request) { q.Body = append(q.Body, `{"forged":true}`...) }})
	if array, member, ok := strings.Cut(d.Scheme.Each, ".#."); ok {
		list = append(list, attack{"an item of another name", func(q *verify.Request) {
			item := gjson.GetBytes(q.Body, array+".0."+member).Raw
			q.Body, _ = sjson.SetRawBytes(q.Body, array+".-1", []byte(`{"`+strings.ToLower(member)+`":`+item+`}`))
		}})
	}
	return list
}

// doubledBehind puts a member behind the value of its first namesake.
func doubledBehind(body []byte, name, member string) []byte {
	text := string(body)
	at := strings.Index(text, `"`+name+`":`)
	if at < 0 {
		return append([]byte(`{`+member), body[1:]...)
	}
	value := gjson.Parse(text[at+len(name)+3:]).Raw
	end := at + len(name) + 3 + strings.Index(text[at+len(name)+3:], value) + len(value)
	return []byte(text[:end] + "," + strings.TrimSuffix(member, ",") + text[end:])
}

func attacksOnField(name string) []attack {
	change := func(f func(url.Values)) func(*verify.Request) {
		return func(q *verify.Request) {
			form, err := url.ParseQuery(string(q.Body))
			if err != nil {
				panic(err) // the form is our own
			}
			f(form)
			q.Body = []byte(form.Encode())
		}
	}
	return []attack{
		{"another field " + name, change(func(v url.Values) { v.Set(name, v.Get(name)+"x") })},
		{"no field " + name, change(func(v url.Values) { v.Del(name) })},
		{"a second field behind " + name, change(func(v url.Values) { v.Add(name, "forged") })},
		{"a second field before " + name, change(func(v url.Values) { v[name] = append([]string{"forged"}, v[name]...) })},
		{"a field that PHP calls " + name, func(q *verify.Request) { q.Body = append(q.Body, "&"+strings.Replace(name, "_", ".", 1)+"=forged"...) }},
		{"a list that PHP calls " + name, func(q *verify.Request) { q.Body = append(q.Body, "&"+name+"%5B%5D=forged"...) }},
		{"a field " + name + " that only others read", func(q *verify.Request) { q.Body = append(q.Body, "&"+name+"=forged;x"...) }},
	}
}

func attacksOnForm() []attack {
	return []attack{
		{"no form", func(q *verify.Request) { q.Body = nil }},
		{"a field more", func(q *verify.Request) { q.Body = append(q.Body, "&Forged=1"...) }},
		{"a field twice with another value", func(q *verify.Request) {
			name, _, _ := strings.Cut(string(q.Body), "=")
			q.Body = append(q.Body, "&"+name+"=forged"...)
		}},
		{"a field less", func(q *verify.Request) {
			_, rest, _ := strings.Cut(string(q.Body), "&")
			q.Body = []byte(rest)
		}},
		{"another kind of body", func(q *verify.Request) { q.Header.Set("Content-Type", "application/json") }},
		{"no kind of body", func(q *verify.Request) { q.Header.Del("Content-Type") }},
		{"a form that cannot be read", func(q *verify.Request) { q.Body = append(q.Body, "&x=%zz"...) }},
	}
}
