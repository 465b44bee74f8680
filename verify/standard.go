package verify

import (
	"fmt"
	"net/http"
	"time"
)

// Standard signs as Standard Webhooks does, for an application behind the
// gateway: https://www.standardwebhooks.com. It is safe for concurrent use.
type Standard struct{ scheme *scheme }

// NewStandard makes a signer of secrets, the newest first: each signs, so that
// applications can change theirs one by one. A secret that begins with whsec_ is
// base64 behind it; of any other the bytes of the text are the key.
func NewStandard(secrets []Secret) (*Standard, error) {
	s, err := Scheme{ //nolint:gosec // names, no secrets
		Kind: "hmac", Header: []string{"Webhook-Signature"}, Prefix: "v1,", List: " ", Encoding: "base64",
		Content: "{id}.{ts}.{body}", TimeHeader: []string{"Webhook-Timestamp"}, IDHeader: []string{"Webhook-Id"}, SecretForm: "whsec_or_utf8",
	}.compile(secrets)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	return &Standard{s}, nil
}

// Sign gives the three headers for a body.
func (s *Standard) Sign(id string, body []byte, now time.Time) http.Header {
	st := stamps{ts: s.scheme.formatTime(now), id: id}
	r := &Request{Body: body}
	texts := make([]string, len(s.scheme.keys))
	for i, k := range s.scheme.keys {
		texts[i] = s.scheme.encode(s.scheme.mac(k, r, st, nil))
	}
	return http.Header{
		"Webhook-Id": {id}, "Webhook-Timestamp": {st.ts}, "Webhook-Signature": {s.scheme.join(st.ts, texts)},
	}
}
