package words

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/verify"
)

// Algorithms lists the record's ways to sign, each once.
func Algorithms(r *verify.Record) []string {
	var found []string
	for i := range r.Schemes {
		if a := algorithm(&r.Schemes[i]); !slices.Contains(found, a) {
			found = append(found, a)
		}
	}
	return found
}

var hashNames = map[string]string{"": "SHA-256", "sha256": "SHA-256", "sha1": "SHA-1", "sha512": "SHA-512", "sha384": "SHA-384", "md5": "MD5"}

func hashName(hash string) string { return cmp.Or(hashNames[hash], strings.ToUpper(hash)) }

// algorithm names one in a few words.
func algorithm(s *verify.Scheme) string {
	hash := hashName(s.Hash)
	switch s.Kind {
	case "hmac":
		return "HMAC-" + strings.Replace(hash, "SHA-", "SHA", 1)
	case "digest":
		return hash + " with secret"
	case "ed25519":
		return "Ed25519"
	case "ecdsa":
		return "ECDSA " + hash
	case "rsa":
		return "RSA " + hash
	case "jwt":
		if len(s.Algorithms) > 2 {
			return "JWT " + s.Algorithms[0] + "…"
		}
		return strings.TrimSpace("JWT " + strings.Join(s.Algorithms, "/"))
	case "token":
		return "token"
	case "basic":
		return "Basic"
	case "none":
		return "none"
	}
	return s.Kind
}

// method says in a sentence what is done.
func method(s *verify.Scheme) string {
	hash := hashName(s.Hash)
	switch s.Kind {
	case "hmac":
		return algorithm(s) + " with the shared secret, written in " + encoding(s.Encoding)
	case "digest":
		return "A plain " + hash + " hash, of which the secret is a part, written in " + encoding(s.Encoding)
	case "ed25519":
		return "Ed25519, written in " + encoding(s.Encoding)
	case "ecdsa":
		return "ECDSA (P-256, " + hash + ", ASN.1), written in " + encoding(s.Encoding)
	case "rsa":
		return "RSA (PKCS #1 v1.5, " + hash + "), written in " + encoding(s.Encoding)
	case "jwt":
		return "A JSON Web Token, signed with " + list(s.Algorithms, "or")
	case "token":
		return "A shared token, sent as it is and compared in constant time"
	case "basic":
		return "User and password, sent as they are and compared in constant time"
	}
	return algorithm(s)
}

func encoding(e string) string {
	return cmp.Or(map[string]string{"": "hexadecimal", "hex": "hexadecimal", "base64url": "URL-safe base64"}[e], e)
}

// plain tells whether the secret itself is sent.
func plain(s *verify.Scheme) bool { return s.Kind == "token" || s.Kind == "basic" }

// keyed tells whether the provider signs with a private key.
func keyed(s *verify.Scheme) bool {
	return s.Kind == "ed25519" || s.Kind == "ecdsa" || s.Kind == "rsa" || s.Kind == "jwt" && s.SecretForm == "key"
}

// timed tells whether a signature carries a timestamp beside it.
func timed(s *verify.Scheme) bool {
	return len(s.TimeHeader) > 0 || s.TimeJSON != "" || s.TimeKey != "" || s.TimeFirst
}

func verified(r *verify.Record) []Block {
	if r.Schemes[0].Kind == "none" {
		return []Block{text("Nothing. Whoever knows the address can send events. It warns when the configuration loads.")}
	}
	if len(r.Schemes) == 1 {
		return []Block{{Items: facts(r, &r.Schemes[0])}}
	}
	blocks := []Block{text("There are %s ways; one that fits is enough.", number(len(r.Schemes)))}
	if slices.ContainsFunc(r.Schemes, func(s verify.Scheme) bool { return plain(&s) }) &&
		slices.ContainsFunc(r.Schemes, func(s verify.Scheme) bool { return !plain(&s) }) {
		blocks[0].Text += " A signature that is there and does not fit is not made good by a token."
	}
	shared, own := apart(r)
	if len(shared) > 0 {
		blocks = append(blocks, text("Common to all:"), Block{Items: shared})
	}
	for i := range r.Schemes {
		s := &r.Schemes[i]
		blocks = append(blocks, text("%s%s:", upper(algorithm(s)), condition(s)), Block{Items: own[i]})
	}
	return blocks
}

// apart takes the facts that all schemes share out of each one's own.
func apart(r *verify.Record) (shared []string, own [][]string) {
	own = make([][]string, len(r.Schemes))
	for i := range r.Schemes {
		own[i] = facts(r, &r.Schemes[i])
	}
	for _, fact := range own[0] {
		if !slices.ContainsFunc(own, func(of []string) bool { return !slices.Contains(of, fact) }) {
			shared = append(shared, fact)
		}
	}
	for i := range own {
		own[i] = slices.DeleteFunc(own[i], func(fact string) bool { return slices.Contains(shared, fact) })
	}
	return shared, own
}

// condition says which requests and secrets a scheme is for.
func condition(s *verify.Scheme) string {
	var parts []string
	if s.SecretPrefix != "" {
		parts = append(parts, "if the secret begins with "+code(s.SecretPrefix))
	}
	if s.NotSecretPrefix != "" {
		parts = append(parts, "if the secret does not begin with "+code(s.NotSecretPrefix))
	}
	if s.When != nil {
		if marks := append(marked("header", s.When.Header), marked("json", s.When.JSON)...); len(marks) > 0 {
			parts = append(parts, "for requests with "+list(marks, "and"))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return ", " + strings.Join(parts, ", ")
}

// facts lists what is to be known of one scheme.
func facts(r *verify.Record, s *verify.Scheme) []string {
	items := []string{"Where: " + place(s) + "."}
	if form := form(s); form != "" {
		items = append(items, "Form: "+form+".")
	}
	items = append(items, "Method: "+method(s)+".")
	if s.Kind != "jwt" && !plain(s) {
		items = append(items, "Signed: "+signedContent(r, s)+".")
		if strings.Contains(s.Content, "{id}") && len(s.IDHeader) > 0 {
			items = append(items, "ID: header "+strings.Join(codes(s.IDHeader), ", else ")+".")
		}
	}
	if s.BodyHash != nil {
		items = append(items, "Body: "+bodyHash(s)+".")
	}
	items = append(items, claims(s)...)
	if when := timestamp(s); when != "" {
		items = append(items, "Time: "+when+".")
	}
	for _, name := range slices.Sorted(maps.Keys(s.Require)) {
		items = append(items, fmt.Sprintf("Required: header %s with the value %s.", code(name), code(s.Require[name])))
	}
	for _, path := range slices.Sorted(maps.Keys(s.Pins)) {
		items = append(items, fmt.Sprintf("Required: %s in the JSON body is what the option %s says.", code(path), code(s.Pins[path])))
	}
	return append(items, "Key: "+key(s)+".")
}

// place says where the signature or token stands.
func place(s *verify.Scheme) string {
	each := ""
	if s.Each != "" {
		each = ", in every item of " + code(s.Each)
	}
	switch {
	case s.Kind == "basic":
		return "header `Authorization`"
	case s.Whole:
		return "the body is the token"
	case s.Query != "":
		return "parameter " + code(s.Query) + " of the address"
	case s.JSON != "":
		return code(s.JSON) + " in the JSON body" + each
	case s.Form != "":
		return "field " + code(s.Form) + " of the form"
	case len(s.Header) == 0:
		return "the header that the option `header` names, or `query` or `json`"
	case len(s.Header) == 1:
		return "header " + code(s.Header[0])
	case s.AllHeaders:
		return "headers " + list(codes(s.Header), "and") + "; one good signature is enough"
	}
	return "header " + strings.Join(codes(s.Header), ", else ")
}

// form says how the value is put together, where it is not the bare signature.
func form(s *verify.Scheme) string {
	var shape string
	several := s.List != ""
	switch {
	case s.Key != "" && s.TimeKey != "":
		shape = s.TimeKey + "=<timestamp>" + s.List + s.Key + "=<signature>"
	case s.Key != "":
		shape = s.Key + "=<signature>"
	case s.TimeFirst:
		shape = "<timestamp>" + s.List + s.Prefix + "<signature>"
		several = false
	case s.Prefix != "":
		shape = s.Prefix + map[bool]string{true: "<token>", false: "<signature>"}[s.Kind == "jwt" || plain(s)]
	case !several:
		return ""
	default:
		shape = "<signature>"
	}
	said := code(optionName.ReplaceAllString(shape, "<$1>"))
	if s.Optional && s.Prefix != "" {
		said += ", or without " + code(strings.TrimSpace(s.Prefix))
	}
	if s.Sets != "" {
		said += fmt.Sprintf("; several sets, each with a timestamp of its own, are separated by %s", separator(s.Sets))
	}
	if several {
		said += fmt.Sprintf("; there may be several signatures, separated by %s, of which one has to fit", separator(s.List))
	}
	return said
}

func separator(s string) string {
	return cmp.Or(map[string]string{" ": "a space", ",": "a comma", ";": "a semicolon", "&": code("&")}[s], code(s))
}

func bodyHash(s *verify.Scheme) string {
	h := s.BodyHash
	hash := "the SHA-256 of the body, in " + encoding(h.Encoding)
	switch {
	case h.Query != "":
		return "parameter " + code(h.Query) + " of the address is " + hash
	case h.Claim != "":
		return "the claim " + code(h.Claim) + " is " + hash
	}
	return "what is signed in its place is " + hash
}

func claims(s *verify.Scheme) []string {
	var items []string
	for _, name := range slices.Sorted(maps.Keys(s.Claims)) {
		want := phrase(s.Claims[name])
		if only, ok := strings.CutPrefix(s.Claims[name], "{option:"); ok && strings.Count(s.Claims[name], "{") == 1 && strings.HasSuffix(only, "}") {
			want = "what the option " + code(strings.TrimSuffix(only, "}")) + " says"
		}
		items = append(items, fmt.Sprintf("Required: the claim %s is %s.", code(name), want))
	}
	return items
}

var units = map[string]string{"": "in seconds since 1970", "s": "in seconds since 1970", "ms": "in milliseconds since 1970", "rfc3339": "as RFC 3339", "http": "as an HTTP date"}

// timestamp says where the time stands and how old it may be.
func timestamp(s *verify.Scheme) string {
	if s.Kind == "jwt" {
		return tokenTime(s)
	}
	var in string
	switch {
	case len(s.TimeHeader) > 0:
		in = "header " + strings.Join(codes(s.TimeHeader), ", else ")
	case s.TimeJSON != "":
		in = code(s.TimeJSON) + " in the JSON body"
	case s.TimeKey != "":
		in = code(s.TimeKey) + " in the same value"
	case s.TimeFirst:
		in = "the first part of the same value"
	default:
		return ""
	}
	return in + ", " + cmp.Or(units[s.TimeUnit], s.TimeUnit) + "; " + window(s)
}

func window(s *verify.Scheme) string {
	switch {
	case s.Tolerance <= 0 && s.Future <= 0:
		return "any age is accepted; `tolerance` sets a limit"
	case s.Tolerance <= 0:
		return "any age is accepted, and at most " + Duration(s.Future) + " ahead of our clock"
	case s.Future <= 0:
		return "at most " + Duration(s.Tolerance) + " old"
	case s.Future == s.Tolerance:
		return "at most " + Duration(s.Tolerance) + " old, and as much ahead of our clock"
	}
	return "at most " + Duration(s.Tolerance) + " old, and " + Duration(s.Future) + " ahead of our clock"
}

func tokenTime(s *verify.Scheme) string {
	switch {
	case s.Tolerance < 0:
		return "none is checked"
	case s.Tolerance > 0:
		return "the claim `iat`, " + window(s) + "; `exp` and `nbf`, where they are"
	case s.BodyHash == nil && !s.Whole:
		return "the claim `exp`, which must be there, and `nbf`"
	}
	return "the claims `exp` and `nbf`, where they are"
}

// Duration writes one in words.
func Duration(d time.Duration) string {
	for _, unit := range []struct {
		of   time.Duration
		word string
	}{{24 * time.Hour, "day"}, {time.Hour, "hour"}, {time.Minute, "minute"}, {time.Second, "second"}} {
		if d >= unit.of && d%unit.of == 0 {
			n := int64(d / unit.of)
			if n == 1 {
				return "1 " + unit.word
			}
			return fmt.Sprintf("%d %ss", n, unit.word)
		}
	}
	return d.String()
}

// key says what the operator configures.
func key(s *verify.Scheme) string {
	switch {
	case s.Keys != nil && s.Keys.JWKS != "":
		return "the provider's public keys, fetched from " + address(s.Keys.JWKS) + "; or a public key, as PEM or base64 of its DER form"
	case s.Keys != nil && s.Keys.Certificate != "":
		return "the certificate at the address that the request names (" + phrase(s.Keys.Certificate) + "), if host and path are the provider's and it is issued for " +
			list(codes(s.Keys.Names), "or") + "; or a public key or certificate, as PEM or base64 of its DER form"
	case s.Keys != nil:
		return "the provider's public key, asked for at " + address(s.Keys.Lookup) + "; or a public key, as PEM or base64 of its DER form"
	case s.Kind == "basic":
		return "`user:password`"
	}
	return secretForm(s)
}

var forms = map[string]string{
	"": "the secret's text as it is", "utf8": "the secret's text as it is",
	"hex": "the secret is hexadecimal, and is decoded", "base64": "the secret is base64, and is decoded",
	"whsec":         "the secret is base64, with or without `whsec_` before it, and is decoded",
	"whsec_or_utf8": "behind `whsec_` the secret is base64, and is decoded; else its text as it is",
	"sha1":          "the SHA-1 of the secret's text", "whpk": "an Ed25519 public key, base64 behind `whpk_`",
	"key": "a public key or certificate, as PEM or base64 of its DER form",
}

func secretForm(s *verify.Scheme) string {
	if s.Kind == "ed25519" {
		switch s.SecretForm {
		case "", "utf8", "hex":
			return "an Ed25519 public key, 64 hexadecimal digits"
		case "base64":
			return "an Ed25519 public key, in base64"
		}
	}
	return cmp.Or(forms[s.SecretForm], "a secret of form "+code(s.SecretForm))
}

// address shows a template with the options' names.
func address(template string) string {
	if name, ok := strings.CutPrefix(template, "{option:"); ok && strings.HasSuffix(name, "}") && !strings.Contains(name, "{") {
		return "the address in the option " + code(strings.TrimSuffix(name, "}"))
	}
	return code(optionName.ReplaceAllString(template, "<$1>"))
}

var optionName = regexp.MustCompile(`\{option:([^}]*)\}`)
