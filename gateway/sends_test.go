package gateway

import (
	"testing"

	"github.com/caddy-webhooks/caddy-webhooks/event"
)

// What jobs ask before they replay: the configuration that counts now.
func TestNothingIsSentToWhatIsNotConfigured(t *testing.T) {
	t.Parallel()
	g := new(Gateway)
	shop := event.Destination{Source: "shop", Name: "default"}
	if g.sends(shop) {
		t.Error("without a configuration")
	}
	g.configured.Store(configured("shop/default"))
	if !g.sends(shop) || g.sends(event.Destination{Source: "shop", Name: "old"}) || g.sends(event.Destination{Source: "blog", Name: "default"}) {
		t.Error("it does not go by what is configured")
	}
	g.configured.Store(configured("shop/new"))
	if g.sends(shop) {
		t.Error("after a reload")
	}
}
