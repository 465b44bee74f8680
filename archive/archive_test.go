package archive

import (
	"bytes"
	"errors"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/event"
	"github.com/caddy-webhooks/caddy-webhooks/store"
)

var received = time.Date(2027, 3, 4, 5, 6, 7, 890, time.UTC)

// full is an event with everything that one can have.
func full() store.Record {
	e := &event.Event{
		ID: event.NewID(received, 7, 8, 9), Source: "shop", Provider: "stripe", ProviderID: "evt_\xff1", Type: "a<b>\u2028", Secret: "ab12",
		Proof: []string{"Stripe-Signature"}, Received: received, Method: "POST", URI: "/a%2Fb?q=\x80", OriginalURI: "/x/a%2Fb?q=\x80",
		Proto: "HTTP/2.0", Host: "example.com:8443", TLS: true, RemoteAddr: "192.0.2.1:99", ClientIP: "2001:db8::1", TrustedProxy: true,
		Header: http.Header{"X-Many": {"b", "", "a"}, "X-Raw": {"\xff\xfe"}}, Body: []byte{0, 255, '\n', '"'},
	}
	return store.Record{
		Row: store.Row{
			ID: e.ID, Source: e.Source, Provider: e.Provider, ProviderID: e.ProviderID, Type: e.Type, Received: received, Size: 4,
			Deliveries: []event.Delivery{
				{Destination: "a", State: event.Pending, Attempts: 3, Excused: 1, Spent: 1234567891, Next: received.Add(time.Hour), Asked: true, Replay: true, Discarding: true, Order: 1 << 63},
				{Destination: "a", Source: "other", State: event.Delivered, DeliveredAt: received.Add(1), SettledAt: received.Add(2)},
				{Destination: "b", State: event.Filtered},
				{Destination: "c", State: event.Dead, SettledAt: received.Add(3)},
				{Destination: "d", State: event.Discarded, SettledAt: received.Add(3)},
			},
		},
		Event: e,
		Attempts: []event.Attempt{
			{Destination: "a", Number: 1, At: received.Add(1), Duration: 1, Status: 200, Header: http.Header{"A": {"\x80"}}, Answer: []byte{0xff}},
			{Destination: "c", Number: 2, At: received.Add(2), Duration: time.Hour, Error: "no answer", Header: http.Header{}, Answer: []byte{}},
		},
	}
}

func TestAnEventIsReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	gone := full()
	gone.Event, gone.Gone, gone.Size = nil, true, 99
	gone.Deliveries, gone.Attempts = gone.Deliveries[1:3], []event.Attempt{}
	empty := full()
	empty.Event.Body, empty.Size, empty.Event.Header, empty.Event.Proof = []byte{}, 0, http.Header{}, nil
	for name, want := range map[string]store.Record{"full": full(), "gone": gone, "empty": empty} {
		b, err := Append([]byte("before\n"), want, "1a")
		if err != nil {
			t.Fatal(err)
		}
		text, found := bytes.CutPrefix(b, []byte("before\n"))
		if !found || bytes.Count(text, []byte("\n")) != 1 || !bytes.HasSuffix(text, []byte("\n")) {
			t.Errorf("%s: it is no line behind what was there: %q", name, b)
		}
		got, err := Read(text)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got.Attempts == nil {
			got.Attempts = []event.Attempt{}
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: read\n%+v\n%+v\nwant\n%+v\n%+v", name, got, got.Event, want, want.Event)
		}
	}
}

func TestALineThatIsNoneIsRefusedWithTheReason(t *testing.T) {
	t.Parallel()
	b, err := Append(nil, full(), "")
	if err != nil {
		t.Fatal(err)
	}
	good := string(b)
	cases := map[string]string{
		"":                               "EOF",
		"[]":                             "array",
		"{}":                             "format is 0",
		good[:len(good)/2]:               "EOF",
		strings.TrimSpace(good) + "x":    "behind",
		good[:len(good)-2] + `,"new":1}`: "new",
	}
	change := func(from, to, words string) {
		if !strings.Contains(good, from) {
			t.Errorf("%q is not in %s", from, good)
		}
		cases[strings.Replace(good, from, to, 1)] = words
	}
	change(`"format":1`, `"format":2`, "format is 2")
	change(`"event":"`, `"event":"x`, "event ID")
	change(`"source":"shop"`, `"source":"Shop"`, "source")
	change(`"received":"2027`, `"received":"1927`, "received")
	change(`"size":4`, `"size":5`, "4 bytes")
	change(`"method":"POST"`, `"method":"PO ST"`, "method")
	change(`"uri":{"base64":"L`, `"uri":{"base64":"l`, "uri")
	change(`"X-Many"`, `"x-many"`, "usual form")
	change(`"X-Many":["b"`, `"X-Many":["b\nX: y"`, "X-Many")
	change(`"destination":"b"`, `"destination":"a"`, "twice")
	change(`"destination":"b"`, `"destination":"B"`, "no name")
	change(`"source":"other"`, `"source":"shop"`, "no name")
	change(`"state":"dead"`, `"state":"deaf"`, "deaf")
	change(`"tries":3`, `"tries":-3`, "less than 0")
	change(`"order":"8`, `"order":"8z`, "order")
	change(`"duration_ns":1,`, `"duration_ns":-1,`, "less than 0")
	change(`"/w=="`, `"/w"`, "base64")
	change(`"base64"`, `"base65"`, "base65")
	for line, words := range cases {
		_, err := Read([]byte(line))
		if !errors.Is(err, ErrLine) || !strings.Contains(err.Error(), words) {
			t.Errorf("%.80q: %v, want words %q", line, err, words)
		}
	}
	gone := full()
	gone.Event, gone.Gone = nil, true
	if b, err = Append(nil, gone, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(b); err == nil || !strings.Contains(err.Error(), "its body is gone") {
		t.Errorf("pending without a body: %v", err)
	}
}

func FuzzWhatIsReadIsWrittenAgainTheSame(f *testing.F) {
	b, err := Append(nil, full(), "")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		first, err := Read(b)
		if err != nil {
			return
		}
		text, err := Append(nil, first, "")
		if err != nil {
			t.Fatal(err)
		}
		second, err := Read(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		again, err := Append(nil, second, "")
		if err != nil || !bytes.Equal(text, again) {
			t.Errorf("written\n%s\nthen\n%s %v", text, again, err)
		}
	})
}
