package deliver_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/deliver"
	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/store"
	"github.com/caddy-webhooks/caddy-webhooks/store/memory"
)

// hanging is a queue that does not answer until it is let go.
type hanging struct {
	store.Queue

	free chan struct{}
}

func (h hanging) Lease(ctx context.Context, d event.Destination, r store.LeaseRequest) ([]store.Lease, time.Time, error) {
	<-h.free
	return h.Queue.Lease(ctx, d, r)
}

func TestADeliveryThatHangsIsNamed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := hanging{memory.New(memory.Options{}), make(chan struct{})}
		d := deliver.New(deliver.Options{Queue: q})
		d.Configure(map[event.Destination]deliver.Target{shop: {Forwarder: new(backend)}})
		d.Start()
		time.Sleep(50 * time.Second)
		if names := d.Stuck(); names != nil {
			t.Errorf("%v hang already", names)
		}
		time.Sleep(20 * time.Second)
		if names := d.Stuck(); !slices.Equal(names, []string{"delivery to shop/default"}) {
			t.Errorf("%v hang, want the delivery to shop/default", names)
		}
		close(q.free)
		time.Sleep(10 * time.Minute) // at rest for long is no hanging
		if names := d.Stuck(); names != nil {
			t.Errorf("%v still hang", names)
		}
		d.Stop(t.Context())
	})
}
