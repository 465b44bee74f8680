package verify

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/tidwall/gjson"
)

// hint says what is likely, when nothing could be proven.
func (x *inquiry) hint() (Diagnosis, bool) {
	for _, look := range []func(*inquiry) (reason, words string){
		(*inquiry).user, (*inquiry).apiKey, (*inquiry).rolling, (*inquiry).claim, (*inquiry).packed, (*inquiry).emptied, (*inquiry).mode,
	} {
		if reason, text := look(x); text != "" {
			return Diagnosis{Reason: reason, Words: words(x.Err) + "; " + text}, true
		}
	}
	return Diagnosis{}, false
}

// user tells a wrong password from a wrong user.
func (x *inquiry) user() (reason, words string) {
	for _, s := range x.v.schemes {
		if s.Kind != "basic" || !s.present(x.Request.Header) {
			continue
		}
		got, err := basicAuth(x.Request.Header)
		if err != nil {
			continue
		}
		user, _, _ := strings.Cut(got, ":")
		for _, k := range s.keys {
			if known, _, _ := strings.Cut(string(k.bytes), ":"); known == user {
				return ReasonMismatch, "the user is right, and the password is not"
			}
		}
		return ReasonMismatch, "the user is another"
	}
	return "", ""
}

// apiKeys are how the credentials of a provider begin that are entered in place
// of the secret with which it signs.
var apiKeys = map[string][]string{
	"stripe":            {"sk_live_", "sk_test_", "rk_live_", "rk_test_", "pk_live_", "pk_test_"},
	"github":            {"ghp_", "gho_", "ghs_", "github_pat_"},
	"gitlab":            {"glpat-"},
	"slack":             {"xoxb-", "xoxp-", "xapp-"},
	"shopify":           {"shpat_", "shpca_"},
	"standard-webhooks": {"sk_live_", "sk_test_", "pk_live_", "pk_test_", "re_"},
	"openai":            {"sk-"},
	"twilio":            {"AC", "SK"},
	"square":            {"sq0", "EAAA"},
	"linear":            {"lin_api_"},
	"paddle":            {"pdl_live_apikey_", "pdl_sdbx_apikey_"},
}

// apiKey notices an API key in place of a secret. Its beginning is the same for
// everybody, and is told.
func (x *inquiry) apiKey() (reason, words string) {
	for name, secret := range x.shared() {
		for _, prefix := range apiKeys[x.v.record.Name] {
			if strings.HasPrefix(secret.text, prefix) {
				return ReasonSecretForm, fmt.Sprintf("%s begins with %s, as an API key or account does: the secret is the one that belongs to the webhook", name, prefix)
			}
		}
	}
	return "", ""
}

// mode is where an event shows whether it is of test or of live mode.
type mode struct {
	// header or the first of paths that exists has the value test, or live.
	header     string
	paths      []string
	test, live string
	// keys are how the secrets of test and of live mode begin, if they show it.
	keys map[string]string
}

// modes are those of the providers whose modes have secrets of their own.
var modes = map[string]mode{
	"stripe":       {paths: []string{"livemode"}, test: "false", live: "true"},
	"adyen":        {paths: []string{"live"}, test: "false", live: "true"},
	"lemonsqueezy": {paths: []string{"meta.test_mode", "data.attributes.test_mode"}, test: "true", live: "false"},
	"fintoc":       {paths: []string{"mode"}, test: "test", live: "live"},
	"paystack": {
		paths: []string{"data.domain"}, test: "test", live: "live",
		keys: map[string]string{"test": "sk_test_", "live": "sk_live_"},
	},
	"modern-treasury": {paths: []string{"data.live_mode"}, test: "false", live: "true"},
	"square":          {header: "Square-Environment", test: "Sandbox", live: "Production"},
}

// mode says which mode the event claims to be of. Only events of test mode have
// a reason of their own: of live mode are nearly all, the forged ones too.
func (x *inquiry) mode() (reason, words string) {
	m, ok := modes[x.v.record.Name]
	if !ok {
		return "", ""
	}
	place, value := "header "+m.header, x.Request.Header.Get(m.header)
	for _, path := range m.paths {
		if found := gjson.GetBytes(x.Request.Body, path); found.Exists() {
			place, value = path, found.String()
			break
		}
	}
	reason, is, other := ReasonMismatch, "live", "test"
	switch value {
	case m.live:
	case m.test:
		reason, is, other = ReasonTestMode, other, is
	default:
		return "", ""
	}
	for name, secret := range x.shared() {
		if prefix := m.keys[other]; prefix != "" && strings.HasPrefix(secret.text, prefix) {
			return ReasonTestMode, fmt.Sprintf("the event is of %s mode (%s is %s), and %s is of %s mode: it begins with %s", is, place, value, name, other, prefix)
		}
	}
	return reason, fmt.Sprintf("the event is of %s mode (%s is %s), which has its own secret: is the configured one of %s mode?", is, place, value, other)
}

// rolling notices a header with several signatures: so do providers sign while a
// secret is being replaced.
func (x *inquiry) rolling() (reason, words string) {
	for _, s := range x.v.schemes {
		if s.List == "" || s.AllHeaders || s.plain() || !s.present(x.Request.Header) {
			continue
		}
		value, err := s.text(x.Request)
		if err != nil {
			continue
		}
		if signatures, _, err := s.parse(x.Request, value); err == nil && len(signatures) > 1 {
			return ReasonSecretRotated, fmt.Sprintf("%s holds %d signatures, as it does while a secret is being replaced: configure the new one beside the old",
				s.place(), len(signatures))
		}
	}
	return "", ""
}

var packings = []string{"gzip", "deflate", "br", "zstd"}

// packed notices a body that was unpacked: the bytes that were signed are gone.
func (x *inquiry) packed() (reason, words string) {
	packing := strings.ToLower(strings.TrimSpace(x.Request.Header.Get("Content-Encoding")))
	if !slices.Contains(packings, packing) || !x.v.coversBody() || !json.Valid(x.Request.Body) {
		return "", ""
	}
	return ReasonBodyChanged, fmt.Sprintf("Content-Encoding is %s, and the body is not compressed: something decompresses it on its way; let it pass as it comes", packing)
}

// emptied notices a body that is not there.
func (x *inquiry) emptied() (reason, words string) {
	if len(x.Request.Body) > 0 || !x.v.coversBody() || x.Request.Method == http.MethodGet || x.Request.Method == http.MethodHead {
		return "", ""
	}
	return ReasonBodyChanged, "the body is empty: has something on its way read it, or a redirect dropped it?"
}

// claim says what to do where the error itself tells what does not fit.
func (x *inquiry) claim() (reason, words string) {
	switch text := x.Err.Error(); {
	case strings.Contains(text, "is not the configured"):
		return ReasonMismatch, "is it for another source, or is the option wrong?"
	case strings.HasSuffix(text, "is not the hash of the body"):
		return ReasonBodyChanged, "the body was changed on its way; let it pass as it comes"
	case strings.Contains(text, "the token's claim") && strings.Contains(text, "://"):
		return ReasonWrongURL, "write `url` with the address that the provider has"
	case strings.Contains(text, "the token's claim"):
		return ReasonMismatch, "the token is good, and for somebody else: is the option right?"
	}
	return "", ""
}
