package verify

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// Some providers can send user and password besides their signature. The option
// basic_auth asks for both: neither makes good what the other lacks.

// takeBasic takes the option's value, `user:password`.
func (v *Verifier) takeBasic(values []string) error {
	switch {
	case len(values) == 0:
		return nil
	case len(values) > 1 || !isPair(values[0]):
		return errors.New("takes one value, `user:password`")
	}
	for i := range v.record.Schemes {
		if s := &v.record.Schemes[i]; s.Kind == "basic" || s.Kind == "none" || takesAuthorization(s) {
			return fmt.Errorf("provider %s has no room for it: its proof stands in Authorization, or it has none", v.record.Name)
		}
	}
	v.basic = NewSecret(values[0])
	return nil
}

// isPair tells whether a text is user and password. Two placeholders that are both
// empty leave a colon, which everybody would know.
func isPair(text string) bool {
	return strings.Contains(text, ":") && strings.Trim(text, ": \t\r\n") != ""
}

func takesAuthorization(s *Scheme) bool {
	for _, name := range s.Header {
		if http.CanonicalHeaderKey(name) == "Authorization" {
			return true
		}
	}
	return false
}

// checkBasic checks what is asked for besides the signature.
func (v *Verifier) checkBasic(r *Request) error {
	if v.basic.Empty() {
		return nil
	}
	got, err := basicAuth(r.Header)
	switch {
	case err != nil:
		return err
	case !sameSecret([]byte(got), []byte(v.basic.text)):
		return fmt.Errorf("%w: user and password of Basic authorization", ErrMismatch)
	}
	return nil
}
