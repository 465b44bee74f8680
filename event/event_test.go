package event_test

import (
	"net/http"
	"reflect"
	"testing"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/event"
)

func sample() *event.Event {
	return &event.Event{
		Source: "shop", Provider: "stripe", ProviderID: "evt_1", Type: "invoice.paid", Secret: "ab12",
		Received: time.Unix(1_700_000_000, 123), Method: "POST", URI: "/a%2Fb?x=%zz", OriginalURI: "/p/a%2Fb?x=%zz",
		Proto: "HTTP/2.0", Host: "hooks.example.com", TLS: true, RemoteAddr: "192.0.2.1:99", ClientIP: "192.0.2.7",
		TrustedProxy: true, Header: http.Header{"X-Multi": {"b", "a", ""}, "Accept": {"*/*"}},
		Body: []byte("\xff\x00{}\r\n"), Proof: []string{"X-Token"},
	}
}

func TestAStoredEventComesBackAsItWas(t *testing.T) {
	t.Parallel()
	e := sample()
	b := e.AppendBinary(nil)
	if len(b) > e.BinarySize() {
		t.Errorf("stored form has %d bytes, more than the bound %d", len(b), e.BinarySize())
	}
	got, err := event.Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	if !got.Received.Equal(e.Received) {
		t.Errorf("received %v, want %v", got.Received, e.Received)
	}
	got.Received = e.Received
	if !reflect.DeepEqual(got, e) {
		t.Errorf("got %+v\nwant %+v", got, e)
	}
}

func TestEveryTruncationOfAStoredEventIsAnError(t *testing.T) {
	t.Parallel()
	b := sample().AppendBinary(nil)
	for n := range b {
		if _, err := event.Decode(b[:n]); err == nil {
			t.Fatalf("%d of %d bytes were decoded without an error", n, len(b))
		}
	}
}

func TestAStoredAttemptComesBackAsItWas(t *testing.T) {
	t.Parallel()
	a := event.Attempt{
		Destination: "default", Number: 3, At: time.Unix(5, 6), Duration: time.Second, Status: 503,
		Error: "backend answered 503", Header: http.Header{"Retry-After": {"5"}}, Answer: []byte("busy"),
	}
	got, err := event.DecodeAttempt(a.AppendBinary(nil))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, a) {
		t.Errorf("got %+v, want %+v", got, a)
	}
}

func TestAnIDIsAVersion7UUIDThatCarriesItsTimeAndSequence(t *testing.T) {
	t.Parallel()
	at := time.UnixMilli(1_795_000_000_123)
	for _, seq := range []uint64{0, 1, 2, 255, 1 << 20, 1<<40 + 7, 1<<62 - 1} {
		for _, salt := range []uint64{0, 0xdeadbeefcafef00d} {
			id := event.NewID(at, seq, salt, 0xabc)
			back, err := event.ParseID(id.String())
			if err != nil {
				t.Fatalf("%s: %v", id, err)
			}
			if back != id || id.Seq(salt) != seq || !id.Time().Equal(at) {
				t.Errorf("%s: back %s, seq %d want %d, time %v", id, back, id.Seq(salt), seq, id.Time())
			}
			if id[8]>>6 != 0b10 || id[6]>>4 != 7 {
				t.Errorf("%s has the wrong variant or version", id)
			}
		}
	}
}

func TestWhatIsNoEventIDIsRefused(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"", "x", "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "{01890a5d-ac96-774b-bcce-b302099a8057}"} {
		if _, err := event.ParseID(s); err == nil {
			t.Errorf("%q was taken for an event ID", s)
		}
	}
}

func TestEveryStateHasAWordThatLeadsBackToIt(t *testing.T) {
	t.Parallel()
	for _, s := range event.States() {
		if back, ok := event.ParseState(s.String()); !ok || back != s {
			t.Errorf("%v does not come back", s)
		}
	}
	if _, ok := event.ParseState("unknown"); ok {
		t.Error("the word for no state parsed as one")
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(sample().AppendBinary(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := event.Decode(b)
		if err != nil {
			return
		}
		again, err := event.Decode(e.AppendBinary(nil))
		if err != nil || !reflect.DeepEqual(again, e) {
			t.Fatalf("round trip: %v\n%+v\n%+v", err, e, again)
		}
	})
}
