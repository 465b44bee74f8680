package verify_test

import (
	"errors"
	"testing"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/verify"
	"github.com/caddy-webhooks/caddy-webhooks/verify/providers"
)

func TestUserAndPasswordAreAskedForBesidesTheSignatureAndMakeNothingGood(t *testing.T) {
	t.Parallel()
	o := verify.Options{Params: map[string][]string{"basic_auth": {"me:pass"}}}
	v := verifier(t, "adyen-platform", o, "44782def547aaa06c910c43932b1eb0c71fc68d9d0c057550c48ec2acf6ba056")
	for name, c := range map[string]struct {
		spoil func(*verify.Request)
		want  error
	}{
		"both":                   {func(*verify.Request) {}, nil},
		"no user":                {func(r *verify.Request) { r.Header.Del("Authorization") }, verify.ErrMissing},
		"another password":       {func(r *verify.Request) { r.Header.Set("Authorization", "Basic bWU6b3RoZXI=") }, verify.ErrMismatch},
		"no signature":           {func(r *verify.Request) { r.Header.Del("HmacSignature") }, verify.ErrMissing},
		"another body":           {func(r *verify.Request) { r.Body = []byte("{}") }, verify.ErrMismatch},
		"a token in its place":   {func(r *verify.Request) { r.Header.Set("Authorization", "Bearer x") }, verify.ErrMissing},
		"an empty authorization": {func(r *verify.Request) { r.Header.Set("Authorization", "") }, verify.ErrMissing},
	} {
		r := post(`{"id":"1"}`)
		if err := v.Sign(r, time.Now(), ""); err != nil {
			t.Fatal(err)
		}
		c.spoil(r)
		if _, err := v.Verify(r, time.Now()); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestUserAndPasswordDoNotLoadWhereTheyHaveNoPlace(t *testing.T) {
	t.Parallel()
	for provider, value := range map[string]string{"monday": "me:pass", "postmark": "me:pass", "none": "me:pass", "github": "nocolon"} {
		record, _ := providers.Get(provider)
		o := verify.Options{Params: map[string][]string{"basic_auth": {value}}}
		if provider != "none" {
			o.Secrets = []verify.Secret{verify.NewSecret("user:a secret of more than thirty-two bytes")}
		}
		if _, err := record.Compile(o); !errors.Is(err, verify.ErrConfig) {
			t.Errorf("%s with %s: %v", provider, value, err)
		}
	}
}
