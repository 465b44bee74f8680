package providers_test

import (
	"sync"
	"testing"

	"github.com/caddy-webhooks/caddy-webhooks/verify"
	"github.com/caddy-webhooks/caddy-webhooks/verify/providers"
	"github.com/caddy-webhooks/caddy-webhooks/verify/verifytest"
)

// everyDoor is every scheme of every record that proves anything, set up once.
var everyDoor = sync.OnceValues(func() (list []*verifytest.Door, err error) {
	for _, r := range providers.All() {
		if r.Name == "none" {
			continue
		}
		doors, err := verifytest.Doors(r)
		if err != nil {
			return nil, err
		}
		list = append(list, doors...)
	}
	return list, nil
})

func allDoors(t testing.TB) []*verifytest.Door {
	t.Helper()
	list, err := everyDoor()
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func signedBy(t testing.TB, d *verifytest.Door) *verify.Request {
	t.Helper()
	q, err := d.Signed("evt_1", testNow)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func TestEverySchemeOfEveryRecordProvesWhatItSigned(t *testing.T) {
	t.Parallel()
	for _, d := range allDoors(t) {
		q := signedBy(t, d)
		if err := d.Verifier.Precheck(q.Method, q.Header); err != nil {
			t.Errorf("%s: precheck: %v", d.Name, err)
		}
		verdict, err := d.Verifier.Verify(q, testNow)
		if err != nil || verdict.Secret != 0 || verdict.Digest == "" {
			t.Errorf("%s: a good request: %+v, %v\n%+v %s", d.Name, verdict, err, q.Header, q.Body)
		}
	}
}
