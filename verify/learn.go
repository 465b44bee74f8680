package verify

import (
	"encoding/json"
	"net/http"

	"github.com/tidwall/gjson"
)

// Offered finds the secret that a provider hands over with a request, and what is
// to be answered when it has been kept. Anybody may send such a request: whether
// it is believed is the caller's to decide.
func (v *Verifier) Offered(r *Request) (secret string, a Answer, ok bool) {
	l := v.record.Learn
	if l == nil || r.Method != http.MethodPost {
		return "", a, false
	}
	if l.Header != "" {
		secret = r.Header.Get(l.Header)
	} else if json.Valid(r.Body) {
		secret = gjson.GetBytes(r.Body, l.JSON).String()
	}
	if secret == "" || !fitsAll(l.Pattern, secret) {
		return "", a, false
	}
	return secret, v.answer(&l.Answer, r), true
}
