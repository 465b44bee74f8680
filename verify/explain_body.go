package verify

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"encoding/base64"
	"encoding/json"
	"io"
	"iter"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/tidwall/gjson"
)

const (
	onItsWay = ": something changes the body on its way; let it pass as it comes"
	bom      = "\ufeff"
)

// bodyChange makes what was signed of what has arrived; nil: it cannot be that.
type bodyChange struct {
	words string
	apply func([]byte) []byte
}

// endChanges are cheap: they touch only the ends of a body.
var endChanges = []bodyChange{
	{"with the trailing newline removed", func(b []byte) []byte { return bytes.TrimRight(b, "\r\n") }},
	{"with a newline at the end", func(b []byte) []byte { return ended(b, "\n") }},
	{"with a line end (CR LF) at the end", func(b []byte) []byte { return ended(b, "\r\n") }},
	{"with the white space around it removed", bytes.TrimSpace},
	{"without the byte order mark at its beginning", func(b []byte) []byte { return bytes.TrimPrefix(b, []byte(bom)) }},
}

// bodyChanges rewrite a body, whatever it is.
var bodyChanges = []bodyChange{
	{"with CRLF for each newline", func(b []byte) []byte { return bytes.ReplaceAll(newlines(b), []byte("\n"), []byte("\r\n")) }},
	{"with newlines for each CRLF", newlines},
	{"with a byte order mark at its beginning", func(b []byte) []byte { return append([]byte(bom), b...) }},
	{"decompressed (gzip)", ungzip},
	{"decompressed (deflate)", inflate},
	{"decoded from base64", unbase64Body},
	{"as a form, percent-encoded", func(b []byte) []byte { return formOf(b, url.QueryEscape) }},
	{"as a form, percent-encoded with %20 for spaces", func(b []byte) []byte { return formOf(b, escape20) }},
	{"as a form, percent-encoded in small letters", func(b []byte) []byte { return formOf(b, escapeLower) }},
	{"in Latin-1, of which UTF-8 was made", latin1},
	{"in UTF-8, of which Latin-1 was made", fromLatin1},
}

// jsonChanges rewrite a body that is JSON.
var jsonChanges = []bodyChange{
	{"with its JSON written compactly", style{}.write},
	{"with its JSON written compactly, slashes and all but ASCII escaped, as PHP does", style{ascii: true, slash: true}.write},
	{"with its JSON written compactly, slashes escaped", style{slash: true}.write},
	{"with its JSON written compactly, all but ASCII escaped", style{ascii: true}.write},
	{"with its JSON written compactly, <, > and & escaped, as Go and Rails do", style{html: true}.write},
	{"with its JSON written compactly, <, > and & escaped, and a newline at the end", func(b []byte) []byte {
		return ended(style{html: true}.write(b), "\n")
	}},
	{"with its JSON written with spaces, all but ASCII escaped, as Python does", style{spaced: true, ascii: true}.write},
	{"with its JSON written with spaces", style{spaced: true}.write},
	{"with its JSON indented by two", style{indent: "  "}.write},
	{"with its JSON indented by four", style{indent: "    "}.write},
	{"with its JSON taken out of a JSON string", jsonString},
	{"as a form made of its JSON", func(b []byte) []byte { return formOfJSON(b, url.QueryEscape) }},
	{"as a form made of its JSON, with %20 for spaces", func(b []byte) []byte { return formOfJSON(b, escape20) }},
	{"as the field payload of a form", payloadField},
}

// bodyEnds tries changes at the ends of the body.
func (x *inquiry) bodyEnds() iter.Seq[guess] { return x.changed(endChanges, 0) }

// bodies tries changes of the whole body. Writing it anew costs as much as
// hashing it several times.
func (x *inquiry) bodies() iter.Seq[guess] {
	return func(yield func(guess) bool) {
		list := bodyChanges
		if json.Valid(x.Request.Body) {
			list = slices.Concat(jsonChanges, bodyChanges)
		}
		x.changed(list, 8)(yield)
	}
}

func (x *inquiry) changed(changes []bodyChange, price int) iter.Seq[guess] {
	return func(yield func(guess) bool) {
		body := x.Request.Body
		if len(body) == 0 || !x.v.coversBody() {
			return
		}
		for _, c := range changes {
			if !x.spend(price * len(body)) {
				return
			}
			changed := c.apply(body)
			if changed == nil || bytes.Equal(changed, body) {
				continue
			}
			if !yield(guess{x.v, x.Request.with(changed), ReasonBodyChanged, "matches " + c.words + onItsWay}) {
				return
			}
		}
	}
}

// coversBody tells whether the body has a part in what is signed.
func (v *Verifier) coversBody() bool {
	if v.signs("body", "body_sha256", "body_crc32", "sorted_form", "url_and_form", "form", "json") {
		return true
	}
	for _, s := range v.schemes {
		if s.BodyHash != nil {
			return true
		}
	}
	return false
}

// ended puts an end to a body in place of the newlines that it has.
func ended(b []byte, end string) []byte {
	if b == nil {
		return nil
	}
	return append(bytes.Clone(bytes.TrimRight(b, "\r\n")), end...)
}

func newlines(b []byte) []byte { return bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n")) }

func jsonString(b []byte) []byte {
	var text string
	if bytes.HasPrefix(b, []byte(`"`)) && json.Unmarshal(b, &text) == nil {
		return []byte(text)
	}
	return nil
}

func ungzip(b []byte) []byte {
	r, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil
	}
	return unpacked(r)
}

func inflate(b []byte) []byte {
	r, err := zlib.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil
	}
	return unpacked(r)
}

// unpacked reads at most what is tried at all: a few bytes may unpack to many.
func unpacked(r io.Reader) []byte {
	b, err := io.ReadAll(io.LimitReader(r, largeBody+1))
	if err != nil || len(b) > largeBody {
		return nil
	}
	return b
}

func unbase64Body(b []byte) []byte {
	plain, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(b)))
	if err != nil || len(plain) == 0 {
		return nil
	}
	return plain
}

func escape20(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

// escapeLower writes the hexadecimal digits small.
func escapeLower(s string) string {
	b := []byte(url.QueryEscape(s))
	for i := 0; i+2 < len(b); i++ {
		if b[i] == '%' {
			copy(b[i+1:], bytes.ToLower(b[i+1:i+3]))
		}
	}
	return string(b)
}

// formOf writes a form anew, in its order. What a decoded value holds of `&` is
// lost, but for a form of one field, which `payload` mostly is.
func formOf(b []byte, escape func(string) string) []byte {
	text := string(b)
	name, _, isForm := strings.Cut(text, "=")
	if !isForm || strings.ContainsAny(name, "&{<\n") {
		return nil
	}
	pairs := strings.Split(text, "&")
	if name == "payload" && strings.HasPrefix(text, "payload={") {
		pairs = []string{text}
	}
	for i, pair := range pairs {
		name, value, _ := strings.Cut(pair, "=")
		pairs[i] = escape(decoded(name)) + "=" + escape(decoded(value))
	}
	return []byte(strings.Join(pairs, "&"))
}

// decoded undoes percent-encoding, if there is any.
func decoded(s string) string {
	if !strings.Contains(s, "%") && strings.ContainsAny(s, ` "{}<>`) {
		return s // decoded already: its + are no spaces
	}
	if plain, err := url.QueryUnescape(s); err == nil {
		return plain
	}
	return s
}

// formOfJSON makes a form of a flat object: what parsers of forms make an
// object of.
func formOfJSON(b []byte, escape func(string) string) []byte {
	object := gjson.ParseBytes(b)
	if !object.IsObject() {
		return nil
	}
	var form strings.Builder
	flat := true
	object.ForEach(func(name, value gjson.Result) bool {
		if flat = !value.IsObject() && !value.IsArray(); flat {
			if form.Len() > 0 {
				form.WriteByte('&')
			}
			form.WriteString(escape(name.String()) + "=" + escape(value.String()))
		}
		return flat
	})
	if !flat || form.Len() == 0 {
		return nil
	}
	return []byte(form.String())
}

// payloadField puts JSON back into the form that it came in.
func payloadField(b []byte) []byte {
	return []byte("payload=" + url.QueryEscape(string(b)))
}

// latin1 gives each character as one byte.
func latin1(b []byte) []byte {
	if !utf8.Valid(b) {
		return nil
	}
	chars := make([]byte, 0, len(b))
	for _, c := range string(b) {
		if c > 0xff {
			return nil
		}
		chars = append(chars, byte(c))
	}
	return chars
}

// fromLatin1 gives each byte as a character.
func fromLatin1(b []byte) []byte {
	if utf8.Valid(b) {
		return nil
	}
	text := make([]byte, 0, len(b)+len(b)/4)
	for _, c := range b {
		text = utf8.AppendRune(text, rune(c))
	}
	return text
}
