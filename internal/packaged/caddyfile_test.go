package packaged

import (
	"strings"
	"testing"
)

// uncomment gives the default Caddyfile with its examples in force.
func uncomment(t *testing.T) string {
	t.Helper()
	text := read(t, "packaging/Caddyfile")
	_, site, found := strings.Cut(text, "# hooks.example.com {")
	if !found {
		t.Fatal("the default Caddyfile has no example of a site")
	}
	lines := strings.Split("# hooks.example.com {"+site, "\n")
	for i, line := range lines {
		lines[i] = strings.TrimPrefix(line, "# ")
	}
	text = strings.Replace(text, "# hooks.example.com {"+site, strings.Join(lines, "\n"), 1)
	return strings.Replace(text, "# admin unix//", "admin unix//", 1)
}

func TestTheDefaultCaddyfileLoads(t *testing.T) {
	t.Parallel()
	text := read(t, "packaging/Caddyfile")
	adapt(t, text)
	if err := validate(t, text); err != nil {
		t.Error(err)
	}
}

func TestTheExamplesInTheDefaultCaddyfileLoadOnceTheSecretIsSet(t *testing.T) {
	t.Parallel()
	text := uncomment(t)
	if got := adapt(t, text).Apps.HTTP.GracePeriod; got <= 0 {
		t.Errorf("grace_period is %v: an exit can last for ever", got)
	}
	if err := validate(t, text, "STRIPE_SECRET=whsec_1"); err != nil {
		t.Error(err)
	}
	if err := validate(t, text); err == nil {
		t.Error("it loads without the secret")
	}
}

func TestTheEnvironmentFileNamesTheSecretsOfTheCaddyfileAndHasNone(t *testing.T) {
	t.Parallel()
	text := read(t, "packaging/environment")
	if !strings.Contains(text, "\n# STRIPE_SECRET=\n") {
		t.Error("it does not name STRIPE_SECRET")
	}
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "#") {
			t.Errorf("it sets something: %q", line)
		}
	}
	secret := strings.Replace(text, "# STRIPE_SECRET=", "STRIPE_SECRET=whsec_1", 1)
	out, err := caddy(t, nil, "validate", "--config", write(t, "Caddyfile", uncomment(t)), "--envfile", write(t, "environment", secret))
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
