package ui

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

// client asks the admin API.
type client struct{ api http.RoundTripper }

// apiError is an answer that is no success. With status 0 there was none.
type apiError struct {
	status int
	words  string
}

// Error gives the API's words.
func (e *apiError) Error() string { return e.words }

// ask makes one request; who is for the record. The answer is its body.
func (c client) ask(ctx context.Context, who string, method, path string, q url.Values, body any) (*http.Response, error) {
	var text io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("writing the request: %w", err)
		}
		text = bytes.NewReader(b)
	}
	if len(q) > 0 {
		path += "?" + q.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://admin"+path, text)
	if err != nil {
		return nil, fmt.Errorf("making the request: %w", err)
	}
	req.Header.Set("Webhooks-Who", "dashboard "+who)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.api.RoundTrip(req)
	if err != nil {
		return nil, &apiError{words: err.Error()}
	}
	return resp, nil
}

// read decodes an answer into v. An answer of health is one with status 503 too.
func (c client) read(ctx context.Context, who string, method, path string, q url.Values, body, v any) error {
	resp, err := c.ask(ctx, who, method, path, q, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // it was read
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	var refusal struct{ Error string }
	if resp.StatusCode/100 != 2 && (json.Unmarshal(text, &refusal) != nil || refusal.Error != "") {
		if refusal.Error == "" {
			refusal.Error = "the admin API answered " + resp.Status
		}
		return &apiError{resp.StatusCode, refusal.Error}
	}
	if err := json.Unmarshal(text, v); err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	return nil
}

func (v *visit) get(path string, q url.Values, into any) error {
	return v.p.api.read(v.r.Context(), v.who, http.MethodGet, path, q, nil, into)
}

func (v *visit) post(path string, body, into any) error {
	if v.p.o.ReadOnly {
		return errReadOnly
	}
	return v.p.api.read(v.r.Context(), v.who, http.MethodPost, path, nil, body, into)
}
